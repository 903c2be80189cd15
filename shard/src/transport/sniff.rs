//! What a client speaks, by the first bytes it sends.

/// First byte of a TLS record that is part of a handshake. No operation of the protocol begins
/// with it.
const HANDSHAKE: u8 = 0x16;

/// Bytes before the content of a TLS record.
const HEADER: usize = 5;

/// The longest content of a record, which is that of TLS 1.2.
const CONTENT_MAX: usize = (16 << 10) + 2048;

/// What the first bytes look like.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Language {
    /// TLS.
    Tls,
    /// The protocol itself, or nothing that is known.
    Plain,
}

/// What a client speaks that begins like this; `None` if it has not begun.
#[must_use]
pub fn sniff(bytes: &[u8]) -> Option<Language> {
    let first = *bytes.first()?;
    Some(if first == HANDSHAKE { Language::Tls } else { Language::Plain })
}

/// Bytes that `input` must have for its first TLS record to be whole. For what cannot be a record,
/// as many as it takes to see that.
#[must_use]
pub fn record(input: &[u8]) -> usize {
    let Some([_, _, _, high, low]) = input.first_chunk::<HEADER>() else { return HEADER };
    let content = usize::from(u16::from_be_bytes([*high, *low]));
    if content > CONTENT_MAX { HEADER } else { HEADER + content }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells() {
        assert_eq!(sniff(b""), None);
        assert_eq!(sniff(b"\x16"), Some(Language::Tls));
        assert_eq!(sniff(b"\x16\x03\x01\x02\x00"), Some(Language::Tls));
        // An alert cannot come first, and what an operation begins with is never a record.
        for first in [b"\x15" as &[u8], b"\x17", b"CONNECT {}", b"PING\r\n", b"GET /", b"\0"] {
            assert_eq!(sniff(first), Some(Language::Plain), "{}", first.escape_ascii());
        }
    }

    #[test]
    fn a_record_is_whole_with_its_content() {
        assert_eq!(record(b""), 5);
        assert_eq!(record(b"\x16\x03\x01\x02"), 5);
        assert_eq!(record(b"\x16\x03\x01\x02\x00"), 5 + 512);
        assert_eq!(record(b"\x17\x03\x03\x48\x00"), 5 + 18_432);
        // Longer than any: nobody waits for it.
        assert_eq!(record(b"\x17\x03\x03\x48\x01"), 5);
        assert_eq!(record(b"\x17\x03\x03\xff\xff"), 5);
    }
}
