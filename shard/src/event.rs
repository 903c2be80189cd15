//! What happened, as values: the core reports, whoever drives it logs, counts or compares.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::authorize::Permissions;
use crate::clock::Now;
use crate::engine::ConnectionView;
use crate::error::{CloseReason, Violation};
use crate::ids::{AccountId, ClientId, ShardId};
use crate::transport::Facts;
use crate::wire::proxy::Fault;

/// Something worth telling an operator or a test.
#[derive(Clone, Debug)]
pub struct Event {
    /// The connection concerned.
    pub client: Arc<ClientLabel>,
    /// What happened to it.
    pub what: What,
}

/// Who a connection is, in logs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientLabel {
    /// Number of the connection.
    pub id: ClientId,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// `v<version>:<lang>:<name>` as far as CONNECT gave them, then account and user.
    pub details: String,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// It was accepted.
    Opened,
    /// Its handshake is over, and established this.
    Secured(Arc<Facts>),
    /// Its handshake came to nothing.
    Insecure(Insecure),
    /// It said who it is, and may be; or it is in another account from now on.
    Entered(Box<ConnectionView>),
    /// It asked the server for something.
    Asked(Box<Asked>),
    /// It ended: as it was then, when that was, and why.
    Left(Box<ConnectionView>, Now, CloseReason),
    /// It ended.
    Closed(CloseReason),
    /// What its proxy said of it cannot be used.
    ProxyFault(Fault),
    /// Its keys have sealed as much as they may, for this reason.
    Worn(&'static str),
    /// It broke a rule.
    Violated(Violation),
    /// It may not connect: as the one it says it is, if it says anything. No secret is in it.
    Refused(Option<String>),
    /// It sent input that begins like this and is no operation.
    Unreadable(Box<[u8]>),
    /// Its output went over `max_pending`, which is given.
    SlowPending(usize),
    /// Its socket did not take what was waiting for it: seconds allowed, bytes waiting.
    SlowDeadline(u64, usize),
    /// It sent `-ERR` with this text.
    SentError(String),
    /// It sent this operation (trace only).
    Received(String),
    /// It was sent this (trace only).
    Sent(String),
}

/// Why a handshake came to nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Insecure {
    /// The client did not begin one.
    NotBegun,
    /// It sent something else.
    Plain,
    /// It did not go on with it.
    Timeout,
    /// It hung up.
    HungUp,
    /// Too many began one within this second.
    Throttled,
    /// More wait for theirs than can be answered in time.
    Crowded,
    /// What it established holds no more, since the options are others.
    Stale(String),
    /// It failed.
    Failed(String),
}

/// A request to the server, from a client of any account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Asked {
    /// Where the answer is to be published.
    pub account: AccountId,
    /// The name of that account.
    pub account_name: Arc<str>,
    /// Who asks, if its client had to say.
    pub user: Option<Arc<str>>,
    /// What its client may do, if that is bounded.
    pub permissions: Option<Arc<Permissions>>,
    /// How long it may stay, if not for ever; whole seconds.
    pub stays: Option<Duration>,
    /// What is asked.
    pub subject: Box<[u8]>,
    /// The subject of the answer.
    pub reply: Box<[u8]>,
    /// Options; at most [`ASKED_BYTES_MAX`](crate::limits::ASKED_BYTES_MAX).
    pub body: Box<[u8]>,
}

/// Where a shard reports what happened. Called on the shard: it must not block.
pub trait EventSink {
    /// Something happened to a connection.
    fn record(&mut self, event: Event);

    /// This shard cannot go on, because of `reason`. The process ends after this.
    fn shard_failed(&mut self, shard: ShardId, reason: &str);

    /// Connections cannot be accepted for `pause`, because of `reason`.
    fn accept_failed(&mut self, reason: &str, pause: Duration);
}
