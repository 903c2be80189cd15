//! Threads that do steps of handshakes: a signature takes longer than a thousand messages, and who
//! is connected already shall not wait for those who come.
//!
//! They stay off the cores of shards if there are others. If there are none they get a tenth of
//! what a busy shard gets: enough to let somebody in, whatever else goes on.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::ids::{ConnId, ShardId};
use crate::limits::SHAKERS_MAX;
use crate::transport::Handshake;

use super::Order;
use super::inspect::Inspector;
use super::judges::cores;

/// Enough for a chain of certificates.
const STACK_BYTES: usize = 512 << 10;

/// How far behind shards they stand.
const NICE: i32 = 10;

/// The way to these threads. They end when all of these are gone. A connection has one step in it
/// at most. The step of one that has ended stays until its turn comes and is skipped then, so that
/// what waits is bounded by how many connect within the time for a handshake.
#[derive(Clone)]
pub(super) struct Shakers {
    queue: Sender<(ShardId, ConnId, Handshake)>,
}

impl Shakers {
    /// Starts as many as there are cores to run on, which are those that no shard is pinned to, if
    /// there are any.
    pub(super) fn start(shards: &[usize], inspector: &Inspector) -> io::Result<Self> {
        let (queue, steps) = unbounded();
        let cores = cores(shards);
        let count = cores.as_ref().map_or(1, |cores| cores.count() as usize).clamp(1, SHAKERS_MAX);
        for number in 0..count {
            let (inspector, cores, steps) = (inspector.clone(), cores, steps.clone());
            thread::Builder::new().name(format!("shake-{number}")).stack_size(STACK_BYTES).spawn(
                move || {
                    // Where the host does not allow one of these, the other helps.
                    if let Some(cores) = &cores {
                        let _ = rustix::thread::sched_setaffinity(None, cores);
                    }
                    let _ = rustix::process::setpriority_process(None, NICE);
                    work(&inspector, &steps);
                },
            )?;
        }
        Ok(Self { queue })
    }

    /// Has a step done for a shard, which is given an order with what came of it.
    pub(super) fn shake(&self, shard: ShardId, conn: ConnId, step: Handshake) {
        // The threads are there as long as this is.
        let _ = self.queue.send((shard, conn, step));
    }
}

fn work(inspector: &Inspector, steps: &Receiver<(ShardId, ConnId, Handshake)>) {
    for (shard, conn, step) in steps {
        inspector.order(shard, Order::Shaken(conn, step.run()));
    }
}
