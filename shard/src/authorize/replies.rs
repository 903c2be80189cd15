//! Subjects that this client was given to answer on, though its rules do not let it publish there.
//!
//! They are kept in the order in which they came, which is the order in which they expire, so that
//! nothing is ever searched for what is old. What was answered as often as it may be is forgotten
//! at once.
//!
//! Bounds: [`REPLIES_BYTES_MAX`] for one client, beyond which its oldest are forgotten, as if their
//! time were up. All clients of a shard have a bound together, which whoever holds all of them
//! watches over by the [`Total`].
//!
//! Invariants: the table, the list from `oldest` to `newest`, and the slots in use hold the same;
//! the total is the sum of the bytes of all clients.

#![deny(clippy::indexing_slicing)]

use std::cell::Cell;
use std::rc::Rc;
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

/// Bytes for those of all clients of a shard.
#[derive(Clone, Debug, Default)]
pub struct Total(Rc<Cell<usize>>);

impl Total {
    /// So many.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.get()
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
    total: Total,
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.count(0);
    }
}

impl Replies {
    /// None yet, for a client with these permissions; `None` if it has no need of any.
    #[must_use]
    pub fn new(
        permissions: &Arc<Permissions>,
        hasher: &RandomState,
        total: &Total,
    ) -> Option<Self> {
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
            total: total.clone(),
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
        while self.bytes > REPLIES_BYTES_MAX && self.forget_oldest() {}
    }

    /// Forgets the oldest, as if its time were up. False if there is none.
    pub fn forget_oldest(&mut self) -> bool {
        let any = self.oldest != NONE;
        self.remove(self.oldest);
        any
    }

    /// Its own bytes are so many now.
    fn count(&mut self, bytes: usize) {
        let Total(total) = &self.total;
        total.set(total.get() - self.bytes + bytes);
        self.bytes = bytes;
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
    pub fn expire(&mut self, now: Now) {
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
        self.count(self.bytes + slot.bytes());
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
        let left = self.bytes - slot.bytes();
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
        self.count(left);
        if self.slots.len() > 3 * self.table.len() + SLOTS_KEPT {
            self.compact();
        }
        self.check();
    }

    /// Gives back the memory of slots that are free, where most are. Amortised constant.
    #[cold]
    fn compact(&mut self) {
        let mut slots: Vec<Slot> = Vec::with_capacity(self.table.len());
        let mut next = self.oldest;
        while let Some(slot) = self.slots.get_mut(next as usize) {
            next = slot.newer;
            let place = u32::try_from(slots.len()).unwrap_or(NONE);
            let subject = std::mem::take(&mut slot.subject);
            let older = place.checked_sub(1).unwrap_or(NONE);
            slots.push(Slot { subject, older, newer: place.saturating_add(1), ..*slot });
        }
        if let Some(newest) = slots.last_mut() {
            newest.newer = NONE;
        }
        let end = u32::try_from(slots.len()).unwrap_or(NONE);
        (self.oldest, self.newest) = if end == 0 { (NONE, NONE) } else { (0, end - 1) };
        self.table = HashTable::with_capacity(slots.len());
        for (place, slot) in (0..end).zip(&slots) {
            self.table.insert_unique(slot.hash, place, |known| {
                slots.get(*known as usize).map_or(0, |known| known.hash)
            });
        }
        (self.slots, self.free) = (slots, Vec::new());
    }

    fn check(&self) {
        debug_assert_eq!(self.table.len() + self.free.len(), self.slots.len());
        debug_assert_eq!(self.table.is_empty(), self.oldest == NONE);
        debug_assert_eq!(self.table.is_empty(), self.newest == NONE);
        debug_assert!(!self.table.is_empty() || self.bytes == 0);
    }
}
