//! What a client that was let in stands on, and whether it still does.
//!
//! Claims about its account may change, hold no more, or be gone. Then its shard asks here, which
//! takes a lock that is held for moments and no signature.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ringbus_shard::account::Allowance;
use ringbus_shard::authorize::{Lists, Permissions, Responses, Rules};
use ringbus_shard::error::Violation;
use ringbus_shard::options::{Grant, Proof, Review, Standing};
use ringbus_shard::wire::secret::Secret;

use super::login::Admission;
use super::registry::{Known, Registry};
use crate::auth::callout::without_asking;
use crate::auth::jwt::claims::now;
use crate::auth::jwt::limits;
use crate::auth::jwt::signers::Scope;

/// Longest time that anybody is let in for at once: claims may hold until the end of days.
const STAY_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A client with claims.
#[derive(Debug)]
struct Claimed {
    registry: Arc<Registry>,
    admission: Admission,
    /// When its time is over.
    until: Option<Instant>,
    /// Permissions of its account, if it has none of its own.
    defaults: Option<limits::Permissions>,
}

impl Admission {
    /// What the client is; nothing if its permissions are none.
    pub(super) fn grant(self, registry: &Arc<Registry>) -> Option<Grant> {
        let has_own = self.limits.permissions() != limits::Permissions::default();
        let defaults = (!has_own).then(|| self.known.claims.body.default_permissions.clone());
        let until = self.stays.map(|stays| Instant::now() + stays.min(STAY_MAX));
        let registry = Arc::clone(registry);
        Arc::new(Claimed { registry, admission: self, until, defaults }).grant()
    }

    /// The role that its signer signs for.
    fn scope<'a>(&self, known: &'a Known) -> Option<Option<&'a Scope>> {
        known.signer(&self.issuer)
    }
}

impl Claimed {
    fn grant(self: Arc<Self>) -> Option<Grant> {
        let Admission { known, limits, user, proxy, called, .. } = &self.admission;
        let account = &known.claims.body.limits;
        let own = limits.permissions();
        let permissions = compile(self.defaults.as_ref().unwrap_or(&own)).ok()?;
        let proof = Proof::of(&Secret::from(user.clone()));
        let has_service = known.claims.body.authorization.is_enabled();
        let grant = Grant {
            account: known.account.id,
            account_name: Arc::clone(&known.account.name),
            user: match called {
                None => Some(user.as_str().into()),
                Some(called) => Some(Arc::clone(&called.name)).filter(|name| !name.is_empty()),
            },
            renamed: called.as_ref().is_some_and(|called| called.renamed),
            permissions,
            proxy: proxy.clone(),
            // About whom a service was asked, it is asked again.
            proof: Some(proof).filter(|_| !limits.bearer && called.is_none()),
            stays: self.until.map(|until| until.saturating_duration_since(Instant::now())),
            allowance: allowance(limits.subs, limits.payload)
                .and(allowance(account.subs, account.payload)),
            places: bound(account.connections)
                .and_then(|most| self.registry.places(known.account.id, most)),
            standing: Some(Arc::clone(&self) as Arc<dyn Standing>),
        };
        Some(if has_service { without_asking(grant) } else { grant })
    }

    fn violation(&self, known: &Known) -> Option<Violation> {
        let Admission { user, issued, bearer, by_signing_key, .. } = &self.admission;
        let claims = &known.claims.body;
        if known.is_over(now()) {
            return Some(Violation::AccountExpired);
        }
        if *bearer && claims.limits.disallow_bearer {
            return Some(Violation::Authorization);
        }
        if claims.revocations.cover(user, *issued) {
            return Some(Violation::Revoked);
        }
        let (was, is) = (&self.admission.known, known);
        let same_role = self.admission.scope(was) == self.admission.scope(is);
        (*by_signing_key && !same_role).then_some(Violation::SignerGone)
    }
}

impl Standing for Claimed {
    fn review(&self) -> Review {
        let Some(known) = self.registry.get(&self.admission.known.account.name) else {
            return Review::Over(Violation::AccountExpired);
        };
        if let Some(violation) = self.violation(&known) {
            return Review::Over(violation);
        }
        let defaults = &known.claims.body.default_permissions;
        let same_defaults = self.defaults.as_ref().is_none_or(|have| have == defaults);
        if same_defaults && bounds(&known) == bounds(&self.admission.known) {
            return Review::Holds;
        }
        let changed = Self {
            registry: Arc::clone(&self.registry),
            admission: Admission { known: Arc::clone(&known), ..self.admission.clone() },
            until: self.until,
            defaults: self.defaults.as_ref().map(|_| defaults.clone()),
        };
        match Arc::new(changed).grant() {
            Some(grant) => Review::Changed(Box::new(grant)),
            None => Review::Over(Violation::Authorization),
        }
    }
}

/// What an account may have that bounds its clients.
fn bounds(known: &Known) -> [i64; 3] {
    let limits = &known.claims.body.limits;
    [limits.subs, limits.payload, limits.connections]
}

/// A number of claims as a bound: below zero there is none.
fn bound(count: i64) -> Option<usize> {
    usize::try_from(count).ok()
}

fn allowance(subs: i64, payload: i64) -> Allowance {
    Allowance { subscriptions: bound(subs), payload: bound(payload) }
}

/// Permissions of claims as they are enforced; nothing if everything is allowed.
pub(in crate::auth) fn compile(
    from: &limits::Permissions,
) -> Result<Option<Arc<Permissions>>, String> {
    if *from == limits::Permissions::default() {
        return Ok(None);
    }
    // An empty list is none.
    let lists = |lists: &limits::Permission| Lists {
        allow: Some(lists.allow.clone()).filter(|allow| !allow.is_empty()),
        deny: lists.deny.clone(),
    };
    let responses = from.responses.as_ref().map(|responses| {
        let usual = Responses::default();
        Responses {
            max: match responses.count_max {
                0 => usual.max,
                count => u64::try_from(count).ok(),
            },
            ttl: match responses.expires {
                0 => usual.ttl,
                nanos => u64::try_from(nanos).ok().map(Duration::from_nanos),
            },
        }
    });
    let rules =
        Rules { publish: lists(&from.publish), subscribe: lists(&from.subscribe), responses };
    let permissions = Permissions::new(rules).map_err(|bad| bad.to_string())?;
    Ok(Some(Arc::new(permissions)))
}
