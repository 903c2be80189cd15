//! Placement: which shard a new connection lives on.
//!
//! One shard accepts, and hands each new socket to the shard with the fewest connections. Hashing
//! by the kernel (`SO_REUSEPORT`) spreads many connections well and few long-lived ones badly, and
//! brokers have few long-lived ones.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ids::{ClientId, ShardId};
use crate::mesh::Doorbell;
use crate::mesh::ring::{Consumer, Producer, ring};
use crate::session::Peer;

use super::wake::Waker;

/// New sockets on their way to one shard.
const HANDOVERS: usize = 1024;

/// A socket that was accepted on one shard to live on another.
#[derive(Debug)]
pub(super) struct Newcomer {
    pub(super) fd: OwnedFd,
    pub(super) peer: Peer,
    /// The process has all the connections it may have: this one is told so and let go.
    pub(super) refused: bool,
}

/// Connections of each shard, written when one comes or goes.
#[derive(Debug)]
pub(super) struct Loads {
    connections: Box<[AtomicUsize]>,
}

impl Loads {
    pub(super) fn new(shards: usize) -> Self {
        Self { connections: (0..shards).map(|_| AtomicUsize::new(0)).collect() }
    }

    /// Connections by shard.
    pub(super) fn each(&self) -> Vec<usize> {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Connections of the process.
    pub(super) fn total(&self) -> usize {
        self.connections.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    fn add(&self, shard: ShardId) {
        if let Some(count) = self.connections.get(shard.index()) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A connection of that shard has ended.
    pub(super) fn remove(&self, shard: ShardId) {
        if let Some(count) = self.connections.get(shard.index()) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Shards by their load, the least loaded first.
    fn least(&self) -> ShardId {
        let loads = ShardId::all(self.connections.len()).zip(&self.connections);
        loads
            .min_by_key(|(_, count)| count.load(Ordering::Relaxed))
            .map_or(ShardId::FIRST, |(shard, _)| shard)
    }
}

/// The accepting shard's part.
pub(super) struct Placement {
    loads: Arc<Loads>,
    lanes: Vec<Producer<Newcomer>>,
    doorbells: Arc<[Doorbell]>,
    wakers: Arc<[Waker]>,
    connections_max: Option<usize>,
    accepted: u64,
}

/// The lanes for new sockets of a process: their senders, then the receiver of each shard.
pub(super) fn lanes(shards: usize) -> (Vec<Producer<Newcomer>>, Vec<Consumer<Newcomer>>) {
    (0..shards).map(|_| ring(HANDOVERS)).unzip()
}

impl Placement {
    pub(super) fn new(
        loads: Arc<Loads>,
        lanes: Vec<Producer<Newcomer>>,
        doorbells: Arc<[Doorbell]>,
        wakers: Arc<[Waker]>,
        connections_max: Option<usize>,
    ) -> Self {
        Self { loads, lanes, doorbells, wakers, connections_max, accepted: 0 }
    }

    /// As many connections as this may be there from now on.
    pub(super) fn allow(&mut self, connections_max: Option<usize>) {
        self.connections_max = connections_max;
    }

    /// Sends a new socket to its shard, this one perhaps included. Gives it back if that shard has
    /// too many on the way: then it lives here.
    pub(super) fn place(&mut self, fd: OwnedFd, address: SocketAddr) -> Option<Newcomer> {
        self.accepted += 1;
        let peer = Peer { client: ClientId::new(self.accepted), address };
        let refused = self.connections_max.is_some_and(|most| self.loads.total() >= most);
        let newcomer = Newcomer { fd, peer, refused };
        if refused {
            // It takes nobody's place, so it does not count, and it may as well be told here.
            return Some(newcomer);
        }
        let shard = self.loads.least();
        let Some(lane) = self.lanes.get_mut(shard.index()).filter(|_| shard != ShardId::FIRST)
        else {
            self.loads.add(ShardId::FIRST);
            return Some(newcomer);
        };
        match lane.push(newcomer) {
            Ok(()) => {
                self.loads.add(shard);
                if lane.publish()
                    && self.doorbells.get(shard.index()).is_some_and(Doorbell::ring)
                    && let Some(waker) = self.wakers.get(shard.index())
                {
                    waker.wake();
                }
                None
            }
            Err(newcomer) => {
                self.loads.add(ShardId::FIRST);
                Some(newcomer)
            }
        }
    }
}
