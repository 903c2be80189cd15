//! What an account shares with others, and what it takes from them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::activation::ActivationClaims;
use super::claims::{is_false, is_zero};
use super::issues::Issues;
use super::limits::check_subject;
use super::revoked::Revocations;

/// What is shared.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Messages that come from the exporter.
    Stream,
    /// Requests that go to it.
    Service,
}

impl Kind {
    /// As claims write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service => "service",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn shown(kind: Option<Kind>) -> String {
    kind.map_or_else(|| "unknown".to_owned(), |kind| kind.to_string())
}

/// Something taken from another account.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Import {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// As the first publisher sees it: the exporter of a stream, the importer of a service.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Public key of the exporter.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// Claims that allow it, if the export demands them.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub token: String,
    /// The old way to give another subject.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// What it is called in this account, `$1` for the first wildcard of `subject`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub local_subject: String,
    /// Stream or service.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Tell the exporter who asks.
    #[serde(skip_serializing_if = "is_false")]
    pub share: bool,
    /// Messages can be traced into the other account.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_trace: bool,
}

/// Something that others may take.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Export {
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Perhaps with wildcards.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// Stream or service.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Only with a token.
    #[serde(skip_serializing_if = "is_false")]
    pub token_req: bool,
    /// Tokens that do not count any more, by importing account.
    #[serde(skip_serializing_if = "Revocations::is_empty")]
    pub revocations: Revocations,
    /// `Singleton`, `Stream` or `Chunked`; none is `Singleton`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub response_type: String,
    /// How long a service may take, in nanoseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub response_threshold: i64,
    /// Measure the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_latency: Option<Latency>,
    /// Token of the subject, from 1, that has to be the key of the importing account.
    #[serde(skip_serializing_if = "is_none")]
    pub account_token_position: u32,
    /// Tell everybody.
    #[serde(skip_serializing_if = "is_false")]
    pub advertise: bool,
    /// Messages can be traced into this account.
    #[serde(skip_serializing_if = "is_false")]
    pub allow_trace: bool,
    /// For people.
    #[serde(flatten)]
    pub info: Info,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_none(number: &u32) -> bool {
    *number == 0
}

/// How often a service is measured, and who is told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Latency {
    /// Percent; 0 for requests that ask for it by header.
    #[serde(default, deserialize_with = "sampling", serialize_with = "write_sampling")]
    pub sampling: i64,
    /// Subject of the figures.
    #[serde(default)]
    pub results: String,
}

fn sampling<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    use serde::de::Error as _;
    match Value::deserialize(from)? {
        Value::String(text) if text.eq_ignore_ascii_case("headers") => Ok(0),
        Value::Number(number) => {
            number.as_i64().ok_or_else(|| D::Error::custom("sampling is no integer"))
        }
        _ => Err(D::Error::custom("sampling is a number or \"headers\"")),
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn write_sampling<S: Serializer>(sampling: &i64, to: S) -> Result<S::Ok, S::Error> {
    if *sampling == 0 { to.serialize_str("headers") } else { to.serialize_i64(*sampling) }
}

/// A text and an address for people.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the type says it")]
pub struct Info {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub info_url: String,
}

/// Longest text for people.
const INFO_LEN_MAX: usize = 8 * 1024;

impl Info {
    pub(super) fn validate(&self, issues: &mut Issues) {
        if self.description.len() > INFO_LEN_MAX {
            issues.error("Description is too long");
        }
        if self.info_url.len() > INFO_LEN_MAX {
            issues.error("Info URL is too long");
        }
        let is_url = |url: &str| {
            url.split_once("://").is_some_and(|(scheme, rest)| {
                let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
                !scheme.is_empty() && !host.is_empty()
            })
        };
        if !self.info_url.is_empty() && !is_url(&self.info_url) {
            issues.error("error parsing info url: no hostname or scheme");
        }
    }
}

/// Whether every subject that matches `inner` matches `outer` too.
pub(super) fn is_contained(inner: &str, outer: &str) -> bool {
    let mut own = inner.split('.');
    let mut others = outer.split('.').peekable();
    while let Some(other) = others.next() {
        let Some(token) = own.next() else { return false };
        if other == ">" && others.peek().is_none() {
            return true;
        }
        if other != token && other != "*" {
            return false;
        }
    }
    own.next().is_none()
}

/// Whether some of its tokens are wildcards.
pub(super) fn has_wildcards(subject: &str) -> bool {
    subject.split('.').any(|token| token == "*") || subject == ">" || subject.ends_with(".>")
}

/// A number behind a dollar.
fn reference(token: &str) -> Option<usize> {
    token.strip_prefix('$')?.parse().ok()
}

/// Finds what is wrong with another name for `from`.
fn check_renaming(name: &str, from: &str, issues: &mut Issues) {
    check_subject(name, issues);
    let open = |subject: &str| subject == ">" || subject.ends_with(".>");
    if open(name) != open(from) {
        issues.error("both, renaming subject and subject, need to end or not end in >");
    }
    let wildcards = from.split('.').filter(|token| *token == "*").count();
    let mut references = 0;
    for token in name.split('.') {
        match reference(token) {
            Some(index) if index > wildcards => issues.error(format!(
                "Reference ${index} in {name:?} reference * in {from:?} that do not exist"
            )),
            Some(_) => references += 1,
            None if token == "*" => references += 1,
            None => {}
        }
    }
    if references != wildcards {
        issues.error("subject does not contain enough * or reference wildcards $[0-9]");
    }
}

impl Import {
    /// The subject as the exporting account knows it: what a token has to name, and what is taken.
    #[must_use]
    pub fn asked(&self) -> &str {
        let is_old_way = self.local_subject.is_empty() && !self.to.is_empty();
        if is_old_way && self.kind == Some(Kind::Service) { &self.to } else { &self.subject }
    }

    /// The subject that publishers or subscribers of this account use.
    fn local(&self) -> String {
        if !self.to.is_empty() {
            return self.to.clone();
        }
        if self.local_subject.is_empty() {
            return self.subject.clone();
        }
        let tokens = self.local_subject.split('.');
        let plain: Vec<&str> =
            tokens.map(|token| if reference(token).is_some() { "*" } else { token }).collect();
        plain.join(".")
    }

    /// Finds what is wrong with it as an import of the account with the public key `own`.
    fn validate(&self, own: &str, issues: &mut Issues) {
        let subject = &self.subject;
        let is_service = self.kind == Some(Kind::Service);
        if self.kind.is_none() {
            issues.error("invalid import type: \"unknown\"");
        }
        if is_service && self.allow_trace {
            issues.error("AllowTrace only valid for stream import");
        }
        if self.account.is_empty() {
            issues.error("account to import from is not specified");
        }
        check_subject(subject, issues);
        if !self.local_subject.is_empty() {
            check_renaming(&self.local_subject, subject, issues);
            if !self.to.is_empty() {
                issues.error("Local Subject replaces To");
            }
        }
        if self.share && !is_service {
            issues.error(format!(
                "sharing information (for latency tracking) is only valid for services: {subject:?}"
            ));
        }
        if self.token.is_empty() {
            return;
        }
        match ActivationClaims::decode(&self.token) {
            Ok(token) => self.check_token(&token, own, issues),
            Err(_) => {
                issues.error(format!("import {subject:?} contains an invalid activation token"));
            }
        }
    }

    fn check_token(&self, token: &ActivationClaims, own: &str, issues: &mut Issues) {
        let subject = &self.subject;
        if token.issuer != self.account && token.body.issuer_account != self.account {
            issues.error(format!("activation token doesn't match account for import {subject:?}"));
        }
        if token.subject != own {
            issues.error(format!(
                "activation token doesn't match account it is being included in, {subject:?}"
            ));
        }
        let allowed = token.body.import_kind;
        if allowed != self.kind {
            issues.error(format!(
                "mismatch between token import type {} and type of import {}",
                shown(allowed),
                shown(self.kind)
            ));
        }
        // When it holds matters when it is used.
        use super::claims::Body as _;
        token.body.validate(token, issues);
        if !is_contained(self.asked(), &token.body.import_subject) {
            issues.error(format!(
                "activation token import subject {:?} doesn't match import {subject:?}",
                token.body.import_subject
            ));
        }
    }
}

impl Export {
    fn validate(&self, issues: &mut Issues) {
        let is_service = self.kind == Some(Kind::Service);
        let response = self.response_type.as_str();
        match self.kind {
            None => issues.error("invalid export type: \"unknown\""),
            Some(Kind::Service) if !["", "Singleton", "Stream", "Chunked"].contains(&response) => {
                issues.error(format!("invalid response type for service: {response:?}"));
            }
            Some(Kind::Stream) if !response.is_empty() => {
                issues.error(format!("invalid response type for stream: {response:?}"));
            }
            Some(_) => {}
        }
        if self.kind == Some(Kind::Stream) && self.allow_trace {
            issues.error("AllowTrace only valid for service export");
        }
        if let Some(latency) = &self.service_latency {
            if !is_service {
                issues.error("latency tracking only permitted for services");
            }
            if !(0..=100).contains(&latency.sampling) {
                issues.error("sampling percentage needs to be between 1-100");
            }
            check_subject(&latency.results, issues);
            if has_wildcards(&latency.results) {
                issues.error("results subject can not contain wildcards");
            }
        }
        if self.response_threshold < 0 {
            issues.error("negative response threshold is invalid");
        }
        if self.response_threshold > 0 && !is_service {
            issues.error("response threshold only valid for services");
        }
        check_subject(&self.subject, issues);
        self.check_position(issues);
        self.info.validate(issues);
    }

    fn check_position(&self, issues: &mut Issues) {
        let (position, subject) = (self.account_token_position, &self.subject);
        let Some(index) = position.checked_sub(1) else { return };
        if !has_wildcards(subject) {
            issues.error(format!(
                "Account Token Position can only be used with wildcard subjects: {subject}"
            ));
            return;
        }
        match subject.split('.').nth(index as usize) {
            None => issues.error(format!(
                "Account Token Position {position} exceeds length of subject '{subject}'"
            )),
            Some("*") => {}
            Some(token) => issues.error(format!(
                "Account Token Position {position} matches '{token}' but must match a * in: \
                 {subject}"
            )),
        }
    }
}

/// Finds what is wrong with all imports of the account with the public key `own`.
pub(super) fn validate_imports(imports: &[Option<Import>], own: &str, issues: &mut Issues) {
    let mut services: Vec<(&str, String)> = Vec::new();
    for import in imports {
        let Some(import) = import else {
            issues.error("null import is not allowed");
            continue;
        };
        if import.kind == Some(Kind::Service) {
            let (account, local) = (import.account.as_str(), import.local());
            for (_, other) in services.iter().filter(|(exporter, _)| *exporter == account) {
                if is_contained(&local, other) || is_contained(other, &local) {
                    issues.error(format!(
                        "overlapping subject namespace for {local:?} and {other:?} in same \
                         account {account:?}"
                    ));
                }
            }
            services.push((account, local));
        }
        import.validate(own, issues);
    }
}

/// Finds what is wrong with all exports.
pub(super) fn validate_exports(exports: &[Option<Export>], issues: &mut Issues) {
    let (mut services, mut streams) = (Vec::new(), Vec::new());
    for export in exports {
        let Some(export) = export else {
            issues.error("null export is not allowed");
            continue;
        };
        let is_service = export.kind == Some(Kind::Service);
        (if is_service { &mut services } else { &mut streams }).push(export.subject.as_str());
        export.validate(issues);
    }
    for (kind, subjects) in [(Kind::Service, services), (Kind::Stream, streams)] {
        for (place, inner) in subjects.iter().enumerate() {
            let others = subjects.iter().enumerate().filter(|(other, _)| *other != place);
            for (_, outer) in others.filter(|(_, outer)| is_contained(inner, outer)) {
                issues.error(format!("{kind} export subject {outer:?} already exports {inner:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_may_contain_another() {
        for (inner, outer, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a.*", true),
            ("a.b", ">", true),
            ("a.b.c", "a.>", true),
            ("a", "a.>", false),
            ("a.*", "a.b", false),
            ("a.b", "a", false),
            ("a", "a.b", false),
            // Not so, but the reference says it is.
            ("a.>", "a.*", true),
        ] {
            assert_eq!(is_contained(inner, outer), expected, "{inner} {outer}");
        }
    }

    #[test]
    fn imports_may_have_another_name() {
        for (name, from, good) in [
            ("mine", "theirs", true),
            ("mine.*", "theirs.*", true),
            ("mine.$1", "theirs.*", true),
            ("mine.$2.$1", "a.*.*", true),
            ("mine.$2", "theirs.*", false),
            ("mine", "theirs.*", false),
            ("mine.>", "theirs.>", true),
            ("mine", "theirs.>", false),
            ("", "theirs", false),
        ] {
            let mut issues = Issues::default();
            check_renaming(name, from, &mut issues);
            assert_eq!(!issues.block(), good, "{name} {from} {issues}");
        }
    }

    #[test]
    fn exports_must_not_overlap() {
        let export = |kind, subject: &str| {
            Some(Export { kind: Some(kind), subject: subject.into(), ..Export::default() })
        };
        let found = |exports: &[Option<Export>]| {
            let mut issues = Issues::default();
            validate_exports(exports, &mut issues);
            issues.errors().to_vec()
        };
        assert!(found(&[export(Kind::Stream, "a.*"), export(Kind::Service, "a.b")]).is_empty());
        let texts = found(&[export(Kind::Stream, "a.*"), export(Kind::Stream, "a.b")]);
        assert_eq!(texts, ["stream export subject \"a.*\" already exports \"a.b\""]);
        assert_eq!(found(&[None]), ["null export is not allowed"]);
    }

    #[test]
    fn latency_may_be_asked_for_by_header() {
        let read = |json: &str| serde_json::from_str::<Latency>(json);
        assert_eq!(read(r#"{"sampling":"Headers","results":"a"}"#).unwrap().sampling, 0);
        assert_eq!(read(r#"{"sampling":30,"results":"a"}"#).unwrap().sampling, 30);
        assert!(read(r#"{"sampling":[],"results":"a"}"#).is_err());
    }
}
