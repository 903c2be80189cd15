//! The configuration: from the text of a file and the flags to checked settings.
//!
//! | stage | from | to |
//! | --- | --- | --- |
//! | `lexer` | text | scalars with positions |
//! | `parser`, `include` | scalars | a tree of values; variables and includes resolved |
//! | `reader` | a map of the tree | typed fields; unknown keys |
//! | `names`, `listen`, `log`, … | fields and flags | one struct of [`Setting`]s per section |
//! | `later`, `nested` | what is left | a refusal, if it asks for a missing feature |
//! | `check` | all sections | contradictions |
//! | `reload` | settings in force and new ones | what to do, or why not |
//!
//! Everything but [`load`] is a pure function: files and the environment are behind
//! [`Surroundings`]. All problems of a run are reported together, and a configuration with an
//! error is never used in part.

#![deny(clippy::indexing_slicing)]

mod account_limits;
mod accounts;
mod auth;
mod callout;
mod check;
mod digest;
mod dump;
#[doc(hidden)]
pub mod fuzz;
mod include;
mod latency;
mod later;
mod lexer;
mod life;
mod limits;
mod listen;
mod log;
mod mappings;
mod monitor;
mod names;
mod nested;
mod operators;
mod parser;
mod permissions;
mod problem;
mod proxies;
mod reader;
mod reload;
mod setting;
mod sharing;
mod tls;
mod units;
mod value;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

pub use self::account_limits::AccountLimits;
pub use self::accounts::Account;
pub use self::auth::{Credentials, User};
pub use self::include::{Surroundings, System};
pub use self::life::Life;
pub use self::limits::Bounds;
pub use self::listen::Listen;
pub use self::log::Logging;
pub use self::monitor::Monitoring;
pub use self::names::Names;
pub use self::operators::{FolderKind, Operators, ResolverKind};
pub use self::problem::{Problem, Problems, Spot};
pub use self::reload::{Refused, ReloadStep, diff};
pub use self::setting::{Origin, Setting};
pub use self::sharing::Sharing;
pub use self::tls::Tls;
pub use self::tls::outgoing::ResolverTls;

use self::dump::Dump;
use self::problem::Report;
use self::reader::Reader;
use self::value::Map;
use crate::cli::Flags;

/// All that an operator decides, by flag or by file.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each section says what it is")]
pub struct Settings {
    pub file: Option<FileUsed>,
    pub names: Names,
    pub listen: Listen,
    pub log: Logging,
    pub limits: Bounds,
    pub auth: Credentials,
    pub operators: Operators,
    pub life: Life,
    pub monitoring: Monitoring,
    pub tls: Tls,
}

/// The file that the settings come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileUsed {
    /// As the operator named it.
    pub path: PathBuf,
    /// The same for files that say the same, and the same as nats-server's.
    pub digest: String,
}

/// Settings that can be used, and what the operator should know about them.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Without errors.
    pub problems: Problems,
}

/// Reads the file that the flags name, if they name one.
///
/// # Errors
/// Returns the lines for the operator, without the program's name: either why the file cannot be
/// read, or everything that is wrong with it.
pub fn load(flags: &Flags, world: &dyn Surroundings) -> Result<Loaded, String> {
    let Some(path) = flags.config.as_deref().filter(|path| !path.as_os_str().is_empty()) else {
        let report = Report::default();
        let settings = settings(&Map::default(), None, flags, world, &report);
        return finish(settings, report).map_err(|problems| problems.to_string());
    };
    let text = world.read(path).map_err(|error| reason(path, &error))?;
    read(path, &text, flags, world).map_err(|problems| problems.to_string())
}

/// Reads `text` as the content of `file`.
///
/// # Errors
/// Returns everything that is wrong with it.
pub fn read(
    file: &Path,
    text: &[u8],
    flags: &Flags,
    world: &dyn Surroundings,
) -> Result<Loaded, Problems> {
    let report = Report::default();
    let map = parser::parse(file, text, world, &report);
    if map.is_empty() && report.is_clean() {
        let path = file.display();
        report.general_warning(format!("{path}: config has no values or is empty"));
    }
    let used = FileUsed { path: file.to_owned(), digest: digest::digest(&map) };
    let settings = settings(&map, Some(used), flags, world, &report);
    finish(settings, report)
}

fn settings(
    map: &Map,
    file: Option<FileUsed>,
    flags: &Flags,
    world: &dyn Surroundings,
    report: &Report,
) -> Settings {
    let mut reader = Reader::new(map, report);
    let monitoring = Monitoring::read(&mut reader, flags);
    let operators = Operators::read(&mut reader, world);
    let tls = Tls::read(&mut reader, flags, &monitoring.https, world);
    let auth_timeout = tls.usual_auth_timeout();
    let settings = Settings {
        file,
        names: Names::read(&mut reader, flags),
        listen: Listen::read(&mut reader, flags),
        log: Logging::read(&mut reader, flags),
        limits: Bounds::read(&mut reader),
        auth: Credentials::read(&mut reader, flags, &operators, auth_timeout),
        operators,
        life: Life::read(&mut reader, flags),
        monitoring,
        tls,
    };
    later::refuse(&mut reader, later::TOP);
    later::pass_over(&mut reader);
    reader.finish();
    check::check(&settings, report);
    settings
}

fn finish(settings: Settings, report: Report) -> Result<Loaded, Problems> {
    let problems = report.into_problems();
    if problems.errors.is_empty() { Ok(Loaded { settings, problems }) } else { Err(problems) }
}

impl Settings {
    /// Every setting with its value and its origin, secrets not shown.
    #[must_use]
    pub fn dump(&self) -> String {
        self.shown().to_string()
    }

    fn shown(&self) -> Dump {
        let Self { file, names, listen, log, limits, auth, operators, life, monitoring, tls } =
            self;
        let mut dump = Dump::default();
        if let Some(FileUsed { path, digest }) = file {
            dump.comment(&format!("{} ({digest})", path.display()));
        }
        names.show(&mut dump);
        listen.show(&mut dump);
        log.show(&mut dump);
        limits.show(&mut dump);
        auth.show(&mut dump);
        operators.show(&mut dump);
        life.show(&mut dump);
        monitoring.show(&mut dump);
        tls.show(&mut dump);
        dump
    }

    /// The values alone, as the dump shows them.
    fn texts(&self) -> HashMap<&'static str, String> {
        self.shown().into_texts()
    }
}

/// Why a file cannot be read, in the words of Go.
fn reason(path: &Path, error: &io::Error) -> String {
    let call = if error.kind() == io::ErrorKind::IsADirectory { "read" } else { "open" };
    format!("{call} {}: {}", path.display(), crate::listen::reason(error))
}

#[cfg(test)]
mod tests;
