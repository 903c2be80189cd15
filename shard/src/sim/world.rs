//! N shards, their sockets and their clock in one thread. Whatever happens, happens because
//! somebody called a method here, so a seed repeats it all.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use crate::authorize::{Permissions, Rules};
use crate::clock::Now;
use crate::engine::Shard;
use crate::event::Event;
use crate::ids::ShardId;
use crate::limits::Limits;
use crate::mesh::{Capacity, mesh_of};
use crate::options::{Authenticator, Grant, Offer, Options, Verdict};
use crate::session::Halt;
use crate::transport::toy::Toys;
use crate::transport::{First, Terms};
use crate::wire::info::Info;

use super::driver::{Driver, Surroundings};
use super::net::Socket;
use super::tenants::{NAMES, account};

/// More steps than any turn has, unless it never ends.
const STEPS_PER_TURN_MAX: usize = 100_000;

/// How a world is made.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) shards: usize,
    pub(super) capacity: Capacity,
    pub(super) limits: Limits,
    /// What users may do, by their numbers.
    pub(super) rules: Vec<Rules>,
    /// Some clients seal what they send.
    pub(super) sealed: bool,
}

/// Lets everybody in: at once, or later those who say that they are slow. Who gives a number has
/// the rules with that number, and who gives another behind an `@` is in the account there.
#[derive(Clone)]
struct Judge(Vec<Arc<Permissions>>);

impl Judge {
    fn new(rules: &[Rules]) -> Self {
        let compiled = |rules: &Rules| Permissions::new(rules.clone()).expect("rules are patterns");
        Self(rules.iter().map(|rules| Arc::new(compiled(rules))).collect())
    }
}

/// How the names of users begin whose verdict takes its time.
pub(super) const SLOW: &str = "slow";

impl Authenticator for Judge {
    fn required(&self) -> bool {
        false
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let user = &offer.connect.user;
        let name = user.trim_start_matches(SLOW);
        let (number, place) = name.split_once('@').unwrap_or((name, ""));
        let number: Option<usize> = number.parse().ok();
        let permissions = number.and_then(|number| self.0.get(number)).cloned();
        let mut grant = Grant { permissions, ..Grant::default() };
        if let Ok(place) = place.parse() {
            grant.account = account(place);
            grant.account_name = NAMES[place].into();
        }
        if user.starts_with(SLOW) {
            return Verdict::later(|| Some(grant));
        }
        Verdict::of(Some(grant))
    }
}

/// Everything but the clients.
pub(super) struct World {
    pub(super) now: Now,
    /// When it all began.
    pub(super) began: Now,
    pub(super) rng: Rng,
    pub(super) drivers: Vec<Driver>,
    pub(super) sockets: Vec<Socket>,
    pub(super) events: Vec<Event>,
    /// No more surprises: take and write as much as there is.
    pub(super) eager: bool,
    pending_max: usize,
    options: Arc<Options>,
    rules: Vec<Rules>,
}

impl World {
    pub(super) fn new(seed: u64, plan: &Plan) -> Self {
        let mut rng = Rng::with_seed(seed);
        let options = Arc::new(options(plan));
        let now = Now::from_nanos(rng.u64(..10_000_000_000));
        let drivers = mesh_of(plan.shards, plan.capacity)
            .into_iter()
            .map(|endpoint| Shard::new(Arc::clone(&options), endpoint, now, rng.u64(..)))
            .map(Driver::new)
            .collect();
        Self {
            now,
            began: now,
            rng,
            drivers,
            sockets: Vec::new(),
            events: Vec::new(),
            eager: false,
            pending_max: plan.limits.pending,
            options,
            rules: plan.rules.clone(),
        }
    }

    /// A client connects to a shard. Returns its socket.
    pub(super) fn connect(&mut self, shard: usize, window: usize) -> usize {
        self.sockets.push(Socket::new(window));
        let socket = self.sockets.len() - 1;
        self.drivers[shard].welcome(socket);
        socket
    }

    /// Everybody is judged again, by a judge with the same rules.
    pub(super) fn reload(&mut self) {
        self.judge_by(Arc::new(Judge::new(&self.rules)));
    }

    /// From the next turn on, this judge decides.
    pub(super) fn judge_by(&mut self, judge: Arc<dyn Authenticator>) {
        self.change(|options| options.authenticator = judge);
    }

    /// From the next turn on, other options hold.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Options)) {
        let mut options = (*self.options).clone();
        change(&mut options);
        self.options = Arc::new(options);
        for driver in &mut self.drivers {
            driver.reload(&self.options);
        }
    }

    /// One step of one shard's turn.
    pub(super) fn step(&mut self, shard: usize) {
        let mut wake: Vec<ShardId> = Vec::new();
        self.drivers[shard].step(&mut Surroundings {
            now: self.now,
            rng: &mut self.rng,
            sockets: &mut self.sockets,
            eager: self.eager,
            wake: &mut wake,
            events: &mut self.events,
        });
        for target in wake {
            assert_ne!(target.index(), shard, "a shard does not wake itself");
            self.drivers[target.index()].wake();
        }
        self.check_bounds(shard);
    }

    /// Ends the turn that a shard is in, or does a whole one. False if it sleeps.
    pub(super) fn turn(&mut self, shard: usize) -> bool {
        if self.is_idle(shard) {
            return false;
        }
        for _ in 0..STEPS_PER_TURN_MAX {
            self.step(shard);
            if self.drivers[shard].is_between_turns() {
                return true;
            }
        }
        panic!("a turn of shard {shard} does not end");
    }

    /// Every shard takes turns until all of them sleep.
    pub(super) fn settle(&mut self) {
        for _ in 0..STEPS_PER_TURN_MAX {
            let mut some = false;
            for shard in 0..self.drivers.len() {
                some |= self.turn(shard);
            }
            if !some {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    fn is_idle(&self, shard: usize) -> bool {
        self.drivers[shard].is_idle(self.now, &self.sockets)
    }

    /// Whether every shard sleeps, and nothing but time could wake one.
    pub(super) fn is_quiet(&self) -> bool {
        (0..self.drivers.len()).all(|shard| self.is_idle(shard))
    }

    pub(super) fn advance(&mut self, by: Duration) {
        self.now = self.now.after(by);
    }

    /// Whether a publisher is paused for receivers that fell behind.
    pub(super) fn stalled(&self) -> bool {
        self.drivers.iter().any(|driver| driver.shard.halts().any(|halt| halt == Halt::Stalled))
    }

    /// Messages sent on for members that were gone, on all shards.
    pub(super) fn sent_on(&self) -> u64 {
        self.drivers.iter().map(|driver| driver.shard.stats().sent_on).sum()
    }

    fn check_bounds(&self, shard: usize) {
        let driver = &self.drivers[shard];
        for (socket, conn) in driver.connections() {
            let queued = driver.shard.outbox(conn).map_or(0, |outbox| outbox.queued());
            assert!(queued <= self.pending_max, "{queued} bytes wait for client {socket}");
        }
        assert_eq!(driver.shard.exchange().peers.dropped(), 0, "no spill is full here");
    }

    /// What must hold when nothing is left to do.
    pub(super) fn check_quiet(&mut self) {
        for (index, driver) in self.drivers.iter_mut().enumerate() {
            assert!(driver.has_judged(), "shard {index}: a verdict that never comes");
            assert_eq!(driver.shard.halts().count(), 0, "shard {index}: sessions wait for ever");
            assert_eq!(driver.shard.exchange().peers.backlog(), 0, "shard {index}: kept back");
            assert!(!driver.shard.any_arrived(), "shard {index}: frames nobody takes");
        }
    }

    /// What must hold when all clients have gone.
    pub(super) fn check_empty(&self) {
        for (index, driver) in self.drivers.iter().enumerate() {
            let (shard, exchange) = (&driver.shard, driver.shard.exchange());
            assert_eq!(shard.connections(), 0, "shard {index}: connections");
            assert!(exchange.subscriptions.is_empty(), "shard {index}: subscriptions");
            assert_eq!(exchange.interest.subscriptions(), 0, "shard {index}: targets");
            assert_eq!(exchange.interest.patterns(), 0, "shard {index}: patterns");
            assert!(exchange.outlets.is_empty(), "shard {index}: outlets");
        }
    }
}

/// A handshake may take as long as it takes.
const PATIENCE: Duration = Duration::from_secs(1 << 20);

fn options(plan: &Plan) -> Options {
    let terms = Terms { optional: true, first: First::No, timeout: PATIENCE };
    let server_name = "world".into();
    let info =
        Info { server_name, headers: true, max_payload: 1 << 20, proto: 1, ..Info::default() };
    Options {
        info,
        limits: plan.limits.clone(),
        authenticator: Arc::new(Judge::new(&plan.rules)),
        accounts: Arc::default(),
        transports: Toys::shared(terms).filter(|_| plan.sealed),
        trace: false,
        traced_payload_max: 32,
    }
}
