//! How many instructions the data plane takes per message, against a table of what it took: what
//! one core does with a message, counted and not timed, so that a machine that is busy with other
//! things gives the same answer as one that is not.
//!
//! | question | file |
//! | --- | --- |
//! | what is counted in the parts: parse, match, mesh | `parts.rs` |
//! | what is counted in whole shards, from bytes in to bytes out | `shards.rs` |
//! | who counts, and how | `callgrind.rs` |
//! | what it may be | `table.rs` |
//!
//! Every scenario is the pure code with a fixed seed: no socket, no clock, no thread. What is
//! counted is one call of [`measured`], after a warm-up in which buffers find their size. System
//! calls, cache misses and mispredicted branches are not in these figures: `ringbus-bench` has
//! them.
#![forbid(unsafe_code)]

mod callgrind;
mod parts;
mod shards;
mod table;

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};

use table::Table;

const USAGE: &str = "usage: ringbus-instructions [--record] [--only TEXT] TABLE

Counts the instructions of the data plane per message under valgrind and compares them with TABLE.
--record writes TABLE instead; --only leaves out scenarios whose name does not have TEXT in it.
Exit code 2: something takes more instructions than TABLE allows.
";

/// Something takes more instructions than it may.
const EXIT_REGRESSION: u8 = 2;

/// Calls before the one that is counted.
const WARM_UP: usize = 20;

/// The word after which this program only runs the scenarios: it is what is counted.
const RUN: &str = "run";

/// One thing to count.
struct Scenario {
    name: &'static str,
    /// Makes what has to be there first; what it returns does the work once and says on how many
    /// messages. Always on as many.
    prepare: fn() -> Work,
}

/// See [`Scenario::prepare`].
type Work = Box<dyn FnMut() -> u64>;

fn scenarios(only: &str) -> impl Iterator<Item = &'static Scenario> {
    let all = parts::SCENARIOS.iter().chain(shards::SCENARIOS);
    all.filter(move |scenario| scenario.name.contains(only))
}

/// The only call whose instructions are counted. Its name is told to callgrind.
#[inline(never)]
fn measured(work: &mut dyn FnMut() -> u64) -> u64 {
    work()
}

/// Runs the scenarios; says on how many messages each worked.
fn run(only: &str) -> Result<()> {
    for scenario in scenarios(only) {
        let mut work = (scenario.prepare)();
        for _ in 0..WARM_UP {
            work();
        }
        let messages = measured(&mut *work);
        writeln!(stdout(), "{} {messages}", scenario.name)?;
    }
    Ok(())
}

struct Options {
    record: bool,
    only: String,
    table: PathBuf,
}

fn parse(mut words: Parser) -> Result<Option<Options>> {
    let (mut record, mut only, mut table) = (false, String::new(), None);
    while let Some(word) = words.next()? {
        match word {
            Arg::Long("record") => record = true,
            Arg::Long("only") => only = words.value()?.string()?,
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Value(path) if table.is_none() => table = Some(path.into()),
            other => return Err(other.unexpected().into()),
        }
    }
    if record && !only.is_empty() {
        bail!("--record writes the whole table: leave --only away");
    }
    let table = table.context("no TABLE given; --help shows how to call it")?;
    Ok(Some(Options { record, only, table }))
}

fn count(options: &Options) -> Result<ExitCode> {
    let counts = callgrind::count(&options.only)?;
    let here = Table { host: table::host(), counts };
    let file = options.table.display();
    if options.record {
        std::fs::write(&options.table, here.to_string()).with_context(|| file.to_string())?;
        write!(stdout(), "{here}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let text = std::fs::read_to_string(&options.table).with_context(|| file.to_string())?;
    let recorded = Table::read(&text).with_context(|| file.to_string())?;
    let report = table::compare(&recorded, &here, &options.only);
    write!(stdout(), "{}", report.text)?;
    if report.regressed {
        writeln!(
            stderr(),
            "more instructions per message than {file} allows. If that is what it has to cost, \
             run scripts/instructions.sh --record and say why in the commit"
        )?;
        return Ok(ExitCode::from(EXIT_REGRESSION));
    }
    Ok(ExitCode::SUCCESS)
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let done = if words.next().as_deref() == Some(RUN) {
        run(&words.next().unwrap_or_default()).map(|()| ExitCode::SUCCESS)
    } else {
        match parse(Parser::from_env()) {
            Ok(Some(options)) => count(&options),
            Ok(None) => write!(stdout(), "{USAGE}").map(|()| ExitCode::SUCCESS).map_err(Into::into),
            Err(error) => Err(error),
        }
    };
    done.unwrap_or_else(|error| {
        writeln!(stderr(), "ringbus-instructions: {error:#}").ok();
        ExitCode::FAILURE
    })
}
