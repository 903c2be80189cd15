//! What an account takes from others.
//!
//! A stream is taken by subscriptions: each that overlaps the local subjects of a stream has a
//! shadow in the other account, on what it means there. A service is taken by publishing: a request
//! to its local subject is published in the other account too.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::ids::AccountId;
use crate::subject::transform::{SubjectTokens, Transform};
use crate::subject::{is_literal, is_subset, matches, narrowed, tokens};

use super::{Latency, ResponseType};

/// All that an account takes, in the order in which it was said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Imports {
    /// Messages of others.
    pub streams: Vec<StreamImport>,
    /// Services of others.
    pub services: Vec<ServiceImport>,
    /// Names of services without a wildcard.
    literals: BTreeSet<Box<[u8]>>,
    /// Names with one, by their first tokens.
    patterns: BTreeMap<Box<[u8]>, Vec<Box<[u8]>>>,
}

impl Imports {
    /// Adds a service.
    pub(super) fn add_service(&mut self, service: ServiceImport) {
        let from = service.from.clone();
        if is_literal(&from) {
            self.literals.insert(from);
        } else {
            self.patterns.entry(first(&from).into()).or_default().push(from);
        }
        self.services.push(service);
    }

    /// Whether a request on `subject` is one for any of the services. Costs little where it is not,
    /// however many there are: it is asked about every message.
    #[must_use]
    pub fn takes(&self, subject: &[u8]) -> bool {
        let within = |first: &[u8]| {
            let patterns = self.patterns.get(first);
            patterns.is_some_and(|all| all.iter().any(|pattern| matches(pattern, subject)))
        };
        self.literals.contains(subject)
            || (!self.patterns.is_empty()
                && (within(first(subject)) || within(b"*") || within(b">")))
    }
}

fn first(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == b'.').next().unwrap_or_default()
}

/// How the subjects of two accounts belong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// They are the same.
    Same,
    /// Whatever it was, it becomes this.
    Fixed,
    /// There, and for streams also back.
    Mapped(Box<Transform>, Option<Box<Transform>>),
}

/// Messages of another account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StreamImport {
    /// Whose they are.
    pub account: AccountId,
    /// On which subjects they are published there.
    pub from: Box<[u8]>,
    /// On which they appear here.
    pub to: Box<[u8]>,
    pub(super) way: Way,
}

impl StreamImport {
    /// What a subscription to `pattern` here means there; `None` if the stream has nothing for it.
    #[must_use]
    pub fn shadow(&self, pattern: &[u8]) -> Option<Vec<u8>> {
        if pattern == &*self.to {
            return Some(self.from.to_vec());
        }
        if is_subset(pattern, &self.to) {
            return Some(match &self.way {
                Way::Same => pattern.to_vec(),
                Way::Fixed | Way::Mapped(_, None) => self.from.to_vec(),
                Way::Mapped(_, Some(back)) => apply(back, pattern),
            });
        }
        if is_literal(pattern) {
            return None;
        }
        if is_subset(&self.to, pattern) {
            return Some(self.from.to_vec());
        }
        let narrow = narrowed(pattern, &self.to)?;
        Some(match &self.way {
            Way::Same => narrow,
            // What it is called here means nothing there: only what was exported is asked for.
            Way::Fixed | Way::Mapped(_, None) => self.from.to_vec(),
            Way::Mapped(_, Some(back)) => apply(back, &narrow),
        })
    }

    /// Appends what a message on `subject` there is called here.
    pub fn rename(&self, subject: &[u8], out: &mut Vec<u8>) {
        match &self.way {
            Way::Same => out.extend_from_slice(subject),
            Way::Fixed => out.extend_from_slice(&self.to),
            Way::Mapped(there, _) => apply_into(there, subject, out),
        }
    }
}

/// A service of another account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceImport {
    /// Whose it is.
    pub account: AccountId,
    /// On which subjects requests are made here.
    pub from: Box<[u8]>,
    /// On which they are made there.
    pub to: Box<[u8]>,
    /// Who asks is told to who answers.
    pub share: bool,
    /// How it is answered.
    pub response: ResponseType,
    /// How long an answer may take.
    pub threshold: Duration,
    /// Which requests are measured, if any.
    pub latency: Option<Arc<Latency>>,
    /// Which of the exports there it is.
    pub(super) export: usize,
    pub(super) way: Way,
}

impl ServiceImport {
    /// Whether a request on `subject` here is one of these.
    #[must_use]
    pub fn takes(&self, subject: &[u8]) -> bool {
        matches(&self.from, subject)
    }

    /// Appends what a request on `subject` here is called there.
    pub fn rename(&self, subject: &[u8], out: &mut Vec<u8>) {
        match &self.way {
            Way::Same => out.extend_from_slice(subject),
            Way::Fixed => out.extend_from_slice(&self.to),
            Way::Mapped(there, _) => apply_into(there, subject, out),
        }
    }

    /// Whether both are of the same export: a request that comes to it again runs in a circle.
    #[must_use]
    pub fn same_export(&self, other: &Self) -> bool {
        self.account == other.account && self.export == other.export
    }
}

/// Appends a subject by a way that only names wildcards: nothing in it is left to chance.
fn apply_into(way: &Transform, subject: &[u8], out: &mut Vec<u8>) {
    let all: SubjectTokens<'_> = tokens(subject).collect();
    way.apply(&all, &mut fastrand::Rng::with_seed(0), out);
}

fn apply(way: &Transform, subject: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    apply_into(way, subject, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_services_takes_what_any_of_them_takes() {
        let names: &[&[u8]] = &[b"a", b"a.b", b"a.*", b"*.c", b">", b"b.>", b"a.b.c", b"c.*.d"];
        let subjects: &[&[u8]] =
            &[b"a", b"b", b"a.b", b"a.c", b"x.c", b"b.x.y", b"a.b.c", b"c.x.d", b"c.x", b"x.y"];
        for without in 0..1_usize << names.len() {
            let mut imports = Imports::default();
            for (place, from) in names.iter().enumerate() {
                if without & (1 << place) == 0 {
                    imports.add_service(ServiceImport {
                        account: AccountId::new(2),
                        from: (*from).into(),
                        to: (*from).into(),
                        share: false,
                        response: ResponseType::Singleton,
                        threshold: Duration::ZERO,
                        latency: None,
                        export: place,
                        way: Way::Same,
                    });
                }
            }
            for subject in subjects {
                let any = imports.services.iter().any(|service| service.takes(subject));
                assert_eq!(imports.takes(subject), any, "{without} {}", subject.escape_ascii());
            }
        }
    }

    #[test]
    fn only_what_was_exported_is_asked_for() {
        let import = |to: &[u8], way| StreamImport {
            account: AccountId::new(2),
            from: b"x"[..].into(),
            to: to.into(),
            way,
        };
        // Neither of the two patterns holds the other.
        let fixed = import(b"secret.*", Way::Fixed);
        assert_eq!(fixed.shadow(b"*.b").as_deref(), Some(&b"x"[..]));
        let same = StreamImport { from: b"s.*"[..].into(), ..import(b"s.*", Way::Same) };
        assert_eq!(same.shadow(b"*.b").as_deref(), Some(&b"s.b"[..]));
        assert_eq!(same.shadow(b"*.b.c"), None);
    }
}
