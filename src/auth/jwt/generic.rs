//! Claims of any kind, read only as far as all claims are alike.

use serde_json::{Map, Value};

use super::token::{self, Fault};

/// Claims of any kind.
#[derive(Clone, Debug)]
pub struct GenericClaims {
    /// Public key of who signed them.
    pub issuer: String,
    /// Public key of whom they are about.
    pub subject: String,
    /// The claims of NATS.
    pub data: Map<String, Value>,
}

impl GenericClaims {
    /// Reads claims of any kind, whose signature is that of the issuer that they name.
    ///
    /// # Errors
    /// Returns why they cannot be believed.
    pub fn decode(text: &str) -> Result<Self, Fault> {
        let mut claims = token::open(text)?.claims;
        let mut text = |key: &str| match claims.remove(key) {
            Some(Value::String(text)) => text,
            _ => String::new(),
        };
        let (issuer, subject) = (text("iss"), text("sub"));
        let data = match claims.remove("nats") {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        };
        Ok(Self { issuer, subject, data })
    }
}
