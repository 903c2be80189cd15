//! Lame duck mode: clients are told to move, given time, and then let go one after the other, so
//! that the servers they move to see no storm.
//!
//! Pure: told the time and how many clients are left, it says what to do. Differs from nats-server
//! in two ways that nobody can take offence at: clients go at even distances instead of random
//! ones, and the end does not wait for clients that have already moved.

use std::time::{Duration, Instant};

/// Clients are let go at most this far apart.
const PACE_MAX: Duration = Duration::from_secs(1);

/// What is left for letting clients go if the grace period takes up the whole duration.
const CLOSING_MIN: Duration = Duration::from_secs(1);

/// How often it is looked at whether any client is left.
const LOOK: Duration = Duration::from_millis(250);

/// How long the parts take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Timing {
    /// From the announcement to the first client that is let go.
    pub(super) grace: Duration,
    /// From the announcement to the last one.
    pub(super) duration: Duration,
}

/// A lame duck on its way out.
#[derive(Debug)]
pub(super) struct LameDuck {
    /// When something is to be done next.
    due: Instant,
    /// Clients that are still to be let go.
    left: usize,
    pace: Duration,
    /// The grace period is over.
    closing: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// Nothing yet.
    Wait,
    /// Say that clients are let go from now on; then as `Shed`.
    Begin(usize),
    /// Let so many clients go.
    Shed(usize),
    /// Stop.
    Over,
}

impl LameDuck {
    /// It begins, with so many clients.
    pub(super) fn begin(timing: Timing, clients: usize, now: Instant) -> Self {
        let closing = timing.duration.saturating_sub(timing.grace);
        let closing = if closing.is_zero() { CLOSING_MIN } else { closing };
        let count = u32::try_from(clients.max(1)).unwrap_or(u32::MAX);
        let pace = (closing / count).clamp(Duration::from_nanos(1), PACE_MAX);
        Self { due: now + timing.grace, left: clients, pace, closing: false }
    }

    /// How long until [`Self::on_time`] has something to say.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now).min(LOOK)
    }

    /// Time has passed, and so many clients are still connected.
    pub(super) fn on_time(&mut self, now: Instant, connected: usize) -> Step {
        if connected == 0 || self.left == 0 {
            return Step::Over;
        }
        let mut count = 0;
        while self.due <= now && count < self.left {
            count += 1;
            self.due += self.pace;
        }
        self.left -= count;
        match (count, self.closing) {
            (0, _) => Step::Wait,
            (_, true) => Step::Shed(count),
            (_, false) => {
                self.closing = true;
                Step::Begin(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a configuration that says nothing comes to.
    const USUAL: Timing =
        Timing { grace: Duration::from_secs(10), duration: Duration::from_secs(120) };

    /// Plays a lame duck whose clients stay until they are let go: when which step was taken.
    fn play(timing: Timing, clients: usize) -> Vec<(Duration, Step)> {
        let begin = Instant::now();
        let mut now = begin;
        let mut duck = LameDuck::begin(timing, clients, now);
        let mut steps = Vec::new();
        loop {
            match duck.on_time(now, clients) {
                Step::Wait => {}
                step => steps.push((now - begin, step)),
            }
            if steps.last().is_some_and(|(_, step)| *step == Step::Over) {
                return steps;
            }
            now += duck.rest(now);
        }
    }

    fn total(steps: &[(Duration, Step)]) -> usize {
        let counts = steps.iter().map(|(_, step)| match step {
            Step::Begin(count) | Step::Shed(count) => *count,
            Step::Wait | Step::Over => 0,
        });
        counts.sum()
    }

    #[test]
    fn few_clients_go_a_second_apart() {
        let steps = play(USUAL, 3);
        let at = |seconds, step| (Duration::from_secs(seconds), step);
        let expected = [at(10, Step::Begin(1)), at(11, Step::Shed(1)), at(12, Step::Shed(1))];
        assert_eq!(steps.get(..3), Some(&expected[..]));
        assert_eq!(steps.len(), 4);
    }

    #[test]
    fn many_clients_are_spread_over_the_duration() {
        let steps = play(USUAL, 65_536);
        assert_eq!(total(&steps), 65_536);
        let (last, _) = steps[steps.len() - 2];
        assert!(last > Duration::from_secs(109) && last <= Duration::from_secs(120), "{last:?}");
        let short = Timing { grace: Duration::from_secs(5), duration: Duration::from_millis(1) };
        let steps = play(short, 100);
        assert_eq!(total(&steps), 100);
        let (end, _) = steps[steps.len() - 1];
        assert!(end >= Duration::from_secs(5) && end <= Duration::from_millis(6_300), "{end:?}");
    }

    #[test]
    fn a_late_visit_catches_up() {
        let begin = Instant::now();
        let mut duck = LameDuck::begin(USUAL, 10, begin);
        assert_eq!(duck.on_time(begin, 10), Step::Wait);
        let late = begin + Duration::from_millis(13_500);
        assert_eq!(duck.on_time(late, 10), Step::Begin(4));
        assert_eq!(duck.on_time(late, 9), Step::Wait);
        assert_eq!(duck.on_time(begin + Duration::from_secs(60), 6), Step::Shed(6));
        assert_eq!(duck.on_time(begin + Duration::from_secs(60), 6), Step::Over);
    }

    #[test]
    fn nobody_is_waited_for_who_has_moved() {
        let begin = Instant::now();
        let mut duck = LameDuck::begin(USUAL, 10, begin);
        assert!(duck.rest(begin) <= LOOK);
        assert_eq!(duck.on_time(begin + LOOK, 1), Step::Wait);
        assert_eq!(duck.on_time(begin + LOOK, 0), Step::Over);
    }
}
