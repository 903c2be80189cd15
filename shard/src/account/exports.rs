//! What an account offers to others, and to whom.

use std::sync::Arc;
use std::time::Duration;

use crate::ids::AccountId;
use crate::subject::{has_blank, is_literal, is_subset, tokens};

use super::ImportError;

/// A responder has this long, unless the export says otherwise.
const THRESHOLD: Duration = Duration::from_secs(120);

/// Who may import.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// Only these accounts, and everybody if there are none.
    pub approved: Vec<AccountId>,
    /// Which token of the subject has to be the name of the account, counted from 1; if it is not
    /// zero, that alone decides.
    pub token: usize,
    /// Only who shows a token that lets him.
    pub by_token: bool,
}

/// Who wants to import.
#[derive(Clone, Copy, Debug)]
pub(super) struct Importer<'a> {
    pub(super) id: AccountId,
    pub(super) name: &'a str,
    /// It shows a token that lets it.
    pub(super) token: bool,
}

/// How a service answers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ResponseType {
    /// With one message.
    #[default]
    Singleton,
    /// With as many as it likes.
    Stream,
    /// With several, the last one empty.
    Chunked,
}

impl ResponseType {
    /// Whether there is one answer, and no more.
    #[must_use]
    pub fn is_single(self) -> bool {
        self == Self::Singleton
    }

    /// As operators and nats-server write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Singleton => "Singleton",
            Self::Stream => "Streamed",
            Self::Chunked => "Chunked",
        }
    }
}

/// Messages that others may have.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct StreamExport {
    /// On these subjects.
    pub subject: Box<[u8]>,
    /// Who may have them.
    pub access: Access,
}

/// Requests that others may make.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServiceExport {
    /// On these subjects.
    pub subject: Box<[u8]>,
    /// Who may make them.
    pub access: Access,
    /// How they are answered.
    pub response: ResponseType,
    /// How long an answer may take.
    pub threshold: Duration,
    /// Which requests are measured, if any.
    pub latency: Option<Arc<Latency>>,
}

/// Which requests to a service are measured, and where it is told how long they took.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Latency {
    /// Which.
    pub sampling: Sampling,
    /// Where, in the account of the service.
    pub subject: Box<[u8]>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { sampling: Sampling::Percent(100), subject: Box::default() }
    }
}

/// Which requests are measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sampling {
    /// So many of a hundred, and those whose headers want it.
    Percent(u8),
    /// Those whose headers want it.
    Headers,
}

/// All that an account offers, in the order in which it was said.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exports {
    streams: Vec<StreamExport>,
    services: Vec<ServiceExport>,
}

impl Access {
    /// Whether these terms make sense for `subject`.
    fn check(&self, subject: &[u8]) -> Result<(), ImportError> {
        let Some(place) = self.token.checked_sub(1) else { return Ok(()) };
        match tokens(subject).nth(place) {
            Some(b"*") => Ok(()),
            _ => Err(ImportError::Subject),
        }
    }

    /// Whether `account` may import `subject`; `exact` if that is the subject of the export itself,
    /// which names nobody.
    fn admits(&self, account: &Importer<'_>, subject: &[u8], exact: bool) -> bool {
        if let Some(place) = self.token.checked_sub(1) {
            return !exact && tokens(subject).nth(place) == Some(account.name.as_bytes());
        }
        if self.by_token {
            return account.token;
        }
        self.approved.is_empty() || self.approved.contains(&account.id)
    }

    /// Terms that were given again are added to those before.
    fn merge(&mut self, other: Self) {
        self.by_token |= other.by_token;
        if other.token > 0 {
            self.token = other.token;
        }
        for account in other.approved {
            if !self.approved.contains(&account) {
                self.approved.push(account);
            }
        }
    }
}

impl Exports {
    /// Offers messages.
    ///
    /// # Errors
    /// Returns [`ImportError::Subject`] if the name of an account cannot stand where it should.
    pub fn add_stream(&mut self, subject: &[u8], access: Access) -> Result<(), ImportError> {
        access.check(subject)?;
        match self.streams.iter_mut().find(|known| *known.subject == *subject) {
            Some(known) => known.access.merge(access),
            None => self.streams.push(StreamExport { subject: subject.into(), access }),
        }
        Ok(())
    }

    /// Offers a service; a `threshold` of zero is the usual one.
    ///
    /// # Errors
    /// Returns [`ImportError::Subject`] if the name of an account cannot stand where it should.
    pub fn add_service(
        &mut self,
        subject: &[u8],
        access: Access,
        response: ResponseType,
        threshold: Duration,
    ) -> Result<(), ImportError> {
        access.check(subject)?;
        let threshold = if threshold.is_zero() { THRESHOLD } else { threshold };
        if let Some(known) = self.services.iter_mut().find(|known| *known.subject == *subject) {
            known.access.merge(access);
            known.threshold = threshold;
            if response != ResponseType::Singleton {
                known.response = response;
            }
            return Ok(());
        }
        let (subject, latency) = (subject.into(), None);
        self.services.push(ServiceExport { subject, access, response, threshold, latency });
        Ok(())
    }

    /// Requests to the service on `subject` are measured.
    ///
    /// # Errors
    /// If that cannot be, or if it cannot be told on that subject.
    pub fn measure(&mut self, subject: &[u8], latency: Latency) -> Result<(), ImportError> {
        if let Sampling::Percent(percent) = latency.sampling
            && !(1..=100).contains(&percent)
        {
            return Err(ImportError::Sampling);
        }
        let to = &*latency.subject;
        if !is_literal(to) || has_blank(to) || self.service(to).is_some() {
            return Err(ImportError::LatencySubject);
        }
        let known = self.services.iter_mut().find(|known| *known.subject == *subject);
        let known = known.ok_or(ImportError::NoService)?;
        if !known.response.is_single() {
            return Err(ImportError::LatencyResponse);
        }
        known.latency = Some(Arc::new(latency));
        Ok(())
    }

    /// Messages that it offers.
    #[must_use]
    pub fn streams(&self) -> &[StreamExport] {
        &self.streams
    }

    /// Services that it offers.
    #[must_use]
    pub fn services(&self) -> &[ServiceExport] {
        &self.services
    }

    /// Whether it offers nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.services.is_empty()
    }

    /// The export of messages on `subject`.
    #[must_use]
    pub fn stream(&self, subject: &[u8]) -> Option<&StreamExport> {
        let exact = self.streams.iter().find(|export| *export.subject == *subject);
        exact.or_else(|| self.streams.iter().find(|export| is_subset(subject, &export.subject)))
    }

    /// The export of a service on `subject`.
    #[must_use]
    pub fn service(&self, subject: &[u8]) -> Option<&ServiceExport> {
        self.services.get(self.service_place(subject)?)
    }

    /// Whether `account` may have messages on `subject`.
    pub(super) fn admits_stream(&self, account: &Importer<'_>, subject: &[u8]) -> bool {
        let export = self.stream(subject);
        export.is_some_and(|it| it.access.admits(account, subject, *it.subject == *subject))
    }

    /// Whether messages on `subject` are offered to anybody.
    pub(super) fn has_stream(&self, subject: &[u8]) -> bool {
        self.streams.iter().any(|export| is_subset(subject, &export.subject))
    }

    /// The place of the export that `subject` belongs to.
    pub(super) fn service_place(&self, subject: &[u8]) -> Option<usize> {
        let exact = self.services.iter().position(|export| *export.subject == *subject);
        let wide = || self.services.iter().position(|export| is_subset(subject, &export.subject));
        exact.or_else(wide)
    }

    /// Whether `account` may make requests on `subject`.
    pub(super) fn admits_service(&self, account: &Importer<'_>, subject: &[u8]) -> bool {
        let export = self.service(subject);
        export.is_some_and(|it| it.access.admits(account, subject, *it.subject == *subject))
    }
}
