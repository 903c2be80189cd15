//! What all claims have in common, and the way from text to claims of a kind and back.

use std::time::{SystemTime, UNIX_EPOCH};

use data_encoding::BASE32_NOPAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha512_256};

use super::issues::Issues;
use super::key::{KeyPair, Role};
use super::token::{self, Fault, Opened, VERSION};

/// Claims with what is particular to their kind.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Claims<B> {
    /// For whom they are.
    #[serde(rename = "aud", skip_serializing_if = "String::is_empty")]
    pub audience: String,
    /// Until when they hold, in seconds since 1970; 0 for ever.
    #[serde(rename = "exp", skip_serializing_if = "is_zero")]
    pub expires: i64,
    /// A name for them that nobody else gave.
    #[serde(rename = "jti", skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// When they were signed.
    #[serde(rename = "iat", skip_serializing_if = "is_zero")]
    pub issued: i64,
    /// Public key of who signed them.
    #[serde(rename = "iss", skip_serializing_if = "String::is_empty")]
    pub issuer: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// From when they hold; 0 for always.
    #[serde(rename = "nbf", skip_serializing_if = "is_zero")]
    pub not_before: i64,
    /// Public key of whom they are about.
    #[serde(rename = "sub", skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The rest.
    #[serde(rename = "nats")]
    pub body: B,
}

/// What kind of claims it is, and what to call it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Generic {
    /// Lower case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// `user`, `account`, …
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Of the format.
    #[serde(skip_serializing_if = "is_zero")]
    pub version: i64,
}

/// What is particular to one kind of claims.
pub trait Body: Default + DeserializeOwned + Serialize {
    /// What `type` says.
    const KIND: &'static str;
    /// What it is called in "not … claim".
    const CALLED: &'static str;
    /// Who signs such claims.
    const ISSUERS: &'static [Role];

    /// What kind they are, and their tags.
    fn generic(&mut self) -> &mut Generic;

    /// Brings the claims of NATS in version 1 to the form of version 2. Tags and type were at the
    /// top, and are already moved.
    fn migrate(_fields: &mut Map<String, Value>) {}

    /// Refuses what would take too long to look at.
    ///
    /// # Errors
    /// Returns which list is too long.
    fn bounded(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Finds what is wrong with the claims about `subject`, times apart.
    fn validate(&self, _claims: &Claims<Self>, _issues: &mut Issues) {}
}

impl<B: Body> Claims<B> {
    /// Reads claims of this kind, whose signature is that of the issuer that they name.
    ///
    /// # Errors
    /// Returns why they cannot be believed.
    pub fn decode(text: &str) -> Result<Self, Fault> {
        Self::of(token::open(text)?)
    }

    /// The claims of a token that was opened.
    ///
    /// # Errors
    /// Returns why they are none of this kind.
    pub fn of(opened: Opened) -> Result<Self, Fault> {
        let Opened { kind, version, issuer, claims: mut fields } = opened;
        match &*kind {
            "cluster" => return Err(Fault::Unsupported("ClusterClaims".to_owned())),
            "server" => return Err(Fault::Unsupported("ServerClaims".to_owned())),
            _ if kind != B::KIND => return Err(Fault::Kind(B::CALLED)),
            _ if !(1..=VERSION).contains(&version) => return Err(Fault::Version(version)),
            _ => {}
        }
        if version == 1 {
            migrate::<B>(&mut fields);
        }
        let claims: Self = serde_json::from_value(Value::Object(fields))?;
        if !B::ISSUERS.contains(&issuer.role) {
            return Err(Fault::Issuer);
        }
        claims.body.bounded()?;
        Ok(claims)
    }

    /// Signs them, as issued at `now`.
    pub fn sign_at(&mut self, key: &KeyPair, now: i64) -> String {
        self.issuer = key.public();
        self.issued = now;
        self.id.clear();
        B::KIND.clone_into(&mut self.body.generic().kind);
        self.body.generic().version = VERSION;
        let json = |claims: &Self| serde_json::to_vec(claims).unwrap_or_default();
        self.id = BASE32_NOPAD.encode(&Sha512_256::digest(json(self)));
        token::seal(&json(self), key)
    }

    /// Signs them.
    pub fn sign(&mut self, key: &KeyPair) -> String {
        self.sign_at(key, now())
    }

    /// Finds what is wrong with them at `now`.
    #[must_use]
    pub fn issues(&self, now: i64) -> Issues {
        let mut issues = Issues::default();
        self.check_times(now, &mut issues);
        self.body.validate(self, &mut issues);
        issues
    }

    /// Whether they hold at `now`. The last second counts.
    pub(super) fn check_times(&self, now: i64, issues: &mut Issues) {
        if self.expires > 0 && now > self.expires {
            issues.time("claim is expired");
        }
        if self.not_before > 0 && self.not_before > now {
            issues.time("claim is not yet valid");
        }
    }
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn migrate<B: Body>(fields: &mut Map<String, Value>) {
    let moved: Vec<(&str, Value)> = ["type", "tags", "issuer_account"]
        .into_iter()
        .filter_map(|key| Some((key, fields.remove(key)?)))
        .collect();
    let body = fields.entry("nats").or_insert_with(|| Value::Object(Map::new()));
    let Value::Object(body) = body else { return };
    B::migrate(body);
    for (key, value) in moved {
        body.insert(key.to_owned(), value);
    }
    body.insert("version".to_owned(), 1.into());
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) const fn is_zero(number: &i64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
pub(super) const fn is_false(yes: &bool) -> bool {
    !*yes
}
