//! Subject mappings: at the top for the global account, and in accounts.

use std::fmt::Write as _;

use ringbus_shard::subject::mapping::{Destination, Mapping, Mappings};
use ringbus_shard::subject::{has_blank, is_valid_pattern};

use super::dump::quoted;
use super::problem::Spot;
use super::reader::{Field, Found, FromField, Reader, unknown};
use super::value::{Entry, Map, Value};

/// Keys of the block, wherever it stands.
const NAMES: &[&str] = &["mappings", "maps"];

/// Keys of a destination.
const DESTINATION: &[&str] = &["dest", "destination"];
const WEIGHT: &[&str] = &["weight"];
const CLUSTER: &[&str] = &["cluster"];

/// Reads the mappings of an account; several blocks count as one.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Found<Mappings>> {
    let report = reader.report();
    let mut found: Option<Found<Mappings>> = None;
    for entry in reader.take(NAMES) {
        let Some(map) = <&Map>::read(Field::of(entry, report)) else { continue };
        let found =
            found.get_or_insert_with(|| Found { value: Mappings::default(), at: entry.at.clone() });
        for entry in map.iter() {
            if let Some(mapping) = mapping(entry, Field::of(entry, report)) {
                found.value.add(mapping);
            }
        }
    }
    found
}

fn mapping(entry: &Entry, field: Field<'_>) -> Option<Mapping> {
    let (source, report) = (entry.key.as_str(), field.report);
    let error = |at: &Spot, text: String| {
        report.error(at, text);
        None
    };
    if !is_valid_pattern(source.as_bytes()) || has_blank(source.as_bytes()) {
        return error(&entry.at, format!("Subject {source:?} is not a valid subject"));
    }
    let destinations = match &entry.value {
        Value::Unresolved => return None,
        Value::Text(subject) => vec![whole(subject)],
        Value::List(items) => {
            let all = items
                .iter()
                .map(|item| destination(Field { at: &item.at, value: &item.value, ..field }));
            all.collect::<Vec<Option<_>>>().into_iter().collect::<Option<_>>()?
        }
        _ => vec![destination(field)?],
    };
    match (Mapping::new(source.as_bytes(), &destinations, None), &entry.value) {
        (Ok(mapping), _) => Some(mapping),
        (Err(why), Value::Text(to)) => {
            error(&entry.at, format!("Error adding mapping for {source:?} to {to:?} : {why}"))
        }
        (Err(why), _) => error(&entry.at, format!("Error adding mapping for {source:?} : {why}")),
    }
}

fn whole(subject: &str) -> Destination {
    Destination { subject: subject.into(), weight: 100, cluster: None }
}

fn destination(field: Field<'_>) -> Option<Destination> {
    let report = field.report;
    let Value::Map(map) = field.value else {
        if *field.value != Value::Unresolved {
            report.error(field.at, "Expected an entry for the mapping destination");
        }
        return None;
    };
    let mut reader = Reader::new(map, report);
    let subject = reader.optional::<String>(DESTINATION);
    let weight = reader.take(WEIGHT).pop();
    let cluster = reader.optional::<String>(CLUSTER);
    let known = |key: &str| {
        [DESTINATION, WEIGHT, CLUSTER].concat().iter().any(|name| key.eq_ignore_ascii_case(name))
    };
    if let Some(other) = map.iter().find(|entry| !known(&entry.key)) {
        let text = unknown(&other.key, &[DESTINATION, WEIGHT, CLUSTER].concat());
        report.error(&other.at, format!("{text} for mapping destination"));
        return None;
    }
    let subject = subject.map(|found| found.value).unwrap_or_default();
    let Some(weight) = weight else {
        let text = format!("Missing weight for mapping destination {subject:?}");
        report.error(field.at, text);
        return None;
    };
    let weight = percentage(Field::of(weight, report))?;
    let cluster = cluster.map(|found| found.value).filter(|name| !name.is_empty());
    Some(Destination { subject: subject.into(), weight, cluster })
}

/// `20` or `"20%"`.
fn percentage(field: Field<'_>) -> Option<u8> {
    let invalid = |shown: String| {
        let text = format!("Invalid weight {shown} for mapping destination");
        field.report.error(field.at, text);
        None
    };
    let number = match field.value {
        Value::Integer(number) => *number,
        Value::Text(text) => {
            let text = text.strip_suffix('%').unwrap_or(text);
            match text.parse() {
                Ok(number) => number,
                Err(_) => return invalid(format!("{text:?}")),
            }
        }
        _ => return field.expected("a weight such as 20 or \"20%\""),
    };
    match u8::try_from(number) {
        Ok(weight @ 0..=100) => Some(weight),
        _ => invalid(number.to_string()),
    }
}

/// As the grammar has them, what is left for a subject itself included.
pub(super) fn shown(mappings: &Mappings) -> String {
    let text = |bytes: &[u8]| quoted(&String::from_utf8_lossy(bytes));
    let mut out = String::from("{");
    for (index, mapping) in mappings.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let _ = write!(out, "{separator}{}: [", text(mapping.source()));
        let mut before = (None, 0);
        for (index, (cluster, sum, way)) in mapping.ways().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let weight = if before.0 == cluster { sum - before.1 } else { sum };
            before = (cluster, sum);
            let to = text(way.destination());
            let _ = write!(out, "{separator}{{destination: {to}, weight: {weight}");
            if let Some(cluster) = cluster {
                let _ = write!(out, ", cluster: {}", quoted(cluster));
            }
            out.push('}');
        }
        out.push(']');
    }
    out.push('}');
    out
}
