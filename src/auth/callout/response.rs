//! From an answer to the claims of a user, or why it counts for nothing.
//!
//! What is read was written by others, and decides who may do what: the first thing that is not as
//! it should be refuses the client. Texts and their order are those of nats-server.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use ringbus_shard::options::{self, Answer, Grant};
use tracing::{debug, error, warn};

use crate::auth::jwt::schedule::{self, Allowed};
use crate::auth::jwt::{AuthorizationResponseClaims, Fault, UserClaims, claims::now};
use crate::auth::kinds::Kinds;
use crate::auth::nkey::PublicKey;
use crate::auth::xkey::{CurveKey, Sealed};

/// What all encoded claims begin with.
const JWT_PREFIX: &[u8] = b"eyJ";

/// Why an answer lets nobody in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::auth) enum Refusal {
    /// There is nothing in it.
    Empty(String),
    /// It cannot be opened.
    Sealed(String, Sealed),
    /// It, or the claims in it, cannot be believed.
    Fault(Fault),
    /// Claims that contradict themselves, or do not hold now.
    Response(String),
    /// It is about somebody else.
    OtherUser,
    /// It is for another server.
    OtherServer,
    /// It says that it is from another account.
    OtherAccount(String),
    /// Nobody knows who signed it.
    UnknownSigner,
    /// The service says no, and why.
    Error(String),
    /// The claims about the user do not hold.
    User(String),
    /// They are about somebody else.
    WrongUser { expected: String, seen: String, account: String },
    /// Not at this time.
    Times(String),
    /// For kinds of connections that nobody knows.
    Kinds(String),
    /// It speaks for an account, where no operator knows of any.
    IssuerAccount(String),
    /// Somebody else signed the claims about the user.
    Issuer { account: String, expected: String, seen: String },
    /// The service may not let users into the account of who signed.
    NotAllowed { wanted: String, account: String },
    /// A key signed that is none of the account of the user.
    UnknownIssuer(String),
    /// Claims for a role that say more than that.
    Role(&'static str),
    /// A role that cannot be filled in.
    Template(String),
    /// There is no such account.
    NoAccount { wanted: String, account: String, why: String },
    /// It has to come through a proxy.
    ProxyRequired,
    /// Permissions that are none.
    Permissions(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Empty(account) => {
                let why = "no reason supplied";
                return write!(f, "Auth callout violation: {why:?} on account {account:?}");
            }
            Self::Sealed(account, why) => {
                let what = "Error decrypting auth callout response";
                return write!(f, "{what} on account {account:?}: {why}");
            }
            Self::Fault(fault) => &titled(&fault.to_string()),
            Self::Response(why) => {
                return write!(f, "Authorization response had validation errors: {why}");
            }
            Self::OtherUser => {
                "Auth callout violation: auth callout response is not for expected user"
            }
            Self::OtherServer => "Auth callout violation: auth callout response is not for server",
            Self::OtherAccount(seen) => {
                let what = "Auth callout response issuer account";
                return write!(f, "{what} {seen:?} is not the callout account");
            }
            Self::UnknownSigner => "Auth callout signing key is unknown",
            Self::Error(why) => {
                return write!(f, "Auth callout service returned an error: {why}");
            }
            _ => return self.tell_of_user(f),
        };
        f.write_str(text)
    }
}

impl Refusal {
    /// Where it is about the claims of the user, not about the answer around them.
    fn tell_of_user(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(why) => write!(f, "Error validating user JWT: {why}"),
            Self::WrongUser { expected, seen, account } => write!(
                f,
                "Expected authorized user of {expected:?} but got {seen:?} on account {account:?}"
            ),
            Self::Times(account) => {
                let what = "outside of valid connect times";
                write!(f, "Authorized user on account {account:?} {what}")
            }
            Self::Kinds(account) => {
                let what = "using invalid connection type";
                write!(f, "Authorized user on account {account:?} {what}")
            }
            Self::IssuerAccount(account) => {
                let what = "attempted to use issuer_account";
                write!(f, "Error non operator mode account {account:?}: {what}")
            }
            Self::Issuer { account, expected, seen } => write!(
                f,
                "Wrong issuer for auth callout response on account {account:?}, expected \
                 {expected:?} got {seen:?}"
            ),
            Self::UnknownIssuer(issuer) => write!(f, "User JWT issuer {issuer:?} is not known"),
            Self::NotAllowed { wanted, account } => write!(
                f,
                "Account {wanted:?} not permitted as valid account option for auth callout for \
                 account {account:?}"
            ),
            Self::NoAccount { wanted, account, why } => write!(
                f,
                "No valid account {wanted:?} for auth callout response on account {account:?}: \
                 {why}"
            ),
            Self::Role(why) => write!(f, "User JWT is not valid: {why}"),
            Self::Template(why) => write!(f, "User JWT generated invalid permissions: {why}"),
            Self::Permissions(why) => write!(f, "Could not register auth callout user: {why}"),
            _ => f.write_str("Proxy connection required"),
        }
    }

    /// What the shard is told.
    pub(in crate::auth) const fn told(&self) -> options::Refusal {
        match self {
            Self::ProxyRequired => options::Refusal::ProxyRequired,
            _ => options::Refusal::Credentials,
        }
    }
}

/// The same text, beginning with a capital.
fn titled(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(letters).collect()
}

/// An answer as it arrived, and what it must be about.
#[derive(Clone, Copy, Debug)]
pub(in crate::auth) struct Received<'a> {
    pub(in crate::auth) payload: &'a [u8],
    /// The user of the question.
    pub(in crate::auth) user: &'a str,
    /// Who asked.
    pub(in crate::auth) server: &'a str,
    /// In which account.
    pub(in crate::auth) account: &'a str,
    /// What the question was sealed with, and for whom.
    pub(in crate::auth) sealed: Option<(&'a CurveKey, &'a PublicKey)>,
}

impl Received<'_> {
    /// The claims about the user, whose issuer nobody has looked at yet. `trusts` is given the
    /// claims of the answer and whether they were sealed, and tells if they are from the service.
    pub(in crate::auth) fn open(
        &self,
        trusts: &dyn Fn(&AuthorizationResponseClaims, bool) -> Result<(), Refusal>,
    ) -> Result<UserClaims, Refusal> {
        let account = || self.account.to_owned();
        if self.payload.is_empty() {
            return Err(Refusal::Empty(account()));
        }
        let opened = match self.sealed.filter(|_| !self.payload.starts_with(JWT_PREFIX)) {
            Some((ours, theirs)) => Some(
                ours.open(self.payload, theirs).map_err(|why| Refusal::Sealed(account(), why))?,
            ),
            None => None,
        };
        let text = String::from_utf8_lossy(opened.as_deref().unwrap_or(self.payload));
        let claims = AuthorizationResponseClaims::decode(&text).map_err(Refusal::Fault)?;
        if let Some(issue) = claims.issues(now()).first() {
            return Err(Refusal::Response(issue.to_owned()));
        }
        if claims.subject != self.user {
            return Err(Refusal::OtherUser);
        }
        if claims.audience != self.server {
            return Err(Refusal::OtherServer);
        }
        trusts(&claims, opened.is_some())?;
        if !claims.body.error.is_empty() {
            return Err(Refusal::Error(claims.body.error));
        }
        let user = UserClaims::decode(&claims.body.jwt).map_err(Refusal::Fault)?;
        if let Some(issue) = user.issues(now()).first() {
            return Err(Refusal::User(issue.to_owned()));
        }
        if user.subject != self.user {
            let (expected, seen) = (self.user.to_owned(), user.subject);
            return Err(Refusal::WrongUser { expected, seen, account: account() });
        }
        Ok(user)
    }
}

/// Says what a client is to be by an answer, or logs why nothing.
pub(in crate::auth) fn settle(answer: Answer, decided: Result<Grant, Refusal>) {
    let decided = decided.inspect_err(|why| warn!("{why}"));
    answer.tell(decided.map_err(|why| why.told()));
}

/// How long a user of the service may stay, if not for ever; whether it may connect at all. Which
/// kind of connection it has is not looked at, nor from where, as with nats-server: that is for the
/// service, which was told both.
pub(in crate::auth) fn check(
    user: &UserClaims,
    account: &str,
    shown: &str,
    vouched: bool,
) -> Result<Option<Duration>, Refusal> {
    let now = now();
    let limits = &user.body.limits;
    if limits.proxy_required && !vouched {
        return Err(Refusal::ProxyRequired);
    }
    let until = |expires: i64| Duration::from_secs(u64::try_from(expires - now).unwrap_or(0));
    let expires = (user.expires > 0).then(|| until(user.expires));
    let at = Timestamp::from_second(now).unwrap_or_default();
    let stays = match schedule::allowed(&limits.times, &limits.locale, at) {
        Allowed::Never => {
            error!("{shown}Outside connect times");
            return Err(Refusal::Times(account.to_owned()));
        }
        Allowed::Always => expires,
        Allowed::For(time) => Some(expires.map_or(time, |expires| expires.min(time))),
    };
    let (kinds, unknown) = Kinds::named(limits.allowed_connection_types.iter().map(String::as_str));
    if !unknown.is_empty() {
        debug!("{shown}invalid connection types {unknown:?}");
        // Names from the future let nobody in whom the others do not.
        if kinds.is_all() {
            return Err(Refusal::Kinds(account.to_owned()));
        }
    }
    Ok(stays)
}
