//! Everybody a message on one subject goes to.
//!
//! Immutable once made, and shared: by the cache, by sessions that remember their last subject, and by
//! all subjects for which the same single pattern matches. It never outlives a change of what it says
//! in the cache; who keeps one elsewhere compares [`super::Interest::epoch`] before using it again.
//!
//! The bytes of all match sets the index has made and that somebody still holds are counted, because
//! the cache is bounded in bytes and cannot know who else holds a set.

use std::cell::Cell;
use std::rc::Rc;

use crate::ids::{ShardId, SubId};

use super::leaf::Leaf;
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
    /// Takes the bytes out of the count when the set is dropped.
    charge: Charge,
}

impl MatchSet {
    /// A match set of these receivers.
    #[must_use]
    pub fn new(
        plain: Box<[LocalTarget]>,
        remote: Box<[ShardId]>,
        groups: Box<[GroupMatch]>,
    ) -> Self {
        Self { plain, remote, groups, charge: Charge::default() }
    }

    /// Nobody wants the message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.remote.is_empty() && self.groups.is_empty()
    }

    /// The union of what `leaves` want, its bytes counted in `live`.
    pub(super) fn gather(leaves: &[&Leaf], live: &Rc<Cell<usize>>) -> Self {
        let mut plain = Vec::with_capacity(leaves.iter().map(|leaf| leaf.plain().len()).sum());
        let mut remote: Vec<ShardId> = Vec::new();
        let mut groups: Vec<(&Rc<[u8]>, &Group)> = Vec::new();
        for leaf in leaves {
            plain.extend_from_slice(leaf.plain());
            remote.extend_from_slice(leaf.remote());
            groups.extend(leaf.groups());
        }
        if leaves.len() > 1 {
            remote.sort_unstable();
            remote.dedup();
            groups.sort_by_key(|(name, _)| *name);
        }
        let groups = groups
            .chunk_by(|(left, _), (right, _)| left == right)
            .filter_map(|parts| parts.first().map(|(name, _)| GroupMatch::merge(name, parts)))
            .collect();
        let mut set = Self::new(plain.into_boxed_slice(), remote.into_boxed_slice(), groups);
        set.charge = Charge::new(set.bytes(), live);
        set
    }

    fn bytes(&self) -> usize {
        size_of::<Self>()
            + size_of_val(&*self.plain)
            + size_of_val(&*self.remote)
            + self.groups.iter().map(GroupMatch::bytes).sum::<usize>()
    }
}

/// Bytes that count as long as this lives.
#[derive(Debug, Default)]
struct Charge {
    bytes: usize,
    live: Option<Rc<Cell<usize>>>,
}

impl Charge {
    fn new(bytes: usize, live: &Rc<Cell<usize>>) -> Self {
        live.set(live.get() + bytes);
        Self { bytes, live: Some(Rc::clone(live)) }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(live) = &self.live {
            live.set(live.get() - self.bytes);
        }
    }
}
