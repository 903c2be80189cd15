//! Fan-out: one message into the outboxes of this shard's own receivers.

use crate::authorize::may_deliver;
use crate::engine::{Subscription, Subscriptions};
use crate::ids::SubId;
use crate::interest::LocalTarget;
use crate::wire::encode;

use super::outlets::{Line, UsualLine};
use super::{Delivered, Head, Message, Outlets};

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
    /// Holds the form of a message with headers for receivers that take none, once one was seen.
    pub scratch: &'a mut Vec<u8>,
    /// Holds the head of a message as another account knows it.
    pub renamed: &'a mut Vec<u8>,
}

impl Fanout<'_> {
    /// Delivers to every one of `targets`.
    #[inline]
    pub fn to_all<'h>(
        &mut self,
        targets: &[LocalTarget],
        head: impl Into<Head<'h>>,
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Reach {
        let head = head.into();
        let usual = self.usual_line(head, message);
        let mut reach = Reach::default();
        for target in targets {
            reach.add(self.deliver(*target, usual.as_ref(), head.text, message, publisher));
        }
        reach
    }

    /// Delivers to the first of `targets`, from `start` on and around, that takes it.
    pub fn to_first<'h>(
        &mut self,
        targets: &[LocalTarget],
        start: usize,
        head: impl Into<Head<'h>>,
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Reach {
        let head = head.into();
        let usual = self.usual_line(head, message);
        let mut reach = Reach::default();
        let (before, after) = targets.split_at(start.min(targets.len()));
        for target in after.iter().chain(before) {
            if reach.add(self.deliver(*target, usual.as_ref(), head.text, message, publisher)) {
                break;
            }
        }
        reach
    }

    /// What is written for nearly all receivers, if nothing has to be noted of it.
    #[inline]
    fn usual_line<'l>(&mut self, head: Head<'l>, message: &Message<'l>) -> Option<UsualLine<'l>> {
        if message.header_len > 0 {
            self.scratch.clear();
        }
        let notes = self.outlets.keeps_replies && !message.reply.is_empty();
        if notes || self.outlets.is_traced() { None } else { UsualLine::new(head, message) }
    }

    /// Delivers to one subscription.
    #[inline(always)]
    fn deliver(
        &mut self,
        target: LocalTarget,
        usual: Option<&UsualLine<'_>>,
        head: &[u8],
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Delivered {
        let delivered = usual.and_then(|line| self.deliver_usual(target, line));
        match delivered {
            Some(delivered) => delivered,
            None => self.deliver_any(target, head, message, publisher),
        }
    }

    /// The same for what nearly all subscriptions and receivers are; nothing, and nothing was done,
    /// if this is not one of those.
    #[inline(always)]
    fn deliver_usual(&mut self, target: LocalTarget, line: &UsualLine<'_>) -> Option<Delivered> {
        let subscription = self.subscriptions.get_mut(target.sub)?;
        if subscription.kin.is_some() || subscription.max != 0 {
            return None;
        }
        let delivered = self.outlets.usual_message(target.conn, &subscription.sid, line)?;
        subscription.delivered += 1;
        Some(delivered)
    }

    #[inline(never)]
    fn deliver_any(
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
        let strips = message.header_len > 0 && !self.outlets.takes_headers(target.conn);
        if strips && self.scratch.is_empty() {
            let Message { reply, header_len, payload, .. } = *message;
            encode::stripped_tail(self.scratch, reply, header_len, payload);
        }
        let line = Line {
            head,
            tail: message.tail,
            payload_len: message.payload.len(),
            header_len: message.header_len,
            stripped: self.scratch,
        };
        let sid = subscription.sid.spaced();
        let delivered = self.outlets.message(target.conn, publisher, sid, &line);
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
            true => self.deliver_any(own, &head, message, publisher),
            false => Delivered::No,
        };
        *self.renamed = head;
        delivered
    }
}
