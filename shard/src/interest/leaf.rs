//! Who wants one pattern: the end of a path in the trie, or one literal pattern.
//!
//! Sized for the common case of one subscriber, here or on a few other shards: that needs no
//! allocation beyond the leaf. Queue groups are ordered by name, so that thousands of them on one
//! pattern cost a search each and not a scan.
//!
//! Subscriptions with a guard are kept apart by what keeps them from some messages, with counts and
//! groups of their own, here and in what the shards tell each other. So every shard knows for each
//! subject who may have it, wherever that is.
//!
//! Invariant: an empty leaf exists only between two steps of one edit.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use smallvec::SmallVec;

use crate::authorize::{Denial, Guard};
use crate::ids::ShardId;

use super::delta::{Change, Effect, Want};
use super::match_set::MatchSet;
use super::queue_group::Group;
use super::targets::Targets;

/// Queue groups by name.
type Groups = BTreeMap<Rc<[u8]>, Group>;

/// Those who do not get everything, by what keeps them from it.
type Guarded = BTreeMap<Arc<Guard>, Members>;

/// Interest in one pattern, of this shard and of the others.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    /// Who gets whatever matches.
    open: Members,
    /// Who does not, by what keeps them from some of it. Boxed because most patterns have none;
    /// never empty.
    guarded: Option<Box<Guarded>>,
    /// The match set of subjects that match this pattern and no other, and that no guard keeps from
    /// anybody, as long as somebody holds it. Weak, so that its bytes are bounded by the cache and
    /// not by the number of patterns.
    alone: RefCell<Weak<MatchSet>>,
}

/// Those of one leaf that one guard holds for, or none.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) plain: Targets,
    /// Other shards with plain subscriptions.
    pub(super) remote: SmallVec<[ShardId; 8]>,
    /// Boxed because most patterns have none; never empty.
    groups: Option<Box<Groups>>,
}

/// Members as one subject sees them.
#[derive(Debug)]
pub(super) struct Part<'l> {
    pub(super) members: &'l Members,
    /// Which of them do not get it.
    pub(super) denial: Denial<'l>,
}

/// What a match set is made of: nearly always few.
pub(super) type Parts<'l> = SmallVec<[Part<'l>; 4]>;

impl<'l> Part<'l> {
    /// The groups that get it.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&'l Rc<[u8]>, &'l Group)> {
        let groups = self.members.groups.iter().flat_map(|groups| groups.iter());
        groups.filter(|(name, _)| !self.denial.concerns(Some(name)))
    }
}

impl Leaf {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty() && self.guarded.is_none()
    }

    /// Adds what there is of it for a subject that matches.
    pub(super) fn parts<'l>(&'l self, subject: &[u8], parts: &mut Parts<'l>) {
        parts.push(Part { members: &self.open, denial: Denial::Nobody });
        for (guard, members) in self.guarded.iter().flat_map(|guarded| guarded.iter()) {
            parts.push(Part { members, denial: guard.denial(subject) });
        }
    }

    /// The match set of a subject that matches this pattern only.
    pub(super) fn alone(&self, subject: &[u8]) -> Rc<MatchSet> {
        let mut guards = self.guarded.iter().flat_map(|guarded| guarded.keys());
        if guards.any(|guard| guard.denial(subject) != Denial::Nobody) {
            return Rc::new(MatchSet::of_leaves(&[self], subject));
        }
        let mut alone = self.alone.borrow_mut();
        if let Some(set) = alone.upgrade() {
            return set;
        }
        let set = Rc::new(MatchSet::of_leaves(&[self], subject));
        *alone = Rc::downgrade(&set);
        set
    }

    pub(super) fn apply(&mut self, want: Want<'_>, change: Change) -> Effect {
        let effect = match want.guard {
            None => self.open.apply(want.queue, change),
            Some(guard) => self.apply_guarded(guard, want.queue, change),
        };
        if effect.changed {
            *self.alone.get_mut() = Weak::new();
        }
        effect
    }

    fn apply_guarded(
        &mut self,
        guard: &Arc<Guard>,
        queue: Option<&[u8]>,
        change: Change,
    ) -> Effect {
        let guarded = self.guarded.get_or_insert_default();
        let members = match guarded.get_mut(guard) {
            Some(members) => members,
            None => guarded.entry(Arc::clone(guard)).or_default(),
        };
        let effect = members.apply(queue, change);
        if members.is_empty() {
            guarded.remove(guard);
        }
        if guarded.is_empty() {
            self.guarded = None;
        }
        effect
    }
}

impl Members {
    fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.remote.is_empty() && self.groups.is_none()
    }

    fn apply(&mut self, queue: Option<&[u8]>, change: Change) -> Effect {
        match queue {
            Some(name) => self.apply_group(name, change),
            None => self.apply_plain(change),
        }
    }

    fn apply_plain(&mut self, change: Change) -> Effect {
        match change {
            Change::Join(target) => {
                self.plain.insert(target);
                Effect { changed: true, members: (self.plain.len() == 1).then_some(1) }
            }
            Change::Leave(target) if self.plain.remove(target) => {
                Effect { changed: true, members: self.plain.is_empty().then_some(0) }
            }
            Change::Leave(_) => Effect::default(),
            Change::Elsewhere(shard, members) => {
                Effect { changed: self.set_remote(shard, members > 0), members: None }
            }
        }
    }

    fn set_remote(&mut self, shard: ShardId, wants: bool) -> bool {
        match self.remote.iter().position(|present| *present == shard) {
            Some(place) if !wants => {
                self.remote.swap_remove(place);
                true
            }
            None if wants => {
                self.remote.push(shard);
                true
            }
            _ => false,
        }
    }

    fn apply_group(&mut self, name: &[u8], change: Change) -> Effect {
        let groups = self.groups.get_or_insert_default();
        let effect = match groups.get_mut(name) {
            Some(group) => {
                let effect = group.apply(change);
                if group.is_empty() {
                    groups.remove(name);
                }
                effect
            }
            None => {
                let mut group = Group::default();
                let effect = group.apply(change);
                if !group.is_empty() {
                    groups.insert(Rc::from(name), group);
                }
                effect
            }
        };
        if groups.is_empty() {
            self.groups = None;
        }
        effect
    }
}
