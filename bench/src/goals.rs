//! The figures to reach, and what results come to against them.
//!
//! A goal is data (`goals.toml`): a figure of a scenario, alone, divided by that of a peer, of
//! another scenario or of another number of shards, or less that of another one, with a bound.
//! Judging needs nothing but recorded runs, so old records can be held against new goals.
#![deny(clippy::indexing_slicing)]

use std::fmt::{self, Write};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::affinity::Placement;
use crate::compare::{Comparison, Run};
use crate::report::{OWN_DRIVER, Setting, significant};
use crate::stats::Spread;
use crate::target::{Target, base_name};

/// The goals of this project.
const GOALS: &str = include_str!("../goals.toml");

/// One figure to reach.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Goal {
    row: String,
    scenario: String,
    figure: Figure,
    of: Option<Of>,
    /// The scenario whose figure is taken off.
    less: Option<String>,
    /// The worst round counts, not the median.
    #[serde(default)]
    every_round: bool,
    #[serde(default = "one")]
    shards: u32,
    placement: Option<Placement>,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

fn one() -> u32 {
    1
}

/// Columns that goals are set for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Figure {
    CpuNs,
    PerSecond,
    PublishedPerSecond,
    ChurnPerSecond,
    P50Us,
    P99Us,
    BytesPerConnection,
    Capacity,
}

/// What a figure is divided by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Of {
    Peer,
    Scenario(String),
    Shards(u32),
}

/// What came of a goal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Reached(f64),
    Missed(f64),
    /// Why nothing can be said.
    Open(&'static str),
}

/// A goal against results of one target.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) row: String,
    pub(crate) target: String,
    /// `cpu_ns of nats-2.9.10`.
    pub(crate) figure: String,
    /// `at most 0.25`.
    pub(crate) wanted: String,
    pub(crate) outcome: Outcome,
}

/// All goals, checked.
pub(crate) fn load() -> Result<Vec<Goal>> {
    parse(GOALS).context("goals.toml")
}

fn parse(text: &str) -> Result<Vec<Goal>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        goal: Vec<Goal>,
    }
    let goals = toml::from_str::<File>(text)?.goal;
    for goal in &goals {
        let row = &goal.row;
        ensure!(goal.at_most.is_some() != goal.at_least.is_some(), "{row}: one bound is needed");
        ensure!(goal.of.is_none() || goal.less.is_none(), "{row}: either of or less");
        ensure!(!goal.every_round || goal.of == Some(Of::Peer), "{row}: every_round needs a peer");
    }
    Ok(goals)
}

/// The scenarios that goals are about, each once.
pub(crate) fn scenarios(goals: &[Goal]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for goal in goals {
        let other = match &goal.of {
            Some(Of::Scenario(name)) => Some(name),
            _ => None,
        };
        for name in other.into_iter().chain(&goal.less).chain([&goal.scenario]) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

/// Holds results against the goals that can be judged by them: no word on scenarios that did not
/// run, or ran elsewhere than the goal says, nor on what another load generator saw.
pub(crate) fn judge(goals: &[Goal], setting: &Setting, comparison: &Comparison) -> Vec<Verdict> {
    let ours = setting.driver == OWN_DRIVER;
    if ours { judge_at(goals, setting.placement, comparison) } else { Vec::new() }
}

fn judge_at(goals: &[Goal], placement: Placement, comparison: &Comparison) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for goal in goals {
        if goal.placement.is_some_and(|wanted| wanted != placement) {
            continue;
        }
        for target in our_targets(goal, comparison) {
            verdicts.push(judge_one(goal, target, comparison));
        }
    }
    verdicts
}

/// Targets of ours that have run the scenario with the right number of shards, or tried to.
fn our_targets<'a>(goal: &Goal, comparison: &'a Comparison) -> Vec<&'a str> {
    let ran = comparison.runs.iter().map(|run| (&run.scenario, &run.target, run.shards));
    let failed = comparison.void.iter().map(|void| (&void.scenario, &void.target, void.shards));
    let mut names: Vec<&str> = Vec::new();
    for (scenario, target, shards) in ran.chain(failed) {
        let fits = *scenario == goal.scenario && shards.unwrap_or(1) == goal.shards;
        if fits && Target::is_ours(target) && !names.contains(&target.as_str()) {
            names.push(target);
        }
    }
    names
}

fn judge_one(goal: &Goal, target: &str, comparison: &Comparison) -> Verdict {
    let (value, other) = value(goal, target, comparison);
    let good = |value: f64| {
        goal.at_most.is_none_or(|most| value <= most)
            && goal.at_least.is_none_or(|least| value >= least)
    };
    let void =
        comparison.void.iter().any(|void| void.target == target && void.scenario == goal.scenario);
    let outcome = match value {
        _ if void => Outcome::Open("a check failed"),
        Ok(value) if good(value) => Outcome::Reached(value),
        Ok(value) => Outcome::Missed(value),
        Err(reason) => Outcome::Open(reason),
    };
    let mut figure = goal.figure.to_string();
    if let Some(other) = other {
        let word = if goal.less.is_some() { "less" } else { "of" };
        write!(figure, " {word} {other}").ok();
    }
    let mut wanted = match (goal.at_most, goal.at_least) {
        (Some(most), _) => format!("at most {most}"),
        (_, least) => format!("at least {}", least.unwrap_or(0.0)),
    };
    if goal.every_round {
        wanted.push_str(", every round");
    }
    Verdict { row: goal.row.clone(), target: target.to_owned(), figure, wanted, outcome }
}

/// The figure as the goal wants it, and the name of what it was held against.
fn value(
    goal: &Goal,
    target: &str,
    comparison: &Comparison,
) -> (Result<f64, &'static str>, Option<String>) {
    let own = runs(comparison, &goal.scenario, target);
    let Some(median) = median(goal, &own) else { return (Err("not measured"), None) };
    if let Some(scenario) = &goal.less {
        let other = self::median(goal, &runs(comparison, scenario, target));
        let more = other.map(|other| median - other).ok_or("not measured");
        return (more, Some(scenario.clone()));
    }
    match &goal.of {
        None => (Ok(median), None),
        Some(Of::Peer) => match best_peer(goal, comparison) {
            Some(peer) => {
                let theirs = runs(comparison, &goal.scenario, peer);
                let ratio = ratio(goal, &own, &theirs).ok_or("no round in common");
                (ratio, Some(peer.to_owned()))
            }
            None => (Err("no other server"), Some("peer".to_owned())),
        },
        Some(Of::Scenario(scenario)) => {
            let other = self::median(goal, &runs(comparison, scenario, target));
            (other.map(|other| median / other).ok_or("not measured"), Some(scenario.clone()))
        }
        Some(Of::Shards(shards)) => {
            let wanted = |run: &&Run| {
                run.scenario == goal.scenario
                    && run.shards == Some(*shards)
                    && base_name(&run.target) == base_name(target)
            };
            let other: Vec<&Run> = comparison.runs.iter().filter(wanted).collect();
            let ratio = self::median(goal, &other).map(|other| median / other);
            (ratio.ok_or("not measured with so many shards"), Some(format!("{shards} shards")))
        }
    }
}

fn runs<'a>(comparison: &'a Comparison, scenario: &str, target: &str) -> Vec<&'a Run> {
    crate::report::runs_of(comparison, scenario, target)
}

fn median(goal: &Goal, runs: &[&Run]) -> Option<f64> {
    Spread::of(runs.iter().filter_map(|run| goal.figure.read(run))).map(|spread| spread.median)
}

/// The server with the best median among those that are not ours.
fn best_peer<'a>(goal: &Goal, comparison: &'a Comparison) -> Option<&'a str> {
    let mut best: Option<(&str, f64)> = None;
    for run in &comparison.runs {
        let known = best.is_some_and(|(name, _)| name == run.target);
        if run.scenario != goal.scenario || Target::is_ours(&run.target) || known {
            continue;
        }
        let theirs = runs(comparison, &goal.scenario, &run.target);
        let Some(median) = median(goal, &theirs) else { continue };
        let better =
            best.is_none_or(
                |(_, other)| {
                    if goal.at_most.is_some() { median < other } else { median > other }
                },
            );
        if better {
            best = Some((&run.target, median));
        }
    }
    best.map(|(name, _)| name)
}

/// Ours by theirs, round by round: the median, or the worst if every round counts.
fn ratio(goal: &Goal, own: &[&Run], theirs: &[&Run]) -> Option<f64> {
    let ratios = Spread::of(own.iter().filter_map(|run| {
        let peer = theirs.iter().find(|peer| peer.round == run.round)?;
        Some(goal.figure.read(run)? / goal.figure.read(peer)?)
    }))?;
    Some(match (goal.every_round, goal.at_most) {
        (false, _) => ratios.median,
        (true, Some(_)) => ratios.max,
        (true, None) => ratios.min,
    })
}

impl Figure {
    fn read(self, run: &Run) -> Option<f64> {
        let sample = &run.sample;
        let latency = sample.latency.as_ref().filter(|latency| latency.invalid().is_none());
        match self {
            Self::CpuNs => Some(sample.cpu_ns),
            Self::PerSecond => Some(sample.per_second),
            Self::PublishedPerSecond => sample.published_per_second,
            Self::ChurnPerSecond => sample.churn_per_second,
            Self::P50Us => latency.map(|latency| latency.p50_us),
            Self::P99Us => latency.map(|latency| latency.p99_us),
            Self::BytesPerConnection => sample.bytes_per_connection,
            Self::Capacity => Some(capacity(run)),
        }
    }
}

/// Operations per second if all cores of the server were busy with them: one core per shard.
pub(crate) fn capacity(run: &Run) -> f64 {
    f64::from(run.shards.unwrap_or(1)) * 1e9 / run.sample.cpu_ns
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CpuNs => "CPU ns",
            Self::PerSecond => "per second",
            Self::PublishedPerSecond => "published per second",
            Self::ChurnPerSecond => "SUB/UNSUB per second",
            Self::P50Us => "p50 us",
            Self::P99Us => "p99 us",
            Self::BytesPerConnection => "bytes per connection",
            Self::Capacity => "capacity per second",
        })
    }
}

impl Outcome {
    /// The word and the figure.
    pub(crate) fn cells(&self) -> (&'static str, String) {
        match self {
            Self::Reached(value) => ("reached", significant(*value, 3)),
            Self::Missed(value) => ("MISSED", significant(*value, 3)),
            Self::Open(reason) => ("open", (*reason).to_owned()),
        }
    }
}

/// A row per goal.
pub(crate) fn table(verdicts: &[Verdict]) -> String {
    let mut text = format!(
        "{:<53} {:<11} {:<38} {:<22} {:<8} seen\n",
        "goal", "target", "figure", "wanted", ""
    );
    for Verdict { row, target, figure, wanted, outcome } in verdicts {
        let (word, seen) = outcome.cells();
        writeln!(text, "{row:<53} {target:<11} {figure:<38} {wanted:<22} {word:<8} {seen}").ok();
    }
    text
}

#[cfg(test)]
#[path = "goals_tests.rs"]
mod tests;
