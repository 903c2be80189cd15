//! Transforms against those of nats-server, and against one that is written to be obviously right.

use proptest::prelude::*;

use super::super::naive;
use super::*;

fn made(transform: &Transform, subject: &[u8]) -> String {
    let mut out = Vec::new();
    transform.apply_to(subject, &mut fastrand::Rng::with_seed(1), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// What the table says of a result, in its short form.
fn said(result: Result<&Transform, &TransformError>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            let text = error.to_string();
            let text = text.strip_prefix("invalid mapping destination: ").unwrap_or(&text);
            text.replace('\t', "\\t").replace('\n', "\\n")
        }
    }
}

/// Every line of the table that nats-server made.
#[test]
fn as_nats_server_does_it() {
    let mut checked = 0;
    for line in include_str!("table.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [source, destination, mapping, plain, strict, subjects @ ..] = &*fields else {
            panic!("{line:?} has too few fields");
        };
        if destination.is_empty() {
            // There it stands for "no transform"; here callers say so themselves.
            continue;
        }
        let [source, destination] =
            [source, destination].map(|text| text.replace("\\t", "\t").replace("\\n", "\n"));
        let [source, destination] = [source.as_bytes(), destination.as_bytes()];
        let transform = Transform::new(source, destination);
        let found = [
            said(Transform::mapping(source, destination).as_ref()),
            said(transform.as_ref()),
            said(Transform::reversible(source, destination).as_ref()),
        ];
        let plain = if *plain == "=" { mapping } else { plain };
        let strict = if *strict == "=" { plain } else { strict };
        assert_eq!(found, [mapping, plain, strict].map(ToString::to_string), "{line:?}");
        for pair in subjects.chunks(2) {
            let [subject, expected] = pair else { panic!("{line:?} has half a pair") };
            let transform = transform.as_ref().unwrap();
            assert_eq!(made(transform, subject.as_bytes()), *expected, "{line:?} {subject:?}");
            checked += 1;
        }
    }
    assert!(checked > 250, "{checked}");
}

#[test]
fn the_way_back() {
    for (source, destination, back) in [
        ("foo", "bar", Some(("bar", "foo"))),
        ("a.*.*", "b.$2.$1", Some(("b.*.*", "a.$2.$1"))),
        ("a.*.*", "$2.x.{{wildcard(1)}}", Some(("*.x.*", "a.$2.$1"))),
        ("a.*.*.*", "b.$2.$3.$1", Some(("b.*.*.*", "a.$3.$1.$2"))),
        ("a.*", "b.$1.$1", Some(("b.*.*", "a.$1"))),
        ("a.>", "b.>", Some(("b.>", "a.>"))),
        ("a.*", "b", None),
    ] {
        let transform = Transform::new(source.as_bytes(), destination.as_bytes()).unwrap();
        let expected = back.map(|(source, destination)| {
            Transform::new(source.as_bytes(), destination.as_bytes()).unwrap()
        });
        let found = transform.reverse();
        if destination == "b.$1.$1" {
            // It would not lead back to the same again.
            assert_eq!(found, None);
            continue;
        }
        assert_eq!(found, expected, "{source} {destination}");
    }
}

#[test]
fn wildcards_named_in_order() {
    for (pattern, destination) in
        [("a", "a"), ("a.*.b.*", "a.$1.b.$2"), ("*", "$1"), (">", ">"), ("*.>", "$1.>")]
    {
        assert_eq!(as_destination(pattern.as_bytes()), destination.as_bytes());
        assert_eq!(as_pattern(destination.as_bytes()), pattern.as_bytes());
    }
}

#[test]
fn a_random_number_is_below_its_bound() {
    let transform = Transform::new(b"a", b"b.{{random(3)}}").unwrap();
    assert!(!transform.is_fixed());
    let mut rng = fastrand::Rng::with_seed(7);
    let mut seen = [0; 3];
    for _ in 0..300 {
        let mut out = Vec::new();
        transform.apply_to(b"a", &mut rng, &mut out);
        match &*out {
            b"b.0" => seen[0] += 1,
            b"b.1" => seen[1] += 1,
            b"b.2" => seen[2] += 1,
            other => panic!("{}", other.escape_ascii()),
        }
    }
    assert!(seen.iter().all(|count| *count > 60), "{seen:?}");
}

/// A destination for a source of two wildcards, and the same by hand.
fn naive(tokens: &[&str], one: &str, two: &str) -> String {
    let token = |token: &&str| -> String {
        match *token {
            "$1" => one.to_owned(),
            "{{wildcard(2)}}" => two.to_owned(),
            "{{left(1,2)}}" => one.chars().take(2).collect(),
            "{{right(2,2)}}" => {
                let len = two.len();
                two.chars().skip(len.saturating_sub(2)).collect()
            }
            "{{slicefromleft(1,2)}}" => {
                let mut out = String::new();
                for (index, char) in one.chars().enumerate() {
                    if index > 0 && index.is_multiple_of(2) {
                        out.push('.');
                    }
                    out.push(char);
                }
                out
            }
            "{{slicefromright(1,2)}}" => {
                let mut out = String::new();
                for (index, char) in one.chars().enumerate() {
                    if index > 0 && (one.len() - index).is_multiple_of(2) {
                        out.push('.');
                    }
                    out.push(char);
                }
                out
            }
            "{{partition(10,2,1)}}" => {
                let mut hash: u64 = 2_166_136_261;
                for byte in format!("{two}{one}").bytes() {
                    hash = ((hash ^ u64::from(byte)) * 16_777_619) % (1 << 32);
                }
                (hash % 10).to_string()
            }
            other => other.to_owned(),
        }
    };
    tokens.iter().map(token).collect::<Vec<_>>().join(".")
}

proptest! {
    #[test]
    fn as_the_naive_one(
        tokens in prop::collection::vec(
            prop::sample::select(vec![
                "x", "$1", "{{wildcard(2)}}", "{{left(1,2)}}", "{{right(2,2)}}",
                "{{slicefromleft(1,2)}}", "{{slicefromright(1,2)}}", "{{partition(10,2,1)}}",
            ]),
            1..6,
        ),
        one in "[a-z]{1,7}",
        two in "[a-z]{1,7}",
    ) {
        let transform = Transform::new(b"s.*.*", tokens.join(".").as_bytes()).unwrap();
        let subject = format!("s.{one}.{two}");
        prop_assert_eq!(made(&transform, subject.as_bytes()), naive(&tokens, &one, &two));
    }

    #[test]
    fn there_and_back_again(
        source in "[ab*](\\.[ab*]){0,3}",
        turn in 0_usize..4,
        words in prop::collection::vec("[a-c]{1,3}", 4),
    ) {
        let mut named: Vec<String> = (1..=source.matches('*').count())
            .map(|count| format!("${count}"))
            .collect();
        if !named.is_empty() {
            let turn = turn % named.len();
            named.rotate_left(turn);
        }
        let destination = std::iter::once("to".to_owned()).chain(named).collect::<Vec<_>>();
        let there = Transform::reversible(source.as_bytes(), destination.join(".").as_bytes());
        let there = there.unwrap();
        let mut words = words.iter();
        let subject: Vec<&str> = source
            .split('.')
            .map(|token| if token == "*" { words.next().unwrap() } else { token })
            .collect();
        let subject = subject.join(".");
        prop_assert!(naive::matches(source.as_bytes(), subject.as_bytes()));
        let back = there.reverse().unwrap();
        let out = made(&there, subject.as_bytes());
        prop_assert!(naive::matches(back.source(), out.as_bytes()));
        prop_assert_eq!(made(&back, out.as_bytes()), subject);
    }
}
