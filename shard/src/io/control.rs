//! What other threads of the process do with shards besides looking: sessions of the server itself,
//! and orders about single clients.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::bounded;

use crate::account::Accounts;
use crate::engine::{Treated, Treatment};
use crate::ids::{AccountId, ClientId, ShardId};
use crate::options::Grant;

use super::Order;
use super::inspect::{Inspector, PATIENCE, Stuck};

/// A door to the shards of a process. Cheap to clone, usable from any thread but those of shards.
#[derive(Clone)]
pub struct Control {
    inspector: Inspector,
}

impl Control {
    pub(super) fn new(inspector: Inspector) -> Self {
        Self { inspector }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.inspector.shards()
    }

    /// A session of the server itself: it speaks the client protocol, without INFO and CONNECT, in
    /// the account of `grant`, and may publish on any subject. Nobody can tell it from outside.
    ///
    /// # Errors
    /// If the system has no sockets to give.
    pub fn connect(&self, grant: Grant) -> io::Result<UnixStream> {
        let (ours, theirs) = UnixStream::pair()?;
        self.inspector.order(ShardId::FIRST, Order::Internal(theirs.into(), grant));
        Ok(ours)
    }

    /// Something changed about an account: whether its clients may stay, and as what, is asked
    /// again.
    pub fn review(&self, account: AccountId) {
        for shard in ShardId::all(self.inspector.shards()) {
            self.inspector.order(shard, Order::Review(account));
        }
    }

    /// Something else holds in accounts. Who is let in after this is let in on these terms.
    pub fn accounts(&self, accounts: &Arc<Accounts>) {
        for shard in ShardId::all(self.inspector.shards()) {
            self.inspector.order(shard, Order::Accounts(Arc::clone(accounts)));
        }
    }

    /// Does something to one client, wherever it is.
    ///
    /// # Errors
    /// If a shard that might have it does not answer.
    pub fn treat(&self, client: ClientId, treatment: Treatment) -> Result<Treated, Stuck> {
        let deadline = Instant::now() + PATIENCE;
        let ask = |shard| {
            let (answer, answers) = bounded(1);
            self.inspector.order(shard, Order::Treat(client, treatment, answer));
            (shard, answers)
        };
        let asked: Vec<_> = ShardId::all(self.inspector.shards()).map(ask).collect();
        let mut stuck = None;
        for (shard, answers) in asked {
            match answers.recv_deadline(deadline) {
                Ok(Treated::Unknown) => {}
                Ok(treated) => return Ok(treated),
                Err(_) => stuck = Some(Stuck(shard)),
            }
        }
        stuck.map_or(Ok(Treated::Unknown), Err)
    }
}
