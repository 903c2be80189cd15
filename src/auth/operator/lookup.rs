//! Accounts that nobody has heard of are looked up here: on threads of their own, so that no login
//! of an account that is known ever waits for a disk or for a server of claims.
//!
//! An account is looked up once at a time, however many of its users come meanwhile, and not again
//! for a while after that was in vain: whoever asks has proved nothing that the account would know
//! of. What is waited for, what is remembered, and how many threads there are is bounded.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use ringbus_shard::limits::WAITS_MAX;

use tracing::warn;

use super::registry::{Known, Registry, Unfit};
use super::resolver::{Missing, Resolver};

/// Accounts that are looked up or wait for that: as many as users of one shard that may wait. A
/// user who comes when there are more is refused; whose turn does not come in time is let go by
/// the shard.
pub(super) const FLIGHTS_MAX: usize = WAITS_MAX;

/// Accounts of which it is remembered that they could not be had.
const FAILURES_MAX: usize = 1024;

/// For so long: less than anybody needs to try again who has just made an account known.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);

/// Threads that wait for a server of claims.
const WAITERS: usize = 8;

/// Threads that read files.
const READERS: usize = 2;

/// Enough for TLS, and for the text of any claim.
const STACK_BYTES: usize = 512 << 10;

/// What becomes of a user whose account was looked up.
type Waiting = Box<dyn FnOnce(Result<Arc<Known>, Unfit>) + Send>;

/// What is being looked up.
pub(super) struct Lookups {
    queue: Sender<Task>,
    state: Mutex<State>,
}

enum Task {
    /// Look this account up.
    LookUp(String),
    /// Read the accounts from which this one imports.
    Complete(Arc<Known>),
}

#[derive(Default)]
struct State {
    flights: HashMap<String, Vec<Waiting>>,
    failures: Failures,
}

impl fmt::Debug for Lookups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lookups")
    }
}

/// Starts the threads, which end when nobody has the registry any more.
///
/// # Errors
/// If the system has no threads to give.
pub(super) fn start(registry: &Arc<Registry>) -> io::Result<Lookups> {
    let (queue, tasks) = bounded(FLIGHTS_MAX);
    let is_remote = matches!(**registry.resolver(), Resolver::Url(_));
    for number in 0..if is_remote { WAITERS } else { READERS } {
        let (registry, tasks) = (Arc::downgrade(registry), tasks.clone());
        let name = format!("lookup-{number}");
        let thread = thread::Builder::new().name(name).stack_size(STACK_BYTES);
        thread.spawn(move || work(&registry, &tasks))?;
    }
    Ok(Lookups { queue, state: Mutex::default() })
}

fn work(registry: &Weak<Registry>, tasks: &Receiver<Task>) {
    for task in tasks {
        let Some(registry) = registry.upgrade() else { return };
        match task {
            Task::LookUp(key) => {
                let found = registry.lookup(&key);
                if let Some(lookups) = registry.lookups() {
                    lookups.found(&key, &found);
                }
            }
            Task::Complete(known) => registry.complete(&known),
        }
    }
}

impl Lookups {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has an account looked up; `then` is called when that is done, on whatever thread.
    pub(super) fn ask(
        &self,
        key: &str,
        then: impl FnOnce(Result<Arc<Known>, Unfit>) + Send + 'static,
    ) {
        let mut state = self.state();
        if let Some(why) = state.failures.get(key, Instant::now()) {
            drop(state);
            return then(Err(why));
        }
        if let Some(waiting) = state.flights.get_mut(key) {
            waiting.push(Box::new(then));
            return;
        }
        if self.queue.try_send(Task::LookUp(key.to_owned())).is_err() {
            drop(state);
            let why = "too many accounts are being looked up".to_owned();
            return then(Err(Unfit::Missing(Missing::Failed(why))));
        }
        state.flights.insert(key.to_owned(), vec![Box::new(then)]);
    }

    /// Has the accounts read from which this one imports.
    pub(super) fn complete(&self, known: &Arc<Known>) {
        if self.queue.try_send(Task::Complete(Arc::clone(known))).is_err() {
            let key = &known.claims.subject;
            warn!("Account [{key}]: too many accounts are being looked up to find its imports");
        }
    }

    /// An account has been looked up.
    fn found(&self, key: &str, found: &Result<Arc<Known>, Unfit>) {
        let mut state = self.state();
        if let Err(why) = found {
            state.failures.add(key, why.clone(), Instant::now());
        }
        let waiting = state.flights.remove(key).unwrap_or_default();
        drop(state);
        for then in waiting {
            then(found.clone());
        }
    }

    /// There is news of an account: it may be had now.
    pub(super) fn forget_failure(&self, key: &str) {
        self.state().failures.known.remove(key);
    }
}

/// Accounts that could not be had.
#[derive(Default)]
struct Failures {
    known: HashMap<String, (Instant, Unfit)>,
    /// The same by age; some may be forgotten already, or newer.
    ages: VecDeque<(Instant, String)>,
}

impl Failures {
    fn get(&self, key: &str, now: Instant) -> Option<Unfit> {
        let (since, why) = self.known.get(key)?;
        (now.saturating_duration_since(*since) < FAILURE_HOLDS).then(|| why.clone())
    }

    fn add(&mut self, key: &str, why: Unfit, now: Instant) {
        while let Some((since, oldest)) = self.ages.front() {
            let over = now.saturating_duration_since(*since) >= FAILURE_HOLDS;
            if !over && self.ages.len() < FAILURES_MAX {
                break;
            }
            if self.known.get(oldest).is_some_and(|(known, _)| known == since) {
                self.known.remove(oldest);
            }
            self.ages.pop_front();
        }
        self.known.insert(key.to_owned(), (now, why));
        self.ages.push_back((now, key.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why() -> Unfit {
        Unfit::Missing(Missing::Unknown)
    }

    #[test]
    fn failures_are_remembered_for_a_moment() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        failures.add("a", why(), now);
        assert_eq!(failures.get("a", now), Some(why()));
        assert_eq!(failures.get("b", now), None);
        let later = now + FAILURE_HOLDS;
        assert_eq!(failures.get("a", later), None);
        failures.add("a", why(), later);
        failures.add("b", why(), later);
        assert_eq!((failures.known.len(), failures.ages.len()), (2, 2));
        assert_eq!(failures.get("a", later), Some(why()), "the newer one counts");
    }

    #[test]
    fn failures_are_bounded() {
        let (mut failures, now) = (Failures::default(), Instant::now());
        for number in 0..FAILURES_MAX + 10 {
            failures.add(&number.to_string(), why(), now);
        }
        assert_eq!((failures.known.len(), failures.ages.len()), (FAILURES_MAX, FAILURES_MAX));
        assert_eq!(failures.get("9", now), None);
        assert_eq!(failures.get("10", now), Some(why()));
    }
}
