//! Patterns without wildcards: one table for all accounts.
//!
//! A literal pattern matches one subject, so it needs no path of nodes: a look-up by the hash that the
//! match cache uses anyway finds it. That keeps the bulk of subscriptions, and of their churn, out of
//! the trie.
//!
//! Invariant: no key has a wildcard token, so a subject `foo.*` never finds a pattern here by being
//! spelled like it.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::ids::AccountId;

use super::delta::{Change, Effect};
use super::leaf::Leaf;
use super::shrink;

#[derive(Debug)]
struct Literal {
    hash: u64,
    account: AccountId,
    pattern: Box<[u8]>,
    leaf: Leaf,
}

/// The literal patterns of all accounts.
#[derive(Debug, Default)]
pub(super) struct Literals {
    table: HashTable<Literal>,
}

impl Literals {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Who wants exactly `subject`.
    pub(super) fn find(&self, hash: u64, account: AccountId, subject: &[u8]) -> Option<&Leaf> {
        let same = |known: &Literal| known.is(hash, account, subject);
        self.table.find(hash, same).map(|literal| &literal.leaf)
    }

    /// Applies `change`; a pattern that nobody wants any more is gone afterwards.
    pub(super) fn apply(
        &mut self,
        hash: u64,
        account: AccountId,
        pattern: &[u8],
        queue: Option<&[u8]>,
        change: Change,
    ) -> Effect {
        let same = |known: &Literal| known.is(hash, account, pattern);
        match self.table.entry(hash, same, |known| known.hash) {
            Entry::Occupied(mut entry) => {
                let effect = entry.get_mut().leaf.apply(queue, change);
                if entry.get().leaf.is_empty() {
                    entry.remove();
                    shrink(&mut self.table, |known| known.hash);
                }
                effect
            }
            Entry::Vacant(entry) => {
                let mut leaf = Leaf::default();
                let effect = leaf.apply(queue, change);
                if !leaf.is_empty() {
                    entry.insert(Literal { hash, account, pattern: Box::from(pattern), leaf });
                }
                effect
            }
        }
    }
}

impl Literal {
    fn is(&self, hash: u64, account: AccountId, pattern: &[u8]) -> bool {
        self.hash == hash && self.account == account && *self.pattern == *pattern
    }
}
