//! The index against the list that is scanned; the cache under churn; the choice of queue members.

use std::rc::Rc;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::authorize::{Guard, Lists, Permissions, Rules, Subscribing};
use crate::ids::{AccountId, ShardId, SubId};

use super::naive::{Naive, Receivers};
use super::{Delta, GroupMatch, Interest, LocalTarget, MatchSet, Pick, Want};

const ACCOUNT: AccountId = AccountId::GLOBAL;

fn target(slot: u32) -> LocalTarget {
    LocalTarget { conn: slot % 3, sub: SubId::new(slot) }
}

fn insert(interest: &mut Interest, pattern: &str, queue: Option<&str>, slot: u32) -> Option<u32> {
    let queue = queue.map(str::as_bytes);
    let delta = interest.insert(ACCOUNT, pattern.as_bytes(), queue, target(slot));
    delta.map(|delta| delta.members)
}

fn remove(interest: &mut Interest, pattern: &str, queue: Option<&str>, slot: u32) -> Option<u32> {
    let queue = queue.map(str::as_bytes);
    let delta = interest.remove(ACCOUNT, pattern.as_bytes(), queue, target(slot));
    delta.map(|delta| delta.members)
}

fn slots(set: &MatchSet) -> Vec<u32> {
    let mut slots: Vec<u32> = set.plain.iter().map(|target| target.sub.slot()).collect();
    slots.sort_unstable();
    slots
}

fn shard(index: u16) -> ShardId {
    ShardId::new(index)
}

/// All sequences of one to `len` of `tokens`, joined by dots.
fn sequences(tokens: &[&str], len: usize) -> Vec<String> {
    let mut all: Vec<String> = tokens.iter().map(ToString::to_string).collect();
    let mut last = all.clone();
    for _ in 1..len {
        last = last
            .iter()
            .flat_map(|head| tokens.iter().map(move |token| format!("{head}.{token}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

fn valid_patterns(tokens: &[&str], len: usize) -> Vec<String> {
    let mut all = sequences(tokens, len);
    all.retain(|pattern| !pattern.contains(">."));
    all
}

/// Every subject of up to three tokens, wildcards and empty tokens among them, is asked before and
/// after every pattern comes and goes: with the cache, a stale answer shows at once.
#[test]
fn all_short_subjects_and_patterns_agree_with_the_scan() {
    let patterns = valid_patterns(&["a", "b", "*", ">"], 3);
    let subjects = sequences(&["a", "b", "*", ">", ""], 3);
    assert_eq!((patterns.len(), subjects.len()), (52, 155));
    let mut interest = Interest::new(ShardId::FIRST, 1);
    let mut naive = Naive::default();
    let agree = |interest: &mut Interest, naive: &Naive, after: &str| {
        for subject in &subjects {
            let set = interest.matches(ACCOUNT, subject.as_bytes());
            let expected = naive.matches(ACCOUNT, subject.as_bytes());
            assert_eq!(Receivers::from(&*set), expected, "{subject} after {after}");
        }
    };
    for (slot, pattern) in (0..).zip(&patterns) {
        assert_eq!(insert(&mut interest, pattern, None, slot), Some(1));
        naive.insert(ACCOUNT, pattern.as_bytes(), Want::default(), target(slot));
        agree(&mut interest, &naive, pattern);
    }
    for (slot, pattern) in (0..).zip(&patterns) {
        assert_eq!(remove(&mut interest, pattern, None, slot), Some(0));
        naive.remove(ACCOUNT, pattern.as_bytes(), Want::default(), target(slot));
        agree(&mut interest, &naive, pattern);
    }
    assert_eq!((interest.patterns(), interest.nodes()), (0, 0));
}

#[derive(Clone, Debug)]
enum Step {
    Insert { account: u32, pattern: usize, queue: Option<u8>, guard: u8, slot: u32 },
    Remove { number: usize },
    RemoveUnknown { account: u32, pattern: usize, queue: Option<u8>, guard: u8 },
    Apply { from: u16, account: u32, pattern: usize, queue: Option<u8>, guard: u8, members: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let queue = || prop_oneof![Just(None), Just(Some(b'q')), Just(Some(b'r'))];
    let pattern = any::<usize>;
    let guard = || 0..=GUARDS;
    prop_oneof![
        4 => (0..3_u32, pattern(), queue(), guard(), 0..1_000_000_u32).prop_map(
            |(account, pattern, queue, guard, slot)| Step::Insert {
                account, pattern, queue, guard, slot
            }
        ),
        3 => any::<usize>().prop_map(|number| Step::Remove { number }),
        1 => (0..3_u32, pattern(), queue(), guard()).prop_map(
            |(account, pattern, queue, guard)| Step::RemoveUnknown {
                account, pattern, queue, guard
            }
        ),
        3 => (1..5_u16, 0..3_u32, pattern(), queue(), guard(), 0..4_u32).prop_map(
            |(from, account, pattern, queue, guard, members)| Step::Apply {
                from, account, pattern, queue, guard, members
            }
        ),
    ]
}

const GUARDS: u8 = 3;

/// What keeps subscriptions from some of what they match.
fn guards() -> [Arc<Guard>; GUARDS as usize] {
    [&["a.b*"][..], &["a q", "b*.*"], &["a", "*.> r", "b*.b* q"]].map(|deny| {
        let deny = deny.iter().map(ToString::to_string).collect();
        let subscribe = Lists { allow: None, deny };
        let rules = Rules { subscribe, ..Rules::default() };
        let permissions = Permissions::new(rules).expect("rules are patterns");
        match permissions.may_subscribe(b">", None) {
            Subscribing::Allowed(Some(guard)) => guard,
            other => panic!("everything is wider than what is denied: {other:?}"),
        }
    })
}

/// An index, the scan it must agree with, and the alphabet both are exercised with.
struct Pair {
    interest: Interest,
    naive: Naive,
    patterns: Vec<String>,
    subjects: Vec<String>,
    guards: [Arc<Guard>; GUARDS as usize],
}

impl Pair {
    fn new(cache_bytes_max: usize) -> Self {
        Self {
            interest: Interest::bounded(ShardId::FIRST, 7, cache_bytes_max),
            naive: Naive::default(),
            patterns: valid_patterns(&["a", "b*", "*", ">"], 3),
            subjects: sequences(&["a", "b*", "*"], 3),
            guards: guards(),
        }
    }

    fn pattern(&self, number: usize) -> Vec<u8> {
        self.patterns[number % self.patterns.len()].clone().into_bytes()
    }

    /// None for number 0.
    fn guard(&self, number: u8) -> Option<Arc<Guard>> {
        self.guards.get(usize::from(number).checked_sub(1)?).cloned()
    }

    fn perform(&mut self, step: &Step) {
        let (told, expected) = match *step {
            Step::Insert { account, pattern, queue, guard, slot } => {
                let (account, pattern) = (AccountId::new(account), self.pattern(pattern));
                let (queue, guard) = (queue.as_ref().map(std::slice::from_ref), self.guard(guard));
                let want = Want { queue, guard: guard.as_ref() };
                (
                    self.interest.insert(account, &pattern, want, target(slot)),
                    self.naive.insert(account, &pattern, want, target(slot)),
                )
            }
            Step::Remove { number } => {
                let Some((account, pattern, part, target)) = self.naive.local(number) else {
                    return;
                };
                let want = Want { queue: part.0.as_deref(), guard: part.1.as_ref() };
                (
                    self.interest.remove(account, &pattern, want, target),
                    self.naive.remove(account, &pattern, want, target),
                )
            }
            Step::RemoveUnknown { account, pattern, queue, guard } => {
                let (account, pattern) = (AccountId::new(account), self.pattern(pattern));
                let (queue, guard) = (queue.as_ref().map(std::slice::from_ref), self.guard(guard));
                let want = Want { queue, guard: guard.as_ref() };
                (self.interest.remove(account, &pattern, want, target(u32::MAX)), None)
            }
            Step::Apply { from, account, pattern, queue, guard, members } => {
                let delta = Delta {
                    account: AccountId::new(account),
                    pattern: Arc::from(self.pattern(pattern)),
                    queue: queue.map(|name| Arc::from([name].as_slice())),
                    guard: self.guard(guard),
                    members,
                };
                self.interest.apply(shard(from), &delta);
                self.naive.apply(shard(from), &delta);
                (None, None)
            }
        };
        assert_eq!(told.map(|delta| delta.members), expected, "{step:?}");
    }

    fn agree(&mut self, after: &Step) {
        for account in (0..3).map(AccountId::new) {
            for subject in &self.subjects {
                let set = self.interest.matches(account, subject.as_bytes());
                let expected = self.naive.matches(account, subject.as_bytes());
                assert_eq!(Receivers::from(&*set), expected, "{subject} after {after:?}");
            }
        }
        assert_eq!(self.interest.subscriptions(), self.naive.subscriptions());
        assert_eq!(self.interest.patterns(), self.naive.patterns());
    }
}

/// Slots are unique, as in a shard's table.
fn with_unique_slots(mut steps: Vec<Step>) -> Vec<Step> {
    let mut next = 0;
    for step in &mut steps {
        if let Step::Insert { slot, .. } = step {
            *slot = next;
            next += 1;
        }
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn random_operations_agree_with_the_scan(steps in vec(step(), 1..60)) {
        let mut pair = Pair::new(1 << 20);
        for step in with_unique_slots(steps) {
            pair.perform(&step);
            pair.agree(&step);
        }
    }

    /// From nothing remembered at all to everything in two generations; the bound holds throughout.
    #[test]
    fn a_small_cache_is_right_and_keeps_its_bound(
        steps in vec(step(), 1..60),
        bytes_max in 0..120_000_usize,
    ) {
        let mut pair = Pair::new(bytes_max);
        for step in with_unique_slots(steps) {
            pair.perform(&step);
            pair.agree(&step);
            prop_assert!(pair.interest.cache_bytes() <= bytes_max);
        }
    }

    /// Shards that tell each other everything agree about who is where.
    #[test]
    fn shards_that_exchange_deltas_agree(
        steps in vec((0..3_u16, any::<bool>(), 0..52_usize, any::<bool>(), any::<usize>()), 1..80),
    ) {
        let patterns = valid_patterns(&["a", "b", "*", ">"], 3);
        let mut shards: Vec<_> = (0..3).map(|index| Interest::new(shard(index), 3)).collect();
        let mut present: Vec<Vec<(usize, bool, u32)>> = vec![Vec::new(); 3];
        for (slot, (home, join, pattern, queue, number)) in (0..).zip(steps) {
            let index = usize::from(home);
            let delta = if join {
                present[index].push((pattern, queue, slot));
                let queue = queue.then_some(b"q".as_slice());
                shards[index].insert(ACCOUNT, patterns[pattern].as_bytes(), queue, target(slot))
            } else {
                if present[index].is_empty() { continue }
                let place = number % present[index].len();
                let (pattern, queue, slot) = present[index].swap_remove(place);
                let queue = queue.then_some(b"q".as_slice());
                shards[index].remove(ACCOUNT, patterns[pattern].as_bytes(), queue, target(slot))
            };
            if let Some(delta) = delta {
                for other in (0..3).filter(|other| *other != home) {
                    shards[usize::from(other)].apply(shard(home), &delta);
                }
            }
        }
        for subject in sequences(&["a", "b"], 3) {
            let sets: Vec<_> =
                shards.iter_mut().map(|one| one.matches(ACCOUNT, subject.as_bytes())).collect();
            for (index, set) in sets.iter().enumerate() {
                let mut remote = set.remote.to_vec();
                remote.sort_unstable();
                let expected: Vec<_> = (0..3_u16)
                    .filter(|other| usize::from(*other) != index)
                    .filter(|other| !sets[usize::from(*other)].plain.is_empty())
                    .map(shard)
                    .collect();
                prop_assert_eq!(remote, expected);
                let totals = |set: &MatchSet| set.groups.iter().map(GroupMatch::total).sum::<u64>();
                prop_assert_eq!(totals(set), totals(&sets[0]));
            }
        }
        for (index, members) in present.iter().enumerate() {
            for &(pattern, queue, slot) in members {
                let queue = queue.then_some(b"q".as_slice());
                let pattern = patterns[pattern].as_bytes();
                let delta = shards[index].remove(ACCOUNT, pattern, queue, target(slot));
                let from = shards[index].me;
                for other in shards.iter_mut().filter(|other| other.me != from) {
                    delta.iter().for_each(|delta| other.apply(from, delta));
                }
            }
        }
        for one in &shards {
            prop_assert_eq!((one.subscriptions(), one.patterns(), one.nodes()), (0, 0, 0));
        }
    }
}

#[test]
fn two_subscriptions_that_match_deliver_twice() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    assert_eq!(insert(&mut interest, "foo.*", None, 1), Some(1));
    assert_eq!(insert(&mut interest, "foo.*", None, 2), None, "the others know already");
    assert_eq!(insert(&mut interest, "foo.>", None, 3), Some(1));
    assert_eq!(slots(&interest.matches(ACCOUNT, b"foo.bar")), [1, 2, 3]);
    assert_eq!(remove(&mut interest, "foo.*", None, 1), None);
    assert_eq!(remove(&mut interest, "foo.*", None, 1), None, "it is gone");
    assert_eq!(remove(&mut interest, "foo.*", None, 2), Some(0));
    assert_eq!(slots(&interest.matches(ACCOUNT, b"foo.bar")), [3]);
}

#[test]
fn wildcards_in_a_published_subject_are_ordinary_bytes() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    for (slot, pattern) in (0..).zip(["foo.*", "foo.bar", "foo.>", "*.*", "foo"]) {
        assert_eq!(insert(&mut interest, pattern, None, slot), Some(1));
    }
    assert_eq!(slots(&interest.matches(ACCOUNT, b"foo.*")), [0, 2, 3]);
    assert_eq!(slots(&interest.matches(ACCOUNT, b"foo.>")), [0, 2, 3]);
    assert_eq!(slots(&interest.matches(ACCOUNT, b"foo.bar")), [0, 1, 2, 3]);
    assert!(interest.matches(ACCOUNT, b"foo.").is_empty());
    assert!(interest.matches(ACCOUNT, b"").is_empty());
}

#[test]
fn a_subject_of_thousands_of_tokens_is_matched() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    let stars = vec!["*"; 2048].join(".");
    assert_eq!(insert(&mut interest, &stars, None, 1), Some(1));
    assert_eq!(slots(&interest.matches(ACCOUNT, vec!["a"; 2048].join(".").as_bytes())), [1]);
    assert!(interest.matches(ACCOUNT, vec!["a"; 2047].join(".").as_bytes()).is_empty());
    assert_eq!(remove(&mut interest, &stars, None, 1), Some(0));
    assert_eq!(interest.nodes(), 0);
}

#[test]
fn a_queue_group_is_one_across_patterns_and_shards() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    assert_eq!(insert(&mut interest, "foo.*", Some("q"), 1), Some(1));
    assert_eq!(insert(&mut interest, "foo.*", Some("q"), 2), Some(2));
    assert_eq!(insert(&mut interest, "foo.>", Some("q"), 3), Some(1));
    assert_eq!(insert(&mut interest, "foo.bar", Some("other"), 4), Some(1));
    for (pattern, members) in [("foo.bar", 2), ("foo.>", 3)] {
        let pattern = Arc::from(pattern.as_bytes());
        let queue = Some(Arc::from(b"q".as_slice()));
        interest.apply(shard(1), &Delta { account: ACCOUNT, pattern, queue, guard: None, members });
    }
    let set = interest.matches(ACCOUNT, b"foo.bar");
    let names: Vec<&[u8]> = set.groups.iter().map(|group| &*group.name).collect();
    assert_eq!(names, [b"other".as_slice(), b"q"]);
    assert_eq!((set.groups[1].local.len(), set.groups[1].total()), (3, 8));
    assert_eq!(*set.groups[1].remote, [(shard(1), 5)]);
}

#[test]
fn every_member_of_every_shard_is_picked_equally_often() {
    let local: Vec<_> = (0..3).map(target).collect();
    let remote = [(shard(1), 4), (shard(2), 1), (shard(3), 8)];
    let group = GroupMatch::new(Rc::from(b"q".as_slice()), local.into(), &remote);
    let mut random = fastrand::Rng::with_seed(11);
    let rounds = 160_000_u32;
    let mut local = [0_u32; 3];
    let mut weights = [0_u32; 4];
    let mut forwards = [0_u32; 4];
    for _ in 0..rounds {
        match group.pick(random.u64(..)).expect("there are members") {
            Pick::Local(index) => local[index] += 1,
            Pick::Shard(shard) => weights[shard.index()] += 1,
        }
        forwards[group.pick_remote(random.u64(..)).expect("there are members").index()] += 1;
    }
    // Five standard deviations of the widest of these binomials are below 1,000.
    let near = |seen: u32, share: u32, of: u32| seen.abs_diff(rounds * share / of) < 1000;
    assert!(local.iter().all(|seen| near(*seen, 1, 16)), "{local:?}");
    for (shard, members) in remote {
        assert!(near(weights[shard.index()], members, 16), "{weights:?}");
        assert!(near(forwards[shard.index()], members, 13), "{forwards:?}");
    }
    let nobody = GroupMatch::new(Rc::from(b"q".as_slice()), Box::default(), &[]);
    assert_eq!((nobody.pick(u64::MAX), nobody.pick_remote(0)), (None, None));
    assert_eq!(group.pick(u64::MAX), Some(Pick::Shard(shard(3))));
    assert_eq!(group.pick(0), Some(Pick::Local(0)));
}

#[test]
fn a_remembered_subject_survives_churn_elsewhere() {
    let mut interest = Interest::new(ShardId::FIRST, 5);
    insert(&mut interest, "foo.>", None, 1);
    let before = interest.matches(ACCOUNT, b"foo.bar");
    let misses = interest.counters().cache_misses;
    for number in 0..1000 {
        for pattern in [format!("_INBOX.{number}"), format!("churn.{number}.>")] {
            let epoch = interest.epoch();
            insert(&mut interest, &pattern, None, 2);
            assert!(Rc::ptr_eq(&interest.matches(ACCOUNT, b"foo.bar"), &before));
            remove(&mut interest, &pattern, None, 2);
            assert!(Rc::ptr_eq(&interest.matches(ACCOUNT, b"foo.bar"), &before));
            assert_eq!(interest.epoch(), epoch + 2);
        }
    }
    // Prefixes that share a counter by chance: 2,000 changes, two counters out of 8,192.
    assert!(interest.counters().cache_misses - misses <= 10);
}

#[test]
fn telling_the_same_twice_changes_nothing() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    let pattern: Arc<[u8]> = Arc::from(b"foo".as_slice());
    for queue in [None, Some(Arc::from(b"q".as_slice()))] {
        let mut delta =
            Delta { account: ACCOUNT, pattern: pattern.clone(), queue, guard: None, members: 1 };
        interest.apply(shard(1), &delta);
        let epoch = interest.epoch();
        interest.apply(shard(1), &delta);
        assert_eq!(interest.epoch(), epoch);
        delta.members = 0;
        interest.apply(shard(1), &delta);
        assert_eq!(interest.epoch(), epoch + 1);
        interest.apply(shard(1), &delta);
        assert_eq!(interest.epoch(), epoch + 1);
    }
    assert_eq!(interest.patterns(), 0);
}

#[test]
fn many_subjects_of_one_wildcard_share_a_match_set() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    insert(&mut interest, "orders.*", None, 1);
    let first = interest.matches(ACCOUNT, b"orders.1");
    assert!(Rc::ptr_eq(&first, &interest.matches(ACCOUNT, b"orders.2")));
    insert(&mut interest, "orders.2", None, 2);
    assert_eq!(slots(&interest.matches(ACCOUNT, b"orders.2")), [1, 2]);
    assert!(Rc::ptr_eq(&first, &interest.matches(ACCOUNT, b"orders.3")));
    insert(&mut interest, "orders.*", None, 3);
    assert_eq!(slots(&interest.matches(ACCOUNT, b"orders.1")), [1, 3]);
}

/// A change reaches what is in the old generation, too.
#[test]
fn old_subjects_do_not_come_back_outdated() {
    for pattern in ["foo.bar", "foo.*", "*.bar"] {
        let mut interest = Interest::bounded(ShardId::FIRST, 1, 30_000);
        let age = |interest: &mut Interest| {
            let misses = interest.counters().cache_misses;
            (0..95).for_each(|number| {
                interest.matches(ACCOUNT, format!("once.{misses}.{number}").as_bytes());
            });
        };
        assert!(interest.matches(ACCOUNT, b"foo.bar").is_empty());
        age(&mut interest);
        let misses = interest.counters().cache_misses;
        assert!(interest.matches(ACCOUNT, b"foo.bar").is_empty());
        assert_eq!(interest.counters().cache_misses, misses, "old, not forgotten");
        age(&mut interest);
        insert(&mut interest, pattern, None, 1);
        assert_eq!(slots(&interest.matches(ACCOUNT, b"foo.bar")), [1], "{pattern}");
    }
}

/// Past the size where the table would have to move everything at once, and to its full size.
#[test]
fn a_large_working_set_is_remembered_while_it_grows() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    insert(&mut interest, ">", None, 1);
    let subjects: Vec<String> = (0..60_000).map(|number| format!("orders.{number}")).collect();
    let mut misses = Vec::new();
    for _ in 0..4 {
        let before = interest.counters().cache_misses;
        subjects.iter().for_each(|subject| {
            interest.matches(ACCOUNT, subject.as_bytes());
        });
        misses.push(interest.counters().cache_misses - before);
    }
    assert_eq!(misses[0], 60_000);
    assert_eq!(misses[2..], [0, 0], "{misses:?}");
    assert_eq!(interest.cache_entries(), subjects.len());
}

/// Sets that are wide and change all the time are counted until the last holder lets go.
#[test]
fn wide_match_sets_keep_to_the_bound() {
    let bytes_max = 300_000;
    let mut interest = Interest::bounded(ShardId::FIRST, 1, bytes_max);
    (0..2000).for_each(|slot| {
        insert(&mut interest, "wide.>", None, slot);
    });
    for number in 0..500 {
        insert(&mut interest, "wide.>", None, 3000);
        assert_eq!(interest.matches(ACCOUNT, b"wide.0").plain.len(), 2001);
        assert_eq!(
            interest.matches(ACCOUNT, format!("wide.{number}").as_bytes()).plain.len(),
            2001
        );
        remove(&mut interest, "wide.>", None, 3000);
        assert!(interest.cache_bytes() <= bytes_max, "{}", interest.cache_bytes());
    }
}

/// Somebody keeps so many outdated wide sets that they alone are over the bound: not the cache's.
#[test]
fn match_sets_kept_elsewhere_do_not_disable_the_cache() {
    let mut interest = Interest::bounded(ShardId::FIRST, 1, 100_000);
    let kept: Vec<_> = (0..500)
        .map(|slot| {
            insert(&mut interest, "wide.>", None, slot);
            interest.matches(ACCOUNT, b"wide.0")
        })
        .collect();
    let kept_bytes: usize = kept.iter().map(|set| size_of_val(&*set.plain)).sum();
    assert!(kept_bytes > 900_000 && interest.cache_bytes() <= 100_000);
    interest.matches(ACCOUNT, b"wide.0");
    let misses = interest.counters().cache_misses;
    (0..10).for_each(|_| assert_eq!(interest.matches(ACCOUNT, b"wide.0").plain.len(), 500));
    assert_eq!(interest.counters().cache_misses, misses);
    drop(kept);
    assert!(interest.cache_bytes() > 500 * size_of::<LocalTarget>(), "the last one is in use");
}

/// Sessions that never ask the same subject twice push out what nobody asks for, and only that.
#[test]
fn subjects_asked_for_again_outlive_a_flood_of_others() {
    let mut interest = Interest::bounded(ShardId::FIRST, 1, 100_000);
    insert(&mut interest, ">", None, 1);
    interest.matches(ACCOUNT, b"again");
    for number in 0..20_000 {
        interest.matches(ACCOUNT, format!("once.{number}").as_bytes());
        if number % 100 == 0 {
            let misses = interest.counters().cache_misses;
            interest.matches(ACCOUNT, b"again");
            assert_eq!(interest.counters().cache_misses, misses, "after {number}");
        }
        assert!(interest.cache_bytes() <= 100_000);
    }
    assert!(interest.cache_entries() > 300);
}

#[test]
fn nothing_is_left_after_churn() {
    let mut interest = Interest::new(ShardId::FIRST, 1);
    let patterns: Vec<String> = (0..20_000)
        .map(|number| match number % 3 {
            0 => format!("_INBOX.{number}"),
            1 => format!("_INBOX.{number}.*"),
            _ => format!("deep.{number}.*.b.>"),
        })
        .collect();
    for round in 0..3 {
        for (slot, pattern) in (0..).zip(&patterns) {
            let queue = (slot % 5 == round).then_some("q");
            assert_eq!(insert(&mut interest, pattern, queue, slot), Some(1));
        }
        assert_eq!(interest.subscriptions(), patterns.len());
        for (slot, pattern) in (0..).zip(&patterns) {
            let queue = (slot % 5 == round).then_some("q");
            assert_eq!(remove(&mut interest, pattern, queue, slot), Some(0));
        }
        assert_eq!((interest.subscriptions(), interest.patterns(), interest.nodes()), (0, 0, 0));
        assert!(interest.slots_reserved() < 5000, "memory of the peak is given back");
    }
}
