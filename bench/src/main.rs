//! Black-box load generator and comparison harness for NATS servers.
//!
//! It speaks only the public protocol, so the same scenario measures any server. The primary figure
//! is the CPU time the server spends per message, which holds on a busy machine where rates do not.
//!
//! | question | file |
//! | --- | --- |
//! | what is measured | `scenarios/*.toml`, `scenario/` |
//! | which servers, where they run | `target.rs`, `affinity.rs` |
//! | how load is made, and how far ahead of the receivers | `load/`, `client.rs`, `tls.rs`, `wire.rs` |
//! | the same by `nats bench` | `nats_cli.rs` |
//! | how answers are checked | `check.rs` |
//! | what the server used | `meter.rs`, `syscalls.rs` |
//! | which figures are to be reached | `goals.toml`, `goals.rs` |
//! | rounds, figures, output | `compare.rs`, `stats.rs`, `report.rs`, `html/`, `host.rs`, `interrupt.rs` |
#![forbid(unsafe_code)]

mod affinity;
mod args;
mod check;
mod client;
mod compare;
mod goals;
mod host;
mod html;
mod interrupt;
mod load;
mod meter;
mod nats_cli;
mod report;
mod scenario;
mod stats;
mod syscalls;
mod target;
mod tls;
mod wire;

use std::fs;
use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use args::{Action, Options};
use compare::Method;
use goals::Outcome;
use nats_cli::NatsCli;
use report::{OWN_DRIVER, Setting};

/// A server lost, repeated, reordered or refused something.
const EXIT_CHECK_FAILED: u8 = 2;
/// Results do not reach a goal.
const EXIT_GOAL_MISSED: u8 = 3;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == target::EXEC_SERVER)
        && let Some(binary) = words.next()
    {
        writeln!(stderr(), "{:#}", target::exec_server(&binary, words)).ok();
        return ExitCode::FAILURE;
    }
    match args::parse(lexopt::Parser::from_env()).and_then(|options| run(&options)) {
        Ok(code) => code,
        Err(error) => {
            writeln!(stderr(), "ringbus-bench: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode> {
    match options.action {
        Action::Help => {
            stdout().write_all(args::USAGE.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Action::List => {
            for scenario in scenario::load(options.scenario_dir.as_deref(), &options.scenarios)? {
                writeln!(stdout(), "{}", scenario.name)?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Action::Measure => measure(options),
        Action::Judge => judge(&options.files),
    }
}

/// Each file on its own: only what was measured in the same run can be compared.
fn judge(files: &[PathBuf]) -> Result<ExitCode> {
    let (goals, mut missed) = (goals::load()?, false);
    for file in files {
        let at = || format!("results {}", file.display());
        let text = fs::read_to_string(file).with_context(at)?;
        let report::Document { setting, comparison } = report::from_json(&text).with_context(at)?;
        let verdicts = goals::judge(&goals, &setting, &comparison);
        missed |= verdicts.iter().any(|verdict| matches!(verdict.outcome, Outcome::Missed(_)));
        if !verdicts.is_empty() {
            let (date, table) = (&setting.host.date, goals::table(&verdicts));
            writeln!(stdout(), "{}, {date} {}\n{table}", file.display(), setting.note)?;
        }
    }
    Ok(if missed { ExitCode::from(EXIT_GOAL_MISSED) } else { ExitCode::SUCCESS })
}

fn measure(options: &Options) -> Result<ExitCode> {
    let goals = goals::load()?;
    let patterns = match options.scenarios.as_slice() {
        [] if options.goals => goals::scenarios(&goals),
        patterns => patterns.to_vec(),
    };
    let mut scenarios = scenario::load(options.scenario_dir.as_deref(), &patterns)?;
    let cli = options.nats_cli.clone().map(NatsCli::new);
    let mut driver = OWN_DRIVER.to_owned();
    if let Some(cli) = &cli {
        driver = cli.describe()?;
        let all = scenarios.len();
        scenarios.retain(nats_cli::can_express);
        let left_out = all - scenarios.len();
        writeln!(stderr(), "{left_out} of {all} scenarios cannot be expressed by {driver}")?;
        ensure!(!scenarios.is_empty(), "nothing is left to measure");
    }
    raise_file_limit()?;
    interrupt::watch()?;
    options.pinning.enter_clients()?;
    let Options { targets, pinning, timing, rounds, note, .. } = options;
    let method = Method { rounds: *rounds, timing: *timing, pinning, cli: cli.as_ref() };
    let setting = Setting::read(targets, &method, driver, note.clone());
    write!(stdout(), "{}\n{}", setting.text(), report::table_head(targets))?;
    // What was measured until a signal came is written all the same.
    let (comparison, ended) = compare::compare(&scenarios, targets, &method, |scenario, so_far| {
        let rows = report::scenario_table(&scenario.name, targets, so_far);
        stdout().write_all(rows.as_bytes()).ok();
    });
    let verdicts = goals::judge(&goals, &setting, &comparison);
    if options.goals {
        write!(stdout(), "\n{}", goals::table(&verdicts))?;
    }
    if let Some(path) = &options.json {
        let at = || format!("cannot write {}", path.display());
        fs::write(path, report::json(&setting, &comparison)?).with_context(at)?;
    }
    if let Some(path) = &options.csv {
        let at = || format!("cannot write {}", path.display());
        fs::write(path, report::csv(&setting, &comparison)).with_context(at)?;
    }
    if let Some(path) = &options.html {
        let report = html::Report {
            setting: &setting,
            scenarios: &scenarios,
            targets,
            comparison: &comparison,
            verdicts: &verdicts,
        };
        let at = || format!("cannot write {}", path.display());
        fs::write(path, html::page(&report)).with_context(at)?;
    }
    for void in &comparison.void {
        let compare::VoidRun { scenario, target, round, failure, .. } = void;
        writeln!(stderr(), "FAILED {scenario} {target} round {}: {failure}", round + 1)?;
    }
    ended?;
    let failed = !comparison.void.is_empty();
    Ok(if failed { ExitCode::from(EXIT_CHECK_FAILED) } else { ExitCode::SUCCESS })
}

/// Crowds need files, here and in the servers, which inherit the limit.
fn raise_file_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
        .context("cannot raise the limit of open files")
}
