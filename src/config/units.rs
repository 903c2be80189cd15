//! Sizes with units, and durations in the spelling of Go.

use std::time::Duration;

/// Whether a letter may follow a number as its unit: k, m, g, t, p, e.
pub(super) const fn is_prefix(c: char) -> bool {
    matches!(c.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

/// An integer with or without a unit. `k` is a thousand; `kb`, `ki` and `kib` are 1,024. A number
/// may be a password, so it is not repeated in a problem.
pub(super) fn integer(text: &str) -> Result<i64, String> {
    let too_large = || "the number is too large".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: i64 = digits.parse().map_err(|_| too_large())?;
    let unit = text.strip_prefix(digits).unwrap_or_default().to_ascii_lowercase();
    let mut letters = unit.chars();
    let Some(prefix) = letters.next() else {
        return Ok(number);
    };
    let step = match letters.as_str() {
        "" => 1000,
        "b" | "i" | "ib" => 1024,
        _ => return Err(format!("there is no unit {unit:?}: use one such as k, kb or kib")),
    };
    let power = match prefix {
        'k' => 1,
        'm' => 2,
        'g' => 3,
        't' => 4,
        'p' => 5,
        _ => 6,
    };
    i64::checked_pow(step, power).and_then(|unit| number.checked_mul(unit)).ok_or_else(too_large)
}

/// Nanoseconds of the units of Go.
const NANOS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// A duration as Go writes it: `1h30m`, `1.5s`, `300ms`, `0`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let unreadable =
        || format!("{text:?} is not a duration: write a number with ns, us, ms, s, m or h");
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if let Some(positive) = unsigned.strip_prefix('-') {
        let positive = duration(positive).map_err(|_| unreadable())?;
        return if positive.is_zero() {
            Ok(positive)
        } else {
            Err(format!("a duration cannot be negative as {text:?} is"))
        };
    }
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = unsigned;
    let mut nanos = 0_u64;
    while !rest.is_empty() || unsigned.is_empty() {
        let number_len = rest.len() - rest.trim_start_matches(is_number).len();
        let (number, tail) = rest.split_at_checked(number_len).ok_or_else(unreadable)?;
        let unit_len = tail.find(is_number).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_len).ok_or_else(unreadable)?;
        let (_, each) = NANOS.iter().find(|(name, _)| *name == unit).ok_or_else(unreadable)?;
        let part = part(number, *each).ok_or_else(unreadable)?;
        nanos = nanos
            .checked_add(part)
            .filter(|nanos| i64::try_from(*nanos).is_ok())
            .ok_or_else(|| format!("the duration {text:?} is too long"))?;
        rest = tail;
    }
    Ok(Duration::from_nanos(nanos))
}

const fn is_number(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// `number` times `each`, cut to whole nanoseconds. Too much becomes the largest number.
fn part(number: &str, each: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().unwrap_or(u64::MAX) };
    let mut nanos = whole.saturating_mul(each);
    let (mut value, mut scale) = (0_u128, 1_u128);
    // Digits beyond these are less than a nanosecond of any unit.
    for digit in fraction.chars().take(18).filter_map(|c| c.to_digit(10)) {
        value = value * 10 + u128::from(digit);
        scale *= 10;
    }
    let below_one = u128::from(each) * value / scale;
    nanos = nanos.saturating_add(u64::try_from(below_one).unwrap_or(u64::MAX));
    Some(nanos)
}

/// A duration in the shortest spelling that [`duration`] reads back.
pub(super) fn written(time: Duration) -> String {
    let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
    match (seconds, nanos) {
        (0, 0) => "0s".to_owned(),
        (_, 0) if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        (_, 0) if seconds % 60 == 0 => format!("{}m", seconds / 60),
        (_, 0) => format!("{seconds}s"),
        _ if nanos % 1_000_000 == 0 => format!("{}ms", time.as_millis()),
        _ => format!("{}ns", time.as_nanos()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_powers_of_1000_and_letters_with_b_or_i_of_1024() {
        for (text, number) in [
            ("0", 0),
            ("4222", 4222),
            ("-1", -1),
            ("5m", 5_000_000),
            ("1k", 1000),
            ("1K", 1000),
            ("1kb", 1024),
            ("1Ki", 1024),
            ("1KiB", 1024),
            ("64MB", 64 << 20),
            ("2g", 2_000_000_000),
            ("-2gb", -2 << 30),
            ("1t", 1_000_000_000_000),
            ("1tib", 1 << 40),
            ("3p", 3_000_000_000_000_000),
            ("3pi", 3 << 50),
            ("1e", 1_000_000_000_000_000_000),
            ("7eb", 7 << 60),
            ("-8eib", i64::MIN),
            ("9223372036854775807", i64::MAX),
        ] {
            assert_eq!(integer(text), Ok(number), "{text}");
        }
        for text in ["9223372036854775808", "10e", "8eb"] {
            assert_eq!(integer(text), Err("the number is too large".to_owned()), "{text}");
        }
        for unit in ["kbb", "kbi", "kii", "mbib"] {
            let expected = format!("there is no unit {unit:?}: use one such as k, kb or kib");
            assert_eq!(integer(&format!("1{unit}")), Err(expected));
        }
    }

    #[test]
    fn durations_are_those_of_go() {
        for (text, nanos) in [
            ("0", 0),
            ("-0", 0),
            ("+0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("300ms", 300_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("5.s", 5_000_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1h1m1s1ms1us1ns", 3_661_001_001_001),
            ("2µs", 2_000),
            ("2μs", 2_000),
            ("0.9999999999999999999999s", 999_999_999),
            ("2562047h47m16.854775807s", 9_223_372_036_854_775_807),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "s", "5", "5x", ".", ".s", "1.2.3s", "5 s", "1d", "1s5", "--1s", "1e3s"] {
            let why = duration(text).unwrap_err();
            assert!(why.contains("is not a duration"), "{text}: {why}");
        }
        assert!(duration("-5s").unwrap_err().contains("cannot be negative"));
        for text in ["2562047h47m16.854775808s", "99999999999999999999h"] {
            assert!(duration(text).unwrap_err().contains("is too long"), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for nanos in [0, 1, 1_000, 300_000_000, 1_000_000_000, 60_000_000_000, 7_200_000_000_000] {
            let time = Duration::from_nanos(nanos);
            assert_eq!(duration(&written(time)), Ok(time));
        }
        assert_eq!(written(Duration::from_secs(120)), "2m");
        assert_eq!(written(Duration::from_millis(1500)), "1500ms");
    }
}
