//! Who may connect: from what a CONNECT offers to yes or no.
//!
//! Comparisons take the same time whatever is wrong, so that nothing about user, password or token
//! can be learned by measuring.

mod accounts;
pub mod jwt;
pub mod operator;

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use subtle::{Choice, ConstantTimeEq};

use ringbus_shard::authorize::{Permissions, Rules};
use ringbus_shard::ids::AccountId;
use ringbus_shard::options::{Authenticator, Grant, Nonce, Offer, Verdict};
use ringbus_shard::wire::connect::ConnectOptions;
use ringbus_shard::wire::secret::Secret;

use self::operator::{Facts, Operators};

pub use self::accounts::{Account, Accounts, GLOBAL, SYSTEM};

/// Who may connect, and to which account.
#[derive(Debug)]
pub struct Auth {
    demand: Demand,
    accounts: Vec<Account>,
    system: Arc<str>,
}

/// What a client must offer.
#[derive(Debug)]
enum Demand {
    /// Nothing.
    Open,
    /// This token.
    Token(Secret),
    /// This user with this password.
    User(String, Secret),
    /// One of these users with its password.
    Users(HashMap<String, Known>, Entrance),
    /// Claims that an account signed, whose claims an operator signed.
    Claims(Arc<Operators>),
}

/// A user among others.
#[derive(Debug)]
struct Known {
    password: Secret,
    grant: Grant,
}

/// What becomes of a client that offers nothing where others have to.
#[derive(Debug)]
enum Entrance {
    /// It is refused.
    Closed,
    /// It becomes a user, and hears in INFO that it need not offer anything.
    Open(Grant),
    /// Only the system account has users: everybody else goes on as if it had none, but is told
    /// that credentials are required.
    Guest(Grant),
}

/// The users of a configuration, before somebody judges by them.
#[derive(Debug)]
pub struct Users<'a> {
    accounts: &'a mut Accounts,
    known: HashMap<String, Known>,
    in_force: Vec<Account>,
    /// The rules of the last user that had any.
    compiled: Option<Arc<Permissions>>,
}

impl<'a> Users<'a> {
    /// Nobody yet, and no account but the global one and that of the system.
    pub fn new(accounts: &'a mut Accounts) -> Self {
        let system = Arc::clone(accounts.system());
        let in_force = [GLOBAL, &*system].map(|name| accounts.enter(name)).into();
        Self { accounts, known: HashMap::new(), in_force, compiled: None }
    }

    /// This account exists.
    pub fn account(&mut self, name: &str) {
        let account = self.accounts.enter(name);
        if let Err(place) = self.in_force.binary_search_by_key(&account.id, |known| known.id) {
            self.in_force.insert(place, account);
        }
    }

    /// This user exists, and lives in that account. Names are unique among all accounts.
    pub fn user(&mut self, account: &str, name: &str, password: &Secret, rules: Option<&Rules>) {
        self.account(account);
        let grant = grant(self.accounts.enter(account), name.into(), self.permissions(rules));
        self.known.insert(name.to_owned(), Known { password: password.clone(), grant });
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
        let user = without_credentials.and_then(|name| self.known.get(name));
        let entrance = user.map_or(Entrance::Closed, |user| Entrance::Open(user.grant.clone()));
        let demand = Demand::Users(self.known, entrance);
        Auth { demand, system: Arc::clone(self.accounts.system()), accounts: self.in_force }
    }

    /// Judges by these users; clients without credentials go to the global account.
    #[must_use]
    pub fn judge_with_guests(self) -> Auth {
        let guest = grant(self.accounts.enter(GLOBAL), Arc::clone(self.accounts.guest()), None);
        let demand = Demand::Users(self.known, Entrance::Guest(guest));
        Auth { demand, system: Arc::clone(self.accounts.system()), accounts: self.in_force }
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
            (Some(token), _) => Demand::Token(token),
            (None, Some(user)) => Demand::User(user, pass.unwrap_or_default()),
            (None, None) => Demand::Open,
        };
        Auth { demand, system: Arc::clone(self.accounts.system()), accounts: self.in_force }
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
        Self { demand: Demand::Claims(operators), accounts: in_force, system }
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

    /// What the server itself is in the system account.
    #[must_use]
    pub fn server(&self) -> Grant {
        let account_name = Arc::clone(&self.system);
        Grant { account: AccountId::SYSTEM, account_name, ..Grant::default() }
    }
}

impl Authenticator for Auth {
    fn required(&self) -> bool {
        !matches!(self.demand, Demand::Open)
    }

    fn invites(&self) -> bool {
        matches!(self.demand, Demand::Open | Demand::Users(_, Entrance::Open(_)))
    }

    fn nonce(&self) -> Option<Nonce> {
        matches!(self.demand, Demand::Claims(_)).then(fresh_nonce).flatten()
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let connect = offer.connect;
        let (admitted, grant) = match &self.demand {
            Demand::Open => return Verdict::of(Some(Grant::default())),
            Demand::Token(token) => {
                (same(token.expose(), connect.auth_token.expose()), Grant::default())
            }
            // Both are always compared: a wrong user takes as long as a wrong password.
            Demand::User(user, pass) => {
                let admitted =
                    same(user, &connect.user) & same(pass.expose(), connect.pass.expose());
                (admitted, Grant { user: Some(user.as_str().into()), ..Grant::default() })
            }
            Demand::Claims(operators) => {
                let (operators, facts) = (Arc::clone(operators), Facts::of(offer));
                return Verdict::soon(move || operators.judge(&facts));
            }
            Demand::Users(users, entrance) => {
                return Verdict::of(admit(users, entrance, connect));
            }
        };
        Verdict::of(bool::from(admitted).then_some(grant))
    }

    fn knows(&self, user: &str) -> bool {
        match &self.demand {
            Demand::Users(_, Entrance::Guest(guest)) if guest.user.as_deref() == Some(user) => true,
            Demand::Users(users, _) => users.contains_key(user),
            _ => false,
        }
    }
}

/// What a client is to sign: 11 random bytes in base64. Without random numbers there is nothing to
/// sign, and nobody can prove anything.
fn fresh_nonce() -> Option<Nonce> {
    let mut bytes = [0; 11];
    getrandom::fill(&mut bytes).ok()?;
    let mut text = [0; Nonce::BYTES];
    BASE64URL_NOPAD.encode_mut(&bytes, &mut text);
    Some(Nonce::new(text))
}

/// Judges by several users.
fn admit(
    users: &HashMap<String, Known>,
    entrance: &Entrance,
    connect: &ConnectOptions,
) -> Option<Grant> {
    if let Entrance::Open(grant) | Entrance::Guest(grant) = entrance
        && offers_nothing(connect)
    {
        return Some(grant.clone());
    }
    let known = users.get(&connect.user);
    let pass = known.map_or("", |known| known.password.expose());
    let admitted = bool::from(same(pass, connect.pass.expose()));
    known.filter(|_| admitted).map(|known| known.grant.clone())
}

/// Keys and signatures do not count where no user has one.
fn offers_nothing(connect: &ConnectOptions) -> bool {
    connect.user.is_empty()
        && connect.pass.expose().is_empty()
        && connect.auth_token.expose().is_empty()
}

/// Compares without stopping at the first difference. Only the length of what was offered, which
/// its sender knows, decides how long it takes.
fn same(wanted: &str, offered: &str) -> Choice {
    let mut difference = Choice::from(u8::from(wanted.len() != offered.len()));
    let wanted = wanted.bytes().chain(std::iter::repeat(0));
    for (byte, wanted) in offered.bytes().zip(wanted) {
        difference |= !byte.ct_eq(&wanted);
    }
    !difference
}

#[cfg(test)]
mod tests {
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
            users.user(account, name, &Secret::from((*password).to_owned()), None);
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
