//! What clients do. Each seed has its own proportions: some operations never happen, others all the
//! time, because bugs hide in the corners of such mixtures and not in their middle.

use fastrand::Rng;
use std::time::Duration;

use crate::account::naive::anonymous;
use crate::authorize::{Lists, Rules};
use crate::limits::Limits;
use crate::mesh::Capacity;

use super::tenants::{Tenants, filled};
use super::world::Plan;

/// Something a client does, or is done to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Deed {
    Connect,
    Subscribe,
    SubscribeQueue,
    /// SUB under a name that is taken, or of a pattern that is none.
    SubscribeInVain,
    Unsubscribe,
    Limit,
    Publish,
    Request,
    Ping,
    /// A second CONNECT.
    Again,
    /// The rules by which clients are let in change.
    Reload,
    /// Reads no more, or reads again.
    Stall,
    Finish,
    Vanish,
}

const DEEDS: [Deed; 14] = [
    Deed::Connect,
    Deed::Subscribe,
    Deed::SubscribeQueue,
    Deed::SubscribeInVain,
    Deed::Unsubscribe,
    Deed::Limit,
    Deed::Publish,
    Deed::Request,
    Deed::Ping,
    Deed::Again,
    Deed::Reload,
    Deed::Stall,
    Deed::Finish,
    Deed::Vanish,
];

/// The proportions of one seed.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    pub(super) plan: Plan,
    /// Accounts that share, or one.
    pub(super) tenants: Tenants,
    weights: [u32; DEEDS.len()],
    pub(super) clients: usize,
    pub(super) clients_max: usize,
    pub(super) steps: usize,
    tokens: u8,
    depth: usize,
    /// Percent of tokens of patterns that are wildcards.
    wild: u8,
    queues: u8,
    body_max: usize,
    /// Percent of messages with a reply that are answered.
    pub(super) answering: u8,
    /// Percent of steps in which a client does something.
    pub(super) busy: u8,
    /// Percent of steps of clients in which one does several things.
    pub(super) hasty: u8,
    /// Percent of clients whose verdict takes its time.
    pub(super) slow: u8,
    /// Percent of turns that are done step by step.
    pub(super) split: u8,
    /// Clients may be closed for what waits for them.
    pub(super) narrow: bool,
    /// Clients may be closed for not answering PING.
    pub(super) impatient: bool,
    window_max: usize,
    pub(super) jump: Option<Duration>,
}

impl Workload {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let narrow = rng.u8(..5) == 0;
        let impatient = rng.u8(..8) == 0;
        let mut limits = Limits::default();
        if narrow {
            limits.pending = rng.usize(1500..20_000);
        }
        if impatient {
            limits.ping_interval = Duration::from_millis(rng.u64(20..3000));
        }
        if rng.bool() {
            limits.write_deadline = Duration::from_millis(rng.u64(20..2000));
        }
        let shards = rng.usize(1..=4);
        let capacity = match rng.u8(..4) {
            0 => Capacity::of(shards),
            _ => Capacity { control_frames: 1 << rng.u8(..4), lane_bytes: rng.usize(1..2000) },
        };
        let mut weights = [0; DEEDS.len()];
        for weight in &mut weights {
            let spread = rng.u32(1..=20);
            *weight = if rng.u8(..4) == 0 { 0 } else { spread * spread };
        }
        // Ends are rare, or nothing lives long enough to be looked at.
        for (deed, weight) in DEEDS.iter().zip(&mut weights) {
            match deed {
                Deed::Again | Deed::Reload | Deed::Finish | Deed::Vanish => *weight /= 20,
                Deed::Connect | Deed::Stall | Deed::SubscribeInVain => *weight /= 5,
                Deed::Publish => *weight += 50,
                _ => {}
            }
        }
        let mut workload = Self {
            plan: Plan { shards, capacity, limits, rules: Vec::new(), sealed: rng.bool() },
            tenants: Tenants::of(1),
            weights,
            clients: rng.usize(1..=8),
            clients_max: rng.usize(8..=24),
            steps: rng.usize(200..1500),
            tokens: rng.u8(1..=5),
            depth: rng.usize(1..=4),
            wild: rng.u8(..60),
            queues: rng.u8(1..=3),
            body_max: *rng.choice(&[0, 16, 300, 5000, 100_000]).unwrap_or(&16),
            answering: rng.u8(..=100),
            busy: rng.u8(5..70),
            slow: *rng.choice(&[0, 30, 100]).unwrap_or(&0),
            hasty: *rng.choice(&[0, 10, 60]).unwrap_or(&0),
            split: *rng.choice(&[0, 20, 90]).unwrap_or(&0),
            narrow,
            impatient,
            window_max: *rng.choice(&[64, 4096, 1 << 20]).unwrap_or(&64),
            jump: (rng.u8(..3) == 0).then(|| Duration::from_millis(rng.u64(1..400))),
        };
        if rng.bool() {
            let count = rng.usize(2..=4);
            workload.tenants = Tenants::steady(rng, count);
            // A subscription with all its shadows has to fit into a lane.
            let frames = &mut workload.plan.capacity.control_frames;
            *frames = (*frames).max(64);
        }
        let users = if rng.bool() { rng.usize(1..=4) } else { 0 };
        workload.plan.rules = (0..users).map(|_| workload.rules(rng)).collect();
        workload
    }

    /// What a user may do. Most may ask somebody.
    fn rules(&self, rng: &mut Rng) -> Rules {
        let inboxes = rng.u8(..4) > 0;
        let mut lists = |queues: bool| {
            let mut list = |least: usize| {
                let mut rule = || {
                    let pattern = self.pattern(rng);
                    let queue =
                        if queues && rng.u8(..3) == 0 { self.queue(rng) } else { String::new() };
                    format!("{pattern} {queue}").trim().to_owned()
                };
                (0..least + 2).map(|_| rule()).collect::<Vec<_>>()
            };
            let mut allow = list(1);
            if inboxes {
                allow.push("_INBOX.>".to_owned());
            }
            Lists { allow: Some(allow), deny: list(0) }
        };
        let (mut publish, subscribe) = (lists(false), lists(true));
        if inboxes && let Some(allow) = &mut publish.allow {
            allow.push("_R_.>".to_owned());
        }
        Rules { publish, subscribe, responses: None }
    }

    pub(super) fn deed(&self, rng: &mut Rng) -> Option<Deed> {
        let total: u32 = self.weights.iter().sum();
        let mut left = rng.u32(..total.max(1));
        for (deed, weight) in DEEDS.iter().zip(self.weights) {
            match left.checked_sub(weight) {
                Some(rest) => left = rest,
                None => return Some(*deed),
            }
        }
        None
    }

    pub(super) fn subject(&self, rng: &mut Rng) -> String {
        self.tokens(rng, 0).join(".")
    }

    pub(super) fn pattern(&self, rng: &mut Rng) -> String {
        let mut tokens = self.tokens(rng, self.wild);
        if rng.u8(..100) < self.wild / 2 {
            tokens.pop();
            tokens.push(">".to_owned());
        }
        tokens.join(".")
    }

    fn tokens(&self, rng: &mut Rng, wild: u8) -> Vec<String> {
        let depth = rng.usize(1..=self.depth);
        let token = |rng: &mut Rng| match rng.u8(..100) < wild {
            true => "*".to_owned(),
            false => char::from(b'a' + rng.u8(..self.tokens)).to_string(),
        };
        (0..depth).map(|_| token(rng)).collect()
    }

    /// What a client of that account may publish to with some effect elsewhere.
    pub(super) fn subject_of(&self, rng: &mut Rng, account: usize) -> String {
        let own = &self.tenants.terms.accounts[account];
        let services = own.services.iter().map(|service| anonymous(&service.from));
        let streams = own.stream_exports.iter().map(|export| export.subject.clone());
        let likely: Vec<String> = services.chain(streams).collect();
        match rng.choice(likely).filter(|_| rng.bool()) {
            Some(likely) => filled(rng, &likely),
            None => self.subject(rng),
        }
    }

    /// The same for what it may subscribe to.
    pub(super) fn pattern_of(&self, rng: &mut Rng, account: usize) -> String {
        let own = &self.tenants.terms.accounts[account];
        let streams = own.streams.iter().map(|stream| anonymous(&stream.to));
        let services = own.service_exports.iter().map(|export| export.subject.clone());
        let likely: Vec<String> = streams.chain(services).collect();
        match rng.choice(likely).filter(|_| rng.bool()) {
            Some(likely) if rng.bool() => likely,
            Some(likely) => filled(rng, &likely),
            None => self.pattern(rng),
        }
    }

    pub(super) fn queue(&self, rng: &mut Rng) -> String {
        format!("q{}", rng.u8(..self.queues))
    }

    pub(super) fn window(&self, rng: &mut Rng) -> usize {
        rng.usize(1..=self.window_max)
    }

    /// A body that begins with `number`. Most are small, whatever the bound.
    pub(super) fn body(&self, rng: &mut Rng, number: usize) -> Vec<u8> {
        // However much is queued for those who do not read must stay below the usual bound.
        let most = match rng.u8(..40) {
            0 => self.body_max,
            1..10 => self.body_max.min(5000),
            _ => self.body_max.min(100),
        };
        let filler = rng.usize(..=most);
        let mut body = format!("{number} ").into_bytes();
        body.extend((0..filler).map(|at| b" \r\n+-MSGPUB0\x00\xff"[at % 14]));
        body
    }
}
