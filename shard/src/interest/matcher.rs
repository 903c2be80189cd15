//! From a subject to the match set, without the cache.

use std::rc::Rc;

use crate::ids::AccountId;

use super::hashing::Hashing;
use super::literal::Literals;
use super::match_set::MatchSet;
use super::token::subject_tokens;
use super::trie::{Found, Trie};

/// Everything a match is made from, borrowed for one match.
#[derive(Clone, Copy)]
pub(super) struct Matcher<'i> {
    pub(super) hashing: &'i Hashing,
    pub(super) literals: &'i Literals,
    pub(super) wildcards: &'i Trie,
    /// The set without members, shared by everything that matches nothing.
    pub(super) nobody: &'i Rc<MatchSet>,
}

impl Matcher<'_> {
    /// Who wants `subject`, whose hash in `account` is `hash`.
    pub(super) fn matches(self, hash: u64, account: AccountId, subject: &[u8]) -> Rc<MatchSet> {
        let Some(tokens) = subject_tokens(subject) else { return Rc::clone(self.nobody) };
        let mut found = Found::new();
        self.wildcards.find(self.hashing, account, &tokens, &mut found);
        let literal = self.literals.find(hash, account, subject);
        match (literal, found.as_slice()) {
            (None, []) => Rc::clone(self.nobody),
            // Many subjects, one wildcard pattern: they share the set, which saves building it and
            // the memory of all copies but one. A literal pattern has one subject: nothing to
            // share.
            (None, [only]) => only.alone(subject),
            _ => {
                found.extend(literal);
                Rc::new(MatchSet::of_leaves(&found, subject))
            }
        }
    }
}
