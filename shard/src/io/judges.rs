//! Threads that find out who a client is, where a shard may not think that long: hashes of
//! passwords, signatures, questions to others.
//!
//! All of them are nice, so that logins take from established connections little more than what
//! these leave, and stay off the cores of shards if there are others. What takes little, such as a
//! signature, has threads of its own, which stand back only a little. Those that hash are not nicer
//! than 10 either: a thread that gets only what nobody else wants gets nothing where every core is
//! busy, and nobody could log in to a server at work. With 10 it is about a tenth of such a core.

use std::io;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::ids::{AccountId, ShardId};
use crate::limits::JUDGES_MAX;
use crate::options::Effort;
use crate::session::Trial;

use super::Order;
use super::helpers::{cores, count, spawn};
use super::inspect::Inspector;

const NICENESS: i32 = 10;

/// The way to these threads. They end when all of these are gone.
#[derive(Clone)]
pub(super) struct Judges {
    queue: Sender<(ShardId, Trial)>,
    light: Sender<(ShardId, Trial)>,
}

/// How far threads stand back that do what takes little.
const LIGHT_NICE: i32 = 5;

/// So many of these: none of them ever waits for anything.
const LIGHT_COUNT: usize = 4;

/// What they do. The bound on questions is for all accounts together.
const LIGHT: [Effort; 3] = [Effort::Signature, Effort::Wait, Effort::Ask(AccountId::GLOBAL)];

impl Judges {
    /// Starts as many as there are cores to run on, which are those that no shard is pinned to, if
    /// there are any.
    pub(super) fn start(shards: &[usize], inspector: &Inspector) -> io::Result<Self> {
        // A shard has at most so many trials at a time: there is always room.
        let room = |efforts: &[Effort]| {
            efforts.iter().map(|effort| effort.most()).sum::<usize>() * shards.len()
        };
        let (queue, trials) = bounded(room(&[Effort::Hash]));
        let cores = cores(shards);
        for number in 0..count(cores.as_ref(), JUDGES_MAX) {
            let (inspector, trials) = (inspector.clone(), trials.clone());
            spawn(format!("judge-{number}"), NICENESS, cores, move || work(&inspector, &trials))?;
        }
        let (light, trials) = bounded(room(&LIGHT));
        for number in 0..LIGHT_COUNT {
            let (inspector, trials) = (inspector.clone(), trials.clone());
            let name = format!("light-judge-{number}");
            spawn(name, LIGHT_NICE, cores, move || work(&inspector, &trials))?;
        }
        Ok(Self { queue, light })
    }

    /// Has something found out for a shard, which is given an order with the answer. False if that
    /// cannot be.
    pub(super) fn find_out(&self, shard: ShardId, trial: Trial) -> bool {
        let queue = match trial.id.effort {
            Effort::Hash => &self.queue,
            Effort::Signature | Effort::Wait | Effort::Ask(_) => &self.light,
        };
        queue.try_send((shard, trial)).is_ok()
    }
}

fn work(inspector: &Inspector, trials: &Receiver<(ShardId, Trial)>) {
    for (shard, trial) in trials {
        let inspector = inspector.clone();
        let id = trial.id;
        trial.run(move |verdict| inspector.order(shard, Order::Judged(id, verdict)));
    }
}
