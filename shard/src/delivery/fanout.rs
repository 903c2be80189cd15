//! Fan-out: one message into the outboxes of this shard's own receivers.

use crate::engine::Subscriptions;
use crate::ids::SubId;
use crate::interest::LocalTarget;
use crate::wire::encode;

use super::outlets::Line;
use super::{Delivered, Message, Outlets};

/// What one message reached so far, on this shard.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// A receiver that keeps up.
    pub keeping_up: bool,
    /// A receiver that has fallen behind.
    pub behind: bool,
}

impl Reach {
    /// Whether anybody got it.
    #[must_use]
    pub fn any(self) -> bool {
        self.keeping_up || self.behind
    }

    /// Both together.
    pub fn merge(&mut self, other: Self) {
        self.keeping_up |= other.keeping_up;
        self.behind |= other.behind;
    }

    fn add(&mut self, delivered: Delivered) -> bool {
        match delivered {
            Delivered::No => return false,
            Delivered::Yes => self.keeping_up = true,
            Delivered::Behind => self.behind = true,
        }
        true
    }
}

/// One message on its way to local receivers.
pub struct Fanout<'a> {
    /// Where it goes.
    pub outlets: &'a mut Outlets,
    /// Whose subscriptions matched.
    pub subscriptions: &'a mut Subscriptions,
    /// Subscriptions that have now had all they asked for, to be removed when this message is done.
    pub expired: &'a mut Vec<SubId>,
    /// Holds the form of a message with headers for receivers that take none.
    pub scratch: &'a mut Vec<u8>,
}

impl Fanout<'_> {
    /// Delivers to every one of `targets`.
    #[inline]
    pub fn to_all(
        &mut self,
        targets: &[LocalTarget],
        head: &[u8],
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Reach {
        let mut reach = Reach::default();
        self.strip(message);
        for target in targets {
            reach.add(self.deliver(*target, head, message, publisher));
        }
        reach
    }

    /// Delivers to the first of `targets`, from `start` on and around, that takes it.
    pub fn to_first(
        &mut self,
        targets: &[LocalTarget],
        start: usize,
        head: &[u8],
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Reach {
        let mut reach = Reach::default();
        self.strip(message);
        let (before, after) = targets.split_at(start.min(targets.len()));
        for target in after.iter().chain(before) {
            if reach.add(self.deliver(*target, head, message, publisher)) {
                break;
            }
        }
        reach
    }

    /// Prepares the form without headers, if this message has any.
    fn strip(&mut self, message: &Message<'_>) {
        if message.header_len > 0 {
            self.scratch.clear();
            let Message { reply, header_len, payload, .. } = *message;
            encode::stripped_tail(self.scratch, reply, header_len, payload);
        }
    }

    #[inline]
    fn deliver(
        &mut self,
        target: LocalTarget,
        head: &[u8],
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Delivered {
        let Some(subscription) = self.subscriptions.get_mut(target.sub) else {
            return Delivered::No;
        };
        if subscription.max != 0 && subscription.delivered >= subscription.max {
            return Delivered::No;
        }
        let line = Line {
            head,
            sid: &subscription.sid,
            reply: message.reply,
            tail: message.tail,
            payload_len: message.payload.len(),
            header_len: message.header_len,
            stripped: self.scratch,
        };
        let delivered = self.outlets.message(target.conn, publisher, &line);
        if delivered != Delivered::No {
            subscription.delivered += 1;
            if subscription.delivered == subscription.max {
                self.expired.push(target.sub);
            }
        }
        delivered
    }
}
