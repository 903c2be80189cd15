//! Threads that find out who a client is, where a shard may not think that long: hashes of
//! passwords, signatures, questions to others.
//!
//! All of them are nice, so that logins take from established connections little more than what
//! these leave, and stay off the cores of shards if there are others. What takes little, such as a
//! signature, has threads of its own, which stand back only a little. Those that hash are not nicer
//! than 10 either: a thread that gets only what nobody else wants gets nothing where every core is
//! busy, and nobody could log in to a server at work. With 10 it is about a tenth of such a core.

use std::io;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::thread::CpuSet;

use crate::ids::ShardId;
use crate::limits::{JUDGES_MAX, TRIALS_MAX};
use crate::session::Trial;

use super::Order;
use super::inspect::Inspector;

/// Enough for any hash, and for the text of any claim.
const STACK_BYTES: usize = 512 << 10;

const NICENESS: i32 = 10;

/// The way to these threads. They end when all of these are gone.
#[derive(Clone)]
pub(super) struct Judges {
    queue: Sender<(ShardId, Trial)>,
    light: Sender<(ShardId, Trial)>,
}

/// How far threads stand back that do what takes little.
const LIGHT_NICE: i32 = 5;

/// So many of these: while some wait for a file or for the network, others go on.
const LIGHT_COUNT: usize = 4;

impl Judges {
    /// Starts as many as there are cores to run on, which are those that no shard is pinned to, if
    /// there are any.
    pub(super) fn start(shards: &[usize], inspector: &Inspector) -> io::Result<Self> {
        // A shard has at most so many trials at a time: there is always room.
        let (queue, trials) = bounded(TRIALS_MAX * shards.len());
        let cores = cores(shards);
        let count = cores.as_ref().map_or(1, |cores| cores.count() as usize).clamp(1, JUDGES_MAX);
        for number in 0..count {
            let (inspector, cores, trials) = (inspector.clone(), cores, trials.clone());
            thread::Builder::new().name(format!("judge-{number}")).stack_size(STACK_BYTES).spawn(
                move || {
                    step_back(cores.as_ref());
                    work(&inspector, &trials);
                },
            )?;
        }
        let (light, trials) = bounded(TRIALS_MAX * shards.len());
        for number in 0..LIGHT_COUNT {
            let (inspector, trials) = (inspector.clone(), trials.clone());
            thread::Builder::new()
                .name(format!("light-judge-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    stand_aside(cores.as_ref());
                    // Of this thread alone. Where the host does not allow it, no more is lost than
                    // a little fairness.
                    let _ = rustix::process::setpriority_process(None, LIGHT_NICE);
                    work(&inspector, &trials);
                })?;
        }
        Ok(Self { queue, light })
    }

    /// Has something found out for a shard, which is given an order with the answer. False if that
    /// cannot be.
    pub(super) fn find_out(&self, shard: ShardId, trial: Trial) -> bool {
        let queue = if trial.is_light() { &self.light } else { &self.queue };
        queue.try_send((shard, trial)).is_ok()
    }
}

/// The cores that this process may use and no shard has; all it may use if that is none.
pub(super) fn cores(shards: &[usize]) -> Option<CpuSet> {
    let mut cores = rustix::thread::sched_getaffinity(None).ok()?;
    let mut spare = cores;
    for core in shards {
        spare.unset(*core);
    }
    if spare.count() > 0 {
        cores = spare;
    }
    Some(cores)
}

/// Makes the calling thread step back behind others. Where the host does not allow one of these,
/// the other helps.
fn step_back(cores: Option<&CpuSet>) {
    stand_aside(cores);
    let _ = rustix::process::setpriority_process(None, NICENESS);
}

/// Keeps the calling thread to cores that no shard is pinned to, if there are any.
fn stand_aside(cores: Option<&CpuSet>) {
    if let Some(cores) = cores {
        let _ = rustix::thread::sched_setaffinity(None, cores);
    }
}

fn work(inspector: &Inspector, trials: &Receiver<(ShardId, Trial)>) {
    for (shard, trial) in trials {
        let inspector = inspector.clone();
        let (conn, number) = (trial.conn, trial.number);
        trial.run(move |outcome| inspector.order(shard, Order::Judged(conn, number, outcome)));
    }
}
