//! The other shards, as this one deals with them: lanes out, lanes in, and what had to wait.
//!
//! Two things may wait here although a lane is full, each with a bound of its own:
//! - *removals* of interest whose cause cannot be held back (a connection ended, a subscription had
//!   its last message, or others are kept from it since a reload): at most twice as many as there
//!   were subscriptions, and while any waits, no SUB or UNSUB is carried out, so that the order of
//!   deltas stands;
//! - *spilled* frames, sent on because the queue members picked for them were gone, and answers to
//!   publishers: at most [`SPILL_BYTES_MAX`] for each shard. What would go over that is dropped and
//!   counted.

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::ids::ShardId;
use crate::interest::{Delta, MatchSet};
use crate::limits::SPILL_BYTES_MAX;
use crate::mesh::frame::{self, encode};
use crate::mesh::{Batch, Endpoint, Frame, MessageFrame};

/// Batches taken from one lane in one turn: about a lane's worth of bytes.
const BATCHES_PER_TURN: usize = 16;

/// Batches taken from the lanes, and from which, in the order in which they are to be processed.
pub type Taken = VecDeque<(ShardId, Batch)>;

/// The other shards.
pub struct Peers {
    endpoint: Endpoint<Delta>,
    removals: VecDeque<Delta>,
    /// Encoded frames that wait for room, by shard.
    spilled: Vec<Vec<u8>>,
    /// Frames that found no room even here.
    dropped: u64,
    /// Shards to wake after the next [`Peers::commit`], for what was given back to them.
    owed: SmallVec<[ShardId; 8]>,
}

impl Peers {
    /// The peers that `endpoint` leads to.
    #[must_use]
    pub fn new(endpoint: Endpoint<Delta>) -> Self {
        let spilled = endpoint.to.iter().map(|_| Vec::new()).collect();
        Self { endpoint, removals: VecDeque::new(), spilled, dropped: 0, owed: SmallVec::new() }
    }

    /// This shard.
    #[must_use]
    pub fn me(&self) -> ShardId {
        self.endpoint.me
    }

    /// Frames that were dropped for want of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Bytes on their way to other shards, as far as this one has looked: in lanes, and waiting for
    /// room on them.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let lanes = self.endpoint.to.iter().flatten().map(|lane| lane.messages.bytes_in_flight());
        lanes.sum::<usize>() + self.spilled.iter().map(Vec::len).sum::<usize>()
    }

    /// What was kept back for want of room: removals, and bytes of spilled frames.
    #[must_use]
    pub fn backlog(&self) -> usize {
        self.removals.len() + self.spilled.iter().map(Vec::len).sum::<usize>()
    }

    /// Whether a change of interest can be told to everybody now.
    pub fn can_broadcast(&mut self) -> bool {
        self.removals.is_empty() && self.control_has_room()
    }

    /// Whether so many changes can be told together; as many as lanes hold, if they hold fewer.
    pub fn can_broadcast_all(&mut self, changes: usize) -> bool {
        let lanes = self.endpoint.to.iter_mut().flatten();
        self.removals.is_empty()
            && lanes.filter_map(|lane| (!lane.control.has_room(changes)).then_some(())).count() == 0
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> usize {
        self.endpoint.to.len()
    }

    /// Every lane is asked, not only up to the first full one: asking is how a lane learns to wake
    /// us.
    fn control_has_room(&mut self) -> bool {
        let lanes = self.endpoint.to.iter_mut().flatten();
        lanes.filter_map(|lane| (!lane.control.has_room(1)).then_some(())).count() == 0
    }

    /// Tells everybody about a change of interest. Unless it is the end of something, or comes of a
    /// reload, the caller has made sure of [`Self::can_broadcast`].
    pub fn broadcast(&mut self, delta: Delta) {
        if !self.can_broadcast() {
            self.removals.push_back(delta);
            return;
        }
        self.push_delta(&delta);
    }

    fn push_delta(&mut self, delta: &Delta) {
        for lane in self.endpoint.to.iter_mut().flatten() {
            let pushed = lane.control.push(delta.clone());
            debug_assert!(pushed.is_ok(), "room was asked for");
        }
    }

    /// The first shard among those that `set` may send to whose lane is full.
    pub fn full_lane(&mut self, set: &MatchSet) -> Option<ShardId> {
        let grouped = set.groups.iter().flat_map(|group| group.remote.iter().map(|(s, _)| *s));
        let mut shards = set.remote.iter().copied().chain(grouped);
        shards.find(|shard| !Self::lane_has_room(&mut self.endpoint, *shard))
    }

    /// Whether a publisher that waited for that lane may go on.
    pub fn has_room(&mut self, shard: ShardId) -> bool {
        Self::lane_has_room(&mut self.endpoint, shard)
    }

    fn lane_has_room(endpoint: &mut Endpoint<Delta>, shard: ShardId) -> bool {
        endpoint
            .to
            .get_mut(shard.index())
            .and_then(Option::as_mut)
            .is_none_or(|lane| lane.messages.has_room())
    }

    /// Sends a message to a shard whose lane was found to have room.
    #[inline]
    pub fn send<'g, G>(&mut self, shard: ShardId, frame: &MessageFrame<'_, G>)
    where
        G: IntoIterator<Item = &'g [u8]> + Clone,
    {
        if let Some(lane) = self.endpoint.to.get_mut(shard.index()).and_then(Option::as_mut) {
            lane.messages.append_message(frame);
        }
    }

    /// Sends a frame that cannot be held back: waits here if the lane is full. Returns false if it
    /// was dropped.
    pub fn send_on(&mut self, shard: ShardId, frame: &Frame<'_>) -> bool {
        let Some(lane) = self.endpoint.to.get_mut(shard.index()).and_then(Option::as_mut) else {
            return false;
        };
        let Some(spilled) = self.spilled.get_mut(shard.index()) else { return false };
        if spilled.is_empty() && lane.messages.has_room() {
            lane.messages.append(frame);
        } else if spilled.len() < SPILL_BYTES_MAX {
            encode(frame, spilled);
        } else {
            self.dropped += 1;
            return false;
        }
        true
    }

    /// Shows the other shards everything that was pushed, interest before messages, and adds those
    /// that must be woken to `wake`. After this, what follows from it may leave the shard.
    pub fn commit(&mut self, wake: &mut Vec<ShardId>) {
        while !self.removals.is_empty() {
            if !self.control_has_room() {
                break;
            }
            if let Some(delta) = self.removals.pop_front() {
                self.push_delta(&delta);
            }
        }
        self.catch_up();
        self.endpoint.publish(wake);
        let endpoint = &self.endpoint;
        wake.extend(self.owed.drain(..).filter(|shard| endpoint.ring(*shard)));
    }

    /// Moves spilled frames to their lane as far as there is room.
    fn unspill(&mut self, index: usize) {
        let Some(spilled) = self.spilled.get_mut(index).filter(|spilled| !spilled.is_empty())
        else {
            return;
        };
        let Some(lane) = self.endpoint.to.get_mut(index).and_then(Option::as_mut) else { return };
        let mut moved = 0;
        for frame in frame::decode(spilled) {
            if !lane.messages.has_room() {
                break;
            }
            lane.messages.append(&frame);
            moved += frame::encoded_len(&frame);
        }
        spilled.drain(..moved);
    }

    /// Room that came back since the last turn goes to what was kept back, before publishers that
    /// always have more can take it.
    pub fn catch_up(&mut self) {
        for index in 0..self.endpoint.to.len() {
            self.unspill(index);
        }
    }

    /// Takes what the message lanes hold. It must not be looked into before every change of
    /// interest that was told before it was taken in, which [`Self::take_deltas`] does next.
    pub fn take_batches(&mut self, taken: &mut Taken) {
        for (from, lane) in ShardId::all(self.endpoint.from.len()).zip(&mut self.endpoint.from) {
            let Some(lane) = lane else { continue };
            for _ in 0..BATCHES_PER_TURN {
                let Some(batch) = lane.messages.take() else { break };
                taken.push_back((from, batch));
            }
        }
    }

    /// Takes in every change of interest that was told so far, by `apply`.
    pub fn take_deltas(&mut self, mut apply: impl FnMut(ShardId, &Delta)) {
        for (from, lane) in ShardId::all(self.endpoint.from.len()).zip(&mut self.endpoint.from) {
            let Some(lane) = lane else { continue };
            while let Some(delta) = lane.control.pop() {
                apply(from, &delta);
            }
            if lane.control.release() {
                self.owed.push(from);
            }
        }
    }

    /// A batch was processed.
    pub fn give_back(&mut self, from: ShardId, batch: Batch) {
        if let Some(lane) = self.endpoint.from.get_mut(from.index()).and_then(Option::as_mut)
            && lane.messages.give_back(batch)
        {
            self.owed.push(from);
        }
    }

    /// Whether anything waits on the lanes, by a fresh look.
    pub fn any_arrived(&mut self) -> bool {
        self.endpoint.from.iter_mut().flatten().any(|lane| !lane.is_empty())
    }

    /// This shard is about to sleep. If this is true, it may: whoever has something for it will
    /// say so. If it is false, there is something already.
    pub fn may_sleep(&mut self) -> bool {
        self.endpoint.doorbell().announce_sleep();
        let may = self.endpoint.may_sleep();
        if !may {
            self.endpoint.doorbell().awake();
        }
        may
    }

    /// This shard has slept.
    pub fn awake(&self) {
        self.endpoint.doorbell().awake();
    }
}
