//! Claims about a user, signed by an account or a key of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claims::{Body, Claims, Generic};
use super::issues::Issues;
use super::key::Role;
use super::limits::{UNLIMITED, UserLimits};

/// Claims about a user.
pub type UserClaims = Claims<User>;

/// What is particular to a user.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct User {
    /// Permissions, bounds and conditions. Empty if a role has them.
    #[serde(flatten)]
    pub limits: UserLimits,
    /// The account, if it was a signing key of it that signed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub issuer_account: String,
    /// Tags, kind, version.
    #[serde(flatten)]
    pub generic: Generic,
}

impl Body for User {
    const KIND: &'static str = "user";
    const CALLED: &'static str = "user";
    const ISSUERS: &'static [Role] = &[Role::Account];

    fn generic(&mut self) -> &mut Generic {
        &mut self.generic
    }

    fn migrate(fields: &mut Map<String, Value>) {
        for bound in ["subs", "data", "payload"] {
            fields.entry(bound).or_insert_with(|| UNLIMITED.into());
        }
        fields.retain(|key, _| !["allowed_connection_types", "proxy_required"].contains(&&**key));
    }

    fn validate(&self, _: &UserClaims, issues: &mut Issues) {
        self.limits.validate(issues);
        if !self.issuer_account.is_empty() && !Role::Account.has(&self.issuer_account) {
            issues.error("account_id is not an account public key");
        }
    }
}

impl UserClaims {
    /// Claims about `subject`, who may have as much as wanted.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        let body = User { limits: UserLimits::unlimited(), ..User::default() };
        Self { subject: subject.to_owned(), body, ..Self::default() }
    }

    /// The public key of the user's account.
    #[must_use]
    pub fn account(&self) -> &str {
        if self.body.issuer_account.is_empty() { &self.issuer } else { &self.body.issuer_account }
    }

    /// Whether nothing is said about permissions and bounds, as a role demands it.
    #[must_use]
    pub fn has_no_limits(&self) -> bool {
        self.body.limits == UserLimits::default()
    }
}
