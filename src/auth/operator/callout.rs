//! Operator mode: accounts whose claims name a service that decides who may connect.
//!
//! Claims that hold come first: a client that has none, or whose account does not let it in, is
//! refused without a question. Then the service of its account decides, unless the client is one
//! of the users that are the service. It may let it into its own account, or into another that its
//! claims allow; a key of that account must have signed for the user, with the role of that key.

use std::sync::Arc;
use std::time::Duration;

use ringbus_shard::options::{Answer, Grant};

use super::Operators;
use super::login::{self, Admission, Called, Facts};
use super::registry::{Known, Unfit};
use crate::auth::callout::desk::Asked;
use crate::auth::callout::response::{self, Received, Refusal};
use crate::auth::jwt::UserClaims;
use crate::auth::jwt::account::ExternalAuthorization;
use crate::auth::jwt::limits::UNLIMITED;
use crate::auth::nkey::PublicKey;

/// The service of an account, if it has one.
fn service(known: &Known) -> Option<&ExternalAuthorization> {
    Some(&known.claims.body.authorization).filter(|service| service.is_enabled())
}

/// Whether a service decides about somebody who would be let in.
pub(super) fn decides(admission: &Admission) -> bool {
    let is_asked = |service: &ExternalAuthorization| !service.auth_users.contains(&admission.user);
    service(&admission.known).is_some_and(is_asked)
}

/// Whether a service may let users of its account into that one.
fn allows(known: &Known, account: &str) -> bool {
    let allowed = &known.claims.body.authorization.allowed_accounts;
    *known.account.name == *account
        || matches!(&allowed[..], [all] if all == "*")
        || allowed.iter().any(|allowed| allowed == account)
}

impl Operators {
    /// Asks the service of its account about somebody who would be let in.
    pub(super) fn ask(self: &Arc<Self>, facts: Facts, admission: Admission, answer: Answer) {
        let Admission { known, user, name, tags, .. } = admission;
        let key = &known.claims.body.authorization.xkey;
        let xkey = PublicKey::parse(key);
        if xkey.is_none() && !key.is_empty() {
            // It was looked at when the claims came into force.
            return;
        }
        let Facts { caller, jwt, proxy, shown, .. } = facts;
        let caller = caller.with_claims(&jwt, &user, &tags, &name);
        let (this, service) = (Arc::clone(self), Arc::clone(&known));
        let said = caller.user();
        let decide = move |received: Received<'_>, answer: Answer| {
            let asker = Asker { operators: this, service, proxy, said };
            match asker.open(&received, &shown) {
                Ok((user, stays)) => asker.place(user, stays, answer),
                Err(why) => response::settle(answer, Err(why)),
            }
        };
        let asked = Asked {
            account: &known.account,
            issuer: &known.account.name,
            xkey: xkey.as_ref(),
            caller: &caller,
        };
        self.desk.ask(&asked, answer, decide);
    }
}

/// Somebody about whom a service was asked.
struct Asker {
    operators: Arc<Operators>,
    service: Arc<Known>,
    proxy: Option<Arc<str>>,
    /// Who it said it is.
    said: String,
}

impl Asker {
    fn account(&self) -> &str {
        &self.service.account.name
    }

    /// The claims about the user, and how long it may stay.
    fn open(
        &self,
        received: &Received<'_>,
        shown: &str,
    ) -> Result<(UserClaims, Option<Duration>), Refusal> {
        let account = self.account();
        let user = received.open(&|claims, sealed| {
            let named = &claims.body.issuer_account;
            if sealed {
                // What is sealed is from the service, whoever signed.
                return Ok(());
            }
            if !named.is_empty() && named != account {
                return Err(Refusal::OtherAccount(named.clone()));
            }
            let known = claims.issuer == account || self.service.signer(&claims.issuer).is_some();
            known.then_some(()).ok_or(Refusal::UnknownSigner)
        })?;
        let stays = response::check(&user, account, shown, self.proxy.is_some())?;
        Ok((user, stays))
    }

    /// Finds the account of the user.
    fn place(self, user: UserClaims, stays: Option<Duration>, answer: Answer) {
        let key = user.account().to_owned();
        if !allows(&self.service, &key) {
            let (wanted, account) = (user.issuer, self.account().to_owned());
            return response::settle(answer, Err(Refusal::NotAllowed { wanted, account }));
        }
        let registry = Arc::clone(self.operators.registry());
        registry.ask(&key.clone(), move |found| {
            response::settle(answer, self.admit(user, stays, &key, found));
        });
    }

    fn admit(
        self,
        user: UserClaims,
        stays: Option<Duration>,
        key: &str,
        found: Result<Arc<Known>, Unfit>,
    ) -> Result<Grant, Refusal> {
        let known = found.map_err(|why| Refusal::NoAccount {
            wanted: key.to_owned(),
            account: self.account().to_owned(),
            why: why.to_string(),
        })?;
        let mut limits = login::role(&user, &known).map_err(|why| match why {
            login::Refusal::UnknownIssuer => Refusal::UnknownIssuer(user.issuer.clone()),
            login::Refusal::Scope(why) => Refusal::Role(why),
            why => Refusal::Template(why.to_string()),
        })?;
        if limits.proxy_required && self.proxy.is_none() {
            return Err(Refusal::ProxyRequired);
        }
        // Bounds of claims do not count here, as with nats-server; those of the account do.
        (limits.subs, limits.payload, limits.bearer) = (UNLIMITED, UNLIMITED, false);
        let renamed = !user.name.is_empty();
        let name = if renamed { user.name.as_str() } else { &self.said };
        let called = Some(Called { name: name.into(), renamed });
        let admission = Admission {
            known,
            by_signing_key: !user.body.issuer_account.is_empty(),
            issued: user.issued,
            bearer: false,
            limits,
            stays,
            proxy: self.proxy,
            called,
            user: user.subject,
            name: user.name,
            tags: user.body.generic.tags,
            issuer: user.issuer,
        };
        let grant = admission.grant(self.operators.registry());
        grant.ok_or_else(|| Refusal::Permissions("its permissions are none".to_owned()))
    }
}
