//! A subject taken apart at its dots.
//!
//! Empty tokens are tokens: `a..b` has three, and the empty subject has one. They match nothing,
//! but they can be published to, so they have to be seen.

use memchr::{memchr, memchr_iter};

/// What a token of a pattern stands for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Token<'a> {
    /// Itself.
    Literal(&'a [u8]),
    /// `*`: any one token.
    One,
    /// `>`: one or more tokens, if it is the last one.
    Rest,
}

impl<'a> Token<'a> {
    /// What `token` stands for in a pattern.
    #[inline]
    #[must_use]
    pub const fn of(token: &'a [u8]) -> Self {
        match token {
            b"*" => Self::One,
            b">" => Self::Rest,
            literal => Self::Literal(literal),
        }
    }
}

/// The tokens of a subject or pattern, in order.
#[inline]
pub fn tokens(subject: &[u8]) -> Tokens<'_> {
    Tokens { rest: Some(subject) }
}

/// See [`tokens`].
#[derive(Clone, Debug)]
pub struct Tokens<'a> {
    /// What is left; nothing once the last token was given out.
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let parts =
            memchr(b'.', rest).and_then(|dot| Some((rest.get(..dot)?, rest.get(dot + 1..)?)));
        let Some((token, rest)) = parts else {
            return self.rest.take();
        };
        self.rest = Some(rest);
        Some(token)
    }
}

/// How many tokens a subject or pattern has.
#[must_use]
pub fn token_count(subject: &[u8]) -> usize {
    memchr_iter(b'.', subject).count() + 1
}

/// Whether a token is empty, so that a publish to the subject matches no pattern.
#[must_use]
pub fn has_empty_token(subject: &[u8]) -> bool {
    let mut after_dot = true;
    for byte in subject {
        let dot = *byte == b'.';
        if dot && after_dot {
            return true;
        }
        after_dot = dot;
    }
    after_dot
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_tokens_are_counted() {
        let cases: [(&[u8], &[&[u8]]); 6] = [
            (b"", &[b""]),
            (b"a", &[b"a"]),
            (b"a.bc.d", &[b"a", b"bc", b"d"]),
            (b".a", &[b"", b"a"]),
            (b"a.", &[b"a", b""]),
            (b"a..b", &[b"a", b"", b"b"]),
        ];
        for (subject, expected) in cases {
            let name = subject.escape_ascii();
            assert_eq!(tokens(subject).collect::<Vec<_>>(), expected, "{name}");
            assert_eq!(token_count(subject), expected.len(), "{name}");
            assert_eq!(has_empty_token(subject), expected.contains(&&b""[..]), "{name}");
        }
    }

    #[test]
    fn wildcards_are_whole_tokens() {
        assert_eq!(Token::of(b"*"), Token::One);
        assert_eq!(Token::of(b">"), Token::Rest);
        for literal in [&b""[..], b"a", b"**", b"a*", b">a"] {
            assert_eq!(Token::of(literal), Token::Literal(literal));
        }
    }
}
