//! `/subsz`: the subscription index, and the subscriptions in it.
//!
//! A list is made in two passes over the table of each shard: the first counts what belongs on it,
//! part by part; the second copies only the parts that the page wanted shows.

use std::sync::Arc;

use jiff::Timestamp;
use ringbus_shard::engine::{Subscription, SubscriptionView};
use ringbus_shard::ids::ClientId;
use ringbus_shard::io::Sight;
use ringbus_shard::subject;
use serde::Serialize;

use super::endpoints::{Endpoints, GLOBAL, PAGE_MAX, Refusal, all};
use super::query::Query;

/// Slots of the table of subscriptions that are looked at in one turn of a shard.
pub(super) const SLOTS: usize = 1024;

/// Length of a page if no other is asked for.
pub(super) const PAGE: usize = 1024;

#[derive(Debug, Serialize)]
pub(super) struct Subsz {
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
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    account_tag: &'static str,
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
            account: "",
            account_tag: "",
            subject: text(&view.pattern),
            qgroup: view.queue.as_deref().map(text).unwrap_or_default(),
            sid: text(&view.sid),
            msgs: view.delivered,
            max: view.max,
            cid: cid.get(),
        }
    }

    /// As it is listed where accounts mix.
    pub(super) fn in_account(&mut self, account: &'static str) {
        self.account = account;
        self.account_tag = account;
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

pub(super) fn index_stats(endpoints: &Endpoints) -> Result<IndexStats, Refusal> {
    let shards = endpoints.inspector.inspect(|sight| {
        let interest = &sight.shard.exchange().interest;
        (interest.subscriptions(), interest.cache_entries(), interest.counters())
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
    let account = query.text("acc");
    let ours = account.is_empty() || account == GLOBAL;
    let index = if ours { index_stats(endpoints)? } else { IndexStats::default() };
    let (total, subscriptions_list) = if listed && ours {
        list(endpoints, test.as_bytes(), offset, limit)?
    } else {
        (0, Vec::new())
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

fn wanted<'a>(
    sight: &'a Sight<'_>,
    begin: usize,
    test: &'a [u8],
) -> impl Iterator<Item = &'a Subscription> {
    let slots = begin..begin.saturating_add(SLOTS);
    let subscriptions = sight.shard.exchange().subscriptions.in_slots(slots);
    subscriptions.filter(move |s| test.is_empty() || subject::matches(&s.pattern, test))
}

/// The next part of the table, if there is one.
pub(super) fn next_slots(sight: &Sight<'_>, begin: usize) -> Option<usize> {
    let next = begin.saturating_add(SLOTS);
    (next < sight.shard.exchange().subscriptions.slots()).then_some(next)
}

fn list(
    endpoints: &Endpoints,
    test: &[u8],
    offset: usize,
    limit: usize,
) -> Result<(usize, Vec<SubDetail>), Refusal> {
    let test: Arc<[u8]> = test.into();
    let tested = Arc::clone(&test);
    let counts = endpoints.inspector.gather(move |sight, begin| {
        let count = wanted(sight, begin, &tested).count();
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
    let parts = Arc::new(parts);
    let found = endpoints.inspector.gather(move |sight, step| {
        let parts = parts.get(sight.me.index()).map_or(&[][..], Vec::as_slice);
        let Some(part) = parts.get(step) else { return (Vec::new(), None) };
        let mut seen = wanted(sight, part.begin, &test).skip(part.skip).take(part.take);
        let detail = |subscription: &Subscription| {
            let cid = sight.shard.sighting(subscription.conn)?.cid();
            let mut detail = SubDetail::new(&subscription.into(), cid);
            detail.in_account(GLOBAL);
            Some(detail)
        };
        let details: Vec<_> = seen.by_ref().filter_map(detail).collect();
        (details, (step + 1 < parts.len()).then_some(step + 1))
    });
    Ok((total, all(found)?.into_iter().flatten().flatten().collect()))
}
