//! Runs every scenario against every target, round by round.
//!
//! Targets take turns within a round, and the order rotates from round to round: what the machine
//! does meanwhile hits all of them alike. A target whose check fails has no figure for that round,
//! the others go on, and the whole comparison ends with exit code 2.

use std::io::{Write, stderr};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::affinity::Pinning;
use crate::check::CheckFailure;
use crate::interrupt;
use crate::load::{self, Sample, Timing};
use crate::nats_cli::NatsCli;
use crate::scenario::Scenario;
use crate::target::Target;

/// One run that was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) scenario: String,
    pub(crate) target: String,
    /// How many shards the target was told to have, if it was.
    pub(crate) shards: Option<u32>,
    pub(crate) round: u32,
    #[serde(flatten)]
    pub(crate) sample: Sample,
}

/// One run that was void.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct VoidRun {
    pub(crate) scenario: String,
    pub(crate) target: String,
    #[serde(default)]
    pub(crate) shards: Option<u32>,
    pub(crate) round: u32,
    pub(crate) failure: String,
}

/// All runs.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Comparison {
    pub(crate) runs: Vec<Run>,
    pub(crate) void: Vec<VoidRun>,
}

/// How a comparison goes.
#[derive(Debug)]
pub(crate) struct Method<'a> {
    pub(crate) rounds: u32,
    pub(crate) timing: Timing,
    pub(crate) pinning: &'a Pinning,
    /// The load generator if it is not our own.
    pub(crate) cli: Option<&'a NatsCli>,
}

/// Compares, as far as it gets; an error is a fault of the set-up, not of a server, or a signal.
pub(crate) fn compare(
    scenarios: &[Scenario],
    targets: &[Target],
    method: &Method<'_>,
    after_scenario: impl FnMut(&Scenario, &Comparison),
) -> (Comparison, Result<()>) {
    let mut comparison = Comparison::default();
    let ended = compare_into(&mut comparison, scenarios, targets, method, after_scenario);
    (comparison, ended)
}

fn compare_into(
    comparison: &mut Comparison,
    scenarios: &[Scenario],
    targets: &[Target],
    method: &Method<'_>,
    mut after_scenario: impl FnMut(&Scenario, &Comparison),
) -> Result<()> {
    let whole = scenarios.len() * targets.len() * method.rounds as usize;
    for scenario in scenarios {
        for round in 0..method.rounds {
            for target in rotated(targets, round) {
                let outcome = run_once(scenario, target, method);
                interrupt::check()?;
                let done = comparison.runs.len() + comparison.void.len() + 1;
                progress(&format!("[{done}/{whole}]"), scenario, target, round, &outcome);
                let shards = target.shards;
                let (scenario, target) = (scenario.name.clone(), target.name.clone());
                match outcome {
                    Ok(sample) => {
                        comparison.runs.push(Run { scenario, target, shards, round, sample });
                    }
                    Err(error) if error.is::<CheckFailure>() => {
                        let failure = format!("{error:#}");
                        comparison.void.push(VoidRun { scenario, target, shards, round, failure });
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        after_scenario(scenario, comparison);
    }
    Ok(())
}

/// The targets in the order of this round.
fn rotated(targets: &[Target], round: u32) -> impl Iterator<Item = &Target> {
    let start = round as usize % targets.len().max(1);
    targets.iter().cycle().skip(start).take(targets.len())
}

fn run_once(scenario: &Scenario, target: &Target, method: &Method<'_>) -> Result<Sample> {
    interrupt::check()?;
    let Method { timing, pinning, cli, .. } = method;
    let monitored = scenario.beside.scrapes_per_second > 0 || cli.is_some();
    let server = target.start(pinning, scenario.setup.as_ref(), monitored)?;
    let sample = match cli {
        Some(cli) => cli.run(scenario, &server, *timing),
        None => load::run(scenario, &server, pinning, *timing),
    };
    sample.inspect_err(|_| {
        let log = server.log_tail();
        writeln!(stderr(), "{}: end of its log:\n{log}", target.name).ok();
    })
}

fn progress(
    done: &str,
    scenario: &Scenario,
    target: &Target,
    round: u32,
    outcome: &Result<Sample>,
) {
    let (name, target) = (&scenario.name, &target.name);
    let text = match outcome {
        Ok(sample) => {
            let Sample { cpu_ns, unit, per_second, latency, .. } = sample;
            let latency = latency.as_ref().map_or_else(String::new, |latency| {
                latency.invalid().map_or_else(
                    || format!(", p99 {:.0} us", latency.p99_us),
                    |reason| format!(", latency INVALID: {reason}"),
                )
            });
            format!("{cpu_ns:.0} ns of CPU per {unit}, {:.3} M/s{latency}", per_second / 1e6)
        }
        Err(error) => format!("FAILED: {error:#}"),
    };
    writeln!(stderr(), "{done} {name} round {} {target}: {text}", round + 1).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_rotates_and_keeps_everyone() {
        let target = |name: &str| format!("{name}=/bin/sh").parse::<Target>().unwrap();
        let targets = [target("a"), target("b"), target("c")];
        let order =
            |round| rotated(&targets, round).map(|target| target.name.as_str()).collect::<String>();
        assert_eq!([order(0), order(1), order(2), order(3)], ["abc", "bca", "cab", "abc"]);
    }
}
