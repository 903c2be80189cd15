//! Queue groups: members here, member counts elsewhere, and the choice of one.
//!
//! The publisher's shard picks uniformly over all members of all shards. If it picks another shard,
//! that shard picks the member; so a shard weighs as much as it has members.

use std::rc::Rc;

use smallvec::SmallVec;

use crate::ids::ShardId;

use super::LocalTarget;
use super::delta::{Change, Effect};
use super::targets::Targets;

/// One queue group of one pattern.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) members: Targets,
    /// Shards with members, and how many; never zero.
    pub(super) remote: SmallVec<[(ShardId, u32); 2]>,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.remote.is_empty()
    }

    pub(super) fn apply(&mut self, change: Change) -> Effect {
        match change {
            Change::Join(target) => {
                self.members.insert(target);
                Effect { changed: true, members: Some(self.members.members()) }
            }
            Change::Leave(target) if self.members.remove(target) => {
                Effect { changed: true, members: Some(self.members.members()) }
            }
            Change::Leave(_) => Effect::default(),
            Change::Elsewhere(shard, members) => {
                Effect { changed: self.set_remote(shard, members), members: None }
            }
        }
    }

    fn set_remote(&mut self, shard: ShardId, members: u32) -> bool {
        match self.remote.iter().position(|(present, _)| *present == shard) {
            Some(place) if members == 0 => {
                self.remote.swap_remove(place);
                true
            }
            Some(place) => std::mem::replace(&mut self.remote[place].1, members) != members,
            None if members == 0 => false,
            None => {
                self.remote.push((shard, members));
                true
            }
        }
    }
}

/// A queue group as one subject sees it: the members under every matching pattern, taken together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GroupMatch {
    /// Name of the queue group.
    pub name: Rc<[u8]>,
    /// Members on this shard.
    pub local: Box<[LocalTarget]>,
    /// Other shards with members, and how many; each shard once, none with zero.
    pub remote: Box<[(ShardId, u32)]>,
    remote_total: u64,
}

/// Who gets the message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pick {
    /// The member at this index of [`GroupMatch::local`].
    Local(usize),
    /// A member of that shard; it chooses which.
    Shard(ShardId),
}

impl GroupMatch {
    /// A group of these members; weights of a shard that is named twice are added up.
    #[must_use]
    pub fn new(name: Rc<[u8]>, local: Box<[LocalTarget]>, remote: &[(ShardId, u32)]) -> Self {
        let mut merged: Vec<(ShardId, u32)> = Vec::with_capacity(remote.len());
        for &(shard, members) in remote {
            match merged.iter_mut().find(|(present, _)| *present == shard) {
                Some((_, sum)) => *sum = sum.saturating_add(members),
                None => merged.push((shard, members)),
            }
        }
        let remote_total = merged.iter().map(|(_, members)| u64::from(*members)).sum();
        Self { name, local, remote: merged.into_boxed_slice(), remote_total }
    }

    /// The group `name` made of its `parts` under the patterns that match.
    pub(super) fn merge(name: &Rc<[u8]>, parts: &[(&Rc<[u8]>, &Group)]) -> Self {
        let mut local = Vec::with_capacity(parts.iter().map(|(_, part)| part.members.len()).sum());
        let mut remote: SmallVec<[(ShardId, u32); 16]> = SmallVec::new();
        for (_, part) in parts {
            local.extend_from_slice(part.members.as_slice());
            remote.extend_from_slice(&part.remote);
        }
        Self::new(Rc::clone(name), local.into_boxed_slice(), &remote)
    }

    /// Members on all shards.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.local.len() as u64 + self.remote_total
    }

    /// One of all members, each equally likely if `random` is uniform over all of `u64`. `None`
    /// only if the group has no member.
    #[must_use]
    pub fn pick(&self, random: u64) -> Option<Pick> {
        let position = scale(random, self.total())?;
        match usize::try_from(position) {
            Ok(index) if index < self.local.len() => Some(Pick::Local(index)),
            _ => self.shard_at(position - self.local.len() as u64).map(Pick::Shard),
        }
    }

    /// Another shard with members, likely in proportion to their number: for a message that was
    /// sent here for a member that is gone.
    #[must_use]
    pub fn pick_remote(&self, random: u64) -> Option<ShardId> {
        self.shard_at(scale(random, self.remote_total)?)
    }

    fn shard_at(&self, mut position: u64) -> Option<ShardId> {
        for &(shard, members) in &self.remote {
            match position.checked_sub(u64::from(members)) {
                Some(rest) => position = rest,
                None => return Some(shard),
            }
        }
        None
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.local) + size_of_val(&*self.remote)
    }
}

/// Maps a uniform `random` to `0..bound` by multiplication: no division, and a bias below
/// `bound / 2^64`.
fn scale(random: u64, bound: u64) -> Option<u64> {
    let scaled = (u128::from(random) * u128::from(bound)) >> u64::BITS;
    (bound > 0).then_some(u64::try_from(scaled).unwrap_or(0))
}
