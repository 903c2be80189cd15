//! Operator mode: accounts that an operator has signed, users whom accounts have signed.
//!
//! | module | what is in it |
//! | --- | --- |
//! | `keeper` | the thread that watches the clock |
//! | `login` | whether the claims of a user let somebody in: claims and facts to an admission |
//! | `registry` | the accounts that are known, with the claims in force |
//! | `standing` | what a client that was let in stands on, and whether it still does |
//! | `resolver` | where claims about accounts come from: memory, a folder, a server |
//!
//! Nothing of this runs on a shard: claims are decoded and signatures verified by the threads that
//! judge, and only there may a resolver take its time.

#![deny(clippy::indexing_slicing)]

pub mod keeper;
mod login;
mod registry;
pub mod resolver;
mod standing;

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use ringbus_shard::options::{self, Offer, Outcome};
use ringbus_shard::wire::secret::Secret;
use tracing::{debug, error};

use super::Auth;
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
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = operators;
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
            shown: format!("{address} - cid:{client} - "),
        }
    }
}

impl Operators {
    /// Judges by the accounts of `registry`.
    #[must_use]
    pub fn new(registry: Arc<Registry>, pinned: Option<HashSet<String>>, sentinel: Secret) -> Self {
        Self { registry, pinned, sentinel }
    }

    /// The accounts that are known.
    #[must_use]
    pub const fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Whether a client with these claims may connect, and what it is then. May take as long as the
    /// resolver does.
    pub fn judge(&self, facts: &Facts) -> Outcome {
        match self.admit(facts) {
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
                admission.grant(&self.registry).ok_or(options::Refusal::Credentials)
            }
            Err(refusal) if refusal.is_error() => {
                error!("{}{refusal}", facts.shown);
                Err(options::Refusal::Credentials)
            }
            Err(refusal) => {
                debug!("{}{refusal}", facts.shown);
                Err(match refusal {
                    Refusal::ProxyRequired => options::Refusal::ProxyRequired,
                    _ => options::Refusal::Credentials,
                })
            }
        }
    }

    fn admit(&self, facts: &Facts) -> Result<Admission, Refusal> {
        let user = match UserClaims::decode(facts.jwt.expose()) {
            Ok(user) => user,
            Err(_) if self.sentinel.is_empty() => return Err(Refusal::NoClaims),
            Err(_) => UserClaims::decode(self.sentinel.expose()).map_err(Refusal::Unreadable)?,
        };
        let now = now();
        login::check_user(&user, facts, now)?;
        let key = user.account();
        if self.pinned.as_ref().is_some_and(|pinned| !pinned.contains(key)) {
            return Err(Refusal::NotPinned(key.to_owned()));
        }
        let known = self.registry.lookup(key).map_err(Refusal::NoAccount)?;
        login::admit(user, known, facts, now)
    }
}
