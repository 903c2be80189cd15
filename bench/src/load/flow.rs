//! Flow control between publishers and subscribers, outside the server.
//!
//! A server that lags must not be hidden behind endless buffers, nor may a subscriber become a slow
//! consumer (64 MiB pending by default). So publishers stay at most a window ahead of what
//! subscribers have checked: 16 MiB of delivered frames per subscriber, 64 MiB over all, and never
//! less than the batches that the publishers have in their hands.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::scenario::Delivery;

/// Bytes on the way to one subscriber.
const WINDOW_BYTES: usize = 16 * 1_024 * 1_024;
/// Bytes on the way to all subscribers.
const WINDOW_BYTES_ALL: usize = 64 * 1_024 * 1_024;

/// A counter with one writer, alone on its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }
}

/// How far everyone is.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) published: Vec<Counter>,
    pub(super) received: Vec<Counter>,
    delivery: Delivery,
    /// Messages a publisher may be ahead.
    window: u64,
}

impl Flow {
    pub(super) fn new(
        publishers: usize,
        subscribers: usize,
        delivery: Delivery,
        frame_len: usize,
        batch_frames: u64,
    ) -> Self {
        let counters = |count| (0..count).map(|_| Counter::default()).collect();
        let bytes = WINDOW_BYTES.min(WINDOW_BYTES_ALL / subscribers.max(1));
        let least = batch_frames * 2 * publishers as u64;
        Self {
            published: counters(publishers),
            received: counters(subscribers),
            delivery,
            window: ((bytes / frame_len) as u64).max(least),
        }
    }

    /// May this publisher send that many more?
    pub(super) fn has_room(&self, publisher: usize, frames: u64) -> bool {
        let (published, received) = match self.delivery {
            _ if self.received.is_empty() => return true,
            Delivery::All => {
                let slowest = self.received.iter().map(Counter::get).min().unwrap_or(0);
                (total(&self.published), slowest)
            }
            Delivery::Queue => (total(&self.published), total(&self.received)),
            Delivery::Pairs => (self.published[publisher].get(), self.received[publisher].get()),
        };
        published + frames <= received + self.window
    }

    /// Messages received, or published if nobody listens.
    pub(super) fn operations(&self) -> u64 {
        if self.received.is_empty() { total(&self.published) } else { total(&self.received) }
    }

    /// How many messages this subscriber must have got in the end; a queue member alone has no such
    /// number.
    pub(super) fn expected(&self, subscriber: usize) -> Option<u64> {
        match self.delivery {
            Delivery::All => Some(total(&self.published)),
            Delivery::Pairs => Some(self.published[subscriber].get()),
            Delivery::Queue => None,
        }
    }

    /// True if everyone has everything.
    pub(super) fn complete(&self) -> bool {
        match self.delivery {
            _ if self.received.is_empty() => true,
            Delivery::Queue => total(&self.received) >= total(&self.published),
            Delivery::All | Delivery::Pairs => (self.received.iter().enumerate())
                .all(|(idx, received)| Some(received.get()) >= self.expected(idx)),
        }
    }
}

pub(super) fn total(counters: &[Counter]) -> u64 {
    counters.iter().map(Counter::get).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slowest_subscriber_holds_the_publisher() {
        let flow = Flow::new(1, 2, Delivery::All, 1_024 * 1_024, 1);
        flow.published[0].set(16);
        flow.received[0].set(16);
        assert!(!flow.has_room(0, 1));
        flow.received[1].set(1);
        assert!(flow.has_room(0, 1));
        assert!(!flow.complete());
        flow.received[1].set(16);
        assert!(flow.complete());
    }

    #[test]
    fn queue_members_count_together_and_pairs_apart() {
        let queue = Flow::new(1, 2, Delivery::Queue, 32, 1);
        queue.published[0].set(10);
        queue.received[0].set(4);
        assert!(!queue.complete());
        queue.received[1].set(6);
        assert!(queue.complete());
        let pairs = Flow::new(2, 2, Delivery::Pairs, 1_024 * 1_024, 1);
        pairs.published[0].set(16);
        assert!(!pairs.has_room(0, 1));
        assert!(pairs.has_room(1, 1));
    }

    #[test]
    fn publish_only_has_no_window() {
        let flow = Flow::new(1, 0, Delivery::All, 32, 1);
        flow.published[0].set(u64::MAX / 2);
        assert!(flow.has_room(0, 1) && flow.complete());
        assert_eq!(flow.operations(), u64::MAX / 2);
    }
}
