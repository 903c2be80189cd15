//! What is wrong with claims that are signed well.

use std::fmt::{self, Display};

/// Everything that was found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Issues {
    errors: Vec<String>,
    times: Vec<&'static str>,
}

/// Of more than this nobody reads the rest.
const SHOWN_MAX: usize = 16;

impl Issues {
    /// The claims are wrong.
    pub fn error(&mut self, text: impl Into<String>) {
        if self.errors.len() <= SHOWN_MAX {
            self.errors.push(text.into());
        }
    }

    /// The claims are right, but not now.
    pub fn time(&mut self, text: &'static str) {
        self.times.push(text);
    }

    /// Whether the claims cannot be used now.
    #[must_use]
    pub fn block(&self) -> bool {
        self.block_ever() || !self.times.is_empty()
    }

    /// Whether the claims cannot be used at any time.
    #[must_use]
    pub fn block_ever(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The first that was found, if anything was.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        let errors = self.errors.first().map(String::as_str);
        errors.or_else(|| self.times.first().copied())
    }

    /// What blocks at any time.
    #[must_use]
    pub fn errors(&self) -> &[String] {
        &self.errors
    }
}

impl Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = self.times.iter().copied();
        let all: Vec<&str> = self.errors.iter().map(String::as_str).chain(times).collect();
        write!(f, "[{}]", all.join(" "))
    }
}
