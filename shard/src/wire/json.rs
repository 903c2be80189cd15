//! Reading JSON of clients as Go reads it, as far as CONNECT and INFO need it.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::error::Violation;

/// JSON that cannot be read, or a value of the wrong type. The client is told nothing about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Malformed;

impl From<Malformed> for Violation {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Feeds the one JSON object in `json`, or `null`, to `visitor`.
pub(super) fn read_object<V>(json: &[u8], visitor: V) -> Result<(), Malformed>
where
    V: for<'de> Visitor<'de, Value = ()>,
{
    let text = with_replacements(json);
    let mut deserializer = serde_json::Deserializer::from_str(&text);
    let read = deserializer.deserialize_any(visitor);
    read.and_then(|()| deserializer.end()).map_err(|_| Malformed)
}

/// `bytes` as text, each byte that is not part of UTF-8 replaced by U+FFFD, as Go does in strings.
/// Outside of strings the replacement is as wrong as the byte was.
fn with_replacements(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    Cow::Owned(text)
}

/// A JSON object of which nothing is kept.
pub(super) struct AnyObject;

impl<'de> Deserialize<'de> for AnyObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)?;
        Ok(Self)
    }
}

impl<'de> Visitor<'de> for AnyObject {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }
}
