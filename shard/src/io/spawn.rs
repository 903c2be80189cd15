//! Starting: one pinned executor per core, the mesh between them, and the end of it all.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement as Pinning};

use crate::engine::Shard;
use crate::event::EventSink;
use crate::ids::ShardId;
use crate::interest::Delta;
use crate::limits::SHARDS_MAX;
use crate::mesh::{self, Endpoint};
use crate::options::Options;

use super::clock::Clock;
use super::control::Control;
use super::driver::{Driver, Parts};
use super::inspect::{Inspector, Stuck};
use super::judges::Judges;
use super::listen::Acceptor;
use super::placement::{self, Loads, Placement};
use super::pulse::{Pulse, Pulses};
use super::shakers::Shakers;
use super::wake::Waker;
use super::{Order, StartError};

/// The driver is the only task of its executor and never gives it control: whoever adds another
/// must make the driver visit the runtime's reactor, at least every millisecond while it is busy,
/// and wait there instead of in its own ring.
///
/// The runtime's own timer must never fire: a task it interrupts at the wrong moment is forgotten,
/// and the executor sleeps for ever. The driver bounds its own turns.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Memory the runtime registers for files, which are not used: as little as it takes.
const IO_MEMORY: usize = 64 << 10;

/// What a process is started with.
pub struct StartOptions {
    /// The core of each shard, one or more.
    pub cores: Vec<usize>,
    /// Where clients connect; already listening.
    pub listener: TcpListener,
    /// Another process has the listener too, and goes on listening when this one does not.
    pub shared: bool,
    /// What every shard is told.
    pub options: Options,
    /// How long a shard looks for work before it sleeps. Zero unless cores are to spare.
    pub spin: Duration,
    /// The longest that a shard sleeps, if somebody watches whether it turns.
    pub rest: Option<Duration>,
    /// Makes the place where a shard reports what happened.
    pub events: Box<dyn Fn(ShardId) -> Box<dyn EventSink + Send>>,
}

/// A process that serves clients, until it is stopped.
pub struct Running {
    loads: Arc<Loads>,
    pulses: Pulses,
    /// Connections of each shard that are to be shed, once there is a lame duck.
    to_shed: Vec<usize>,
    inspector: Inspector,
    executors: Vec<ExecutorJoinHandle<()>>,
}

/// Starts a shard on each core; all of them serve when this returns.
///
/// # Errors
///
/// If a core cannot be used, or the kernel refuses a ring.
pub fn start(start: StartOptions) -> Result<Running, StartError> {
    let shards = start.cores.len();
    if shards == 0 || shards > SHARDS_MAX {
        return Err(StartError::Shards { count: shards, most: SHARDS_MAX });
    }
    let wakers: Arc<[Waker]> = (0..shards)
        .map(|_| Waker::new())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|errno| StartError::Ring(errno.into()))?
        .into();
    let options = Arc::new(start.options);
    let loads = Arc::new(Loads::new(shards));
    let (senders, receivers) = placement::lanes(shards);
    let endpoints = mesh::mesh::<Delta>(shards);
    let clock = Clock::start();
    let pulses = Pulses::new(shards, start.rest);
    let (ready, started) = bounded(shards);
    let mut listener = Some((start.listener, start.shared, senders));
    let (orders, receivers_of_orders): (Vec<_>, Vec<_>) = (0..shards).map(|_| unbounded()).unzip();
    let inspector = Inspector { orders: orders.into(), wakers: Arc::clone(&wakers), clock };
    let judges = Judges::start(&start.cores, &inspector).map_err(StartError::Judges)?;
    let shakers = Shakers::start(&start.cores, &inspector).map_err(StartError::Judges)?;
    let mut running = Running {
        loads: Arc::clone(&loads),
        pulses: pulses.clone(),
        to_shed: Vec::new(),
        inspector,
        executors: Vec::new(),
    };
    let receivers = receivers.into_iter().zip(receivers_of_orders);
    for ((endpoint, (newcomers, orders)), core) in
        endpoints.into_iter().zip(receivers).zip(start.cores)
    {
        let me = endpoint.me;
        let acceptor = listener.take().map(|(listener, shared, lanes)| {
            let doorbells = Arc::clone(&endpoint.doorbells);
            let (loads, wakers) = (Arc::clone(&loads), Arc::clone(&wakers));
            let most = options.limits.connections;
            let placement = Placement::new(loads, lanes, doorbells, wakers, most);
            Acceptor::new(listener, shared, placement)
        });
        let seed = Seed { endpoint, newcomers, orders, acceptor };
        let world = World {
            options: Arc::clone(&options),
            clock,
            wakers: Arc::clone(&wakers),
            loads: Arc::clone(&loads),
            events: (start.events)(me),
            spin: start.spin,
            pulse: pulses.of(me),
            judges: judges.clone(),
            shakers: shakers.clone(),
        };
        let ready = ready.clone();
        let executor = LocalExecutorBuilder::new(Pinning::Fixed(core))
            .name(&format!("shard-{me}"))
            .preempt_timer(NEVER)
            .io_memory(IO_MEMORY)
            .spawn(move || async move { run(seed, world, &ready) })
            .map_err(|error| StartError::Core { core, reason: error.to_string() })?;
        running.executors.push(executor);
    }
    drop(ready);
    for outcome in started.iter().take(shards) {
        outcome.map_err(StartError::Ring)?;
    }
    Ok(running)
}

/// What one shard alone gets.
struct Seed {
    endpoint: Endpoint<Delta>,
    newcomers: mesh::ring::Consumer<placement::Newcomer>,
    orders: Receiver<Order>,
    acceptor: Option<Acceptor>,
}

/// What every shard gets.
struct World {
    options: Arc<Options>,
    clock: Clock,
    wakers: Arc<[Waker]>,
    loads: Arc<Loads>,
    events: Box<dyn EventSink + Send>,
    spin: Duration,
    pulse: Pulse,
    judges: Judges,
    shakers: Shakers,
}

/// The life of one shard, on its own thread.
fn run(seed: Seed, world: World, ready: &Sender<std::io::Result<()>>) {
    let me = seed.endpoint.me;
    let entropy = fastrand::u64(..);
    let mut shard = Shard::new(world.options, seed.endpoint, world.clock.now(), entropy);
    shard.set_wall(world.clock.wall());
    let parts = Parts {
        me,
        shard,
        clock: world.clock,
        wakers: world.wakers,
        loads: world.loads,
        newcomers: seed.newcomers,
        orders: seed.orders,
        judges: world.judges,
        shakers: world.shakers,
        events: world.events,
        acceptor: seed.acceptor,
        spin: world.spin,
        pulse: world.pulse,
    };
    // Whoever started this shard waits for the outcome.
    match Driver::new(parts) {
        Ok(driver) => {
            let _ = ready.send(Ok(()));
            driver.run();
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    }
}

/// Which shards give how many of `count` connections: always one of those that have the most left.
fn share(count: usize, left: &mut [usize]) -> Vec<usize> {
    let mut orders = vec![0; left.len()];
    for _ in 0..count {
        let most = left.iter_mut().zip(&mut orders).max_by_key(|(left, _)| **left);
        let Some((left, order)) = most.filter(|(left, _)| **left > 0) else { break };
        *left -= 1;
        *order += 1;
    }
    orders
}

impl Running {
    fn order(&self, order: impl Fn() -> Order) {
        for shard in ShardId::all(self.inspector.shards()) {
            self.inspector.order(shard, order());
        }
    }

    /// For looking into the shards, from any thread.
    #[must_use]
    pub fn inspector(&self) -> Inspector {
        self.inspector.clone()
    }

    /// For sessions of the server itself, from any thread.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(self.inspector())
    }

    /// Clients connected at this moment.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.loads.total()
    }

    /// How long it is ago that the slowest shard turned. None that works or sleeps as it should
    /// takes much longer than [`StartOptions::rest`].
    #[must_use]
    pub fn slowest_turn(&self) -> Duration {
        self.inspector.now().since(self.pulses.oldest())
    }

    /// All shards go on with these options. Connections beyond the maximum are closed; returns how
    /// many those were.
    ///
    /// # Errors
    ///
    /// If a shard does not answer: it will go on with these options once it turns again, but how
    /// many connections there are is not known.
    pub fn reload(&self, options: Options) -> Result<usize, Stuck> {
        let most = options.limits.connections;
        let options = Arc::new(options);
        self.order(|| Order::Options(Arc::clone(&options)));
        // Once every shard has obeyed, what is accepted is counted against the new maximum.
        self.inspector.inspect(|_| ()).into_iter().collect::<Result<Vec<()>, _>>()?;
        let Some(most) = most else { return Ok(0) };
        let mut open = Vec::new();
        for count in self.inspector.inspect(|sight| {
            let stats = sight.shard.stats();
            usize::try_from(stats.opened - stats.closed).unwrap_or_default()
        }) {
            open.push(count?);
        }
        let surplus = open.iter().sum::<usize>().saturating_sub(most);
        let orders = share(surplus, &mut open);
        for (shard, count) in ShardId::all(orders.len()).zip(orders).filter(|it| it.1 > 0) {
            self.inspector.order(shard, Order::Surplus(count));
        }
        Ok(surplus)
    }

    /// No new clients; those that are here are told to go elsewhere.
    pub fn lame_duck(&mut self) {
        self.order(|| Order::LameDuck);
        self.to_shed = self.loads.each();
    }

    /// Closes that many of the connections that were there when the lame duck began, from the
    /// shards that have the most of them left.
    pub fn shed(&mut self, count: usize) {
        let orders = share(count, &mut self.to_shed);
        for (shard, count) in ShardId::all(orders.len()).zip(orders).filter(|it| it.1 > 0) {
            self.inspector.order(shard, Order::Shed(count));
        }
    }

    /// Closes every connection, writes what waits for it for at most `grace`, and ends all shards.
    pub fn stop(self, grace: Duration) {
        self.order(|| Order::Stop(grace));
        for executor in self.executors {
            // A shard that panicked has ended the process already.
            let _ = executor.join();
        }
    }
}
