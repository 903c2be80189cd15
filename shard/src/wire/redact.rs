//! The JSON of CONNECT as a log may show it.

#![deny(clippy::indexing_slicing)]

use serde_json::Value;

/// Keys whose values nobody may read.
const SECRETS: [&str; 6] = ["pass", "auth_token", "jwt", "sig", "proxy_sig", "nkey"];

/// The text of `json` with its secrets blacked out. What is no JSON object is not shown at all.
#[must_use]
pub fn redacted(json: &[u8]) -> String {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(json) else {
        return format!("({} bytes that are no JSON object)", json.len());
    };
    for (key, value) in &mut fields {
        if SECRETS.iter().any(|secret| key.eq_ignore_ascii_case(secret)) {
            *value = Value::from("[REDACTED]");
        }
    }
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        let shown = redacted(br#"{"user":"ann","PASS":"s3cret","auth_token":"t0ken","echo":true}"#);
        assert!(shown.contains(r#""user":"ann""#), "{shown}");
        assert!(!shown.contains("s3cret") && !shown.contains("t0ken"), "{shown}");
        assert_eq!(redacted(b"{\"pass\":\"x\""), "(11 bytes that are no JSON object)");
    }
}
