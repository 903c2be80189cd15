//! What a subscription that was accepted is not given all the same.
//!
//! Guards are compared by their rules: many connections of one user, and many users with the same
//! rules, have one between them in the index, and the shards name it to each other.

#![deny(clippy::indexing_slicing)]

use std::cmp::Ordering;
use std::sync::Arc;

use smallvec::SmallVec;

use super::patterns::{Patterns, names};

/// Keeps messages from subscriptions that are wider than the rules of their holder.
#[derive(Debug)]
pub struct Guard {
    /// What messages must match; `None` if whatever the subscription matches is allowed.
    allow: Option<Arc<Patterns>>,
    /// What they must not.
    deny: Option<Arc<Patterns>>,
    /// The rules as text: what it is compared by.
    key: Box<str>,
}

/// What a guard says about one subject.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Denial<'g> {
    /// Everybody may have the message.
    Nobody,
    /// Nobody may.
    Everybody,
    /// Plain subscriptions may; members of some queue groups may not.
    Queues(SmallVec<[&'g [u8]; 2]>),
    /// Only members of some queue groups may, and of those not all.
    Beside {
        /// Groups that are allowed.
        allowed: SmallVec<[&'g [u8]; 2]>,
        /// Groups that are denied.
        denied: SmallVec<[&'g [u8]; 2]>,
    },
}

impl Guard {
    pub(super) fn new(
        allow: Option<Arc<Patterns>>,
        deny: Option<Arc<Patterns>>,
        allow_texts: &[String],
        deny_texts: &[String],
    ) -> Self {
        // No pattern holds a line end, so lists that differ have keys that differ.
        let key = [allow_texts.join("\n"), deny_texts.join("\n")].join("\n\n").into();
        Self { allow, deny, key }
    }

    /// Whom it keeps a message on `subject` from.
    #[must_use]
    pub fn denial(&self, subject: &[u8]) -> Denial<'_> {
        let denied = self.deny.as_ref().map(|deny| deny.find(subject)).unwrap_or_default();
        if denied.plain {
            return Denial::Everybody;
        }
        let denied = denied.queues;
        if let Some(allow) = &self.allow {
            let allowed = allow.find(subject);
            if !allowed.plain {
                let allowed = allowed.queues;
                return match allowed.is_empty() {
                    true => Denial::Everybody,
                    false => Denial::Beside { allowed, denied },
                };
            }
        }
        if denied.is_empty() { Denial::Nobody } else { Denial::Queues(denied) }
    }
}

impl Denial<'_> {
    /// Whether it concerns members of `queue`, or plain subscriptions.
    #[must_use]
    pub fn concerns(&self, queue: Option<&[u8]>) -> bool {
        let named = |rules: &[&[u8]]| {
            queue.is_some_and(|queue| rules.iter().any(|rule| names(rule, queue)))
        };
        match self {
            Self::Nobody => false,
            Self::Everybody => true,
            Self::Queues(denied) => named(denied),
            Self::Beside { allowed, denied } => !named(allowed) || named(denied),
        }
    }
}

impl PartialEq for Guard {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Guard {}

impl PartialOrd for Guard {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Guard {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}
