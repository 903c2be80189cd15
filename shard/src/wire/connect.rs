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
