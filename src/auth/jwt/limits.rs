//! What a user or an account may have of things, and which subjects.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::claims::{is_false, is_zero};
use super::issues::Issues;
use super::schedule::{self, TimeRange};
use super::source::Network;

/// As much as wanted.
pub const UNLIMITED: i64 = -1;

/// Which subjects.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Permission {
    /// Only these; all if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// These never.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// Whether and how long replies may go to the sender of a message, whatever else is allowed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Responses {
    /// How many; negative for as many as wanted.
    #[serde(rename = "max")]
    pub count_max: i64,
    /// Nanoseconds; negative for ever.
    #[serde(rename = "ttl")]
    pub expires: i64,
}

/// Permissions, bounds and conditions of a user.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct UserLimits {
    /// To publish.
    #[serde(rename = "pub")]
    pub publish: Permission,
    /// To subscribe.
    #[serde(rename = "sub")]
    pub subscribe: Permission,
    /// To respond.
    #[serde(rename = "resp", skip_serializing_if = "Option::is_none")]
    pub responses: Option<Responses>,
    /// From where, as CIDR.
    #[serde(deserialize_with = "networks", skip_serializing_if = "Vec::is_empty")]
    pub src: Vec<String>,
    /// At what times of the day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRange>,
    /// In which time zone.
    #[serde(rename = "times_location", skip_serializing_if = "String::is_empty")]
    pub locale: String,
    /// Most subscriptions.
    #[serde(skip_serializing_if = "is_zero")]
    pub subs: i64,
    /// Most bytes. Nobody has ever enforced it.
    #[serde(skip_serializing_if = "is_zero")]
    pub data: i64,
    /// Most bytes in a message.
    #[serde(skip_serializing_if = "is_zero")]
    pub payload: i64,
    /// The claims alone are enough: no signature of the nonce.
    #[serde(rename = "bearer_token", skip_serializing_if = "is_false")]
    pub bearer: bool,
    /// Only through a trusted proxy.
    #[serde(skip_serializing_if = "is_false")]
    pub proxy_required: bool,
    /// Only by these kinds of connections; by all if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_connection_types: Vec<String>,
}

/// The permissions that users without any have.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as those of a user")]
pub struct Permissions {
    #[serde(rename = "pub")]
    pub publish: Permission,
    #[serde(rename = "sub")]
    pub subscribe: Permission,
    #[serde(rename = "resp", skip_serializing_if = "Option::is_none")]
    pub responses: Option<Responses>,
}

impl Permissions {
    pub(super) fn validate(&self, issues: &mut Issues) {
        self.subscribe.validate(true, issues);
        self.publish.validate(false, issues);
    }
}

impl UserLimits {
    /// As much as wanted of everything.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { subs: UNLIMITED, data: UNLIMITED, payload: UNLIMITED, ..Self::default() }
    }

    /// The permissions alone.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        Permissions {
            publish: self.publish.clone(),
            subscribe: self.subscribe.clone(),
            responses: self.responses.clone(),
        }
    }

    pub(super) fn validate(&self, issues: &mut Issues) {
        self.permissions().validate(issues);
        for network in &self.src {
            if Network::parse(network).is_none() {
                issues.error(format!("invalid cidr {network:?} in user src limits"));
            }
        }
        for range in &self.times {
            range.validate(issues);
        }
        if !self.locale.is_empty() && schedule::zone(&self.locale).is_none() {
            issues.error(format!(
                "could not parse iana time zone by name: unknown time zone {}",
                self.locale
            ));
        }
    }
}

impl Permission {
    fn validate(&self, with_queue: bool, issues: &mut Issues) {
        for subject in self.allow.iter().chain(&self.deny) {
            let words: Vec<&str> = subject.split(' ').take(3).collect();
            match words.as_slice() {
                [_, _, _] => {
                    issues.error(format!("Permission Subject {subject:?} contains too many spaces"))
                }
                [_, _] if !with_queue => issues.error(format!(
                    "Permission Subject {subject:?} is not allowed to contain queue"
                )),
                words => words.iter().for_each(|word| check_subject(word, issues)),
            }
        }
    }
}

/// Finds what is wrong with a subject in claims.
pub(super) fn check_subject(subject: &str, issues: &mut Issues) {
    if subject.is_empty() {
        issues.error("subject cannot be empty");
        return;
    }
    if subject.contains(' ') {
        issues.error(format!("subject {subject:?} cannot have spaces"));
    }
    if subject.starts_with('.') || subject.ends_with('.') {
        issues.error(format!("subject {subject:?} cannot start or end with a `.`"));
    }
    if subject.contains("..") {
        issues.error(format!("subject {subject:?} cannot contain consecutive `.`"));
    }
}

/// A list, or one text with commas.
fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    let mut networks: Vec<String> = Vec::new();
    match Form::deserialize(from)? {
        Form::List(list) => networks = list,
        Form::Text(text) => {
            let all = text.split(',').map(|one| one.trim().to_ascii_lowercase());
            networks.extend(all.filter(|one| !one.is_empty()));
        }
    }
    Ok(networks)
}

/// What an operator lets an account have. Absent means zero.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AccountLimits {
    /// Most subscriptions.
    #[serde(skip_serializing_if = "is_zero")]
    pub subs: i64,
    /// Most bytes. Nobody has ever enforced it.
    #[serde(skip_serializing_if = "is_zero")]
    pub data: i64,
    /// Most bytes in a message.
    #[serde(skip_serializing_if = "is_zero")]
    pub payload: i64,
    /// Most imports.
    #[serde(skip_serializing_if = "is_zero")]
    pub imports: i64,
    /// Most exports.
    #[serde(skip_serializing_if = "is_zero")]
    pub exports: i64,
    /// Exports may have wildcards.
    #[serde(rename = "wildcards", skip_serializing_if = "is_false")]
    pub wildcard_exports: bool,
    /// No user without a signature.
    #[serde(skip_serializing_if = "is_false")]
    pub disallow_bearer: bool,
    /// Most connections.
    #[serde(rename = "conn", skip_serializing_if = "is_zero")]
    pub connections: i64,
    /// Most connections of leaf nodes.
    #[serde(rename = "leaf", skip_serializing_if = "is_zero")]
    pub leaf_connections: i64,
    /// Streams and consumers.
    #[serde(flatten)]
    pub jetstream: JetStreamLimits,
    /// The same by number of replicas.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tiered_limits: BTreeMap<String, JetStreamLimits>,
}

/// What an account may have of streams. Absent means zero.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "JetStream says what they are")]
pub struct JetStreamLimits {
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_storage: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub disk_storage: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub streams: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub consumer: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_ack_pending: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub mem_max_stream_bytes: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub disk_max_stream_bytes: i64,
    #[serde(skip_serializing_if = "is_false")]
    pub max_bytes_required: bool,
}

impl AccountLimits {
    /// As much as wanted of everything but streams.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            subs: UNLIMITED,
            data: UNLIMITED,
            payload: UNLIMITED,
            imports: UNLIMITED,
            exports: UNLIMITED,
            wildcard_exports: true,
            connections: UNLIMITED,
            leaf_connections: UNLIMITED,
            ..Self::default()
        }
    }

    /// Whether the account is to have streams.
    #[must_use]
    pub fn has_jetstream(&self) -> bool {
        let some = |it: &JetStreamLimits| it.mem_storage != 0 || it.disk_storage != 0;
        if self.tiered_limits.is_empty() {
            some(&self.jetstream)
        } else {
            self.tiered_limits.values().any(some)
        }
    }

    pub(super) fn validate(&self, issues: &mut Issues) {
        if self.tiered_limits.contains_key("") {
            issues.error("Tiered JetStream Limits can not contain a blank \"\" tier name");
        }
    }

    /// Version 1 knew no streams, and nothing about bearers.
    pub(super) fn migrate(fields: &mut Map<String, Value>) {
        let known = ["subs", "data", "payload", "imports", "exports", "wildcards", "conn", "leaf"];
        fields.retain(|key, _| known.contains(&&**key) || key == "disallow_bearer");
    }
}
