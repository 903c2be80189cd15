//! Rules in words, and what they come to.

use std::time::Duration;

use ahash::RandomState;

use super::*;
use crate::clock::Now;
use crate::limits::REPLIES_BYTES_MAX;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn lists(allow: &[&str], deny: &[&str]) -> Lists {
    Lists { allow: (!allow.is_empty()).then(|| texts(allow)), deny: texts(deny) }
}

fn publishing(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions::new(Rules { publish: lists(allow, deny), ..Rules::default() }).unwrap()
}

fn subscribing(allow: &[&str], deny: &[&str]) -> Permissions {
    Permissions::new(Rules { subscribe: lists(allow, deny), ..Rules::default() }).unwrap()
}

/// Whether a SUB is accepted, and if so, whether a guard comes with it.
fn sub(permissions: &Permissions, pattern: &str, queue: &str) -> Option<bool> {
    let queue = Some(queue.as_bytes()).filter(|queue| !queue.is_empty());
    match permissions.may_subscribe(pattern.as_bytes(), queue) {
        Subscribing::Denied => None,
        Subscribing::Allowed(guard) => Some(guard.is_some()),
    }
}

#[test]
fn publish_rules() {
    let cases: [(&[&str], &[&str], &str, bool); 14] = [
        (&[], &[], "a", true),
        (&["a.*"], &[], "a.b", true),
        (&["a.*"], &[], "a", false),
        (&["a.*"], &[], "a.b.c", false),
        (&["a.*"], &[], "a.>", true),
        (&["a.*"], &[], "a.", false),
        (&["a.>"], &[], "a..b", false),
        (&["a.>"], &["a.b"], "a.b", false),
        (&["a.>"], &["a.b"], "a.b.c", true),
        (&[], &["a.*.c"], "a.b.c", false),
        (&[], &["a.*.c"], "a..c", true),
        (&["a", "a.b.c", "*.x"], &[], "a.x", true),
        (&[">"], &[">"], "a", false),
        (&["a.b"], &[], "a.*", false),
    ];
    for (allow, deny, subject, expected) in cases {
        let permissions = publishing(allow, deny);
        assert_eq!(permissions.may_publish(subject.as_bytes()), expected, "{allow:?} {deny:?}");
    }
}

#[test]
fn an_empty_list_allows_nothing_to_be_published() {
    let publish = Lists { allow: Some(Vec::new()), deny: Vec::new() };
    let permissions = Permissions::new(Rules { publish, ..Rules::default() }).unwrap();
    assert!(!permissions.may_publish(b"a"));
    let subscribe = Lists { allow: Some(Vec::new()), deny: Vec::new() };
    let permissions = Permissions::new(Rules { subscribe, ..Rules::default() }).unwrap();
    assert_eq!(sub(&permissions, ">", ""), Some(false));
}

#[test]
fn who_may_answer_may_do_nothing_else() {
    let responses = Some(Responses::default());
    let permissions = Permissions::new(Rules { responses, ..Rules::default() }).unwrap();
    assert!(!permissions.may_publish(b"a"));
    let publish = lists(&["a"], &[]);
    let permissions = Permissions::new(Rules { publish, responses, ..Rules::default() }).unwrap();
    assert!(permissions.may_publish(b"a") && !permissions.may_publish(b"b"));
}

/// What is allowed, what is denied, a SUB, and what becomes of it.
type Subscribe<'a> = (&'a [&'a str], &'a [&'a str], &'a str, &'a str, Option<bool>);

#[test]
fn subscribe_rules() {
    // Whether it is accepted, and with a guard.
    let cases: [Subscribe<'_>; 26] = [
        (&[], &[], ">", "", Some(false)),
        (&["a.*"], &[], "a.*", "", Some(false)),
        (&["a.*"], &[], "a.b", "", Some(false)),
        (&["a.b"], &[], "a.*", "", None),
        (&["a.>"], &[], "a.*", "", Some(false)),
        (&["a.*"], &[], ">", "", None),
        // As wide as nats-server lets it be, and given no more than it may have.
        (&["a.*"], &[], "a.>", "", Some(true)),
        (&["a.*", "a.*.>"], &[], "a.>", "", Some(true)),
        (&[], &["a"], "a", "", None),
        (&[], &["a"], "*", "", Some(true)),
        (&[], &["a"], "a.*", "", Some(false)),
        (&[], &["a.*"], "a.>", "", None),
        (&[], &["a.b.c"], "a.>", "", Some(true)),
        (&[], &["a.b.c"], "*.b.*", "", Some(true)),
        (&[], &["a.b.c"], "*.b", "", Some(false)),
        (&["a q"], &[], "a", "", None),
        (&["a q"], &[], "a", "q", Some(false)),
        (&["a q"], &[], "a", "r", None),
        (&["a", "a q.*"], &[], "a", "q.x", Some(false)),
        (&["a", "a q.*"], &[], "a", "r", None),
        (&["a"], &[], "a", "r", Some(false)),
        (&[], &["a q"], "a", "q", None),
        (&[], &["a q.>"], "a", "q.x.y", None),
        (&[], &["a q.>"], "a", "q.*", None),
        (&[], &["a q"], "a", "", Some(false)),
        (&[], &["a q"], "*", "q", Some(true)),
    ];
    for (allow, deny, pattern, queue, expected) in cases {
        let found = sub(&subscribing(allow, deny), pattern, queue);
        assert_eq!(found, expected, "{allow:?} {deny:?}: {pattern} {queue}");
    }
}

fn guard(permissions: &Permissions, pattern: &str, queue: Option<&str>) -> Option<Arc<Guard>> {
    match permissions.may_subscribe(pattern.as_bytes(), queue.map(str::as_bytes)) {
        Subscribing::Denied => panic!("{pattern} is denied"),
        Subscribing::Allowed(guard) => guard,
    }
}

#[test]
fn what_guards_keep_from_whom() {
    let permissions = subscribing(&["a.*", "a.c r"], &["a.b", "a.d q.*"]);
    let cases = [
        ("a.x", None, true),
        ("a.b", None, false),
        ("a.b", Some("q.1"), false),
        ("a.d", None, true),
        ("a.d", Some("q.1"), false),
        ("a.d", Some("q"), true),
        // Wider than `a.*`, though `a.>` was accepted.
        ("a.x.y", None, false),
        ("a.x.y", Some("q"), false),
    ];
    let guard = guard(&permissions, "a.>", None);
    for (subject, queue, expected) in cases {
        let may = may_deliver(guard.as_deref(), subject.as_bytes(), queue.map(str::as_bytes));
        assert_eq!(may, expected, "{subject} {queue:?}");
    }
    assert!(may_deliver(None, b"a.b", None));
}

#[test]
fn a_queue_that_alone_is_allowed_is_given_what_its_rule_allows() {
    let permissions = subscribing(&["a.* q"], &[]);
    let guard = guard(&permissions, "a.>", Some("q"));
    assert!(may_deliver(guard.as_deref(), b"a.b", Some(b"q")));
    assert!(!may_deliver(guard.as_deref(), b"a.b.c", Some(b"q")));
}

#[test]
fn guards_of_equal_rules_are_equal() {
    let guards = [&["a"][..], &["a"], &["b"], &["a", "b"]]
        .map(|deny| guard(&subscribing(&[], deny), "*", None).unwrap());
    assert_eq!(guards[0], guards[1]);
    for (at, one) in guards.iter().enumerate().skip(1) {
        assert!(guards.iter().skip(at + 1).all(|other| one != other), "{one:?}");
    }
}

#[test]
fn what_is_no_rule() {
    let cases = [
        ("", false, Some("subject \"\" is not a valid subject")),
        ("a..b", false, Some("subject \"a..b\" is not a valid subject")),
        ("a.>.b", true, Some("subject \"a.>.b\" is not a valid subject")),
        ("a q", false, Some("subject \"a q\" is not a valid subject")),
        ("a q", true, None),
        (" a \t q.* ", true, None),
        ("a q r", true, Some("subject \"a q r\" is not a valid subject")),
        ("a. q", true, Some("subject \"a.\" is not a valid subject")),
        ("a q.", true, Some("queue \"q.\" is not a valid queue")),
        ("a*.b>", false, None),
        ("größe.>", false, None),
    ];
    for (text, queues, expected) in cases {
        let found = check(text, queues).err().map(|bad| bad.to_string());
        assert_eq!(found.as_deref(), expected, "{text:?}");
    }
    let deny = texts(&["a", "b "]);
    let publish = Lists { allow: None, deny };
    let bad = Permissions::new(Rules { publish, ..Rules::default() }).unwrap_err();
    assert_eq!(bad.to_string(), "publish deny: subject \"b \" is not a valid subject");
}

fn replies(responses: Responses) -> Replies {
    let rules =
        Rules { responses: Some(responses), publish: lists(&["own"], &[]), ..Rules::default() };
    let permissions = Arc::new(Permissions::new(rules).unwrap());
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    Replies::new(&permissions, &hasher, &Total::default()).unwrap()
}

fn second(number: u64) -> Now {
    Now::from_nanos(number * 1_000_000_000)
}

#[test]
fn a_reply_may_be_answered_once_within_two_minutes() {
    let mut replies = replies(Responses::default());
    assert!(!replies.allows(second(0), b"r"));
    replies.note(second(0), b"r");
    replies.note(second(0), b"own");
    assert_eq!(replies.len(), 1, "what may be published to anyway is not kept");
    assert!(replies.allows(second(120), b"r") && replies.allows(second(120), b"r"));
    replies.spend(b"r");
    assert!(!replies.allows(second(120), b"r"));
    assert_eq!((replies.len(), replies.bytes()), (0, 0));
    replies.note(second(200), b"r");
    assert!(!replies.allows(second(321), b"r"));
    assert!(replies.is_empty());
}

#[test]
fn a_reply_that_is_given_again_begins_anew() {
    let mut replies = replies(Responses { max: Some(2), ttl: Some(Duration::from_secs(10)) });
    replies.note(second(0), b"r");
    replies.note(second(1), b"s");
    replies.spend(b"r");
    replies.note(second(9), b"r");
    assert!(!replies.allows(second(12), b"s"), "older than the one that was given again");
    assert!(replies.allows(second(19), b"r"));
    replies.spend(b"r");
    assert!(replies.allows(second(19), b"r"));
    replies.spend(b"r");
    assert!(!replies.allows(second(19), b"r"));
}

#[test]
fn replies_without_end_are_bounded_all_the_same() {
    let mut replies = replies(Responses { max: None, ttl: None });
    let name = |number: u32| format!("_INBOX.{number:0>80}").into_bytes();
    for number in 0..100_000 {
        replies.note(second(0), &name(number));
        assert!(replies.bytes() <= REPLIES_BYTES_MAX);
    }
    assert!(!replies.allows(second(0), &name(0)), "the oldest is forgotten");
    for _ in 0..3 {
        assert!(replies.allows(second(1 << 30), &name(99_999)));
        replies.spend(&name(99_999));
    }
    assert!(replies.len() > 10_000, "{}", replies.len());
}
