//! What a configuration says before anybody asks what it means: a tree that remembers where each
//! part of it stands.

use std::collections::HashMap;

use super::problem::Spot;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// `true`, `off`, `yes`, …
    Bool(bool),
    /// Its unit already multiplied in.
    Integer(i64),
    /// Never infinite and never NaN.
    Float(f64),
    /// A valid point of time as it was written, `2026-01-31T12:00:00Z`.
    Time(String),
    /// Quotes gone, escapes resolved.
    Text(String),
    /// `[…]`
    List(Vec<Item>),
    /// `{…}`
    Map(Map),
    /// It stands for a variable that has no value. That was reported, so readers pass over it.
    Unresolved,
}

impl Value {
    /// What it is, for a sentence. The value itself is not shown: it may be a secret.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Time(_) => "a point of time",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Unresolved => "nothing",
        }
    }

    /// How many values it is made of, itself counted.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(|item| item.value.size()).sum::<usize>(),
            Self::Map(map) => 1 + map.iter().map(|entry| entry.value.size()).sum::<usize>(),
            _ => 1,
        }
    }

    /// How many maps and lists are inside each other.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::List(items) => {
                1 + items.iter().map(|item| item.value.depth()).max().unwrap_or_default()
            }
            Self::Map(map) => {
                1 + map.iter().map(|entry| entry.value.depth()).max().unwrap_or_default()
            }
            _ => 0,
        }
    }
}

/// An element of a list.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) at: Spot,
    pub(super) value: Value,
}

impl PartialEq for Item {
    /// Values are equal wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As it was written.
    pub(super) key: String,
    /// Where the key stands.
    pub(super) at: Spot,
    pub(super) value: Value,
    /// Whether some `$key` was resolved to it: then it need not be a key that anybody knows.
    pub(super) is_variable: bool,
}

/// Keys and values in the order of the file. A repeated key keeps its place and takes the new
/// value.
#[derive(Clone, Debug, Default)]
pub(super) struct Map {
    entries: Vec<Entry>,
    index: HashMap<String, usize>,
}

impl Map {
    /// Adds an entry, or puts it in the place of the one that has the same key, which is returned.
    pub(super) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        let next = self.entries.len();
        let place = *self.index.entry(entry.key.clone()).or_insert(next);
        match self.entries.get_mut(place) {
            Some(known) => Some(std::mem::replace(known, entry)),
            None => {
                self.entries.push(entry);
                None
            }
        }
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Entry> {
        let place = *self.index.get(key)?;
        self.entries.get_mut(place)
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl PartialEq for Map {
    /// As for lists: only keys and values count.
    fn eq(&self, other: &Self) -> bool {
        let same = |one: &Entry, other: &Entry| one.key == other.key && one.value == other.value;
        self.len() == other.len() && self.iter().zip(other.iter()).all(|(a, b)| same(a, b))
    }
}
