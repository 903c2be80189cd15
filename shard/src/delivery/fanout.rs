//! Fan-out: one message into the outboxes of this shard's own receivers.

use crate::authorize::may_deliver;
use crate::engine::{Subscription, Subscriptions};
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
    /// Holds the head of a message as another account knows it.
    pub renamed: &'a mut Vec<u8>,
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
        if subscription.kin.is_some() && subscription.is_shadow() {
            return self.deliver_across(target, message, publisher);
        }
        if subscription.max != 0 && subscription.delivered >= subscription.max {
            return Delivered::No;
        }
        let line = Line {
            head,
            sid: &subscription.sid,
            tail: message.tail,
            payload_len: message.payload.len(),
            header_len: message.header_len,
            stripped: self.scratch,
        };
        let delivered = self.outlets.message(target.conn, publisher, &line);
        if delivered != Delivered::No {
            subscription.delivered += 1;
            if self.outlets.keeps_replies && !message.reply.is_empty() {
                self.outlets.note_reply(target.conn, message.reply);
            }
            if subscription.delivered == subscription.max {
                self.expired.push(target.sub);
            }
        }
        delivered
    }

    /// Delivers to a subscription of another account, as it knows the subject. It counts as one
    /// that the subscription itself got.
    #[cold]
    fn deliver_across(
        &mut self,
        target: LocalTarget,
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Delivered {
        let shadow = self.subscriptions.get(target.sub).and_then(Subscription::shadow);
        let Some((shadow, import)) = shadow
            .filter(|_| !message.imported)
            .and_then(|shadow| Some((shadow, shadow.import()?)))
        else {
            return Delivered::No;
        };
        let mut head = std::mem::take(self.renamed);
        head.clear();
        head.extend_from_slice(b"MSG ");
        import.rename(message.subject, &mut head);
        head.push(b' ');
        let own = LocalTarget { sub: shadow.of, ..target };
        // The rules of its holder are about what it is given, not about what that is elsewhere.
        let subject = head.get(b"MSG ".len()..head.len() - 1).unwrap_or_default();
        let allowed = self
            .subscriptions
            .get(shadow.of)
            .is_some_and(|own| may_deliver(own.guard.as_deref(), subject, own.queue.as_deref()));
        let delivered = match allowed {
            true => self.deliver(own, &head, message, publisher),
            false => Delivered::No,
        };
        *self.renamed = head;
        delivered
    }
}
