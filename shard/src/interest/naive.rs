//! The index as a list that is scanned: slow, and obviously right.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::authorize::{Guard, may_deliver};
use crate::ids::{AccountId, ShardId};

use super::{Delta, LocalTarget, MatchSet, Want};

/// Name of a queue group, or none; and what keeps messages from its members, if anything.
type Part = (Option<Vec<u8>>, Option<Arc<Guard>>);

/// What it takes to remove a local subscription.
type Local = (AccountId, Vec<u8>, Part, LocalTarget);

#[derive(Clone, Debug, PartialEq)]
enum Owner {
    Here(LocalTarget),
    Elsewhere(ShardId, u32),
}

#[derive(Clone, Debug)]
struct Subscription {
    account: AccountId,
    pattern: Vec<u8>,
    part: Part,
    owner: Owner,
}

/// Every subscription in the order it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Naive(Vec<Subscription>);

/// A match set without order.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Receivers {
    plain: Vec<(u32, u32)>,
    remote: BTreeSet<ShardId>,
    groups: BTreeMap<Vec<u8>, Members>,
}

/// Local members, and counts elsewhere.
#[derive(Debug, Default, Eq, PartialEq)]
struct Members {
    local: Vec<(u32, u32)>,
    remote: BTreeMap<ShardId, u32>,
}

impl Naive {
    /// How many members the shard has now, as a delta would say it.
    fn members(&self, account: AccountId, pattern: &[u8], part: &Part) -> u32 {
        let count = self.0.iter().filter(|known| {
            known.is(account, pattern, part) && matches!(known.owner, Owner::Here(_))
        });
        let count = u32::try_from(count.count()).expect("few");
        if part.0.is_none() { count.min(1) } else { count }
    }

    /// Adds a local subscription; says what the other shards must hear, as a number of members.
    pub(super) fn insert(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        want: Want<'_>,
        target: LocalTarget,
    ) -> Option<u32> {
        let part = part(want);
        let owner = Owner::Here(target);
        let added = Subscription { account, pattern: pattern.to_vec(), part: part.clone(), owner };
        self.change(account, pattern, &part, |all| all.push(added))
    }

    /// Removes a local subscription; says what the other shards must hear.
    pub(super) fn remove(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        want: Want<'_>,
        target: LocalTarget,
    ) -> Option<u32> {
        let (part, owner) = (part(want), Owner::Here(target));
        self.change(account, pattern, &part, |all| {
            all.retain(|known| !(known.is(account, pattern, &part) && known.owner == owner));
        })
    }

    /// Changes the list; gives the new number of members if that is another.
    fn change(
        &mut self,
        account: AccountId,
        pattern: &[u8],
        part: &Part,
        change: impl FnOnce(&mut Vec<Subscription>),
    ) -> Option<u32> {
        let before = self.members(account, pattern, part);
        change(&mut self.0);
        let after = self.members(account, pattern, part);
        (before != after).then_some(after)
    }

    pub(super) fn apply(&mut self, from: ShardId, delta: &Delta) {
        let want = Want { queue: delta.queue.as_deref(), guard: delta.guard.as_ref() };
        let part = part(want);
        self.0.retain(|known| {
            !(known.is(delta.account, &delta.pattern, &part)
                && matches!(known.owner, Owner::Elsewhere(shard, _) if shard == from))
        });
        if delta.members > 0 {
            let (account, pattern) = (delta.account, delta.pattern.to_vec());
            let owner = Owner::Elsewhere(from, delta.members);
            self.0.push(Subscription { account, pattern, part, owner });
        }
    }

    pub(super) fn matches(&self, account: AccountId, subject: &[u8]) -> Receivers {
        let mut found = Receivers::default();
        for known in &self.0 {
            if known.account != account || !matches_pattern(&known.pattern, subject) {
                continue;
            }
            let (queue, guard) = &known.part;
            if !may_deliver(guard.as_deref(), subject, queue.as_deref()) {
                continue;
            }
            match (queue, &known.owner) {
                (None, Owner::Here(target)) => found.plain.push(slots(target)),
                (None, Owner::Elsewhere(shard, _)) => {
                    found.remote.insert(*shard);
                }
                (Some(queue), Owner::Here(target)) => {
                    found.groups.entry(queue.clone()).or_default().local.push(slots(target));
                }
                (Some(queue), Owner::Elsewhere(shard, members)) => {
                    let group = found.groups.entry(queue.clone()).or_default();
                    *group.remote.entry(*shard).or_default() += members;
                }
            }
        }
        found.sort();
        found
    }

    /// A local subscription, chosen by `number`.
    pub(super) fn local(&self, number: usize) -> Option<Local> {
        let mut local: Vec<_> = self
            .0
            .iter()
            .filter_map(|known| match known.owner {
                Owner::Here(target) => {
                    Some((known.account, known.pattern.clone(), known.part.clone(), target))
                }
                Owner::Elsewhere(..) => None,
            })
            .collect();
        (!local.is_empty()).then(|| local.swap_remove(number % local.len()))
    }

    pub(super) fn subscriptions(&self) -> usize {
        self.0.iter().filter(|known| matches!(known.owner, Owner::Here(_))).count()
    }

    pub(super) fn patterns(&self) -> usize {
        self.0.iter().map(|known| (known.account, &known.pattern)).collect::<BTreeSet<_>>().len()
    }
}

impl Subscription {
    fn is(&self, account: AccountId, pattern: &[u8], part: &Part) -> bool {
        self.account == account && self.pattern == pattern && self.part == *part
    }
}

fn part(want: Want<'_>) -> Part {
    (want.queue.map(<[u8]>::to_vec), want.guard.cloned())
}

impl Receivers {
    fn sort(&mut self) {
        self.plain.sort_unstable();
        self.groups.values_mut().for_each(|group| group.local.sort_unstable());
    }
}

impl From<&MatchSet> for Receivers {
    /// Panics if the set names a shard or a group twice.
    fn from(set: &MatchSet) -> Self {
        let mut found = Self::default();
        found.plain.extend(set.plain.iter().map(slots));
        for shard in &set.remote {
            assert!(found.remote.insert(*shard), "shard {shard} twice in {set:?}");
        }
        for group in &set.groups {
            let mut members = Members::default();
            members.local.extend(group.local.iter().map(slots));
            for (shard, count) in &group.remote {
                assert!(members.remote.insert(*shard, *count).is_none(), "twice in {set:?}");
            }
            let total = members.remote.values().map(|count| u64::from(*count)).sum::<u64>();
            assert_eq!(group.total(), total + members.local.len() as u64);
            assert!(found.groups.insert(group.name.to_vec(), members).is_none(), "{set:?}");
        }
        found.sort();
        found
    }
}

fn slots(target: &LocalTarget) -> (u32, u32) {
    (target.conn, target.sub.slot())
}

/// Token by token, from the definition.
fn matches_pattern(pattern: &[u8], subject: &[u8]) -> bool {
    let split = |bytes: &[u8]| bytes.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect();
    let pattern: Vec<Vec<u8>> = split(pattern);
    let subject: Vec<Vec<u8>> = split(subject);
    if subject.iter().any(Vec::is_empty) {
        return false;
    }
    for (place, token) in pattern.iter().enumerate() {
        match (token.as_slice(), subject.get(place)) {
            (_, None) => return false,
            (b">", Some(_)) => return true,
            (b"*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    pattern.len() == subject.len()
}
