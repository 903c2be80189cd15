//! Matching written to be obviously right, however slow, as the measure of the real one.

/// Whether SUB takes this pattern.
pub(crate) fn is_valid_pattern(pattern: &[u8]) -> bool {
    let tokens = split(pattern);
    let wild_before_end = tokens.iter().rev().skip(1).any(|token| *token == b">");
    tokens.iter().all(|token| !token.is_empty()) && !wild_before_end
}

/// Whether a subscription to `pattern` is given what is published to `subject`.
pub(crate) fn matches(pattern: &[u8], subject: &[u8]) -> bool {
    is_valid_pattern(pattern)
        && split(subject).iter().all(|token| !token.is_empty())
        && tokens_match(&split(pattern), &split(subject))
}

fn split(subject: &[u8]) -> Vec<&[u8]> {
    subject.split(|byte| *byte == b'.').collect()
}

fn tokens_match(pattern: &[&[u8]], subject: &[&[u8]]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([b">"], [_, ..]) => true,
        ([b"*", pattern @ ..], [_, subject @ ..]) => tokens_match(pattern, subject),
        ([first, pattern @ ..], [token, subject @ ..]) => {
            first == token && tokens_match(pattern, subject)
        }
        _ => false,
    }
}
