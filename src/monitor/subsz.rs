//! `/subsz`: the subscription index, and the subscriptions in it.
//!
//! A list is made in two passes over the table of each shard: the first counts what belongs on it,
//! part by part; the second copies only the parts that the page wanted shows.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use ringbus_shard::engine::{Subscription, SubscriptionView};
use ringbus_shard::ids::{AccountId, ClientId, ConnId};
use ringbus_shard::io::Sight;
use ringbus_shard::subject;
use serde::Serialize;

use super::endpoints::{Endpoints, PAGE_MAX, Refusal, all};
use super::query::Query;

/// Slots of the table of subscriptions that are looked at in one turn of a shard.
pub(super) const SLOTS: usize = 256;

/// Length of a page if no other is asked for.
pub(super) const PAGE: usize = 1024;

#[derive(Debug, Serialize)]
pub(crate) struct Subsz {
    server_id: String,
    now: Timestamp,
    #[serde(flatten)]
    index: IndexStats,
    total: usize,
    offset: usize,
    limit: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<SubDetail>,
}

/// The subscription indexes of all shards together. Each has a cache of its own, and a subscription
/// is one shard's; how wide messages fan out is not counted.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct IndexStats {
    num_subscriptions: usize,
    num_cache: usize,
    num_inserts: u64,
    num_removes: u64,
    num_matches: u64,
    cache_hit_rate: f64,
    max_fanout: u64,
    avg_fanout: f64,
}

/// One subscription.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SubDetail {
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_tag: Option<Arc<str>>,
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    qgroup: String,
    sid: String,
    msgs: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    cid: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl SubDetail {
    /// As it is listed with its connection.
    pub(super) fn new(view: &SubscriptionView, cid: ClientId) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            account: None,
            account_tag: None,
            subject: text(&view.pattern),
            qgroup: view.queue.as_deref().map(text).unwrap_or_default(),
            sid: text(&view.sid),
            msgs: view.delivered,
            max: view.max,
            cid: cid.get(),
        }
    }

    /// As it is listed where accounts mix.
    pub(super) fn in_account(&mut self, account: &Arc<str>) {
        self.account = Some(Arc::clone(account));
        self.account_tag = Some(Arc::clone(account));
    }
}

/// A page of a list as it is asked for: negative numbers count as none.
pub(super) fn page(query: &Query) -> Result<(usize, usize), Refusal> {
    let number = |name| {
        query.integer(name).map(|number| usize::try_from(number.max(0)).unwrap_or(usize::MAX))
    };
    let (offset, limit) = (number("offset")?, number("limit")?);
    Ok((offset, if limit == 0 { PAGE } else { limit.min(PAGE_MAX) }))
}

/// Of the whole index; of one account, only how many subscriptions it has: accounts share the rest.
pub(super) fn index_stats(
    endpoints: &Endpoints,
    account: Option<AccountId>,
) -> Result<IndexStats, Refusal> {
    if let Some(account) = account {
        let wish = Wish { account: Some(account), test: Arc::new([]) };
        let num_subscriptions = parts(endpoints, &wish, 0, 0)?.0;
        return Ok(IndexStats { num_subscriptions, ..IndexStats::default() });
    }
    let shards = endpoints.inspector.inspect(|sight| {
        let interest = &sight.shard.exchange().interest;
        (sight.shard.subscriptions(), interest.cache_entries(), interest.counters())
    });
    let (mut sum, mut misses) = (IndexStats::default(), 0);
    for (subscriptions, cached, counters) in all(shards)? {
        sum.num_subscriptions += subscriptions;
        sum.num_cache += cached;
        sum.num_inserts += counters.inserts;
        sum.num_removes += counters.removes;
        sum.num_matches += counters.matches;
        misses += counters.cache_misses;
    }
    if sum.num_matches > 0 {
        let hits = sum.num_matches.saturating_sub(misses);
        #[expect(clippy::cast_precision_loss, reason = "a share needs no more")]
        let rate = hits as f64 / sum.num_matches as f64;
        sum.cache_hit_rate = rate;
    }
    Ok(sum)
}

pub(super) fn subsz(endpoints: &Endpoints, query: &Query) -> Result<Subsz, Refusal> {
    let listed = query.switch("subs")?;
    let (offset, limit) = page(query)?;
    let test = query.text("test");
    if !test.is_empty() && !subject::is_valid_literal(test.as_bytes()) {
        let why = format!("invalid test subject, must be valid publish subject: {test}");
        return Err(Refusal::Bad(why));
    }
    let facts = endpoints.facts();
    let named = |name: &str| facts.accounts.iter().find(|account| *account.name == *name);
    let (index, total, subscriptions_list) = match query.text("acc") {
        "" => {
            let index = index_stats(endpoints, None)?;
            let wish = Wish { account: None, test: test.as_bytes().into() };
            let (total, listed) = list(endpoints, listed, &wish, offset, limit)?;
            (index, total, listed)
        }
        name => match named(name) {
            None => (IndexStats::default(), 0, Vec::new()),
            Some(account) => {
                let index = index_stats(endpoints, Some(account.id))?;
                let wish = Wish { account: Some(account.id), test: test.as_bytes().into() };
                let (total, listed) = list(endpoints, listed, &wish, offset, limit)?;
                (index, total, listed)
            }
        },
    };
    Ok(Subsz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        index,
        total,
        offset,
        limit,
        subscriptions_list,
    })
}

/// Some of the wanted subscriptions in one part of a shard's table.
#[derive(Clone, Copy, Debug)]
struct Part {
    begin: usize,
    skip: usize,
    take: usize,
}

/// Which subscriptions are wanted.
#[derive(Clone, Debug)]
struct Wish {
    /// Of that account, or of all.
    account: Option<AccountId>,
    /// That match this subject, if it is not empty.
    test: Arc<[u8]>,
}

impl Wish {
    fn wants(&self, sight: &Sight<'_>, subscription: &Subscription) -> bool {
        self.account.is_none_or(|account| account == subscription.account)
            && (self.test.is_empty() || subject::matches(&subscription.pattern, &self.test))
            && !sight.shard.is_internal(subscription.conn)
    }
}

fn wanted<'a>(
    sight: &'a Sight<'_>,
    begin: usize,
    wish: &'a Wish,
) -> impl Iterator<Item = &'a Subscription> {
    let slots = begin..begin.saturating_add(SLOTS);
    let subscriptions = sight.shard.exchange().subscriptions.in_slots(slots);
    subscriptions.filter(|subscription| wish.wants(sight, subscription))
}

/// The next part of the table, if there is one.
pub(super) fn next_slots(sight: &Sight<'_>, begin: usize) -> Option<usize> {
    let next = begin.saturating_add(SLOTS);
    (next < sight.shard.exchange().subscriptions.slots()).then_some(next)
}

/// How many are wanted, and for each shard the parts of its table that the page shows.
fn parts(
    endpoints: &Endpoints,
    wish: &Wish,
    offset: usize,
    limit: usize,
) -> Result<(usize, Vec<Vec<Part>>), Refusal> {
    let counted = wish.clone();
    let counts = endpoints.inspector.gather(move |sight, begin| {
        let count = wanted(sight, begin, &counted).count();
        ((begin, count), next_slots(sight, begin))
    });
    let mut total = 0;
    let mut parts = Vec::new();
    for shard in all(counts)? {
        let mut of_shard = Vec::new();
        for (begin, count) in shard {
            let skip = offset.saturating_sub(total).min(count);
            let before = total.saturating_sub(offset);
            let take = (count - skip).min(limit.saturating_sub(before));
            if take > 0 {
                of_shard.push(Part { begin, skip, take });
            }
            total += count;
        }
        parts.push(of_shard);
    }
    Ok((total, parts))
}

/// How many are wanted, and those of the page; nothing if no list was asked for.
fn list(
    endpoints: &Endpoints,
    listed: bool,
    wish: &Wish,
    offset: usize,
    limit: usize,
) -> Result<(usize, Vec<SubDetail>), Refusal> {
    if !listed {
        return Ok((0, Vec::new()));
    }
    let (total, parts) = parts(endpoints, wish, offset, limit)?;
    let (parts, wish) = (Arc::new(parts), wish.clone());
    let found = endpoints.inspector.gather(move |sight, step| {
        let parts = parts.get(sight.me.index()).map_or(&[][..], Vec::as_slice);
        let Some(part) = parts.get(step) else { return (Vec::new(), None) };
        let mut seen = wanted(sight, part.begin, &wish).skip(part.skip).take(part.take);
        let detail = |subscription: &Subscription| {
            let holder = sight.shard.sighting(subscription.conn)?;
            let mut detail = SubDetail::new(&subscription.into(), holder.cid());
            detail.in_account(holder.account());
            Some(detail)
        };
        let details: Vec<_> = seen.by_ref().filter_map(detail).collect();
        (details, (step + 1 < parts.len()).then_some(step + 1))
    });
    Ok((total, all(found)?.into_iter().flatten().flatten().collect()))
}

/// The connections that have subscriptions which `filter` may match.
pub(super) fn holders(
    endpoints: &Endpoints,
    filter: &str,
) -> Result<HashSet<(usize, ConnId)>, Refusal> {
    let filter: Arc<[u8]> = filter.as_bytes().into();
    let slices = endpoints.inspector.gather(move |sight, begin| {
        let slots = begin..begin.saturating_add(SLOTS);
        let all = sight.shard.exchange().subscriptions.in_slots(slots);
        let own = all.filter(|held| !held.is_shadow() && subject::collide(&filter, &held.pattern));
        (own.map(|held| held.conn).collect::<Vec<_>>(), next_slots(sight, begin))
    });
    let shards = all(slices)?.into_iter().enumerate();
    Ok(shards.flat_map(|(shard, of)| of.into_iter().flatten().map(move |it| (shard, it))).collect())
}

/// How many subscriptions of an account get messages on `subject`, or are for nothing but what
/// that pattern matches; of one queue group, if one is named.
pub(super) fn interested(
    endpoints: &Endpoints,
    account: AccountId,
    subject: &str,
    queue: Option<&str>,
) -> Result<usize, Refusal> {
    let subject: Arc<[u8]> = subject.as_bytes().into();
    let queue: Option<Arc<[u8]>> = queue.map(|queue| queue.as_bytes().into());
    let literal = subject::is_literal(&subject);
    let wish = Wish { account: Some(account), test: Arc::new([]) };
    let slices = endpoints.inspector.gather(move |sight, begin| {
        let counts = |held: &&Subscription| {
            let pattern: &[u8] = &held.pattern;
            let meant = match literal {
                true => subject::matches(pattern, &subject),
                false => subject::is_subset(pattern, &subject),
            };
            meant && queue.as_deref().is_none_or(|queue| held.queue.as_deref() == Some(queue))
        };
        (wanted(sight, begin, &wish).filter(counts).count(), next_slots(sight, begin))
    });
    Ok(all(slices)?.into_iter().flatten().sum())
}

/// How many subscriptions of an account match a subject.
pub(super) fn matching(
    endpoints: &Endpoints,
    account: AccountId,
    subject: &str,
) -> Result<usize, Refusal> {
    let wish = Wish { account: Some(account), test: subject.as_bytes().into() };
    Ok(parts(endpoints, &wish, 0, 0)?.0)
}
