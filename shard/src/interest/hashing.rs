//! The one keyed hash of the index: a peer chooses what is hashed, so it must not know the key.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

use crate::ids::AccountId;

/// Hashes with a key of its own; equal for equal seeds, which is what a simulation needs.
#[derive(Clone, Debug)]
pub(super) struct Hashing(RandomState);

impl Hashing {
    pub(super) fn new(seed: u64) -> Self {
        // Four keys from one: the generator is not for secrecy, the seed is.
        let mut random = fastrand::Rng::with_seed(seed);
        Self(RandomState::with_seeds(
            random.u64(..),
            random.u64(..),
            random.u64(..),
            random.u64(..),
        ))
    }

    /// Hash of a subject, a literal pattern or a prefix in its account.
    pub(super) fn subject(&self, account: AccountId, subject: &[u8]) -> u64 {
        self.hash(account.get(), subject)
    }

    /// Hash of the edge that leaves `parent` with `token`.
    pub(super) fn edge(&self, parent: u32, token: &[u8]) -> u64 {
        self.hash(parent, token)
    }

    fn hash(&self, space: u32, bytes: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write_u32(space);
        hasher.write(bytes);
        hasher.finish()
    }
}
