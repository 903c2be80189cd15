//! Whether the claims of a user let somebody in.
//!
//! The order of the checks is that of nats-server, and so is what the log says of a refusal; a
//! client hears nothing but that it was refused.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use jiff::Timestamp;
use ringbus_shard::options::{ConnectionKind, Proof};
use ringbus_shard::wire::secret::Secret;

use super::registry::{Known, Unfit};
use crate::auth::Kinds;
use crate::auth::callout::Caller;
use crate::auth::jwt::key::PublicKey;
use crate::auth::jwt::limits::UserLimits;
use crate::auth::jwt::schedule::{self, Allowed};
use crate::auth::jwt::template::{self, Person};
use crate::auth::jwt::{Fault, Issues, UserClaims, source};

/// What a client offers, and what else is known of it.
#[derive(Debug)]
pub struct Facts {
    /// The claims that it brings.
    pub jwt: Secret,
    /// Its signature of the nonce.
    pub signature: Secret,
    /// What it was given to sign.
    pub nonce: Vec<u8>,
    /// From where it connects.
    pub address: IpAddr,
    /// How.
    pub kind: ConnectionKind,
    /// What it has proved before, if it is judged again.
    pub proof: Option<Proof>,
    /// Key of the trusted proxy through which it comes.
    pub proxy: Option<Arc<str>>,
    /// How the log calls it.
    pub shown: String,
    /// What a service would be told of it.
    pub caller: Caller,
}

/// Why somebody is not let in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Refusal {
    /// It brought no claims.
    NoClaims,
    /// Claims that cannot be believed.
    Unreadable(Fault),
    /// It would have to come through a proxy.
    ProxyRequired,
    /// Claims that do not hold, or not now.
    NoLonger(Issues),
    /// An account that may not connect.
    NotPinned(String),
    /// No such account.
    NoAccount(Unfit),
    /// A key signed that is none of the account.
    UnknownIssuer,
    /// Claims for a role that say more than that.
    Scope(&'static str),
    /// A role that cannot be filled in.
    Template(template::Unfit),
    /// The account has expired.
    AccountExpired,
    /// Claims alone are not enough for this account.
    Bearer,
    /// No kind of connection that it may have is known.
    UnknownKinds(Vec<String>),
    /// It may not connect like this.
    Kind,
    /// It signed nothing.
    NoSignature,
    /// It signed, but not in base64.
    BadSignature,
    /// The claims are not about a user's key.
    BadKey,
    /// Somebody else signed, or something else.
    Signature,
    /// The account took back its claims.
    Revoked,
    /// It may not connect from there.
    Source(IpAddr),
    /// It may not connect now.
    Times,
    /// Its permissions are none.
    Permissions,
}

impl Refusal {
    /// Whether nats-server makes an error of it, or does not know it at all.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Times | Self::Template(template::Unfit::Value(_)))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable(fault) => return write!(f, "User JWT not valid: {fault}"),
            Self::NoLonger(issues) => return write!(f, "User JWT no longer valid: {issues}"),
            Self::NotPinned(key) => {
                return write!(f, "Account {key} not listed as operator pinned account");
            }
            Self::NoAccount(why) => return write!(f, "Account JWT lookup error: {why}"),
            Self::Scope(why) => return write!(f, "User JWT is not valid: {why}"),
            Self::UnknownKinds(kinds) => return write!(f, "invalid connection types {kinds:?}"),
            Self::Source(address) => return write!(f, "Bad src Ip {address}"),
            Self::NoClaims => "Authentication requires a user JWT",
            Self::ProxyRequired => "proxy connection required",
            Self::UnknownIssuer => "User JWT issuer is not known",
            Self::Template(why) => {
                return write!(f, "User JWT generated invalid permissions: {why}");
            }
            Self::Permissions => "User JWT generated invalid permissions",
            Self::AccountExpired => "Account JWT has expired",
            Self::Bearer => "Account does not allow bearer tokens",
            Self::Kind => "Connection type not allowed",
            Self::NoSignature => "Signature missing",
            Self::BadSignature => "Signature not valid base64",
            Self::BadKey => "User nkey not valid",
            Self::Signature => "Signature not verified",
            Self::Revoked => "User authentication revoked",
            Self::Times => "Outside connect times",
        })
    }
}

/// A name that is not a key.
#[derive(Clone, Debug)]
pub(super) struct Called {
    pub(super) name: Arc<str>,
    /// A service gave it; else the client did itself.
    pub(super) renamed: bool,
}

/// Somebody who is let in.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    /// Its account.
    pub(super) known: Arc<Known>,
    /// Its public key.
    pub(super) user: String,
    /// Its name, for people.
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    /// Public key of who signed its claims.
    pub(super) issuer: String,
    /// Whether that is a signing key.
    pub(super) by_signing_key: bool,
    pub(super) issued: i64,
    pub(super) bearer: bool,
    /// Permissions and bounds, those of its role filled in.
    pub(super) limits: UserLimits,
    /// Key of the trusted proxy through which it came.
    pub(super) proxy: Option<Arc<str>>,
    /// What it is called, if that is not its key.
    pub(super) called: Option<Called>,
    /// How long it may stay.
    pub(super) stays: Option<Duration>,
}

/// Checks what the claims of a user say without their account.
pub(super) fn check_user(user: &UserClaims, facts: &Facts, now: i64) -> Result<(), Refusal> {
    if user.body.limits.proxy_required && facts.proxy.is_none() {
        return Err(Refusal::ProxyRequired);
    }
    let issues = user.issues(now);
    if issues.block() { Err(Refusal::NoLonger(issues)) } else { Ok(()) }
}

/// Checks as much of the signature as can be without the account: nobody has it looked up who only
/// says that he is somebody.
pub(super) fn check_proof(user: &UserClaims, facts: &Facts) -> Result<(), Refusal> {
    // A role may let somebody in without; which of them have one only the account knows.
    let may_have_role = !user.body.issuer_account.is_empty() && facts.signature.is_empty();
    if user.body.limits.bearer || may_have_role {
        return Ok(());
    }
    check_signature(&user.subject, facts)
}

/// Checks the rest, and says what the user is.
pub(super) fn admit(
    user: UserClaims,
    known: Arc<Known>,
    facts: &Facts,
    now: i64,
) -> Result<Admission, Refusal> {
    let limits = role(&user, &known)?;
    if limits.proxy_required && facts.proxy.is_none() {
        return Err(Refusal::ProxyRequired);
    }
    if known.is_over(now) {
        return Err(Refusal::AccountExpired);
    }
    if limits.bearer && known.claims.body.limits.disallow_bearer {
        return Err(Refusal::Bearer);
    }
    check_kind(&limits.allowed_connection_types, facts.kind)?;
    if !limits.bearer {
        check_signature(&user.subject, facts)?;
    }
    if known.claims.body.revocations.cover(&user.subject, user.issued) {
        return Err(Refusal::Revoked);
    }
    if !source::admits(&limits.src, facts.address) {
        return Err(Refusal::Source(facts.address));
    }
    let until = |expires: i64| Duration::from_secs(u64::try_from(expires - now).unwrap_or(0));
    let expires = (user.expires > 0).then(|| until(user.expires));
    let at = Timestamp::from_second(now).unwrap_or_default();
    let stays = match schedule::allowed(&limits.times, &limits.locale, at) {
        Allowed::Never => return Err(Refusal::Times),
        Allowed::Always => expires,
        Allowed::For(time) => Some(expires.map_or(time, |expires| expires.min(time))),
    };
    Ok(Admission {
        known,
        by_signing_key: !user.body.issuer_account.is_empty(),
        issued: user.issued,
        bearer: limits.bearer,
        limits,
        stays,
        proxy: facts.proxy.clone(),
        called: None,
        user: user.subject,
        name: user.name,
        tags: user.body.generic.tags,
        issuer: user.issuer,
    })
}

/// The permissions and bounds of a user: its own, or those of the role for which its signer signs.
pub(super) fn role(user: &UserClaims, known: &Known) -> Result<UserLimits, Refusal> {
    let scope = match known.signer(&user.issuer) {
        None => return Err(Refusal::UnknownIssuer),
        Some(None) => return Ok(user.body.limits.clone()),
        Some(Some(scope)) => scope,
    };
    if user.issuer != scope.key {
        return Err(Refusal::Scope("issuer not the scoped signer"));
    }
    if !user.has_no_limits() {
        return Err(Refusal::Scope("scoped users require no permissions or limits set"));
    }
    let person = Person {
        name: &user.name,
        subject: &user.subject,
        tags: &user.body.generic.tags,
        account_name: &known.claims.name,
        account_subject: &user.body.issuer_account,
        account_tags: &known.claims.body.generic.tags,
    };
    template::apply(&scope.template, person).map_err(Refusal::Template)
}

fn check_kind(allowed: &[String], kind: ConnectionKind) -> Result<(), Refusal> {
    if allowed.is_empty() {
        return Ok(());
    }
    let (kinds, unknown) = Kinds::named(allowed.iter().map(String::as_str));
    // Names from the future let nobody in whom the others do not.
    if kinds.is_all() {
        return Err(Refusal::UnknownKinds(unknown));
    }
    if kinds.allow(kind) { Ok(()) } else { Err(Refusal::Kind) }
}

fn check_signature(subject: &str, facts: &Facts) -> Result<(), Refusal> {
    let key = Secret::from(subject.to_owned());
    if facts.proof.as_ref().is_some_and(|proof| proof.is_of(&key)) {
        return Ok(());
    }
    let text = facts.signature.expose();
    if text.is_empty() {
        return Err(Refusal::NoSignature);
    }
    let signature = BASE64URL_NOPAD
        .decode(text.as_bytes())
        .or_else(|_| BASE64.decode(text.as_bytes()))
        .map_err(|_| Refusal::BadSignature)?;
    let key = PublicKey::parse(subject).ok_or(Refusal::BadKey)?;
    // Without a nonce every signature of nothing would do.
    if !facts.nonce.is_empty() && key.verify(&facts.nonce, &signature) {
        Ok(())
    } else {
        Err(Refusal::Signature)
    }
}
