//! Subjects and their match sets, remembered until a subscription that concerns them changes.
//!
//! **Invalidation is narrow.** A literal pattern touches its own subject: that entry is removed. A
//! wildcard pattern bumps one counter out of [`Stamps`], chosen by its leading literal tokens; an
//! entry is good while the three counters its subject depends on are unchanged. So churn on
//! `_INBOX.x.*` or `orders.7.>` leaves `prices.eu` alone, and costs the same however many subjects
//! are remembered. Patterns whose tokens hash to the same counter invalidate each other's subjects:
//! harmless, rare.
//!
//! **Two generations.** New and found-again subjects are in the young one. When it has a third of
//! the bytes, it becomes the old one, and what was still old is dropped: subjects not asked for
//! since. The drop is spread over later insertions, because freeing a hundred thousand entries at
//! once would stop the shard for milliseconds. Three generations in thirds: the bound holds while
//! one is being dropped. A large table that is full does not grow either; it becomes the old
//! generation before its time.
//!
//! Invariants: a subject is in at most one of young and old; `bytes` of a generation is the sum of
//! its entries' costs.

use std::cell::Cell;
use std::rc::Rc;

use hashbrown::HashTable;
use hashbrown::hash_table::IntoIter;
use smallvec::SmallVec;

use crate::ids::AccountId;

use super::hashing::Hashing;
use super::match_set::{Cached, MatchSet};
use super::token::{PREFIX_TOKENS, Shape, head};

/// Counters of changes by prefix. Enough that a counter shared by chance is rare, few enough (64
/// KiB) to stay in the second-level cache.
const STAMPS: usize = 8192;

/// Subjects up to this length are stored in the entry itself, which saves a cache miss per match.
const SUBJECT_INLINE: usize = 32;

/// Bytes of a table slot per entry: tables are between 7/16 and 7/8 full.
const ENTRY_BYTES: usize = size_of::<Entry>() * 3 / 2;

/// Entries with which a table may still grow the usual way, moving all of them at once.
const GROWS_MAX: usize = 1 << 14;

/// Entries of the dropped generation that are freed per insertion; more than one, so that it is
/// gone long before the next one is dropped.
const DROP_STEP: usize = 4;

/// Where in [`Stamps`] a subject or a pattern belongs.
type Place = u16;

/// How often wildcard patterns changed, by prefix.
#[derive(Debug)]
struct Stamps {
    /// Patterns that begin with a wildcard.
    global: u64,
    by_prefix: Box<[u64; STAMPS]>,
}

impl Stamps {
    fn place(hashing: &Hashing, account: AccountId, prefix: &[u8]) -> Place {
        let hash = hashing.subject(account, prefix);
        Place::try_from(hash % STAMPS as u64).unwrap_or(0)
    }

    /// Grows exactly if one of the counters that `places` depend on does: counters only ever grow.
    fn sum(&self, places: [Place; PREFIX_TOKENS]) -> u64 {
        places.iter().fold(self.global, |sum, place| sum + self.at(*place))
    }

    fn at(&self, place: Place) -> u64 {
        self.by_prefix[usize::from(place) % STAMPS]
    }

    fn bump(&mut self, place: Place) {
        self.by_prefix[usize::from(place) % STAMPS] += 1;
    }
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    /// [`Stamps::sum`] when the set was made.
    stamp: u64,
    set: Cached,
    account: AccountId,
    /// One per length of prefix.
    places: [Place; PREFIX_TOKENS],
    subject: SmallVec<[u8; SUBJECT_INLINE]>,
}

impl Entry {
    fn is(&self, hash: u64, account: AccountId, subject: &[u8]) -> bool {
        self.hash == hash && self.account == account && *self.subject == *subject
    }

    /// Bytes of this entry without its match set, which it may share with others.
    fn bytes(&self) -> usize {
        ENTRY_BYTES + if self.subject.spilled() { self.subject.capacity() } else { 0 }
    }
}

#[derive(Debug, Default)]
struct Generation {
    table: HashTable<Entry>,
    bytes: usize,
}

impl Generation {
    fn with_capacity(entries: usize) -> Self {
        Self { table: HashTable::with_capacity(entries), bytes: 0 }
    }

    /// The next insertion would move more entries than a shard has time for.
    fn is_full(&self) -> bool {
        self.table.len() >= GROWS_MAX && self.table.len() == self.table.capacity()
    }

    fn insert(&mut self, entry: Entry) {
        self.bytes += entry.bytes();
        self.table.insert_unique(entry.hash, entry, |entry| entry.hash);
    }

    fn take(&mut self, hash: u64, account: AccountId, subject: &[u8]) -> Option<Entry> {
        let found = self.table.find_entry(hash, |entry| entry.is(hash, account, subject)).ok()?;
        let (entry, _) = found.remove();
        self.bytes -= entry.bytes();
        Some(entry)
    }
}

/// The dropped generation on its way out.
#[derive(Debug, Default)]
struct Dropping {
    entries: Option<IntoIter<Entry>>,
    bytes: usize,
}

impl Dropping {
    fn start(&mut self, generation: Generation) {
        self.bytes = generation.bytes;
        self.entries = Some(generation.table.into_iter());
    }

    fn step(&mut self) {
        let Some(entries) = &mut self.entries else { return };
        for _ in 0..DROP_STEP {
            let Some(entry) = entries.next() else {
                self.finish();
                return;
            };
            self.bytes -= entry.bytes();
        }
    }

    fn finish(&mut self) {
        self.entries = None;
        self.bytes = 0;
    }
}

/// The match cache of one shard.
#[derive(Debug)]
pub(super) struct MatchCache {
    bytes_max: usize,
    young: Generation,
    old: Generation,
    dropping: Dropping,
    stamps: Stamps,
    /// Bytes of the match sets of all entries, each set once.
    sets: Rc<Cell<usize>>,
    /// What `sets` was when the young generation began.
    sets_then: usize,
}

impl MatchCache {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            young: Generation::default(),
            old: Generation::default(),
            dropping: Dropping::default(),
            stamps: Stamps { global: 0, by_prefix: Box::new([0; STAMPS]) },
            sets: Rc::default(),
            sets_then: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.young.table.len() + self.old.table.len()
    }

    /// Bytes of all entries and their match sets.
    pub(super) fn bytes(&self) -> usize {
        self.young.bytes + self.old.bytes + self.dropping.bytes + self.sets.get()
    }

    /// The match set of `subject`, if it is remembered and still right.
    #[inline]
    pub(super) fn get(
        &mut self,
        hash: u64,
        account: AccountId,
        subject: &[u8],
    ) -> Option<Rc<MatchSet>> {
        match self.young.table.find(hash, |entry| entry.is(hash, account, subject)) {
            Some(entry) => {
                let good = entry.stamp == self.stamps.sum(entry.places);
                good.then(|| entry.set.share())
            }
            None => self.promote(hash, account, subject),
        }
    }

    /// Moves `subject` from the old generation to the young one; forgets it if it is not right.
    fn promote(&mut self, hash: u64, account: AccountId, subject: &[u8]) -> Option<Rc<MatchSet>> {
        let entry = self.old.take(hash, account, subject)?;
        if entry.stamp != self.stamps.sum(entry.places) {
            return None;
        }
        let set = entry.set.share();
        self.admit(entry);
        Some(set)
    }

    fn admit(&mut self, entry: Entry) {
        if self.young.is_full() {
            self.rotate();
        }
        self.young.insert(entry);
        self.dropping.step();
        self.bound();
    }

    /// Remembers what [`Self::get`] did not know.
    pub(super) fn put(
        &mut self,
        hashing: &Hashing,
        hash: u64,
        account: AccountId,
        subject: &[u8],
        set: Rc<MatchSet>,
    ) {
        let set = Cached::new(set, &self.sets);
        if let Some(entry) = self.young.table.find_mut(hash, |e| e.is(hash, account, subject)) {
            entry.stamp = self.stamps.sum(entry.places);
            entry.set = set;
            self.bound();
        } else {
            let places = [1, 2].map(|count| Stamps::place(hashing, account, head(subject, count)));
            let stamp = self.stamps.sum(places);
            let subject = SmallVec::from_slice(subject);
            self.admit(Entry { hash, stamp, set, account, places, subject });
        }
    }

    /// Makes every remembered match set that a change of a pattern could concern unusable.
    pub(super) fn invalidate(
        &mut self,
        hashing: &Hashing,
        hash: u64,
        account: AccountId,
        pattern: &[u8],
        shape: Shape<'_>,
    ) {
        match shape {
            Shape::Literal => {
                if self.young.take(hash, account, pattern).is_none() {
                    self.old.take(hash, account, pattern);
                }
            }
            Shape::Wildcard { prefix: [] } => self.stamps.global += 1,
            Shape::Wildcard { prefix } => {
                self.stamps.bump(Stamps::place(hashing, account, prefix));
            }
        }
    }

    /// Ends the young generation if it, or everything together, has grown too large.
    #[inline]
    fn bound(&mut self) {
        let grown = self.sets.get().saturating_sub(self.sets_then);
        if self.young.bytes + grown > self.bytes_max / 3 || self.bytes() > self.bytes_max {
            self.rotate();
        }
    }

    #[cold]
    fn rotate(&mut self) {
        self.dropping.finish();
        // As large as the last one became, so that it does not have to grow under way; larger, if
        // room for entries and not bytes ran out. Then the entries move one by one as they are
        // asked for.
        let entries = self.young.table.len();
        let young = Generation::with_capacity(entries << u32::from(self.young.is_full()));
        let old = std::mem::replace(&mut self.old, std::mem::replace(&mut self.young, young));
        self.dropping.start(old);
        if self.bytes() > self.bytes_max {
            self.dropping.finish();
        }
        // Match sets can be so wide that this was not enough. Then nothing is remembered for now.
        if self.bytes() > self.bytes_max {
            self.old = Generation::default();
        }
        self.sets_then = self.sets.get();
    }
}
