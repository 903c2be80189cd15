//! Auth callout: a service decides who may connect, and as what.
//!
//! | file | what |
//! | --- | --- |
//! | [`caller`] | what is known of a client that wants in |
//! | [`desk`] | the server as one who asks: its keys, what it says of itself, who carries questions |
//! | [`request`] | from that to a question, signed and perhaps sealed |
//! | [`response`] | from an answer to the claims of a user, or why it counts for nothing |
//!
//! The usual judge is asked first. What it says stands for users that were meant to log in without
//! the service (`auth_users`), right or wrong, and for accounts that are not delegated to it. For
//! all others the service decides alone: a password that is right does not help, and one that is
//! wrong is sent to it all the same. The order is that of nats-server.
//!
//! A question is made by a thread that judges, and carried by another, which wakes up for the
//! answer: nothing waits. How many may be open is for who carries them.

#![deny(clippy::indexing_slicing)]

mod caller;
pub mod desk;
mod request;
pub(in crate::auth) mod response;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ringbus_shard::authorize::Permissions;
use ringbus_shard::ids::AccountId;
use ringbus_shard::options::{Answer, Grant, Job, Outcome, Verdict};
use tracing::{debug, error, warn};

use super::accounts::{Account, GLOBAL};
use super::jwt::UserClaims;
use super::nkey::PublicKey;
use super::operator;

pub use self::caller::Caller;
pub(super) use self::caller::Presented;
pub use self::desk::{Courier, Desk, Echo, Question};

use self::response::Refusal;

/// Where questions are asked.
pub const SUBJECT: &str = "$SYS.REQ.USER.AUTH";

/// Who decides, as a configuration has it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    /// Public key of an account, which signs answers.
    pub issuer: String,
    /// Name of the account in which the service listens.
    pub account: String,
    /// Users who log in without it.
    pub users: HashSet<String>,
    /// Public key of the service, if questions are sealed.
    pub xkey: Option<PublicKey>,
    /// Accounts whose users are left to it; all if there are none.
    pub allowed: HashSet<String>,
}

/// A service that decides.
#[derive(Debug)]
pub struct Callout {
    terms: Terms,
    /// Those in force, by name.
    accounts: HashMap<Arc<str>, Account>,
    desk: Desk,
}

/// What becomes of a client after the usual judge has spoken.
#[derive(Debug)]
enum Course {
    /// What it said stands.
    Stands(Outcome),
    /// The service decides.
    Asked,
}

impl Callout {
    /// By these terms, where these accounts are in force.
    pub(super) fn new(terms: Terms, accounts: &[Account], desk: Desk) -> Self {
        let by_name = |account: &Account| (Arc::clone(&account.name), account.clone());
        Self { terms, accounts: accounts.iter().map(by_name).collect(), desk }
    }

    /// What the log should say of terms that lead nowhere. `is_user` tells who is one.
    pub(super) fn complain(&self, is_user: impl Fn(&str) -> bool) {
        let Terms { account, users, .. } = &self.terms;
        if !self.accounts.contains_key(account.as_str()) {
            error!("Authorization callout account {account:?} not valid");
        }
        let mut unknown: Vec<&String> = users.iter().filter(|user| !is_user(user)).collect();
        unknown.sort();
        for user in unknown {
            error!("Authorization callout user {user:?} not valid: no such user");
        }
    }

    /// Goes on where the usual judge said this.
    pub(super) fn judge(self: &Arc<Self>, said: Verdict, caller: Caller) -> Verdict {
        let this = Arc::clone(self);
        said.and_then(move |outcome| match this.course(outcome, caller.found.as_deref()) {
            Course::Stands(outcome) => Verdict::known(outcome),
            Course::Asked => {
                // Two signatures and a seal first; nobody waits for the answer.
                let account = this.service().map_or(AccountId::GLOBAL, |service| service.id);
                let job = Job::new(move |answer| this.ask(&caller, answer));
                Verdict::Later(job.patiently(account))
            }
        })
    }

    /// Who is none of the users is in the global account, and so left to the service.
    fn course(&self, outcome: Outcome, found: Option<&str>) -> Course {
        let Terms { users, allowed, .. } = &self.terms;
        let account = outcome.as_ref().map_or(GLOBAL, |grant| &grant.account_name);
        if account != GLOBAL && !allowed.is_empty() && !allowed.contains(account) {
            return Course::Stands(outcome);
        }
        if found.is_some_and(|user| !user.is_empty() && users.contains(user)) {
            return Course::Stands(outcome.map(|grant| self.guarded(grant)));
        }
        Course::Asked
    }

    /// Whoever is in the account of the service may not ask it in the name of the server.
    fn guarded(&self, grant: Grant) -> Grant {
        if *grant.account_name == *self.terms.account { without_asking(grant) } else { grant }
    }

    /// The account in which the service listens, if there is such an account.
    fn service(&self) -> Option<&Account> {
        self.accounts.get(self.terms.account.as_str())
    }

    fn ask(self: &Arc<Self>, caller: &Caller, answer: Answer) {
        let Terms { issuer, account, xkey, .. } = &self.terms;
        let Some(service) = self.service() else {
            warn!("No valid account {account:?} for auth callout request: account missing");
            return;
        };
        let (this, shown, said) = (Arc::clone(self), caller.shown.clone(), caller.user());
        let vouched = caller.vouched;
        let asked = desk::Asked { account: service, issuer, xkey: xkey.as_ref(), caller };
        self.desk.ask(&asked, answer, move |received, answer| {
            response::settle(answer, this.decide(received, &shown, &said, vouched));
        });
    }

    /// What a client is to be by an answer.
    fn decide(
        &self,
        answer: response::Received<'_>,
        shown: &str,
        said: &String,
        vouched: bool,
    ) -> Result<Grant, Refusal> {
        let user = answer.open(&|claims, sealed| {
            // What is sealed is from the service, whoever signed.
            let by = sealed || claims.issuer == self.terms.issuer;
            by.then_some(()).ok_or(Refusal::UnknownSigner)
        })?;
        let stays = response::check(&user, &self.terms.account, shown, vouched)?;
        let account = self.target(&user)?;
        Ok(self.guarded(grant(&user, said, account, stays)?))
    }

    fn target(&self, user: &UserClaims) -> Result<&Account, Refusal> {
        let Terms { issuer, account, .. } = &self.terms;
        if !user.body.issuer_account.is_empty() {
            return Err(Refusal::IssuerAccount(account.clone()));
        }
        if user.issuer != *issuer {
            let (expected, seen) = (issuer.clone(), user.issuer.clone());
            return Err(Refusal::Issuer { account: account.clone(), expected, seen });
        }
        let name = &user.audience;
        let found = self.accounts.get(name.as_str());
        found.ok_or_else(|| Refusal::NoAccount {
            wanted: name.clone(),
            account: account.clone(),
            why: "account missing".to_owned(),
        })
    }
}

/// What a user of the service is. Bounds of claims do not count here, as with nats-server; those of
/// the account do.
fn grant(
    user: &UserClaims,
    said: &String,
    account: &Account,
    stays: Option<Duration>,
) -> Result<Grant, Refusal> {
    let permissions = operator::permissions(&user.body.limits.permissions());
    let permissions = permissions.map_err(Refusal::Permissions)?;
    let name = Some(&user.name).filter(|name| !name.is_empty());
    Ok(Grant {
        account: account.id,
        account_name: Arc::clone(&account.name),
        user: Some(name.unwrap_or(said))
            .filter(|user| !user.is_empty())
            .map(|user| user.as_str().into()),
        renamed: name.is_some(),
        permissions,
        stays,
        ..Grant::default()
    })
}

/// The same, but without the right to ask the service that decides.
pub(super) fn without_asking(grant: Grant) -> Grant {
    let mut rules = grant.permissions.as_ref().map(|it| it.rules().clone()).unwrap_or_default();
    if rules.publish.deny.iter().any(|denied| denied == SUBJECT) {
        return grant;
    }
    rules.publish.deny.push(SUBJECT.to_owned());
    let permissions = Permissions::new(rules).unwrap_or_else(|bad| {
        // They were compiled before. Whatever this is, it allows nothing.
        debug!("Rules that are none: {bad}");
        Permissions::nothing()
    });
    Grant { permissions: Some(Arc::new(permissions)), ..grant }
}

/// What the fuzzer does with a file of bytes: takes it for an answer, open or sealed, and for the
/// claims of one, which are signed here. Nobody is let in whose claims the issuer did not sign, and
/// nobody else than who was asked about.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    use super::jwt::{AuthorizationResponseClaims, token};
    use super::nkey::{KeyPair, Role};
    use super::xkey::{self, CurveKey};

    xkey::fuzz(data);
    let key = |role, seed| KeyPair::new(role, &[seed; 32]);
    let (issuer, user, server) =
        (key(Role::Account, 1), key(Role::User, 2).public(), key(Role::Server, 3).public());
    let (ours, theirs) = (CurveKey::new(&[4; 32]), CurveKey::new(&[5; 32]));
    let open = |payload: &[u8]| {
        let received = response::Received {
            payload,
            user: &user,
            server: &server,
            account: "AUTH",
            sealed: Some((&ours, theirs.public())),
        };
        let trusts = |claims: &AuthorizationResponseClaims, sealed: bool| {
            let by = sealed || claims.issuer == issuer.public();
            by.then_some(()).ok_or(Refusal::UnknownSigner)
        };
        let opened = received.open(&trusts);
        if let Ok(claims) = &opened {
            assert_eq!(claims.subject, user);
            let _ = response::check(claims, "AUTH", "", true);
            let _ = operator::permissions(&claims.body.limits.permissions());
        }
        opened.map_err(|why| why.to_string()).is_ok()
    };
    assert!(!open(data), "nobody signed it");
    // As claims about a user, in an answer that is as it should be.
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::from_slice(data) else { return };
    fields.insert("iss".to_owned(), issuer.public().into());
    let jwt = token::seal(&serde_json::to_vec(&fields).unwrap_or_default(), &issuer);
    let mut claims = AuthorizationResponseClaims {
        subject: user.clone(),
        audience: server.clone(),
        ..AuthorizationResponseClaims::default()
    };
    claims.body.jwt = jwt;
    let text = claims.sign_at(&issuer, 1);
    let in_the_open = open(text.as_bytes());
    let sealed = theirs.seal(text.as_bytes(), ours.public()).expect("a usual key");
    assert_eq!(open(&sealed), in_the_open);
    // Signed by somebody else it counts only if it is sealed.
    let text = claims.sign_at(&key(Role::Account, 6), 1);
    assert!(!open(text.as_bytes()));
}
