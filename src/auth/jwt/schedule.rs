//! At what times of the day a user may be connected.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _, Zoned};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::issues::Issues;

/// From one time of the day to another, perhaps over midnight.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct TimeRange {
    /// `15:04:05`
    #[serde(skip_serializing_if = "String::is_empty")]
    pub start: String,
    /// The same.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub end: String,
}

impl TimeRange {
    pub(super) fn validate(&self, issues: &mut Issues) {
        for (what, text) in [("start", &self.start), ("end", &self.end)] {
            if text.is_empty() {
                issues.error(format!("time ranges {what} must contain a {what}"));
            } else if time(text).is_none() {
                issues.error(format!("{what} in time range is invalid {text:?}"));
            }
        }
    }

    /// How long from `now` the range goes on; nothing outside of it.
    fn rest(&self, now: &Zoned) -> Option<Duration> {
        let at = |text: &str, days: i64| {
            let date = now.date().checked_add(days.days()).ok()?;
            date.to_datetime(time(text)?).to_zoned(now.time_zone().clone()).ok()
        };
        let until = |end: &Zoned| now.duration_until(end).try_into().ok();
        let (start, end) = (at(&self.start, 0)?, at(&self.end, 0)?);
        if start < *now && end > *now {
            return until(&end);
        }
        if start <= end {
            return None;
        }
        if end > *now {
            return until(&end);
        }
        let end = at(&self.end, 1)?;
        if start < *now && end > *now { until(&end) } else { None }
    }
}

/// Hours in one or two digits, minutes and seconds in two, and a fraction that does not count.
fn time(text: &str) -> Option<Time> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    let (second, fraction) = match second.split_once(['.', ',']) {
        Some((second, fraction)) => (second, Some(fraction)),
        None => (second, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let sized = |text: &str, sizes: &[usize]| sizes.contains(&text.len()) && digits(text);
    if !sized(hour, &[1, 2]) || !sized(minute, &[2]) || !sized(second, &[2]) {
        return None;
    }
    if fraction.is_some_and(|fraction| !digits(fraction)) {
        return None;
    }
    Time::new(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?, 0).ok()
}

/// A time zone by its name; the system's is `Local`.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    match name {
        "" | "UTC" => Some(TimeZone::UTC),
        "Local" => Some(TimeZone::system()),
        _ => TimeZone::get(name).ok(),
    }
}

/// For how long a user may be connected from `now` on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Allowed {
    /// Not at all.
    Never,
    /// As long as wanted.
    Always,
    /// This long.
    For(Duration),
}

/// What `ranges` in the time zone `locale` (that of the system if it is empty) say about `now`.
#[must_use]
pub fn allowed(ranges: &[TimeRange], locale: &str, now: Timestamp) -> Allowed {
    if ranges.is_empty() {
        return Allowed::Always;
    }
    let zone = if locale.is_empty() { Some(TimeZone::system()) } else { zone(locale) };
    let Some(zone) = zone else { return Allowed::Never };
    let readable = |range: &TimeRange| time(&range.start).is_some() && time(&range.end).is_some();
    if !ranges.iter().all(readable) {
        return Allowed::Never;
    }
    let now = now.to_zoned(zone);
    let longest = ranges.iter().filter_map(|range| range.rest(&now)).max();
    longest.map_or(Allowed::Never, Allowed::For)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: &str, end: &str) -> TimeRange {
        TimeRange { start: start.to_owned(), end: end.to_owned() }
    }

    #[test]
    fn ranges_may_cross_midnight() {
        let hour = |count: u64| Allowed::For(Duration::from_secs(3600 * count));
        for (ranges, at, expected) in [
            (vec![], "2024-07-01T13:00:00Z", Allowed::Always),
            (vec![range("11:00:00", "22:00:00")], "2024-07-01T13:00:00Z", hour(9)),
            (vec![range("11:00:00", "22:00:00")], "2024-07-01T10:59:59Z", Allowed::Never),
            (vec![range("11:00:00", "22:00:00")], "2024-07-01T11:00:00Z", Allowed::Never),
            (vec![range("22:00:00", "06:00:00")], "2024-07-01T05:00:00Z", hour(1)),
            (vec![range("22:00:00", "06:00:00")], "2024-07-01T23:00:00Z", hour(7)),
            (vec![range("22:00:00", "06:00:00")], "2024-07-01T12:00:00Z", Allowed::Never),
            (
                vec![range("01:00:00", "15:00:00"), range("12:00:00", "14:00:00")],
                "2024-07-01T13:00:00Z",
                hour(2),
            ),
            (vec![range("x", "15:00:00")], "2024-07-01T13:00:00Z", Allowed::Never),
        ] {
            assert_eq!(allowed(&ranges, "UTC", at.parse().unwrap()), expected, "{ranges:?} {at}");
        }
    }

    #[test]
    fn the_clock_is_that_of_the_zone() {
        let ranges = [range("14:00:00", "16:00:00")];
        let at: Timestamp = "2024-07-01T13:00:00Z".parse().unwrap();
        assert_eq!(
            allowed(&ranges, "Europe/Berlin", at),
            Allowed::For(Duration::from_secs(3600)),
            "summer time"
        );
        assert_eq!(allowed(&ranges, "America/New_York", at), Allowed::Never);
        assert_eq!(allowed(&ranges, "../../etc/passwd", at), Allowed::Never);
    }

    #[test]
    fn times_are_written_as_go_reads_them() {
        for good in ["00:00:00", "1:02:03", "23:59:59", "10:00:00.5"] {
            assert!(time(good).is_some(), "{good}");
        }
        for bad in ["", "24:00:00", "10:0:00", "10:00", "10:00:60", "+1:00:00", "10:00:00.", "a"] {
            assert!(time(bad).is_none(), "{bad}");
        }
    }
}
