//! A map read by name and type.
//!
//! A reader hands out each key once, in the type that is asked for, reports what has another type,
//! and at the end every key that nobody asked for. Names are compared without regard to case, as
//! nats-server does.
//!
//! Invariant: a key is either asked for or reported. Only a key that served as a variable may be
//! unknown.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use ringbus_shard::wire::secret::Secret;

use super::problem::{Report, Spot};
use super::units;
use super::value::{Entry, Map, Value};

/// Names that differ in more letters than this are not each other's misspelling.
const DISTANCE_MAX: usize = 2;

/// A value and where its key stands.
#[derive(Clone, Debug)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) at: Spot,
}

impl<T> Found<T> {
    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        Found { value: change(self.value), at: self.at }
    }
}

/// Reads one map.
pub(super) struct Reader<'a> {
    map: &'a Map,
    report: &'a Report,
    taken: Vec<bool>,
    names: Vec<&'static str>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(map: &'a Map, report: &'a Report) -> Self {
        Self { map, report, taken: vec![false; map.len()], names: Vec::new() }
    }

    /// The value under one of `names`. If there are several, the last one counts.
    pub(super) fn optional<T: FromField<'a>>(
        &mut self,
        names: &'static [&'static str],
    ) -> Option<Found<T>> {
        let mut last = None;
        for entry in self.take(names) {
            last = T::read(Field::of(entry, self.report))
                .map(|value| Found { value, at: entry.at.clone() });
        }
        last
    }

    /// The entries under `names`, in the order of the file.
    pub(super) fn take(&mut self, names: &'static [&'static str]) -> Vec<&'a Entry> {
        self.names.extend_from_slice(names);
        let mut found = Vec::new();
        for (entry, taken) in self.map.iter().zip(&mut self.taken) {
            if names.iter().any(|name| entry.key.eq_ignore_ascii_case(name)) {
                *taken = true;
                found.push(entry);
            }
        }
        found
    }

    pub(super) const fn report(&self) -> &'a Report {
        self.report
    }

    /// Reports the keys that were not asked for.
    pub(super) fn finish(self) {
        for (entry, taken) in self.map.iter().zip(&self.taken) {
            if !taken && !entry.is_variable {
                let text = unknown(&entry.key, &self.names);
                self.report.error(&entry.at, text);
            }
        }
    }
}

/// What to say about a key that is none of `names`.
pub(super) fn unknown(key: &str, names: &[&str]) -> String {
    let lower = key.to_ascii_lowercase();
    let nearest = names
        .iter()
        .map(|name| (strsim::osa_distance(&lower, name), *name))
        // Of a short name so few letters may be wrong that most of it is still right.
        .filter(|(distance, name)| *distance <= DISTANCE_MAX && distance * 2 < name.len())
        .min();
    match nearest {
        Some((_, name)) => format!("unknown field {key:?}, did you mean {name:?}?"),
        None => format!("unknown field {key:?}"),
    }
}

/// One value on its way into a type.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) key: &'a str,
    pub(super) at: &'a Spot,
    pub(super) value: &'a Value,
    pub(super) report: &'a Report,
}

impl<'a> Field<'a> {
    pub(super) const fn of(entry: &'a Entry, report: &'a Report) -> Self {
        Self { key: entry.key.as_str(), at: &entry.at, value: &entry.value, report }
    }

    /// Reports that the value is wrong.
    pub(super) fn fault<T>(&self, text: impl AsRef<str>) -> Option<T> {
        self.report.error(self.at, format!("key {:?}: {}", self.key, text.as_ref()));
        None
    }

    /// Reports that the value has the wrong type. What has no value was reported before.
    pub(super) fn expected<T>(&self, what: &str) -> Option<T> {
        match self.value {
            Value::Unresolved => None,
            other => self.fault(format!("expected {what}, found {}", other.kind())),
        }
    }

    pub(super) fn warn(&self, text: impl AsRef<str>) {
        self.report.warn(self.at, format!("key {:?}: {}", self.key, text.as_ref()));
    }
}

/// A type that a value can be read as.
pub(super) trait FromField<'a>: Sized {
    /// The value, or nothing after saying why.
    fn read(field: Field<'a>) -> Option<Self>;
}

impl FromField<'_> for bool {
    fn read(field: Field<'_>) -> Option<Self> {
        match field.value {
            Value::Bool(on) => Some(*on),
            _ => field.expected("true or false"),
        }
    }
}

impl FromField<'_> for i64 {
    fn read(field: Field<'_>) -> Option<Self> {
        match field.value {
            Value::Integer(number) => Some(*number),
            Value::Text(_) => field.expected("an integer without quotes"),
            _ => field.expected("an integer"),
        }
    }
}

impl<'a> FromField<'a> for &'a str {
    fn read(field: Field<'a>) -> Option<Self> {
        match field.value {
            Value::Text(text) => Some(text),
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) | Value::Time(_) => {
                field.expected("a string (put it in quotes)")
            }
            _ => field.expected("a string"),
        }
    }
}

impl FromField<'_> for String {
    fn read(field: Field<'_>) -> Option<Self> {
        <&str>::read(field).map(str::to_owned)
    }
}

impl FromField<'_> for Secret {
    fn read(field: Field<'_>) -> Option<Self> {
        String::read(field).map(Self::from)
    }
}

impl FromField<'_> for PathBuf {
    fn read(field: Field<'_>) -> Option<Self> {
        <&str>::read(field).map(Self::from)
    }
}

impl FromField<'_> for Duration {
    /// A duration in quotes; for the sake of old files also a bare number of seconds.
    fn read(field: Field<'_>) -> Option<Self> {
        match field.value {
            Value::Text(text) => units::duration(text).map_or_else(|why| field.fault(why), Some),
            Value::Integer(seconds) => {
                let Ok(seconds) = u64::try_from(*seconds) else {
                    return field.fault("a duration cannot be negative");
                };
                field.warn(format!(
                    "{seconds} is taken as seconds; write a duration such as \"10s\" or \"2m\", \
                     in quotes"
                ));
                Some(Self::from_secs(seconds))
            }
            _ => field.expected("a duration such as \"10s\""),
        }
    }
}

/// A duration that was never a number of seconds.
pub(super) struct Quoted(pub(super) Duration);

impl FromField<'_> for Quoted {
    fn read(field: Field<'_>) -> Option<Self> {
        match field.value {
            Value::Text(_) => Duration::read(field).map(Self),
            _ => field.expected("a duration in quotes such as \"10s\""),
        }
    }
}

impl<'a> FromField<'a> for &'a Map {
    fn read(field: Field<'a>) -> Option<Self> {
        match field.value {
            Value::Map(map) => Some(map),
            _ => field.expected("a map"),
        }
    }
}

impl<'a> FromField<'a> for Reader<'a> {
    fn read(field: Field<'a>) -> Option<Self> {
        <&Map>::read(field).map(|map| Self::new(map, field.report))
    }
}

impl<'a> FromField<'a> for Vec<Field<'a>> {
    /// A list; each element bears the name of the list and its own place.
    fn read(field: Field<'a>) -> Option<Self> {
        match field.value {
            Value::List(items) => {
                let element = |at, value| Field { at, value, ..field };
                Some(items.iter().map(|item| element(&item.at, &item.value)).collect())
            }
            _ => field.expected("a list"),
        }
    }
}

impl FromField<'_> for Vec<String> {
    /// A list of strings, or one string alone.
    fn read(field: Field<'_>) -> Option<Self> {
        match field.value {
            Value::Text(text) => Some(vec![text.clone()]),
            Value::List(_) => {
                Vec::<Field<'_>>::read(field)?.into_iter().map(String::read).collect()
            }
            _ => field.expected("a string or a list of strings"),
        }
    }
}

impl FromField<'_> for BTreeMap<String, String> {
    fn read(field: Field<'_>) -> Option<Self> {
        let map = <&Map>::read(field)?;
        map.iter()
            .map(|entry| {
                let text = String::read(Field::of(entry, field.report))?;
                Some((entry.key.clone(), text))
            })
            .collect()
    }
}
