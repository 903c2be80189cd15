//! What clients did, as the shadow keeps it: subscriptions and publishes.

use std::collections::HashMap;

use super::copies::Copy;
use super::shadow::Moment;
use crate::account::naive::Landing;

/// A subscription of a client, from its SUB on.
#[derive(Debug)]
pub(super) struct Sub {
    pub(super) client: usize,
    pub(super) sid: String,
    pub(super) pattern: String,
    pub(super) queue: Option<String>,
    /// Number of the SUB among the client's operations.
    pub(super) op: u64,
    /// What becomes of it can be told: it was not limited twice.
    pub(super) certain: bool,
    pub(super) visible: Option<Moment>,
    /// Number of the UNSUB among the client's operations.
    pub(super) unsub: Option<u64>,
    pub(super) ended: Option<Moment>,
    /// Its client has read that it ended: nothing more may come.
    pub(super) over: bool,
    pub(super) limit: Option<Limit>,
    pub(super) delivered: u64,
    /// The last publish delivered, by publisher.
    pub(super) last: HashMap<usize, usize>,
    /// Everybody has learned that it is gone.
    pub(super) forgotten: Option<Moment>,
}

/// `UNSUB` with a number of messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    pub(super) op: u64,
    pub(super) max: u64,
    /// Messages its client had read when it learned that the server knows the limit.
    pub(super) had: Option<u64>,
}

/// One PUB or HPUB.
#[derive(Debug)]
pub(super) struct Publication {
    pub(super) client: usize,
    pub(super) op: u64,
    pub(super) sent: Moment,
    pub(super) subject: String,
    pub(super) reply: Option<String>,
    pub(super) headers: Option<Vec<u8>>,
    pub(super) body: Vec<u8>,
    /// The accounts it comes to, and how it is seen there.
    pub(super) landings: Vec<Landing>,
    pub(super) copies: Vec<Copy>,
    /// The request that it answers.
    pub(super) answers: Option<usize>,
    /// How often it was answered.
    pub(super) answered: u32,
    /// Subscriptions that got it, and which copy.
    pub(super) deliveries: Vec<(usize, usize)>,
    /// 503s that its publisher got.
    pub(super) refusals: u32,
    /// Messages that had been sent on when this one was sent.
    pub(super) sent_on: u64,
    pub(super) settled: bool,
}
