//! Subjects and patterns cut into tokens, as far as the index needs it.
//!
//! Patterns come in validated. Subjects of a publish do not: `*` and `>` are ordinary bytes in
//! them, and an empty token makes them match nothing.
#![deny(clippy::indexing_slicing)]

use smallvec::SmallVec;

/// Leading literal tokens that decide which cached subjects a wildcard pattern can touch.
pub(super) const PREFIX_TOKENS: usize = 2;

/// Tokens of a subject. Sixteen fit without allocation; more are legal and rare.
pub(super) type Tokens<'s> = SmallVec<[&'s [u8]; 16]>;

/// What a pattern matches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape<'p> {
    /// Only the subject that equals it.
    Literal,
    /// Subjects that begin with these tokens: all literal ones at the head of the pattern, but not
    /// more than [`PREFIX_TOKENS`].
    Wildcard { prefix: &'p [u8] },
}

/// Tokens of a pattern or subject, empty ones too.
pub(super) fn tokens(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'.')
}

/// Tokens of a subject, or `None` if one of them is empty.
pub(super) fn subject_tokens(subject: &[u8]) -> Option<Tokens<'_>> {
    let mut found = Tokens::new();
    for token in tokens(subject) {
        if token.is_empty() {
            return None;
        }
        found.push(token);
    }
    Some(found)
}

/// What `pattern` matches.
pub(super) fn shape(pattern: &[u8]) -> Shape<'_> {
    // A byte alone does not make a wildcard (`a*b` is a literal token), but its absence excludes
    // one.
    if memchr::memchr2(b'*', b'>', pattern).is_none() {
        return Shape::Literal;
    }
    match tokens(pattern).position(|token| matches!(token, b"*" | b">")) {
        None => Shape::Literal,
        Some(literals) => Shape::Wildcard { prefix: head(pattern, literals.min(PREFIX_TOKENS)) },
    }
}

/// The first `count` tokens of `bytes` with the dots between them; all of it if it has fewer.
pub(super) fn head(bytes: &[u8], count: usize) -> &[u8] {
    let Some(last_dot) = count.checked_sub(1) else { return &[] };
    let end = memchr::memchr_iter(b'.', bytes).nth(last_dot).unwrap_or(bytes.len());
    bytes.get(..end).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_with_an_empty_token_has_no_tokens() {
        for subject in ["", ".", "a.", ".a", "a..b"] {
            assert!(subject_tokens(subject.as_bytes()).is_none(), "{subject:?}");
        }
        let tokens = subject_tokens(b"a.*.>").expect("wildcards are ordinary bytes here");
        assert_eq!(tokens.as_slice(), [b"a", b"*", b">"]);
    }

    #[test]
    fn only_a_whole_token_is_a_wildcard() {
        for literal in ["a", "a.b", "a*", "a.>b", "*a.b*"] {
            assert_eq!(shape(literal.as_bytes()), Shape::Literal, "{literal}");
        }
    }

    #[test]
    fn the_prefix_is_what_precedes_the_first_wildcard() {
        for (pattern, prefix) in
            [(">", ""), ("*.a.b", ""), ("a.*.b", "a"), ("a.b.>", "a.b"), ("a.b.c.*", "a.b")]
        {
            assert_eq!(shape(pattern.as_bytes()), Shape::Wildcard { prefix: prefix.as_bytes() });
        }
        assert_eq!(head(b"a", 2), b"a");
    }
}
