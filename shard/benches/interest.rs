//! What the subscription index costs: a remembered subject, many subjects in turn, a walk without
//! the cache, and changes; the first two also while somebody else subscribes and unsubscribes.
//!
//! Run with `cargo bench -p ringbus-shard --bench interest --profile quick`.

use divan::Bencher;
use divan::counter::ItemsCount;
use ringbus_shard::ids::{AccountId, ShardId, SubId};
use ringbus_shard::interest::{Interest, LocalTarget};

const SUBJECTS: usize = 100_000;

fn main() {
    divan::main();
}

fn target(slot: u32) -> LocalTarget {
    LocalTarget { conn: slot, sub: SubId::new(slot) }
}

fn index(patterns: &[&str]) -> Interest {
    let mut interest = Interest::new(ShardId::FIRST, 42);
    for (slot, pattern) in (0..).zip(patterns) {
        let _ = interest.insert(AccountId::GLOBAL, pattern.as_bytes(), None, target(slot));
    }
    interest
}

fn subjects(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("orders.{}.new", number * 7919 % count)).collect()
}

fn change(interest: &mut Interest, pattern: &str, slot: u32) {
    let _ = interest.insert(AccountId::GLOBAL, pattern.as_bytes(), None, target(slot));
    let _ = interest.remove(AccountId::GLOBAL, pattern.as_bytes(), None, target(slot));
}

#[divan::bench(
    args = ["foo", "foo.bar", "orders.eu.berlin.new", "a.subject.of.more.than.thirty-two.bytes"],
    sample_size = 10_000
)]
fn remembered(bencher: Bencher<'_, '_>, subject: &str) {
    let mut interest = index(&[">"]);
    bencher
        .bench_local(|| interest.matches(AccountId::GLOBAL, divan::black_box(subject.as_bytes())));
}

#[divan::bench(args = [100, 1_000, 10_000, SUBJECTS])]
fn subjects_in_turn(bencher: Bencher<'_, '_>, count: usize) {
    let mut interest = index(&["orders.>"]);
    let subjects = subjects(count);
    let mut turn = || {
        for subject in &subjects {
            divan::black_box(interest.matches(AccountId::GLOBAL, subject.as_bytes()));
        }
    };
    turn();
    bencher.counter(ItemsCount::new(count)).bench_local(turn);
}

/// As above, with one SUB or UNSUB elsewhere for every 50 publishes: 100,000 per second at 5
/// million.
#[divan::bench(args = ["_INBOX.{}", "_INBOX.{}.*", "churn.{}.>", "churn.>"])]
fn subjects_in_turn_with_churn(bencher: Bencher<'_, '_>, churn: &str) {
    let mut interest = index(&["orders.>"]);
    let subjects = subjects(SUBJECTS);
    let patterns: Vec<String> =
        (0..1000).map(|number| churn.replace("{}", &number.to_string())).collect();
    let mut turn = || {
        for (batch, pattern) in subjects.chunks(100).zip(&patterns) {
            for subject in batch {
                divan::black_box(interest.matches(AccountId::GLOBAL, subject.as_bytes()));
            }
            change(&mut interest, pattern, 9);
        }
    };
    turn();
    bencher.counter(ItemsCount::new(SUBJECTS)).bench_local(turn);
}

/// Every subject is new: look-up, walk, and remembering.
#[divan::bench(args = [1, 4], sample_size = 10_000)]
fn never_seen_before(bencher: Bencher<'_, '_>, patterns: usize) {
    let all = ["_INBOX.abc.*", "_INBOX.>", "_INBOX.*.*", ">"];
    let mut interest = index(all.get(..patterns).unwrap_or(&all));
    let mut number = 0_u64;
    let mut subject = *b"_INBOX.abc.0000000000000000";
    bencher.bench_local(|| {
        number += 1;
        let digits = subject.len() - 16;
        for (place, digit) in subject[digits..].iter_mut().zip(0..) {
            *place = b'a' + ((number >> (4 * digit)) & 15) as u8;
        }
        interest.matches(AccountId::GLOBAL, &subject)
    });
}

/// The walk alone, and what it costs to keep the result: the same subjects after all of them were
/// made unusable by a pattern that could have concerned them.
#[divan::bench(args = [1, 1_000])]
fn after_invalidation(bencher: Bencher<'_, '_>, count: usize) {
    let mut interest = index(&["orders.*.new", "*.never.>", "prices.>"]);
    let subjects = subjects(count);
    let mut turn = || {
        change(&mut interest, ">", 9);
        for subject in &subjects {
            divan::black_box(interest.matches(AccountId::GLOBAL, subject.as_bytes()));
        }
    };
    turn();
    bencher.counter(ItemsCount::new(count)).bench_local(turn);
}

#[divan::bench(args = ["_INBOX.QXzvLkP3.7", "_INBOX.QXzvLkP3.*", "orders.>"], sample_size = 1_000)]
fn insert_and_remove(bencher: Bencher<'_, '_>, pattern: &str) {
    let mut interest = index(&["foo", "_INBOX.other.*"]);
    bencher.bench_local(|| change(&mut interest, pattern, 9));
}

/// One of a hundred thousand others leaves and comes back.
#[divan::bench(args = ["_INBOX.{}", "_INBOX.{}.*"], sample_size = 1_000)]
fn insert_and_remove_among_many(bencher: Bencher<'_, '_>, shape: &str) {
    let patterns: Vec<String> =
        (0..SUBJECTS).map(|number| shape.replace("{}", &number.to_string())).collect();
    let mut interest = index(&patterns.iter().map(String::as_str).collect::<Vec<_>>());
    let mut number = 0;
    bencher.bench_local(|| {
        number = (number + 7919) % SUBJECTS;
        let slot = u32::try_from(number).unwrap_or(0);
        let pattern = patterns[number].as_bytes();
        let gone = interest.remove(AccountId::GLOBAL, pattern, None, target(slot));
        (gone, interest.insert(AccountId::GLOBAL, pattern, None, target(slot)))
    });
}

/// Everybody who listens to one subject leaves, in the order they came.
#[divan::bench(args = [10, 1_000, 100_000])]
fn one_pattern_many_leave(bencher: Bencher<'_, '_>, count: u32) {
    bencher
        .counter(ItemsCount::new(count))
        .with_inputs(|| {
            let mut interest = Interest::new(ShardId::FIRST, 42);
            for slot in 0..count {
                let _ = interest.insert(AccountId::GLOBAL, b"news", None, target(slot));
            }
            interest
        })
        .bench_local_refs(|interest| {
            for slot in 0..count {
                let _ = interest.remove(AccountId::GLOBAL, b"news", None, target(slot));
            }
        });
}
