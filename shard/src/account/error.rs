//! Why something cannot be shared between accounts, in the words of nats-server.

use std::fmt;
use std::sync::Arc;

use crate::subject::transform::TransformError;

/// What is wrong with an export or an import.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ImportError {
    /// A subject is no pattern, or has no wildcard where the name of an account is to stand.
    Subject,
    /// The stream is not exported, or not to this account.
    StreamUnauthorized,
    /// The service is not exported, or not to this account.
    ServiceUnauthorized,
    /// A prefix has wildcards.
    Prefix,
    /// The same stream is imported already.
    DuplicateStream,
    /// A service is imported as this subject already: the subject, the other account, its subject.
    DuplicateService(String, Arc<str>, String),
    /// What is imported comes from where it goes.
    Cycle,
    /// It goes through too many accounts to find out.
    CycleDepth,
    /// More than all requests, or none, would be measured.
    Sampling,
    /// Figures cannot be published on that subject, or it is one of the services offered.
    LatencySubject,
    /// There is no such service.
    NoService,
    /// Only requests with one answer can be measured.
    LatencyResponse,
    /// The local subject does not lead to the other: of a stream or a service, from and to.
    Transform(&'static str, String, String, TransformError),
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("sublist: invalid subject"),
            Self::StreamUnauthorized => f.write_str("stream import not authorized"),
            Self::ServiceUnauthorized => f.write_str("service import not authorized"),
            Self::Prefix => f.write_str("stream import prefix can not contain wildcard tokens"),
            Self::DuplicateStream => f.write_str("stream import already exists"),
            Self::DuplicateService(subject, account, other) => write!(
                f,
                "duplicate service import subject {subject:?}, previously used in import for \
                 account {account:?}, subject {other:?}"
            ),
            Self::Cycle => f.write_str("import forms a cycle"),
            Self::CycleDepth => f.write_str("search cycle depth exhausted"),
            Self::Sampling => f.write_str("bad sampling percentage, should be 1-100"),
            Self::LatencySubject => f.write_str("invalid publish subject"),
            Self::NoService => f.write_str("service missing"),
            Self::LatencyResponse => f.write_str("bad service response type"),
            Self::Transform(kind, from, to, why) => write!(
                f,
                "failed to create mapping transform for {kind} import subject from {from:?} to \
                 {to:?}: {why}"
            ),
        }
    }
}

impl std::error::Error for ImportError {}
