//! Claims about an operator, signed by itself.

use serde::{Deserialize, Serialize};

use super::claims::{Body, Claims, Generic, is_false};
use super::issues::Issues;
use super::key::Role;

/// Claims about an operator.
pub type OperatorClaims = Claims<Operator>;

/// What is particular to an operator.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Operator {
    /// Other keys that sign for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signing_keys: Vec<String>,
    /// Where accounts are looked up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub account_server_url: String,
    /// Where its servers are reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub operator_service_urls: Vec<String>,
    /// Public key of the system account.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system_account: String,
    /// The oldest server that may serve it: three numbers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub assert_server_version: String,
    /// Its own key signs nothing but itself.
    #[serde(skip_serializing_if = "is_false")]
    pub strict_signing_key_usage: bool,
    /// Tags, kind, version.
    #[serde(flatten)]
    pub generic: Generic,
}

impl Body for Operator {
    const KIND: &'static str = "operator";
    const CALLED: &'static str = "operator";
    const ISSUERS: &'static [Role] = &[Role::Operator];

    fn generic(&mut self) -> &mut Generic {
        &mut self.generic
    }

    fn validate(&self, _: &OperatorClaims, issues: &mut Issues) {
        let url = &self.account_server_url;
        if !url.is_empty() && !url.contains(':') {
            issues.error(format!("account server url {url:?} requires a protocol"));
        }
        for key in self.signing_keys.iter().filter(|key| !Role::Operator.has(key)) {
            issues.error(format!("{key} is not an operator public key"));
        }
        if !self.system_account.is_empty() && !Role::Account.has(&self.system_account) {
            issues.error(format!("{} is not an account public key", self.system_account));
        }
        if let Err(why) = server_version(&self.assert_server_version) {
            issues.error(format!("assert server version error: {why}"));
        }
    }
}

impl OperatorClaims {
    /// Claims about `subject`.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        Self { subject: subject.to_owned(), issuer: subject.to_owned(), ..Self::default() }
    }

    /// The keys that sign accounts for it.
    pub fn trusted(&self) -> impl Iterator<Item = &str> {
        let own = (!self.body.strict_signing_key_usage).then_some(&*self.subject);
        own.into_iter().chain(self.body.signing_keys.iter().map(String::as_str))
    }
}

/// Three numbers with dots between; zeros if there is no text.
///
/// # Errors
/// Returns what is wrong with the text.
pub fn server_version(text: &str) -> Result<[u32; 3], String> {
    if text.is_empty() {
        return Ok([0; 3]);
    }
    let parts: Vec<&str> = text.split('.').take(4).collect();
    let [major, minor, update] = parts.as_slice() else {
        let form = "<major>.<minor>.<update>";
        return Err(format!("asserted server version must be of the form {form}"));
    };
    let number = |text: &str| {
        text.parse().map_err(|_| format!("asserted server version cant parse {text} to int"))
    };
    Ok([number(major)?, number(minor)?, number(update)?])
}
