//! What accounts share by their claims: from all claims in force to the terms of each account.
//!
//! All of it is found out anew whenever something changes, in the order in which claims came into
//! force, which decides as with nats-server who closes a circle. So it does not matter whether the
//! exporting or the importing account is heard of first: what cannot be imported now is tried again
//! with the next change. An account whose claims hold no more shares nothing.
//!
//! Pure: claims and a time go in, terms and the second of the next change by time come out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ringbus_shard::account::{
    Access, Accounts as Terms, ImportError, Latency, ResponseType, Sampling, Service,
};
use ringbus_shard::ids::AccountId;
use ringbus_shard::subject::mapping::{Destination, Mapping, Mappings};
use ringbus_shard::subject::{has_blank, is_subset, is_valid_pattern};

use super::registry::Known;
use crate::auth::jwt::ActivationClaims;
use crate::auth::jwt::sharing::{Export, Import, Kind};

/// What all claims together come to.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// What holds in each account.
    pub(super) terms: Terms,
    /// The first second in which that is something else, though no claims change.
    pub(super) next: Option<i64>,
    /// What cannot be in force, and why.
    pub(super) notes: Vec<Note>,
}

/// Why something of an account is not in force.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Note {
    /// Whether the account from which it would come is not known.
    pub(super) missing: Option<String>,
    /// For the log.
    pub(super) text: String,
}

/// Finds out what holds at `now` by the claims of these accounts, in any order.
pub(super) fn compile(all: &[Arc<Known>], now: i64) -> Shared {
    let mut known: Vec<&Known> =
        all.iter().map(|known| &**known).filter(|known| !known.is_over(now)).collect();
    known.sort_by_key(|known| known.order);
    let mut by_key = HashMap::with_capacity(known.len());
    by_key.extend(known.iter().map(|known| (known.claims.subject.as_str(), *known)));
    let mut shared = Compiler { by_key, now, shared: Shared::default() };
    for account in &known {
        shared.offer(account);
    }
    for account in &known {
        shared.take(account);
    }
    shared.shared
}

struct Compiler<'a> {
    by_key: HashMap<&'a str, &'a Known>,
    now: i64,
    shared: Shared,
}

impl<'a> Compiler<'a> {
    fn note(&mut self, text: String) {
        self.shared.notes.push(Note { missing: None, text });
    }

    /// What others may have of it, and what its own subjects stand for.
    fn offer(&mut self, account: &Known) {
        let (key, id) = (&account.claims.subject, account.account.id);
        let body = &account.claims.body;
        if !account.shares() {
            return;
        }
        self.shared.terms.entry(id).name = Arc::clone(&account.account.name);
        self.map(account);
        for export in body.exports.iter().flatten() {
            if let Err(why) = add_export(&mut self.shared.terms, id, export) {
                let kind = export.kind.map_or("", Kind::name);
                self.note(format!("Error adding {kind} export to account [{key}]: {why}"));
            } else if let Err(why) = measure(&mut self.shared.terms, id, export) {
                let what = "latency tracking for service export";
                self.note(format!("Error adding {what} to account [{key}]: {why}"));
            }
        }
    }

    fn map(&mut self, account: &Known) {
        let mut mappings = Mappings::default();
        for (source, ways) in &account.claims.body.mappings {
            let ways: Vec<Destination> = ways
                .iter()
                .map(|way| Destination {
                    subject: way.subject.clone().into_bytes(),
                    weight: way.percent(),
                    cluster: Some(way.cluster.clone()).filter(|cluster| !cluster.is_empty()),
                })
                .collect();
            match Mapping::new(source.as_bytes(), &ways, None) {
                Ok(mapping) => mappings.add(mapping),
                Err(why) => {
                    let key = &account.claims.subject;
                    let text = "Error adding subject mapping";
                    self.note(format!("{text} {source:?} for account [{key}]: {why}"));
                }
            }
        }
        if !mappings.is_empty() {
            self.shared.terms.entry(account.account.id).mappings = Some(Arc::new(mappings));
        }
    }

    /// What it takes from others.
    fn take(&mut self, account: &Known) {
        for (place, import) in account.claims.body.imports.iter().enumerate() {
            let Some(import) = import else { continue };
            let kind = import.kind.map_or("", Kind::name);
            let Some(exporter) = self.by_key.get(import.account.as_str()).copied() else {
                self.shared.notes.push(Note {
                    missing: Some(import.account.clone()),
                    text: format!(
                        "Can't locate account [{}] for import of [{}] {kind} into account [{}]",
                        import.account, import.subject, account.claims.subject
                    ),
                });
                continue;
            };
            let activation = account.activations.get(place).and_then(Option::as_ref);
            let token = self.activates(account, exporter, import, activation);
            let (importer, exporter) = ((account.account.id, token), exporter.account.id);
            if let Err(why) = add_import(&mut self.shared.terms, importer, exporter, import) {
                let key = &account.claims.subject;
                self.note(format!("Error adding {kind} import to account [{key}]: {why}"));
            }
        }
    }

    /// Whether an import shows a token that lets it, where the export wants one. Every condition is
    /// looked at here, whatever was looked at when the claims came.
    fn activates(
        &mut self,
        importer: &Known,
        exporter: &Known,
        import: &Import,
        activation: Option<&ActivationClaims>,
    ) -> bool {
        let Some(token) = activation else { return false };
        let Some(export) = wanted(exporter, &self.shared.terms, import) else { return false };
        // CVE-2021-3127: a token is for one account, one kind, and what it names.
        let body = &token.body;
        let asked = import.asked();
        let is_meant = token.subject == importer.claims.subject
            && body.import_kind == import.kind
            && import.kind.is_some()
            && is_subset(asked.as_bytes(), body.import_subject.as_bytes());
        let own = &exporter.claims.subject;
        let is_signed = if body.issuer_account.is_empty() {
            token.issuer == *own
        } else {
            body.issuer_account == *own && exporter.signer(&token.issuer).is_some()
        };
        if !is_meant || !is_signed || token.issues(self.now).block_ever() {
            return false;
        }
        // CVE-2020-26892: one that has expired is none.
        for second in [token.not_before, token.expires].into_iter().filter(|it| *it > self.now) {
            self.shared.next = Some(self.shared.next.map_or(second, |next| next.min(second)));
        }
        let holds =
            token.not_before <= self.now && (token.expires == 0 || token.expires > self.now);
        holds && !export.revocations.cover(&token.subject, token.issued)
    }
}

/// The claims about the export that an import is of.
fn wanted<'a>(exporter: &'a Known, terms: &Terms, import: &Import) -> Option<&'a Export> {
    let exports = &terms.get(exporter.account.id)?.exports;
    let asked = import.asked().as_bytes();
    let subject = match import.kind? {
        Kind::Stream => &exports.stream(asked)?.subject,
        Kind::Service => &exports.service(asked)?.subject,
    };
    let mut all = exporter.claims.body.exports.iter().flatten();
    all.find(|export| export.kind == import.kind && *export.subject.as_bytes() == **subject)
}

fn add_export(terms: &mut Terms, id: AccountId, export: &Export) -> Result<(), ImportError> {
    let subject = export.subject.as_bytes();
    if !is_valid_pattern(subject) || has_blank(subject) {
        return Err(ImportError::Subject);
    }
    let access = Access {
        by_token: export.token_req,
        token: usize::try_from(export.account_token_position).unwrap_or(usize::MAX),
        ..Access::default()
    };
    let exports = &mut terms.entry(id).exports;
    match export.kind {
        None => Ok(()),
        Some(Kind::Stream) => exports.add_stream(subject, access),
        Some(Kind::Service) => {
            let response = match &*export.response_type {
                "Stream" => ResponseType::Stream,
                "Chunked" => ResponseType::Chunked,
                _ => ResponseType::Singleton,
            };
            let nanos = u64::try_from(export.response_threshold).unwrap_or(0);
            exports.add_service(subject, access, response, Duration::from_nanos(nanos))
        }
    }
}

/// Requests to a service are measured.
fn measure(terms: &mut Terms, id: AccountId, export: &Export) -> Result<(), ImportError> {
    let Some(latency) = &export.service_latency else { return Ok(()) };
    // Zero asks for requests that say so.
    let sampling = match u8::try_from(latency.sampling) {
        Ok(percent @ 1..) => Sampling::Percent(percent),
        _ => Sampling::Headers,
    };
    let latency = Latency { sampling, subject: latency.results.as_bytes().into() };
    terms.entry(id).exports.measure(export.subject.as_bytes(), latency)
}

fn add_import(
    terms: &mut Terms,
    importer: (AccountId, bool),
    exporter: AccountId,
    import: &Import,
) -> Result<(), ImportError> {
    let (subject, to) = (import.asked().as_bytes(), import.to.as_bytes());
    let local = import.local_subject.as_bytes();
    match import.kind {
        None => Ok(()),
        Some(Kind::Stream) if local.is_empty() && !to.is_empty() => {
            terms.import_stream_behind_by(importer, exporter, subject, to)
        }
        Some(Kind::Stream) => terms.import_stream_by(importer, exporter, subject, local),
        Some(Kind::Service) => {
            let from = if local.is_empty() { import.subject.as_bytes() } else { local };
            let service = Service { from, to: subject, share: import.share };
            terms.import_service_by(importer, exporter, service)
        }
    }
}

/// The accounts from which these claims import.
pub(super) fn exporters(known: &Known) -> Vec<String> {
    known.claims.body.imports.iter().flatten().map(|import| import.account.clone()).collect()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "what tests read they wrote")]
mod tests;
