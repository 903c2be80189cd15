//! Load: the roles that clients play, and the window in which the server is measured.
//!
//! Every role runs on its own thread, so a publisher that waits for room never holds up a
//! subscriber. The main thread only steers: warm-up, steady window, stop, and then it waits until
//! everything published has arrived. Roles check while they run; the first failure ends the run and
//! voids it.
//!
//! | question | file |
//! | --- | --- |
//! | publish and subscribe at full speed | `stream.rs`, `publisher.rs`, `subscriber.rs`, `flow.rs` |
//! | latency on a schedule | `open.rs`, `schedule.rs`, `sender.rs`, `latency.rs` |
//! | request and reply | `request.rs`, `echo.rs` |
//! | connections that come and do nothing | `crowd.rs` |
//! | what else goes on | `beside.rs`, `churn.rs`, `stalled.rs`, `scrape.rs` |
//! | sockets | `receiver.rs`, `poller.rs` |

mod beside;
mod churn;
mod crowd;
mod echo;
mod flow;
mod latency;
mod open;
mod poller;
mod publisher;
mod receiver;
mod request;
mod schedule;
mod scrape;
mod sender;
mod stalled;
mod stream;
mod subscriber;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::{Deserialize, Serialize};

pub(crate) use latency::{Kept, Latency, Loop};
pub(crate) use scrape::get as monitoring_page;

use crate::affinity::Pinning;
use crate::check::CheckFailure;
use crate::client::Door;
use crate::interrupt;
use crate::meter::{Meter, Usage};
use crate::scenario::{Beside, Scenario, Shape};
use crate::target::Server;

/// Longest window in which system calls are counted, and its share of the steady one.
const COUNTING_MAX: Duration = Duration::from_millis(500);
const COUNTING_SHARE: u32 = 4;

/// Time between two looks at the server's threads (see the trap in `meter`).
const SAMPLE_EVERY: Duration = Duration::from_millis(100);

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) warm_up: Duration,
    pub(crate) steady: Duration,
    /// No message for this long while some are missing: they are lost.
    pub(crate) patience: Duration,
}

/// What one run came to, per operation of the unit named.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sample {
    pub(crate) unit: String,
    pub(crate) operations: u64,
    pub(crate) seconds: f64,
    pub(crate) cpu_ns: f64,
    pub(crate) per_second: f64,
    /// Messages that publishers sent, where the operations are deliveries.
    pub(crate) published_per_second: Option<f64>,
    /// CPU time over wall time: 1.0 is one core busy all the time.
    pub(crate) cores_used: f64,
    /// Time the server's threads waited for a CPU over wall time.
    pub(crate) cores_wanted: f64,
    pub(crate) sleeps_per_1000: f64,
    pub(crate) preemptions_per_1000: f64,
    /// Where the kernel lets us count them.
    pub(crate) syscalls_per_1000: Option<f64>,
    /// How many messages came with one read of a subscriber, over the whole run: who collects
    /// more before it writes saves both ends work.
    pub(crate) messages_per_read: Option<f64>,
    /// CPU time of the load generator over wall time: near its CPUs, the rate is its own.
    pub(crate) client_cores_used: f64,
    pub(crate) rss_bytes: u64,
    pub(crate) bytes_per_connection: Option<f64>,
    pub(crate) churn_per_second: Option<f64>,
    /// Subscribers that read nothing and were given up by the server, so that another one came.
    pub(crate) stalled_replaced: Option<u64>,
    /// Slowest answer of the monitoring port, and how many there were.
    pub(crate) scrape_max_ms: Option<f64>,
    pub(crate) scrapes: Option<u64>,
    pub(crate) latency: Option<Latency>,
    /// What was less than the scenario asks for, and why.
    pub(crate) reduced: Option<String>,
}

/// Where and how a run takes place.
#[derive(Clone, Debug)]
struct Site {
    door: Door,
    /// That of responders, if they are in another account.
    responders: Option<Door>,
    monitor: Option<SocketAddr>,
    /// Threads worth starting for one role.
    threads: usize,
    server: u32,
    timing: Timing,
    beside: Beside,
}

/// Runs a scenario against a server that has just started.
pub(crate) fn run(
    scenario: &Scenario,
    server: &Server,
    pinning: &Pinning,
    timing: Timing,
) -> Result<Sample> {
    let (beside, reduced) = within_limits(scenario, crowd::file_limit())?;
    let site = Site {
        door: server.door(scenario.setup.as_ref())?,
        responders: server.responder_door(scenario.setup.as_ref())?,
        monitor: server.monitor(),
        threads: pinning.client_threads(),
        server: server.pid(),
        timing,
        beside,
    };
    let mut sample = match &scenario.shape {
        Shape::Stream(shape) => stream::run(shape, &site),
        Shape::Latency(open) => open::run(open, &site),
        Shape::Request(requests) => request::run(requests, &site),
        Shape::Crowd(crowd) => crowd::run(crowd, &site),
    }?;
    sample.reduced = sample.reduced.or(reduced);
    Ok(sample)
}

/// As many idle connections as the limit of open files leaves room for beside the others.
fn within_limits(scenario: &Scenario, files: u64) -> Result<(Beside, Option<String>)> {
    let busy = match &scenario.shape {
        Shape::Stream(stream) => stream.publishers + stream.subscribers,
        Shape::Latency(open) => open.subscribers + 1,
        Shape::Request(requests) => requests.requesters + requests.responders,
        // It cuts itself.
        Shape::Crowd(_) => 0,
    };
    let (possible, _) = crowd::within_limits(busy, files);
    if possible < busy {
        let text = format!("this host allows {files} open files, too few for {busy} clients");
        return Err(CheckFailure(text).into());
    }
    let (idle, reduced) =
        crowd::within_limits(scenario.beside.idle, files.saturating_sub(busy as u64));
    Ok((Beside { idle, ..scenario.beside }, reduced))
}

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    WarmUp,
    Steady,
    /// The load goes on while system calls are counted; nothing else is measured.
    Counting,
    /// Publishers finish what they have begun; receivers go on.
    Stop,
    /// Everything expected has arrived; receivers listen a last time for what must not come.
    Done,
}

/// Shared by all threads of a run.
#[derive(Debug)]
struct Steering {
    phase: AtomicU8,
    failure: Mutex<Option<anyhow::Error>>,
}

impl Steering {
    fn new() -> Self {
        Self { phase: AtomicU8::new(Phase::WarmUp as u8), failure: Mutex::new(None) }
    }

    fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::WarmUp,
            1 => Phase::Steady,
            2 => Phase::Counting,
            3 => Phase::Stop,
            _ => Phase::Done,
        }
    }

    /// Phases only go forward: a failure that has ended the run stays ended.
    fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Ordering::AcqRel);
    }

    /// Runs a role; its error ends the run for all.
    fn role<T>(&self, role: impl FnOnce() -> Result<T>) -> Option<T> {
        role().map_err(|error| self.fail(error)).ok()
    }

    fn fail(&self, error: anyhow::Error) {
        if let Ok(mut failure) = self.failure.lock() {
            failure.get_or_insert(error);
        }
        self.enter(Phase::Done);
    }

    fn failed(&self) -> bool {
        self.failure.lock().map_or(true, |failure| failure.is_some())
    }

    /// The first failure, if there was one.
    fn verdict(self) -> Result<()> {
        let failure = self.failure.into_inner().map_err(|_| anyhow!("a role panicked"))?;
        failure.map_or(Ok(()), Err)
    }
}

/// What the steady window showed.
#[derive(Clone, Copy, Debug)]
struct Window {
    operations: u64,
    elapsed: Duration,
    usage: Usage,
    client_cpu_ns: u64,
    rss_bytes: u64,
    syscalls_per_1000: Option<f64>,
}

/// Warm-up, steady window, stop. `count` reads how many operations were done so far; the window
/// does not begin before the first.
fn measure(
    meter: &mut Meter,
    timing: Timing,
    steering: &Steering,
    count: &dyn Fn() -> u64,
) -> Result<Window> {
    pause(meter, timing.warm_up, steering)?;
    if !wait_until(steering, timing.patience, &|| 0, &|| count() > 0) {
        return Err(CheckFailure("nothing arrived at all".to_owned()).into());
    }
    steering.enter(Phase::Steady);
    let mut own = Meter::new(std::process::id());
    let own_before = own.sample()?;
    let (begin, before, count_before) = (Instant::now(), meter.sample()?, count());
    pause(meter, timing.steady, steering)?;
    let (elapsed, after, count_after) = (begin.elapsed(), meter.sample()?, count());
    let client_cpu_ns = (own.sample()? - own_before).cpu_ns;
    let rss_bytes = meter.rss()?;
    let syscalls_per_1000 = count_syscalls(meter, timing, steering, count)?;
    steering.enter(Phase::Stop);
    let operations = count_after - count_before;
    if operations == 0 {
        return Err(CheckFailure(format!("nothing arrived for {elapsed:?}")).into());
    }
    let usage = after - before;
    Ok(Window { operations, elapsed, usage, client_cpu_ns, rss_bytes, syscalls_per_1000 })
}

/// System calls per thousand operations, in a window of their own.
#[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
fn count_syscalls(
    meter: &mut Meter,
    timing: Timing,
    steering: &Steering,
    count: &dyn Fn() -> u64,
) -> Result<Option<f64>> {
    steering.enter(Phase::Counting);
    let Some(counter) = meter.count_syscalls() else { return Ok(None) };
    let before = count();
    pause(meter, COUNTING_MAX.min(timing.steady / COUNTING_SHARE), steering)?;
    let (operations, calls) = (count() - before, counter.stop());
    Ok((operations > 0).then(|| calls as f64 * 1e3 / operations as f64))
}

/// Sleeps, looking at the server's threads now and then; ends early if the run has failed.
fn pause(meter: &mut Meter, time: Duration, steering: &Steering) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || steering.failed() {
            return Ok(());
        }
        interrupt::check()?;
        thread::sleep(left.min(SAMPLE_EVERY));
        meter.sample()?;
    }
}

/// Waits until `done` says so. False if `progress` stands still for too long.
fn wait_until(
    steering: &Steering,
    patience: Duration,
    progress: &dyn Fn() -> u64,
    done: &dyn Fn() -> bool,
) -> bool {
    let (mut last, mut since) = (progress(), Instant::now());
    while !done() && !steering.failed() {
        let now = progress();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
    true
}

impl Window {
    #[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
    fn sample(&self, unit: &str) -> Sample {
        let (operations, seconds) = (self.operations as f64, self.elapsed.as_secs_f64());
        let wall_ns = seconds * 1e9;
        Sample {
            unit: unit.to_owned(),
            operations: self.operations,
            seconds,
            cpu_ns: self.usage.cpu_ns as f64 / operations,
            per_second: self.operations as f64 / seconds,
            published_per_second: None,
            cores_used: self.usage.cpu_ns as f64 / wall_ns,
            cores_wanted: self.usage.wait_ns as f64 / wall_ns,
            sleeps_per_1000: self.usage.sleeps as f64 * 1e3 / operations,
            preemptions_per_1000: self.usage.preemptions as f64 * 1e3 / operations,
            syscalls_per_1000: self.syscalls_per_1000,
            messages_per_read: None,
            client_cores_used: self.client_cpu_ns as f64 / wall_ns,
            rss_bytes: self.rss_bytes,
            bytes_per_connection: None,
            churn_per_second: None,
            stalled_replaced: None,
            scrape_max_ms: None,
            scrapes: None,
            latency: None,
            reduced: None,
        }
    }
}

/// What a role came to. A panic in it is a fault of ours and goes on here.
fn join<T>(role: thread::ScopedJoinHandle<'_, T>) -> T {
    role.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Deals items out to threads, each with its position.
fn deal<T>(items: Vec<T>, threads: usize) -> Vec<Vec<(usize, T)>> {
    let threads = threads.clamp(1, items.len().max(1));
    let mut hands: Vec<Vec<(usize, T)>> = (0..threads).map(|_| Vec::new()).collect();
    for (idx, item) in items.into_iter().enumerate() {
        hands[idx % threads].push((idx, item));
    }
    hands
}
