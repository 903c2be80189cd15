//! Operator mode: accounts that an operator has signed, users whom accounts have signed.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `callout` | accounts whose claims name a service that decides instead |
//! | `keeper` | the thread that watches the clock |
//! | `login` | whether the claims of a user let somebody in: claims and facts to an admission |
//! | `lookup` | accounts that nobody has heard of are looked up, one by one |
//! | `registry` | the accounts that are known, with the claims in force |
//! | `sharing` | exports, imports and mappings of all these claims, as shards enforce them |
//! | `published` | when that is worked out, and who is told |
//! | `standing` | what a client that was let in stands on, and whether it still does |
//! | `resolver` | where claims about accounts come from: memory, a folder, a server |
//!
//! Nothing of this runs on a shard: claims are decoded and signatures verified by the threads that
//! judge, and no resolver is asked there either.

#![deny(clippy::indexing_slicing)]

mod callout;
pub mod keeper;
mod login;
mod lookup;
mod published;
mod registry;
pub mod resolver;
mod sharing;
mod standing;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use ringbus_shard::options::{self, Job, Offer, Verdict};
use ringbus_shard::wire::secret::Secret;
use tracing::{debug, error};

use super::Auth;
use super::callout::{Caller, Desk};
use super::jwt::UserClaims;
use super::jwt::claims::now;

pub use self::login::{Facts, Refusal};
pub use self::registry::{Change, Known, Registry, Rules, Unfit};
pub(super) use self::standing::compile as permissions;

use self::login::Admission;

/// The operators in force, if there are any: a reload may put others in their place.
#[derive(Clone, Debug, Default)]
pub struct Current(Arc<RwLock<Option<Arc<Operators>>>>);

impl Current {
    /// Those that this judge judges by.
    #[must_use]
    pub fn of(auth: &Auth) -> Self {
        let current = Self::default();
        current.set(auth.operators().cloned());
        current
    }

    /// These from now on.
    pub fn set(&self, operators: Option<Arc<Operators>>) {
        self.replace(operators, |_| {});
    }

    /// These from now on, after they were made `ready`: nobody does anything to those before or to
    /// these meanwhile.
    pub fn replace(&self, operators: Option<Arc<Operators>>, ready: impl FnOnce(&Operators)) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(operators) = &operators {
            ready(operators);
        }
        *current = operators;
    }

    /// Does something to them. Nobody puts others in their place before it is done.
    pub fn with<T>(&self, act: impl FnOnce(&Operators) -> Option<T>) -> Option<T> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        act(current.as_deref()?)
    }

    /// As they are.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Operators>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Who may connect in operator mode.
#[derive(Debug)]
pub struct Operators {
    registry: Arc<Registry>,
    /// Accounts that may connect, if not all may.
    pinned: Option<HashSet<String>>,
    /// Claims for those who bring none.
    sentinel: Secret,
    /// Where services are asked.
    desk: Desk,
}

impl Facts {
    /// What is known of a client that makes this offer, if it comes through no proxy.
    #[must_use]
    pub fn of(offer: &Offer<'_>) -> Self {
        let Offer { connect, nonce, client, address, kind, proof, .. } = *offer;
        Self {
            jwt: connect.jwt.clone(),
            signature: connect.sig.clone(),
            nonce: nonce.to_vec(),
            address: address.ip(),
            kind,
            proof: proof.cloned(),
            proxy: None,
            caller: Caller::new(offer, None, None, false),
            shown: format!("{address} - cid:{client} - "),
        }
    }
}

impl Operators {
    /// Judges by the accounts of `registry`.
    #[must_use]
    pub fn new(
        registry: Arc<Registry>,
        pinned: Option<HashSet<String>>,
        sentinel: Secret,
        desk: Desk,
    ) -> Self {
        Self { registry, pinned, sentinel, desk }
    }

    /// The accounts that are known.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whether a client with these claims may connect, and what it is then. If its account has to
    /// be looked up, that is waited for elsewhere, and only after all was verified that can be
    /// without it.
    #[must_use]
    pub fn judge(self: &Arc<Self>, mut facts: Facts) -> Verdict {
        let user = match self.user(&mut facts) {
            Ok(user) => user,
            Err(refusal) => return self.conclude(facts, Err(refusal)),
        };
        if let Some(known) = self.registry.at_hand(user.account()) {
            let admission = login::admit(user, known, &facts, now());
            return self.conclude(facts, admission);
        }
        if let Err(refusal) = login::check_proof(&user, &facts) {
            return self.conclude(facts, Err(refusal));
        }
        let operators = Arc::clone(self);
        Verdict::Later(Job::new(move |answer| {
            let (registry, key) = (Arc::clone(&operators.registry), user.account().to_owned());
            registry.ask(&key, move |found| {
                let known = found.map_err(Refusal::NoAccount);
                let admission = known.and_then(|known| login::admit(user, known, &facts, now()));
                answer.say(operators.conclude(facts, admission));
            });
        }))
    }

    /// What a client is, and what the log says of it.
    fn conclude(self: &Arc<Self>, facts: Facts, admission: Result<Admission, Refusal>) -> Verdict {
        match admission {
            Ok(admission) if callout::decides(&admission) => {
                let (this, account) = (Arc::clone(self), admission.known.account.id);
                let ask = move |answer| this.ask(facts, admission, answer);
                Verdict::Later(Job::new(ask).patiently(account))
            }
            Ok(admission) => {
                debug!(
                    "{}Authenticated JWT: Client {:?} (claim-name: {:?}, claim-tags: {:?}) signed \
                     with {:?} by Account {:?}",
                    facts.shown,
                    admission.user,
                    admission.name,
                    admission.tags,
                    admission.issuer,
                    admission.known.account.name,
                );
                Verdict::of(admission.grant(&self.registry))
            }
            Err(refusal) if refusal.is_error() => {
                error!("{}{refusal}", facts.shown);
                Verdict::Refused(options::Refusal::Credentials)
            }
            Err(refusal) => {
                debug!("{}{refusal}", facts.shown);
                Verdict::Refused(match refusal {
                    Refusal::ProxyRequired => options::Refusal::ProxyRequired,
                    _ => options::Refusal::Credentials,
                })
            }
        }
    }

    /// The claims of a user, who may belong to any account that may connect. Whoever brings none
    /// has those for such clients.
    fn user(&self, facts: &mut Facts) -> Result<UserClaims, Refusal> {
        let user = match UserClaims::decode(facts.jwt.expose()) {
            Ok(user) => user,
            Err(_) if self.sentinel.is_empty() => return Err(Refusal::NoClaims),
            Err(_) => {
                facts.jwt = self.sentinel.clone();
                UserClaims::decode(facts.jwt.expose()).map_err(Refusal::Unreadable)?
            }
        };
        login::check_user(&user, facts, now())?;
        let key = user.account();
        if self.pinned.as_ref().is_some_and(|pinned| !pinned.contains(key)) {
            return Err(Refusal::NotPinned(key.to_owned()));
        }
        Ok(user)
    }
}

#[cfg(test)]
mod tests;
