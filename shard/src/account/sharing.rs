//! Exports and imports together: what may be imported, and what leads in a circle.
//!
//! The checks are those of nats-server, in its order, so that a configuration is refused for the
//! same reason. Exports of all accounts come first, then imports one by one: each is checked
//! against those that are there already, whatever path leads back.

use std::collections::HashSet;
use std::sync::Arc;

use crate::ids::AccountId;
use crate::subject::transform::{Transform, TransformError, as_destination, as_pattern};
use crate::subject::{collide, has_blank, is_literal, is_subset, is_valid_pattern};

use super::exports::Importer;
use super::imports::Way;
use super::{Account, Accounts, ImportError, ServiceImport, StreamImport};

/// Accounts that are looked at for one import before that is given up.
const CYCLE_DEPTH_MAX: usize = 1024;

/// What runs in a circle, if anything does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Streams,
    Services,
}

/// What one account takes from another, in the search for circles.
struct Link<'a> {
    account: AccountId,
    /// What the subject that is looked for has to have in common with it.
    meets: &'a [u8],
    /// What is looked for there, if it is part of the subject.
    narrows: &'a [u8],
}

/// A service as one account takes it from another.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// On which subjects requests are made here.
    pub from: &'a [u8],
    /// On which they are made there.
    pub to: &'a [u8],
    /// Who asks is told to who answers.
    pub share: bool,
}

impl Accounts {
    /// `importer` has messages of `exporter` on `from`, which appear on `to`; on the same subjects
    /// if that is empty.
    ///
    /// # Errors
    /// Returns why it may not, or cannot.
    pub fn import_stream(
        &mut self,
        importer: AccountId,
        exporter: AccountId,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), ImportError> {
        self.import_stream_by((importer, false), exporter, from, to)
    }

    /// The same for an account that perhaps shows a token that lets it.
    ///
    /// # Errors
    /// Returns why it may not, or cannot.
    pub fn import_stream_by(
        &mut self,
        (importer, token): (AccountId, bool),
        exporter: AccountId,
        from: &[u8],
        to: &[u8],
    ) -> Result<(), ImportError> {
        self.may_import_stream((importer, token), exporter, from)?;
        let to = if to.is_empty() { from } else { to };
        if !is_valid_name(to) {
            return Err(ImportError::Subject);
        }
        for subject in [to, from] {
            let mut visited = HashSet::from([importer]);
            self.check_circle(Kind::Streams, exporter, subject, &mut visited)?;
        }
        let (way, to) = if is_literal(from) {
            (if to == from { Way::Same } else { Way::Fixed }, to.to_vec())
        } else if to == from {
            (Way::Same, to.to_vec())
        } else {
            let way = Transform::reversible(from, &as_destination(to))
                .map_err(|why| unmappable("stream", from, to, why))?;
            let back = way.reverse().ok_or(ImportError::Subject)?;
            (Way::Mapped(Box::new(way), Some(Box::new(back))), as_pattern(to))
        };
        let imports = Arc::make_mut(self.entry(importer).imports.get_or_insert_default());
        let mut known = imports.streams.iter();
        if known.any(|known| known.account == exporter && *known.from == *from) {
            return Err(ImportError::DuplicateStream);
        }
        let (from, to) = (from.into(), to.into());
        imports.streams.push(StreamImport { account: exporter, from, to, way });
        Ok(())
    }

    /// The same with the subjects behind a prefix.
    ///
    /// # Errors
    /// Returns why it may not, or cannot.
    pub fn import_stream_behind(
        &mut self,
        importer: AccountId,
        exporter: AccountId,
        from: &[u8],
        prefix: &[u8],
    ) -> Result<(), ImportError> {
        self.import_stream_behind_by((importer, false), exporter, from, prefix)
    }

    /// The same for an account that perhaps shows a token that lets it.
    ///
    /// # Errors
    /// Returns why it may not, or cannot.
    pub fn import_stream_behind_by(
        &mut self,
        importer: (AccountId, bool),
        exporter: AccountId,
        from: &[u8],
        prefix: &[u8],
    ) -> Result<(), ImportError> {
        self.may_import_stream(importer, exporter, from)?;
        if !is_literal(prefix) {
            return Err(ImportError::Prefix);
        }
        let dot: &[u8] = if prefix.ends_with(b".") { b"" } else { b"." };
        self.import_stream_by(importer, exporter, from, &[prefix, dot, from].concat())
    }

    fn may_import_stream(
        &self,
        (importer, token): (AccountId, bool),
        exporter: AccountId,
        from: &[u8],
    ) -> Result<(), ImportError> {
        let name = self.name(importer);
        let exports = self.get(exporter).map(|account| &account.exports);
        let importer = Importer { id: importer, name: &name, token };
        let admits = || exports.is_some_and(|it| it.admits_stream(&importer, from));
        if !is_valid_name(from) || !admits() {
            return Err(ImportError::StreamUnauthorized);
        }
        Ok(())
    }

    /// `importer` makes requests to a service of `exporter`.
    ///
    /// # Errors
    /// Returns why it may not, or cannot.
    pub fn import_service(
        &mut self,
        importer: AccountId,
        exporter: AccountId,
        service: Service<'_>,
    ) -> Result<(), ImportError> {
        self.import_service_by((importer, false), exporter, service)
    }

    /// The same for an account that perhaps shows a token that lets it.
    ///
    /// # Errors
    /// Returns why it may not, or cannot.
    pub fn import_service_by(
        &mut self,
        (importer, token): (AccountId, bool),
        exporter: AccountId,
        service: Service<'_>,
    ) -> Result<(), ImportError> {
        let Service { from, to, share } = service;
        if !is_valid_name(from) || !is_valid_name(to) {
            return Err(ImportError::Subject);
        }
        let name = self.name(importer);
        let exports = self.get(exporter).map(|account| &account.exports);
        let place = exports.and_then(|exports| exports.service_place(to));
        let asking = Importer { id: importer, name: &name, token };
        let admitted = exports.is_some_and(|it| it.admits_service(&asking, to));
        let export = place.zip(exports).and_then(|(place, it)| it.services().get(place));
        let (Some(place), Some(export), true) = (place, export, admitted) else {
            return Err(ImportError::ServiceUnauthorized);
        };
        let (response, threshold) = (export.response, export.threshold);
        let latency = export.latency.clone();
        let asked = if is_literal(to) { from.to_vec() } else { as_pattern(from) };
        let mut visited = HashSet::from([importer]);
        self.check_circle(Kind::Services, exporter, &asked, &mut visited)?;
        self.check_path((importer, &asked), exporter, &as_pattern(to), &mut HashSet::new())?;
        let known = self.services(importer).iter();
        let mut known = known.filter(|known| known.account == exporter);
        if let Some(known) = known.find(|known| *known.from == *from) {
            let text = |subject: &[u8]| String::from_utf8_lossy(subject).into_owned();
            let (subject, other) = (text(from), text(&known.to));
            return Err(ImportError::DuplicateService(subject, self.name(exporter), other));
        }
        let (way, from, to) = if is_literal(to) {
            (Way::Fixed, from.to_vec(), to.to_vec())
        } else if to == from {
            (Way::Same, from.to_vec(), to.to_vec())
        } else {
            let to = as_pattern(to);
            // Wildcards may be turned around on the local side, so the way is found from its end.
            let back = Transform::reversible(&to, &as_destination(from))
                .map_err(|why| unmappable("service", from, &to, why))?;
            let way = back.reverse().ok_or(ImportError::Subject)?;
            (Way::Mapped(Box::new(way), None), as_pattern(from), to)
        };
        let imports = Arc::make_mut(self.entry(importer).imports.get_or_insert_default());
        imports.add_service(ServiceImport {
            account: exporter,
            from: from.into(),
            to: to.into(),
            share,
            response,
            threshold,
            latency,
            export: place,
            way,
        });
        Ok(())
    }

    /// What account `id` is called.
    #[must_use]
    pub fn name(&self, id: AccountId) -> Arc<str> {
        self.get(id).map_or_else(|| "".into(), |account: &Account| Arc::clone(&account.name))
    }

    /// Whether what `account` offers as `subject` leads to one of `visited`, by what it takes.
    fn check_circle(
        &self,
        kind: Kind,
        account: AccountId,
        subject: &[u8],
        visited: &mut HashSet<AccountId>,
    ) -> Result<(), ImportError> {
        if visited.len() >= CYCLE_DEPTH_MAX {
            return Err(ImportError::CycleDepth);
        }
        for link in self.links(kind, account, subject) {
            if !collide(subject, link.meets) {
                continue;
            }
            if visited.contains(&link.account) {
                return Err(ImportError::Cycle);
            }
            visited.insert(account);
            let next = if is_subset(link.narrows, subject) { link.narrows } else { subject };
            self.check_circle(kind, link.account, next, visited)?;
        }
        Ok(())
    }

    /// What `account` takes that may be part of what it offers as `subject`.
    fn links<'a>(&'a self, kind: Kind, account: AccountId, subject: &[u8]) -> Vec<Link<'a>> {
        let Some(terms) = self.get(account) else { return Vec::new() };
        let Some(imports) = &terms.imports else { return Vec::new() };
        match kind {
            Kind::Streams if !terms.exports.has_stream(subject) => Vec::new(),
            Kind::Streams => {
                let link = |it: &'a StreamImport| Link {
                    account: it.account,
                    meets: &it.to,
                    narrows: &it.to,
                };
                imports.streams.iter().map(link).collect()
            }
            Kind::Services => {
                let link = |it: &'a ServiceImport| Link {
                    account: it.account,
                    meets: &it.to,
                    narrows: &it.from,
                };
                imports.services.iter().map(link).collect()
            }
        }
    }

    /// Whether a request on `subject` in `account` comes back to where it began, by whatever other
    /// names. What nats-server overlooks here would run in a circle until it is noticed.
    fn check_path(
        &self,
        begin: (AccountId, &[u8]),
        account: AccountId,
        subject: &[u8],
        visited: &mut HashSet<(AccountId, Vec<u8>)>,
    ) -> Result<(), ImportError> {
        if account == begin.0 && collide(subject, begin.1) {
            return Err(ImportError::Cycle);
        }
        if !visited.insert((account, subject.to_vec())) {
            return Ok(());
        }
        if visited.len() >= CYCLE_DEPTH_MAX {
            return Err(ImportError::CycleDepth);
        }
        for import in self.services(account) {
            if collide(subject, &import.from) {
                let mut next = import.to.to_vec();
                if is_subset(subject, &import.from) {
                    next.clear();
                    import.rename(subject, &mut next);
                }
                self.check_path(begin, import.account, &next, visited)?;
            }
        }
        Ok(())
    }
}

/// A pattern that a client could name too.
fn is_valid_name(pattern: &[u8]) -> bool {
    is_valid_pattern(pattern) && !has_blank(pattern)
}

fn unmappable(kind: &'static str, from: &[u8], to: &[u8], why: TransformError) -> ImportError {
    let text = |subject: &[u8]| String::from_utf8_lossy(subject).into_owned();
    ImportError::Transform(kind, text(from), text(to), why)
}
