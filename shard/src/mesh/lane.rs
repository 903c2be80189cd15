//! The message lane: batches of encoded frames from one shard to another, and the emptied buffers
//! back.
//!
//! What one turn has for another shard is collected in a buffer and handed over whole, so a
//! message costs a copy and a batch costs one store. The receiver decodes in place and gives the
//! buffer back, so in steady state nothing is allocated, and no thread frees what another one
//! allocated. Which bytes are in flight is known to the sender alone: it counts what it hands over
//! and what comes back.
//!
//! Bounds: `bytes_max` in flight, and one frame over it; [`LANE_BATCHES`] handed over and not given
//! back. Both rings have that many slots, so neither push can fail.
//!
//! Nothing is lost: a frame appended without room still goes into the buffer being filled.

use super::doorbell::Doorbell;
use super::frame::{self, Frame, Frames, MessageFrame};
use super::ring::{Consumer, Producer, ring};
use super::sync::Arc;
use crate::limits::{BATCH_BYTES, LANE_BATCHES};

/// Capacity of a buffer at first: a lane with little to say does not need a batch's worth.
const FIRST_BUFFER: usize = 4096;

/// Buffers that grew beyond this for one large frame are not kept.
const KEPT_BUFFER_MAX: usize = 2 * BATCH_BYTES;

/// Frames that were handed over together. To be given back to the receiver it was taken from: a
/// batch that is dropped instead counts as in flight for ever.
#[must_use = "a batch must be given back"]
pub struct Batch(Vec<u8>);

impl Batch {
    /// The frames in it behind the first `done` bytes, in order; they borrow from it.
    #[must_use]
    pub fn frames(&self, done: usize) -> Frames<'_> {
        frame::decode(self.0.get(done..).unwrap_or_default())
    }

    /// Bytes of all its frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has no frame: never, for a batch that came over a lane.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The end of a message lane that frames go into.
pub struct MessageSender {
    ring: Producer<Vec<u8>>,
    returned: Consumer<Vec<u8>>,
    /// Frames appended and not handed over.
    filling: Vec<u8>,
    /// Empty buffers for the next batches, the one used last on top, as it may still be cached.
    spares: Vec<Vec<u8>>,
    /// Capacity of all spares together; at most [`Self::kept_max`].
    spare_bytes: usize,
    /// Batches handed over and not given back, as far as we have looked; at most `LANE_BATCHES`.
    batches_out: usize,
    /// The bytes in them.
    bytes_out: usize,
    bytes_max: usize,
    /// Whether room was asked for in vain.
    wanted: bool,
    /// Rung by the receiver when a batch came back while we sleep.
    room: Arc<Doorbell>,
}

/// The end of a message lane that batches come out of.
pub struct MessageReceiver {
    ring: Consumer<Vec<u8>>,
    returns: Producer<Vec<u8>>,
    room: Arc<Doorbell>,
}

/// A message lane with `bytes_max` of room.
pub(super) fn message_lane(bytes_max: usize) -> (MessageSender, MessageReceiver) {
    let (to_receiver, from_sender) = ring(LANE_BATCHES);
    let (to_sender, from_receiver) = ring(LANE_BATCHES);
    let room = Arc::new(Doorbell::new());
    let sender = MessageSender {
        ring: to_receiver,
        returned: from_receiver,
        filling: Vec::new(),
        spares: Vec::new(),
        spare_bytes: 0,
        batches_out: 0,
        bytes_out: 0,
        bytes_max,
        wanted: false,
        room: Arc::clone(&room),
    };
    (sender, MessageReceiver { ring: from_sender, returns: to_sender, room })
}

impl MessageSender {
    /// Whether one more frame, of any size, may be appended. If not, the publisher is to be paused;
    /// the lane remembers that, and [`Self::unblocked`] tells when it can go on.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        if !self.within_bounds() {
            self.collect();
            self.wanted = !self.within_bounds();
            return !self.wanted;
        }
        self.wanted = false;
        true
    }

    /// Appends a message; the receiver sees it after [`Self::publish`].
    #[inline]
    pub fn append_message<'g, G>(&mut self, frame: &MessageFrame<'_, G>)
    where
        G: IntoIterator<Item = &'g [u8]> + Clone,
    {
        self.begin(frame.encoded_len());
        frame::encode_message(frame, &mut self.filling);
    }

    /// Appends a frame of any kind; the receiver sees it after [`Self::publish`].
    pub fn append(&mut self, frame: &Frame<'_>) {
        self.begin(frame::encoded_len(frame));
        frame::encode(frame, &mut self.filling);
    }

    /// Shows the receiver what was appended. True if it can see anything new: ring its shard's
    /// doorbell. Interest deltas must be published before the messages that may follow from them,
    /// so nothing is shown earlier, not even a full batch.
    ///
    /// With [`LANE_BATCHES`] batches out, the last one stays here until a later call: see
    /// [`Self::unblocked`].
    #[must_use = "if true, the receiving shard's doorbell must be rung"]
    #[inline]
    pub fn publish(&mut self) -> bool {
        if !self.filling.is_empty() {
            self.hand_over();
        }
        self.ring.publish()
    }

    /// Bytes appended and not given back by the receiver, as far as we have looked.
    #[must_use]
    pub fn bytes_in_flight(&self) -> usize {
        self.bytes_out + self.filling.len()
    }

    /// For a shard that announced its sleep: whether room that was asked for in vain is there now,
    /// or frames that [`Self::publish`] had to keep can go. If not, the receiver will ring when a
    /// batch comes back.
    pub fn unblocked(&mut self) -> bool {
        let kept = !self.filling.is_empty();
        if !self.wanted && !kept {
            return false;
        }
        self.room.announce_sleep();
        self.collect();
        (self.wanted && self.within_bounds()) || (kept && self.batches_out < LANE_BATCHES)
    }

    /// A full ring is no reason to stop before the batch being filled is full too.
    #[inline]
    fn within_bounds(&self) -> bool {
        self.bytes_in_flight() < self.bytes_max
            && (self.batches_out < LANE_BATCHES || self.filling.len() < BATCH_BYTES)
    }

    /// Makes way for a frame of `len` bytes.
    #[inline]
    fn begin(&mut self, len: usize) {
        let end = self.filling.len() + len;
        if end > self.filling.capacity() || end > BATCH_BYTES {
            self.make_way(len);
        }
    }

    /// Hands over rather than grow beyond a batch. Buffers double up to a batch exactly, so that
    /// those of a busy lane are all alike and their sum is known.
    #[cold]
    fn make_way(&mut self, len: usize) {
        if self.filling.len() + len > BATCH_BYTES && !self.filling.is_empty() {
            self.hand_over();
        }
        let end = self.filling.len() + len;
        if end > self.filling.capacity() {
            let doubled = (2 * self.filling.capacity()).clamp(FIRST_BUFFER, BATCH_BYTES);
            self.filling.reserve_exact(doubled.max(end) - self.filling.len());
        }
    }

    /// Puts the batch being filled on the ring and takes an empty buffer, unless too many are out.
    fn hand_over(&mut self) {
        if self.spares.is_empty() || self.batches_out == LANE_BATCHES {
            self.collect();
        }
        if self.batches_out == LANE_BATCHES {
            return;
        }
        let next = self.spares.pop().unwrap_or_default();
        self.spare_bytes -= next.capacity();
        let batch = std::mem::replace(&mut self.filling, next);
        self.bytes_out += batch.len();
        self.batches_out += 1;
        let pushed = self.ring.push(batch);
        debug_assert!(pushed.is_ok(), "a ring has a slot for every batch that may be out");
    }

    /// What a full lane of small frames needs: its last batch, and the one after it, are begun
    /// while the others are out.
    fn kept_max(&self) -> usize {
        self.bytes_max + 2 * BATCH_BYTES
    }

    /// Takes in what the receiver has given back.
    fn collect(&mut self) {
        while let Some(mut buffer) = self.returned.pop() {
            self.batches_out -= 1;
            self.bytes_out -= buffer.len();
            let capacity = buffer.capacity();
            if capacity <= KEPT_BUFFER_MAX && self.spare_bytes + capacity <= self.kept_max() {
                buffer.clear();
                self.spare_bytes += capacity;
                self.spares.push(buffer);
            }
        }
    }
}

impl MessageReceiver {
    /// Takes the oldest batch.
    #[inline]
    pub fn take(&mut self) -> Option<Batch> {
        self.ring.pop().map(Batch)
    }

    /// Gives a batch back when its frames are done with. True if the sender sleeps until there is
    /// room: ring its shard's doorbell.
    #[must_use = "if true, the sending shard's doorbell must be rung"]
    #[inline]
    pub fn give_back(&mut self, batch: Batch) -> bool {
        // The slot first: who sees the batch come back may count on a free slot.
        self.ring.release();
        let pushed = self.returns.push(batch.0);
        debug_assert!(pushed.is_ok(), "a ring has a slot for every batch that may be out");
        self.returns.publish();
        self.room.ring()
    }

    /// Whether nothing is waiting, by a fresh look.
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        self.ring.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
impl MessageSender {
    pub(super) fn spare_capacities(&self) -> impl Iterator<Item = usize> {
        self.spares.iter().map(Vec::capacity)
    }

    pub(super) fn filling_capacity(&self) -> usize {
        self.filling.capacity()
    }

    /// Bytes in flight by a fresh look at what came back.
    pub(super) fn settled_bytes(&mut self) -> usize {
        self.collect();
        self.bytes_in_flight()
    }
}
