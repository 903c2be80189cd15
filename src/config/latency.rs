//! `latency` of a service: which of its requests are measured, and where that is told.

use ringbus_shard::account::{Latency, Sampling};

use super::dump::quoted;
use super::reader::{Field, FromField, Reader};
use super::value::Value;

/// A subject, or a map with that and the share of requests.
pub(super) struct Given(pub(super) Latency);

impl FromField<'_> for Given {
    fn read(field: Field<'_>) -> Option<Self> {
        let map = match field.value {
            Value::Text(subject) => {
                let subject = subject.as_bytes().into();
                return Some(Self(Latency { subject, ..Latency::default() }));
            }
            Value::Map(map) => map,
            other => {
                let (what, found) = ("latency entry to be a map/struct or string", other.kind());
                return wrong(field, format!("Expected {what}, got {found}"));
            }
        };
        let mut reader = Reader::new(map, field.report);
        let has_sampling = map.iter().any(|entry| entry.key.eq_ignore_ascii_case("sampling"));
        let sampling = reader.optional::<Share>(&["sampling"]).map(|found| found.value.0);
        let subject = reader.take(&["subject"]).pop();
        reader.finish();
        let Some(entry) = subject else {
            return wrong(field, "Latency subject required, but missing".to_owned());
        };
        let Value::Text(subject) = &entry.value else {
            let found = entry.value.kind();
            let text = format!("Expected latency subject to be a string, got {found}");
            return wrong(Field::of(entry, field.report), text);
        };
        // One that is wrong was reported.
        let sampling = if has_sampling { sampling? } else { Latency::default().sampling };
        Some(Self(Latency { sampling, subject: subject.as_bytes().into() }))
    }
}

/// As the grammar has it.
pub(super) fn shown(latency: &Latency) -> String {
    let sampling = match latency.sampling {
        Sampling::Percent(percent) => percent.to_string(),
        Sampling::Headers => "headers".to_owned(),
    };
    let subject = quoted(&String::from_utf8_lossy(&latency.subject));
    format!("latency: {{sampling: {sampling}, subject: {subject}}}")
}

/// `60`, `"60%"`, or `headers`.
struct Share(Sampling);

impl FromField<'_> for Share {
    fn read(field: Field<'_>) -> Option<Self> {
        let number = match field.value {
            Value::Integer(number) => *number,
            Value::Text(text) if text.trim().eq_ignore_ascii_case("headers") => {
                return Some(Self(Sampling::Headers));
            }
            Value::Text(text) => {
                let digits = text.strip_suffix('%').unwrap_or(text);
                let Ok(number) = digits.parse() else {
                    let why = format!("strconv.Atoi: parsing {digits:?}: invalid syntax");
                    return wrong(field, format!("Failed to parse latency sample: {why}"));
                };
                number
            }
            other => {
                let (what, found) = ("latency sample to be a string or map/struct", other.kind());
                return wrong(field, format!("Expected {what}, got {found}"));
            }
        };
        match u8::try_from(number) {
            Ok(percent @ 1..=100) => Some(Self(Sampling::Percent(percent))),
            _ => wrong(field, "bad sampling percentage, should be 1-100".to_owned()),
        }
    }
}

fn wrong<T>(field: Field<'_>, text: String) -> Option<T> {
    if *field.value != Value::Unresolved {
        field.report.error(field.at, text);
    }
    None
}
