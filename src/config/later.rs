//! Keys of nats-server whose feature is not in this release.
//!
//! They are known down to the last nested one, so that a misspelling is told from a missing
//! feature. A value that asks for nothing (`jetstream: false`, `cluster {}`) passes; any other
//! stops the start, because a server that silently drops `tls` does harm.

use super::problem::Report;
use super::reader::{Field, Reader, unknown};
use super::value::{Map, Value};

use super::nested::{self, Keys, Shape};

/// A key whose feature is missing.
pub(super) struct Feature {
    names: &'static [&'static str],
    /// What would be supported: "… is not supported yet".
    what: &'static str,
    shape: Shape,
    /// Whether a value asks for nothing.
    is_off: fn(&Value) -> bool,
}

const fn feature(
    names: &'static [&'static str],
    what: &'static str,
    shape: Shape,
    is_off: fn(&Value) -> bool,
) -> Feature {
    Feature { names, what, shape, is_off }
}

fn never(_: &Value) -> bool {
    false
}

fn is_false(value: &Value) -> bool {
    matches!(value, Value::Bool(false))
}

fn is_zero(value: &Value) -> bool {
    matches!(value, Value::Integer(0))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    }
}

fn is_disabled(value: &Value) -> bool {
    match value {
        Value::Bool(on) => !on,
        Value::Text(text) => {
            ["disabled", "disable"].iter().any(|off| text.eq_ignore_ascii_case(off))
        }
        Value::Map(map) => map
            .iter()
            .any(|entry| names(&["enabled", "enable"], &entry.key) && is_false(&entry.value)),
        _ => false,
    }
}

/// The policies that are what this server does anyway.
fn is_close(value: &Value) -> bool {
    matches!(value, Value::Text(text) if text == "default" || text == "close")
}

fn names(names: &[&str], key: &str) -> bool {
    names.iter().any(|name| key.eq_ignore_ascii_case(name))
}

const ANY: Shape = Shape::Any;

/// Keys at the top of the file.
pub(super) const TOP: &[Feature] = &[
    feature(&["trace_headers"], "tracing headers without payloads", ANY, is_false),
    feature(&["cluster"], "clustering", Shape::Map(nested::CLUSTER), is_empty),
    feature(&["gateway"], "a gateway", Shape::Map(nested::GATEWAY), is_empty),
    feature(&["leaf", "leafnodes"], "the leaf node protocol", Shape::Map(nested::LEAF), is_empty),
    feature(&["jetstream"], "JetStream", Shape::Map(nested::JETSTREAM), is_disabled),
    feature(&["prof_port"], "a Go profiler", ANY, is_zero),
    feature(&["prof_block_rate"], "a Go profiler", ANY, is_zero),
    feature(&["ocsp"], "OCSP", Shape::Map(nested::OCSP), is_false),
    feature(&["ocsp_cache"], "OCSP", Shape::Map(nested::OCSP_CACHE), is_false),
    feature(&["write_timeout"], "this policy for slow writes", ANY, is_close),
    feature(&["websocket", "ws"], "WebSocket", Shape::Map(nested::WEBSOCKET), is_empty),
    feature(&["mqtt"], "MQTT", Shape::Map(nested::MQTT), is_empty),
    feature(&["feature_flags"], "a feature flag", ANY, is_empty),
    feature(&["default_js_domain"], "JetStream", ANY, is_empty),
];

/// What a `tls` block cannot have: all of it would let somebody in, or keep somebody out.
pub(super) const IN_TLS: &[Feature] = &[
    feature(&["ocsp_peer"], "OCSP", ANY, is_false),
    feature(&["cert_store"], CERT_STORE, ANY, never),
    feature(&["cert_match_by"], CERT_STORE, ANY, never),
    feature(&["cert_match"], CERT_STORE, ANY, never),
    feature(&["ca_certs_match"], CERT_STORE, ANY, never),
    feature(&["cert_match_skip_invalid"], CERT_STORE, ANY, is_false),
];

const CERT_STORE: &str = "a certificate store of Windows";

/// Keys of an account.
pub(super) const ACCOUNT: &[Feature] = &[
    feature(&["nkey"], "an nkey", ANY, is_empty),
    feature(&["jetstream"], "JetStream", nested::ACCOUNT_JETSTREAM, is_disabled),
    feature(&["msg_trace", "trace_dest"], "tracing messages", nested::MESSAGE_TRACE, is_empty),
];

/// Takes the keys of `features` and refuses those that ask for something.
pub(super) fn refuse(reader: &mut Reader<'_>, features: &'static [Feature]) {
    for feature in features {
        for entry in reader.take(feature.names) {
            let field = Field::of(entry, reader.report());
            if !(feature.is_off)(&entry.value) && entry.value != Value::Unresolved {
                field.fault::<()>(format!("{} is not supported yet", feature.what));
            }
            check(&entry.value, &feature.shape, field.report);
        }
    }
}

/// Takes the keys whose effect nobody could see without clustering, JetStream and so on. Only
/// their type matters.
pub(super) fn pass_over(reader: &mut Reader<'_>) {
    reader.optional::<bool>(&["no_system_account", "no_system", "no_sys_acc"]);
    reader.optional::<i64>(&["connect_error_reports"]);
    reader.optional::<i64>(&["reconnect_error_reports"]);
    reader.optional::<i64>(&["max_closed_clients"]);
    reader.optional::<&str>(&["store_dir", "storedir"]);
}

/// Reports the unknown keys of a value that has this shape.
fn check(value: &Value, shape: &Shape, report: &Report) {
    match (shape, value) {
        (Shape::Map(keys), Value::Map(map)) => check_keys(map, keys, report),
        (Shape::ListOf(keys), Value::List(items)) => {
            for item in items {
                check(&item.value, &Shape::Map(keys), report);
            }
        }
        _ => {}
    }
}

fn check_keys(map: &Map, keys: &Keys, report: &Report) {
    for entry in map.iter() {
        match keys.iter().find(|(known, _)| names(known, &entry.key)) {
            Some((_, shape)) => check(&entry.value, shape, report),
            None if entry.is_variable => {}
            None => {
                let all: Vec<&str> =
                    keys.iter().flat_map(|(known, _)| known.iter().copied()).collect();
                report.error(&entry.at, unknown(&entry.key, &all));
            }
        }
    }
}
