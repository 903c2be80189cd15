//! Who may connect: the `authorization` block and the flags that say the same.

use std::collections::HashSet;
use std::time::Duration;

use ringbus_shard::limits::Limits;
use ringbus_shard::wire::secret::Secret;

use super::dump::Dump;
use super::later;
use super::listen::non_empty;
use super::problem::Spot;
use super::reader::{Field, Found, FromField, Reader};
use super::setting::Setting;
use super::units;
use super::value::Value;
use crate::auth::Auth;
use crate::cli::{self, Flags};

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
    /// Users by name.
    pub users: Setting<Vec<User>>,
    /// How long a client may take.
    pub timeout: Setting<Duration>,
}

/// One of the users.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct User {
    /// Unique.
    pub name: String,
    /// Empty if there is none.
    pub password: Secret,
}

/// The block as it is in the file.
#[derive(Default)]
struct Block {
    user: Option<Found<String>>,
    password: Option<Found<Secret>>,
    token: Option<Found<Secret>>,
    users: Option<Found<Vec<User>>>,
    timeout: Option<Found<Duration>>,
}

impl Credentials {
    pub(super) fn read(reader: &mut Reader<'_>, flags: &Flags) -> Self {
        let block = reader.optional::<Reader<'_>>(&["authorization"]);
        let block = block.map_or_else(Block::default, |found| Block::read(found.value, &found.at));
        let usual = Limits::default().auth_timeout;
        Self {
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
            timeout: Setting::new(Duration::ZERO)
                .or_file(block.timeout)
                .map(|timeout| if timeout.is_zero() { usual } else { timeout }),
        }
    }

    /// The judge of connections that follows from them: users win over a token, a token over a
    /// single user.
    #[must_use]
    pub fn auth(&self) -> Auth {
        if self.users.is_empty() {
            let (user, password) = ((*self.user).clone(), (*self.password).clone());
            return Auth::new(user, Some(password), Some((*self.token).clone()));
        }
        let pair = |user: &User| (user.name.clone(), user.password.clone());
        Auth::Users(self.users.iter().map(pair).collect())
    }

    /// Whether a password stands somewhere that would better be a hash.
    #[must_use]
    pub fn has_plain_password(&self) -> bool {
        !self.users.is_empty() || !self.password.is_empty()
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { user, password, token, users, timeout } = self;
        dump.optional_text("authorization.user", user);
        dump.secret("authorization.password", password);
        dump.secret("authorization.token", token);
        let names: Vec<String> = users
            .iter()
            .map(|user| format!("{{user: {:?}, password: {:?}}}", user.name, user.password))
            .collect();
        dump.line("authorization.users", format!("[{}]", names.join(", ")), users.origin());
        dump.duration("authorization.timeout", timeout);
    }
}

impl Block {
    fn read(mut reader: Reader<'_>, at: &Spot) -> Self {
        let block = Self {
            user: reader.optional(&["user", "username"]),
            password: reader.optional::<Plain>(&["pass", "password"]).map(Plain::found),
            token: reader.optional::<Plain>(&["token"]).map(Plain::found),
            users: reader.optional(&["users"]),
            timeout: reader.optional::<Timeout>(&["timeout"]).map(|found| found.map(|it| it.0)),
        };
        later::refuse(&mut reader, later::AUTHORIZATION);
        let report = reader.report();
        let has_user = block.user.as_ref().is_some_and(|user| !user.value.is_empty());
        let has_password = block.password.as_ref().is_some_and(|it| !it.value.is_empty());
        let has_token = block.token.as_ref().is_some_and(|token| !token.value.is_empty());
        if (has_user || has_password) && has_token {
            report.error(at, "Cannot have a user/pass and token");
        }
        if block.users.is_some() && has_user {
            report.error(at, "Can not have a single user/pass and a users array");
        }
        if block.users.is_some() && has_token {
            report.error(at, "Can not have a token and a users array");
        }
        reader.finish();
        block
    }
}

impl FromField<'_> for Vec<User> {
    fn read(field: Field<'_>) -> Option<Self> {
        let fields = Vec::<Field<'_>>::read(field)?;
        let mut names = HashSet::new();
        let mut users = Self::new();
        for field in fields {
            let at = field.at;
            let Some(user) = User::read(field) else { continue };
            if names.insert(user.name.clone()) {
                users.push(user);
            } else {
                field.report.error(at, format!("Duplicate user {:?} detected", user.name));
            }
        }
        Some(users)
    }
}

impl FromField<'_> for User {
    fn read(field: Field<'_>) -> Option<Self> {
        let mut reader = Reader::read(field)?;
        let name = reader.optional::<String>(&["user", "username"]);
        let password = reader.optional::<Plain>(&["pass", "password"]);
        let has_nkey = !reader.take(&["nkey"]).is_empty();
        later::refuse(&mut reader, later::USER);
        reader.finish();
        let name = name.map(|name| name.value).filter(|name| !name.is_empty());
        let Some(name) = name else {
            if !has_nkey {
                field.report.error(field.at, "User entry requires a user");
            }
            return None;
        };
        let password = password.map(|password| password.value.0).unwrap_or_default();
        Some(Self { name, password })
    }
}

/// A password or token that is not a hash.
struct Plain(Secret);

impl Plain {
    fn found(found: Found<Self>) -> Found<Secret> {
        found.map(|plain| plain.0)
    }
}

impl FromField<'_> for Plain {
    fn read(field: Field<'_>) -> Option<Self> {
        let secret = Secret::read(field)?;
        if cli::is_bcrypt(secret.expose()) {
            return field.fault("a bcrypt hash is not supported yet: give the plain text");
        }
        Some(Self(secret))
    }
}

/// Seconds as a number, or a duration in quotes.
struct Timeout(Duration);

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
