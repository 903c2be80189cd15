//! Why a subject cannot be transformed as it says, in the words of nats-server.

use std::fmt;

/// What is wrong with a transform.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TransformError {
    /// The source or the destination is no pattern, or they do not fit together: the destination
    /// has a wildcard of its own, or only one of them ends in `>`.
    Subject,
    /// The destination, and the part of it that is wrong; empty if it is the whole.
    Destination(Reason, String),
}

/// What is wrong with a destination.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reason {
    /// A token is empty, has blanks in it or follows a `>`.
    Invalid,
    /// It looks like a function, but there is none with that name.
    UnknownFunction,
    /// A wildcard is named that the source does not have.
    OutOfRange,
    /// An argument is missing.
    TooFewArguments,
    /// There is an argument more than the function takes.
    TooManyArguments,
    /// An argument is not what the function takes.
    WrongArgument,
    /// It has to lead back as well, and a wildcard of the source is lost.
    WildcardLost,
    /// It has to lead back as well, and a function does not.
    NotReversible,
}

impl TransformError {
    pub(super) fn at(reason: Reason, part: &[u8]) -> Self {
        Self::Destination(reason, String::from_utf8_lossy(part).into_owned())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid transform",
            Self::UnknownFunction => "unknown function",
            Self::OutOfRange => "wildcard index out of range",
            Self::TooFewArguments => "not enough arguments passed to the function",
            Self::TooManyArguments => "too many arguments passed to the function",
            Self::WrongArgument => "function argument is invalid or in the wrong format",
            Self::WildcardLost => "not using all of the token wildcard(s)",
            Self::NotReversible => {
                "the only mapping function allowed for import transforms is {{Wildcard()}}"
            }
        })
    }
}

impl fmt::Display for TransformError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("invalid subject"),
            Self::Destination(reason, part) => {
                write!(f, "invalid mapping destination: {reason}")?;
                if part.is_empty() { Ok(()) } else { write!(f, " in {part}") }
            }
        }
    }
}

impl std::error::Error for TransformError {}
