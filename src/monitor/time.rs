//! Times and durations in the forms of nats-server. Shards count from the start of the process;
//! here that becomes the time on the wall.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use ringbus_shard::clock::Now;

/// What the wall clock showed when the shards began to count. Fixed, so that the start of a
/// connection is the same each time somebody asks, however the wall clock is set meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wall {
    beginning: Timestamp,
}

impl Wall {
    /// For shards that are now at `now`.
    #[must_use]
    pub(super) fn new(now: Now) -> Self {
        Self { beginning: Timestamp::now() - now.since(Now::ZERO) }
    }

    /// When that was.
    #[must_use]
    pub(super) fn at(self, now: Now) -> Timestamp {
        self.beginning.checked_add(now.since(Now::ZERO)).unwrap_or(Timestamp::MAX)
    }
}

/// `3d4h5m6s`, as uptime and idle time are shown.
#[must_use]
pub(super) fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let years = days / 365;
    let mut text = String::new();
    let parts = [
        (years > 0, years, 'y'),
        (days > 0, days % 365, 'd'),
        (hours > 0, hours % 24, 'h'),
        (minutes > 0, minutes % 60, 'm'),
        (true, seconds % 60, 's'),
    ];
    for (shown, number, unit) in parts {
        if shown {
            // Writing to a String cannot fail.
            let _ = write!(text, "{number}{unit}");
        }
    }
    text
}

/// `1.5ms`, as Go prints a duration; cut to microseconds between one of them and a millisecond.
#[must_use]
pub(crate) fn round_trip(time: Duration) -> String {
    let nanos = time.as_nanos();
    let decimal = |nanos: u128, unit: u128| {
        let text = format!("{}.{:0width$}", nanos / unit, nanos % unit, width = width(unit));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000 => "1µs".to_owned(),
        1_001..1_000_000 => format!("{}µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000)),
        _ => {
            let second = 1_000_000_000;
            let (minutes, rest) = (nanos / (60 * second), nanos % (60 * second));
            let seconds = decimal(rest, second);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Digits behind the point.
fn width(unit: u128) -> usize {
    unit.ilog10() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_begins_with_the_largest_unit_there_is() {
        let cases = [
            (0, "0s"),
            (59, "59s"),
            (60, "1m0s"),
            (3_661, "1h1m1s"),
            (86_400, "1d0h0m0s"),
            (366 * 86_400 + 5, "1y1d0h0m5s"),
        ];
        for (seconds, expected) in cases {
            assert_eq!(uptime(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn durations_are_printed_as_go_does() {
        let cases = [
            (0, "0s"),
            (999, "999ns"),
            (1_000, "1µs"),
            (586_999, "586µs"),
            (1_500_000, "1.5ms"),
            (1_000_000, "1ms"),
            (12_345_678, "12.345678ms"),
            (1_000_000_000, "1s"),
            (61_050_000_000, "1m1.05s"),
            (3_600_000_000_000, "1h0m0s"),
        ];
        for (nanos, expected) in cases {
            assert_eq!(round_trip(Duration::from_nanos(nanos)), expected);
        }
    }

    #[test]
    fn a_moment_stays_where_it_is() {
        let wall = Wall::new(Now::from_nanos(5_000_000_000));
        let start = wall.at(Now::ZERO);
        let later = wall.at(Now::from_nanos(1_000_000));
        assert_eq!(later.duration_since(start), jiff::SignedDuration::from_millis(1));
        let ago = Timestamp::now().duration_since(start).as_secs_f64();
        assert!((5.0..6.0).contains(&ago), "{ago}");
    }
}
