//! The only place that knows sockets, io_uring, glommio, threads and the clock.
//!
//! | file | what |
//! | --- | --- |
//! | [`spawn`] | one pinned executor per core, wired together |
//! | [`driver`] | the turn of a shard: input, calls of the pure [`Shard`](crate::engine::Shard), output, sleep |
//! | [`socket_ring`] | one io_uring per shard for its sockets |
//! | [`buf`] | the buffers that the kernel receives into |
//! | [`sockets`] | sockets by connection |
//! | [`flush`] | an outbox into a socket |
//! | [`gather`] | which sockets to leave alone for a moment |
//! | [`listen`], [`placement`] | accepting, and which shard a connection lives on |
//! | [`wake`] | waking a shard that sleeps |
//! | [`helpers`] | threads beside the shards: |
//! | [`shakers`] | those that do steps of handshakes |
//! | [`judges`] | those that find out who clients are, where that takes long |
//! | [`inspect`], [`control`] | looking into shards from outside; sessions of the server itself |
//! | [`pace`] | what a driver does with its time |
//! | [`pulse`] | whether every shard turns |
//! | [`clock`] | reading the clock |
//! | [`probe`] | whether this host offers all that |

#[expect(unsafe_code, reason = "memory that the kernel writes into")]
mod buf;
mod clock;
mod driver;
mod flush;
mod gather;
mod helpers;
mod control;
mod inspect;
mod judges;
mod listen;
mod pace;
mod placement;
mod pulse;
#[expect(unsafe_code, reason = "memory that the kernel writes into")]
pub mod probe;
#[expect(unsafe_code, reason = "requests to the kernel")]
mod socket_ring;
mod shakers;
mod sockets;
mod spawn;
mod wake;

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;

use crate::account::Accounts;
use crate::engine::{Treated, Treatment};
use crate::ids::{AccountId, ClientId, ConnId};
use crate::options::{Grant, Options, Verdict};
use crate::session::TrialId;
use crate::transport::HandshakeDone;

pub use clock::Clock;
pub use control::Control;
pub use inspect::{Inspector, PATIENCE, Sight, Slice, Stuck};
pub use pace::{LoopStats, TURN_MICROS};
pub use spawn::{Running, StartOptions, start};

/// What a process tells all its shards.
pub(crate) enum Order {
    /// Take no new clients, and tell those that are here.
    LameDuck,
    /// Close so many connections.
    Shed(usize),
    /// Go on with these options.
    Options(Arc<Options>),
    /// Go on with these terms of accounts.
    Accounts(Arc<Accounts>),
    /// Close so many connections because there are too many.
    Surplus(usize),
    /// Close all connections and end, within that time.
    Stop(Duration),
    /// A session of the server itself, on this end of a pair of sockets.
    Internal(OwnedFd, Grant),
    /// Do something to one client, and tell whether that was done.
    Treat(ClientId, Treatment, Sender<Treated>),
    /// The verdict of a trial.
    Judged(TrialId, Verdict),
    /// Look at the clients of an account again.
    Review(AccountId),
    /// What came of a step of that connection's handshake.
    Shaken(ConnId, HandshakeDone),
    /// Show itself to somebody.
    Look(inspect::Look),
}

/// Why a process could not start.
#[derive(Debug)]
pub enum StartError {
    /// No shards, or more than can be.
    Shards {
        /// What was asked for.
        count: usize,
        /// What is possible.
        most: usize,
    },
    /// A shard could not be pinned to its core.
    Core {
        /// The core.
        core: usize,
        /// What the runtime said.
        reason: String,
    },
    /// The kernel refused a socket ring.
    Ring(std::io::Error),
    /// The kernel refused a thread.
    Judges(std::io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shards { count, most } => {
                write!(f, "cannot run {count} shards: between 1 and {most} are possible")
            }
            Self::Core { core, reason } => write!(f, "cannot run a shard on core {core}: {reason}"),
            Self::Judges(error) => {
                write!(f, "cannot start a thread to check credentials on: {error}")
            }
            Self::Ring(error) => {
                write!(f, "cannot set up io_uring for sockets: {error}")?;
                if error.kind() == std::io::ErrorKind::OutOfMemory {
                    // The limit itself was found good before; others have used it up.
                    f.write_str(
                        ": too little is left of the locked memory that all processes of this user \
                         share. Set LimitMEMLOCK=64M in the unit, '--ulimit memlock=67108864' in \
                         Docker, or 'memlock' in /etc/security/limits.conf",
                    )?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for StartError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_without_memory_names_the_remedy() {
        let error = std::io::Error::from(rustix::io::Errno::NOMEM);
        let text = StartError::Ring(error).to_string();
        assert!(text.contains("LimitMEMLOCK=64M"), "{text}");
        let other = StartError::Ring(rustix::io::Errno::PERM.into()).to_string();
        assert!(!other.contains("locked memory"), "{other}");
    }
}
