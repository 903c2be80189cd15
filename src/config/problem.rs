//! Where something stands in a file, and what is wrong there.
//!
//! Problems are collected, not returned: an operator who made three mistakes reads three lines.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// A place in a configuration file.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Spot {
    /// The file as the operator named it, or as it follows from an include.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In bytes, from 1. nats-server counts from 0 in the first line only.
    pub column: u32,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One line for the operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where; a problem of a file as a whole has no place.
    pub at: Option<Spot>,
    /// What.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Some(spot) => write!(f, "{spot}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

/// What was found while a configuration was read.
#[derive(Debug, Default)]
pub(super) struct Report {
    errors: RefCell<Vec<Problem>>,
    warnings: RefCell<Vec<Problem>>,
    notes: RefCell<Vec<Problem>>,
}

impl Report {
    /// The server does not start.
    pub(super) fn error(&self, at: &Spot, text: impl Into<String>) {
        self.errors.borrow_mut().push(Problem { at: Some(at.clone()), text: text.into() });
    }

    /// The same for a problem that has no place.
    pub(super) fn general_error(&self, text: impl Into<String>) {
        self.errors.borrow_mut().push(Problem { at: None, text: text.into() });
    }

    /// The server starts, `-t` fails.
    pub(super) fn warn(&self, at: &Spot, text: impl Into<String>) {
        self.warnings.borrow_mut().push(Problem { at: Some(at.clone()), text: text.into() });
    }

    /// The same for a problem that has no place.
    pub(super) fn general_warning(&self, text: impl Into<String>) {
        self.warnings.borrow_mut().push(Problem { at: None, text: text.into() });
    }

    /// Worth a line in the log and nothing else.
    pub(super) fn note(&self, at: &Spot, text: impl Into<String>) {
        self.notes.borrow_mut().push(Problem { at: Some(at.clone()), text: text.into() });
    }

    /// Whether there is nothing that the operator must know.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty() && self.warnings.borrow().is_empty()
    }

    /// Whether something prevents a start.
    pub(super) fn has_errors(&self) -> bool {
        !self.errors.borrow().is_empty()
    }

    /// Everything found, each kind in the order of the file.
    pub(super) fn into_problems(self) -> Problems {
        let sorted = |found: RefCell<Vec<Problem>>| {
            let mut found = found.into_inner();
            found.sort_by(|one, other| one.at.cmp(&other.at));
            found.dedup();
            found
        };
        Problems {
            errors: sorted(self.errors),
            warnings: sorted(self.warnings),
            notes: sorted(self.notes),
        }
    }
}

/// What was found, sorted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Problems {
    /// They prevent a start.
    pub errors: Vec<Problem>,
    /// They do not, but `-t` fails on them as nats-server's does.
    pub warnings: Vec<Problem>,
    /// For the log.
    pub notes: Vec<Problem>,
}

impl fmt::Display for Problems {
    /// Warnings first, then errors, one line each, as nats-server prints them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> =
            self.warnings.iter().chain(&self.errors).map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}
