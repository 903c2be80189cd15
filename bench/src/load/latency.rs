//! Latencies: recorded in nanoseconds, told in microseconds.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart; longer ones count as this.
const LATENCY_MAX_NS: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;
/// Percentiles of the curve. Between two neighbours the share of slower messages about halves.
const CURVE: [f64; 14] =
    [50.0, 75.0, 87.5, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95, 99.975, 99.98, 99.99];

/// How long messages took, over the steady window of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Latency {
    pub(crate) measured: Loop,
    pub(crate) count: u64,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) p9999_us: f64,
    pub(crate) max_us: f64,
    /// Percentile and microseconds.
    pub(crate) curve: Vec<(f64, f64)>,
    /// What the schedule was and how it was kept; only an open loop has one.
    pub(crate) schedule: Option<Kept>,
}

/// Who decides when the next message leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loop {
    /// The reply to the one before: a requester that waits sends nothing meanwhile, so these are
    /// not the latencies of a server under a fixed load.
    Closed,
    /// A schedule: every message counts from when it was due, sent late or not.
    Open,
}

/// How an open loop went on the sender's side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// Messages due per second.
    pub(crate) per_second: f64,
    /// Messages per second at full speed just before, if the rate is a part of it.
    pub(crate) peak_per_second: Option<f64>,
    /// How late the sender was while nothing kept it from sending: the harness's own part.
    pub(crate) late_p99_us: f64,
    pub(crate) late_max_us: f64,
    /// The same with what a full socket added.
    pub(crate) behind_max_us: f64,
    /// Why the latencies are not those of the server at this rate.
    pub(crate) invalid: Option<String>,
}

impl Latency {
    /// The figures of all parts together.
    pub(super) fn of(measured: Loop, parts: &[Histogram<u64>]) -> Result<Self> {
        let mut all = histogram()?;
        for part in parts {
            all.add(part)?;
        }
        let percentile = |percent: f64| micros(all.value_at_quantile(percent / 100.0));
        Ok(Self {
            measured,
            count: all.len(),
            p50_us: percentile(50.0),
            p90_us: percentile(90.0),
            p99_us: percentile(99.0),
            p999_us: percentile(99.9),
            p9999_us: percentile(99.99),
            max_us: micros(all.max()),
            curve: CURVE.map(|percent| (percent, percentile(percent))).to_vec(),
            schedule: None,
        })
    }

    /// Why this must not be shown as the latency of the server.
    pub(crate) fn invalid(&self) -> Option<&str> {
        self.schedule.as_ref()?.invalid.as_deref()
    }
}

/// Empty, with the bounds that all of them share.
pub(super) fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, LATENCY_MAX_NS, LATENCY_DIGITS)?)
}

/// A time as histograms take it.
pub(super) fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(LATENCY_MAX_NS)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
pub(super) fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}
