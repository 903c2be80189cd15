//! Claims that let an account import what is exported to chosen accounts only: the token of an
//! import.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claims::{Body, Claims, Generic};
use super::issues::Issues;
use super::key::Role;
use super::limits::check_subject;
use super::sharing::Kind;

/// Claims about an import.
pub type ActivationClaims = Claims<Activation>;

/// What is particular to an import's token.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Activation {
    /// What may be imported.
    #[serde(rename = "subject", skip_serializing_if = "String::is_empty")]
    pub import_subject: String,
    /// A stream or a service.
    #[serde(rename = "kind", skip_serializing_if = "Option::is_none")]
    pub import_kind: Option<Kind>,
    /// The exporting account, if it was a signing key of it that signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// Tags, kind, version.
    #[serde(flatten)]
    pub generic: Generic,
}

impl Body for Activation {
    const KIND: &'static str = "activation";
    const CALLED: &'static str = "activation";
    const ISSUERS: &'static [Role] = &[Role::Account, Role::Operator];

    fn generic(&mut self) -> &mut Generic {
        &mut self.generic
    }

    fn migrate(fields: &mut Map<String, Value>) {
        if let Some(kind) = fields.remove("type") {
            fields.insert("kind".to_owned(), kind);
        }
    }

    fn validate(&self, _: &ActivationClaims, issues: &mut Issues) {
        if self.import_kind.is_none() {
            issues.error("invalid import type: \"unknown\"");
        }
        check_subject(&self.import_subject, issues);
        if !self.issuer_account.is_empty() && !Role::Account.has(&self.issuer_account) {
            issues.error("account_id is not an account public key");
        }
    }
}
