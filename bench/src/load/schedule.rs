//! When messages are due.
//!
//! The sequence in a message is the stamp of its intended time: both ends know the schedule, so
//! that even the smallest payload tells when it should have left, and no clock is read for it.

use std::ops::Range;
use std::time::{Duration, Instant};

/// No thread sleeps reliably for less. At higher rates several messages are due at the same time,
/// as a client library would collect them.
const TICK: Duration = Duration::from_micros(50);

/// A fixed rate from a moment on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    begin: Instant,
    /// Messages due at once.
    burst: u64,
    /// Time between two bursts.
    interval_ns: u64,
}

impl Schedule {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below the limit of the scenario file times an hour"
    )]
    #[expect(clippy::cast_precision_loss, reason = "a burst has at most some ten thousand")]
    pub(super) fn new(begin: Instant, per_second: f64) -> Self {
        let burst = (per_second * TICK.as_secs_f64()).ceil().max(1.0) as u64;
        let interval_ns = (burst as f64 * 1e9 / per_second).round().max(1.0) as u64;
        Self { begin, burst, interval_ns }
    }

    /// When this message should leave.
    pub(super) fn due(&self, seq: u64) -> Instant {
        self.begin + Duration::from_nanos(seq / self.burst * self.interval_ns)
    }

    /// How many messages should have left by then.
    pub(super) fn due_by(&self, now: Instant) -> u64 {
        let since = now.checked_duration_since(self.begin);
        since.map_or(0, |since| (self.bursts(since) + 1) * self.burst)
    }

    /// The messages that are due in a span of time after the begin.
    pub(super) fn between(&self, from: Duration, to: Duration) -> Range<u64> {
        let before = |end: Duration| match end.as_nanos() {
            0 => 0,
            _ => (self.bursts(end.saturating_sub(Duration::from_nanos(1))) + 1) * self.burst,
        };
        before(from)..before(to)
    }

    /// The first message that is due later than this one.
    pub(super) fn next_burst(&self, seq: u64) -> u64 {
        (seq / self.burst + 1) * self.burst
    }

    /// Whole intervals in a time.
    fn bursts(&self, time: Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) / self.interval_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn slow_schedule_has_one_message_at_a_time() {
        let begin = Instant::now();
        let schedule = Schedule::new(begin, 1_000.0);
        assert_eq!(schedule.burst, 1);
        assert_eq!(schedule.due(0), begin);
        assert_eq!(schedule.due(3), begin + MS * 3);
        assert_eq!(schedule.due_by(begin), 1);
        assert_eq!(schedule.due_by(begin + MS * 3), 4);
        assert_eq!(schedule.due_by(begin - MS), 0);
    }

    #[test]
    fn fast_schedule_keeps_its_rate_in_bursts() {
        let begin = Instant::now();
        let schedule = Schedule::new(begin, 1_234_567.0);
        assert_eq!(schedule.burst, 62);
        let sent = schedule.due_by(begin + Duration::from_secs(10));
        assert!((12_345_000..12_346_500).contains(&sent), "{sent}");
        assert_eq!(schedule.due(61), begin);
        assert_eq!([0, 61, 62].map(|seq| schedule.next_burst(seq)), [62, 62, 124]);
        assert!(schedule.due(62) >= begin + TICK);
    }

    #[test]
    fn window_has_every_message_due_in_it_and_no_other() {
        let schedule = Schedule::new(Instant::now(), 1_000.0);
        assert_eq!(schedule.between(Duration::ZERO, MS * 10), 0..10);
        assert_eq!(schedule.between(MS * 10, MS * 30), 10..30);
        assert_eq!(schedule.between(MS / 2, MS * 3 / 2), 1..2);
    }
}
