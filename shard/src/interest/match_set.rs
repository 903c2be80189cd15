//! Everybody a message on one subject goes to.
//!
//! Immutable once made, and shared: by the cache, by sessions that remember their last subject, and
//! by all subjects for which the same single pattern matches. It never outlives a change of what it
//! says in the cache; who keeps one elsewhere compares [`super::Interest::epoch`] before using it
//! again.
//!
//! A set knows how many entries of the cache hold it, so that its bytes count once against the
//! bound of the cache, and only as long as the cache is what keeps them.

use std::cell::Cell;
use std::rc::Rc;

use crate::ids::{ShardId, SubId};

use super::leaf::{Leaf, Parts};
use super::queue_group::{Group, GroupMatch};

/// One subscription of this shard, and where its messages go.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct LocalTarget {
    /// Slot of the connection, see [`crate::ids::ConnId::slot`].
    pub conn: u32,
    /// The subscription.
    pub sub: SubId,
}

/// Who gets a message.
#[derive(Debug, Default)]
pub struct MatchSet {
    /// Plain subscriptions of this shard, one delivery each.
    pub plain: Box<[LocalTarget]>,
    /// Other shards with at least one plain subscription that matches; each once.
    pub remote: Box<[ShardId]>,
    /// Queue groups, one delivery each; each name once.
    pub groups: Box<[GroupMatch]>,
    /// Entries of the match cache that hold this.
    entries: Cell<u32>,
}

impl MatchSet {
    /// A match set of these receivers.
    #[must_use]
    pub fn new(
        plain: Box<[LocalTarget]>,
        remote: Box<[ShardId]>,
        groups: Box<[GroupMatch]>,
    ) -> Self {
        Self { plain, remote, groups, entries: Cell::new(0) }
    }

    /// Nobody wants the message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.remote.is_empty() && self.groups.is_empty()
    }

    /// The union of what `leaves` want, but for what guards keep from them.
    pub(super) fn of_leaves(leaves: &[&Leaf], subject: &[u8]) -> Self {
        let mut parts = Parts::new();
        leaves.iter().for_each(|leaf| leaf.parts(subject, &mut parts));
        let for_plain = || parts.iter().filter(|part| !part.denial.concerns(None));
        let mut plain = Vec::with_capacity(for_plain().map(|part| part.members.plain.len()).sum());
        let mut remote: Vec<ShardId> = Vec::new();
        for part in for_plain() {
            plain.extend_from_slice(part.members.plain.as_slice());
            remote.extend_from_slice(&part.members.remote);
        }
        let mut groups: Vec<(&Rc<[u8]>, &Group)> = Vec::new();
        for part in &parts {
            groups.extend(part.groups());
        }
        if parts.len() > 1 {
            remote.sort_unstable();
            remote.dedup();
            groups.sort_by_key(|(name, _)| *name);
        }
        let groups = groups
            .chunk_by(|(left, _), (right, _)| left == right)
            .filter_map(|parts| parts.first().map(|(name, _)| GroupMatch::merge(name, parts)))
            .collect();
        Self::new(plain.into_boxed_slice(), remote.into_boxed_slice(), groups)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.plain)
            + size_of_val(&*self.remote)
            + self.groups.iter().map(GroupMatch::bytes).sum::<usize>()
    }
}

/// A match set as an entry of the cache holds it: its bytes are in the cache's sum from the first
/// entry to the last.
#[derive(Debug)]
pub(super) struct Cached {
    set: Rc<MatchSet>,
    sum: Rc<Cell<usize>>,
}

impl Cached {
    pub(super) fn new(set: Rc<MatchSet>, sum: &Rc<Cell<usize>>) -> Self {
        if set.entries.get() == 0 {
            sum.set(sum.get() + set.bytes());
        }
        set.entries.set(set.entries.get() + 1);
        Self { set, sum: Rc::clone(sum) }
    }

    pub(super) fn share(&self) -> Rc<MatchSet> {
        Rc::clone(&self.set)
    }
}

impl Drop for Cached {
    fn drop(&mut self) {
        self.set.entries.set(self.set.entries.get() - 1);
        if self.set.entries.get() == 0 {
            self.sum.set(self.sum.get() - self.set.bytes());
        }
    }
}
