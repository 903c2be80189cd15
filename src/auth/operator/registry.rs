//! The accounts that are known, with the claims in force.
//!
//! An account enters when somebody of it connects for the first time, and stays: what is known of
//! it changes when other claims about it arrive. Claims are in force only if an operator that is
//! trusted signed them, and nothing about them blocks.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use ringbus_shard::account::{Accounts as Terms, Places};
use ringbus_shard::ids::AccountId;
use tracing::{debug, warn};

use super::lookup::{self, Lookups};
use super::published::Published;
use super::resolver::{Missing, Resolver};
use super::sharing;
use crate::auth::accounts::{Account, Accounts};
use crate::auth::jwt::claims::now;
use crate::auth::jwt::key::Role;
use crate::auth::jwt::sharing::Import;
use crate::auth::jwt::signers::Scope;
use crate::auth::jwt::{AccountClaims, ActivationClaims, Fault};

/// So long an account waits at most for those from which it imports, and for so many.
const COMPLETE_TIME: Duration = Duration::from_secs(2);
const COMPLETE_MAX: usize = 1024;

/// Claims are read so often, if others are pushed each time meanwhile.
const READS_MAX: usize = 16;

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
    /// The tokens of its imports, each at the place of its import.
    pub(super) activations: Vec<Option<ActivationClaims>>,
    /// Which claims came into force before which.
    pub(super) order: u64,
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

    /// Whether it shares something with others, or its subjects stand for others.
    pub(super) fn shares(&self) -> bool {
        let body = &self.claims.body;
        !(body.exports.is_empty() && body.imports.is_empty() && body.mappings.is_empty())
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
    table: Mutex<Table>,
    lookups: OnceLock<Lookups>,
    pub(super) published: Published,
    watch: OnceLock<Watch>,
    order: AtomicU64,
    /// Wakes whoever watches the clock.
    keeper: OnceLock<Sender<()>>,
}

#[derive(Debug, Default)]
struct Table {
    known: HashMap<String, Arc<Known>>,
    /// Reads of claims that are under way, by account. They leave when the account is pushed or
    /// deleted meanwhile: what is read may be what was before.
    reading: HashMap<String, Vec<u64>>,
    /// So many reads have begun, which is the number of the last.
    reads: u64,
}

impl Table {
    /// Claims about an account are read from now on. Returns the number of that read.
    fn begin(&mut self, key: &str) -> u64 {
        self.reads += 1;
        self.reading.entry(key.to_owned()).or_default().push(self.reads);
        self.reads
    }

    /// That read is over. Whether nothing else was heard of the account meanwhile.
    fn end(&mut self, key: &str, read: u64) -> bool {
        let Some(reads) = self.reading.get_mut(key) else { return false };
        let before = reads.len();
        reads.retain(|other| *other != read);
        let was_there = reads.len() < before;
        if reads.is_empty() {
            self.reading.remove(key);
        }
        was_there
    }
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
    /// Accounts share something else with each other.
    Shared(&'a Arc<Terms>),
}

impl Registry {
    /// No account yet. They get their numbers from `accounts`.
    #[must_use]
    pub fn new(rules: Rules, resolver: Arc<Resolver>, accounts: &Accounts) -> Self {
        Self {
            rules,
            resolver,
            accounts: accounts.clone(),
            table: Mutex::default(),
            lookups: OnceLock::new(),
            published: Published::default(),
            watch: OnceLock::new(),
            order: AtomicU64::new(0),
            keeper: OnceLock::new(),
        }
    }

    /// Tells `watch` of changes, on whatever thread they happen. Only the first is told.
    pub fn watch(&self, watch: impl Fn(Change<'_>) + Send + Sync + 'static) {
        let _ = self.watch.set(Watch(Box::new(watch)));
        self.publish();
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watch.get().is_some()
    }

    /// There is somebody who watches the clock.
    pub(super) fn wake_with(&self, wake: Sender<()>) {
        let _ = self.keeper.set(wake);
    }

    /// Something changed that whoever watches the clock should look at. One that was woken already
    /// will look.
    pub(super) fn wake_keeper(&self) {
        if let Some(keeper) = self.keeper.get() {
            let _ = keeper.try_send(());
        }
    }

    pub(super) fn tell(&self, change: Change<'_>) {
        if let Some(Watch(watch)) = self.watch.get() {
            watch(change);
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts to look up accounts as they are asked for. Until then [`Self::ask`] does it itself.
    ///
    /// # Errors
    /// If the system has no threads to give.
    pub fn start(self: &Arc<Self>) -> io::Result<()> {
        let _ = self.lookups.set(lookup::start(self)?);
        Ok(())
    }

    pub(super) fn lookups(&self) -> Option<&Lookups> {
        self.lookups.get()
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
        self.table().known.get(key).cloned()
    }

    /// All that are known.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Known>> {
        self.table().known.values().cloned().collect()
    }

    /// The account with this public key, if it is known and its claims hold.
    #[must_use]
    pub fn at_hand(&self, key: &str) -> Option<Arc<Known>> {
        self.get(key).filter(|known| !known.is_over(now()))
    }

    /// Has the account with this public key looked up if it is not at hand. `then` is called when
    /// that is done, perhaps on another thread.
    pub fn ask(&self, key: &str, then: impl FnOnce(Result<Arc<Known>, Unfit>) + Send + 'static) {
        match (self.at_hand(key), self.lookups()) {
            (Some(known), _) => then(Ok(known)),
            (None, Some(lookups)) => lookups.ask(key, then),
            (None, None) => then(self.lookup(key)),
        }
    }

    /// The account with this public key, and those from which it imports. May take as long as the
    /// resolver does.
    ///
    /// # Errors
    /// Returns why there is none.
    pub fn lookup(&self, key: &str) -> Result<Arc<Known>, Unfit> {
        match self.get(key) {
            Some(known) if !known.is_over(now()) => Ok(known),
            Some(_) => {
                debug!("Requested account [{key}] has expired");
                self.read(key).map_err(|_| Unfit::Expired)
            }
            None => self.read(key).inspect(|known| self.complete(known)),
        }
    }

    /// Reads the accounts from which this one imports, and those from which they do, as far as
    /// nobody has heard of them and there is time. The others are imported from once somebody of
    /// them connects, or their claims are pushed.
    pub(super) fn complete(&self, known: &Known) {
        let deadline = Instant::now() + COMPLETE_TIME;
        let (mut todo, mut seen) = (sharing::exporters(known), HashSet::new());
        while let Some(key) = todo.pop() {
            let is_new = seen.len() < COMPLETE_MAX && seen.insert(key.clone());
            if !is_new || self.get(&key).is_some() {
                continue;
            }
            if Instant::now() >= deadline {
                return;
            }
            if let Ok(exporter) = self.read(&key) {
                todo.extend(sharing::exporters(&exporter));
            }
        }
    }

    /// Puts the claims into force that the resolver has. If others are pushed while these are read,
    /// or the account is deleted, they may be older than that: then they are read again, and so
    /// they are if none were found.
    fn read(&self, key: &str) -> Result<Arc<Known>, Unfit> {
        for _ in 0..READS_MAX {
            let read = self.table().begin(key);
            let known = self.fetch(key).map_err(Unfit::Missing).and_then(|text| {
                let claims = self.check(key, &text)?;
                Ok(self.enter(claims, text.trim_ascii(), Some(read)))
            });
            match known {
                Ok(Some(known)) => return Ok(known),
                Err(why) if self.table().end(key, read) => return Err(why),
                Ok(None) | Err(_) => {
                    debug!("Account [{key}] changed while it was read: reading it again");
                }
            }
        }
        let why = format!("claims changed {READS_MAX} times while they were read");
        Err(Unfit::Missing(Missing::Failed(why)))
    }

    /// The resolver has other claims about an account than before. Whoever is reading reads again,
    /// and whether there is something in force that they have to replace is told.
    pub fn is_pushed(&self, key: &str) -> bool {
        if let Some(lookups) = self.lookups() {
            lookups.forget_failure(key);
        }
        let mut table = self.table();
        table.reading.remove(key);
        let is_known = table.known.contains_key(key);
        drop(table);
        if let Some(lookups) = self.lookups()
            && !is_known
            && self.is_missed(key)
        {
            // Others wait for it who import from it.
            lookups.ask(key, |_| {});
        }
        is_known
    }

    /// Takes over the accounts that another registry knows, as far as their claims may be in force
    /// here: a reload does not forget who is connected. Where the resolver is at hand, what it says
    /// counts; a server of claims is not asked. May be done again, for what changed meanwhile.
    pub fn take_over(&self, other: &Self) {
        if let Resolver::Directory(folder) = &*self.resolver
            && let Err(why) = folder.read_all(&mut |_, _| {})
        {
            warn!("The folder of account claims cannot be read: {why}");
        }
        for old in other.all() {
            let key = &old.claims.subject;
            let removed = old.removed.load(Ordering::Relaxed);
            let text = match &*self.resolver {
                Resolver::Url(_) => (!removed).then(|| old.text.clone()),
                Resolver::Memory(_) | Resolver::Directory(_) => self.resolver.fetch(key).ok(),
            };
            // One that nobody has signed yet has no text.
            let Some(text) = text.filter(|text| !text.is_empty()) else {
                if removed {
                    // It may have been there when this was done before.
                    self.remove(key);
                }
                continue;
            };
            if let Err(why) = self.update(key, &text) {
                debug!("Account [{key}] is not taken over: {why}");
            }
        }
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
        let known = self.enter(claims, text, None).ok_or(Unfit::Invalid)?;
        let news = sharing::exporters(&known).into_iter().any(|key| self.get(&key).is_none());
        if let Some(lookups) = self.lookups()
            && news
        {
            lookups.complete(&known);
        }
        Ok(known)
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
        self.enter(claims, "", None);
    }

    /// Puts claims into force, which ends the `read` they are from; not if something else was heard
    /// of the account during that.
    pub(super) fn enter(
        &self,
        claims: AccountClaims,
        text: &str,
        read: Option<u64>,
    ) -> Option<Arc<Known>> {
        let account = self.accounts.enter(&claims.subject);
        let strict = !text.is_empty() && self.rules.strict.contains(&claims.issuer);
        let (key, text) = (claims.subject.clone(), text.to_owned());
        let removed = AtomicBool::new(false);
        let activation = |import: &Option<Import>| {
            let token = &import.as_ref()?.token;
            if token.is_empty() { None } else { ActivationClaims::decode(token).ok() }
        };
        let activations = claims.body.imports.iter().map(activation).collect();
        let order = self.order.fetch_add(1, Ordering::Relaxed);
        let known = Arc::new(Known { account, claims, text, strict, activations, order, removed });
        let mut table = self.table();
        if read.is_some_and(|read| !table.end(&key, read)) {
            return None;
        }
        let old = table.known.insert(key, Arc::clone(&known));
        drop(table);
        self.wake_keeper();
        warn_of_limits(&known);
        // Its users are in force on every shard after what it shares is.
        if known.shares() || old.as_ref().is_some_and(|old| old.shares()) {
            self.publish();
        }
        if old.is_some() {
            self.tell(Change::Changed(&known.account));
        } else {
            self.tell(Change::Entered(&known.account));
        }
        Some(known)
    }

    /// Somebody deleted an account: nobody of it may connect, unless claims come again. Whoever is
    /// reading reads again. Its number, if it was known.
    pub fn remove(&self, key: &str) -> Option<AccountId> {
        let mut table = self.table();
        table.reading.remove(key);
        let known = Arc::clone(table.known.get(key)?);
        known.removed.store(true, Ordering::Relaxed);
        drop(table);
        if known.shares() {
            self.publish();
        }
        self.tell(Change::Changed(&known.account));
        Some(known.account.id)
    }
}

/// What an operator wants and this server cannot do is not left unsaid.
fn warn_of_limits(known: &Known) {
    let (name, body) = (&known.account.name, &known.claims.body);
    let mut missing = Vec::new();
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
