//! `/varz`: the server as a whole. Fields and their order are those of nats-server 2.15; what
//! belongs to features that are not there has the value it has there while they are off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ringbus_shard::delivery::Traffic;
use ringbus_shard::engine::Stats;
use serde::Serialize;

use super::connz::Proxy;
use super::endpoints::{Endpoints, Refusal, all};
use super::process;
use super::time::uptime;
use crate::tls::clients::Clients;

/// Switches of nats-server, all for JetStream.
pub(super) const FEATURES: [(&str, bool); 4] = [
    ("js_ack_fc_v2", false),
    ("js_api_reply_v2", false),
    ("js_raft_delete_range", true),
    ("js_snapshot_sources", false),
];

/// An object without members: a feature that is off.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Off {}

#[derive(Debug, Serialize)]
pub(super) struct Varz {
    server_id: String,
    server_name: String,
    version: String,
    proto: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    git_commit: Option<String>,
    go: String,
    host: String,
    port: u16,
    #[serde(skip_serializing_if = "is_false")]
    auth_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_required: bool,
    #[serde(skip_serializing_if = "is_false")]
    tls_verify: bool,
    max_connections: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_subscriptions: Option<usize>,
    ping_interval: u64,
    ping_max: u32,
    http_host: String,
    http_port: u16,
    http_base_path: String,
    https_port: u16,
    auth_timeout: f64,
    max_control_line: usize,
    max_payload: usize,
    max_pending: usize,
    cluster: Off,
    gateway: Off,
    leaf: Off,
    mqtt: Off,
    websocket: Off,
    jetstream: Off,
    tls_timeout: f64,
    write_deadline: u64,
    start: Timestamp,
    now: Timestamp,
    uptime: String,
    mem: u64,
    cores: usize,
    gomaxprocs: usize,
    cpu: f64,
    connections: u64,
    total_connections: u64,
    routes: u64,
    remotes: u64,
    leafnodes: u64,
    in_msgs: u64,
    in_bytes: u64,
    in_client_msgs: u64,
    in_client_bytes: u64,
    out_msgs: u64,
    out_bytes: u64,
    out_client_msgs: u64,
    out_client_bytes: u64,
    slow_consumers: u64,
    stale_connections: u64,
    stalled_clients: u64,
    subscriptions: usize,
    http_req_stats: BTreeMap<&'static str, u64>,
    config_load_time: Timestamp,
    config_digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    feature_flags: BTreeMap<&'static str, bool>,
    system_account: String,
    slow_consumer_stats: ByKind,
    stale_connection_stats: ByKind,
    disk_io_wait_stats: DiskWaits,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxies: Option<Proxies>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_not_after: Option<Timestamp>,
}

/// The proxies that may vouch for clients.
#[derive(Debug, Serialize)]
struct Proxies {
    trusted: Vec<Proxy>,
}

impl Proxies {
    fn of(keys: &[Arc<str>]) -> Option<Self> {
        let trusted: Vec<Proxy> = keys.iter().map(|key| Proxy { key: Arc::clone(key) }).collect();
        (!trusted.is_empty()).then_some(Self { trusted })
    }
}

/// Connections of each kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct ByKind {
    clients: u64,
    routes: u64,
    gateways: u64,
    leafs: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct DiskWaits {
    waiters: u64,
    waits: u64,
    wait_time: u64,
    max_wait_time: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What all shards counted, summed up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) stats: Stats,
    pub(super) traffic: Traffic,
    pub(super) subscriptions: usize,
}

impl Totals {
    pub(super) fn connections(&self) -> u64 {
        self.stats.opened.saturating_sub(self.stats.closed)
    }
}

pub(super) fn totals(endpoints: &Endpoints) -> Result<Totals, Refusal> {
    let shards = endpoints.inspector.inspect(|sight| {
        let subscriptions = sight.shard.subscriptions();
        (sight.shard.stats(), sight.shard.exchange().outlets.traffic(), subscriptions)
    });
    let mut sum = Totals::default();
    for (stats, traffic, subscriptions) in all(shards)? {
        sum.add(&stats, traffic, subscriptions);
    }
    Ok(sum)
}

impl Totals {
    pub(super) fn add(&mut self, stats: &Stats, traffic: Traffic, subscriptions: usize) {
        let sum = &mut self.stats;
        sum.in_msgs += stats.in_msgs;
        sum.in_bytes += stats.in_bytes;
        sum.opened += stats.opened;
        sum.closed += stats.closed;
        sum.slow_pending += stats.slow_pending;
        sum.slow_deadline += stats.slow_deadline;
        sum.stale += stats.stale;
        sum.stalls += stats.stalls;
        sum.lane_waits += stats.lane_waits;
        sum.sent_on += stats.sent_on;
        self.traffic.out_msgs += traffic.out_msgs;
        self.traffic.out_bytes += traffic.out_bytes;
        self.traffic.pending += traffic.pending;
        self.subscriptions += subscriptions;
    }
}

pub(super) fn varz(endpoints: &Endpoints) -> Result<Varz, Refusal> {
    let totals = totals(endpoints)?;
    Ok(from_totals(endpoints, &totals))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::too_many_lines, reason = "one line per field")]
pub(super) fn from_totals(endpoints: &Endpoints, totals: &Totals) -> Varz {
    let (facts, started) = (endpoints.facts(), &endpoints.started);
    let (identity, limits) = (&facts.identity, &facts.limits);
    let (stats, traffic) = (&totals.stats, &totals.traffic);
    let slow = stats.slow_pending + stats.slow_deadline;
    Varz {
        server_id: identity.server_id.clone(),
        server_name: identity.server_name.clone(),
        version: identity.version.clone(),
        proto: 1,
        git_commit: identity.git_commit.clone(),
        go: identity.go.clone(),
        host: identity.host.clone(),
        port: identity.port,
        auth_required: facts.auth_required,
        tls_required: facts.clients.as_ref().is_some_and(|tls| !tls.terms().optional),
        tls_verify: facts.clients.as_ref().is_some_and(Clients::verifies),
        max_connections: limits.connections.unwrap_or(0),
        max_subscriptions: limits.subscriptions,
        ping_interval: nanos(limits.ping_interval),
        ping_max: limits.pings_out,
        http_host: facts.endpoint.host.clone(),
        http_port: if !facts.secure { facts.endpoint.port } else { 0 },
        http_base_path: facts.base_path.clone(),
        https_port: if facts.secure { facts.endpoint.port } else { 0 },
        auth_timeout: limits.auth_timeout.as_secs_f64(),
        max_control_line: limits.control_line,
        max_payload: limits.payload,
        max_pending: limits.pending,
        cluster: Off {},
        gateway: Off {},
        leaf: Off {},
        mqtt: Off {},
        websocket: Off {},
        jetstream: Off {},
        tls_timeout: facts.tls.as_ref().map_or(2.0, |tls| tls.timeout.as_secs_f64()),
        write_deadline: nanos(limits.write_deadline),
        start: *started,
        now: Timestamp::now(),
        uptime: uptime(endpoints.inspector.now().since(ringbus_shard::clock::Now::ZERO)),
        mem: process::resident_bytes(),
        cores: facts.cores,
        gomaxprocs: endpoints.inspector.shards(),
        cpu: endpoints.processor.percent(),
        connections: totals.connections(),
        total_connections: stats.opened,
        routes: 0,
        remotes: 0,
        leafnodes: 0,
        in_msgs: stats.in_msgs,
        in_bytes: stats.in_bytes,
        in_client_msgs: stats.in_msgs,
        in_client_bytes: stats.in_bytes,
        out_msgs: traffic.out_msgs,
        out_bytes: traffic.out_bytes,
        out_client_msgs: traffic.out_msgs,
        out_client_bytes: traffic.out_bytes,
        slow_consumers: slow,
        stale_connections: stats.stale,
        stalled_clients: stats.stalls,
        subscriptions: totals.subscriptions,
        http_req_stats: endpoints.requests().clone(),
        config_load_time: facts.loaded.unwrap_or(*started),
        config_digest: facts.config_digest.clone(),
        tags: facts.tags.clone(),
        metadata: facts.metadata.clone(),
        feature_flags: FEATURES.into(),
        system_account: facts.system_account.clone(),
        slow_consumer_stats: ByKind { clients: slow, ..ByKind::default() },
        stale_connection_stats: ByKind { clients: stats.stale, ..ByKind::default() },
        disk_io_wait_stats: DiskWaits::default(),
        proxies: Proxies::of(&facts.proxies),
        tls_cert_not_after: facts.tls.as_ref().and_then(|tls| tls.not_after),
    }
}
