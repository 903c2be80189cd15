//! Until when a certificate is valid: the one field of X.509 that monitoring shows.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER.
pub(super) fn not_after(der: &[u8]) -> Option<Timestamp> {
    let (_, certificate, _) = element(der, SEQUENCE)?;
    let (_, mut signed, _) = element(certificate, SEQUENCE)?;
    if let Some((_, _, rest)) = element(signed, VERSION) {
        signed = rest;
    }
    // Serial number, algorithm, issuer, validity.
    for tag in [INTEGER, SEQUENCE, SEQUENCE] {
        (_, _, signed) = element(signed, tag)?;
    }
    let (_, validity, _) = element(signed, SEQUENCE)?;
    let (_, _, rest) = time(validity)?;
    let (tag, text, _) = time(rest)?;
    read(tag, std::str::from_utf8(text).ok()?)
}

fn time(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    element(bytes, UTC_TIME).or_else(|| element(bytes, GENERALIZED_TIME))
}

/// `YYMMDDhhmmssZ` from 1950 to 2049, or `YYYYMMDDhhmmssZ`.
fn read(tag: u8, text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z')?;
    let full = match (tag, text.get(..2)?) {
        (UTC_TIME, year) if year < "50" => format!("20{text}"),
        (UTC_TIME, _) => format!("19{text}"),
        _ => text.to_owned(),
    };
    let at = DateTime::strptime("%Y%m%d%H%M%S", full).ok()?;
    Some(at.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Tag and content of the first element, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(u8, &[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&len, rest) = rest.split_first()?;
    let (len, rest) = match len {
        0..=0x7f => (usize::from(len), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(len & 0x7f))?;
            (digits.iter().fold(0, |len, digit| len << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    (first == tag).then_some((first, content, rest))
}
