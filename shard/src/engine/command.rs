//! What a shard wants done to its sockets.

use crate::ids::ConnId;

/// To be carried out by the driver, in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Command {
    /// Read no more from this connection for now; the kernel slows its peer down.
    Pause(ConnId),
    /// Read from it again.
    Resume(ConnId),
    /// Everything was said: tell the peer so, and wait for it to hang up.
    Finish(ConnId),
    /// Let go of the socket, then tell the shard with `on_released`.
    Close(ConnId),
}
