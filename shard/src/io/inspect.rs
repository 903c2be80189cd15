//! Looking into shards that run, from any other thread.
//!
//! Whoever wants to see something hands every shard a closure; each runs it between two turns and
//! sends back what it returns. Nothing is locked, and nothing is counted on the data path for it.
//! A closure must be short: while it runs, its shard serves nobody. Who wants to see much asks
//! again and again for a little, as [`Inspector::gather`] does.
//!
//! A shard that does not answer in time is reported, not waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::clock::Now;
use crate::engine::Shard;
use crate::ids::ShardId;

use super::Order;
use super::clock::Clock;
use super::pace::LoopStats;
use super::wake::Waker;

/// How long a shard is given to answer: far more than any turn takes, even on a shared core.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// A shard between two turns.
pub struct Sight<'a> {
    /// Which one.
    pub me: ShardId,
    /// Now.
    pub now: Now,
    /// The shard.
    pub shard: &'a Shard,
    /// What its loop has done.
    pub pace: LoopStats,
}

/// What a shard runs.
pub(crate) type Look = Box<dyn FnOnce(&Sight<'_>) + Send>;

/// A shard did not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stuck(pub ShardId);

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "shard {} does not answer", self.0)
    }
}

impl std::error::Error for Stuck {}

/// Looks into the shards of a process. Cheap to clone, usable from any thread but those of shards.
#[derive(Clone)]
pub struct Inspector {
    pub(super) orders: Arc<[Sender<Order>]>,
    pub(super) wakers: Arc<[Waker]>,
    pub(super) clock: Clock,
}

/// One step of [`Inspector::gather`]: what was found, and where to go on; nothing if that was all.
pub type Slice<T> = (T, Option<usize>);

impl Default for Inspector {
    /// Of a process that has no shards.
    fn default() -> Self {
        Self { orders: Arc::new([]), wakers: Arc::new([]), clock: Clock::start() }
    }
}

impl Inspector {
    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.orders.len()
    }

    /// The moment it is, as shards count.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.now()
    }

    /// What `look` sees on each shard, in their order.
    pub fn inspect<T: Send + 'static>(
        &self,
        look: impl Fn(&Sight<'_>) -> T + Clone + Send + 'static,
    ) -> Vec<Result<T, Stuck>> {
        let deadline = Instant::now() + PATIENCE;
        let asked: Vec<_> = ShardId::all(self.shards())
            .map(|shard| (shard, self.ask(shard, look.clone())))
            .collect();
        let wait = |(shard, answer): (ShardId, Receiver<T>)| {
            answer.recv_deadline(deadline).map_err(|_| Stuck(shard))
        };
        asked.into_iter().map(wait).collect()
    }

    /// What `look` sees on each shard, slice by slice: it is given where to begin, first 0, and
    /// says where to go on. Between two slices a shard works as always. All shards are looked at
    /// side by side.
    pub fn gather<T: Send + 'static>(
        &self,
        look: impl Fn(&Sight<'_>, usize) -> Slice<T> + Clone + Send + 'static,
    ) -> Vec<Result<Vec<T>, Stuck>> {
        let ask = |shard, from| {
            let look = look.clone();
            self.ask(shard, move |sight| look(sight, from))
        };
        let mut open: Vec<_> = ShardId::all(self.shards())
            .map(|shard| (shard, Some(ask(shard, 0)), Ok(Vec::new())))
            .collect();
        while open.iter().any(|(_, answer, _)| answer.is_some()) {
            let deadline = Instant::now() + PATIENCE;
            for (shard, answer, found) in &mut open {
                let Some(slice) = answer.take() else { continue };
                match (slice.recv_deadline(deadline), &mut *found) {
                    (Ok((slice, next)), Ok(found)) => {
                        found.push(slice);
                        *answer = next.map(|from| ask(*shard, from));
                    }
                    (_, found) => *found = Err(Stuck(*shard)),
                }
            }
        }
        open.into_iter().map(|(_, _, found)| found).collect()
    }

    fn ask<T: Send + 'static>(
        &self,
        shard: ShardId,
        look: impl FnOnce(&Sight<'_>) -> T + Send + 'static,
    ) -> Receiver<T> {
        let (answer, answers) = bounded(1);
        let order = Order::Look(Box::new(move |sight: &Sight<'_>| {
            // Whoever asked may have stopped waiting.
            let _ = answer.send(look(sight));
        }));
        self.order(shard, order);
        answers
    }

    /// Gives a shard an order; one that has ended obeys no more.
    pub(super) fn order(&self, shard: ShardId, order: Order) {
        let shard = shard.index();
        if let (Some(orders), Some(waker)) = (self.orders.get(shard), self.wakers.get(shard))
            && orders.send(order).is_ok()
        {
            waker.wake();
        }
    }
}
