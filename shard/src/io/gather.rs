//! Which sockets to leave alone for a moment, and reading from them afterwards.
//!
//! A publisher that sends one message per write is received from once per message, and slowed down
//! by that: each of its writes meets the shard on the socket, or has to wake it. Left alone for
//! [`GATHER_REST`], the socket gathers what comes, and one read takes it all: 16 B messages, server
//! and clients on a core each, cost 0.2 us instead of 3.3 us, and 1.3 M/s of them come instead of
//! 0.2 M/s. That helps only a publisher that waits for nothing else. One that waits for answers is
//! slowed down by every rest, so a rest has to prove itself: only while the stream is faster than
//! without does it go on.
//!
//! One [`Gather`] watches one socket. It knows no socket, only when how much came.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use crate::clock::Now;
use crate::limits::GATHER_REST;

/// Receives of no more than this on average cost more for the calls than for the bytes.
const CRUMB_BYTES: u64 = 8 << 10;

/// Receives further apart than this on average are no stream.
const CRUMB_GAP: Duration = Duration::from_micros(40);

/// How long a stream is watched before it is left alone for the first time. Long enough to hold
/// several time slices: where server and clients share a core, the rate comes and goes with them.
const WATCH: Duration = Duration::from_millis(10);

/// How often that time is doubled at most, once for each time that rests did not help: a stream
/// that was judged wrongly is judged again, and one that waits for answers loses next to nothing.
const DOUBT_MAX: u8 = 10;

/// Rests that are judged together.
const RESTS: u32 = 16;

/// After so many judgements the stream is watched again: what it was without rests may be long ago.
const PROOFS: u32 = 100;

/// Rate of a stream with rests, in percent of the rate without, for the first judgement to be good.
/// More than chance: a stream that comes at a rate of its own is not to wait for nothing.
const FASTER: u128 = 105;

/// The same for those that follow, less what chance may do.
const AS_FAST: u128 = 95;

/// How the bytes of one socket come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gather {
    stage: Stage,
    /// How often the time to watch is doubled.
    doubt: u8,
    /// Receives since then.
    count: u32,
    /// Bytes since then.
    bytes: u64,
    /// When the watch, or the rests that are judged together, began.
    since: Now,
    /// How the stream was when it was last watched.
    usual: Usual,
}

/// A stream that is received from as it comes.
#[derive(Clone, Copy, Debug, Default)]
struct Usual {
    bytes: u64,
    took: Duration,
    /// Bytes of one receive.
    crumb: u64,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Stage {
    /// Received from as it comes.
    #[default]
    Watched,
    /// Left alone again and again; so often that was judged to be good.
    Resting(u32),
}

impl Gather {
    /// So many bytes came. Returns for how long to leave the socket alone now, if at all.
    pub(super) fn came(&mut self, now: Now, bytes: usize) -> Option<Duration> {
        self.count += 1;
        self.bytes += bytes as u64;
        let rest = match self.stage {
            Stage::Watched => self.watch(now),
            Stage::Resting(proofs) => self.rest(now, bytes as u64, proofs),
        };
        rest.then_some(GATHER_REST)
    }

    fn watch(&mut self, now: Now) -> bool {
        let took = now.since(self.since);
        if took < WATCH * (1 << self.doubt) {
            return false;
        }
        let count = u64::from(self.count);
        let is_stream = took / self.count < CRUMB_GAP && self.bytes < CRUMB_BYTES * count;
        if is_stream {
            self.usual = Usual { bytes: self.bytes, took, crumb: self.bytes / count };
        }
        self.begin(if is_stream { Stage::Resting(0) } else { Stage::Watched }, now);
        is_stream
    }

    fn rest(&mut self, now: Now, bytes: u64, proofs: u32) -> bool {
        let gathers = bytes >= 2 * self.usual.crumb;
        if gathers && self.count < RESTS {
            return true;
        }
        let good = gathers && self.is_good(now, proofs);
        self.doubt = if good || proofs > 0 { 0 } else { (self.doubt + 1).min(DOUBT_MAX) };
        let goes_on = good && proofs < PROOFS;
        self.begin(if goes_on { Stage::Resting(proofs + 1) } else { Stage::Watched }, now);
        goes_on
    }

    fn is_good(&self, now: Now, proofs: u32) -> bool {
        let percent = if proofs == 0 { FASTER } else { AS_FAST };
        let usual = u128::from(self.usual.bytes) * now.since(self.since).as_nanos();
        100 * u128::from(self.bytes) * self.usual.took.as_nanos() >= percent * usual
    }

    fn begin(&mut self, stage: Stage, now: Now) {
        (self.stage, self.count, self.bytes, self.since) = (stage, 0, 0, now);
    }
}

/// What a read from a socket came to.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// These bytes.
    Some(&'a [u8]),
    /// There is nothing yet.
    Nothing,
    /// There will be nothing any more.
    End,
    /// It is broken.
    Failed,
}

/// Reads what is there, as far as `scratch` takes it.
pub(super) fn read(socket: impl AsFd, scratch: &mut [u8]) -> Read<'_> {
    match recv(socket, &mut *scratch, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Read::End,
        Ok((count, _)) => scratch.get(..count).map_or(Read::Failed, Read::Some),
        Err(Errno::AGAIN | Errno::INTR) => Read::Nothing,
        Err(_) => Read::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: usize = 30;

    /// Plays a peer for `time`: what comes `gap` after a receive, and what after a rest. Returns
    /// how many receives there were without a rest before them, and how many rests.
    fn play(time: Duration, gap: Duration, crumb: usize, gathered: usize) -> (u32, u32) {
        let mut gather = Gather::default();
        let mut now = Now::ZERO.after(Duration::from_secs(1));
        let end = now.after(time);
        let (mut receives, mut rests, mut bytes) = (0, 0, crumb);
        while now < end {
            if let Some(rest) = gather.came(now, bytes) {
                (rests, bytes) = (rests + 1, gathered);
                now = now.after(rest);
            } else {
                (receives, bytes) = (receives + 1, crumb);
                now = now.after(gap);
            }
        }
        (receives, rests)
    }

    #[test]
    fn a_publisher_that_gets_faster_is_left_alone_nearly_all_the_time() {
        // A message each 5 us as it comes, each microsecond if left alone.
        let gathered = MESSAGE * 250;
        let (receives, rests) =
            play(Duration::from_secs(10), Duration::from_micros(5), MESSAGE, gathered);
        assert!(rests > 38_000, "{rests} rests of {} in 10 s", 40_000);
        // Looked at anew every 100 times 16 rests, which is every 400 ms, for 10 ms.
        assert!((40_000..60_000).contains(&receives), "{receives} receives");
    }

    #[test]
    fn who_waits_for_each_answer_loses_next_to_nothing() {
        let gap = Duration::from_micros(25);
        let (receives, rests) = play(Duration::from_secs(10), gap, MESSAGE, MESSAGE);
        assert!(rests <= 10, "{rests} rests");
        assert!(receives > 399_000, "{receives} receives");
    }

    #[test]
    fn who_waits_for_a_window_of_answers_is_judged_by_its_rate() {
        // 16 at a time: all of them are there after a rest, and still that is slower.
        let gap = Duration::from_micros(5);
        let (_, rests) = play(Duration::from_secs(10), gap, MESSAGE, 16 * MESSAGE);
        assert!(rests <= 10 * RESTS, "{rests} rests");
    }

    #[test]
    fn a_stream_at_a_rate_of_its_own_is_received_as_it_comes() {
        // One message each 10 us, whatever we do.
        let gap = Duration::from_micros(10);
        let (_, rests) = play(Duration::from_secs(10), gap, MESSAGE, 25 * MESSAGE);
        assert!(rests <= 10 * RESTS, "{rests} rests");
    }

    #[test]
    fn large_or_rare_receives_are_left_as_they_are() {
        let second = Duration::from_secs(1);
        assert_eq!(play(second, Duration::from_micros(5), 16 << 10, 1 << 20).1, 0);
        assert_eq!(play(second, Duration::from_micros(100), MESSAGE, 1 << 20).1, 0);
    }

    #[test]
    fn a_publisher_that_slows_down_is_noticed_within_one_judgement() {
        let mut gather = Gather::default();
        let mut now = Now::ZERO.after(Duration::from_secs(1));
        while gather.came(now, MESSAGE).is_none() {
            now = now.after(Duration::from_micros(5));
        }
        for _ in 0..1_000 {
            now = now.after(GATHER_REST);
            assert!(gather.came(now, MESSAGE * 250).is_some());
        }
        // As many as came in that time without rests: no longer worth it once there are fewer.
        let slow = MESSAGE * 40;
        let rests = std::iter::from_fn(|| {
            now = now.after(GATHER_REST);
            gather.came(now, slow)
        });
        assert!(rests.count() <= 2 * RESTS as usize);
        assert!(gather.came(now.after(GATHER_REST), 0).is_none());
    }
}
