//! Reply subjects that clients may answer on, kept within a bound for all clients of a shard.
//!
//! Over the bound the client that has most loses its oldest, so that those who are given much
//! cannot take from others what they are to answer. It goes on losing until it has half, before
//! another is looked for: looking at all clients costs little for each that is forgotten.

use crate::limits::REPLIES_SHARD_BYTES_MAX;

use super::Outlets;

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

    /// The slot of a client that has most, or had when it was last looked for.
    fn replies_loser(&mut self) -> Option<u32> {
        if let Some((slot, floor)) = self.loser
            && self.replies_of(slot).is_some_and(|replies| replies.bytes() > floor)
        {
            return Some(slot);
        }
        let mut most = None;
        for slot in 0..u32::try_from(self.slots()).unwrap_or(u32::MAX) {
            let now = self.now;
            let Some(replies) = self.replies_of(slot) else { continue };
            replies.expire(now);
            most = most.max(Some((replies.bytes(), slot)));
        }
        let (bytes, slot) = most.filter(|(bytes, _)| *bytes > 0)?;
        self.loser = Some((slot, bytes / 2));
        Some(slot)
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
        // Who goes takes what was counted along.
        for slot in 0..=greedy {
            outlets.get_mut(ConnId::new(slot, 0)).unwrap().replies = None;
        }
        assert_eq!(outlets.replies_total.bytes(), 0);
    }
}
