//! What a driver does with its time: turns, sleep, system calls. Costs no reading of the clock that
//! the driver does not make anyway: a turn ends where the next one or a sleep begins.

use std::time::Duration;

use crate::clock::Now;

/// Upper ends of the ranges that turns are counted by, in microseconds; longer ones are counted
/// after the last.
pub const TURN_MICROS: [u64; 12] =
    [5, 10, 25, 50, 100, 250, 500, 1_000, 5_000, 10_000, 50_000, 250_000];

/// What the loop of one shard has done since it began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LoopStats {
    /// Times it slept.
    pub sleeps: u64,
    /// Time it slept or looked for work, in nanoseconds.
    pub idle_nanos: u64,
    /// Times it entered the kernel for its ring.
    pub enters: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Other shards it woke.
    pub wakes: u64,
    /// Turns by how long they took: see [`TURN_MICROS`].
    pub turns: [u64; TURN_MICROS.len() + 1],
    /// Time of all turns, in nanoseconds.
    pub busy_nanos: u64,
    /// The longest turn.
    pub longest: Duration,
}

impl LoopStats {
    /// Turns of any length.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.turns.iter().sum()
    }
}

/// Keeps them.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pub(super) stats: LoopStats,
    /// Since when the driver works or sleeps.
    since: Option<Now>,
    asleep: bool,
}

impl Pace {
    /// A turn begins.
    #[inline]
    pub(super) fn works(&mut self, now: Now) {
        self.becomes(now, false);
    }

    /// The turn is over, and there is nothing to do.
    pub(super) fn rests(&mut self, now: Now) {
        self.becomes(now, true);
        self.stats.sleeps += 1;
    }

    #[inline]
    fn becomes(&mut self, now: Now, asleep: bool) {
        let was_asleep = std::mem::replace(&mut self.asleep, asleep);
        let Some(since) = self.since.replace(now) else { return };
        let took = now.since(since);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if was_asleep {
            self.stats.idle_nanos += nanos;
            return;
        }
        self.stats.busy_nanos += nanos;
        self.stats.longest = self.stats.longest.max(took);
        let range = TURN_MICROS.iter().position(|micros| nanos <= micros * 1_000);
        if let Some(count) = self.stats.turns.get_mut(range.unwrap_or(TURN_MICROS.len())) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_either_worked_or_slept() {
        let mut pace = Pace::default();
        let at = Now::from_nanos;
        pace.works(at(1_000));
        pace.works(at(5_000));
        pace.rests(at(2_005_000));
        pace.works(at(9_005_000));
        pace.rests(at(309_005_000));
        let stats = pace.stats;
        assert_eq!((stats.sleeps, stats.idle_nanos, stats.busy_nanos), (2, 7_000_000, 302_004_000));
        assert_eq!(stats.turns(), 3);
        assert_eq!((stats.turns[0], stats.turns[8], stats.turns[12]), (1, 1, 1));
        assert_eq!(stats.longest, Duration::from_millis(300));
    }
}
