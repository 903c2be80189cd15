//! Who may connect: the `authorization` block, the users of accounts, and the flags that say the
//! same.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use ringbus_shard::account as shard;
use ringbus_shard::authorize::Rules;
use ringbus_shard::limits::Limits;
use ringbus_shard::subject::mapping::Mappings;
use ringbus_shard::wire::secret::Secret;

use super::accounts::{self, Account, Others};
use super::callout;
use super::dump::Dump;
use super::listen::non_empty;
use super::mappings;
use super::operators::Operators;
use super::permissions::{self, Given};
use super::problem::{Report, Spot};
use super::proxies;
use super::reader::{Field, Found, FromField, Reader};
use super::setting::{Origin, Setting};
use super::sharing;
use super::units;
use super::value::Value;
use crate::auth::callout::{Desk, Terms};
use crate::auth::nkey::{PublicKey, Role};
use crate::auth::password::is_bcrypt;
use crate::auth::{self, Accounts, Auth, GLOBAL, Kinds, Proxies};
use crate::cli::Flags;

/// A longer timeout is worth a warning: it is likely a duration without quotes.
const TIMEOUT_USUAL: Duration = Duration::from_secs(60);

/// What clients must offer.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The only user, if there are no users.
    pub user: Setting<Option<String>>,
    /// Password of the only user.
    pub password: Setting<Secret>,
    /// A token instead; empty for none.
    pub token: Setting<Secret>,
    /// Users of the global account.
    pub users: Setting<Vec<User>>,
    /// What those of them may do that have no rules of their own.
    pub default_permissions: Setting<Option<Rules>>,
    /// How long a client may take.
    pub timeout: Setting<Duration>,
    /// A service that decides instead.
    pub callout: Setting<Option<Terms>>,
    /// The other accounts, with their users.
    pub accounts: Setting<Vec<Account>>,
    /// What becomes of the subjects that clients of the global account publish to.
    pub mappings: Setting<Mappings>,
    /// What the system account is called; one of the accounts, unless it is the default.
    pub system_account: Setting<String>,
    /// Clients must come through a trusted proxy, where no users say so each.
    pub proxy_required: Setting<bool>,
    /// Keys of the proxies that are trusted.
    pub proxies: Setting<Vec<PublicKey>>,
    /// The user that a client becomes which offers nothing.
    pub no_auth_user: Setting<Option<String>>,
    /// Whether there is an `authorization` block, be it empty.
    has_block: bool,
}

/// One of the users.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Unique; the text of the key, if there is one.
    pub name: String,
    /// Empty if there is none.
    pub password: Secret,
    /// In place of a password.
    pub key: Option<PublicKey>,
    /// Connections it may use.
    pub kinds: Kinds,
    /// What it may do, if that was said of it.
    pub permissions: Option<Rules>,
    /// It must come through a trusted proxy.
    pub proxy_required: bool,
}

/// The block as it is in the file.
#[derive(Default)]
struct Block {
    user: Option<Found<String>>,
    password: Option<Found<Secret>>,
    token: Option<Found<Secret>>,
    users: Option<Found<Vec<User>>>,
    default_permissions: Option<Found<Rules>>,
    timeout: Option<Found<Duration>>,
    proxy_required: Option<Found<bool>>,
    callout: Option<Found<Terms>>,
}

impl Credentials {
    /// `usual` is how long a client may take unless the file says so, if that is not the default.
    pub(super) fn read(
        reader: &mut Reader<'_>,
        flags: &Flags,
        operators: &Operators,
        usual: Option<Duration>,
    ) -> Self {
        let mut names = HashSet::new();
        let block = reader.optional::<Reader<'_>>(&["authorization"]);
        let has_block = block.is_some();
        let block = block
            .map_or_else(Block::default, |found| Block::read(found.value, &found.at, &mut names));
        let accounts = accounts::read(reader, Others { names, conflicts: block.conflicts() });
        let system = reader.optional::<SystemName>(&["system_account", "system"]);
        let usual = usual.unwrap_or_else(|| Limits::default().auth_timeout);
        let credentials = Self {
            user: Setting::new(String::new())
                .or_file(block.user)
                .or_flag("--user", flags.user.clone())
                .map(non_empty),
            password: Setting::new(Secret::default())
                .or_file(block.password)
                .or_flag("--pass", flags.pass.clone()),
            token: Setting::new(Secret::default())
                .or_file(block.token)
                .or_flag("--auth", flags.auth.clone()),
            users: Setting::new(Vec::new()).or_file(block.users),
            default_permissions: Setting::new(None)
                .or_file(block.default_permissions.map(|found| found.map(Some))),
            timeout: Setting::new(Duration::ZERO)
                .or_file(block.timeout)
                .map(|timeout| if timeout.is_zero() { usual } else { timeout }),
            callout: Setting::new(None).or_file(block.callout.map(|found| found.map(Some))),
            accounts: Setting::new(Vec::new()).or_file(accounts),
            mappings: Setting::new(Mappings::default()).or_file(mappings::read(reader)),
            system_account: Setting::new(String::new())
                .or_file(system.map(|found| found.map(|name| name.0)))
                .map(|name| {
                    let told = || operators.system_account().unwrap_or(auth::SYSTEM).to_owned();
                    if name.is_empty() { told() } else { name }
                }),
            proxy_required: Setting::new(false).or_file(block.proxy_required),
            proxies: Setting::new(Vec::new()).or_file(proxies::read(reader)),
            no_auth_user: Setting::new(String::new())
                .or_file(reader.optional(&["no_auth_user"]))
                .map(non_empty),
            has_block,
        };
        if operators.are_in_force() {
            credentials.check_beside(operators, reader.report());
        } else {
            credentials.check_names(reader.report());
        }
        if let Some(terms) = &*credentials.callout {
            callout::check(terms, &credentials.accounts, reader.report());
        }
        credentials
    }

    /// Reports what operators do not allow beside them.
    fn check_beside(&self, operators: &Operators, report: &Report) {
        let Origin::File(at) = operators.origin() else { return };
        if !self.accounts.is_empty() {
            report.error(at, "operators do not allow Accounts to be configured directly");
        }
        if self.all_users().next().is_some() {
            report.error(at, "operators do not allow users to be configured directly");
        }
        if let Origin::File(at) = self.callout.origin() {
            let text = "operators do not allow authorization callouts to be configured directly";
            report.error(at, text);
        }
        if let (Some(name), Origin::File(at)) =
            (self.no_auth_user.as_deref(), self.no_auth_user.origin())
        {
            let text = format!("no_auth_user: {name:?} present, but users/nkeys are not defined");
            report.error(at, text);
        }
        operators.check_system(&self.system_account, report);
    }

    /// Reports a system account or a user that does not exist.
    fn check_names(&self, report: &Report) {
        let system = &self.system_account;
        if let Origin::File(at) = system.origin() {
            if **system == GLOBAL {
                report.error(at, format!("{GLOBAL:?} as the system account is not supported yet"));
            } else if !self.accounts.iter().any(|account| account.name == **system) {
                report.error(at, "error resolving system account: account missing");
            }
        }
        let wanted = &self.no_auth_user;
        let (Some(name), Origin::File(at)) = (wanted.as_deref(), wanted.origin()) else { return };
        if self.all_users().next().is_none() {
            let text = format!("no_auth_user: {name:?} present, but users/nkeys are not defined");
            report.error(at, text);
        } else if !self.has_user(name) {
            let text = format!(
                "no_auth_user: {name:?} not present as user or nkey in authorization block or \
                 account configuration"
            );
            report.error(at, text);
        }
    }

    /// Users of all accounts, with the name of theirs.
    fn all_users(&self) -> impl Iterator<Item = (&str, &User)> {
        let global = self.users.iter().map(|user| (GLOBAL, user));
        let others = self.accounts.iter();
        global.chain(
            others.flat_map(|account| account.users.iter().map(|user| (&*account.name, user))),
        )
    }

    /// What users of an account may do that have no rules of their own.
    fn default_permissions(&self, account: &str) -> Option<&Rules> {
        let others = || self.accounts.iter().find(|known| known.name == account);
        match account {
            GLOBAL => self.default_permissions.as_ref(),
            _ => others().and_then(|account| account.default_permissions.as_ref()),
        }
    }

    /// Whether there is a user with this name in any account.
    pub(super) fn has_user(&self, name: &str) -> bool {
        self.all_users().any(|(_, user)| user.name == name)
    }

    /// The judge of connections that follows from them: users win over a token, a token over a
    /// single user. New accounts get their numbers from `accounts`.
    #[must_use]
    pub fn auth(&self, accounts: &mut Accounts, desk: &Desk) -> Auth {
        let auth = self.usual(accounts).behind(self.behind());
        match &*self.callout {
            Some(terms) => auth.with_callout(terms.clone(), desk.clone()),
            None => auth,
        }
    }

    /// Who vouches for clients, and for which of them somebody has to.
    #[must_use]
    pub fn behind(&self) -> Proxies {
        let through_proxy = self.all_users().filter(|(_, user)| user.proxy_required);
        let no_users = self.all_users().next().is_none();
        let is_open = self.user.is_none() && self.token.is_empty();
        Proxies {
            trusted: (*self.proxies).clone(),
            bound: through_proxy.map(|(_, user)| user.name.clone()).collect(),
            all_bound: *self.proxy_required && no_users && !is_open,
        }
    }

    /// The judge that there would be without proxies and services.
    fn usual(&self, accounts: &mut Accounts) -> Auth {
        let mut users = auth::Users::new(accounts);
        for account in self.accounts.iter() {
            users.account(&account.name);
        }
        let mut count = 0_usize;
        for (account, user) in self.all_users() {
            let rules = user.permissions.as_ref().or_else(|| self.default_permissions(account));
            let User { name, password, kinds, .. } = user;
            match user.key {
                Some(key) => users.key(account, key, *kinds, rules),
                None => users.user(account, name, password, *kinds, rules),
            }
            count += 1;
        }
        if self.has_guests() {
            return users.judge_with_guests();
        }
        if count == 0 {
            let (user, password) = ((*self.user).clone(), (*self.password).clone());
            return users.judge_by(user, Some(password), Some((*self.token).clone()));
        }
        users.judge(self.no_auth_user.as_deref())
    }

    /// Whether nothing is configured but the system account: that was not meant to shut out
    /// everybody else.
    fn has_guests(&self) -> bool {
        let only_system =
            matches!(&**self.accounts, [account] if account.name == **self.system_account);
        only_system && self.no_auth_user.is_none() && !self.has_block
    }

    /// Whether the same clients may connect, to the same accounts, and find the same there.
    pub(super) fn same(&self, new: &Self) -> bool {
        *self.user == *new.user
            && *self.password == *new.password
            && *self.token == *new.token
            && *self.users == *new.users
            && *self.default_permissions == *new.default_permissions
            && *self.accounts == *new.accounts
            && *self.mappings == *new.mappings
            && *self.proxy_required == *new.proxy_required
            && *self.proxies == *new.proxies
            && *self.no_auth_user == *new.no_auth_user
            && *self.callout == *new.callout
            && self.has_guests() == new.has_guests()
    }

    /// What holds in each account, by the numbers that they have.
    #[must_use]
    pub fn terms(&self, known: &Accounts) -> shard::Accounts {
        let mut terms = shard::Accounts::default();
        let others = self.accounts.iter().map(|account| (&*account.name, &account.mappings));
        for (name, mappings) in std::iter::once((GLOBAL, &*self.mappings)).chain(others) {
            let Some(id) = known.find(name).filter(|_| !mappings.is_empty()) else { continue };
            terms.entry(id).mappings = Some(Arc::new(mappings.clone()));
        }
        for Account { name, limits, .. } in self.accounts.iter() {
            let Some(id) = known.find(name).filter(|_| limits.shown().is_some()) else { continue };
            let account = terms.entry(id);
            account.allowance = limits.allowance;
            account.places = limits.connections.and_then(|most| known.places(id, most));
        }
        // What is wrong with them was said when they were read.
        sharing::enter(&self.accounts, &mut terms, &|name| known.find(name), &mut |_, _| {});
        terms
    }

    /// Whether a password stands somewhere that would better be a hash.
    #[must_use]
    pub fn has_plain_password(&self) -> bool {
        let plain = |secret: &Secret| !is_bcrypt(secret.expose());
        (!self.password.is_empty() && plain(&self.password))
            || self.all_users().any(|(_, user)| user.key.is_none() && plain(&user.password))
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { user, password, token, users, timeout, accounts, mappings, .. } = self;
        let default = &self.default_permissions;
        let shown = default.as_ref().map_or_else(|| "{}".to_owned(), permissions::shown);
        dump.optional_text("authorization.user", user);
        dump.secret("authorization.password", password);
        dump.secret("authorization.token", token);
        dump.line("authorization.users", User::shown(users), users.origin());
        dump.line("authorization.default_permissions", shown, default.origin());
        dump.duration("authorization.timeout", timeout);
        dump.plain("authorization.proxy_required", &self.proxy_required);
        dump.line("proxies", proxies::shown(&self.proxies), self.proxies.origin());
        let shown = self.callout.as_ref().map_or_else(|| "{}".to_owned(), callout::shown);
        dump.line("authorization.auth_callout", shown, self.callout.origin());
        dump.line("accounts", accounts::shown(accounts), accounts.origin());
        dump.line("mappings", mappings::shown(mappings), mappings.origin());
        dump.text("system_account", &self.system_account);
        dump.optional_text("no_auth_user", &self.no_auth_user);
    }
}

impl Block {
    fn read(mut reader: Reader<'_>, at: &Spot, names: &mut HashSet<String>) -> Self {
        let block = Self {
            user: reader.optional(&["user", "username"]),
            password: reader.optional(&["pass", "password"]),
            token: reader.optional(&["token"]),
            users: User::read_all(&mut reader, names),
            default_permissions: reader
                .optional::<Given>(&["default_permissions", "default_permission", "permissions"])
                .map(|found| found.map(|given| given.0)),
            timeout: reader.optional::<Timeout>(&["timeout"]).map(|found| found.map(|it| it.0)),
            proxy_required: reader.optional(&["proxy_required"]),
            callout: reader.optional(&["auth_callout", "auth_hook"]),
        };
        let report = reader.report();
        let (has_user, has_token) = (block.has_user(), block.has_token());
        let has_password = block.password.as_ref().is_some_and(|it| !it.value.is_empty());
        if (has_user || has_password) && has_token {
            report.error(at, "Cannot have a user/pass and token");
        }
        if block.users.is_some() && has_user {
            report.error(at, "Can not have a single user/pass and a users array");
        }
        if block.users.is_some() && has_token {
            report.error(at, "Can not have a token and a users array");
        }
        if let (Some(found), None) = (&block.default_permissions, &block.users) {
            report.warn(&found.at, "default permissions are for users, and there are none here");
        }
        reader.finish();
        block
    }

    fn has_user(&self) -> bool {
        self.user.as_ref().is_some_and(|user| !user.value.is_empty())
    }

    fn has_token(&self) -> bool {
        self.token.as_ref().is_some_and(|token| !token.value.is_empty())
    }

    /// Why no account can have users.
    fn conflicts(&self) -> Vec<&'static str> {
        let user = self.has_user().then_some("Can not have a single user/pass and accounts");
        let token = self.has_token().then_some("Can not have a token and accounts");
        user.into_iter().chain(token).collect()
    }
}

impl User {
    /// The users of a block. Each bears a name that is not among `names` yet.
    pub(super) fn read_all(
        reader: &mut Reader<'_>,
        names: &mut HashSet<String>,
    ) -> Option<Found<Vec<Self>>> {
        let fields = reader.optional::<Vec<Field<'_>>>(&["users"])?;
        let mut users = Vec::new();
        for field in fields.value {
            let Some(user) = Self::read(field) else { continue };
            if names.insert(user.name.clone()) {
                users.push(user);
            } else {
                let what = if user.key.is_some() { "nkey" } else { "user" };
                let text = format!("Duplicate {what} {:?} detected", user.name);
                field.report.error(field.at, text);
            }
        }
        Some(Found { value: users, at: fields.at })
    }

    /// As the grammar has them, passwords not shown.
    pub(super) fn shown(users: &[Self]) -> String {
        let texts: Vec<String> = users
            .iter()
            .map(|user| {
                let who = match user.key {
                    Some(key) => format!("nkey: {key}"),
                    None => format!("user: {:?}, password: {:?}", user.name, user.password),
                };
                let rules = user.permissions.as_ref().map(permissions::shown);
                let rules = rules.map(|rules| format!(", permissions: {rules}"));
                let kinds = match user.kinds.is_all() {
                    true => String::new(),
                    false => format!(", allowed_connection_types: {}", user.kinds),
                };
                let proxied = if user.proxy_required { ", proxy_required: true" } else { "" };
                format!("{{{who}{}{kinds}{proxied}}}", rules.unwrap_or_default())
            })
            .collect();
        format!("[{}]", texts.join(", "))
    }
}

impl FromField<'_> for User {
    fn read(field: Field<'_>) -> Option<Self> {
        let mut reader = Reader::read(field)?;
        let name = reader.optional::<String>(&["user", "username"]);
        let password = reader.optional::<Secret>(&["pass", "password"]);
        let permissions = reader.optional::<Given>(&["permissions", "permission", "authorization"]);
        let key = reader.optional::<UserKey>(&["nkey"]);
        let kinds = reader.optional::<AllowedKinds>(&[
            "allowed_connection_types",
            "connection_types",
            "clients",
        ]);
        let proxy_required = reader.optional::<bool>(&["proxy_required"]);
        let proxy_required = proxy_required.is_some_and(|found| found.value);
        let is_keyed = key.as_ref().is_some_and(|key| key.value != UserKey::None);
        reader.finish();
        let kinds = kinds.map(|kinds| kinds.value.0).unwrap_or_default();
        let permissions = permissions.map(|given| given.value.0);
        let name = name.map(|name| name.value).unwrap_or_default();
        let password = password.map(|password| password.value).unwrap_or_default();
        if is_keyed && !(name.is_empty() && password.is_empty()) {
            field.report.error(field.at, "Nkey users do not take usernames or passwords");
            return None;
        }
        match key.map(|key| key.value) {
            Some(UserKey::Valid(key)) => Some(Self {
                name: key.to_string(),
                password,
                key: Some(key),
                kinds,
                permissions,
                proxy_required,
            }),
            Some(UserKey::Invalid) => None,
            Some(UserKey::None) | None if name.is_empty() => {
                field.report.error(field.at, "User entry requires a user");
                None
            }
            Some(UserKey::None) | None => {
                Some(Self { name, password, key: None, kinds, permissions, proxy_required })
            }
        }
    }
}

/// What stands where the key of a user may stand.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum UserKey {
    None,
    Valid(PublicKey),
    /// That was reported.
    Invalid,
}

impl FromField<'_> for UserKey {
    fn read(field: Field<'_>) -> Option<Self> {
        let Some(text) = String::read(field) else { return Some(Self::Invalid) };
        if text.is_empty() {
            return Some(Self::None);
        }
        let key = PublicKey::parse(&text).filter(|key| key.role == Role::User);
        Some(key.map_or_else(
            || {
                field.report.error(field.at, "Not a valid public nkey for a user");
                Self::Invalid
            },
            Self::Valid,
        ))
    }
}

/// A list of kinds of connections, or a single one.
struct AllowedKinds(Kinds);

impl FromField<'_> for AllowedKinds {
    fn read(field: Field<'_>) -> Option<Self> {
        let names = match field.value {
            Value::Text(name) => vec![name.clone()],
            _ => Vec::<String>::read(field)?,
        };
        let (kinds, unknown) = Kinds::named(names.iter().map(String::as_str));
        if !unknown.is_empty() {
            let unknown: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
            return field.fault(format!("invalid connection types [{}]", unknown.join(" ")));
        }
        Some(Self(kinds))
    }
}

/// Name of an account.
struct SystemName(String);

impl FromField<'_> for SystemName {
    fn read(field: Field<'_>) -> Option<Self> {
        match field.value {
            Value::Text(name) => Some(Self(name.clone())),
            Value::Unresolved => None,
            _ => {
                field.report.error(field.at, "system account name must be a string");
                None
            }
        }
    }
}

/// Seconds as a number, or a duration in quotes.
pub(super) struct Timeout(pub(super) Duration);

impl FromField<'_> for Timeout {
    fn read(field: Field<'_>) -> Option<Self> {
        #[expect(clippy::cast_precision_loss, reason = "seconds beyond 2^53 are refused anyway")]
        let seconds = match field.value {
            Value::Text(text) => match units::duration(text) {
                Ok(timeout) => timeout.as_secs_f64(),
                Err(why) => return field.fault(why),
            },
            Value::Integer(seconds) => *seconds as f64,
            Value::Float(seconds) => *seconds,
            _ => return field.expected("a number of seconds or a duration such as \"2s\""),
        };
        let Ok(timeout) = Duration::try_from_secs_f64(seconds) else {
            return field.fault("a timeout is a positive number of seconds");
        };
        if timeout > TIMEOUT_USUAL {
            field.warn(format!(
                "a timeout of {seconds} seconds is high; if it was meant as a duration, put it in \
                 quotes"
            ));
        }
        Some(Self(timeout))
    }
}
