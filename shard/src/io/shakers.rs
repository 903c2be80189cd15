//! Threads that do steps of handshakes: a signature takes longer than a thousand messages, and who
//! is connected already shall not wait for those who come.
//!
//! They stay off the cores of shards if there are others. If there are none they get a tenth of
//! what a busy shard gets: enough to let somebody in, whatever else goes on.
//!
//! Clients that were answered go first. Where more come than can be answered, some are let in all
//! the same: those that wait for their first answer are bounded in number and in time, and whoever
//! gets one has as much time again for the rest.

use std::io;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded, select_biased, unbounded};

use crate::clock::Now;
use crate::ids::{ConnId, ShardId};
use crate::limits::{HANDSHAKES_WAITING_MAX, SHAKERS_MAX};
use crate::transport::{Handshake, HandshakeDone};

use super::Order;
use super::helpers::{cores, count, spawn};
use super::inspect::Inspector;

/// How far behind shards they stand.
const NICE: i32 = 10;

type Step = (ShardId, ConnId, Handshake);

/// The way to these threads. They end when all of these are gone. A connection has one step in it
/// at most. The step of one that has ended stays until its turn comes and is skipped then.
#[derive(Clone)]
pub(super) struct Shakers {
    first: Sender<Step>,
    later: Sender<Step>,
}

/// Where the threads take steps from.
#[derive(Clone)]
struct Steps {
    /// At most [`HANDSHAKES_WAITING_MAX`].
    first: Receiver<Step>,
    /// Bounded by how many were answered within the time for a handshake.
    later: Receiver<Step>,
}

impl Shakers {
    /// Starts as many as there are cores to run on, which are those that no shard is pinned to, if
    /// there are any.
    pub(super) fn start(shards: &[usize], inspector: &Inspector) -> io::Result<Self> {
        let (shakers, steps) = Self::new();
        let cores = cores(shards);
        for number in 0..count(cores.as_ref(), SHAKERS_MAX) {
            let (inspector, steps) = (inspector.clone(), steps.clone());
            spawn(format!("shake-{number}"), NICE, cores, move || work(&inspector, &steps))?;
        }
        Ok(shakers)
    }

    fn new() -> (Self, Steps) {
        let (first, first_steps) = bounded(HANDSHAKES_WAITING_MAX);
        let (later, later_steps) = unbounded();
        (Self { first, later }, Steps { first: first_steps, later: later_steps })
    }

    /// Has a step done for a shard, which is given an order with what came of it. If too many wait,
    /// that comes at once.
    pub(super) fn shake(
        &self,
        shard: ShardId,
        conn: ConnId,
        step: Handshake,
    ) -> Option<HandshakeDone> {
        let queue = if step.is_first() { &self.first } else { &self.later };
        match queue.try_send((shard, conn, step)) {
            // The threads are there as long as this is.
            Ok(()) | Err(TrySendError::Disconnected(_)) => None,
            Err(TrySendError::Full((_, _, step))) => Some(step.refused()),
        }
    }
}

impl Steps {
    /// The next one; waits for it. None if there will be none.
    fn next(&self) -> Option<Step> {
        select_biased! {
            recv(self.later) -> step => step.ok(),
            recv(self.first) -> step => step.ok(),
        }
    }
}

fn work(inspector: &Inspector, steps: &Steps) {
    while let Some((shard, conn, step)) = steps.next() {
        let done = carry_out(inspector.clock.now(), step);
        inspector.order(shard, Order::Shaken(conn, done));
    }
}

fn carry_out(now: Now, step: Handshake) -> HandshakeDone {
    if step.is_late(now) { step.refused() } else { step.run() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Insecure;
    use crate::transport::carrier::Carrier;
    use crate::transport::toy::{ToyClient, Toys};
    use crate::transport::{First, Terms};

    const TERMS: Terms =
        Terms { optional: false, first: First::No, timeout: Duration::from_secs(2) };

    /// A client that has said hello at this moment.
    fn hello(now: Now) -> (Carrier, Handshake) {
        let toys = Toys::shared(TERMS).unwrap();
        let mut carrier = Carrier::new(TERMS, now);
        carrier.begin(&toys, toys.accept(now).ok().unwrap(), 0);
        carrier.keep(&ToyClient::new(1).hello());
        let step = carrier.next_step(now).unwrap();
        (carrier, step)
    }

    /// The same, which was answered.
    fn answered(now: Now) -> (Carrier, Handshake) {
        let (mut carrier, step) = hello(now);
        let done = step.run();
        carrier.stage = crate::transport::carrier::Stage::Shaking(done.transport);
        carrier.came_back(done.input, &done.output);
        carrier.keep(&ToyClient::new(1).finished());
        let step = carrier.next_step(now).unwrap();
        (carrier, step)
    }

    fn conn(number: usize) -> ConnId {
        ConnId::new(u32::try_from(number).unwrap(), 0)
    }

    #[test]
    fn who_was_answered_goes_first_and_who_comes_on_top_is_sent_away() {
        let (shakers, steps) = Shakers::new();
        let shard = ShardId::new(0);
        let mut carriers = Vec::new();
        for number in 0..HANDSHAKES_WAITING_MAX {
            let (carrier, step) = hello(Now::ZERO);
            carriers.push(carrier);
            assert!(shakers.shake(shard, conn(number), step).is_none());
        }
        let (_carrier, step) = hello(Now::ZERO);
        let refused = shakers.shake(shard, conn(9_999), step).unwrap();
        assert_eq!(refused.outcome.unwrap_err(), Insecure::Crowded);
        // There is always room for those that were answered.
        for number in 5_000..7_000 {
            let (carrier, step) = answered(Now::ZERO);
            carriers.push(carrier);
            assert!(shakers.shake(shard, conn(number), step).is_none());
        }
        for number in (5_000..7_000).chain(0..HANDSHAKES_WAITING_MAX) {
            let (_, next, step) = steps.next().unwrap();
            assert_eq!((next, step.is_first()), (conn(number), number < 5_000));
        }
        drop(shakers);
        assert!(steps.next().is_none());
    }

    #[test]
    fn a_first_step_that_waited_for_half_of_its_time_is_not_begun() {
        let half = Now::ZERO.after(TERMS.timeout / 2);
        let later = half.after(Duration::from_nanos(1));
        let (_carrier, step) = hello(Now::ZERO);
        assert_eq!(carry_out(later, step).outcome.unwrap_err(), Insecure::Crowded);
        let (_carrier, step) = hello(Now::ZERO);
        assert!(carry_out(half, step).outcome.is_ok());
        let (_carrier, step) = answered(Now::ZERO);
        assert!(carry_out(later, step).outcome.unwrap().is_some());
    }
}
