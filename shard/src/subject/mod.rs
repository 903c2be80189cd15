//! Subjects, patterns, and how they match.
//!
//! A subject is tokens with dots between them, a pattern is a subject in which the whole token `*`
//! stands for one token and a last token `>` for one or more. Bytes are bytes: neither is text.
//!
//! | file | what |
//! | --- | --- |
//! | `tokens.rs`, `pattern.rs` | tokens, and which subjects a pattern matches |
//! | `overlap.rs` | patterns against patterns |
//! | [`transform`] | one subject made from another |
//! | [`mapping`] | what operators put in the place of subjects that clients publish to |
//!
//! Nothing here allocates for a message.

#![deny(clippy::indexing_slicing)]

pub mod mapping;

#[cfg(any(test, fuzzing))]
pub(crate) mod naive;
mod overlap;
mod pattern;
mod tokens;
pub mod transform;

pub(crate) use overlap::narrowed;
pub use overlap::{collide, is_subset};
pub use pattern::{is_literal, is_valid_literal, is_valid_pattern, matches};
pub use tokens::{Token, Tokens, has_empty_token, token_count, tokens};

/// Whether there is a blank in it: clients cannot name such a subject, configurations can.
#[must_use]
pub fn has_blank(name: &[u8]) -> bool {
    name.iter().any(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c'))
}

/// Whether no client may publish to this subject: gateways and, outside of the system account,
/// replication groups have it to themselves. The bare prefix of a gateway is nobody's.
#[must_use]
pub fn is_reserved_publish(subject: &[u8]) -> bool {
    is_gateway_reply(subject) || subject.starts_with(b"$NRG.")
}

/// Whether no client may ask for answers on this subject: answers on it would be taken for those
/// to a service import, a gateway or a stream.
#[must_use]
pub fn is_reserved_reply(reply: &[u8]) -> bool {
    reply.starts_with(b"_R_.") || goes_on_from(b"$JS.ACK.", reply) || is_gateway_reply(reply)
}

fn is_gateway_reply(subject: &[u8]) -> bool {
    goes_on_from(b"_GR_.", subject) || goes_on_from(b"$GR.", subject)
}

fn goes_on_from(prefix: &[u8], subject: &[u8]) -> bool {
    subject.len() > prefix.len() && subject.starts_with(prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_may_not_publish_to() {
        let reserved: [&[u8]; 5] = [b"_GR_.x", b"$GR.x", b"$GR.x.y.z", b"$NRG.", b"$NRG.x"];
        for subject in reserved {
            assert!(is_reserved_publish(subject), "{}", subject.escape_ascii());
        }
        let free: [&[u8]; 9] =
            [b"", b"_GR_", b"_GR_.", b"$GR.", b"$GRX", b"$GNR.x", b"$NRG", b"_R_.x", b"$JS.ACK.x"];
        for subject in free {
            assert!(!is_reserved_publish(subject), "{}", subject.escape_ascii());
        }
    }

    #[test]
    fn what_clients_may_not_name_as_reply() {
        let reserved: [&[u8]; 5] = [b"_R_.", b"_R_.x", b"$JS.ACK.x", b"_GR_.x", b"$GR.x"];
        for subject in reserved {
            assert!(is_reserved_reply(subject), "{}", subject.escape_ascii());
        }
        let free: [&[u8]; 8] =
            [b"", b"_R_", b"$JS.ACK.", b"$JS.ACK", b"_GR_.", b"$GR.", b"$NRG.x", b"_INBOX.x"];
        for subject in free {
            assert!(!is_reserved_reply(subject), "{}", subject.escape_ascii());
        }
    }
}
