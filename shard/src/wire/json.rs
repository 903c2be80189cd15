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
    let text = paired(with_replacements(json));
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

/// `text` with each escape of half a surrogate pair made one of U+FFFD, which is how Go reads it.
fn paired(text: Cow<'_, str>) -> Cow<'_, str> {
    const REPLACEMENT: &str = "\\ufffd";
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let (first, second) = (unit(escape, 0), unit(escape, "uXXXX\\".len()));
        let is_pair = matches!(first, Some(0xd800..=0xdbff))
            && matches!(second, Some(0xdc00..=0xdfff))
            && escape.get(5..6) == Some("\\");
        let len = match first {
            Some(0xd800..=0xdfff) if !is_pair => {
                out.push_str(REPLACEMENT);
                rest = escape.get(5..).unwrap_or_default();
                continue;
            }
            Some(_) if is_pair => 11,
            Some(_) => 5,
            // Any other escape: the character behind the backslash belongs to it.
            None => escape.chars().next().map_or(0, char::len_utf8),
        };
        let (whole, behind) = escape.split_at_checked(len).unwrap_or((escape, ""));
        out.push('\\');
        out.push_str(whole);
        rest = behind;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The code unit of `uXXXX` at byte `at`.
fn unit(escape: &str, at: usize) -> Option<u16> {
    let hex = escape.get(at..at + 5)?.strip_prefix('u')?;
    let is_hex = hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u16::from_str_radix(hex, 16).ok()).flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_surrogate_pair_is_replaced() {
        let cases = [
            (r#"a\ud800b"#, r#"a\ufffdb"#),
            (r#"\udc00\ud800"#, r#"\ufffd\ufffd"#),
            (r#"\ud83d\ude00!"#, r#"\ud83d\ude00!"#),
            (r#"\ud83d\u0041"#, r#"\ufffd\u0041"#),
            (r#"\\ud800 \n \"\ud8"#, r#"\\ud800 \n \"\ud8"#),
            ("plain", "plain"),
        ];
        for (text, expected) in cases {
            assert_eq!(paired(Cow::Borrowed(text)), expected, "{text}");
        }
    }
}
