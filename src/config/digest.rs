//! The fingerprint of a configuration, equal to the one nats-server prints for the same file.
//!
//! It is the SHA-256 of the values as JSON in Go's encoding: keys sorted, `<`, `>` and `&` escaped,
//! a line end behind it. Positions, comments and the order of keys do not count.

use sha2::{Digest as _, Sha256};

use super::value::{Entry, Map, Value};

/// `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(map: &Map) -> String {
    let json = json(map) + "\n";
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(json.as_bytes())))
}

pub(super) fn json(map: &Map) -> String {
    let mut json = String::new();
    write_map(&mut json, map);
    json
}

fn write_map(json: &mut String, map: &Map) {
    let mut entries: Vec<&Entry> = map.iter().collect();
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    json.push('{');
    for (place, entry) in entries.iter().enumerate() {
        if place > 0 {
            json.push(',');
        }
        write_text(json, &entry.key);
        json.push(':');
        write_value(json, &entry.value);
    }
    json.push('}');
}

fn write_value(json: &mut String, value: &Value) {
    match value {
        Value::Bool(on) => json.push_str(if *on { "true" } else { "false" }),
        Value::Integer(number) => json.push_str(&number.to_string()),
        Value::Float(number) => write_float(json, *number),
        Value::Time(text) | Value::Text(text) => write_text(json, text),
        Value::List(items) => {
            json.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    json.push(',');
                }
                write_value(json, &item.value);
            }
            json.push(']');
        }
        Value::Map(map) => write_map(json, map),
        Value::Unresolved => json.push_str("null"),
    }
}

/// Go writes small and large numbers with an exponent of at least two digits, but cuts a leading
/// zero from negative ones.
fn write_float(json: &mut String, number: f64) {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        json.push_str(&number.to_string());
        return;
    }
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    match exponent.strip_prefix('-') {
        Some(exponent) => json.push_str(&format!("{digits}e-{exponent}")),
        None => json.push_str(&format!("{digits}e+{exponent:0>2}")),
    }
}

fn write_text(json: &mut String, text: &str) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..'\u{20}' => {
                json.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => json.push(c),
        }
    }
    json.push('"');
}
