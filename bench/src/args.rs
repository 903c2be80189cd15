//! Command line to options.

use std::mem::take;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt};

use crate::affinity::{Pinning, usable_cpus};
use crate::load::Timing;
use crate::target::Target;

pub(crate) const USAGE: &str = "\
ringbus-bench: raw load and comparison of NATS servers

usage:
  ringbus-bench list    [--scenario PATTERN]...
  ringbus-bench run     --target NAME=PATH[,FLAGS] [options]      one round
  ringbus-bench compare --target NAME=PATH[,FLAGS]... [options]   five rounds, interleaved
  ringbus-bench judge   FILE...       results (--json) against the figures to reach

options:
  --target NAME=PATH[,FLAGS]  server binary; flags of its own after the comma, split at spaces;
                              the first target is the one the others are compared with
  --scenario PATTERN          names, `*` allowed; repeatable; all if missing
  --scenario-dir DIR          further scenario files
  --rounds N                  rounds over all targets
  --seconds S                 steady window of a run [2]
  --warm-up S                 load before the window [0.5]
  --shards LIST               passed as --shards N to targets whose name starts with ringbus; with
                              several (1,2,4) each number is a target of its own, on as many CPUs
  --server-cpus LIST          CPUs of the server [the first usable one]
  --client-cpus LIST          CPUs of the clients [the other usable ones]
  --pin none                  leave the placement to the scheduler
  --json FILE, --csv FILE     results for machines
  --html FILE                 report with charts, one file that needs nothing else
  --nats-cli PATH             let `nats bench` of the official CLI make the load, for the scenarios
                              that it can express; its rates are those a user would see
  --goals                     say at the end which of the figures to reach were reached; without
                              --scenario, run what they are about
  --gentle                    end servers with SIGTERM, not SIGKILL: a build that counts what it
                              runs writes the counts when it ends
  --note TEXT                 words to keep with the results, for example the commit

exit code: 0 all checked and measured, 1 bad use or set-up, 2 a check failed (loss, order, error),
           3 a goal was missed (judge)
";

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    List,
    Measure,
    Judge,
    Help,
}

/// Everything the command line decides.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) action: Action,
    pub(crate) targets: Vec<Target>,
    pub(crate) scenarios: Vec<String>,
    pub(crate) scenario_dir: Option<PathBuf>,
    pub(crate) rounds: u32,
    pub(crate) timing: Timing,
    pub(crate) pinning: Pinning,
    pub(crate) json: Option<PathBuf>,
    pub(crate) csv: Option<PathBuf>,
    pub(crate) html: Option<PathBuf>,
    /// The official CLI, to make the load instead of us.
    pub(crate) nats_cli: Option<PathBuf>,
    pub(crate) goals: bool,
    pub(crate) note: String,
    /// Results to judge.
    pub(crate) files: Vec<PathBuf>,
}

/// Reads the command line.
pub(crate) fn parse(mut parser: Parser) -> Result<Options> {
    let mut options = Options {
        action: Action::Help,
        targets: Vec::new(),
        scenarios: Vec::new(),
        scenario_dir: None,
        rounds: 1,
        timing: Timing {
            warm_up: Duration::from_millis(500),
            steady: Duration::from_secs(2),
            patience: Duration::from_secs(5),
        },
        pinning: Pinning::default(),
        json: None,
        csv: None,
        html: None,
        nats_cli: None,
        goals: false,
        note: String::new(),
        files: Vec::new(),
    };
    let (mut shards, mut pinned, mut gentle) = (Vec::new(), true, false);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(verb) if options.action == Action::Help => {
                let (action, rounds) = action(&verb.string()?)?;
                (options.action, options.rounds) = (action, rounds);
            }
            Arg::Value(file) if options.action == Action::Judge => {
                options.files.push(file.into());
            }
            Arg::Long("nats-cli") => options.nats_cli = Some(parser.value()?.into()),
            Arg::Long("gentle") => gentle = true,
            Arg::Long("goals") => options.goals = true,
            Arg::Long("note") => options.note = parser.value()?.string()?,
            Arg::Long("help") | Arg::Short('h') => {
                options.action = Action::Help;
                return Ok(options);
            }
            Arg::Long("target") => options.targets.push(parser.value()?.parse_with(str::parse)?),
            Arg::Long("scenario") => options.scenarios.push(parser.value()?.string()?),
            Arg::Long("scenario-dir") => options.scenario_dir = Some(parser.value()?.into()),
            Arg::Long("rounds") => options.rounds = parser.value()?.parse()?,
            Arg::Long("seconds") => options.timing.steady = seconds(&mut parser)?,
            Arg::Long("warm-up") => options.timing.warm_up = seconds(&mut parser)?,
            Arg::Long("shards") => shards = shard_counts(&parser.value()?.string()?)?,
            Arg::Long("server-cpus") => {
                options.pinning.server = Some(parser.value()?.parse_with(str::parse)?);
            }
            Arg::Long("client-cpus") => {
                options.pinning.clients = Some(parser.value()?.parse_with(str::parse)?);
            }
            Arg::Long("pin") => match parser.value()?.string()?.as_str() {
                "none" => pinned = false,
                other => bail!("--pin {other}: valid is none"),
            },
            Arg::Long("json") => options.json = Some(parser.value()?.into()),
            Arg::Long("csv") => options.csv = Some(parser.value()?.into()),
            Arg::Long("html") => options.html = Some(parser.value()?.into()),
            _ => return Err(arg.unexpected().into()),
        }
    }
    for target in &mut options.targets {
        target.ends_gently = gentle;
    }
    finish(options, &shards, pinned)
}

fn action(verb: &str) -> Result<(Action, u32)> {
    match verb {
        "list" => Ok((Action::List, 1)),
        "run" => Ok((Action::Measure, 1)),
        "compare" => Ok((Action::Measure, 5)),
        "judge" => Ok((Action::Judge, 1)),
        "help" => Ok((Action::Help, 1)),
        _ => bail!("unknown command {verb:?}; valid are list, run, compare, judge"),
    }
}

/// `1,2,4`.
fn shard_counts(text: &str) -> Result<Vec<u32>> {
    let bad = || format!("bad list of shards {text:?}; valid is for example 1,2,4");
    let counts: Vec<u32> =
        text.split(',').map(str::parse).collect::<Result<_, _>>().with_context(bad)?;
    ensure!(counts.iter().all(|count| (1..=1_024).contains(count)), bad());
    Ok(counts)
}

fn seconds(parser: &mut Parser) -> Result<Duration> {
    let text = parser.value()?.string()?;
    let bad = || format!("bad time {text:?}; valid is a number of seconds from 0 to 3600");
    let seconds: f64 = text.parse().with_context(bad)?;
    ensure!((0.0..=3_600.0).contains(&seconds), bad());
    Ok(Duration::from_secs_f64(seconds))
}

/// Defaults and relations that need the whole line.
fn finish(mut options: Options, shards: &[u32], pinned: bool) -> Result<Options> {
    ensure!(options.action != Action::Judge || !options.files.is_empty(), "judge: no FILE given");
    if options.action != Action::Measure {
        return Ok(options);
    }
    ensure!(!options.targets.is_empty(), "no --target NAME=PATH given");
    ensure!(options.rounds > 0, "--rounds must be at least 1");
    ensure!(!options.timing.steady.is_zero(), "--seconds must be more than 0");
    if pinned {
        let usable = usable_cpus();
        let (first, others) = usable.split_first();
        options.pinning.server.get_or_insert(first);
        options.pinning.clients.get_or_insert(others);
    } else {
        ensure!(
            options.pinning.server.is_none() && options.pinning.clients.is_none(),
            "--pin none and CPU lists exclude each other"
        );
    }
    let (targets, cpus) = (take(&mut options.targets), options.pinning.server.as_ref());
    options.targets =
        targets.into_iter().flat_map(|target| target.with_shards(shards, cpus)).collect();
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options> {
        parse(Parser::from_iter(line.split(' ')))
    }

    #[test]
    fn full_line_is_read() {
        let options = read(
            "bench compare --target ringbus=/bin/sh --target nats=/bin/sh,-m --rounds 3 \
             --scenario 1to1-* --seconds 0.1 --shards 2 --server-cpus 0 --client-cpus 0",
        )
        .unwrap();
        assert_eq!(options.targets[0].flags, ["--shards", "2"]);
        assert_eq!(options.targets[1].flags, ["-m"]);
        assert_eq!((options.rounds, options.timing.steady.as_millis()), (3, 100));
        assert_eq!(options.pinning.client_threads(), 1);
    }

    #[test]
    fn bad_lines_are_refused() {
        for bad in [
            "bench explode",
            "bench judge",
            "bench run file",
            "bench compare",
            "bench run --target x=/no/such/file",
            "bench run --target x=/bin/sh --seconds 0",
            "bench run --target x=/bin/sh --rounds 0",
            "bench run --target x=/bin/sh --pin all",
            "bench run --target x=/bin/sh --pin none --server-cpus 0",
            "bench run --target x=/bin/sh --shards 1,0",
            "bench run --target x=/bin/sh --what",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(read("bench list").unwrap().action, Action::List);
        assert_eq!(read("bench").unwrap().action, Action::Help);
    }
}
