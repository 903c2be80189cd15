//! Users who are known by a certificate: `verify_and_map`.
//!
//! The names of a certificate are tried in the order of nats-server: addresses, hosts and URIs that
//! it is for, then its subject, as a name of parts in any order. Only a subject that is no such
//! name is compared as text: what somebody chose as text must not be taken for parts that nobody
//! vouched for. The first that is a user's decides; there is no other way in.

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
        self.find(known, certificate::names(certificate?)?)
    }

    fn find(&self, known: impl Fn(&str) -> bool, names: Names) -> Option<String> {
        let Names { alternatives, subject, texts } = names;
        if let Some(name) = alternatives.iter().find(|name| known(name)) {
            return Some(name.clone());
        }
        match subject {
            Some(subject) => self.of_subject(&subject).map(str::to_owned),
            None => texts.into_iter().find(|name| known(name)),
        }
    }

    /// The user with this name of parts; one with another order, if there is none.
    fn of_subject(&self, subject: &Dn) -> Option<&str> {
        let exact = self.subjects.iter().find(|(dn, _)| dn == subject);
        let found = exact.or_else(|| self.subjects.iter().find(|(dn, _)| dn.has_parts_of(subject)));
        found.map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_of_parts_is_not_taken_as_text() {
        // As text, two parts of a kind look like one of two.
        let text = "CN=x,OU=a+OU=b".to_owned();
        let find = |user: &str, subject: Option<&str>| {
            let subject = subject.map(|subject| Dn::parse(subject).unwrap());
            let names = Names { alternatives: Vec::new(), subject, texts: vec![text.clone()] };
            Mapped::new([&user.to_owned()].into_iter()).find(|name| name == user, names)
        };
        assert_eq!(
            find("OU=b,OU=a,CN=x", Some("CN=x,OU=a,OU=b")).as_deref(),
            Some("OU=b,OU=a,CN=x")
        );
        assert_eq!(find(&text, Some("CN=x,OU=a,OU=b")), None);
        assert_eq!(find(&text, None), Some(text.clone()));
    }
}
