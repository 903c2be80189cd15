//! Which patterns there are, and which subjects they match.

use super::tokens::{Token, tokens};

/// Whether SUB takes this pattern: no token is empty, and `>` is only at the end. Control bytes,
/// NUL and bytes that are not UTF-8 are as good as any others.
#[must_use]
pub fn is_valid_pattern(pattern: &[u8]) -> bool {
    let mut tokens = tokens(pattern);
    while let Some(token) = tokens.next() {
        match Token::of(token) {
            Token::Literal([]) => return false,
            Token::Rest => return tokens.next().is_none(),
            Token::Literal(_) | Token::One => {}
        }
    }
    true
}

/// Whether no token is a wildcard.
#[must_use]
pub fn is_literal(subject: &[u8]) -> bool {
    tokens(subject).all(|token| matches!(Token::of(token), Token::Literal(_)))
}

/// Whether a pedantic client may publish here unreproached: no token is a wildcard or empty.
#[must_use]
pub fn is_valid_literal(subject: &[u8]) -> bool {
    tokens(subject).all(|token| matches!(Token::of(token), Token::Literal([_, ..])))
}

/// Whether a subscription to `pattern` is given what is published to `subject`. Wildcards in the
/// subject are plain bytes. A pattern or subject that is not valid matches nothing.
#[must_use]
pub fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    let mut subject_tokens = tokens(subject);
    let mut pattern_tokens = tokens(pattern);
    while let Some(pattern_token) = pattern_tokens.next() {
        let Some(subject_token) = subject_tokens.next() else {
            return false;
        };
        if subject_token.is_empty() {
            return false;
        }
        match Token::of(pattern_token) {
            Token::Rest => {
                let is_last = pattern_tokens.next().is_none();
                return is_last && subject_tokens.all(|token| !token.is_empty());
            }
            Token::One => {}
            Token::Literal(literal) if literal == subject_token => {}
            Token::Literal(_) => return false,
        }
    }
    subject_tokens.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::naive;
    use super::*;

    /// Every string of up to `count` tokens of `alphabet`, dots between them.
    fn every(alphabet: &[&str], count: usize) -> Vec<String> {
        let mut all: Vec<String> = alphabet.iter().map(ToString::to_string).collect();
        let mut longest = all.clone();
        for _ in 1..count {
            longest = longest
                .iter()
                .flat_map(|head| alphabet.iter().map(move |token| format!("{head}.{token}")))
                .collect();
            all.extend_from_slice(&longest);
        }
        all
    }

    #[test]
    fn every_short_pattern_and_subject() {
        let all = every(&["a", "b", "*", ">", "", "a*", ">>"], 3);
        for pattern in &all {
            let valid = is_valid_pattern(pattern.as_bytes());
            assert_eq!(valid, naive::is_valid_pattern(pattern.as_bytes()), "{pattern:?}");
            for subject in &all {
                assert_eq!(
                    matches(pattern.as_bytes(), subject.as_bytes()),
                    naive::matches(pattern.as_bytes(), subject.as_bytes()),
                    "{pattern:?} {subject:?}"
                );
            }
        }
    }

    #[test]
    fn well_known_patterns() {
        let cases: [(&str, &str, bool); 12] = [
            ("foo", "foo", true),
            ("foo", "foo.bar", false),
            ("foo.*", "foo.bar", true),
            ("foo.*", "foo", false),
            ("foo.>", "foo.bar.baz", true),
            ("foo.>", "foo", false),
            (">", "foo", true),
            (">", "foo..bar", false),
            ("*", "", false),
            ("*.*", "foo.*", true),
            ("foo.bar", "foo.*", false),
            ("fo*.b>", "fo*.b>", true),
        ];
        for (pattern, subject, expected) in cases {
            let found = matches(pattern.as_bytes(), subject.as_bytes());
            assert_eq!(found, expected, "{pattern:?} {subject:?}");
        }
    }

    #[test]
    fn what_can_be_subscribed_to() {
        for valid in [&b"a"[..], b"a.b", b"*", b">", b"a.*.>", b"*.*", b"a*.>b", b"\0\xff\x0c"] {
            assert!(is_valid_pattern(valid), "{}", valid.escape_ascii());
        }
        for invalid in [&b""[..], b".", b".a", b"a.", b"a..b", b">.a", b"a.>.b", b">.>"] {
            assert!(!is_valid_pattern(invalid), "{}", invalid.escape_ascii());
        }
    }

    #[test]
    fn literals() {
        for (subject, literal, valid) in [
            (&b"a.b"[..], true, true),
            (b"a*.b>", true, true),
            (b"a..b", true, false),
            (b"", true, false),
            (b"a.*", false, false),
            (b">", false, false),
            (b">.a", false, false),
        ] {
            assert_eq!(is_literal(subject), literal, "{}", subject.escape_ascii());
            assert_eq!(is_valid_literal(subject), valid, "{}", subject.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn random_patterns_and_subjects(pattern in "[ab*>.]{0,12}", subject in "[ab*>.]{0,12}") {
            prop_assert_eq!(
                matches(pattern.as_bytes(), subject.as_bytes()),
                naive::matches(pattern.as_bytes(), subject.as_bytes())
            );
        }

        #[test]
        fn a_valid_literal_matches_itself_and_everything(
            subject in "[a-z*>]{1,3}(\\.[a-z*>]{1,3}){0,4}",
        ) {
            let subject = subject.as_bytes();
            if is_valid_literal(subject) {
                prop_assert!(is_valid_pattern(subject) && is_literal(subject));
                prop_assert!(matches(subject, subject) && matches(b">", subject));
            }
        }
    }
}
