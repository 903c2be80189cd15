//! Patterns without wildcards: one table for all accounts.
//!
//! A literal pattern matches one subject, so it needs no path of nodes: a look-up by the hash that
//! the match cache uses anyway finds it. That keeps the bulk of subscriptions, and of their churn,
//! out of the trie.
//!
//! Invariant: no key has a wildcard token, so a subject `foo.*` never finds a pattern here by being
//! spelled like it.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::ids::AccountId;

use super::delta::{Change, Effect, Want};
use super::leaf::Leaf;
use super::shrink;

/// What the table holds: small, so that a table of a million patterns grows in milliseconds.
#[derive(Debug)]
struct Slot {
    hash: u64,
    literal: Box<Literal>,
}

#[derive(Debug)]
struct Literal {
    account: AccountId,
    pattern: Box<[u8]>,
    leaf: Leaf,
}

/// The literal patterns of all accounts.
#[derive(Debug, Default)]
pub(super) struct Literals {
    table: HashTable<Slot>,
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
        let same = |known: &Slot| known.is(hash, account, subject);
        self.table.find(hash, same).map(|known| &known.literal.leaf)
    }

    /// Applies `change`; a pattern that nobody wants any more is gone afterwards.
    pub(super) fn apply(
        &mut self,
        hash: u64,
        account: AccountId,
        pattern: &[u8],
        want: Want<'_>,
        change: Change,
    ) -> Effect {
        let same = |known: &Slot| known.is(hash, account, pattern);
        match self.table.entry(hash, same, |known| known.hash) {
            Entry::Occupied(mut entry) => {
                let effect = entry.get_mut().literal.leaf.apply(want, change);
                if entry.get().literal.leaf.is_empty() {
                    entry.remove();
                    shrink(&mut self.table, |known| known.hash);
                }
                effect
            }
            Entry::Vacant(entry) => {
                let mut leaf = Leaf::default();
                let effect = leaf.apply(want, change);
                if !leaf.is_empty() {
                    let literal = Literal { account, pattern: Box::from(pattern), leaf };
                    entry.insert(Slot { hash, literal: Box::new(literal) });
                }
                effect
            }
        }
    }
}

impl Slot {
    fn is(&self, hash: u64, account: AccountId, pattern: &[u8]) -> bool {
        self.hash == hash && self.literal.account == account && *self.literal.pattern == *pattern
    }
}
