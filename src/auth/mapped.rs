//! Users who are known by a certificate: `verify_and_map`.
//!
//! The names of a certificate are tried in the order of nats-server: addresses, hosts and URIs that
//! it is for, then its subject, as a name of parts in any order, at last as text. The first that is
//! a user's decides; there is no other way in.

use crate::tls::certificate::{self, Names};
use crate::tls::dn::Dn;

/// Users whose name is one of parts.
#[derive(Debug)]
pub(super) struct Mapped {
    subjects: Vec<(Dn, String)>,
}

impl Mapped {
    /// Of users with these names.
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a String>) -> Self {
        let mut names: Vec<&String> = names.collect();
        names.sort();
        let subjects = names.into_iter().filter_map(|name| Some((Dn::parse(name)?, name.clone())));
        Self { subjects: subjects.collect() }
    }

    /// Which user the holder of this certificate is, where `known` tells who is one.
    pub(super) fn user(
        &self,
        known: impl Fn(&str) -> bool,
        certificate: Option<&[u8]>,
    ) -> Option<String> {
        let Names { alternatives, subject, texts } = certificate::names(certificate?)?;
        if let Some(name) = alternatives.iter().find(|name| known(name)) {
            return Some(name.clone());
        }
        let of_subject = subject.and_then(|subject| self.of_subject(&subject).map(str::to_owned));
        of_subject.or_else(|| texts.into_iter().find(|name| known(name)))
    }

    /// The user with this name of parts; one with another order, if there is none.
    fn of_subject(&self, subject: &Dn) -> Option<&str> {
        let exact = self.subjects.iter().find(|(dn, _)| dn == subject);
        let found = exact.or_else(|| self.subjects.iter().find(|(dn, _)| dn.has_parts_of(subject)));
        found.map(|(_, name)| name.as_str())
    }
}
