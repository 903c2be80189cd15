//! `/shardz`: what each shard does, for the status page and for whoever wonders why one core is
//! busy. nats-server has nothing like it.

use jiff::Timestamp;
use ringbus_shard::delivery::Traffic;
use ringbus_shard::engine::Stats;
use ringbus_shard::interest::Counters;
use ringbus_shard::io::LoopStats;
use serde::Serialize;

use super::endpoints::{Endpoints, Refusal, all};

/// One shard at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Snapshot {
    pub(super) pace: LoopStats,
    pub(super) stats: Stats,
    pub(super) traffic: Traffic,
    pub(super) index: Counters,
    pub(super) subscriptions: usize,
    pub(super) patterns: usize,
    pub(super) cache_entries: usize,
    pub(super) cache_bytes: usize,
    pub(super) lane_bytes: usize,
    pub(super) dropped: u64,
    pub(super) history: usize,
}

impl Snapshot {
    pub(super) fn connections(&self) -> u64 {
        self.stats.opened.saturating_sub(self.stats.closed)
    }
}

pub(super) fn snapshots(endpoints: &Endpoints) -> Result<Vec<Snapshot>, Refusal> {
    let shards = endpoints.inspector.inspect(|sight| {
        let exchange = sight.shard.exchange();
        Snapshot {
            pace: sight.pace,
            stats: sight.shard.stats(),
            traffic: sight.shard.exchange().outlets.traffic(),
            index: exchange.interest.counters(),
            subscriptions: sight.shard.subscriptions(),
            patterns: exchange.interest.patterns(),
            cache_entries: exchange.interest.cache_entries(),
            cache_bytes: exchange.interest.cache_bytes(),
            lane_bytes: exchange.peers.in_flight(),
            dropped: exchange.peers.dropped(),
            history: sight.shard.history().len(),
        }
    });
    Ok(all(shards)?)
}

#[derive(Debug, Serialize)]
pub(super) struct Shardz {
    server_id: String,
    now: Timestamp,
    shards: Vec<ShardInfo>,
}

#[derive(Debug, Serialize)]
struct ShardInfo {
    shard: usize,
    connections: u64,
    subscriptions: usize,
    in_msgs: u64,
    in_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    pending_bytes: u64,
    slow_consumers: u64,
    stalls: u64,
    lane_waits: u64,
    lane_bytes: usize,
    sent_on: u64,
    dropped_frames: u64,
    busy_nanos: u64,
    idle_nanos: u64,
    longest_turn_nanos: u64,
    turns: u64,
    sleeps: u64,
    wakes: u64,
    cache_entries: usize,
    cache_bytes: usize,
}

pub(super) fn shardz(endpoints: &Endpoints) -> Result<Shardz, Refusal> {
    let info = |(shard, seen): (usize, Snapshot)| ShardInfo {
        shard,
        connections: seen.connections(),
        subscriptions: seen.subscriptions,
        in_msgs: seen.stats.in_msgs,
        in_bytes: seen.stats.in_bytes,
        out_msgs: seen.traffic.out_msgs,
        out_bytes: seen.traffic.out_bytes,
        pending_bytes: seen.traffic.pending,
        slow_consumers: seen.stats.slow_pending + seen.stats.slow_deadline,
        stalls: seen.stats.stalls,
        lane_waits: seen.stats.lane_waits,
        lane_bytes: seen.lane_bytes,
        sent_on: seen.stats.sent_on,
        dropped_frames: seen.dropped,
        busy_nanos: seen.pace.busy_nanos,
        idle_nanos: seen.pace.idle_nanos,
        longest_turn_nanos: u64::try_from(seen.pace.longest.as_nanos()).unwrap_or(u64::MAX),
        turns: seen.pace.turns(),
        sleeps: seen.pace.sleeps,
        wakes: seen.pace.wakes,
        cache_entries: seen.cache_entries,
        cache_bytes: seen.cache_bytes,
    };
    Ok(Shardz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        shards: snapshots(endpoints)?.into_iter().enumerate().map(info).collect(),
    })
}
