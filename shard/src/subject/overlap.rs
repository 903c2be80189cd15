//! Patterns against patterns.

use super::tokens::{Token, token_count, tokens};

/// Whether everything that `pattern` matches is matched by `wider` too. A literal is the pattern of
/// itself.
#[must_use]
pub fn is_subset(pattern: &[u8], wider: &[u8]) -> bool {
    let mut own = tokens(pattern);
    for wide in tokens(wider) {
        let Some(token) = own.next() else { return false };
        match (Token::of(wide), Token::of(token)) {
            (Token::Literal([]), _) => return false,
            (Token::Rest, _) => return true,
            (_, Token::Rest | Token::Literal([])) => return false,
            (Token::One, _) => {}
            (Token::Literal(wide), Token::Literal(token)) if wide == token => {}
            (Token::Literal(_), _) => return false,
        }
    }
    own.next().is_none()
}

/// Whether there is a subject that both match.
#[must_use]
pub fn collide(one: &[u8], other: &[u8]) -> bool {
    let ends_open = |pattern| tokens(pattern).any(|token| Token::of(token) == Token::Rest);
    let (count, other_count) = (token_count(one), token_count(other));
    // The shorter one has to reach as far as the longer one. `>` stands for one token at least.
    let reaches = match count.cmp(&other_count) {
        std::cmp::Ordering::Less => ends_open(one),
        std::cmp::Ordering::Equal => true,
        std::cmp::Ordering::Greater => ends_open(other),
    };
    reaches
        && tokens(one).zip(tokens(other)).all(|(one, other)| {
            match (Token::of(one), Token::of(other)) {
                (Token::Literal([]), _) | (_, Token::Literal([])) => false,
                (Token::Literal(one), Token::Literal(other)) => one == other,
                _ => true,
            }
        })
}

/// What both `pattern` and `other` match, if they overlap and neither is a subset of the other: the
/// wildcards of `pattern`, as narrow as `other` makes them.
pub(crate) fn narrowed(pattern: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let others: Vec<&[u8]> = tokens(other).collect();
    let mut narrow: Vec<&[u8]> = Vec::new();
    for (index, token) in tokens(pattern).enumerate() {
        match (Token::of(token), others.get(index)) {
            (Token::One, Some(other)) if Token::of(other) != Token::Rest => narrow.push(other),
            (Token::Rest, Some(_)) => {
                narrow.extend(others.get(index..).unwrap_or_default());
                break;
            }
            _ => narrow.push(token),
        }
    }
    let narrow = narrow.join(&b'.');
    is_subset(&narrow, other).then_some(narrow)
}

#[cfg(test)]
mod tests {
    use super::super::naive;
    use super::*;

    /// Every string of up to three tokens of the alphabet.
    fn every() -> Vec<String> {
        let alphabet = ["a", "b", "*", ">"];
        let mut all: Vec<String> = alphabet.iter().map(ToString::to_string).collect();
        let mut longest = all.clone();
        for _ in 0..2 {
            longest = longest
                .iter()
                .flat_map(|head| alphabet.iter().map(move |token| format!("{head}.{token}")))
                .collect();
            all.extend_from_slice(&longest);
        }
        all.retain(|pattern| naive::is_valid_pattern(pattern.as_bytes()));
        all
    }

    /// Every literal of up to five tokens, one of which stands for "any other".
    fn subjects() -> Vec<String> {
        let mut all: Vec<String> = ["a", "b", "c"].iter().map(ToString::to_string).collect();
        let mut longest = all.clone();
        for _ in 0..4 {
            longest = longest
                .iter()
                .flat_map(|head| ["a", "b", "c"].iter().map(move |token| format!("{head}.{token}")))
                .collect();
            all.extend_from_slice(&longest);
        }
        all
    }

    #[test]
    fn as_the_subjects_say() {
        let (patterns, subjects) = (every(), subjects());
        let matched: Vec<Vec<bool>> = patterns
            .iter()
            .map(|pattern| {
                let matches =
                    |subject: &String| naive::matches(pattern.as_bytes(), subject.as_bytes());
                subjects.iter().map(matches).collect()
            })
            .collect();
        for (one, in_one) in patterns.iter().zip(&matched) {
            for (other, in_other) in patterns.iter().zip(&matched) {
                let mut pairs = in_one.iter().zip(in_other);
                let subset = in_one.iter().zip(in_other).all(|(one, other)| !one || *other);
                let overlap = pairs.any(|(one, other)| *one && *other);
                let (one, other) = (one.as_bytes(), other.as_bytes());
                let shown = format!("{} {}", one.escape_ascii(), other.escape_ascii());
                assert_eq!(is_subset(one, other), subset, "{shown}");
                assert_eq!(collide(one, other), overlap, "{shown}");
                if overlap && !subset && !is_subset(other, one) {
                    let narrow = narrowed(one, other).expect("they overlap");
                    for (subject, (one, other)) in subjects.iter().zip(in_one.iter().zip(in_other))
                    {
                        let both = *one && *other;
                        let found = naive::matches(&narrow, subject.as_bytes());
                        assert_eq!(found, both, "{shown} {subject}");
                    }
                }
            }
        }
    }
}
