//! What this client may do: asked before every PUB and SUB, and of all its subscriptions when its
//! rules change.
//!
//! The verdict on a subject is kept with the memo of the last subject, so that a publisher that
//! stays on one pays nothing for them, and its receivers do not either (`shard/ruled_1_to_1` in
//! `bench/record/instructions.txt`). Any other subject is looked up in the rules: about 500
//! instructions.

use std::sync::Arc;

use crate::authorize::{Replies, Subscribing};
use crate::clock::Now;
use crate::engine::Exchange;
use crate::error::{Named, Violation};
use crate::ids::SubId;
use crate::options::Grant;

use super::client::{ClientSession, Sid};

/// Why a message may be published, or that it may not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    /// This client has no rules.
    Free,
    /// Its rules allow it.
    Allowed,
    /// It answers, on a subject that it was given for that.
    Answering,
    /// It may not.
    Denied,
}

impl ClientSession {
    /// Whether this client may publish to `subject`.
    #[inline]
    pub(super) fn standing(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        subject: &[u8],
    ) -> Standing {
        if self.grant.permissions.is_none() {
            return Standing::Free;
        }
        if self.memo_allowed && self.memo.subject() == subject {
            return Standing::Allowed;
        }
        self.stand_anew(exchange, now, subject)
    }

    #[inline(never)]
    fn stand_anew(&self, exchange: &mut Exchange, now: Now, subject: &[u8]) -> Standing {
        if self.grant.permissions.as_ref().is_none_or(|rules| rules.may_publish(subject)) {
            return Standing::Allowed;
        }
        let replies = exchange.outlets.get_mut(self.conn).and_then(|it| it.replies.as_mut());
        match replies.is_some_and(|replies| replies.allows(now, subject)) {
            true => Standing::Answering,
            false => Standing::Denied,
        }
    }

    /// It published to the subject that the memo remembers now.
    #[inline]
    pub(super) fn published(
        &mut self,
        exchange: &mut Exchange,
        standing: Standing,
        subject: &[u8],
    ) {
        self.memo_allowed = standing == Standing::Allowed;
        if standing == Standing::Answering {
            self.spend(exchange, subject);
        }
    }

    /// It used a subject that it was given for an answer.
    pub(super) fn spend(&self, exchange: &mut Exchange, subject: &[u8]) {
        let outlet = exchange.outlets.get_mut(self.conn);
        if let Some(replies) = outlet.and_then(|outlet| outlet.replies.as_mut()) {
            replies.spend(subject);
        }
    }

    /// Whether this client may subscribe.
    pub(super) fn may_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> Subscribing {
        let rules = self.grant.permissions.as_ref();
        rules.map_or(Subscribing::Allowed(None), |rules| rules.may_subscribe(pattern, queue))
    }

    /// The client is somebody else from now on, or may do other things. Subscriptions that it may
    /// not have any more end, and it is told so; others are kept from other messages.
    pub(super) fn adopt(&mut self, exchange: &mut Exchange, grant: Grant) {
        let old = std::mem::replace(&mut self.grant, grant).permissions;
        self.adopt_replies(exchange);
        // What accounts are told about it may be another name.
        self.crossings.forget();
        if old == self.grant.permissions {
            return;
        }
        self.memo_allowed = false;
        let mut ids: Vec<SubId> = self.subscriptions.values().copied().collect();
        ids.sort_unstable_by_key(|id| id.slot());
        for id in ids {
            self.judge_subscription(exchange, id);
        }
    }

    /// What the client was given to answer on is nothing any more.
    pub(super) fn forget_replies(&self, exchange: &mut Exchange) {
        if let Some(outlet) = exchange.outlets.get_mut(self.conn) {
            outlet.replies = None;
        }
    }

    /// What it was given stays, if its rules say the same about it.
    fn adopt_replies(&self, exchange: &mut Exchange) {
        let total = exchange.outlets.replies_total.clone();
        let Some(outlet) = exchange.outlets.get_mut(self.conn) else { return };
        let rules = self.grant.permissions.as_ref();
        let stays = |replies: &mut Box<Replies>| rules.is_some_and(|rules| replies.judge_by(rules));
        if !outlet.replies.as_mut().is_some_and(stays) {
            let replies = rules.and_then(|rules| Replies::new(rules, &exchange.hasher, &total));
            outlet.replies = replies.map(Box::new);
            exchange.outlets.keeps_replies |= rules.is_some_and(|it| it.responses().is_some());
        }
    }

    fn judge_subscription(&mut self, exchange: &mut Exchange, id: SubId) {
        let Some(subscription) = exchange.subscriptions.get(id) else { return };
        let (pattern, queue) = (Arc::clone(&subscription.pattern), subscription.queue.clone());
        match self.may_subscribe(&pattern, queue.as_deref()) {
            Subscribing::Allowed(guard) => {
                if guard != subscription.guard {
                    exchange.guard(id, guard);
                }
            }
            Subscribing::Denied => {
                let sid = Sid::from_slice(subscription.sid());
                self.subscriptions.remove(&sid);
                self.changes += 1;
                exchange.unsubscribe(id);
                let named = Named::new(&pattern, queue.as_deref(), &sid);
                self.violated(exchange, Violation::Unsubscribed(named));
            }
        }
    }
}
