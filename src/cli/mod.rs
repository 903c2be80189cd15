//! The command line: what the process was asked to do, as a value.
//!
//! Flags keep the names and the Go syntax of nats-server, so that units, images and test harnesses
//! written for it start this server unchanged. clap holds the one table of flags (`args`, `later`);
//! `go_style` rewrites what was typed into clap's form; the rest of the process sees [`Flags`].
//!
//! Invariant: a flag is either obeyed or refused with a line that names it. None is ignored.

mod args;
mod go_style;
mod help;
mod later;
mod send_signal;
mod version;

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches};

pub use self::args::{Flags, Verbosity, VerbosityAsked};
pub use self::send_signal::{Order, OrderError};

/// The version of nats-server whose behaviour this server has, as INFO and `-v` tell it.
pub use self::version::NATS_VERSION;

/// What one run of the program is for.
#[derive(Debug)]
pub enum Invocation {
    /// Run the server.
    Serve(Box<Flags>),
    /// Print this on standard output and end well (`-h`, `-v`).
    Print(String),
    /// Look at the host and say what it lacks for this many shards.
    Doctor(Option<usize>),
    /// Send a signal to another server process.
    Signal(Order),
}

/// What the process is called. Started as `nats-server` it speaks of itself by that name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program(String);

impl Program {
    /// The name in the first word of the command line.
    #[must_use]
    pub fn from_argv0(argv0: Option<&OsString>) -> Self {
        let name =
            argv0.and_then(|path| Path::new(path).file_name()).and_then(|name| name.to_str());
        Self(name.unwrap_or("ringbus").to_owned())
    }

    /// The name itself: file names and error lines begin with it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether the caller believes to have started nats-server.
    #[must_use]
    pub fn is_nats_server(&self) -> bool {
        self.0 == "nats-server"
    }
}

/// A command line that cannot be obeyed. [`std::fmt::Display`] gives what the operator reads.
#[derive(Debug, Eq, PartialEq)]
pub struct UsageError(String);

impl std::fmt::Display for UsageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The flags as clap declares them, in the shape that a manual page and completions are made from:
/// `refused` adds those that this release knows and refuses.
#[must_use]
pub fn declaration(refused: bool) -> clap::Command {
    let command = Flags::command().name("ringbus").version(env!("CARGO_PKG_VERSION"));
    let command = if refused { command.args(later::args()) } else { command };
    command.disable_help_subcommand(true).mut_args(|arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let arg = arg.help(help.split_whitespace().collect::<Vec<_>>().join(" "));
        if go_style::is_switch(&arg) { arg.action(clap::ArgAction::SetTrue) } else { arg }
    })
}

/// Every name of a flag, as it is typed: `-p`, `--port`, `-DV`.
#[must_use]
pub fn spellings(arg: &clap::Arg) -> Vec<String> {
    let dashes = |name: &str| if go_style::is_letters(name) { "-" } else { "--" };
    go_style::names(arg).iter().map(|name| format!("{}{name}", dashes(name))).collect()
}

/// Reads a command line, `argv` without its first word.
///
/// # Errors
/// Returns what is wrong with it, in words for the operator.
pub fn parse(program: &Program, argv: &[OsString]) -> Result<Invocation, UsageError> {
    let name = program.name();
    let command = Flags::command().args(later::args());
    let typed = go_style::rewrite(&command, argv)
        .map_err(|error| UsageError(format!("{error}; '{name} -h' lists the flags")))?;
    let matches = command.clone().try_get_matches_from(&typed.clap_argv).map_err(|error| {
        UsageError(format!("{}; '{name} -h' lists the flags", sentence(&error, &typed)))
    })?;
    let flags = Flags::from_arg_matches(&matches)
        .map_err(|error| UsageError(format!("{name}: {}", error.kind())))?;

    // The order in which nats-server looks: version, help, words, signal, and only then the rest.
    if flags.version == Some(true) {
        return Ok(Invocation::Print(version::text(program)));
    }
    if flags.help == Some(true) {
        return Ok(Invocation::Print(help::text(program, &command)));
    }
    match typed.word.as_deref().map(str::to_lowercase).as_deref() {
        None => {}
        Some("version") => return Ok(Invocation::Print(version::text(program))),
        Some("help") => return Ok(Invocation::Print(help::text(program, &command))),
        Some("doctor") => return Ok(Invocation::Doctor(flags.shards)),
        Some(_) => {
            let word = typed.word.unwrap_or_default();
            return Err(UsageError(format!("{name}: unrecognized command: {word:?}")));
        }
    }
    if let Some(order) = flags.signal.as_deref().filter(|order| !order.is_empty()) {
        let order = Order::parse(order).map_err(|e| UsageError(format!("{name}: {e}")))?;
        return Ok(Invocation::Signal(order));
    }
    later::refuse(&matches, &typed).map_err(|why| UsageError(format!("{name}: {why}")))?;
    flags.check().map_err(|why| UsageError(format!("{name}: {why}")))?;
    Ok(Invocation::Serve(Box::new(flags)))
}

/// What clap found wrong, in the words Go's flag package would begin with.
fn sentence(error: &clap::Error, typed: &go_style::Typed) -> String {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(value)) => value.clone(),
        _ => String::new(),
    };
    let (argument, value) = (text(ContextKind::InvalidArg), text(ContextKind::InvalidValue));
    let flag = typed.as_typed(&argument);
    match error.kind() {
        ErrorKind::ValueValidation => {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let cause = cause.unwrap_or_else(|| "it cannot be read".to_owned());
            format!("invalid value {value:?} for flag {flag}: {cause}")
        }
        kind => format!("invalid use of flag {flag}: {kind}"),
    }
}

#[cfg(test)]
mod tests;
