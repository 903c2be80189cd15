//! SUB and UNSUB.
//!
//! A change of interest is told to the other shards before anything that follows from it leaves
//! this one. If they cannot be told now, the operation waits, and only its connection with it.

use std::sync::Arc;

use crate::authorize::Subscribing;
use crate::engine::{Exchange, SpacedSid, Subscription};
use crate::error::{Named, Violation};
use crate::interest::Want;
use crate::subject;
use crate::wire::encode;

use super::client::{ClientSession, Flow, Halt, Sid};

/// A queue group that the system keeps for itself.
const SYSTEM_QUEUE: &[u8] = b"_sys_";

impl ClientSession {
    pub(super) fn subscribe(
        &mut self,
        exchange: &mut Exchange,
        pattern: &[u8],
        queue: Option<&[u8]>,
        sid: &[u8],
    ) -> Flow {
        if !exchange.may_change_interest() {
            return Flow::Retry(Halt::Control);
        }
        let guard = match self.may_subscribe(pattern, queue) {
            Subscribing::Allowed(guard) if queue != Some(SYSTEM_QUEUE) => guard,
            _ => {
                let named = Named::new(pattern, queue, sid);
                return self.violated(exchange, Violation::SubscribeTo(named));
            }
        };
        let limits = &exchange.options.limits;
        let within = |most: Option<usize>, count: usize| {
            self.internal || most.is_none_or(|most| count <= most)
        };
        if !within(limits.subscription_tokens, subject::token_count(pattern)) {
            let named = Named::new(pattern, queue, sid);
            return self.violated(exchange, Violation::TooManyTokens(named));
        }
        if !within(self.allowed.subscriptions, self.subscriptions.len() + 1) {
            return self.violated(exchange, Violation::MaxSubscriptions);
        }
        if !self.subscriptions.contains_key(sid) {
            if !subject::is_valid_pattern(pattern) {
                return self.violated(exchange, Violation::InvalidSubject);
            }
            if !exchange.may_subscribe(self.grant.account, pattern) {
                return Flow::Retry(Halt::Control);
            }
            self.register(exchange, Want { queue, guard: guard.as_ref() }, pattern, sid);
        }
        if self.connect.verbose {
            self.tell(exchange, encode::OK);
        }
        Flow::Next
    }

    fn register(&mut self, exchange: &mut Exchange, want: Want<'_>, pattern: &[u8], sid: &[u8]) {
        let id = exchange.subscribe(Subscription {
            conn: self.conn,
            sid: SpacedSid::new(sid),
            delivered: 0,
            max: 0,
            account: self.grant.account,
            pattern: Arc::from(pattern),
            queue: want.queue.map(Arc::from),
            guard: want.guard.cloned(),
            kin: None,
        });
        self.subscriptions.insert(Sid::from_slice(sid), id);
        self.changes += 1;
    }

    pub(super) fn unsubscribe(
        &mut self,
        exchange: &mut Exchange,
        sid: &[u8],
        max: Option<u64>,
    ) -> Flow {
        if !exchange.may_change_interest() {
            return Flow::Retry(Halt::Control);
        }
        if let Some(&id) = self.subscriptions.get(sid) {
            self.changes += 1;
            let left = exchange
                .subscriptions
                .get_mut(id)
                .zip(max)
                .filter(|(subscription, max)| *max > subscription.delivered);
            if let Some((subscription, max)) = left {
                subscription.max = max;
            } else {
                self.subscriptions.remove(sid);
                exchange.unsubscribe(id);
            }
        }
        if self.connect.verbose {
            self.tell(exchange, encode::OK);
        }
        Flow::Next
    }

    /// All subscriptions end.
    pub(super) fn drop_subscriptions(&mut self, exchange: &mut Exchange) {
        for (_, id) in self.subscriptions.drain() {
            exchange.unsubscribe(id);
        }
        self.subscriptions.shrink_to_fit();
    }
}
