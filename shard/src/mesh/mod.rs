//! The mesh: the only way in which shards talk.
//!
//! For each ordered pair of shards there are two lanes, each with one sender and one receiver. The
//! *control lane* carries interest deltas and new sockets, one by one; the *message lane* carries
//! batches of messages and answers. A full lane pauses those who need it, and nobody else; a
//! receiver never needs room in an outbound lane to drain an inbound one.
//!
//! What must hold, for whatever drives a shard:
//!
//! - **Interest before messages.** [`Endpoint::publish`] shows control frames first, to everybody.
//!   A receiver takes a batch, then drains all control lanes, then looks into the batch.
//! - **Publish, then ring.** [`Endpoint::publish`] says whom to wake. If `release` or `give_back`
//!   returns true, ring the other shard's doorbell; if that returns true too, wake it.
//! - **Announce, look, sleep.** A shard that has nothing to do calls `announce_sleep` on its own
//!   doorbell, then [`Endpoint::may_sleep`], and sleeps only if that is true. Awake again, for
//!   whatever reason, it calls `awake`, drains its lanes, publishes (also what an earlier `publish`
//!   had to keep), and looks again at whoever was paused for want of room.
//!
//! Memory: one lane pair has two rings of buffers (3 KiB), one of control frames, and what was sent
//! last. [`Capacity`] shrinks with the number of shards, since their pairs grow with its square:
//!
//! | shards | pairs | control frames | rings, 48-byte frames | in flight per pair, at most |
//! | -----: | ----: | -------------: | --------------------: | --------------------------: |
//! |      2 |     2 |           4096 |               0.4 MiB |                       1 MiB |
//! |     16 |   240 |            512 |               6.3 MiB |                       1 MiB |
//! |     64 | 4,032 |            128 |                35 MiB |                     256 KiB |
//! |    256 | 65,280 |            64 |               383 MiB |                      64 KiB |
//!
//! Empty buffers are kept for the next batches, up to what may be in flight and two batches.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "a lock-free ring cannot be had without")]
pub mod ring;

pub mod control;
pub mod doorbell;
pub mod frame;
pub mod lane;
mod sync;

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(loom)))]
mod tests;

use std::sync::Arc;

pub use control::{ControlReceiver, ControlSender};
pub use doorbell::Doorbell;
pub use frame::{Frame, GroupNames, MessageFrame, Origin};
pub use lane::{Batch, MessageReceiver, MessageSender};

use crate::ids::ShardId;
use crate::limits;

/// The lanes from one shard to another.
pub struct Outbound<C> {
    /// Interest deltas, new sockets.
    pub control: ControlSender<C>,
    /// Messages and answers.
    pub messages: MessageSender,
}

/// The lanes to one shard from another.
pub struct Inbound<C> {
    /// Interest deltas, new sockets.
    pub control: ControlReceiver<C>,
    /// Messages and answers.
    pub messages: MessageReceiver,
}

/// One shard's part of the mesh.
pub struct Endpoint<C> {
    /// The shard it is for.
    pub me: ShardId,
    /// Lanes to each shard, by its index; none to itself.
    pub to: Vec<Option<Outbound<C>>>,
    /// Lanes from each shard, by its index; none from itself.
    pub from: Vec<Option<Inbound<C>>>,
    /// Every shard's doorbell, by its index.
    pub doorbells: Arc<[Doorbell]>,
}

/// How large the lanes of one pair of shards are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// Frames on a control lane.
    pub control_frames: usize,
    /// Bytes in flight on a message lane.
    pub lane_bytes: usize,
}

impl Capacity {
    /// The capacity of each pair in a process of that many shards.
    #[must_use]
    pub fn of(shards: usize) -> Self {
        let shards = shards.max(1);
        Self {
            control_frames: (limits::CONTROL_FRAMES_OUT / shards)
                .clamp(limits::CONTROL_FRAMES_MIN, limits::CONTROL_FRAMES),
            lane_bytes: (limits::LANES_BYTES_MAX / shards)
                .clamp(limits::BATCH_BYTES, limits::LANE_BYTES_MAX),
        }
    }
}

/// The mesh of that many shards: one endpoint for each.
#[must_use]
pub fn mesh<C: Send>(shards: usize) -> Vec<Endpoint<C>> {
    mesh_of(shards, Capacity::of(shards))
}

/// The same with lanes of another size: tests want small ones, which are full all the time.
#[must_use]
pub fn mesh_of<C: Send>(shards: usize, capacity: Capacity) -> Vec<Endpoint<C>> {
    debug_assert!(shards <= limits::SHARDS_MAX);
    let doorbells: Arc<[Doorbell]> = (0..shards).map(|_| Doorbell::new()).collect();
    let mut endpoints: Vec<Endpoint<C>> = ShardId::all(shards)
        .map(|me| Endpoint {
            me,
            to: Vec::with_capacity(shards),
            from: Vec::with_capacity(shards),
            doorbells: Arc::clone(&doorbells),
        })
        .collect();
    for from in 0..shards {
        for to in 0..shards {
            let (outbound, inbound) = (from != to).then(|| lanes(capacity)).unzip();
            endpoints[from].to.push(outbound);
            endpoints[to].from.push(inbound);
        }
    }
    endpoints
}

/// Both lanes from one shard to another.
fn lanes<C: Send>(capacity: Capacity) -> (Outbound<C>, Inbound<C>) {
    let (control_sender, control_receiver) = control::control_lane(capacity.control_frames);
    let (message_sender, message_receiver) = lane::message_lane(capacity.lane_bytes);
    (
        Outbound { control: control_sender, messages: message_sender },
        Inbound { control: control_receiver, messages: message_receiver },
    )
}

impl<C: Send> Outbound<C> {
    /// See [`ControlSender::unblocked`] and [`MessageSender::unblocked`]. Both are always asked:
    /// asking is also how a lane learns to ring.
    fn unblocked(&mut self) -> bool {
        let control = self.control.unblocked();
        self.messages.unblocked() || control
    }
}

impl<C: Send> Inbound<C> {
    /// Whether nothing is waiting on either lane, by a fresh look.
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        self.control.is_empty() && self.messages.is_empty()
    }
}

impl<C: Send> Endpoint<C> {
    /// Shows the other shards everything pushed and appended, and adds those that must be woken to
    /// `wake`.
    ///
    /// All control lanes come before the first message lane: what a message brings about on the
    /// shard that gets it may reach a third one before this call ends.
    pub fn publish(&mut self, wake: &mut Vec<ShardId>) {
        let Self { to, doorbells, .. } = self;
        let asleep = |shard: ShardId| doorbells[shard.index()].ring();
        for (shard, lane) in ShardId::all(to.len()).zip(to.iter_mut()) {
            if lane.as_mut().is_some_and(|lane| lane.control.publish()) && asleep(shard) {
                wake.push(shard);
            }
        }
        for (shard, lane) in ShardId::all(to.len()).zip(to.iter_mut()) {
            if lane.as_mut().is_some_and(|lane| lane.messages.publish()) && asleep(shard) {
                wake.push(shard);
            }
        }
    }

    /// After `announce_sleep` on our own doorbell: whether no lane has anything for us, neither
    /// frames nor the room we wait for. Then whoever brings some will ring.
    pub fn may_sleep(&mut self) -> bool {
        let arrived = self.from.iter_mut().flatten().any(|inbound| !inbound.is_empty());
        !arrived && !self.to.iter_mut().flatten().any(Outbound::unblocked)
    }

    /// Our own doorbell.
    #[must_use]
    pub fn doorbell(&self) -> &Doorbell {
        &self.doorbells[self.me.index()]
    }

    /// To be called after something was published for `shard`. True if it must be woken.
    #[must_use = "if true, the shard sleeps until the caller wakes it"]
    #[inline]
    pub fn ring(&self, shard: ShardId) -> bool {
        self.doorbells[shard.index()].ring()
    }
}
