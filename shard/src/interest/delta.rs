//! What one shard tells the others about its subscriptions.
//!
//! A delta is absolute: it says how many members the shard has now, not how many came or went. So
//! it may be applied twice, and a later delta makes an earlier one of the same kind redundant. What
//! must hold: deltas of one shard about one pattern, queue group and guard arrive in the order
//! they were made.

use std::sync::Arc;

use crate::authorize::Guard;
use crate::ids::{AccountId, ShardId};

use super::LocalTarget;

/// For whom a pattern is wanted, and what of it not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want<'a> {
    /// The queue group, or `None` for plain subscriptions.
    pub queue: Option<&'a [u8]>,
    /// What the subscription is not given although its pattern matches.
    pub guard: Option<&'a Arc<Guard>>,
}

impl<'a> From<Option<&'a [u8]>> for Want<'a> {
    /// Everything.
    fn from(queue: Option<&'a [u8]>) -> Self {
        Self { queue, guard: None }
    }
}

/// Interest of the sending shard in one pattern, for one queue group or for plain subscribers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Delta {
    /// The subject space the pattern belongs to.
    pub account: AccountId,
    /// The pattern as it was subscribed to.
    pub pattern: Arc<[u8]>,
    /// The queue group, or `None` for plain subscriptions.
    pub queue: Option<Arc<[u8]>>,
    /// What these subscriptions are not given; those with another guard are told of on their own.
    pub guard: Option<Arc<Guard>>,
    /// Members the shard has now. Plain subscriptions count as 1 however many there are, because a
    /// message crosses to a shard once.
    pub members: u32,
}

/// One edit of the interest in one pattern, for one queue group and guard.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    /// A subscription of this shard begins.
    Join(LocalTarget),
    /// A subscription of this shard ends.
    Leave(LocalTarget),
    /// Another shard has this many members now.
    Elsewhere(ShardId, u32),
}

/// What a [`Change`] did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Effect {
    /// Match sets of the pattern's subjects are different now.
    pub(super) changed: bool,
    /// The other shards must hear that this shard has so many members.
    pub(super) members: Option<u32>,
}
