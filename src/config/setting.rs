//! A value together with who decided it: the operator's flag, else the file, else the default.

use std::fmt;
use std::ops::Deref;

use super::problem::Spot;
use super::reader::Found;

/// Who decided a value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// Nobody.
    Default,
    /// A key of the file.
    File(Spot),
    /// This flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(spot) => write!(f, "{spot}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A value that knows its origin.
#[derive(Clone, Debug)]
pub struct Setting<T> {
    value: T,
    origin: Origin,
}

impl<T> Setting<T> {
    pub(super) const fn new(default: T) -> Self {
        Self { value: default, origin: Origin::Default }
    }

    /// What the file says, if it says something.
    #[must_use]
    pub(super) fn or_file(self, found: Option<Found<T>>) -> Self {
        match found {
            Some(Found { value, at }) => Self { value, origin: Origin::File(at) },
            None => self,
        }
    }

    /// What the flag says, if it was given.
    #[must_use]
    pub(super) fn or_flag(self, flag: &'static str, given: Option<T>) -> Self {
        match given {
            Some(value) => Self { value, origin: Origin::Flag(flag) },
            None => self,
        }
    }

    /// The same decision about another form of the value.
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Setting<U> {
        Setting { value: change(self.value), origin: self.origin }
    }

    /// Who decided.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
