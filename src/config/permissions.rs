//! What a user may publish and subscribe to: `permissions` of a user, `default_permissions` for
//! those that have none.
//!
//! An empty list is as good as none, an empty map too: both restrict nothing, as with nats-server.

use std::fmt::Write as _;
use std::time::Duration;

use ringbus_shard::authorize::{Lists, Responses, Rules, check};

use super::dump::quoted;
use super::problem::{Report, Spot};
use super::reader::{self, Field, FromField};
use super::units;
use super::value::{Entry, Value};

/// Rules as they were given.
pub(super) struct Given(pub(super) Rules);

impl FromField<'_> for Given {
    fn read(field: Field<'_>) -> Option<Self> {
        let Field { at, value, report, .. } = field;
        let Value::Map(map) = value else {
            if *value != Value::Unresolved {
                let kind = value.kind();
                report.error(at, format!("Expected permissions to be a map/struct, got {kind}"));
            }
            return None;
        };
        let mut rules = Rules::default();
        for entry in map.iter() {
            match &*entry.key.to_ascii_lowercase() {
                "pub" | "publish" | "import" => rules.publish = lists(entry, false, report),
                "sub" | "subscribe" | "export" => rules.subscribe = lists(entry, true, report),
                "allow_responses" | "publish_allow_responses" => {
                    rules.responses = responses(entry, report);
                }
                _ => unknown(entry, UNKNOWN, KEYS, report),
            }
        }
        Some(Self(rules))
    }
}

/// Reports a key that nobody knows: `text` has its name in place of braces.
fn unknown(entry: &Entry, text: &str, names: &[&str], report: &Report) {
    if entry.is_variable {
        return;
    }
    let text = text.replace("{}", &format!("{:?}", entry.key));
    let known = reader::unknown(&entry.key, names);
    let hint = known.split_once(", did").map(|(_, hint)| format!(", did{hint}"));
    report.error(&entry.at, text + hint.as_deref().unwrap_or_default());
}

const KEYS: &[&str] = &["publish", "subscribe", "allow_responses"];
const RESPONSE_KEYS: &[&str] = &["max", "max_messages", "max_responses", "expires"];
const UNKNOWN: &str = "Unknown field {} parsing permissions";
const UNKNOWN_LIST: &str = "Unknown field name {} parsing subject permissions, only 'allow' or \
                            'deny' are permitted";

/// Lists of patterns: `{allow: …, deny: …}`, or only what is allowed.
fn lists(entry: &Entry, queues: bool, report: &Report) -> Lists {
    let Value::Map(map) = &entry.value else {
        return Lists { allow: non_empty(entry, queues, report), deny: Vec::new() };
    };
    let mut lists = Lists::default();
    for entry in map.iter() {
        match &*entry.key.to_ascii_lowercase() {
            "allow" => lists.allow = non_empty(entry, queues, report),
            "deny" => lists.deny = patterns(&entry.at, &entry.value, queues, report),
            _ => unknown(entry, UNKNOWN_LIST, &[], report),
        }
    }
    lists
}

fn non_empty(entry: &Entry, queues: bool, report: &Report) -> Option<Vec<String>> {
    let allowed = patterns(&entry.at, &entry.value, queues, report);
    (!allowed.is_empty()).then_some(allowed)
}

/// One pattern, or a list of them.
fn patterns(at: &Spot, value: &Value, queues: bool, report: &Report) -> Vec<String> {
    let texts: Vec<(&Spot, &String)> = match value {
        Value::Text(text) => vec![(at, text)],
        Value::List(items) => {
            let texts = items.iter().filter_map(|item| Some((&item.at, text(&item.value)?)));
            for item in items {
                if text(&item.value).is_none() && item.value != Value::Unresolved {
                    let what = "Subject in permissions array cannot be cast to string";
                    report.error(&item.at, what);
                }
            }
            texts.collect()
        }
        Value::Unresolved => Vec::new(),
        other => {
            let kind = other.kind();
            let what = "Expected subject permissions to be a subject, or array of subjects, got";
            report.error(at, format!("{what} {kind}"));
            Vec::new()
        }
    };
    for (at, text) in &texts {
        if let Err(bad) = check(text, queues) {
            report.error(at, bad.to_string());
        }
    }
    texts.into_iter().map(|(_, text)| text.clone()).collect()
}

const fn text(value: &Value) -> Option<&String> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// `true`, or how often and how long. Zero is the default, a negative number no bound.
fn responses(entry: &Entry, report: &Report) -> Option<Responses> {
    let map = match &entry.value {
        Value::Bool(on) => return on.then(Responses::default),
        Value::Map(map) => map,
        Value::Unresolved => return None,
        _ => {
            let what = "error parsing response permissions, expected a boolean or a map";
            report.error(&entry.at, what);
            return None;
        }
    };
    let mut responses = Responses::default();
    for entry in map.iter() {
        match &*entry.key.to_ascii_lowercase() {
            "max" | "max_msgs" | "max_messages" | "max_responses" => match &entry.value {
                Value::Integer(0) | Value::Unresolved => {}
                Value::Integer(max) => responses.max = u64::try_from(*max).ok(),
                other => {
                    let kind = other.kind();
                    report
                        .error(&entry.at, format!("error parsing max, not an integer but {kind}"));
                }
            },
            "expires" | "expiration" | "ttl" => match &entry.value {
                Value::Text(text) => match expiry(text) {
                    Ok(ttl) => responses.ttl = ttl,
                    Err(why) => report.error(&entry.at, format!("error parsing expires: {why}")),
                },
                Value::Unresolved => {}
                _ => report.error(&entry.at, "error parsing expires, not a duration string"),
            },
            _ => unknown(entry, UNKNOWN, RESPONSE_KEYS, report),
        }
    }
    Some(responses)
}

/// How long, if there is an end.
fn expiry(text: &str) -> Result<Option<Duration>, String> {
    let (text, negative) = text.strip_prefix('-').map_or((text, false), |text| (text, true));
    let ttl = units::duration(text)?;
    Ok(match (ttl.is_zero(), negative) {
        (true, _) => Responses::default().ttl,
        (false, true) => None,
        (false, false) => Some(ttl),
    })
}

/// As the grammar has them.
pub(super) fn shown(rules: &Rules) -> String {
    let mut parts = Vec::new();
    for (name, lists) in [("publish", &rules.publish), ("subscribe", &rules.subscribe)] {
        let allow = lists.allow.as_ref().map(|allow| format!("allow: {}", list(allow)));
        let deny = (!lists.deny.is_empty()).then(|| format!("deny: {}", list(&lists.deny)));
        let inner: Vec<String> = allow.into_iter().chain(deny).collect();
        if !inner.is_empty() {
            parts.push(format!("{name}: {{{}}}", inner.join(", ")));
        }
    }
    if let Some(Responses { max, ttl }) = rules.responses {
        let mut text = String::from("allow_responses: {max: ");
        let _ = match max {
            Some(max) => write!(text, "{max}"),
            None => write!(text, "-1"),
        };
        let ttl = ttl.map_or_else(|| "-1s".to_owned(), units::written);
        let _ = write!(text, ", ttl: {}}}", quoted(&ttl));
        parts.push(text);
    }
    format!("{{{}}}", parts.join(", "))
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}
