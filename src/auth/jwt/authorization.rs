//! What a server asks a service that decides who may connect, and what that answers.

use serde::{Deserialize, Serialize};

use super::claims::{Body, Claims, Generic};
use super::issues::Issues;
use super::key::Role;

/// A question, signed by a server.
pub type AuthorizationRequestClaims = Claims<AuthorizationRequest>;

/// An answer, signed by an account.
pub type AuthorizationResponseClaims = Claims<AuthorizationResponse>;

/// The server that asks.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in INFO")]
pub struct ServerId {
    pub name: String,
    pub host: String,
    pub id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Public key to encrypt the answer with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

/// The client that wants in.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in /connz")]
pub struct ClientInformation {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub host: String,
    #[serde(skip_serializing_if = "is_none")]
    pub id: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_tag: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub client_type: String,
    #[serde(rename = "mqtt_id", skip_serializing_if = "String::is_empty")]
    pub mqtt: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nonce: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_none(number: &u64) -> bool {
    *number == 0
}

/// What it offered. Secrets are in it: there is no `Debug`.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "as in CONNECT")]
pub struct Offered {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub nkey: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sig: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub auth_token: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pass: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub lang: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    pub protocol: i64,
}

impl std::fmt::Debug for Offered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offered").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Its TLS.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[expect(missing_docs, reason = "certificates are PEM")]
pub struct ClientTls {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cipher: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub certs: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub verified_chains: Vec<Vec<String>>,
}

/// What is particular to a question.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AuthorizationRequest {
    /// Who asks.
    pub server_id: ServerId,
    /// The public key that the answer is to be about.
    pub user_nkey: String,
    /// Who wants in.
    pub client_info: ClientInformation,
    /// What it offered.
    pub connect_opts: Offered,
    /// How it is connected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_tls: Option<ClientTls>,
    /// To be repeated by a service of old.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub request_nonce: String,
    /// Tags, kind, version.
    #[serde(flatten)]
    pub generic: Generic,
}

impl Body for AuthorizationRequest {
    const KIND: &'static str = "authorization_request";
    const CALLED: &'static str = "an authorization request";
    const ISSUERS: &'static [Role] = &[Role::Server];

    fn generic(&mut self) -> &mut Generic {
        &mut self.generic
    }

    fn validate(&self, _: &AuthorizationRequestClaims, issues: &mut Issues) {
        if self.user_nkey.is_empty() {
            issues.error("User nkey is required");
        } else if !Role::User.has(&self.user_nkey) {
            issues.error(format!("User nkey {:?} is not a valid user public key", self.user_nkey));
        }
    }
}

/// What is particular to an answer. The claims are about the user key of the question, for the
/// server that asked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AuthorizationResponse {
    /// Claims about the user.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub jwt: String,
    /// Why there are none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The account, if it was a signing key of it that signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// Tags, kind, version.
    #[serde(flatten)]
    pub generic: Generic,
}

impl Body for AuthorizationResponse {
    const KIND: &'static str = "authorization_response";
    const CALLED: &'static str = "an authorization request";
    const ISSUERS: &'static [Role] = &[Role::Account];

    fn generic(&mut self) -> &mut Generic {
        &mut self.generic
    }

    fn validate(&self, claims: &AuthorizationResponseClaims, issues: &mut Issues) {
        if !Role::User.has(&claims.subject) {
            issues.error("Subject must be a user public key");
        }
        if !Role::Server.has(&claims.audience) {
            issues.error("Audience must be a server public key");
        }
        match (self.error.is_empty(), self.jwt.is_empty()) {
            (true, true) => issues.error("Error or Jwt is required"),
            (false, false) => issues.error("Only Error or Jwt can be set"),
            _ => {}
        }
        if !self.issuer_account.is_empty() && !Role::Account.has(&self.issuer_account) {
            issues.error("issuer_account is not an account public key");
        }
    }
}
