//! What is measured, as types.
//!
//! | question | file |
//! | --- | --- |
//! | what clients do, what goes on beside it, how the server is set up | here |
//! | how files become scenarios | `file.rs` |

mod file;

use serde::Deserialize;

pub(crate) use file::load;

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) beside: Beside,
    pub(crate) setup: Option<Setup>,
}

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Stream(Stream),
    Latency(OpenLoop),
    Request(Requests),
    Crowd(Crowd),
}

/// Publishers at full speed, subscribers that check everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) size: usize,
    pub(crate) delivery: Delivery,
    /// 1 is a literal subject; more are published in turn and received by a wildcard.
    pub(crate) subjects: u64,
    pub(crate) batched: bool,
}

/// One publisher that follows a schedule whatever the server does, subscribers that take the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenLoop {
    pub(crate) subscribers: usize,
    pub(crate) size: usize,
    pub(crate) load: Load,
}

/// Requesters with a connection and one request in flight each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Requests {
    pub(crate) requesters: usize,
    /// More than one form a queue group.
    pub(crate) responders: usize,
    pub(crate) size: usize,
}

/// Connections that come all at once and then do nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crowd {
    pub(crate) connections: usize,
    /// How many are in the middle of their handshake at any time.
    pub(crate) at_once: usize,
}

/// How many messages are due per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Of what the same server takes from a publisher at full speed just before.
    PercentOfPeak(u64),
    PerSecond(u64),
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// Every subscriber.
    #[default]
    All,
    /// One member of the queue group that all subscribers form.
    Queue,
    /// Publisher n has a subject and a subscriber of its own.
    Pairs,
}

/// What else goes on while the figures are taken; none of it is part of the operations counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Beside {
    /// Connections that do nothing.
    pub(crate) idle: usize,
    /// Further subscribers to the same messages that read nothing.
    pub(crate) stalled: usize,
    /// SUB and UNSUB per second on a connection of its own.
    pub(crate) churn_per_second: u64,
    /// Requests to the monitoring port per second.
    pub(crate) scrapes_per_second: u64,
}

/// A configuration file for the server, and who the clients are in it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Setup {
    /// The text of the file, in the language that all targets read.
    pub(crate) config: String,
    pub(crate) login: Option<Login>,
    /// Responders are somebody else, in another account.
    pub(crate) responder: Option<Login>,
    /// Clients speak TLS.
    pub(crate) tls: bool,
}

/// A user of the configuration.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let user = self.login.as_ref().map(|login| &login.user);
        f.debug_struct("Setup").field("user", &user).finish_non_exhaustive()
    }
}

impl Scenario {
    /// Bytes of a payload, if there is one.
    pub(crate) fn size(&self) -> Option<usize> {
        match &self.shape {
            Shape::Stream(Stream { size, .. })
            | Shape::Latency(OpenLoop { size, .. })
            | Shape::Request(Requests { size, .. }) => Some(*size),
            Shape::Crowd(_) => None,
        }
    }
}
