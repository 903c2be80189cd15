//! Subjects that this client was given to answer on, though its rules do not let it publish there.
//!
//! They are kept in the order in which they came, which is the order in which they expire, so that
//! nothing is ever searched for what is old. What was answered as often as it may be is forgotten
//! at once.
//!
//! Bound: [`REPLIES_BYTES_MAX`]. Beyond it the oldest are forgotten, as if their time were up.
//!
//! Invariant: the table, the list from `oldest` to `newest`, and the slots in use hold the same.

#![deny(clippy::indexing_slicing)]

use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::clock::Now;
use crate::limits::REPLIES_BYTES_MAX;

use super::{Permissions, Responses};

/// Reply subjects up to this length need no memory of their own: an inbox of most libraries.
const SUBJECT_INLINE: usize = 64;

/// Slots for which the memory is kept while none is in use.
const SLOTS_KEPT: usize = 64;

/// No slot.
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot {
    hash: u64,
    subject: SmallVec<[u8; SUBJECT_INLINE]>,
    /// When it was given.
    at: Now,
    /// Messages published to it since.
    used: u64,
    older: u32,
    newer: u32,
}

impl Slot {
    fn bytes(&self) -> usize {
        // The table is at least 7/16 full, and holds a number and a byte for each.
        let table = 3 * (size_of::<u32>() + 1);
        size_of::<Self>() + table + if self.subject.spilled() { self.subject.capacity() } else { 0 }
    }
}

/// The reply subjects of one client.
#[derive(Debug)]
pub struct Replies {
    permissions: Arc<Permissions>,
    responses: Responses,
    hasher: RandomState,
    table: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    oldest: u32,
    newest: u32,
    bytes: usize,
}

impl Replies {
    /// None yet, for a client with these permissions; `None` if it has no need of any.
    #[must_use]
    pub fn new(permissions: &Arc<Permissions>, hasher: &RandomState) -> Option<Self> {
        Some(Self {
            permissions: Arc::clone(permissions),
            responses: permissions.responses()?,
            hasher: hasher.clone(),
            table: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            oldest: NONE,
            newest: NONE,
            bytes: 0,
        })
    }

    /// Other permissions hold from now on. What was given stays, if they say the same about it.
    pub fn judge_by(&mut self, permissions: &Arc<Permissions>) -> bool {
        self.permissions = Arc::clone(permissions);
        permissions.responses() == Some(self.responses)
    }

    /// The client was sent a message that asks for answers on `reply`.
    pub fn note(&mut self, now: Now, reply: &[u8]) {
        if self.permissions.may_publish(reply) {
            return;
        }
        self.expire(now);
        let hash = self.hasher.hash_one(reply);
        if let Some(slot) = self.find(hash, reply) {
            self.remove(slot);
        }
        self.insert(hash, reply, now);
        while self.bytes > REPLIES_BYTES_MAX && self.oldest != NONE {
            self.remove(self.oldest);
        }
    }

    /// Whether the client may publish to `subject` for having been given it. Says nothing about
    /// what its rules allow.
    pub fn allows(&mut self, now: Now, subject: &[u8]) -> bool {
        self.expire(now);
        self.find(self.hasher.hash_one(subject), subject).is_some()
    }

    /// The client published to a subject that [`Self::allows`] it.
    pub fn spend(&mut self, subject: &[u8]) {
        let Some(slot) = self.find(self.hasher.hash_one(subject), subject) else { return };
        let Some(known) = self.slots.get_mut(slot as usize) else { return };
        known.used += 1;
        if self.responses.max.is_some_and(|max| known.used >= max) {
            self.remove(slot);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes for those there are.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets those whose time is up.
    fn expire(&mut self, now: Now) {
        let Some(ttl) = self.responses.ttl else { return };
        while let Some(slot) = self.slots.get(self.oldest as usize)
            && now.since(slot.at) > ttl
        {
            self.remove(self.oldest);
        }
    }

    fn find(&self, hash: u64, subject: &[u8]) -> Option<u32> {
        let same = |slot: &u32| {
            self.slots
                .get(*slot as usize)
                .is_some_and(|known| known.hash == hash && *known.subject == *subject)
        };
        self.table.find(hash, same).copied()
    }

    fn insert(&mut self, hash: u64, subject: &[u8], at: Now) {
        let subject = SmallVec::from_slice(subject);
        let slot = Slot { hash, subject, at, used: 0, older: self.newest, newer: NONE };
        self.bytes += slot.bytes();
        let place = match self.free.pop() {
            Some(place) => {
                if let Some(old) = self.slots.get_mut(place as usize) {
                    *old = slot;
                }
                place
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).unwrap_or(NONE)
            }
        };
        match self.slots.get_mut(self.newest as usize) {
            Some(newest) => newest.newer = place,
            None => self.oldest = place,
        }
        self.newest = place;
        let slots = &self.slots;
        self.table.insert_unique(hash, place, |slot| {
            slots.get(*slot as usize).map_or(0, |known| known.hash)
        });
        self.check();
    }

    fn remove(&mut self, place: u32) {
        let Some(slot) = self.slots.get_mut(place as usize) else { return };
        self.bytes -= slot.bytes();
        let (hash, older, newer) = (slot.hash, slot.older, slot.newer);
        slot.subject = SmallVec::new();
        if let Ok(entry) = self.table.find_entry(hash, |slot| *slot == place) {
            entry.remove();
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(slot) => slot.older = older,
            None => self.newest = older,
        }
        self.free.push(place);
        if self.table.is_empty() && self.slots.len() > SLOTS_KEPT {
            (self.slots, self.free, self.table) = Default::default();
        }
        self.check();
    }

    fn check(&self) {
        debug_assert_eq!(self.table.len() + self.free.len(), self.slots.len());
        debug_assert_eq!(self.table.is_empty(), self.oldest == NONE);
        debug_assert_eq!(self.table.is_empty(), self.newest == NONE);
        debug_assert!(!self.table.is_empty() || self.bytes == 0);
    }
}
