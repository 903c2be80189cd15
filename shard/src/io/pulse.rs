//! The pulse of the shards: whoever looks after the process can see that every one of them turns.
//!
//! Each shard notes the time of its last turn, with a plain store to a cache line of its own. A
//! shard that sleeps wakes up in time to note it again, if somebody looks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Now;
use crate::ids::ShardId;

/// The last turn of one shard, in nanoseconds of the process's clock.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Beat(AtomicU64);

/// The last turn of every shard.
#[derive(Clone, Debug)]
pub(super) struct Pulses {
    beats: Arc<[Beat]>,
    rest: Option<Duration>,
}

impl Pulses {
    /// Of that many shards. With `rest`, none of them sleeps longer than that.
    pub(super) fn new(shards: usize, rest: Option<Duration>) -> Self {
        Self { beats: (0..shards).map(|_| Beat::default()).collect(), rest }
    }

    /// The part of one shard.
    pub(super) fn of(&self, shard: ShardId) -> Pulse {
        Pulse { pulses: self.clone(), shard }
    }

    /// When the shard turned that has not turned for the longest time.
    pub(super) fn oldest(&self) -> Now {
        let beats = self.beats.iter().map(|beat| beat.0.load(Ordering::Relaxed));
        Now::from_nanos(beats.min().unwrap_or_default())
    }
}

/// One shard's part.
#[derive(Debug)]
pub(super) struct Pulse {
    pulses: Pulses,
    shard: ShardId,
}

impl Pulse {
    /// This shard turns.
    #[inline]
    pub(super) fn beat(&self, now: Now) {
        if let Some(beat) = self.pulses.beats.get(self.shard.index()) {
            beat.0.store(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// The longest it may sleep.
    pub(super) fn rest(&self) -> Option<Duration> {
        self.pulses.rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_shard_is_the_one_that_counts() {
        let pulses = Pulses::new(3, None);
        for (shard, nanos) in ShardId::all(3).zip([30, 10, 20]) {
            pulses.of(shard).beat(Now::from_nanos(nanos));
        }
        assert_eq!(pulses.oldest(), Now::from_nanos(10));
        pulses.of(ShardId::all(3).nth(1).expect("three")).beat(Now::from_nanos(40));
        assert_eq!(pulses.oldest(), Now::from_nanos(20));
    }
}
