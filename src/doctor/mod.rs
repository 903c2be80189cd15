//! Does this host offer what the server needs?
//!
//! `ringbus doctor` prints every finding; a normal start asks the same questions and refuses with
//! one line if something is missing. `host` reads values from the host and judges nothing;
//! `checks` judges values and reads nothing, so that every cause can be tested anywhere.

mod checks;
mod host;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::checks::examine;
pub use self::host::{Host, Limit, raise_limits};

/// How a check ended.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// The server runs, but not as well as it could.
    Warn,
    /// The server cannot run.
    Fail,
}

/// One check: what was seen, and if that is not good, what is needed and how to get it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What was looked at.
    pub subject: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// What was seen.
    pub seen: String,
    /// What is needed.
    pub needed: String,
    /// How to get it; empty if all is good.
    pub remedy: String,
}

impl fmt::Display for Finding {
    /// One line of the report.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "OK",
            Verdict::Warn => "WARN",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict:<5} {:<11} {} (needed: {})", self.subject, self.seen, self.needed)?;
        if self.remedy.is_empty() { Ok(()) } else { write!(f, ". {}", self.remedy) }
    }
}

/// The line with which a start is refused.
#[must_use]
pub fn refusal(findings: &[Finding]) -> Option<String> {
    let finding = findings.iter().find(|finding| finding.verdict == Verdict::Fail)?;
    let Finding { subject, seen, needed, remedy, .. } = finding;
    Some(format!("this host cannot run the server: {subject}: {seen}; needed: {needed}. {remedy}"))
}

/// The whole report, and whether nothing failed.
#[must_use]
pub fn report(findings: &[Finding]) -> (String, bool) {
    let lines: String = findings.iter().map(|finding| format!("{finding}\n")).collect();
    (lines, findings.iter().all(|finding| finding.verdict != Verdict::Fail))
}
