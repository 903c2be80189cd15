//! `/metrics`, read as strictly as the formats are written down.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Samples by name and labels. Fails on whatever a strict reader would not take.
fn read(text: &str, open: bool) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut kinds: BTreeMap<String, String> = BTreeMap::new();
    let mut family = String::new();
    let body = if open {
        text.strip_suffix("# EOF\n").expect("OpenMetrics has an end mark")
    } else {
        assert!(text.ends_with('\n') && !text.contains("# EOF"));
        text
    };
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (keyword, name) = (words.next().expect("a word"), words.next().expect("a name"));
            let rest = words.next().expect("a text");
            match keyword {
                "HELP" => assert!(!rest.is_empty() && !kinds.contains_key(name), "{line}"),
                "TYPE" => {
                    let old = kinds.insert(name.to_owned(), rest.to_owned());
                    assert_eq!(old, None, "{name} has two types");
                    name.clone_into(&mut family);
                }
                other => panic!("unknown comment {other}"),
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let name = series.split('{').next().expect("a name");
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{name}");
        let kind = kinds.get(&family).expect("a type comes first").as_str();
        let suffix = name.strip_prefix(&family).expect("samples stand with their family");
        let allowed: &[&str] = match (kind, open) {
            ("counter", true) => &["_total"],
            ("histogram", _) => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        assert!(allowed.contains(&suffix), "{line} is no {kind}");
        assert!(kind != "counter" || name.ends_with("_total"), "{line}");
        let old = samples.insert(series.to_owned(), value.parse().expect("a number"));
        assert!(old.is_none(), "{series} occurs twice");
    }
    samples
}

#[test]
fn both_text_formats_are_well_formed_and_say_the_same() {
    let scene = scene(&ringbus(2));
    let classic = get(scene.monitor, "/metrics");
    assert!(classic.head.contains("Content-Type: text/plain; version=0.0.4"), "{}", classic.head);
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = get_with(scene.monitor, "/metrics", accept);
    let media_type = "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(open.head.contains(media_type), "{}", open.head);
    let (classic, open) = (read(&classic.body, false), read(&open.body, true));
    let names = |samples: &BTreeMap<String, f64>| samples.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&classic), names(&open));
    let sum = |name: &str| -> f64 {
        let prefix = format!("{name}{{");
        classic.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(_, value)| value).sum()
    };
    for (name, expected) in [
        ("ringbus_shard_connections", 1.0),
        ("ringbus_shard_connections_opened_total", 2.0),
        ("ringbus_shard_received_messages_total", 1.0),
        ("ringbus_shard_sent_messages_total", 1.0),
        ("ringbus_shard_sent_bytes_total", 5.0),
        ("ringbus_shard_subscriptions", 3.0),
        ("ringbus_shard_slow_consumers_total", 0.0),
        ("gnatsd_varz_connections", 1.0),
        ("gnatsd_varz_in_msgs", 1.0),
        ("gnatsd_varz_slow_consumer_stats_clients", 0.0),
        ("gnatsd_connz_num_connections", 1.0),
        ("gnatsd_subsz_num_subscriptions", 3.0),
        ("gnatsd_healthz_status", 0.0),
    ] {
        assert!((sum(name) - expected).abs() < f64::EPSILON, "{name} is {}", sum(name));
    }
    for shard in 0..2 {
        let ends = classic.iter().filter(|(key, _)| {
            key.starts_with("ringbus_shard_turn_seconds_bucket")
                && key.contains(&format!("shard=\"{shard}\""))
        });
        let most = ends.map(|(_, value)| *value).fold(0.0, f64::max);
        let infinite =
            format!("ringbus_shard_turn_seconds_bucket{{le=\"+Inf\",shard=\"{shard}\"}}");
        assert!((classic[&infinite] - most).abs() < f64::EPSILON);
    }
}

#[test]
fn a_name_with_quotes_does_not_break_the_format() {
    let server = ringbus(1).start(&["-m", "-1", "-n", "a\"}\\b"]).expect("the server starts");
    let metrics = get(server.monitoring().expect("monitoring listens"), "/metrics");
    assert!(metrics.body.contains(r#"server_name="a\"}\\b""#), "{}", metrics.body);
}
