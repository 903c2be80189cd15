//! The local subscriptions of one pattern and queue group: a list, because a delivery walks it,
//! that can also be taken from in the middle at a price that does not grow with its length.
//!
//! Up to [`SCAN_MAX`] targets a removal scans. Beyond, an index from subscription to place is kept:
//! ten thousand subscribers of one subject that disconnect together must not stop the shard.
//!
//! Invariant: if there is an index, it has exactly one entry per target, and it is right.

use ahash::RandomState;
use smallvec::SmallVec;
use std::collections::HashMap;

use crate::ids::SubId;

use super::LocalTarget;

/// Targets scanned rather than indexed: 512 bytes, a few vector instructions.
const SCAN_MAX: usize = 64;

/// Place of each subscription in the list. Slots are not chosen by a peer, so the hash needs no
/// secret.
type Places = HashMap<SubId, usize, RandomState>;

/// Local subscriptions in no particular order.
#[derive(Debug, Default)]
pub(super) struct Targets {
    list: SmallVec<[LocalTarget; 2]>,
    index: Option<Box<Places>>,
}

impl Targets {
    pub(super) fn as_slice(&self) -> &[LocalTarget] {
        &self.list
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The number of targets as a delta carries it.
    pub(super) fn members(&self) -> u32 {
        u32::try_from(self.list.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn insert(&mut self, target: LocalTarget) {
        if let Some(index) = &mut self.index {
            index.insert(target.sub, self.list.len());
        }
        self.list.push(target);
        if self.index.is_none() && self.list.len() > SCAN_MAX {
            let mut index = Places::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
            index.extend(self.list.iter().enumerate().map(|(place, target)| (target.sub, place)));
            self.index = Some(Box::new(index));
        }
        self.check();
    }

    /// Takes `target` out; false if it was not there.
    pub(super) fn remove(&mut self, target: LocalTarget) -> bool {
        let Some(place) = self.place(target) else { return false };
        self.list.swap_remove(place);
        if let Some(index) = &mut self.index {
            index.remove(&target.sub);
            if let Some(moved) = self.list.get(place) {
                index.insert(moved.sub, place);
            }
        }
        // Half of the bound, so that a list that sways around it does not build an index each time.
        if self.list.len() <= SCAN_MAX / 2 {
            self.index = None;
            if self.list.spilled() {
                self.list.shrink_to_fit();
            }
        }
        self.check();
        true
    }

    fn place(&self, target: LocalTarget) -> Option<usize> {
        match &self.index {
            Some(index) => {
                let place = *index.get(&target.sub)?;
                (self.list.get(place) == Some(&target)).then_some(place)
            }
            None => self.list.iter().position(|present| *present == target),
        }
    }

    fn check(&self) {
        if let Some(index) = &self.index {
            debug_assert_eq!(index.len(), self.list.len(), "one index entry per target");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEXED: u32 = 65;

    fn target(slot: u32) -> LocalTarget {
        LocalTarget { conn: slot % 7, sub: SubId::new(slot) }
    }

    fn filled(count: u32) -> Targets {
        let mut targets = Targets::default();
        (0..count).for_each(|slot| targets.insert(target(slot)));
        targets
    }

    #[test]
    fn removal_works_below_at_and_above_the_index() {
        for count in [1, 2, 3, INDEXED - 2, INDEXED - 1, INDEXED, 1009] {
            let mut targets = filled(count);
            assert_eq!(targets.index.is_some(), targets.len() > SCAN_MAX);
            assert!(!targets.remove(target(count)), "never inserted");
            // 7919 is prime to all counts: every slot once, in no simple order.
            for (slot, left) in (0..count).map(|slot| slot * 7919 % count).zip((0..count).rev()) {
                assert!(targets.remove(target(slot)), "{slot} of {count}");
                assert!(!targets.remove(target(slot)), "only once");
                assert_eq!(targets.members(), left);
            }
            assert!(targets.is_empty() && targets.index.is_none());
        }
    }

    #[test]
    fn another_connection_cannot_take_a_target_away() {
        let mut targets = filled(INDEXED);
        assert!(!targets.remove(LocalTarget { conn: 99, sub: SubId::new(3) }));
        assert_eq!(targets.members(), INDEXED);
    }
}
