//! The accounts that are known, with the claims in force.
//!
//! An account enters when somebody of it connects for the first time, and stays: what is known of
//! it changes when other claims about it arrive. Claims are in force only if an operator that is
//! trusted signed them, and nothing about them blocks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use ringbus_shard::account::Places;
use ringbus_shard::ids::AccountId;
use tracing::{debug, warn};

use super::resolver::{Missing, Resolver};
use crate::auth::accounts::{Account, Accounts};
use crate::auth::jwt::claims::now;
use crate::auth::jwt::key::Role;
use crate::auth::jwt::signers::Scope;
use crate::auth::jwt::{AccountClaims, Fault};

/// Claims that have expired are not asked for again sooner than this.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// A resolver that takes longer is worth a line.
const SLOW: Duration = Duration::from_secs(1);

/// Whom the operators are, and what they want.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// Public keys that sign accounts.
    pub trusted: HashSet<String>,
    /// Those of them whose accounts sign users with signing keys only.
    pub strict: HashSet<String>,
    /// Keys of the first operator, who may delete accounts.
    pub first: HashSet<String>,
    /// Public key of the first operator, if it must not sign accounts itself.
    pub strict_first: Option<String>,
}

impl Rules {
    /// Whether an operator lets this key sign accounts.
    #[must_use]
    pub fn may_issue(&self, key: &str) -> bool {
        self.strict_first.as_deref() != Some(key)
    }

    /// Whether accounts may be deleted in the name of this key.
    #[must_use]
    pub fn may_delete(&self, key: &str) -> bool {
        self.first.contains(key)
    }
}

/// An account.
#[derive(Debug)]
pub struct Known {
    /// Its name is its public key.
    pub account: Account,
    /// In force.
    pub claims: AccountClaims,
    /// The text of the claims; empty if they were made up here.
    text: String,
    /// Its own key signs no users.
    strict: bool,
    since: Instant,
    removed: AtomicBool,
}

impl Known {
    /// Who may sign its users with `key`: anybody who has it, or only for a role. Nothing if the
    /// key is none of the account.
    #[must_use]
    pub fn signer(&self, key: &str) -> Option<Option<&Scope>> {
        if let Some(scope) = self.claims.body.signing_keys.0.get(key) {
            return Some(scope.as_deref());
        }
        (!self.strict && key == self.claims.subject).then_some(None)
    }

    /// Whether its claims hold no more, or somebody deleted it.
    #[must_use]
    pub fn is_over(&self, now: i64) -> bool {
        let expires = self.claims.expires;
        self.removed.load(Ordering::Relaxed) || expires > 0 && expires <= now
    }
}

/// Why claims about an account do not come into force.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// They cannot be believed.
    Fault(Fault),
    /// They are about another account, nobody trusted signed them, or something about them blocks.
    Invalid,
    /// They hold no more.
    Expired,
    /// There are none.
    Missing(Missing),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => fault.fmt(f),
            Self::Invalid => f.write_str("account validation failed"),
            Self::Expired => f.write_str("account expired"),
            Self::Missing(missing) => missing.fmt(f),
        }
    }
}

/// All accounts that are known.
#[derive(Debug)]
pub struct Registry {
    rules: Rules,
    resolver: Arc<Resolver>,
    accounts: Accounts,
    known: Mutex<HashMap<String, Arc<Known>>>,
    watch: OnceLock<Watch>,
    /// Wakes whoever watches the clock.
    keeper: OnceLock<Sender<()>>,
}

/// Whoever wants to know of accounts.
struct Watch(Box<dyn Fn(Change<'_>) + Send + Sync>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

/// What happened to an account.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// Nobody had heard of it before.
    Entered(&'a Account),
    /// Other claims are in force, or none.
    Changed(&'a Account),
}

impl Registry {
    /// No account yet. They get their numbers from `accounts`.
    #[must_use]
    pub fn new(rules: Rules, resolver: Arc<Resolver>, accounts: &Accounts) -> Self {
        Self {
            rules,
            resolver,
            accounts: accounts.clone(),
            known: Mutex::default(),
            watch: OnceLock::new(),
            keeper: OnceLock::new(),
        }
    }

    /// Tells `watch` of changes, on whatever thread they happen. Only the first is told.
    pub fn watch(&self, watch: impl Fn(Change<'_>) + Send + Sync + 'static) {
        let _ = self.watch.set(Watch(Box::new(watch)));
    }

    /// There is somebody who watches the clock.
    pub(super) fn wake_with(&self, wake: Sender<()>) {
        let _ = self.keeper.set(wake);
    }

    pub(super) fn tell(&self, change: Change<'_>) {
        if let Some(Watch(watch)) = self.watch.get() {
            watch(change);
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where claims come from.
    #[must_use]
    pub const fn resolver(&self) -> &Arc<Resolver> {
        &self.resolver
    }

    /// Whom the operators are.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether that is the public key of the system account.
    #[must_use]
    pub fn is_system(&self, key: &str) -> bool {
        **self.accounts.system() == *key
    }

    /// The account with this public key, if it is known already.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Arc<Known>> {
        self.known().get(key).cloned()
    }

    /// All that are known.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Known>> {
        self.known().values().cloned().collect()
    }

    /// The account with this public key. May take as long as the resolver does.
    ///
    /// # Errors
    /// Returns why there is none.
    pub fn lookup(&self, key: &str) -> Result<Arc<Known>, Unfit> {
        if let Some(known) = self.get(key) {
            if !known.is_over(now()) {
                return Ok(known);
            }
            debug!("Requested account [{key}] has expired");
            if known.since.elapsed() < ASK_AGAIN {
                return Err(Unfit::Expired);
            }
            let text = self.fetch(key).map_err(|_| Unfit::Expired)?;
            return self.update(key, &text).map_err(|_| Unfit::Expired);
        }
        let text = self.fetch(key).map_err(Unfit::Missing)?;
        self.update(key, &text)
    }

    fn fetch(&self, key: &str) -> Result<String, Missing> {
        let start = Instant::now();
        let fetched = self.resolver.fetch(key);
        let took = start.elapsed();
        if took > SLOW {
            warn!("Account [{key}] fetch took {took:?}");
        } else {
            debug!("Account [{key}] fetch took {took:?}");
        }
        if let Err(missing) = &fetched {
            warn!("Account fetch failed: {missing}");
        }
        fetched
    }

    /// The claims in a text, if they may come into force for the account with this public key.
    ///
    /// # Errors
    /// Returns why they may not.
    pub fn check(&self, key: &str, text: &str) -> Result<AccountClaims, Unfit> {
        let claims = AccountClaims::decode(text).map_err(Unfit::Fault)?;
        let trusted = self.rules.trusted.contains(&claims.issuer);
        if !trusted || claims.subject != key || !Role::Account.has(key) {
            return Err(Unfit::Invalid);
        }
        if claims.issues(now()).block() { Err(Unfit::Invalid) } else { Ok(claims) }
    }

    /// Puts claims into force. The same as before change nothing.
    ///
    /// # Errors
    /// Returns why they cannot be in force; what was stays.
    pub fn update(&self, key: &str, text: &str) -> Result<Arc<Known>, Unfit> {
        let text = text.trim_ascii();
        if let Some(known) = self.get(key)
            && known.text == text
            && !known.is_over(now())
        {
            debug!("Requested account update for [{key}], same claims detected");
            return Ok(known);
        }
        let claims = self.check(key, text)?;
        debug!("Updating account claims: {key}/{}", claims.name);
        let strict = self.rules.strict.contains(&claims.issuer);
        Ok(self.enter(claims, text.to_owned(), strict))
    }

    /// At most so many clients of that account.
    #[must_use]
    pub fn places(&self, id: AccountId, most: usize) -> Option<Places> {
        self.accounts.places(id, most)
    }

    /// An account that nobody has signed yet, so that it can be sent claims about itself: that of
    /// the system.
    pub fn bootstrap(&self, key: &str, issuer: &str) {
        let mut claims = AccountClaims::new(key);
        issuer.clone_into(&mut claims.issuer);
        self.enter(claims, String::new(), false);
    }

    fn enter(&self, claims: AccountClaims, text: String, strict: bool) -> Arc<Known> {
        let account = self.accounts.enter(&claims.subject);
        let key = claims.subject.clone();
        let removed = AtomicBool::new(false);
        let known =
            Arc::new(Known { account, claims, text, strict, since: Instant::now(), removed });
        let old = self.known().insert(key, Arc::clone(&known));
        if let Some(keeper) = self.keeper.get() {
            // One that was woken already will look.
            let _ = keeper.try_send(());
        }
        warn_of_limits(&known);
        if old.is_some() {
            self.tell(Change::Changed(&known.account));
        } else {
            self.tell(Change::Entered(&known.account));
        }
        known
    }

    /// Somebody deleted an account: nobody of it may connect, unless claims come again. Its number,
    /// if it was known.
    pub fn remove(&self, key: &str) -> Option<AccountId> {
        let known = self.get(key)?;
        known.removed.store(true, Ordering::Relaxed);
        self.tell(Change::Changed(&known.account));
        Some(known.account.id)
    }
}

/// What an operator wants and this server cannot do is not left unsaid.
fn warn_of_limits(known: &Known) {
    let (name, body) = (&known.account.name, &known.claims.body);
    let mut missing = Vec::new();
    if !body.exports.is_empty() || !body.imports.is_empty() {
        missing.push("imports and exports");
    }
    if !body.mappings.is_empty() {
        missing.push("mappings");
    }
    if body.authorization.is_enabled() {
        missing.push("auth callout");
    }
    if body.trace.is_some() {
        missing.push("tracing of messages");
    }
    if body.limits.has_jetstream() {
        missing.push("JetStream");
    }
    if !missing.is_empty() {
        warn!("Account [{name}]: not in force yet: {}", missing.join(", "));
    }
}
