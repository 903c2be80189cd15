//! What goes on beside the load that is measured: idle connections, subscriptions that come and
//! go, subscribers that read nothing, questions to the monitoring port.
//!
//! None of it is counted as an operation. Its cost to the server is, which is the point.

use std::thread::Scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::flow::{Counter, Flow};
use super::receiver::{self, Receiver};
use super::scrape::Scraper;
use super::stalled::Stalled;
use super::{Phase, Sample, Site, Steering, churn, crowd};
use crate::client::Client;
use crate::scenario::Beside;

const POLL: Duration = Duration::from_millis(10);

/// Everything connected, nothing begun.
pub(super) struct Company {
    plan: Beside,
    idle: Vec<Receiver>,
    churner: Option<Receiver>,
    stalled: Vec<Stalled>,
    scraper: Option<Scraper>,
}

/// How a further subscriber gets the messages that are measured, and how long each of them is.
#[derive(Clone, Debug)]
pub(super) struct Listening {
    pub(super) line: String,
    pub(super) frame_len: usize,
}

/// What the roles have done so far.
#[derive(Debug, Default)]
pub(super) struct Noted {
    churned: Counter,
    replaced: Counter,
    pub(super) scrapes: Counter,
    pub(super) scrape_max_ns: Counter,
}

/// The same at the end of the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    plan: Beside,
    churn_per_second: f64,
    replaced: u64,
    scrapes: u64,
    scrape_max_ns: u64,
}

impl Company {
    pub(super) fn set_up(site: &Site, listening: Option<&Listening>) -> Result<Self> {
        let plan = site.beside;
        let deaf = |_| Client::connect(&site.door, "").map(Receiver::deaf);
        let idle = crowd::connect_all(plan.idle, crowd::at_once(plan.idle), deaf)?;
        let churner = (plan.churn_per_second > 0).then(|| deaf(0)).transpose()?;
        let stalled = listening
            .map(|listening| (0..plan.stalled).map(|_| Stalled::new(&site.door, listening)))
            .into_iter()
            .flatten()
            .collect::<Result<_>>()?;
        let scraper = (plan.scrapes_per_second > 0)
            .then(|| {
                let monitor = site.monitor.context("the server has no monitoring port")?;
                Ok::<_, anyhow::Error>(Scraper::new(monitor, plan.scrapes_per_second))
            })
            .transpose()?;
        Ok(Self { plan, idle, churner, stalled, scraper })
    }

    /// Starts what was planned, each on a thread of its own. Stalled subscribers look at the flow
    /// for how much they should have read.
    pub(super) fn begin<'scope>(
        self,
        scope: &'scope Scope<'scope, '_>,
        steering: &'scope Steering,
        flow: Option<&'scope Flow>,
        noted: &'scope Noted,
    ) {
        let Self { plan, idle, churner, stalled, scraper } = self;
        if !idle.is_empty() {
            scope.spawn(move || steering.role(|| attend(idle, steering)));
        }
        if let Some(churner) = churner {
            let rate = plan.churn_per_second;
            scope.spawn(move || {
                steering.role(|| churn::churn(churner, rate, &noted.churned, steering))
            });
        }
        if let (Some(flow), false) = (flow, stalled.is_empty()) {
            scope.spawn(move || {
                steering.role(|| super::stalled::hold(stalled, flow, &noted.replaced, steering))
            });
        }
        if let Some(scraper) = scraper {
            scope.spawn(move || steering.role(|| scraper.scrape(noted, steering)));
        }
    }
}

impl Noted {
    /// What was done since `begin`.
    #[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
    pub(super) fn since(&self, begin: Instant, plan: Beside) -> Seen {
        Seen {
            plan,
            churn_per_second: self.churned.get() as f64 / begin.elapsed().as_secs_f64(),
            replaced: self.replaced.get(),
            scrapes: self.scrapes.get(),
            scrape_max_ns: self.scrape_max_ns.get(),
        }
    }
}

impl Seen {
    #[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
    pub(super) fn write_to(&self, sample: &mut Sample) {
        let plan = self.plan;
        sample.churn_per_second = (plan.churn_per_second > 0).then_some(self.churn_per_second);
        sample.stalled_replaced = (plan.stalled > 0).then_some(self.replaced);
        if plan.scrapes_per_second > 0 {
            sample.scrapes = Some(self.scrapes);
            sample.scrape_max_ms = Some(self.scrape_max_ns as f64 / 1e6);
        }
    }
}

/// Keeps idle connections open; in the end each of them must still answer.
fn attend(mut idle: Vec<Receiver>, steering: &Steering) -> Result<()> {
    while steering.phase() < Phase::Stop {
        std::thread::sleep(POLL);
    }
    let mut scratch = receiver::scratch(0);
    for connection in &mut idle {
        if steering.failed() {
            return Ok(());
        }
        connection.flush(&mut scratch)?;
    }
    Ok(())
}
