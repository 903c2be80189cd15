//! `nats bench` of the official CLI as the load generator: the figure a user would see.
//!
//! It caps at a few million messages per second and checks nothing but counts, so its rates say
//! little about a fast server. They are what people compare, though, and the CPU time of the server
//! is measured beside them. Only scenarios that it can express are run: everybody gets everything,
//! collected writes, nothing else going on.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::param::clock_ticks_per_second;
use serde::Deserialize;

use crate::check::CheckFailure;
use crate::interrupt;
use crate::load::{Sample, Timing, monitoring_page};
use crate::meter::Meter;
use crate::scenario::{Beside, Delivery, Login, Requests, Scenario, Setup, Shape, Stream};
use crate::target::Server;

/// Messages of the first, short run that tells how many make a run of the length asked for.
const TRIAL_MESSAGES: u64 = 100_000;
const TRIAL_REQUESTS: u64 = 2_000;
/// How long subscribers may take to be there, and any part of a run at most.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
const RUN_TIMEOUT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// The program.
#[derive(Clone, Debug)]
pub(crate) struct NatsCli {
    binary: PathBuf,
}

/// What it is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Stream { publishers: usize, subscribers: usize, size: usize, subjects: u64 },
    Request(Requests),
}

/// A process of it, killed when this goes away; what it prints goes to a file.
struct Running {
    child: Child,
    output: PathBuf,
}

/// A folder that goes away with this.
struct Scratch(PathBuf);

/// One run of so many messages.
#[derive(Clone, Copy, Debug)]
struct Outcome {
    operations: u64,
    /// As the CLI says it.
    per_second: f64,
    published_per_second: Option<f64>,
    elapsed: Duration,
}

/// True if the CLI can do what a scenario asks for.
pub(crate) fn can_express(scenario: &Scenario) -> bool {
    plan(scenario).is_some()
}

fn plan(scenario: &Scenario) -> Option<Plan> {
    let beyond_it =
        scenario.setup.as_ref().is_some_and(|setup| setup.tls || setup.responder.is_some());
    if scenario.beside != Beside::default() || beyond_it {
        return None;
    }
    match &scenario.shape {
        Shape::Stream(Stream { publishers, subscribers, size, delivery, subjects, batched }) => {
            (*delivery == Delivery::All && *batched).then_some(Plan::Stream {
                publishers: *publishers,
                subscribers: *subscribers,
                size: *size,
                subjects: *subjects,
            })
        }
        Shape::Request(requests) => Some(Plan::Request(*requests)),
        Shape::Latency(_) | Shape::Crowd(_) => None,
    }
}

impl NatsCli {
    pub(crate) fn new(binary: PathBuf) -> Self {
        Self { binary }
    }

    /// `nats bench v0.4.0`.
    pub(crate) fn describe(&self) -> Result<String> {
        let output = Command::new(&self.binary).arg("--version").output();
        let output = output.with_context(|| format!("cannot run {}", self.binary.display()))?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        Ok(format!("nats bench {}", text.lines().next().unwrap_or_default().trim()))
    }

    /// Runs a scenario against a server that has just started with its monitoring port open.
    #[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
    pub(crate) fn run(
        &self,
        scenario: &Scenario,
        server: &Server,
        timing: Timing,
    ) -> Result<Sample> {
        let plan = plan(scenario).with_context(|| format!("{}: not for it", scenario.name))?;
        let mut meter = Meter::new(server.pid());
        let stand = Stand::new(self, plan, scenario.setup.as_ref(), server)?;
        let few = match plan {
            Plan::Stream { publishers, .. } => TRIAL_MESSAGES.max(publishers as u64),
            Plan::Request(requests) => TRIAL_REQUESTS.max(requests.requesters as u64),
        };
        let trial = stand.run(few, &mut meter)?;
        let enough = few as f64 * timing.steady.as_secs_f64() / trial.elapsed.as_secs_f64();
        let (client_before, before) = (children_cpu()?, meter.sample()?);
        let outcome = stand.run(whole(enough).max(few), &mut meter)?;
        let (usage, client) = (meter.sample()? - before, children_cpu()? - client_before);
        let (operations, seconds) = (outcome.operations as f64, outcome.elapsed.as_secs_f64());
        let unit = match plan {
            Plan::Stream { subscribers: 0, .. } => "message",
            Plan::Stream { .. } => "delivery",
            Plan::Request(_) => "request",
        };
        Ok(Sample {
            unit: unit.to_owned(),
            operations: outcome.operations,
            seconds,
            cpu_ns: usage.cpu_ns as f64 / operations,
            per_second: outcome.per_second,
            published_per_second: outcome.published_per_second,
            cores_used: usage.cpu_ns as f64 / (seconds * 1e9),
            cores_wanted: usage.wait_ns as f64 / (seconds * 1e9),
            sleeps_per_1000: usage.sleeps as f64 * 1e3 / operations,
            preemptions_per_1000: usage.preemptions as f64 * 1e3 / operations,
            client_cores_used: client.as_secs_f64() / seconds,
            rss_bytes: meter.rss()?,
            ..Sample::default()
        })
    }
}

/// A server, and how the CLI is started against it.
struct Stand<'a> {
    cli: &'a NatsCli,
    plan: Plan,
    server: &'a Server,
    scratch: Scratch,
    /// Address and login.
    common: Vec<String>,
    /// Subscriptions that the server had before the first run: some are its own.
    own: OnceCell<u64>,
}

impl<'a> Stand<'a> {
    fn new(
        cli: &'a NatsCli,
        plan: Plan,
        setup: Option<&Setup>,
        server: &'a Server,
    ) -> Result<Self> {
        let mut common = vec![
            format!("--server=nats://{}", server.door(setup)?.addr()),
            "--no-context".to_owned(),
            "--timeout=30s".to_owned(),
        ];
        if let Some(Login { user, password }) = setup.and_then(|setup| setup.login.as_ref()) {
            common.extend([format!("--user={user}"), format!("--password={password}")]);
        }
        let dir = std::env::temp_dir().join(format!("ringbus-bench-cli-{}", server.pid()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self { cli, plan, server, scratch: Scratch(dir), common, own: OnceCell::new() })
    }

    /// So many messages from the first write to the last read.
    fn run(&self, messages: u64, meter: &mut Meter) -> Result<Outcome> {
        match self.plan {
            Plan::Stream { .. } => self.stream(messages, meter),
            Plan::Request(requests) => self.request(requests, messages, meter),
        }
    }

    fn stream(&self, messages: u64, meter: &mut Meter) -> Result<Outcome> {
        let Plan::Stream { publishers, subscribers, size, subjects } = self.plan else {
            return Err(anyhow!("not a stream"));
        };
        let shared = [format!("--size={size}"), format!("--msgs={messages}")];
        let mut subscribe = vec!["sub".to_owned(), "foo".to_owned()];
        subscribe.push(format!("--clients={subscribers}"));
        let mut publish = vec!["pub".to_owned(), "foo".to_owned()];
        publish.push(format!("--clients={publishers}"));
        if subjects > 1 {
            subscribe.push("--multisubject".to_owned());
            publish.extend(["--multisubject".to_owned(), format!("--multisubjectmax={subjects}")]);
        }
        let subscribing = (subscribers > 0)
            .then(|| {
                let before = self.subscriptions_before()?;
                let running = self.start("sub", &subscribe, &shared)?;
                self.wait_for_subscriptions(before + subscribers as u64)?;
                Ok::<_, anyhow::Error>(running)
            })
            .transpose()?;
        let begin = Instant::now();
        let mut publishing = self.start("pub", &publish, &shared)?;
        let published = rate_of(&publishing.finish(meter)?)?;
        let received =
            subscribing.map(|mut running| rate_of(&running.finish(meter)?)).transpose()?;
        let sent = messages / publishers as u64 * publishers as u64;
        Ok(Outcome {
            operations: sent * subscribers.max(1) as u64,
            per_second: received.unwrap_or(published),
            published_per_second: Some(published),
            elapsed: begin.elapsed(),
        })
    }

    fn request(&self, requests: Requests, messages: u64, meter: &mut Meter) -> Result<Outcome> {
        let Requests { requesters, responders, size } = requests;
        let shared = [format!("--size={size}"), format!("--msgs={messages}")];
        let words = |verb: &str, clients: usize| {
            ["service", verb, "rr"]
                .map(str::to_owned)
                .into_iter()
                .chain([format!("--clients={clients}")])
        };
        let before = self.subscriptions_before()?;
        let serve: Vec<String> = words("serve", responders).collect();
        let serving = self.start("serve", &serve, &shared)?;
        self.wait_for_subscriptions(before + responders as u64)?;
        let begin = Instant::now();
        let ask: Vec<String> = words("request", requesters).collect();
        let per_second = rate_of(&self.start("request", &ask, &shared)?.finish(meter)?)?;
        let elapsed = begin.elapsed();
        drop(serving);
        let operations = messages / requesters as u64 * requesters as u64;
        Ok(Outcome { operations, per_second, published_per_second: None, elapsed })
    }

    fn start(&self, name: &str, words: &[String], shared: &[String]) -> Result<Running> {
        let Scratch(dir) = &self.scratch;
        let output = dir.join(name);
        let file = File::create(&output)?;
        let child = Command::new(&self.cli.binary)
            .arg("bench")
            .args(words)
            .args(shared)
            .arg("--no-progress")
            .args(&self.common)
            // Whatever this user has set up for other servers does not count here.
            .env("HOME", dir)
            .env("XDG_CONFIG_HOME", dir)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", self.cli.binary.display()))?;
        Ok(Running { child, output })
    }

    /// How many the server has; some are its own.
    fn subscriptions(&self) -> Result<u64> {
        #[derive(Deserialize)]
        struct Subsz {
            num_subscriptions: u64,
        }
        let monitor = self.server.monitor().context("the server has no monitoring port")?;
        let answer = monitoring_page(monitor, "/subsz")?;
        let (_, body) = answer.split_once("\r\n\r\n").context("an answer without a body")?;
        let subsz: Subsz = serde_json::from_str(body).context("/subsz")?;
        Ok(subsz.num_subscriptions)
    }

    /// How many the server has when nobody subscribes, once those of the run before are gone.
    fn subscriptions_before(&self) -> Result<u64> {
        let Some(own) = self.own.get() else {
            let now = self.subscriptions()?;
            return Ok(*self.own.get_or_init(|| now));
        };
        let since = Instant::now();
        while self.subscriptions()? > *own && since.elapsed() < READY_TIMEOUT {
            interrupt::check()?;
            thread::sleep(POLL);
        }
        Ok(*own)
    }

    fn wait_for_subscriptions(&self, wanted: u64) -> Result<()> {
        let since = Instant::now();
        while self.subscriptions()? < wanted {
            interrupt::check()?;
            if since.elapsed() > READY_TIMEOUT {
                let text = format!("subscribers of `nats bench` not there in {READY_TIMEOUT:?}");
                return Err(CheckFailure(text).into());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }
}

impl Running {
    /// Waits for the end; what was printed. One that does not end lacks messages.
    fn finish(&mut self, meter: &mut Meter) -> Result<String> {
        let since = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            interrupt::check()?;
            if since.elapsed() > RUN_TIMEOUT {
                let text = format!("`nats bench` not done in {RUN_TIMEOUT:?}: {}", self.tail());
                return Err(CheckFailure(text).into());
            }
            meter.sample()?;
            thread::sleep(POLL);
        };
        let printed = fs::read_to_string(&self.output)?;
        if !status.success() {
            return Err(CheckFailure(format!("`nats bench`: {status}: {}", self.tail())).into());
        }
        Ok(printed)
    }

    fn tail(&self) -> String {
        let printed = fs::read_to_string(&self.output).unwrap_or_default();
        printed.lines().rev().find(|line| !line.is_empty()).unwrap_or_default().to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let path: &Path = &self.0;
        fs::remove_dir_all(path).ok();
    }
}

/// `… aggregated stats: 1,614,197 msgs/sec ~ …`, the last such line.
fn rate_of(printed: &str) -> Result<f64> {
    let number = |line: &str| {
        let (_, rest) = line.split_once("stats: ")?;
        let (number, _) = rest.split_once(" msgs/sec")?;
        number.replace(',', "").parse::<f64>().ok()
    };
    let found = printed.lines().rev().find_map(number);
    found.with_context(|| format!("no rate in what `nats bench` printed: {printed:?}"))
}

/// CPU time of our children that have ended.
fn children_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let ticks = children_ticks(&stat).context("/proc/self/stat")?;
    let nanos = ticks.saturating_mul(1_000_000_000) / clock_ticks_per_second().max(1);
    Ok(Duration::from_nanos(nanos))
}

/// The 16th and 17th field; the second is a name in brackets, which may have blanks.
fn children_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(13);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and a saturating cast is right"
)]
fn whole(value: f64) -> u64 {
    value.max(1.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario;

    #[test]
    fn rate_is_that_of_all_clients() {
        let one = "NATS Core NATS publisher stats: 1,374,198 msgs/sec ~ 21 MiB/sec ~ min: 0.06us\n";
        assert_eq!(rate_of(one).unwrap(), 1_374_198.0);
        let two = "  [1] 895,243 msgs/sec ~ 14 MiB/sec (200,000 msgs)\n  [2] 807,098 msgs/sec\n\n \
                   NATS Core NATS subscriber aggregated stats: 1,614,197 msgs/sec ~ 25 MiB/sec\n \
                   message rates min 807,098 | avg 851,170\n";
        assert_eq!(rate_of(two).unwrap(), 1_614_197.0);
        assert!(rate_of("error: no servers available\n").is_err());
    }

    #[test]
    fn time_of_children_is_found_behind_any_name() {
        let stat = "1 (a b) c) S 1 1 1 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 1 0 1 1 1";
        assert_eq!(children_ticks(stat), Some(15));
        assert!(children_cpu().is_ok());
    }

    #[test]
    fn what_it_cannot_express_is_left_out() {
        let expressed: Vec<String> = (scenario::load(None, &[]).unwrap().iter())
            .filter(|scenario| can_express(scenario))
            .map(|scenario| scenario.name.clone())
            .collect();
        let has = |name: &str| expressed.iter().any(|known| known == name);
        for name in ["pub-16B", "1to10-16B", "4to4-128B", "wild-1000-16B", "reqrep-16-16B"] {
            assert!(has(name), "{name}");
        }
        for name in ["queue4-16B", "1to1-16B-unbatched", "1to1-16B-churn", "idle-1000"] {
            assert!(!has(name), "{name}");
        }
    }
}
