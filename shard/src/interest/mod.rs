//! Who wants what: the subscription index that every shard holds in full.
//!
//! A shard knows its own subscriptions one by one, and of the other shards' which patterns and
//! queue groups they have how many members of. So a publish is matched without asking anybody.
//!
//! | file | what |
//! | --- | --- |
//! | `literal.rs`, `trie.rs` | patterns without and with wildcards |
//! | `leaf.rs`, `targets.rs`, `queue_group.rs` | who wants one pattern |
//! | `matcher.rs`, `match_set.rs` | from a subject to its receivers |
//! | `cache.rs` | subjects and their match sets, remembered |
//! | `delta.rs` | what shards tell each other |
//! | `token.rs`, `hashing.rs` | tokens of subjects, the keyed hash |
//!
//! Cost: a remembered subject is one hash and one look-up; any other costs a walk of the trie
//! besides. A change costs one look-up or one path, whatever is remembered.
//!
//! Invariant: a match set that [`Interest::matches`] returns has exactly the members of this
//! moment. A removed target is in none, since its slots are used again at once. Who keeps a match
//! set compares [`Interest::epoch`] first.
//!
//! What is deliberately absent: connections, echo, account names, validation (patterns come
//! validated), and permissions, but for the [`Guard`](crate::authorize::Guard)s of subscriptions
//! that are wider than what their holders may have: those are asked when a match set is made, so
//! that one that is remembered holds only who may have the message.

mod cache;
mod delta;
mod hashing;
mod leaf;
mod literal;
mod match_set;
mod matcher;
#[cfg(test)]
mod naive;
mod queue_group;
mod targets;
#[cfg(test)]
mod tests;
mod token;
mod trie;

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::ids::{AccountId, ShardId};
use crate::limits;

pub use delta::{Delta, Want};
pub use match_set::{LocalTarget, MatchSet};
pub use queue_group::{GroupMatch, Pick};

use cache::MatchCache;
use delta::Change;
use hashing::Hashing;
use literal::Literals;
use matcher::Matcher;
use token::{Shape, shape};
use trie::Trie;

/// What the index has done since it was made.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// Subscriptions of this shard that began.
    pub inserts: u64,
    /// Subscriptions of this shard that ended.
    pub removes: u64,
    /// Subjects matched.
    pub matches: u64,
    /// Subjects matched that the cache did not answer.
    pub cache_misses: u64,
}

/// The subscription index of one shard. Lives on that shard's core and is never shared.
#[derive(Debug)]
pub struct Interest {
    me: ShardId,
    hashing: Hashing,
    literals: Literals,
    wildcards: Trie,
    cache: MatchCache,
    nobody: Rc<MatchSet>,
    epoch: u64,
    subscriptions: usize,
    counters: Counters,
}

impl Interest {
    /// The empty index of shard `me`. `seed` keys the hashes: random in production, fixed under
    /// simulation.
    #[must_use]
    pub fn new(me: ShardId, seed: u64) -> Self {
        Self::bounded(me, seed, limits::MATCH_CACHE_BYTES)
    }

    fn bounded(me: ShardId, seed: u64, cache_bytes_max: usize) -> Self {
        Self {
            me,
            hashing: Hashing::new(seed),
            literals: Literals::default(),
            wildcards: Trie::default(),
            cache: MatchCache::new(cache_bytes_max),
            nobody: Rc::default(),
            epoch: 0,
            subscriptions: 0,
            counters: Counters::default(),
        }
    }

    /// Adds a subscription of this shard to the validated `pattern`. Returns what the other shards
    /// must be told, if anything: that a plain pattern has its first member, or how many a queue
    /// group has. A target is inserted once: the next subscription has another
    /// [`crate::ids::SubId`].
    #[must_use = "the other shards must hear of it"]
    pub fn insert<'a>(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        want: impl Into<Want<'a>>,
        target: LocalTarget,
    ) -> Option<Delta> {
        let want = want.into();
        self.subscriptions += 1;
        self.counters.inserts += 1;
        let members = self.change(account, pattern, want, Change::Join(target));
        members.members.map(|members| delta(account, pattern, want, members))
    }

    /// Removes a subscription of this shard; nothing happens if there is none. From here on no
    /// match has it, so that its slots may be used again. Returns what the other shards must be
    /// told.
    #[must_use = "the other shards must hear of it"]
    pub fn remove<'a>(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        want: impl Into<Want<'a>>,
        target: LocalTarget,
    ) -> Option<Delta> {
        let want = want.into();
        let effect = self.change(account, pattern, want, Change::Leave(target));
        if effect.changed {
            self.subscriptions -= 1;
            self.counters.removes += 1;
        }
        effect.members.map(|members| delta(account, pattern, want, members))
    }

    /// Takes in what the shard `from` said.
    pub fn apply(&mut self, from: ShardId, delta: &Delta) {
        debug_assert_ne!(from, self.me, "a shard does not tell itself");
        let change = Change::Elsewhere(from, delta.members);
        let want = Want { queue: delta.queue.as_deref(), guard: delta.guard.as_ref() };
        self.change(delta.account, &delta.pattern, want, change);
    }

    fn change(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        want: Want<'_>,
        change: Change,
    ) -> delta::Effect {
        let hash = self.hashing.subject(account, pattern);
        let shape = shape(pattern);
        let effect = match shape {
            Shape::Literal => self.literals.apply(hash, account, pattern, want, change),
            Shape::Wildcard { .. } => {
                self.wildcards.apply(&self.hashing, account, pattern, want, change)
            }
        };
        if effect.changed {
            self.epoch += 1;
            self.cache.invalidate(&self.hashing, hash, account, pattern, shape);
        }
        effect
    }

    /// Everybody who wants a message on `subject`. A subject with an empty token matches nothing;
    /// `*` and `>` in it are ordinary bytes.
    pub fn matches(&mut self, account: AccountId, subject: &[u8]) -> Rc<MatchSet> {
        self.counters.matches += 1;
        let hash = self.hashing.subject(account, subject);
        match self.cache.get(hash, account, subject) {
            Some(set) => set,
            None => self.matches_anew(hash, account, subject),
        }
    }

    #[cold]
    #[inline(never)]
    fn matches_anew(&mut self, hash: u64, account: AccountId, subject: &[u8]) -> Rc<MatchSet> {
        self.counters.cache_misses += 1;
        let matcher = Matcher {
            hashing: &self.hashing,
            literals: &self.literals,
            wildcards: &self.wildcards,
            nobody: &self.nobody,
        };
        let set = matcher.matches(hash, account, subject);
        self.cache.put(&self.hashing, hash, account, subject, Rc::clone(&set));
        set
    }

    /// Different whenever any match set might be: as long as it is equal, a match set got earlier
    /// for a subject is still right. Once it differs, [`Self::matches`] is the cheap way to find
    /// out.
    ///
    /// Who may be idle for long remembers a `Weak` of the match set: a connection that keeps an
    /// outdated wide one alive costs as much memory as its receivers are many.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Subscriptions of this shard.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.subscriptions
    }

    /// Distinct patterns of this shard and the others, counted per account.
    #[must_use]
    pub fn patterns(&self) -> usize {
        self.literals.len() + self.wildcards.len()
    }

    /// Nodes of the wildcard trie.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.wildcards.nodes()
    }

    /// Patterns, nodes and edges there is memory for.
    #[cfg(test)]
    fn slots_reserved(&self) -> usize {
        self.literals.capacity() + self.wildcards.capacity()
    }

    /// Subjects remembered.
    #[must_use]
    pub fn cache_entries(&self) -> usize {
        self.cache.len()
    }

    /// Bytes of subjects and match sets remembered.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes()
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

fn delta(account: AccountId, pattern: &[u8], want: Want<'_>, members: u32) -> Delta {
    Delta {
        account,
        pattern: Arc::from(pattern),
        queue: want.queue.map(Arc::from),
        guard: want.guard.cloned(),
        members,
    }
}

/// Gives back the memory of a table that was once much larger. Amortised constant per removal.
fn shrink<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    const SLOTS_MIN: usize = 1024;
    if table.capacity() > SLOTS_MIN && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}
