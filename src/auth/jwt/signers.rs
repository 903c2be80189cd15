//! Keys that sign for an account: any user, or only users of one role.

use std::collections::BTreeMap;

use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::issues::Issues;
use super::key::Role;
use super::limits::{UNLIMITED, UserLimits};

/// A role: what every user has whom its key signs.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Scope {
    /// Always `user_scope`.
    pub kind: String,
    /// Public key.
    pub key: String,
    /// Name of the role.
    pub role: String,
    /// Permissions and bounds. Subjects may have templates in them.
    pub template: UserLimits,
    /// For people.
    pub description: String,
}

/// Public keys; those with a scope sign only for users of that role.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SigningKeys(pub BTreeMap<String, Option<Box<Scope>>>);

const SCOPE: &str = "user_scope";

impl SigningKeys {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn validate(&self, issues: &mut Issues) {
        for (key, scope) in &self.0 {
            match scope {
                _ if Role::Account.has(key) => {}
                Some(_) => issues.error(format!("{key} is not an account public key")),
                None => issues.error(format!("{key:?} is not a valid account signing key")),
            }
        }
    }
}

impl Serialize for SigningKeys {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(Some(self.0.len()))?;
        for (key, scope) in &self.0 {
            match scope {
                Some(scope) => list.serialize_element(scope)?,
                None => list.serialize_element(key)?,
            }
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for SigningKeys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        let mut keys = BTreeMap::new();
        for entry in Vec::<Value>::deserialize(from)? {
            match entry {
                Value::String(key) => {
                    keys.insert(key, None);
                }
                Value::Object(mut fields) => {
                    if fields.get("kind").and_then(Value::as_str) != Some(SCOPE) {
                        return Err(D::Error::custom("unknown signing key scope"));
                    }
                    // What the template does not bound is unbounded.
                    if let Some(Value::Object(template)) = fields.get_mut("template") {
                        for bound in ["subs", "data", "payload"] {
                            template.entry(bound).or_insert_with(|| UNLIMITED.into());
                        }
                    } else if !fields.contains_key("template") {
                        let unlimited = serde_json::to_value(UserLimits::unlimited());
                        fields.insert("template".into(), unlimited.map_err(D::Error::custom)?);
                    }
                    let scope: Scope =
                        serde_json::from_value(Value::Object(fields)).map_err(D::Error::custom)?;
                    keys.insert(scope.key.clone(), Some(Box::new(scope)));
                }
                _ => return Err(D::Error::custom("a signing key is a text or a scope")),
            }
        }
        Ok(Self(keys))
    }
}
