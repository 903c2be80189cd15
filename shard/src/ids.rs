//! Numbers that mean something, each with a type of its own, so that they cannot be swapped.
//!
//! All of them are plain copies; none is ever sent to a client except [`ClientId`].

use std::fmt;

/// Position of a shard in this process. Shard 0 runs on the first core we were given; it accepts
/// new sockets, and is otherwise a shard like any other.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ShardId(u16);

impl ShardId {
    /// The shard that accepts sockets.
    pub const FIRST: Self = Self(0);

    /// The shard at `index`; at most [`crate::limits::SHARDS_MAX`] exist.
    #[must_use]
    pub const fn new(index: u16) -> Self {
        Self(index)
    }

    /// Position as an array index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number a frame carries.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Every shard of a process that runs `count` of them, in order.
    pub fn all(count: usize) -> impl Iterator<Item = Self> {
        (0..u16::try_from(count).unwrap_or(u16::MAX)).map(Self)
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A connection of one shard: a slot that is used again, and the generation that tells its users
/// apart. Meaningless on any other shard.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ConnId {
    slot: u32,
    generation: u32,
}

impl ConnId {
    /// The `generation`-th user of `slot`.
    #[must_use]
    pub const fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }

    /// Slot in the shard's table of connections.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.slot
    }

    /// How many connections used the slot before this one, modulo 2^32.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// Both halves in one number, for a frame or the user data of an I/O request.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// The inverse of [`Self::to_bits`].
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are taken apart")]
    pub const fn from_bits(bits: u64) -> Self {
        Self { slot: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A subscription of one shard: its slot in the shard's table of subscriptions. Slots are used
/// again only after the interest index has let go of the old one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SubId(u32);

impl SubId {
    /// The subscription in `slot`.
    #[must_use]
    pub const fn new(slot: u32) -> Self {
        Self(slot)
    }

    /// Slot in the shard's table of subscriptions.
    #[must_use]
    pub const fn slot(self) -> u32 {
        self.0
    }
}

/// The number a client sees as `client_id` in INFO and an operator sees as `cid`: unique in the
/// process, counted from 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ClientId(u64);

impl ClientId {
    /// The client with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A subject space. Small and dense, the same on every shard. Comes only out of authentication;
/// nothing a client sends is ever turned into one.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AccountId(u32);

impl AccountId {
    /// `$G`, the account of every connection that was given no other.
    pub const GLOBAL: Self = Self(0);

    /// The account of the server itself and of its operators, `$SYS` unless it was given another
    /// name.
    pub const SYSTEM: Self = Self(1);

    /// The account at `index` of the process's table of accounts.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// Position as an array index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The number a frame carries.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_survives_the_trip_through_bits() {
        for id in [ConnId::new(0, 0), ConnId::new(7, u32::MAX), ConnId::new(u32::MAX, 1)] {
            assert_eq!(ConnId::from_bits(id.to_bits()), id);
        }
    }

    #[test]
    fn shards_are_counted_from_zero() {
        assert_eq!(ShardId::all(3).map(ShardId::index).collect::<Vec<_>>(), [0, 1, 2]);
    }
}
