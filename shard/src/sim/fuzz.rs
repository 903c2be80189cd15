//! Two shards under arbitrary calls, decoded from bytes: whatever a driver, however strange, may
//! do. Nothing may panic, and every bound holds.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::clock::Now;
use crate::engine::{Command, Shard};
use crate::error::CloseReason;
use crate::ids::{ClientId, ConnId, ShardId};
use crate::limits::Limits;
use crate::mesh::{Capacity, mesh_of};
use crate::options::{Authenticator, Grant, Offer, Options, Verdict};
use crate::session::{Peer, Trial};
use crate::wire::info::Info;

const SHARDS: usize = 2;
const CONNECTIONS_MAX: usize = 16;
const PENDING_MAX: usize = 4096;
const PAYLOAD_MAX: usize = 2048;
const CONTROL_LINE_MAX: usize = 128;

/// Bytes that a call may take from the input.
const PIECE_MAX: usize = 255;

/// Turns enough for everything to end once everybody has gone.
const LAST_TURNS: usize = 500;

/// Lets everybody in; whether those are who give a name is found out later.
struct Judge;

impl Authenticator for Judge {
    fn required(&self) -> bool {
        false
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let user = offer.connect.user.clone();
        if user.is_empty() {
            return Verdict::Admitted(Box::default());
        }
        Verdict::begin(move || Verdict::later(move || (user != "x").then(Grant::default)))
    }
}

/// Two shards and what their drivers know.
struct Pair {
    now: Now,
    shards: Vec<Shard>,
    /// Connections whose sockets are there, by shard.
    open: [Vec<ConnId>; SHARDS],
    clients: u64,
    wake: Vec<ShardId>,
    /// What is being found out, by shard.
    trials: [Vec<Trial>; SHARDS],
}

/// Two shards are driven by `data`. The first byte chooses limits and lanes; then come calls: one
/// byte says what, one for whom, one how much.
pub fn fuzz_shard(data: &[u8]) {
    let Some((choices, data)) = data.split_first() else { return };
    let mut pair = Pair::new(*choices);
    let mut data: VecDeque<u8> = data.iter().copied().collect();
    while let (Some(what), Some(whom), Some(size)) =
        (data.pop_front(), data.pop_front(), data.pop_front())
    {
        pair.call(what, whom, size, &mut data);
        pair.check();
    }
    pair.end();
}

impl Pair {
    fn new(choices: u8) -> Self {
        let limits = Limits {
            control_line: CONTROL_LINE_MAX,
            payload: PAYLOAD_MAX,
            pending: PENDING_MAX,
            subscriptions: (choices & 1 != 0).then_some(2),
            subscription_tokens: (choices & 2 != 0).then_some(2),
            ..Limits::default()
        };
        let info = Info { headers: choices & 4 == 0, ..Info::default() };
        let trace = choices & 8 != 0;
        let options = Arc::new(Options {
            info,
            limits,
            authenticator: Arc::new(Judge),
            accounts: Arc::default(),
            transports: None,
            trace,
            traced_payload_max: 32,
        });
        let capacity = Capacity {
            control_frames: 1 << (choices >> 4 & 3),
            lane_bytes: 1 << (choices >> 6 << 2),
        };
        let ends = mesh_of(SHARDS, capacity).into_iter();
        let shards = ends.map(|end| Shard::new(Arc::clone(&options), end, Now::ZERO, 7)).collect();
        Self {
            now: Now::ZERO,
            shards,
            open: [Vec::new(), Vec::new()],
            clients: 0,
            wake: Vec::new(),
            trials: [Vec::new(), Vec::new()],
        }
    }

    fn call(&mut self, what: u8, whom: u8, size: u8, data: &mut VecDeque<u8>) {
        let side = usize::from(whom & 1);
        let (now, size) = (self.now, usize::from(size));
        if what.is_multiple_of(16) {
            return self.open(side);
        }
        let conn = self.open[side].get(usize::from(whom >> 1) % CONNECTIONS_MAX).copied();
        let shard = &mut self.shards[side];
        match (what % 16, conn) {
            (1..=5, Some(conn)) => {
                let count = size.min(PIECE_MAX).min(data.len());
                let bytes: Vec<u8> = data.drain(..count).collect();
                shard.on_bytes(now, conn, &bytes);
            }
            (6, Some(conn)) => {
                let waiting = shard.outbox(conn).map_or(0, |outbox| outbox.queued());
                shard.on_written(now, conn, size.min(waiting));
            }
            (7, Some(conn)) => shard.on_blocked(now, conn),
            (8, Some(conn)) => shard.on_writable(conn),
            (9, Some(conn)) => {
                let reason = match size % 3 {
                    0 => CloseReason::ClientClosed,
                    1 => CloseReason::ReadError,
                    _ => CloseReason::WriteError,
                };
                shard.on_hang_up(now, conn, reason);
            }
            (10, _) => shard.on_mesh(),
            (11, _) => shard.on_batches(now),
            (12, _) => {
                self.now = now.after(Duration::from_millis(1 << (size % 18)));
                shard.on_time(self.now);
            }
            (13, _) if size.is_multiple_of(2) => {
                let options = (*shard.exchange().options).clone();
                let options = Options { authenticator: Arc::new(Judge), ..options };
                shard.on_options(now, Arc::new(options));
            }
            (13, _) if shard.may_sleep() => shard.awake(),
            (14, _) => shard.commit(&mut self.wake),
            (15, _) => self.turn(side),
            _ => {}
        }
    }

    fn open(&mut self, side: usize) {
        if self.open[side].len() < CONNECTIONS_MAX {
            self.clients += 1;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let peer = Peer { client: ClientId::new(self.clients), address };
            self.open[side].push(self.shards[side].on_open(self.now, peer));
        }
    }

    /// What follows input, in a driver whose sockets take everything at once.
    fn turn(&mut self, side: usize) {
        let (now, shard) = (self.now, &mut self.shards[side]);
        shard.on_mesh();
        shard.on_batches(now);
        shard.on_time(now);
        shard.on_turn(now);
        for trial in self.trials[side].drain(..) {
            let id = trial.id;
            let (tell, told) = mpsc::channel();
            trial.run(move |verdict| drop(tell.send(verdict)));
            shard.on_judged(now, id, told.recv().expect("every trial has an answer"));
        }
        self.trials[side].extend(std::iter::from_fn(|| shard.take_trial()));
        shard.commit(&mut self.wake);
        while let Some(conn) = shard.take_dirty() {
            let waiting = shard.outbox(conn).map_or(0, |outbox| outbox.queued());
            shard.on_written(now, conn, waiting);
        }
        shard.flushed();
        while let Some(command) = shard.take_command() {
            if let Command::Close(conn) = command {
                self.open[side].retain(|open| *open != conn);
                shard.on_released(conn);
            }
        }
        while shard.take_event().is_some() {}
    }

    fn check(&self) {
        for (shard, open) in self.shards.iter().zip(&self.open) {
            assert_eq!(shard.connections(), open.len());
            for conn in open {
                let waiting = shard.outbox(*conn).map_or(0, |outbox| outbox.queued());
                assert!(waiting <= PENDING_MAX, "{waiting} bytes wait");
            }
        }
    }

    /// Everybody hangs up; nothing may be left.
    fn end(&mut self) {
        for side in 0..SHARDS {
            for conn in self.open[side].clone() {
                self.shards[side].on_hang_up(self.now, conn, CloseReason::ReadError);
            }
        }
        for _ in 0..LAST_TURNS {
            self.now = self.now.after(Duration::from_millis(100));
            (0..SHARDS).for_each(|side| self.turn(side));
        }
        for shard in &self.shards {
            let exchange = shard.exchange();
            assert_eq!((shard.connections(), shard.trials()), (0, 0));
            assert!(exchange.subscriptions.is_empty() && exchange.outlets.is_empty());
            assert_eq!((exchange.interest.patterns(), exchange.peers.backlog()), (0, 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use fastrand::Rng;

    use super::*;

    /// What a client may say, whole or in pieces.
    const PHRASES: [&str; 18] = [
        "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n",
        "CONNECT {\"echo\":false}\r\n",
        "CONNECT {\"user\":\"a\"}\r\n",
        "CONNECT {\"user\":\"x\"}\r\n",
        "SUB a 1\r\n",
        "SUB a q 2\r\n",
        "SUB > 3\r\n",
        "SUB *.b q 4\r\n",
        "UNSUB 1\r\n",
        "UNSUB 2 1\r\n",
        "UNSUB 3 2\r\n",
        "PUB a 5\r\nhello\r\n",
        "PUB a r 0\r\n\r\n",
        "HPUB a.b 12 14\r\nNATS/1.0\r\n\r\nhi\r\n",
        "PING\r\n",
        "PONG\r\n",
        "PUB a 2000\r\n",
        "+OK\r\n",
    ];

    /// Calls in which whole phrases are frequent, since random bytes alone say nothing.
    fn arbitrary(seed: u64) -> Vec<u8> {
        let mut rng = Rng::with_seed(seed);
        let mut data = vec![rng.u8(..)];
        for _ in 0..rng.usize(..400) {
            let (what, whom) = (rng.u8(..), rng.u8(..) & 0b1001);
            if !(1..=5).contains(&(what % 16)) {
                data.extend([what, whom, rng.u8(..)]);
                continue;
            }
            let mut text = rng.choice(PHRASES).unwrap_or_default().as_bytes().to_vec();
            if rng.u8(..10) == 0 {
                text.truncate(rng.usize(..text.len()));
            }
            if rng.u8(..20) == 0 {
                text.extend((0..rng.usize(..40)).map(|_| rng.u8(..)));
            }
            data.extend([what, whom, u8::try_from(text.len()).unwrap_or(u8::MAX)]);
            data.extend(text);
        }
        data
    }

    #[test]
    fn arbitrary_calls() {
        for seed in 0..500 {
            fuzz_shard(&arbitrary(seed));
        }
    }

    #[test]
    fn corpus_of_shard() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus/shard");
        let entries: Vec<_> = corpus.read_dir().expect("the corpus is there").collect();
        assert!(entries.len() >= 5, "{} files in {}", entries.len(), corpus.display());
        for entry in entries {
            let path = entry.expect("the corpus can be listed").path();
            fuzz_shard(&std::fs::read(&path).expect("a file of the corpus can be read"));
        }
    }
}
