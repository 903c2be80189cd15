//! Figures for people (table) and for machines (JSON, CSV).

use std::fmt::Write;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::affinity::Placement;
use crate::compare::{Comparison, Method, Run};
use crate::host::Host;
use crate::load::{Kept, Latency, Loop, Sample};
use crate::stats::Spread;
use crate::target::Target;

/// Our own load generator, which speaks the protocol itself.
pub(crate) const OWN_DRIVER: &str = "raw sockets";

/// Where the figures come from; printed above every table.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// Words of whoever started it, for example which commit was measured.
    pub(crate) note: String,
    /// What makes the load.
    pub(crate) driver: String,
    pub(crate) host: Host,
    pub(crate) placement: Placement,
    pub(crate) server_cpus: String,
    pub(crate) client_cpus: String,
    pub(crate) warm_up_seconds: f64,
    pub(crate) steady_seconds: f64,
    pub(crate) rounds: u32,
    pub(crate) targets: Vec<TargetFacts>,
}

/// A server under test.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TargetFacts {
    pub(crate) name: String,
    pub(crate) binary: String,
    pub(crate) flags: String,
    pub(crate) version: String,
    /// The language and its version that the server names in its greeting.
    pub(crate) runtime: String,
}

impl Setting {
    pub(crate) fn read(
        targets: &[Target],
        method: &Method<'_>,
        driver: String,
        note: String,
    ) -> Self {
        let Method { rounds, timing, pinning, .. } = method;
        let cpus =
            |list: &Option<_>| list.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
        Self {
            note,
            driver,
            host: Host::read(),
            placement: pinning.placement(),
            server_cpus: cpus(&pinning.server),
            client_cpus: cpus(&pinning.clients),
            warm_up_seconds: timing.warm_up.as_secs_f64(),
            steady_seconds: timing.steady.as_secs_f64(),
            rounds: *rounds,
            targets: targets
                .iter()
                .map(|target| TargetFacts {
                    name: target.name.clone(),
                    binary: target.binary.display().to_string(),
                    flags: target.flags.join(" "),
                    version: target.version(),
                    runtime: target.runtime(pinning).unwrap_or_else(|_| "unknown".to_owned()),
                })
                .collect(),
        }
    }

    /// The facts as text.
    pub(crate) fn text(&self) -> String {
        let Self { host, server_cpus, client_cpus, .. } = self;
        let kind = if host.virtual_machine { " (virtual machine)" } else { "" };
        let mut text = format!(
            "{}\n{}\nLinux {}, {} x {}{kind}, governor {}, clocksource {}, load {}\n\
             {} MiB of memory, {} open files allowed, mitigations: {}\n\
             server on CPU {server_cpus}, clients on CPU {client_cpus}, \
             {} rounds of {} s after {} s\n",
            host.command,
            host.date,
            host.kernel,
            host.cpus,
            host.cpu,
            host.governor,
            host.clocksource,
            host.load_average,
            host.memory_mib,
            host.open_files,
            host.mitigations,
            self.rounds,
            self.steady_seconds,
            self.warm_up_seconds,
        );
        for target in &self.targets {
            let TargetFacts { name, binary, flags, version, runtime } = target;
            writeln!(text, "{name}: {version}, {runtime} ({binary} {flags})").ok();
        }
        writeln!(text, "load: {}", self.driver).ok();
        if !self.note.is_empty() {
            writeln!(text, "{}", self.note).ok();
        }
        text
    }
}

/// The rows of one scenario: median [min-max] over the rounds.
pub(crate) fn scenario_table(name: &str, targets: &[Target], comparison: &Comparison) -> String {
    let mut text = String::new();
    let first = targets.first().map_or("", |target| target.name.as_str());
    for (idx, target) in targets.iter().enumerate() {
        let runs = runs_of(comparison, name, &target.name);
        let Some(sample) = runs.first().map(|run| &run.sample) else {
            writeln!(text, "{name:<24} {:<12} no good round", target.name).ok();
            continue;
        };
        let of = |figure: &dyn Fn(&Sample) -> f64| {
            Spread::of(runs.iter().map(|run| figure(&run.sample)))
        };
        let ratio = if idx == 0 {
            String::new()
        } else {
            let ratios = ratios(&runs_of(comparison, name, first), &runs);
            spread(ratios, 3)
        };
        write!(
            text,
            "{name:<24} {:<12} {:<30} {:<9} {:<24} {:>5.2} {:>5.2} {:>6.2} {:>8.2} {:>8.2} {:>7} \
             {:>7.1} {ratio}",
            target.name,
            spread(of(&|sample| sample.cpu_ns), 4),
            sample.unit,
            spread(of(&|sample| sample.per_second / 1e6), 4),
            median(of(&|sample| sample.cores_used)),
            median(of(&|sample| sample.cores_wanted)),
            median(of(&|sample| sample.client_cores_used)),
            median(of(&|sample| sample.sleeps_per_1000)),
            median(of(&|sample| sample.preemptions_per_1000)),
            syscalls(&runs),
            median(of(&|sample| bytes_to_mib(sample.rss_bytes))),
        )
        .ok();
        write_extras(&mut text, &runs);
        text.push('\n');
    }
    text
}

/// The line above the rows.
///
/// `cores` is what the server used, `wait` what it wanted but others had. If both together are far
/// below its CPUs and `client` is near those of the clients, the rate is the load generator's own.
/// Per thousand operations: `sleeps` are voluntary context switches, `taken` involuntary ones,
/// `calls` system calls (`-` where the kernel does not let us count them).
pub(crate) fn table_head(targets: &[Target]) -> String {
    let ratio = match targets {
        [first, _, ..] => format!("CPU of {} by this, per round", first.name),
        _ => String::new(),
    };
    format!(
        "{:<24} {:<12} {:<30} {:<9} {:<24} {:>5} {:>5} {:>6} {:>8} {:>8} {:>7} {:>7} {ratio}\n",
        "scenario",
        "target",
        "server CPU ns",
        "per",
        "M/s",
        "cores",
        "wait",
        "client",
        "sleeps/k",
        "taken/k",
        "calls/k",
        "RSS MiB"
    )
}

/// System calls per thousand operations.
fn syscalls(runs: &[&Run]) -> String {
    let spread = Spread::of(runs.iter().filter_map(|run| run.sample.syscalls_per_1000));
    spread.map_or_else(|| "-".to_owned(), |spread| significant(spread.median, 3))
}

/// What only some scenarios have.
fn write_extras(text: &mut String, runs: &[&Run]) {
    for note in notes(runs) {
        write!(text, "  {note}").ok();
    }
    write_latency(text, runs);
}

/// The same as phrases.
pub(crate) fn notes(runs: &[&Run]) -> Vec<String> {
    let of = |figure: fn(&Sample) -> Option<f64>| {
        Spread::of(runs.iter().filter_map(|run| figure(&run.sample)))
    };
    let mut notes = Vec::new();
    if let Some(bytes) = of(|sample| sample.bytes_per_connection) {
        notes.push(format!("{} bytes per connection", spread(Some(bytes), 4)));
    }
    if let Some(churn) = of(|sample| sample.churn_per_second.map(|rate| rate / 1e3)) {
        notes.push(format!("churn {} k/s", spread(Some(churn), 3)));
    }
    if let Some(slowest) = of(|sample| sample.scrape_max_ms) {
        notes.push(format!("slowest page {} ms", spread(Some(slowest), 3)));
    }
    let replaced = runs.iter().filter_map(|run| run.sample.stalled_replaced).max();
    if let Some(replaced) = replaced.filter(|replaced| *replaced > 0) {
        notes.push(format!("stalled subscribers replaced up to {replaced} times"));
    }
    notes.extend(runs.iter().find_map(|run| run.sample.reduced.clone()));
    notes
}

/// Latencies of the runs that have valid ones, and a word on the others.
fn write_latency(text: &mut String, runs: &[&Run]) {
    let part = |figure: fn(&Latency) -> f64| Spread::of(latencies(runs).map(figure));
    if let (Some(p50), Some(one)) = (part(|latency| latency.p50_us), latencies(runs).next()) {
        write!(
            text,
            "  {} us: p50 {} p90 {:.0} p99 {} p99.9 {:.0} p99.99 {:.0} max {:.0}",
            loop_name(one.measured),
            spread(Some(p50), 3),
            median(part(|latency| latency.p90_us)),
            spread(part(|latency| latency.p99_us), 3),
            median(part(|latency| latency.p999_us)),
            median(part(|latency| latency.p9999_us)),
            median(part(|latency| latency.max_us)),
        )
        .ok();
    }
    let kept = |figure: fn(&Kept) -> f64| {
        Spread::of(latencies(runs).filter_map(|latency| latency.schedule.as_ref().map(figure)))
    };
    if let Some(late) = kept(|kept| kept.late_p99_us) {
        let behind = median(kept(|kept| kept.behind_max_us));
        write!(text, ", sender late p99 {:.0}, behind max {behind:.0}", late.median).ok();
    }
    if let Some((rounds, reason)) = invalid(runs) {
        write!(text, "  latency INVALID in {rounds} of {} rounds: {reason}", runs.len()).ok();
    }
}

/// How the latencies were made; nobody may take the one for the other.
pub(crate) fn loop_name(measured: Loop) -> &'static str {
    match measured {
        Loop::Closed => "closed loop",
        Loop::Open => "open loop",
    }
}

/// The latencies that may be shown.
pub(crate) fn latencies<'a>(runs: &[&'a Run]) -> impl Iterator<Item = &'a Latency> {
    let all = runs.iter().filter_map(|run| run.sample.latency.as_ref());
    all.filter(|latency| latency.invalid().is_none())
}

/// How many runs have latencies that may not be shown, and why the first may not.
pub(crate) fn invalid<'a>(runs: &[&'a Run]) -> Option<(usize, &'a str)> {
    let mut reasons = runs.iter().filter_map(|run| run.sample.latency.as_ref()?.invalid());
    let first = reasons.next()?;
    Some((reasons.count() + 1, first))
}

pub(crate) fn runs_of<'a>(
    comparison: &'a Comparison,
    scenario: &str,
    target: &str,
) -> Vec<&'a Run> {
    let wanted = |run: &&Run| run.scenario == scenario && run.target == target;
    comparison.runs.iter().filter(wanted).collect()
}

/// CPU of the first target by that of another, round by round.
pub(crate) fn ratios(first: &[&Run], other: &[&Run]) -> Option<Spread> {
    Spread::of(first.iter().filter_map(|run| {
        let peer = other.iter().find(|peer| peer.round == run.round)?;
        Some(run.sample.cpu_ns / peer.sample.cpu_ns)
    }))
}

pub(crate) fn median(spread: Option<Spread>) -> f64 {
    spread.map_or(f64::NAN, |spread| spread.median)
}

pub(crate) fn spread(spread: Option<Spread>, digits: usize) -> String {
    spread.map_or_else(String::new, |Spread { median, min, max }| {
        let figure = |value| significant(value, digits);
        format!("{} [{}-{}]", figure(median), figure(min), figure(max))
    })
}

/// As many decimals as give this many digits in all.
pub(crate) fn significant(value: f64, digits: usize) -> String {
    let mut decimals = digits.saturating_sub(1);
    let mut limit = 10.0;
    while decimals > 0 && value.abs() >= limit {
        (decimals, limit) = (decimals - 1, limit * 10.0);
    }
    format!("{value:.decimals$}")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
pub(crate) fn bytes_to_mib(bytes: u64) -> f64 {
    bytes as f64 / (1_024.0 * 1_024.0)
}

/// Everything, for machines.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Document<S, C> {
    pub(crate) setting: S,
    #[serde(flatten)]
    pub(crate) comparison: C,
}

pub(crate) fn json(setting: &Setting, comparison: &Comparison) -> Result<String> {
    Ok(serde_json::to_string(&Document { setting, comparison })?)
}

/// What `json` wrote.
pub(crate) fn from_json(text: &str) -> Result<Document<Setting, Comparison>> {
    Ok(serde_json::from_str(text)?)
}

/// One line per run under the names of its columns.
pub(crate) fn csv(setting: &Setting, comparison: &Comparison) -> String {
    let mut text = String::new();
    for (idx, run) in comparison.runs.iter().enumerate() {
        let (names, values): (Vec<_>, Vec<_>) = csv_fields(setting, run).into_iter().unzip();
        if idx == 0 {
            writeln!(text, "{}", names.join(",")).ok();
        }
        writeln!(text, "{}", values.join(",")).ok();
    }
    text
}

/// A figure that a scenario does not have is empty.
fn csv_fields(setting: &Setting, run: &Run) -> Vec<(&'static str, String)> {
    let Run { scenario, target, shards, round, sample } = run;
    let optional = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let count = |value: Option<u64>| value.map_or_else(String::new, |value| value.to_string());
    let latency = |figure: fn(&Latency) -> f64| optional(sample.latency.as_ref().map(figure));
    let measured = sample.latency.as_ref().map(|latency| loop_name(latency.measured));
    let invalid = sample.latency.as_ref().and_then(Latency::invalid);
    let schedule = |figure: fn(&Kept) -> Option<f64>| {
        optional(sample.latency.as_ref().and_then(|all| figure(all.schedule.as_ref()?)))
    };
    vec![
        ("date", setting.host.date.clone()),
        ("kernel", setting.host.kernel.clone()),
        ("scenario", scenario.clone()),
        ("target", target.clone()),
        ("shards", shards.map_or_else(String::new, |shards| shards.to_string())),
        ("round", round.to_string()),
        ("unit", sample.unit.clone()),
        ("operations", sample.operations.to_string()),
        ("seconds", sample.seconds.to_string()),
        ("cpu_ns", sample.cpu_ns.to_string()),
        ("per_second", sample.per_second.to_string()),
        ("published_per_second", optional(sample.published_per_second)),
        ("cores_used", sample.cores_used.to_string()),
        ("cores_wanted", sample.cores_wanted.to_string()),
        ("client_cores_used", sample.client_cores_used.to_string()),
        ("sleeps_per_1000", sample.sleeps_per_1000.to_string()),
        ("preemptions_per_1000", sample.preemptions_per_1000.to_string()),
        ("syscalls_per_1000", optional(sample.syscalls_per_1000)),
        ("messages_per_read", optional(sample.messages_per_read)),
        ("rss_bytes", sample.rss_bytes.to_string()),
        ("bytes_per_connection", optional(sample.bytes_per_connection)),
        ("churn_per_second", optional(sample.churn_per_second)),
        ("stalled_replaced", count(sample.stalled_replaced)),
        ("scrapes", count(sample.scrapes)),
        ("scrape_max_ms", optional(sample.scrape_max_ms)),
        ("loop", measured.map_or_else(String::new, |measured| measured.to_owned())),
        (
            "latencies",
            sample.latency.as_ref().map_or_else(String::new, |all| all.count.to_string()),
        ),
        ("p50_us", latency(|latency| latency.p50_us)),
        ("p90_us", latency(|latency| latency.p90_us)),
        ("p99_us", latency(|latency| latency.p99_us)),
        ("p999_us", latency(|latency| latency.p999_us)),
        ("p9999_us", latency(|latency| latency.p9999_us)),
        ("max_us", latency(|latency| latency.max_us)),
        ("due_per_second", schedule(|kept| Some(kept.per_second))),
        ("peak_per_second", schedule(|kept| kept.peak_per_second)),
        ("sender_late_p99_us", schedule(|kept| Some(kept.late_p99_us))),
        ("sender_late_max_us", schedule(|kept| Some(kept.late_max_us))),
        ("sender_behind_max_us", schedule(|kept| Some(kept.behind_max_us))),
        ("latency_invalid", invalid.unwrap_or_default().to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_the_digits_asked_for() {
        assert_eq!(significant(1.23456, 3), "1.23");
        assert_eq!(significant(123.456, 4), "123.5");
        assert_eq!(significant(98_765.4, 4), "98765");
        assert_eq!(significant(0.251, 3), "0.25");
    }
}
