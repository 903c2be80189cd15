//! Claims about an account, signed by an operator or a key of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::claims::{Body, Claims, Generic};
use super::issues::Issues;
use super::key::Role;
use super::limits::{AccountLimits, Permissions, UNLIMITED, check_subject};
use super::mapping::{self, Mappings};
use super::revoked::Revocations;
use super::sharing::{self, Export, Import, Info, has_wildcards};
use super::signers::SigningKeys;
use super::token::Fault;

/// Claims about an account.
pub type AccountClaims = Claims<Account>;

/// Most imports, and most exports: each is compared with all others.
pub const SHARED_MAX: usize = 4096;

/// What is particular to an account.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Account {
    /// What it takes from others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<Option<Import>>,
    /// What others may take.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Option<Export>>,
    /// What the operator lets it have.
    pub limits: AccountLimits,
    /// Other keys that sign users.
    #[serde(skip_serializing_if = "SigningKeys::is_empty")]
    pub signing_keys: SigningKeys,
    /// Users that were good once.
    #[serde(skip_serializing_if = "Revocations::is_empty")]
    pub revocations: Revocations,
    /// Permissions of users whose claims have none.
    pub default_permissions: Permissions,
    /// Subjects that stand for others.
    #[serde(skip_serializing_if = "Mappings::is_empty")]
    pub mappings: Mappings,
    /// Whether a service decides who may connect.
    pub authorization: ExternalAuthorization,
    /// Where messages are traced to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Trace>,
    /// Whose connections carry the traffic of replicas.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster_traffic: String,
    /// For people.
    #[serde(flatten)]
    pub info: Info,
    /// Tags, kind, version.
    #[serde(flatten)]
    pub generic: Generic,
}

/// A service of the account that decides who may connect.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct ExternalAuthorization {
    /// Users that it is not asked about: itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub auth_users: Vec<String>,
    /// Accounts that it may let somebody into; `*` for all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_accounts: Vec<String>,
    /// Public key to encrypt questions with.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub xkey: String,
}

impl ExternalAuthorization {
    /// Whether there is such a service.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.auth_users.is_empty()
    }

    fn validate(&self, issues: &mut Issues) {
        if !self.allowed_accounts.is_empty() && self.auth_users.is_empty() {
            issues.error("External authorization cannot have accounts without users specified");
        }
        for user in self.auth_users.iter().filter(|user| !Role::User.has(user)) {
            issues.error(format!("AuthUser {user:?} is not a valid user public key"));
        }
        for account in &self.allowed_accounts {
            if account == "*" && self.allowed_accounts.len() > 1 {
                issues.error("AllowedAccounts can only be a list of accounts or \"*\"");
            } else if account != "*" && !Role::Account.has(account) {
                issues.error(format!("Account {account:?} is not a valid account public key"));
            }
        }
        if !self.xkey.is_empty() && !Role::Curve.has(&self.xkey) {
            issues.error(format!("XKey {:?} is not a valid public xkey", self.xkey));
        }
    }
}

/// Where messages are traced to, and how many of them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Trace {
    /// A subject.
    #[serde(rename = "dest", skip_serializing_if = "String::is_empty")]
    pub destination: String,
    /// Percent; 0 is 100.
    pub sampling: i64,
}

impl Body for Account {
    const KIND: &'static str = "account";
    const CALLED: &'static str = "account";
    const ISSUERS: &'static [Role] = &[Role::Account, Role::Operator];

    fn generic(&mut self) -> &mut Generic {
        &mut self.generic
    }

    fn migrate(fields: &mut Map<String, Value>) {
        let known = ["imports", "exports", "limits", "signing_keys", "revocations"];
        fields.retain(|key, _| known.contains(&&**key));
        if let Some(Value::Object(limits)) = fields.get_mut("limits") {
            AccountLimits::migrate(limits);
        }
    }

    fn bounded(&self) -> Result<(), Fault> {
        for (what, len) in [("imports", self.imports.len()), ("exports", self.exports.len())] {
            if len > SHARED_MAX {
                return Err(Fault::TooMany(what, SHARED_MAX));
            }
        }
        Ok(())
    }

    fn validate(&self, claims: &AccountClaims, issues: &mut Issues) {
        sharing::validate_imports(&self.imports, &claims.subject, issues);
        sharing::validate_exports(&self.exports, issues);
        self.limits.validate(issues);
        self.default_permissions.validate(issues);
        mapping::validate(&self.mappings, issues);
        self.authorization.validate(issues);
        if let Some(trace) = &self.trace {
            trace.validate(issues);
        }
        self.check_counts(issues);
        self.signing_keys.validate(issues);
        self.info.validate(issues);
        if !["", "system", "owner"].contains(&&*self.cluster_traffic) {
            let option = &self.cluster_traffic;
            issues.error(format!("unknown cluster traffic option: {option:?}"));
        }
    }
}

impl Trace {
    fn validate(&self, issues: &mut Issues) {
        let Self { destination, sampling } = self;
        let mut found = Issues::default();
        check_subject(destination, &mut found);
        if let Some(first) = found.errors().first() {
            issues.error(format!("the account Trace.Destination {first}"));
        }
        if has_wildcards(destination) {
            issues.error(format!(
                "the account Trace.Destination subject {destination:?} is not a valid publish \
                 subject"
            ));
        }
        if !(0..=100).contains(sampling) {
            issues.error(format!(
                "the account Trace.Sampling value '{sampling}' is not valid, should be in the \
                 range [1..100]"
            ));
        }
    }
}

impl Account {
    /// Whether there is more than the operator allows.
    fn check_counts(&self, issues: &mut Issues) {
        let over = |count: usize, most: i64| {
            most != UNLIMITED && i64::try_from(count).is_ok_and(|count| count > most)
        };
        if over(self.imports.len(), self.limits.imports) {
            issues.error("the account contains more imports than allowed by the operator");
        }
        if self.limits.exports == UNLIMITED {
            return;
        }
        if over(self.exports.len(), self.limits.exports) {
            issues.error("the account contains more exports than allowed by the operator");
        }
        let mut exports = self.exports.iter().flatten();
        if !self.limits.wildcard_exports && exports.any(|export| has_wildcards(&export.subject)) {
            issues.error(
                "the account contains wildcard exports that are not allowed by the operator",
            );
        }
    }
}

impl AccountClaims {
    /// Claims about `subject`, which may have as much as wanted.
    #[must_use]
    pub fn new(subject: &str) -> Self {
        let body = Account { limits: AccountLimits::unlimited(), ..Account::default() };
        Self { subject: subject.to_owned(), body, ..Self::default() }
    }
}
