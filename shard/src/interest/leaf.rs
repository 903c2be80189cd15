//! Who wants one pattern: the end of a path in the trie, or one literal pattern.
//!
//! Sized for the common case of one subscriber, here or on a few other shards: that needs no
//! allocation beyond the leaf. Queue groups are ordered by name, so that thousands of them on one
//! pattern cost a search each and not a scan.
//!
//! Invariant: an empty leaf exists only between two steps of one edit.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

use smallvec::SmallVec;

use crate::ids::ShardId;

use super::delta::{Change, Effect};
use super::match_set::{LocalTarget, MatchSet};
use super::queue_group::Group;
use super::targets::Targets;

/// Queue groups by name.
type Groups = BTreeMap<Rc<[u8]>, Group>;

/// Interest in one pattern, of this shard and of the others.
#[derive(Debug, Default)]
pub(super) struct Leaf {
    plain: Targets,
    /// Other shards with plain subscriptions.
    remote: SmallVec<[ShardId; 8]>,
    /// Boxed because most patterns have none; never empty.
    groups: Option<Box<Groups>>,
    /// The match set of subjects that match this pattern and no other, as long as somebody holds
    /// it. Weak, so that its bytes are bounded by the cache and not by the number of patterns.
    alone: RefCell<Weak<MatchSet>>,
}

impl Leaf {
    pub(super) fn plain(&self) -> &[LocalTarget] {
        self.plain.as_slice()
    }

    pub(super) fn remote(&self) -> &[ShardId] {
        &self.remote
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&Rc<[u8]>, &Group)> {
        self.groups.iter().flat_map(|groups| groups.iter())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.plain.is_empty() && self.remote.is_empty() && self.groups.is_none()
    }

    /// The match set of a subject that matches this pattern only.
    pub(super) fn alone(&self) -> Rc<MatchSet> {
        let mut alone = self.alone.borrow_mut();
        if let Some(set) = alone.upgrade() {
            return set;
        }
        let set = Rc::new(MatchSet::gather(&[self]));
        *alone = Rc::downgrade(&set);
        set
    }

    pub(super) fn apply(&mut self, queue: Option<&[u8]>, change: Change) -> Effect {
        let effect = match queue {
            Some(name) => self.apply_group(name, change),
            None => self.apply_plain(change),
        };
        if effect.changed {
            *self.alone.get_mut() = Weak::new();
        }
        effect
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
