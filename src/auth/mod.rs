//! Who may connect: from what a CONNECT offers to yes or no.
//!
//! A refusal takes the same time whatever is wrong, so that nothing about user, password or token
//! can be learned by measuring. What takes long (hashes, signatures) is found out off the shards.
//!
//! | file | what |
//! | --- | --- |
//! | [`accounts`] | accounts and their numbers |
//! | [`users`] | many users: by name and password, or by key and signature |
//! | [`password`] | passwords and tokens, plain or hashed |
//! | [`nkey`] | keys as text, and signatures |
//! | [`operator`], [`jwt`] | operator mode: users whose claims were signed |
//! | [`kinds`] | which kinds of connections a user may use |
//! | [`proxies`] | who vouches for a client that comes through a proxy |
//! | [`callout`] | a service that decides instead |
//! | [`xkey`] | keys that encrypt |

mod accounts;
pub mod callout;
pub mod jwt;
mod kinds;
mod mapped;
pub mod nkey;
pub mod operator;
pub mod password;
mod proxies;
mod users;
pub mod xkey;

use std::sync::Arc;

use ringbus_shard::authorize::{Permissions, Rules};
use ringbus_shard::ids::AccountId;
use ringbus_shard::options::{Authenticator, Grant, Nonce, Offer, Refusal, Verdict};
use ringbus_shard::wire::connect::ConnectOptions;
use ringbus_shard::wire::secret::Secret;

use self::callout::{Caller, Callout, Desk, Terms};
use self::mapped::Mapped;
use self::nkey::PublicKey;
use self::operator::{Facts, Operators};
use self::password::{Password, same};
use self::proxies::Voucher;
use self::users::{Directory, Entrance, Named, judge_password};

pub use self::accounts::{Account, Accounts, GLOBAL, SYSTEM};
pub use self::kinds::Kinds;
pub use self::proxies::Proxies;

/// What a client offers is not enough.
const REFUSED: Verdict = Verdict::Refused(Refusal::Credentials);

/// Who may connect, and to which account.
#[derive(Debug)]
pub struct Auth {
    demand: Demand,
    /// Users are known by their certificates.
    mapped: Option<Mapped>,
    proxies: Arc<Proxies>,
    /// A service has the last word.
    callout: Option<Arc<Callout>>,
    accounts: Vec<Account>,
    system: Arc<str>,
}

/// What a client must offer.
#[derive(Debug)]
enum Demand {
    /// Nothing.
    Open,
    /// This token.
    Token(Password),
    /// This user with this password.
    User(String, Password),
    /// What one of these users has.
    Users(Directory, Entrance),
    /// Claims that an account signed, whose claims an operator signed.
    Claims(Arc<Operators>),
}

/// The users of a configuration, before somebody judges by them.
#[derive(Debug)]
pub struct Users<'a> {
    accounts: &'a mut Accounts,
    known: Directory,
    in_force: Vec<Account>,
    /// The rules of the last user that had any.
    compiled: Option<Arc<Permissions>>,
}

impl<'a> Users<'a> {
    /// Nobody yet, and no account but the global one and that of the system.
    pub fn new(accounts: &'a mut Accounts) -> Self {
        let system = Arc::clone(accounts.system());
        let in_force = [GLOBAL, &*system].map(|name| accounts.enter(name)).into();
        Self { accounts, known: Directory::default(), in_force, compiled: None }
    }

    /// This account exists.
    pub fn account(&mut self, name: &str) {
        let account = self.accounts.enter(name);
        if let Err(place) = self.in_force.binary_search_by_key(&account.id, |known| known.id) {
            self.in_force.insert(place, account);
        }
    }

    /// This user exists, and lives in that account. Names are unique among all accounts.
    pub fn user(
        &mut self,
        account: &str,
        name: &str,
        password: &Secret,
        kinds: Kinds,
        rules: Option<&Rules>,
    ) {
        let grant = self.grant(account, name.into(), rules);
        self.known.add_named(name, password, kinds, grant);
    }

    /// The holder of this key is a user, and lives in that account.
    pub fn key(&mut self, account: &str, key: PublicKey, kinds: Kinds, rules: Option<&Rules>) {
        let grant = self.grant(account, key.to_string().into(), rules);
        self.known.add_keyed(key, kinds, grant);
    }

    fn grant(&mut self, account: &str, user: Arc<str>, rules: Option<&Rules>) -> Grant {
        self.account(account);
        grant(self.accounts.enter(account), user, self.permissions(rules))
    }

    /// Rules, compiled once however many users have them in a row.
    fn permissions(&mut self, rules: Option<&Rules>) -> Option<Arc<Permissions>> {
        let rules = rules?;
        if let Some(known) = self.compiled.as_ref().filter(|known| known.rules() == rules) {
            return Some(Arc::clone(known));
        }
        let compiled = Arc::new(Permissions::new(rules.clone()).unwrap_or_else(|bad| {
            // The configuration was checked. Whatever this is, it allows nothing.
            tracing::error!("Rules that are none: {bad}");
            Permissions::nothing()
        }));
        self.compiled = Some(Arc::clone(&compiled));
        Some(compiled)
    }

    /// Judges by these users; clients without credentials become the one named, if one is.
    #[must_use]
    pub fn judge(self, without_credentials: Option<&str>) -> Auth {
        let user = without_credentials.filter(|name| self.known.contains(name));
        let entrance = user.map_or(Entrance::Closed, |name| Entrance::User(name.to_owned()));
        let demand = Demand::Users(self.known, entrance);
        Auth {
            demand,
            mapped: None,
            proxies: Arc::default(),
            callout: None,
            system: Arc::clone(self.accounts.system()),
            accounts: self.in_force,
        }
    }

    /// Judges by these users; clients without credentials go to the global account.
    #[must_use]
    pub fn judge_with_guests(self) -> Auth {
        let guest = grant(self.accounts.enter(GLOBAL), Arc::clone(self.accounts.guest()), None);
        let demand = Demand::Users(self.known, Entrance::Guest(guest));
        Auth {
            demand,
            mapped: None,
            proxies: Arc::default(),
            callout: None,
            system: Arc::clone(self.accounts.system()),
            accounts: self.in_force,
        }
    }

    /// Judges by a token or a single user, of the global account. A token wins over a user; a
    /// password without a user demands nothing, as with nats-server, and so do empty values.
    #[must_use]
    pub fn judge_by(
        self,
        user: Option<String>,
        pass: Option<Secret>,
        token: Option<Secret>,
    ) -> Auth {
        let token = token.filter(|token| !token.expose().is_empty());
        let user = user.filter(|user| !user.is_empty());
        let demand = match (token, user) {
            (Some(token), _) => Demand::Token(Password::new(&token)),
            (None, Some(user)) => Demand::User(user, Password::new(&pass.unwrap_or_default())),
            (None, None) => Demand::Open,
        };
        Auth {
            demand,
            mapped: None,
            proxies: Arc::default(),
            callout: None,
            system: Arc::clone(self.accounts.system()),
            accounts: self.in_force,
        }
    }
}

fn grant(account: Account, user: Arc<str>, permissions: Option<Arc<Permissions>>) -> Grant {
    let (account, account_name) = (account.id, account.name);
    Grant { account, account_name, user: Some(user), permissions, ..Grant::default() }
}

impl Auth {
    /// Judges by what operators and accounts have signed.
    #[must_use]
    pub fn by_claims(operators: Arc<Operators>, accounts: &Accounts) -> Self {
        let system = Arc::clone(accounts.system());
        let in_force = [GLOBAL, &*system].map(|name| accounts.enter(name)).into();
        Self {
            demand: Demand::Claims(operators),
            mapped: None,
            proxies: Arc::default(),
            callout: None,
            accounts: in_force,
            system,
        }
    }

    /// Whoever judges by claims, if that is how it is done.
    #[must_use]
    pub const fn operators(&self) -> Option<&Arc<Operators>> {
        match &self.demand {
            Demand::Claims(operators) => Some(operators),
            _ => None,
        }
    }

    /// The accounts in force by their numbers: the global one, that of the system, then the others
    /// in the order in which this process first heard of them.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// What the system account is called.
    #[must_use]
    pub fn system_account(&self) -> &str {
        &self.system
    }

    /// Clients come through these proxies, as far as they must or say so.
    #[must_use]
    pub fn behind(self, proxies: Proxies) -> Self {
        Self { proxies: Arc::new(proxies), ..self }
    }

    /// Keys of the proxies that are trusted.
    #[must_use]
    pub fn trusted_proxies(&self) -> &[PublicKey] {
        &self.proxies.trusted
    }

    /// What the server itself is in the system account.
    #[must_use]
    pub fn server(&self) -> Grant {
        let account_name = Arc::clone(&self.system);
        Grant { account: AccountId::SYSTEM, account_name, ..Grant::default() }
    }

    /// The same, but users are known by their certificates. Where there are no users, nothing is
    /// different.
    #[must_use]
    pub fn by_certificate(mut self) -> Self {
        if let Demand::Users(users, _) = &self.demand {
            self.mapped = Some(Mapped::new(users.names()));
        }
        self
    }

    /// The same, but a service has the last word.
    #[must_use]
    pub fn with_callout(mut self, terms: Terms, desk: Desk) -> Self {
        let callout = Callout::new(terms, &self.accounts, desk);
        callout.complain(|user| match &self.demand {
            Demand::Users(users, _) => users.contains(user),
            Demand::User(name, _) => name == user,
            Demand::Open | Demand::Token(_) | Demand::Claims(_) => false,
        });
        self.callout = Some(Arc::new(callout));
        self
    }

    /// What it is by what it offers, and by its certificate where that counts; `vouched` if it
    /// comes through a proxy.
    fn judge_client(&self, offer: &Offer<'_>, vouched: bool) -> Verdict {
        match &self.demand {
            // A key counts before a certificate, where anybody has one.
            Demand::Users(users, _)
                if let Some(mapped) = &self.mapped
                    && (offer.connect.nkey.is_empty() || !users.has_keys()) =>
            {
                let known = |name: &str| users.has_named(name);
                let Some(user) = mapped.user(known, offer.certificate()) else {
                    return self.have_the_last_word(REFUSED, offer, None, vouched);
                };
                // A user who has a password needs it all the same.
                let connect = ConnectOptions { user, ..offer.connect.clone() };
                self.judge_words(&Offer { connect: &connect, ..*offer }, vouched)
            }
            _ => self.judge_words(offer, vouched),
        }
    }

    /// What it is by what it offers.
    fn judge_words(&self, offer: &Offer<'_>, vouched: bool) -> Verdict {
        let connect = offer.connect;
        let said = match &self.demand {
            Demand::Open => Verdict::of(Some(Grant::default())),
            // Nothing can be learned from how long a refusal takes that names nobody.
            Demand::Token(_) if connect.auth_token.is_empty() => REFUSED,
            Demand::User(..) if connect.user.is_empty() => REFUSED,
            Demand::Token(token) => {
                let grant = || Some(Grant::default());
                let offered = &connect.auth_token;
                judge_password(Some(token), token.cost(), offered, offer.proof, grant)
            }
            Demand::User(user, password) => {
                let named = bool::from(same(user, &connect.user));
                let known = named.then_some(password);
                let user = || Some(Grant { user: Some(user.as_str().into()), ..Grant::default() });
                judge_password(known, password.cost(), &connect.pass, offer.proof, user)
            }
            // They are judged together with who vouches for them.
            Demand::Claims(_) => REFUSED,
            Demand::Users(users, entrance) => users.judge(entrance, offer),
        };
        let named = match &self.demand {
            _ if self.callout.is_none() => None,
            Demand::Users(users, entrance) => users.named_by(entrance, connect),
            Demand::User(user, _) if *user == connect.user => Some(Named::known(user)),
            _ => None,
        };
        self.have_the_last_word(said, offer, named, vouched)
    }

    fn have_the_last_word(
        &self,
        said: Verdict,
        offer: &Offer<'_>,
        named: Option<Named>,
        vouched: bool,
    ) -> Verdict {
        let Some(callout) = &self.callout else { return said };
        let (found, presented) =
            named.map_or((None, None), |Named { user, presented }| (Some(user), presented));
        if !vouched && found.as_deref().is_some_and(|user| self.proxies.binds(user)) {
            // No service can help one that has to come through a proxy.
            return said;
        }
        callout.judge(said, Caller::new(offer, found, presented, vouched))
    }
}

impl Authenticator for Auth {
    fn required(&self) -> bool {
        // Where nobody has to say who it is, a service still has to be asked.
        self.callout.is_some() || !matches!(self.demand, Demand::Open)
    }

    fn invites(&self) -> bool {
        matches!(self.demand, Demand::Open | Demand::Users(_, Entrance::User(_)))
    }

    fn nonce(&self) -> Option<Nonce> {
        match &self.demand {
            Demand::Users(users, _) if users.has_keys() => nonce(),
            Demand::Claims(_) => nonce(),
            _ if !self.proxies.trusted.is_empty() => nonce(),
            _ => None,
        }
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let voucher = match self.proxies.voucher(offer) {
            Ok(voucher) => voucher,
            Err(why) => return Verdict::Refused(why),
        };
        if let Demand::Claims(operators) = &self.demand {
            let (operators, facts) = (Arc::clone(operators), Facts::of(offer));
            return Verdict::begin(move || match voucher.verify() {
                Ok(proxy) => operators.judge(Facts { proxy, ..facts }),
                Err(why) => Verdict::Refused(why),
            });
        }
        let vouched = !matches!(voucher, Voucher::Nobody);
        self.proxies.judge(voucher, offer, self.judge_client(offer, vouched))
    }

    fn knows(&self, user: &str) -> bool {
        match &self.demand {
            Demand::Users(_, Entrance::Guest(guest)) if guest.user.as_deref() == Some(user) => true,
            Demand::Users(users, _) => users.contains(user),
            _ => false,
        }
    }
}

/// Something to sign, as nats-server has it. None if the system has no random numbers to give: then
/// no signature is right.
fn nonce() -> Option<Nonce> {
    let mut raw = [0; 11];
    getrandom::fill(&mut raw).ok()?;
    let mut text = [0; Nonce::BYTES];
    data_encoding::BASE64URL_NOPAD.encode_mut(&raw, &mut text);
    Some(Nonce::new(text))
}

#[cfg(test)]
mod tests {
    use ringbus_shard::wire::connect::ConnectOptions;

    use super::*;

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::from(text.to_owned()))
    }

    fn single(user: Option<&str>, pass: Option<Secret>, token: Option<Secret>) -> Auth {
        let mut accounts = Accounts::new(SYSTEM);
        Users::new(&mut accounts).judge_by(user.map(str::to_owned), pass, token)
    }

    /// Users by account, name and password.
    fn several<'a>(accounts: &'a mut Accounts, all: &[[&str; 3]]) -> Users<'a> {
        let mut users = Users::new(accounts);
        for [account, name, password] in all {
            let password = Secret::from((*password).to_owned());
            users.user(account, name, &password, Kinds::default(), None);
        }
        users
    }

    /// Account, its number and user of a client that offers these.
    fn granted(auth: &Auth, user: &str, pass: &str) -> Option<(String, u32, String)> {
        let connect = ConnectOptions {
            user: user.to_owned(),
            pass: Secret::from(pass.to_owned()),
            ..ConnectOptions::default()
        };
        let Verdict::Admitted(grant) = auth.judge(&Offer::of(&connect)) else { return None };
        let Grant { account, account_name, user, .. } = *grant;
        Some((account_name.to_string(), account.get(), user.unwrap().to_string()))
    }

    /// Whether a client that offers these may enter.
    fn admits(auth: &Auth, user: &str, pass: &str, token: &str) -> bool {
        let connect = ConnectOptions {
            user: user.to_owned(),
            pass: Secret::from(pass.to_owned()),
            auth_token: Secret::from(token.to_owned()),
            ..ConnectOptions::default()
        };
        matches!(auth.judge(&Offer::of(&connect)), Verdict::Admitted(_))
    }

    #[test]
    fn users_need_their_password() {
        let auth = single(Some("ann"), secret("s3cret"), None);
        assert!(auth.required());
        assert!(admits(&auth, "ann", "s3cret", ""));
        let wrong =
            [("ann", "s3cre"), ("ann", "s3cret1"), ("ann", ""), ("bob", "s3cret"), ("", "")];
        for (user, pass) in wrong {
            assert!(!admits(&auth, user, pass, ""), "{user} {pass}");
        }
        assert!(!admits(&auth, "", "", "s3cret"));
    }

    #[test]
    fn each_of_several_users_has_a_password_and_an_account() {
        let mut accounts = Accounts::new(SYSTEM);
        let all = [["B", "bob", "b"], [GLOBAL, "eve", ""], ["A", "ann", "a"], [SYSTEM, "sys", "s"]];
        let auth = several(&mut accounts, &all).judge(None);
        assert!(auth.required() && !auth.invites());
        let own = |account: &str, id, user: &str| Some((account.to_owned(), id, user.to_owned()));
        assert_eq!(granted(&auth, "ann", "a"), own("A", 3, "ann"));
        assert_eq!(granted(&auth, "bob", "b"), own("B", 2, "bob"));
        assert_eq!(granted(&auth, "eve", ""), own("$G", 0, "eve"));
        assert_eq!(granted(&auth, "sys", "s"), own("$SYS", 1, "sys"));
        for (user, pass) in [("ann", "b"), ("bob", ""), ("eve", "e"), ("joe", ""), ("", "")] {
            assert!(!admits(&auth, user, pass, ""), "{user} {pass}");
        }
        assert!(auth.knows("ann") && !auth.knows("joe"));
        let names: Vec<&str> = auth.accounts().iter().map(|account| &*account.name).collect();
        assert_eq!(names, ["$G", "$SYS", "B", "A"]);
    }

    #[test]
    fn accounts_of_a_reload_keep_their_numbers() {
        let mut accounts = Accounts::new("OPS");
        let first = several(&mut accounts, &[["A", "ann", "a"], ["B", "bob", "b"]]).judge(None);
        let second = several(&mut accounts, &[["C", "cat", "c"], ["B", "bob", "b"]]).judge(None);
        assert_eq!(granted(&first, "bob", "b"), granted(&second, "bob", "b"));
        let ids = |auth: &Auth| auth.accounts().iter().map(|it| it.id.get()).collect::<Vec<_>>();
        assert_eq!(ids(&first), [0, 1, 2, 3]);
        assert_eq!(ids(&second), [0, 1, 3, 4], "A is gone, and so is its number");
        assert_eq!(second.system_account(), "OPS");
    }

    #[test]
    fn who_offers_nothing_becomes_the_user_that_is_meant_for_it() {
        let mut accounts = Accounts::new(SYSTEM);
        let all = [["A", "ann", "a"], ["B", "bob", "b"]];
        let auth = several(&mut accounts, &all).judge(Some("bob"));
        assert!(auth.required() && auth.invites());
        assert_eq!(granted(&auth, "", ""), Some(("B".to_owned(), 3, "bob".to_owned())));
        assert_eq!(granted(&auth, "ann", "a").unwrap().0, "A");
        for (user, pass, token) in [("", "x", ""), ("", "", "x"), ("bob", "", "")] {
            assert!(!admits(&auth, user, pass, token), "{user} {pass} {token}");
        }
    }

    #[test]
    fn guests_stay_out_of_the_system_account() {
        let mut accounts = Accounts::new(SYSTEM);
        let auth = several(&mut accounts, &[[SYSTEM, "admin", "p"]]).judge_with_guests();
        assert!(auth.required() && !auth.invites());
        let (account, _, guest) = granted(&auth, "", "").unwrap();
        assert_eq!(account, "$G");
        assert!(auth.knows(&guest) && !admits(&auth, &guest, "", ""));
        assert_eq!(granted(&auth, "admin", "p").unwrap().0, "$SYS");
        assert!(!admits(&auth, "admin", "x", ""));
    }

    #[test]
    fn a_token_wins_over_a_user() {
        let auth = single(Some("ann"), secret("s3cret"), secret("t0ken"));
        assert!(!admits(&auth, "ann", "s3cret", ""));
        assert!(admits(&auth, "", "", "t0ken"));
    }

    #[test]
    fn a_user_without_password_offers_an_empty_one() {
        let auth = single(Some("ann"), None, None);
        assert!(admits(&auth, "ann", "", ""));
        assert!(!admits(&auth, "ann", "x", ""));
    }

    #[test]
    fn without_credentials_everybody_may_enter() {
        for auth in [
            single(None, None, None),
            single(None, secret("x"), None),
            single(Some(""), secret(""), secret("")),
        ] {
            assert!(!auth.required());
            assert!(admits(&auth, "", "", "") && admits(&auth, "any", "thing", ""));
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let shown = format!("{:?}", single(None, None, secret("t0ken")));
        assert!(!shown.contains("t0ken"), "{shown}");
    }
}
