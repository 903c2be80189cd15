//! Claims that were good once: whatever somebody was issued until some second does not count.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Who all are.
pub const EVERYBODY: &str = "*";

/// Public keys, or `*`, and the second since 1970 until which claims about them are void.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Revocations(pub HashMap<String, i64>);

impl Revocations {
    /// Whether claims about `subject` that were issued then are void. The second itself counts.
    #[must_use]
    pub fn cover(&self, subject: &str, issued: i64) -> bool {
        [EVERYBODY, subject].iter().any(|key| self.0.get(*key).is_some_and(|at| *at >= issued))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_until_then_is_void() {
        let list = Revocations(HashMap::from([("A".to_owned(), 10), ("B".to_owned(), 30)]));
        for (subject, issued, void) in
            [("A", 9, true), ("A", 10, true), ("A", 11, false), ("B", 11, true), ("C", 0, false)]
        {
            assert_eq!(list.cover(subject, issued), void, "{subject} {issued}");
        }
        let all = Revocations(HashMap::from([(EVERYBODY.to_owned(), 20), ("A".to_owned(), 10)]));
        for (subject, issued, void) in [("A", 20, true), ("C", 20, true), ("A", 21, false)] {
            assert_eq!(all.cover(subject, issued), void, "{subject} {issued}");
        }
    }
}
