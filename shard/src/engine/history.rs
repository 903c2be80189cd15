//! Connections that ended, the latest ones: operators ask for them when it is too late to look.
//!
//! Bounds: entries and bytes, each the process's share of this shard; the oldest go first. The
//! memory comes with the entries, so that a shard whose connections never end holds none.

use std::collections::VecDeque;

use crate::clock::Now;
use crate::error::CloseReason;
use crate::limits::{CLOSED_BYTES_MAX, CLOSED_CONNECTIONS_MAX, CLOSED_SUBSCRIPTIONS_MAX};
use crate::session::ClientSession;

use super::{ConnectionView, Exchange, Sighting, SubscriptionView};

/// A connection that ended.
#[derive(Clone, Debug)]
pub struct ClosedView {
    /// As it was at its end.
    pub connection: ConnectionView,
    /// When that was.
    pub stop: Now,
    /// Why it ended.
    pub reason: CloseReason,
    /// Some of its subscriptions, if it had any.
    pub subscriptions: Vec<SubscriptionView>,
}

impl ClosedView {
    /// What is to be seen of a session that is about to end.
    pub(super) fn new(
        session: &ClientSession,
        exchange: &Exchange,
        stop: Now,
        reason: CloseReason,
    ) -> Self {
        let held = session.subscription_ids().filter_map(|id| exchange.subscriptions.get(id));
        Self {
            connection: Sighting::new(session, exchange.outlets.get(session.conn())).keep(),
            stop,
            reason,
            subscriptions: held.take(CLOSED_SUBSCRIPTIONS_MAX).map(Into::into).collect(),
        }
    }

    /// Memory that it holds, about.
    fn bytes(&self) -> usize {
        let ConnectionView { name, lang, version, user, secured, .. } = &self.connection;
        let secured = secured.as_ref().map_or(0, |facts| facts.bytes());
        let user = user.as_ref().map_or(0, |user| user.len());
        let texts = name.len() + lang.len() + version.len() + user + secured;
        let each = |subscription: &SubscriptionView| {
            let queue = subscription.queue.as_ref().map_or(0, |queue| queue.len());
            let texts = subscription.sid.len() + subscription.pattern.len() + queue;
            size_of::<SubscriptionView>() + texts
        };
        size_of::<Self>() + texts + self.subscriptions.iter().map(each).sum::<usize>()
    }
}

/// The latest connections of one shard that ended, the oldest first.
#[derive(Debug)]
pub struct History {
    closed: VecDeque<ClosedView>,
    /// Entries that were forgotten: the number of the first one that is here.
    forgotten: usize,
    bytes: usize,
    most: usize,
    bytes_max: usize,
}

impl History {
    /// An empty history of one of `shards` shards.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        let shards = shards.max(1);
        let (most, bytes_max) = (CLOSED_CONNECTIONS_MAX / shards, CLOSED_BYTES_MAX / shards);
        Self { closed: VecDeque::new(), forgotten: 0, bytes: 0, most, bytes_max }
    }

    /// Remembers one more.
    pub fn push(&mut self, closed: ClosedView) {
        self.bytes += closed.bytes();
        self.closed.push_back(closed);
        while self.closed.len() > self.most || self.bytes > self.bytes_max {
            let Some(oldest) = self.closed.pop_front() else { break };
            self.forgotten += 1;
            self.bytes -= oldest.bytes();
        }
    }

    /// At most `most` of them, the oldest first, from number `from` on; then the number to go on
    /// with, if there are more. Numbers stay while entries come and go; the first one ever is 0.
    pub fn part(
        &self,
        from: usize,
        most: usize,
    ) -> (impl ExactSizeIterator<Item = &ClosedView>, Option<usize>) {
        let begin = from.saturating_sub(self.forgotten).min(self.closed.len());
        let end = begin.saturating_add(most).min(self.closed.len());
        let next = (end < self.closed.len()).then_some(self.forgotten + end);
        (self.closed.range(begin..end), next)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.closed.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.closed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::ids::{ClientId, ConnId};

    use super::*;

    fn ended(cid: u64, name_bytes: usize) -> ClosedView {
        let connection = ConnectionView {
            conn: ConnId::new(0, 0),
            cid: ClientId::new(cid),
            address: ([127, 0, 0, 1], 1).into(),
            start: Now::ZERO,
            active: Now::ZERO,
            round_trip: None,
            pending: 0,
            in_msgs: 0,
            in_bytes: 0,
            out_msgs: 0,
            out_bytes: 0,
            stalls: 0,
            subscriptions: 0,
            name: "n".repeat(name_bytes).into(),
            lang: "".into(),
            version: "".into(),
            user: None,
            account: Arc::from("$G"),
            secured: None,
            proxy: None,
        };
        let reason = CloseReason::ClientClosed;
        ClosedView { connection, stop: Now::ZERO, reason, subscriptions: Vec::new() }
    }

    #[test]
    fn the_latest_are_kept_by_number() {
        let mut history = History::new(4);
        for cid in 0..10_000 {
            history.push(ended(cid, 0));
        }
        assert_eq!(history.len(), CLOSED_CONNECTIONS_MAX / 4);
        let cids = |from, most| {
            let (part, next) = history.part(from, most);
            (part.map(|closed| closed.connection.cid.get()).collect::<Vec<_>>(), next)
        };
        assert_eq!(cids(0, 2), (vec![7_500, 7_501], Some(7_502)));
        assert_eq!(cids(9_998, 5), (vec![9_998, 9_999], None));
        assert_eq!(cids(usize::MAX, 5), (vec![], None));
    }

    #[test]
    fn and_by_bytes() {
        let mut history = History::new(1);
        for cid in 0..100 {
            history.push(ended(cid, CLOSED_BYTES_MAX / 10));
        }
        assert_eq!(history.len(), 9);
        history.push(ended(100, CLOSED_BYTES_MAX));
        assert!(history.is_empty() && history.bytes == 0);
    }
}
