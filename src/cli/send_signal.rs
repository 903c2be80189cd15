//! `--signal`: telling another server process what to do.
//!
//! The words, and how a process is found, are those of nats-server: a number, a pid file, a prefix
//! of numbers with `*`, or nothing if only one server runs.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Names of processes that take these signals; both fit into what the kernel keeps of a name.
const SERVERS: [&str; 2] = ["nats-server", "ringbus"];

/// A signal and who shall get it.
#[derive(Debug, Eq, PartialEq)]
pub struct Order {
    word: String,
    signal: Signal,
    to: Recipient,
}

#[derive(Debug, Eq, PartialEq)]
enum Recipient {
    /// The only server that runs.
    TheOne,
    /// The process with this number.
    Process(i32),
    /// Every server whose number begins like this.
    Prefix(String),
}

/// Why an order cannot be carried out.
#[derive(Debug, Eq, PartialEq)]
pub enum OrderError {
    /// No such word.
    Unknown(String),
    /// What stands after the `=` is neither a number nor a file with one.
    InvalidPid(String),
    /// More than one `=`.
    Parameters(String),
    /// Nobody to tell.
    NoneRuns,
    /// Several to tell, and no word on which.
    SeveralRun(Vec<i32>),
    /// The kernel refused.
    Refused(String, i32, String),
}

impl std::fmt::Display for OrderError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(word) => {
                write!(f, "unknown signal {word:?}: use stop, quit, term, reopen, reload or ldm")
            }
            Self::InvalidPid(text) => write!(f, "invalid pid: {text}"),
            Self::Parameters(text) => write!(f, "invalid signal parameters: [{text}]"),
            Self::NoneRuns => f.write_str("no nats-server processes running"),
            Self::SeveralRun(pids) => {
                f.write_str("multiple nats-server processes running:")?;
                pids.iter().try_for_each(|pid| write!(f, "\n{pid}"))
            }
            Self::Refused(word, pid, cause) => write!(f, "signal {word:?} {pid}: {cause}"),
        }
    }
}

impl std::error::Error for OrderError {}

impl Order {
    /// Reads `word[=pid]`.
    pub(super) fn parse(text: &str) -> Result<Self, OrderError> {
        let (word, to) = match text.split_once('=') {
            None => (text, Recipient::TheOne),
            Some((_, to)) if to.contains('=') => {
                let rest = to.split_once('=').map_or("", |(_, rest)| rest);
                return Err(OrderError::Parameters(rest.replace('=', " ")));
            }
            Some((word, to)) => (word, Recipient::parse(to)?),
        };
        let signal = match word {
            "stop" => Signal::SIGKILL,
            "quit" => Signal::SIGINT,
            "term" => Signal::SIGTERM,
            "reopen" => Signal::SIGUSR1,
            "reload" => Signal::SIGHUP,
            "ldm" => Signal::SIGUSR2,
            _ => return Err(OrderError::Unknown(word.to_owned())),
        };
        Ok(Self { word: word.to_owned(), signal, to })
    }

    /// Sends it.
    ///
    /// # Errors
    /// Returns why nobody, or not everybody, could be told.
    pub fn send(&self) -> Result<(), OrderError> {
        let running = || servers().filter(|pid| *pid != Pid::this().as_raw());
        let pids: Vec<i32> = match &self.to {
            Recipient::Process(pid) => vec![*pid],
            Recipient::TheOne => running().collect(),
            Recipient::Prefix(prefix) => {
                running().filter(|pid| pid.to_string().starts_with(prefix)).collect()
            }
        };
        if pids.is_empty() {
            return Err(OrderError::NoneRuns);
        }
        if pids.len() > 1 && self.to == Recipient::TheOne {
            return Err(OrderError::SeveralRun(pids));
        }
        for pid in pids {
            kill(Pid::from_raw(pid), self.signal).map_err(|errno| {
                OrderError::Refused(self.word.clone(), pid, errno.desc().to_lowercase())
            })?;
        }
        Ok(())
    }
}

impl Recipient {
    fn parse(text: &str) -> Result<Self, OrderError> {
        let from_file = fs::read_to_string(text).ok();
        let text = from_file.as_deref().map_or(text, str::trim);
        if text.is_empty() {
            return Ok(Self::TheOne);
        }
        let number = text.strip_suffix('*').unwrap_or(text);
        // Zero and negative numbers would reach process groups, and with them the caller itself.
        let pid = number.parse().ok().filter(|pid| *pid > 0);
        match (pid, text.ends_with('*')) {
            (Some(pid), false) => Ok(Self::Process(pid)),
            (Some(_), true) => Ok(Self::Prefix(number.to_owned())),
            (None, true) if number.is_empty() => Ok(Self::Prefix(String::new())),
            (None, _) => Err(OrderError::InvalidPid(number.to_owned())),
        }
    }
}

/// The processes whose name says that they are servers.
fn servers() -> impl Iterator<Item = i32> {
    fs::read_dir("/proc").into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        SERVERS.iter().any(|server| name.contains(server)).then_some(pid)
    })
}
