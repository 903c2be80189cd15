//! Random rules, subjects and queues, against the naive judge, over every path there is to a
//! verdict: the rules themselves, the index of a publisher's shard, that of another one.
//!
//! `ORACLE_CASES` says how many questions are asked, `ORACLE_FIRST` where the seeds begin;
//! `scripts/oracle.sh` asks a million.

use fastrand::Rng;

use super::{
    Lists, Permissions, Replies, Responses, Rules, Subscribing, Total, may_deliver, naive,
};
use crate::clock::Now;
use crate::ids::{AccountId, ShardId, SubId};
use crate::interest::{Interest, LocalTarget, MatchSet, Want};

/// Questions that every `cargo test` asks.
const CASES: u64 = 10_000;

/// Of one set of rules.
const QUESTIONS: u64 = 20;

/// Tokens of rules and subjects: few, so that they meet.
const TOKENS: [&str; 5] = ["a", "b", "c", "a*", ">b"];

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// One to four tokens; each is a wildcard with this probability.
fn pattern(rng: &mut Rng, wild: f64) -> String {
    let count = rng.usize(1..=4);
    let mut tokens: Vec<&str> = (0..count)
        .map(|_| if rng.f64() < wild { "*" } else { TOKENS[rng.usize(..TOKENS.len())] })
        .collect();
    if rng.f64() < wild {
        tokens[count - 1] = ">";
    }
    tokens.join(".")
}

/// What somebody publishes to: sometimes not what a subject should be.
pub(crate) fn subject(rng: &mut Rng) -> String {
    match rng.u8(..12) {
        0 => pattern(rng, 0.3),
        1 => format!("{}..{}", pattern(rng, 0.0), pattern(rng, 0.0)),
        2 => format!("{}.", pattern(rng, 0.0)),
        _ => pattern(rng, 0.0),
    }
}

/// A subject that `pattern` matches.
fn filled(rng: &mut Rng, pattern: &str) -> String {
    let mut subject: Vec<&str> = Vec::new();
    for token in pattern.split('.') {
        let count = if token == ">" { rng.usize(1..3) } else { 1 };
        let wild = matches!(token, "*" | ">");
        subject.extend((0..count).map(|_| if wild { TOKENS[rng.usize(..3)] } else { token }));
    }
    subject.join(".")
}

/// A pattern that matches `subject`.
fn widened(rng: &mut Rng, subject: &str) -> String {
    let tokens: Vec<&str> = subject.split('.').collect();
    let mut wide: Vec<&str> =
        tokens.iter().map(|token| if rng.u8(..3) == 0 { "*" } else { token }).collect();
    if rng.bool() {
        wide.truncate(rng.usize(1..=tokens.len()));
        wide.pop();
        wide.push(">");
    }
    wide.join(".")
}

/// What somebody subscribes to, and a subject that may match.
pub(crate) fn meeting(rng: &mut Rng, rules: &Rules) -> (String, String) {
    let allow = rules.subscribe.allow.as_deref().unwrap_or_default();
    let all: Vec<&String> = allow.iter().chain(&rules.subscribe.deny).collect();
    let Some(rule) = rng.choice(all).filter(|_| rng.u8(..4) > 0) else {
        return (pattern(rng, 0.4), subject(rng));
    };
    let rule = rule.split(' ').next().unwrap_or_default();
    let subject = filled(rng, rule);
    (widened(rng, &subject), subject)
}

fn queue(rng: &mut Rng) -> String {
    ["q", "q.a", "q.b", "r", "*", "q.*", "q.>"][rng.usize(..7)].to_owned()
}

fn list(rng: &mut Rng, queues: bool) -> Vec<String> {
    let rule = |rng: &mut Rng| {
        let pattern = pattern(rng, 0.3);
        if queues && rng.u8(..3) == 0 { format!("{pattern} {}", queue(rng)) } else { pattern }
    };
    (0..rng.usize(..5)).map(|_| rule(rng)).collect()
}

/// Rules of any kind.
pub(crate) fn rules(rng: &mut Rng) -> Rules {
    let lists = |rng: &mut Rng, queues| Lists {
        allow: rng.bool().then(|| list(rng, queues)),
        deny: if rng.bool() { list(rng, queues) } else { Vec::new() },
    };
    let responses = (rng.u8(..4) == 0).then(|| Responses {
        max: rng.bool().then(|| rng.u64(1..4)),
        ttl: rng.bool().then(|| std::time::Duration::from_secs(rng.u64(1..5))),
    });
    Rules { publish: lists(rng, false), subscribe: lists(rng, true), responses }
}

/// Asks everything about one set of rules. Returns how often the answers were yes, and how often a
/// subscription was kept from a message.
fn ask(seed: u64) -> (u64, u64) {
    let mut rng = Rng::with_seed(seed);
    let rules = rules(&mut rng);
    let permissions = Permissions::new(rules.clone()).expect("rules are patterns");
    let (mut yes, mut kept) = (0, 0);
    for _ in 0..QUESTIONS {
        let subject = subject(&mut rng);
        let about = || format!("seed {seed}: {rules:?} {subject:?}");
        let may = permissions.may_publish(subject.as_bytes());
        assert_eq!(may, naive::may_publish(&rules, subject.as_bytes()), "{}", about());
        yes += u64::from(may);
        let (pattern, subject) = meeting(&mut rng, &rules);
        let about = || format!("seed {seed}: {rules:?} {subject:?}");
        let queue = rng.bool().then(|| queue(&mut rng));
        let (pattern, queue) = (pattern.as_bytes(), queue.as_ref().map(String::as_bytes));
        let verdict = permissions.may_subscribe(pattern, queue);
        let expected = naive::may_subscribe(&rules, pattern, queue);
        let shown = (pattern.escape_ascii(), queue.map(<[u8]>::escape_ascii));
        assert_eq!(verdict != Subscribing::Denied, expected, "{} {shown:?}", about());
        let Subscribing::Allowed(guard) = verdict else { continue };
        yes += 1;
        if !crate::subject::matches(pattern, subject.as_bytes()) {
            continue;
        }
        let expected = naive::may_deliver(&rules, pattern, queue, subject.as_bytes());
        let may = may_deliver(guard.as_deref(), subject.as_bytes(), queue);
        assert_eq!(may, expected, "{} {shown:?}", about());
        kept += u64::from(!may);
        let want = Want { queue, guard: guard.as_ref() };
        for set in on_both_shards(pattern, want, subject.as_bytes()) {
            assert_eq!(!set.is_empty(), expected, "{} {shown:?} {set:?}", about());
        }
    }
    (yes, kept)
}

/// Who gets a message, on the shard of the only subscription there is, and on another one.
fn on_both_shards(pattern: &[u8], want: Want<'_>, subject: &[u8]) -> [std::rc::Rc<MatchSet>; 2] {
    let account = AccountId::GLOBAL;
    let mut here = Interest::new(ShardId::FIRST, 1);
    let mut there = Interest::new(ShardId::new(1), 2);
    let target = LocalTarget { conn: 0, sub: SubId::new(0) };
    let delta = here.insert(account, pattern, want, target).expect("the first of its kind");
    there.apply(ShardId::FIRST, &delta);
    let sets = [&mut here, &mut there].map(|interest| interest.matches(account, subject));
    let delta = here.remove(account, pattern, want, target).expect("the last of its kind");
    there.apply(ShardId::FIRST, &delta);
    for interest in [&mut here, &mut there] {
        assert!(interest.matches(account, subject).is_empty());
        assert_eq!((interest.patterns(), interest.nodes()), (0, 0));
    }
    sets
}

#[test]
fn the_rules_and_the_index_agree_with_the_naive_judge() {
    let (first, cases) = (setting("ORACLE_FIRST", 0), setting("ORACLE_CASES", CASES));
    let (mut yes, mut kept) = (0, 0);
    for seed in first..first + cases.div_ceil(QUESTIONS) {
        let (more, more_kept) = ask(seed);
        yes += more;
        kept += more_kept;
    }
    eprintln!("{cases} cases from seed {first}: {yes} allowed, {kept} kept from a subscription");
    assert!(yes > cases / 4 && kept > cases / 200, "too little was checked: {yes} {kept}");
}

/// A list of requests and answers, against a list that is searched.
#[test]
fn replies_agree_with_a_list() {
    let (first, cases) = (setting("ORACLE_FIRST", 0), setting("ORACLE_CASES", CASES));
    for seed in first..first + cases.div_ceil(200) {
        let mut rng = Rng::with_seed(seed);
        let mut rules = rules(&mut rng);
        let responses = rules.responses.unwrap_or_default();
        rules.responses = Some(responses);
        let permissions = std::sync::Arc::new(Permissions::new(rules.clone()).expect("patterns"));
        let hasher = ahash::RandomState::with_seeds(seed, 1, 2, 3);
        let mut replies =
            Replies::new(&permissions, &hasher, &Total::default()).expect("may be answered");
        let mut known: Vec<(String, u64, u64)> = Vec::new();
        let mut now = 0;
        for _ in 0..200 {
            now += rng.u64(..400_000_000);
            let reply = subject(&mut rng);
            if rng.bool() {
                replies.note(Now::from_nanos(now), reply.as_bytes());
                if !naive::may_publish(&rules, reply.as_bytes()) {
                    known.retain(|(other, ..)| *other != reply);
                    known.push((reply, now, 0));
                }
                continue;
            }
            let entry = known.iter_mut().find(|(other, ..)| *other == reply).filter(|entry| {
                let late = |ttl: std::time::Duration| u128::from(now - entry.1) > ttl.as_nanos();
                !responses.ttl.is_some_and(late) && responses.max.is_none_or(|max| entry.2 < max)
            });
            let allowed = replies.allows(Now::from_nanos(now), reply.as_bytes());
            assert_eq!(allowed, entry.is_some(), "seed {seed} {reply}");
            if let Some(entry) = entry {
                entry.2 += 1;
                replies.spend(reply.as_bytes());
            }
        }
    }
}
