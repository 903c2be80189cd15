//! What holds in accounts, as everybody was told it last.
//!
//! It is worked out of all claims whenever something changes, by whoever changed it. Changes that
//! come while that is done are taken together by the next one, so that many at once cost few
//! rounds. What is told is told in order.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringbus_shard::account::Accounts as Terms;
use tracing::warn;

use super::registry::{Change, Registry};
use super::sharing::{self, Note};
use crate::auth::jwt::claims::now;

#[derive(Debug, Default)]
pub(super) struct Published {
    /// How often something has changed.
    changes: AtomicU64,
    last: Mutex<Last>,
}

#[derive(Debug, Default)]
struct Last {
    /// So many changes are in it.
    changes: u64,
    terms: Arc<Terms>,
    next: Option<i64>,
    notes: HashSet<Note>,
    /// Another registry is in force.
    retired: bool,
}

impl Published {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry {
    /// Something changed. When this returns, everybody was told what follows from it.
    pub(super) fn publish(&self) {
        let own = self.published.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut last = self.published.last();
        // Until somebody wants to know, nobody has to find out; another may have found out already.
        if self.is_watched() && last.changes < own {
            self.work_out(&mut last);
        }
    }

    /// What holds in each account now.
    #[must_use]
    pub fn terms(&self) -> Arc<Terms> {
        self.hold(Arc::clone)
    }

    /// Does something with what holds now, before anybody is told something else.
    pub fn hold<T>(&self, act: impl FnOnce(&Arc<Terms>) -> T) -> T {
        let mut last = self.published.last();
        self.work_out(&mut last);
        act(&last.terms)
    }

    /// Another registry is in force: what happens to this one changes nothing on any shard.
    pub fn retire(&self) {
        self.published.last().retired = true;
    }

    /// The first second in which something else holds, though no claims change.
    pub(super) fn next_change(&self) -> Option<i64> {
        self.published.last().next
    }

    /// Whether somebody imports from an account that nobody has heard of, and that is this one.
    pub(super) fn is_missed(&self, key: &str) -> bool {
        let last = self.published.last();
        last.notes.iter().any(|note| note.missing.as_deref() == Some(key))
    }

    fn work_out(&self, last: &mut Last) {
        last.changes = self.published.changes.load(Ordering::SeqCst);
        let shared = sharing::compile(&self.all(), now());
        let notes: HashSet<Note> = shared.notes.into_iter().collect();
        for note in notes.difference(&last.notes) {
            warn!("{}", note.text);
        }
        last.notes = notes;
        if last.next != shared.next {
            last.next = shared.next;
            self.wake_keeper();
        }
        if *last.terms != shared.terms {
            last.terms = Arc::new(shared.terms);
            if !last.retired {
                self.tell(Change::Shared(&last.terms));
            }
        }
    }
}
