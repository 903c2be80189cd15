//! What a client says about itself in CONNECT.
//!
//! The JSON is read the way Go reads it into a struct that already has values: absent keys and
//! `null` change nothing, keys match in any case, unknown keys are skipped, and of a repeated key
//! the last one counts. So a second CONNECT changes only what it names. Three things that Go takes
//! are not taken: a lone surrogate in a key or in the value of a known key and `-0` for a number
//! are errors, and a key that matches only by the case rules of Unicode is an unknown one.

#![deny(clippy::indexing_slicing)]

use std::fmt;

use serde::de::{Deserialize, IgnoredAny, MapAccess, Visitor};

use super::json::{AnyObject, Malformed, read_object};
use super::secret::Secret;

/// The fields of CONNECT that mean something from a client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectOptions {
    /// Answer each operation with +OK.
    pub verbose: bool,
    /// Complain about publish subjects that no subscription can match.
    pub pedantic: bool,
    /// Deliver the client's own messages to it.
    pub echo: bool,
    /// The client wants TLS. Nothing depends on it.
    pub tls_required: bool,
    /// The client reads HMSG.
    pub headers: bool,
    /// The client wants to hear that nobody answers.
    pub no_responders: bool,
    /// Version of the client protocol: 0, or 1 for one that takes INFO at any time.
    pub protocol: i64,
    /// Name of the connection.
    pub name: String,
    /// Language of the client library.
    pub lang: String,
    /// Version of the client library.
    pub version: String,
    /// User name.
    pub user: String,
    /// Password.
    pub pass: Secret,
    /// Token, in place of user and password.
    pub auth_token: Secret,
    /// Public key. Not a secret.
    pub nkey: String,
    /// User claims.
    pub jwt: Secret,
    /// Signature of the nonce.
    pub sig: Secret,
    /// Signature of the nonce by a proxy.
    pub proxy_sig: Secret,
    /// Account that the client asks for; see [`Self::names_account`].
    pub account: String,
    /// Whether that account is to be made; see [`Self::names_account`].
    pub new_account: bool,
}

impl Default for ConnectOptions {
    /// What holds before CONNECT: a person at a terminal gets answers.
    fn default() -> Self {
        Self {
            verbose: true,
            pedantic: true,
            echo: true,
            tls_required: false,
            headers: false,
            no_responders: false,
            protocol: 0,
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            user: String::new(),
            pass: Secret::default(),
            auth_token: Secret::default(),
            nkey: String::new(),
            jwt: Secret::default(),
            sig: Secret::default(),
            proxy_sig: Secret::default(),
            account: String::new(),
            new_account: false,
        }
    }
}

impl ConnectOptions {
    /// Takes over what the JSON of a CONNECT says. After an error some of it may have been taken.
    ///
    /// # Errors
    ///
    /// If it is no JSON object, or a known key has a value of the wrong type.
    pub fn apply(&mut self, json: &[u8]) -> Result<(), Malformed> {
        read_object(json, Fields(self))
    }

    /// Whether the client tries to choose its account, which is never allowed.
    #[must_use]
    pub const fn names_account(&self) -> bool {
        self.new_account || !self.account.is_empty()
    }

    /// Takes one value if `key`, in lower case, is known.
    fn take<'de, A: MapAccess<'de>>(&mut self, key: &str, map: &mut A) -> Result<(), A::Error> {
        match key {
            "verbose" => set(&mut self.verbose, map),
            "pedantic" => set(&mut self.pedantic, map),
            "echo" => set(&mut self.echo, map),
            "tls_required" => set(&mut self.tls_required, map),
            "headers" => set(&mut self.headers, map),
            "no_responders" => set(&mut self.no_responders, map),
            "protocol" => set(&mut self.protocol, map),
            "name" => set(&mut self.name, map),
            "lang" => set(&mut self.lang, map),
            "version" => set(&mut self.version, map),
            "user" => set(&mut self.user, map),
            "pass" => set_secret(&mut self.pass, map),
            "auth_token" => set_secret(&mut self.auth_token, map),
            "nkey" => set(&mut self.nkey, map),
            "jwt" => set_secret(&mut self.jwt, map),
            "sig" => set_secret(&mut self.sig, map),
            "proxy_sig" => set_secret(&mut self.proxy_sig, map),
            "account" => set(&mut self.account, map),
            "new_account" => set(&mut self.new_account, map),
            // These mean something only between servers, but must be of their type from anybody.
            "remote_account" => set(&mut String::new(), map),
            "import" | "export" => map.next_value::<Option<AnyObject>>().map(drop),
            _ => map.next_value::<IgnoredAny>().map(drop),
        }
    }
}

fn set<'de, A, T>(field: &mut T, map: &mut A) -> Result<(), A::Error>
where
    A: MapAccess<'de>,
    T: Deserialize<'de>,
{
    if let Some(value) = map.next_value::<Option<T>>()? {
        *field = value;
    }
    Ok(())
}

fn set_secret<'de, A: MapAccess<'de>>(field: &mut Secret, map: &mut A) -> Result<(), A::Error> {
    if let Some(value) = map.next_value::<Option<String>>()? {
        *field = Secret::from(value);
    }
    Ok(())
}

/// Puts the members of an object where they belong.
struct Fields<'a>(&'a mut ConnectOptions);

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the options of CONNECT")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(mut key) = map.next_key::<String>()? {
            key.make_ascii_lowercase();
            self.0.take(&key, &mut map)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(json: &[u8]) -> Result<ConnectOptions, Malformed> {
        let mut options = ConnectOptions::default();
        options.apply(json).map(|()| options)
    }

    #[test]
    fn what_a_client_library_sends() {
        let json = br#"{"verbose":false,"pedantic":false,"tls_required":true,"name":"n",
            "lang":"rust","version":"1.2","protocol":1,"echo":false,"headers":true,
            "no_responders":true,"user":"u","pass":"p","auth_token":"t","nkey":"k","jwt":"j",
            "sig":"s","proxy_sig":"x","unknown":[{}]}"#;
        let secret = |text: &str| Secret::from(text.to_owned());
        let expected = ConnectOptions {
            verbose: false,
            pedantic: false,
            echo: false,
            tls_required: true,
            headers: true,
            no_responders: true,
            protocol: 1,
            name: "n".to_owned(),
            lang: "rust".to_owned(),
            version: "1.2".to_owned(),
            user: "u".to_owned(),
            pass: secret("p"),
            auth_token: secret("t"),
            nkey: "k".to_owned(),
            jwt: secret("j"),
            sig: secret("s"),
            proxy_sig: secret("x"),
            account: String::new(),
            new_account: false,
        };
        assert_eq!(applied(json), Ok(expected));
    }

    #[test]
    fn what_is_not_named_stays() {
        for json in [&b"{}"[..], b"null", b" {} \n", b"{\"verbose\":null,\"protocol\":null}"] {
            assert_eq!(applied(json), Ok(ConnectOptions::default()), "{}", json.escape_ascii());
        }
        let mut options = ConnectOptions::default();
        assert_eq!(options.apply(br#"{"verbose":false,"user":"u"}"#), Ok(()));
        assert_eq!(options.apply(br#"{"pass":"p"}"#), Ok(()));
        assert!(!options.verbose && options.echo);
        assert_eq!((options.user.as_str(), options.pass.expose()), ("u", "p"));
    }

    #[test]
    fn keys_match_in_any_case_and_the_last_one_counts() {
        let options = applied(br#"{"Echo":false,"NAME":"a","name":"b","echo":null}"#);
        let options = options.expect("the JSON is right");
        assert_eq!((options.echo, options.name.as_str()), (false, "b"));
    }

    #[test]
    fn bytes_that_are_not_text_are_replaced_one_by_one() {
        let options = applied(b"{\"name\":\"a\xe2\x82b\"}").expect("the JSON is right");
        assert_eq!(options.name, "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn what_is_refused() {
        let cases: [&[u8]; 19] = [
            b"",
            b"\r",
            b"{",
            b"[]",
            b"5",
            b"{} x",
            b"{\"protocol\":1.0}",
            b"{\"protocol\":1e0}",
            b"{\"protocol\":\"1\"}",
            b"{\"protocol\":99999999999999999999}",
            b"{\"verbose\":\"x\"}",
            b"{\"verbose\":0}",
            b"{\"name\":1}",
            b"{\"pass\":1}",
            b"{\"remote_account\":5}",
            b"{\"import\":5}",
            b"{\"a\":\"\x01\"}",
            b"{\"a\":\xff}",
            b"{\"verbose\":true,}",
        ];
        for json in cases {
            assert_eq!(applied(json), Err(Malformed), "{}", json.escape_ascii());
        }
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let json = format!("{{\"x\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(applied(json.as_bytes()), Ok(ConnectOptions::default()));
    }

    #[test]
    fn naming_an_account() {
        for (json, expected) in [
            (&b"{\"account\":\"\",\"new_account\":false}"[..], false),
            (b"{\"account\":\"a\"}", true),
            (b"{\"new_account\":true}", true),
        ] {
            assert_eq!(applied(json).map(|options| options.names_account()), Ok(expected));
        }
    }

    #[test]
    fn credentials_are_not_printed() {
        let json = br#"{"pass":"hush","auth_token":"hush","jwt":"hush","sig":"hush",
            "proxy_sig":"hush"}"#;
        let options = applied(json).expect("the JSON is right");
        let printed = format!("{options:?} {}", options.pass);
        assert!(!printed.contains("hush"), "{printed}");
        assert_eq!(printed.matches("[REDACTED]").count(), 6);
    }
}
