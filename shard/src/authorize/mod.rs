//! What a user may publish, subscribe to and be given: the one place that decides it.
//!
//! Every path asks here: PUB and HPUB, requests to the server, SUB, reloads, and the index when it
//! works out who gets a message. Rules are compiled once per user and shared by its connections.
//!
//! | file | what |
//! | --- | --- |
//! | `rules.rs` | rules as they are written, and what is wrong with them |
//! | `patterns.rs` | one list of rules as a tree of tokens |
//! | `guard.rs` | what a subscription that was accepted is not given all the same |
//! | `replies.rs` | subjects that somebody waits on, and may be answered once |
//!
//! **Publish.** A subject must match an allowed pattern, if any are named, and no denied one.
//! Failing that, it may be one that was given to this client as a reply ([`Replies`]).
//!
//! **Subscribe.** A pattern is looked up as if it were a subject: `a.*` is allowed by `a.*` or `>`,
//! not by `a.b`. So one that is wider than a denied pattern is accepted, and messages on what is
//! denied are kept from it when they are delivered: the subscription gets a [`Guard`], which the
//! index looks at when it works out a match set. What is remembered there holds only who may have
//! the message, so that a message on a known subject costs nothing.
//!
//! **Queue groups.** A rule of subscriptions may name a queue after the subject. If any allowed
//! entry that matches names one, a member needs an entry that names its own; a denied entry without
//! a queue denies all.
//!
//! What is deliberately absent: who a user is, accounts, and subjects that the server has to itself
//! ([`crate::subject`]).

mod guard;
#[cfg(any(test, fuzzing))]
pub(crate) mod naive;
#[cfg(test)]
pub(crate) mod oracle;
mod patterns;
mod replies;
mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use guard::{Denial, Guard};
pub use replies::{Replies, Total};
pub use rules::{BadRule, Lists, Responses, Rules, check};

use patterns::Patterns;

/// The rules of one user, ready to be asked. Equal if their rules are.
#[derive(Debug)]
pub struct Permissions {
    rules: Rules,
    publish_allow: Option<Patterns>,
    publish_deny: Option<Patterns>,
    subscribe_allow: Option<Arc<Patterns>>,
    subscribe_deny: Option<Arc<Patterns>>,
    /// For subscriptions wider than what is denied.
    beyond_deny: Option<Arc<Guard>>,
    /// For subscriptions wider than what is allowed, which may be wider than what is denied too.
    beyond_allow: Option<Arc<Guard>>,
}

/// What becomes of a SUB.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subscribing {
    /// It is refused.
    Denied,
    /// It is accepted; a guard keeps from it what it may not have.
    Allowed(Option<Arc<Guard>>),
}

impl Permissions {
    /// Compiles rules.
    ///
    /// # Errors
    /// The first rule that is no pattern, and the list it is in.
    pub fn new(rules: Rules) -> Result<Self, BadRule> {
        rules.check()?;
        Ok(Self::compile(rules))
    }

    /// Those of somebody who may do nothing.
    #[must_use]
    pub fn nothing() -> Self {
        let publish = Lists { allow: Some(Vec::new()), deny: Vec::new() };
        let subscribe = Lists { allow: None, deny: vec![">".to_owned()] };
        Self::compile(Rules { publish, subscribe, responses: None })
    }

    fn compile(rules: Rules) -> Self {
        let Rules { publish, subscribe, responses } = &rules;
        // Whoever may answer may, unless told otherwise, do nothing else.
        let nothing = responses.is_some().then(Patterns::default);
        let publish_allow = publish.allow.as_deref().map(Patterns::new).or(nothing);
        // Without an entry, a list of subscriptions is as good as none.
        let list =
            |texts: &[String]| (!texts.is_empty()).then(|| Arc::new(Patterns::with_queues(texts)));
        let allow = subscribe.allow.as_deref().unwrap_or_default();
        let (subscribe_allow, subscribe_deny) = (list(allow), list(&subscribe.deny));
        let guard = |allow: Option<&Arc<Patterns>>| {
            let allow_texts = allow.and(subscribe.allow.as_deref()).unwrap_or_default();
            let deny = subscribe_deny.clone();
            Guard::new(allow.cloned(), deny, allow_texts, &subscribe.deny)
        };
        Self {
            publish_deny: (!publish.deny.is_empty()).then(|| Patterns::new(&publish.deny)),
            publish_allow,
            beyond_deny: subscribe_deny.is_some().then(|| Arc::new(guard(None))),
            beyond_allow: subscribe_allow.as_ref().map(|allow| Arc::new(guard(Some(allow)))),
            subscribe_allow,
            subscribe_deny,
            rules,
        }
    }

    /// What they were made from.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// How answers to what it is sent are allowed, where publishing to them is not allowed anyway.
    #[must_use]
    pub fn responses(&self) -> Option<Responses> {
        self.rules.responses
    }

    /// Whether its rules allow publishing to `subject`. A subject with an empty token is allowed by
    /// no pattern and denied by none.
    #[must_use]
    pub fn may_publish(&self, subject: &[u8]) -> bool {
        self.publish_allow.as_ref().is_none_or(|allow| allow.matches(subject))
            && !self.publish_deny.as_ref().is_some_and(|deny| deny.matches(subject))
    }

    /// Whether it may subscribe to `pattern`, as a member of `queue` if that is given.
    #[must_use]
    pub fn may_subscribe(&self, pattern: &[u8], queue: Option<&[u8]>) -> Subscribing {
        if let Some(allow) = &self.subscribe_allow {
            let found = allow.find(pattern);
            let named = queue.filter(|_| !found.queues.is_empty());
            if !named.map_or(found.plain, |queue| found.names(queue)) {
                return Subscribing::Denied;
            }
        }
        if let Some(deny) = &self.subscribe_deny {
            let found = deny.find(pattern);
            if found.plain || queue.is_some_and(|queue| found.names(queue)) {
                return Subscribing::Denied;
            }
        }
        Subscribing::Allowed(self.guard(pattern, queue))
    }

    /// What a subscription that was accepted must be kept from.
    fn guard(&self, pattern: &[u8], queue: Option<&[u8]>) -> Option<Arc<Guard>> {
        if crate::subject::is_literal(pattern) {
            return None;
        }
        if self.subscribe_allow.as_ref().is_some_and(|allow| !allow.covers(pattern, queue)) {
            return self.beyond_allow.clone();
        }
        let overlaps = self.subscribe_deny.as_ref().is_some_and(|deny| deny.collides(pattern));
        self.beyond_deny.as_ref().filter(|_| overlaps).cloned()
    }
}

impl PartialEq for Permissions {
    fn eq(&self, other: &Self) -> bool {
        self.rules == other.rules
    }
}

impl Eq for Permissions {}

/// Whether a message on `subject` may be delivered to a subscription with this guard, as a member
/// of `queue` if that is given. The index asks the same of many at once, see [`Guard::denial`].
#[must_use]
pub fn may_deliver(guard: Option<&Guard>, subject: &[u8], queue: Option<&[u8]>) -> bool {
    guard.is_none_or(|guard| !guard.denial(subject).concerns(queue))
}
