//! Reply subjects that clients may answer on, kept within a bound for all clients of a shard.
//!
//! Over the bound the client that has most loses its oldest, so that those who are given much
//! cannot take from others what they are to answer. To look at all clients for each that is
//! forgotten would cost too much: one look finds all that have much, see [`Shares`].

use crate::limits::REPLIES_SHARD_BYTES_MAX;

use super::Outlets;

/// What those who share a bound have, all together.
///
/// Over the bound, those who have three quarters of the average or more lose half of it, one after
/// the other, then it is looked anew. They have at least a quarter of it all, so each look at
/// everybody makes room for an eighth of the bound, however it is spread; who has less than most
/// loses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shares {
    sharers: usize,
    total: usize,
}

impl Shares {
    /// Of those that have so many bytes each.
    pub(super) fn of(sizes: impl Iterator<Item = usize>) -> Self {
        let mut shares = Self::default();
        for bytes in sizes.filter(|bytes| *bytes > 0) {
            shares.sharers += 1;
            shares.total += bytes;
        }
        shares
    }

    /// Who has so many bytes loses some.
    pub(super) fn much(self) -> usize {
        (self.total / self.sharers.max(1) * 3 / 4).max(1)
    }
}

impl Outlets {
    /// The connection in `slot` was sent a message that asks for answers on `reply`.
    #[cold]
    #[inline(never)]
    pub fn note_reply(&mut self, slot: u32, reply: &[u8]) {
        let now = self.now;
        if let Some(replies) = self.replies_of(slot) {
            replies.note(now, reply);
        }
        while self.replies_total.bytes() > REPLIES_SHARD_BYTES_MAX {
            let Some(loser) = self.replies_loser() else { return };
            if !self.replies_of(loser).is_some_and(crate::authorize::Replies::forget_oldest) {
                self.loser = None;
            }
        }
    }

    /// The slot of a client that has much, as of when that was last looked for.
    fn replies_loser(&mut self) -> Option<u32> {
        if let Some((slot, floor)) = self.loser
            && self.replies_of(slot).is_some_and(|replies| replies.bytes() > floor)
        {
            return Some(slot);
        }
        let (slot, bytes) = self.next_loser().or_else(|| {
            self.look_for_losers();
            self.next_loser()
        })?;
        self.loser = Some((slot, bytes / 2));
        Some(slot)
    }

    fn next_loser(&mut self) -> Option<(u32, usize)> {
        while let Some(slot) = self.losers.pop() {
            let bytes = self.replies_of(slot).map_or(0, |replies| replies.bytes());
            if bytes >= self.much {
                return Some((slot, bytes));
            }
        }
        None
    }

    fn look_for_losers(&mut self) {
        let (now, slots) = (self.now, u32::try_from(self.slots()).unwrap_or(u32::MAX));
        self.looks += 1;
        let mut sizes = Vec::new();
        for slot in 0..slots {
            let Some(replies) = self.replies_of(slot) else { continue };
            replies.expire(now);
            sizes.push((slot, replies.bytes()));
        }
        self.much = Shares::of(sizes.iter().map(|(_, bytes)| *bytes)).much();
        let losers = sizes.into_iter().filter(|(_, bytes)| *bytes >= self.much);
        self.losers.extend(losers.map(|(slot, _)| slot));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ahash::RandomState;

    use super::*;
    use crate::authorize::{Lists, Permissions, Replies, Responses, Rules};
    use crate::ids::ConnId;
    use crate::limits::REPLIES_BYTES_MAX;

    #[test]
    fn who_is_given_little_keeps_it() {
        let responses = Some(Responses { max: None, ttl: None });
        let publish = Lists { allow: Some(vec!["own".to_owned()]), deny: Vec::new() };
        let rules = Rules { publish, responses, ..Rules::default() };
        let permissions = Arc::new(Permissions::new(rules).unwrap());
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        let mut outlets = Outlets::new(1 << 20, false, 0);
        let greedy = u32::try_from(REPLIES_SHARD_BYTES_MAX / REPLIES_BYTES_MAX + 2).unwrap();
        for slot in 0..=greedy {
            let conn = ConnId::new(slot, 0);
            outlets.open(conn);
            let total = outlets.replies_total.clone();
            let replies = Replies::new(&permissions, &hasher, &total).map(Box::new);
            outlets.get_mut(conn).unwrap().replies = replies;
        }
        let name = |number: u32| format!("_INBOX.{number:0>200}").into_bytes();
        for number in 0..100 {
            outlets.note_reply(greedy, &name(number));
        }
        for number in 0..25_000 {
            for slot in 0..greedy {
                outlets.note_reply(slot, &name(number));
            }
            assert!(outlets.replies_total.bytes() <= REPLIES_SHARD_BYTES_MAX);
        }
        let sum = |outlets: &mut Outlets| {
            let bytes = |slot| outlets.replies_of(slot).map(|replies| replies.bytes());
            (0..=greedy).filter_map(bytes).sum::<usize>()
        };
        assert_eq!(outlets.replies_total.bytes(), sum(&mut outlets));
        assert_eq!(outlets.replies_of(greedy).unwrap().len(), 100);
        for slot in 0..greedy {
            let held = outlets.replies_of(slot).unwrap().bytes();
            assert!(held > REPLIES_BYTES_MAX / 4, "{slot}: {held}");
        }
        // Even loads are the worst case for looking.
        assert!(outlets.looks < 200, "{} looks", outlets.looks);
        // Who goes takes what was counted along.
        for slot in 0..=greedy {
            outlets.get_mut(ConnId::new(slot, 0)).unwrap().replies = None;
        }
        assert_eq!(outlets.replies_total.bytes(), 0);
    }
}
