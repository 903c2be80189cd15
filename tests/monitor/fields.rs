//! Names and types of every field, and what the fields say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::*;

const PATHS: [&str; 17] = [
    "/varz",
    "/connz",
    "/connz?subs=1",
    "/connz?subs=detail&auth=1",
    "/connz?state=closed&subs=detail",
    "/connz?acc=nobody",
    "/subsz",
    "/subsz?subs=1&acc=$G&test=foo.x",
    "/routez",
    "/leafz",
    "/gatewayz",
    "/accountz",
    "/accountz?acc=$G",
    "/accstatz?unused=1",
    "/jsz?streams=1&config=1",
    "/healthz?details=1",
    "/ipqueuesz",
];

/// `path: name type` for every field, those of list members once.
fn fields(monitor: SocketAddr) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in PATHS {
        flatten(&format!("{path}: "), &json(monitor, path), &mut found);
    }
    found
}

fn flatten(at: &str, value: &Value, found: &mut BTreeSet<String>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(text) if text.parse::<jiff::Timestamp>().is_ok() => "time",
        Value::String(_) => "string",
        Value::Array(list) => {
            for item in list {
                flatten(&format!("{at}[]"), item, found);
            }
            "list"
        }
        Value::Object(members) => {
            for (name, member) in members {
                let dot = if at.ends_with(' ') { "" } else { "." };
                flatten(&format!("{at}{dot}{name}"), member, found);
            }
            "object"
        }
    };
    found.insert(format!("{at} {kind}"));
}

fn golden() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/monitor/fields.txt");
    fs::read_to_string(path).expect("the list is there").lines().map(str::to_owned).collect()
}

fn differences(expected: &BTreeSet<String>, found: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for field in expected.difference(found) {
        let _ = writeln!(text, "missing:  {field}");
    }
    for field in found.difference(expected) {
        let _ = writeln!(text, "too much: {field}");
    }
    text
}

#[test]
fn every_field_of_the_reference_is_there_with_its_type() {
    let expected = golden();
    for shards in [1, 2] {
        let scene = scene(&ringbus(shards));
        let found = fields(scene.monitor);
        let differences = differences(&expected, &found);
        assert!(differences.is_empty(), "{shards} shards:\n{differences}");
    }
}

#[test]
fn the_list_is_what_the_reference_answers() {
    let Some(reference) = Program::reference() else { return };
    let scene = scene(&reference);
    let differences = differences(&golden(), &fields(scene.monitor));
    assert!(differences.is_empty(), "{differences}");
}

#[test]
fn the_fields_say_what_happened() {
    for shards in [1, 2] {
        let scene = scene(&ringbus(shards));
        let varz = json(scene.monitor, "/varz");
        for (field, expected) in [
            ("connections", 1),
            ("total_connections", 2),
            ("in_msgs", 1),
            ("in_bytes", 5),
            ("out_msgs", 1),
            ("out_bytes", 5),
            ("subscriptions", 3),
            ("slow_consumers", 0),
        ] {
            assert_eq!(varz[field], expected, "{field} of {varz:#}");
        }
        assert_eq!(varz["auth_required"], true);
        assert_eq!(varz["port"], scene.server.address().port());
        let connz = json(scene.monitor, "/connz?subs=detail&auth=1");
        let conn = &connz["connections"][0];
        for (field, expected) in
            [("name", "one"), ("lang", "rust"), ("version", "1.2.3"), ("authorized_user", "ann")]
        {
            assert_eq!(conn[field], expected, "{conn:#}");
        }
        assert_eq!((&conn["out_msgs"], &conn["subscriptions"]), (&1.into(), &3.into()));
        let details = conn["subscriptions_list_detail"].as_array().expect("a list");
        let of = |sid: &str| details.iter().find(|sub| sub["sid"] == sid).expect("it is listed");
        assert_eq!((&of("1")["subject"], &of("1")["msgs"]), (&"foo.>".into(), &1.into()));
        assert_eq!(of("2")["qgroup"], "workers");
        assert_eq!(of("3")["max"], 100);
        let closed = json(scene.monitor, "/connz?state=closed&subs=1&sort=stop");
        let closed = &closed["connections"][0];
        assert_eq!(closed["reason"], "Client Closed");
        assert_eq!(closed["subscriptions_list"][0], "gone");
        let subs = json(scene.monitor, "/subsz?subs=1&test=bar.x");
        assert_eq!(
            (&subs["total"], &subs["subscriptions_list"][0]["qgroup"]),
            (&1.into(), &"workers".into())
        );
        drop(scene.client);
    }
}

#[test]
fn lists_are_sorted_and_come_in_pages() {
    let server = ringbus(2).start(&["-m", "-1"]).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring listens");
    let connect = r#"{"verbose":false}"#;
    let mut clients: Vec<Raw> = (0..10)
        .map(|_| Raw::client(server.address(), connect).expect("a client connects"))
        .collect();
    for (index, client) in clients.iter_mut().enumerate() {
        for n in 0..index {
            client.send(format!("SUB s.{n} {n}\r\nPUB x 0\r\n\r\n").as_bytes()).expect("sent");
        }
        client.sync().expect("a round trip");
    }
    eventually("everything arrived", Duration::from_secs(5), || {
        json(monitor, "/varz")["in_msgs"] == 45
    });
    let cids = |query: &str| -> Vec<u64> {
        let list = json(monitor, &format!("/connz?{query}"));
        let list = list["connections"].as_array().expect("a list").clone();
        list.iter().map(|conn| conn["cid"].as_u64().expect("a number")).collect()
    };
    let all = cids("");
    assert!(all.len() == 10 && all.is_sorted(), "{all:?}");
    let descending: Vec<u64> = all.iter().rev().copied().collect();
    for sort in ["subs", "msgs_from", "last"] {
        assert_eq!(cids(&format!("sort={sort}")), descending, "{sort}");
    }
    for sort in ["start", "idle", "bytes_to", "pending"] {
        assert_eq!(cids(&format!("sort={sort}")), all, "{sort}");
    }
    assert_eq!(cids("sort=uptime"), descending);
    assert_eq!(cids("sort=subs&limit=3&offset=2"), descending[2..5]);
    assert_eq!(cids("offset=8&limit=9223372036854775807"), all[8..]);
    assert!(cids("offset=9223372036854775807&limit=9223372036854775807").is_empty());
    assert_eq!(cids("offset=-9223372036854775808&limit=-1"), all);
    assert_eq!(cids(&format!("cid={}&limit=50", all[4])), [all[4]]);
    assert!(cids("cid=18446744073709551615").is_empty());
    let mut seen = BTreeSet::new();
    for offset in (0..45).step_by(7) {
        let page = json(monitor, &format!("/subsz?subs=1&limit=7&offset={offset}"));
        assert_eq!(page["total"], 45);
        for sub in page["subscriptions_list"].as_array().expect("a list") {
            assert!(seen.insert((sub["cid"].to_string(), sub["sid"].to_string())), "{sub}");
        }
    }
    assert_eq!(seen.len(), 45);
}
