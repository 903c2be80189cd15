//! Our own metrics: the process, and each shard.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use ringbus_shard::io::TURN_MICROS;

use super::super::endpoints::Endpoints;
use super::super::process;
use super::super::shardz::Snapshot;
use super::label;

/// One scrape.
#[derive(Debug)]
pub(super) struct Families {
    shards: Vec<Snapshot>,
    build: Vec<(&'static str, String)>,
    gauges: Vec<(&'static str, &'static str, f64)>,
    processor_seconds: f64,
    requests: Vec<(&'static str, u64)>,
}

/// A figure of a shard: name, help, value.
type Figure = (&'static str, &'static str, fn(&Snapshot) -> u64);

#[rustfmt::skip]
const COUNTERS: [Figure; 21] = [
    ("connections_opened", "Connections accepted.", |s| s.stats.opened),
    ("connections_closed", "Connections that ended.", |s| s.stats.closed),
    ("received_messages", "Messages that clients published.", |s| s.stats.in_msgs),
    ("received_bytes", "Payload bytes that clients published.", |s| s.stats.in_bytes),
    ("sent_messages", "Messages delivered to clients.", |s| s.traffic.out_msgs),
    ("sent_bytes", "Payload bytes delivered to clients.", |s| s.traffic.out_bytes),
    ("stale_connections", "Connections closed for unanswered PINGs.", |s| s.stats.stale),
    ("publisher_stalls", "Pauses of publishers, all receivers being behind.", |s| s.stats.stalls),
    ("lane_waits", "Pauses of publishers, a lane being full.", |s| s.stats.lane_waits),
    ("sent_on_messages", "Queue messages whose picked member was gone.", |s| s.stats.sent_on),
    ("handshakes_refused", "TLS handshakes turned away.", |s| s.stats.handshakes_refused),
    ("dropped_frames", "Frames between shards dropped for want of room.", |s| s.dropped),
    ("subscriptions_added", "Subscriptions that began.", |s| s.index.inserts),
    ("subscriptions_removed", "Subscriptions that ended.", |s| s.index.removes),
    ("subject_lookups", "Subjects looked up in the subscription index.", |s| s.index.matches),
    ("subject_cache_misses", "Of those, not in the match cache.", |s| s.index.cache_misses),
    ("loop_turns", "Turns of the event loop.", |s| s.pace.turns()),
    ("loop_sleeps", "Times the event loop had nothing to do.", |s| s.pace.sleeps),
    ("ring_enters", "System calls for the socket ring.", |s| s.pace.enters),
    ("socket_writes", "System calls that wrote to sockets.", |s| s.pace.writes),
    ("wakes", "Other shards woken.", |s| s.pace.wakes),
];

#[rustfmt::skip]
const GAUGES: [Figure; 8] = [
    ("connections", "Open connections.", Snapshot::connections),
    ("subscriptions", "Subscriptions of its connections.", |s| s.subscriptions as u64),
    ("patterns", "Distinct patterns of all shards in its index.", |s| s.patterns as u64),
    ("pending_bytes", "Bytes that wait for clients.", |s| s.traffic.pending),
    ("lane_bytes", "Bytes on their way to other shards.", |s| s.lane_bytes as u64),
    ("match_cache_entries", "Subjects in the match cache.", |s| s.cache_entries as u64),
    ("match_cache_bytes", "Bytes of the match cache.", |s| s.cache_bytes as u64),
    ("closed_connections_kept", "Ended connections still known.", |s| s.history as u64),
];

impl Families {
    pub(super) fn new(endpoints: &Endpoints, shards: Vec<Snapshot>) -> Self {
        let facts = endpoints.facts();
        let (identity, limits) = (&facts.identity, &facts.limits);
        let bytes = |bytes: u64| f64::from(u32::try_from(bytes >> 10).unwrap_or(u32::MAX)) * 1024.0;
        let count = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let start = seconds(endpoints.started.as_microsecond());
        Self {
            shards,
            build: vec![
                ("version", env!("CARGO_PKG_VERSION").to_owned()),
                ("nats_version", label(&identity.version)),
                ("server_id", label(&identity.server_id)),
                ("server_name", label(&identity.server_name)),
            ],
            gauges: vec![
                ("process_start_time_seconds", "Start of the process since 1970.", start),
                (
                    "process_resident_memory_bytes",
                    "Resident memory.",
                    bytes(process::resident_bytes()),
                ),
                (
                    "process_open_fds",
                    "Open files.",
                    count(process::open_files().unwrap_or_default()),
                ),
                ("process_max_fds", "Files that may be open.", count(process::files_max())),
                ("ringbus_shards", "Shards.", count(endpoints.inspector.shards())),
                (
                    "ringbus_max_connections",
                    "Connections that there may be; zero if there is no limit.",
                    count(limits.connections.unwrap_or_default()),
                ),
                (
                    "ringbus_max_pending_bytes",
                    "Bytes that may wait for one client.",
                    count(limits.pending),
                ),
            ],
            processor_seconds: process::processor_time().as_secs_f64(),
            requests: endpoints.requests().iter().map(|(path, count)| (*path, *count)).collect(),
        }
    }

    /// One figure of every shard.
    fn by_shard(
        &self,
        mut encoder: MetricEncoder<'_>,
        mut encode: impl FnMut(&Snapshot, MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        for (index, shard) in self.shards.iter().enumerate() {
            let labels = [("shard", index.to_string())];
            encode(shard, encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "What runs here.";
        let mut build =
            encoder.encode_descriptor("ringbus_build_info", help, None, MetricType::Gauge)?;
        ConstGauge::new(1u32).encode(build.encode_family(&self.build)?)?;
        for (name, help, value) in &self.gauges {
            let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(*value).encode(gauge)?;
        }
        let (name, help) = ("process_cpu_seconds", "Processor time of all threads.");
        let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(self.processor_seconds).encode(counter)?;
        let (name, help) = ("ringbus_http_requests", "Requests to the monitoring port.");
        let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (path, count) in &self.requests {
            ConstCounter::new(*count).encode(counter.encode_family(&[("path", *path)])?)?;
        }
        Ok(())
    }

    fn loops(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let times: [Figure; 2] = [
            ("ringbus_shard_busy_seconds", "Time of all turns.", |s| s.pace.busy_nanos),
            ("ringbus_shard_idle_seconds", "Time without work.", |s| s.pace.idle_nanos),
        ];
        for (name, help, nanos) in times {
            let counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            self.by_shard(counter, |shard, encoder| {
                ConstCounter::new(std::time::Duration::from_nanos(nanos(shard)).as_secs_f64())
                    .encode(encoder)
            })?;
        }
        let (name, help) = ("ringbus_shard_longest_turn_seconds", "The longest turn ever.");
        let gauge = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        self.by_shard(gauge, |shard, encoder| {
            ConstGauge::new(shard.pace.longest.as_secs_f64()).encode(encoder)
        })?;
        let (name, help) = ("ringbus_shard_turn_seconds", "Turns by how long they took.");
        let histogram = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
        self.by_shard(histogram, |shard, mut encoder| {
            let ends = TURN_MICROS
                .iter()
                .map(|micros| std::time::Duration::from_micros(*micros).as_secs_f64());
            let ends = ends.chain([f64::MAX]);
            let buckets: Vec<(f64, u64)> = ends.zip(shard.pace.turns).collect();
            let busy = std::time::Duration::from_nanos(shard.pace.busy_nanos).as_secs_f64();
            encoder.encode_histogram::<NoLabelSet>(busy, shard.pace.turns(), &buckets, None)
        })
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.process(&mut encoder)?;
        for (name, help, value) in GAUGES {
            let name = format!("ringbus_shard_{name}");
            let gauge = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            self.by_shard(gauge, |shard, encoder| ConstGauge::new(value(shard)).encode(encoder))?;
        }
        for (name, help, value) in COUNTERS {
            let name = format!("ringbus_shard_{name}");
            let counter = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
            self.by_shard(counter, |shard, encoder| {
                ConstCounter::new(value(shard)).encode(encoder)
            })?;
        }
        let name = "ringbus_shard_slow_consumers";
        let help = "Connections closed because they did not take what was sent to them.";
        let mut counter = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (index, shard) in self.shards.iter().enumerate() {
            let kinds =
                [("pending", shard.stats.slow_pending), ("deadline", shard.stats.slow_deadline)];
            for (kind, count) in kinds {
                let labels = [("shard", index.to_string()), ("kind", kind.to_owned())];
                ConstCounter::new(count).encode(counter.encode_family(&labels)?)?;
            }
        }
        self.loops(&mut encoder)
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds since 1970 fit for centuries")]
fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}
