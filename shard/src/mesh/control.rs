//! The control lane: a few typed frames from one shard to another, in order, never dropped.
//!
//! Interest deltas and new sockets travel here. What a frame is, the engine decides; the lane only
//! promises that it arrives. A sender asks [`ControlSender::has_room`] before it begins something
//! that needs frames, and pauses whoever asked for it if there is none.

use super::doorbell::Doorbell;
use super::ring::{Consumer, Producer, ring};
use super::sync::Arc;

/// The end of a control lane that frames go into.
pub struct ControlSender<C> {
    ring: Producer<C>,
    /// Rung by the receiver when slots came back while we sleep.
    room: Arc<Doorbell>,
    /// Slots that were asked for in vain; zero if nobody waits.
    wanted: usize,
}

/// The end of a control lane that frames come out of.
pub struct ControlReceiver<C> {
    ring: Consumer<C>,
    room: Arc<Doorbell>,
    /// Whether slots were emptied since the sender was last told.
    emptied: bool,
}

/// A control lane with at least `capacity` frames of room.
pub(super) fn control_lane<C: Send>(capacity: usize) -> (ControlSender<C>, ControlReceiver<C>) {
    let (producer, consumer) = ring(capacity);
    let room = Arc::new(Doorbell::new());
    (
        ControlSender { ring: producer, room: Arc::clone(&room), wanted: 0 },
        ControlReceiver { ring: consumer, room, emptied: false },
    )
}

impl<C: Send> ControlSender<C> {
    /// Whether `frames` more can be pushed, or as many as the lane holds. If not, the lane
    /// remembers the wish, and [`Self::unblocked`] tells when it can be granted.
    pub fn has_room(&mut self, frames: usize) -> bool {
        let frames = frames.min(self.ring.capacity());
        let room = self.ring.free() >= frames;
        self.wanted = if room { 0 } else { frames };
        room
    }

    /// Puts a frame behind the others; the receiver sees it after [`Self::publish`].
    ///
    /// # Errors
    /// Gives the frame back if the lane is full, which the caller has excluded with
    /// [`Self::has_room`].
    pub fn push(&mut self, frame: C) -> Result<(), C> {
        self.ring.push(frame)
    }

    /// Shows the receiver what was pushed. True if there was anything: ring its shard's doorbell.
    #[must_use = "if true, the receiving shard's doorbell must be rung"]
    pub fn publish(&mut self) -> bool {
        self.ring.publish()
    }

    /// For a shard that announced its sleep: whether room that was asked for in vain is there now,
    /// or frames were pushed and not shown. If not, the receiver will ring when slots come back.
    pub fn unblocked(&mut self) -> bool {
        if !self.ring.is_published() {
            return true;
        }
        if self.wanted == 0 {
            return false;
        }
        self.room.announce_sleep();
        self.ring.free() >= self.wanted
    }
}

impl<C: Send> ControlReceiver<C> {
    /// Takes the oldest frame. `None` means that nothing published before this call is left.
    pub fn pop(&mut self) -> Option<C> {
        let frame = self.ring.pop();
        self.emptied |= frame.is_some();
        frame
    }

    /// Hands the emptied slots back, after a drain. True if the sender sleeps until there is room:
    /// ring its shard's doorbell.
    #[must_use = "if true, the sending shard's doorbell must be rung"]
    pub fn release(&mut self) -> bool {
        if !std::mem::take(&mut self.emptied) {
            return false;
        }
        self.ring.release();
        self.room.ring()
    }

    /// Whether nothing is waiting, by a fresh look.
    pub fn is_empty(&mut self) -> bool {
        self.ring.is_empty()
    }
}
