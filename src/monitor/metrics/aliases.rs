//! The names under which prometheus-nats-exporter publishes what it reads from `/varz`, `/connz`,
//! `/subsz`, `/healthz` and `/accstatz`, so that dashboards made for it fill without it. It calls
//! everything a gauge, so this does too.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use ringbus_shard::engine::Tally;
use ringbus_shard::ids::AccountId;
use serde::Serialize;
use serde_json::Value;

use super::super::accounts::tallies;
use super::super::endpoints::{Endpoints, Refusal};
use super::super::subsz::index_stats;
use super::super::varz::{Totals, Varz};
use super::label;

/// Texts that become the label of a gauge that is 1.
const LABELS: [&str; 3] = ["server_id", "server_name", "version"];

/// Times that become milliseconds since 1970.
const TIMES: [&str; 2] = ["start", "config_load_time"];

/// What is known of an account.
type AccountFigure = (&'static str, fn(&Tally) -> u64);

const ACCOUNT_FIGURES: [AccountFigure; 9] = [
    ("current_connections", |tally| tally.connections),
    ("total_connections", |tally| tally.connections),
    ("subscriptions", |tally| tally.subscriptions as u64),
    ("leaf_nodes", |_| 0),
    ("sent_messages", |tally| tally.out_msgs),
    ("sent_bytes", |tally| tally.out_bytes),
    ("received_messages", |tally| tally.in_msgs),
    ("received_bytes", |tally| tally.in_bytes),
    ("slow_consumers", |tally| tally.slow_consumers),
];

/// Name, labels besides the server, value.
type Gauge = (String, Vec<(&'static str, String)>, f64);

/// One scrape.
#[derive(Debug)]
pub(super) struct Aliases {
    server_id: String,
    gauges: Vec<Gauge>,
}

impl Aliases {
    pub(super) fn new(
        endpoints: &Endpoints,
        varz: &Varz,
        totals: &Totals,
    ) -> Result<Self, Refusal> {
        let mut aliases = Self { server_id: label(&endpoints.id()), gauges: Vec::new() };
        aliases.flatten("gnatsd_varz", varz);
        aliases.flatten("gnatsd_subsz", &index_stats(endpoints, None)?);
        aliases.label("gnatsd_subsz_server_id", "value", &endpoints.id());
        // Of a list that was not asked for.
        aliases.push("gnatsd_subsz_total", 0);
        aliases.push("gnatsd_healthz_status", 0);
        aliases.label("gnatsd_healthz_status_value", "value", "ok");
        let Totals { stats, traffic, subscriptions } = totals;
        let subscriptions = u64::try_from(*subscriptions).unwrap_or(u64::MAX);
        let connections = totals.connections();
        for (name, value) in [
            ("num_connections", connections),
            ("total", connections),
            ("pending_bytes", traffic.pending),
            ("subscriptions", subscriptions),
            ("in_bytes", stats.in_bytes),
            ("out_bytes", traffic.out_bytes),
            ("in_msgs", stats.in_msgs),
            ("out_msgs", traffic.out_msgs),
        ] {
            aliases.push(&format!("gnatsd_connz_{name}"), value);
        }
        aliases.accounts(endpoints)?;
        Ok(aliases)
    }

    /// The figures of each account that has clients, of all those for one name together.
    fn accounts(&mut self, endpoints: &Endpoints) -> Result<(), Refusal> {
        let tallies = tallies(endpoints)?;
        for (name, figure) in ACCOUNT_FIGURES {
            for (account, tally) in &tallies {
                if tally.connections == 0 && account.id != AccountId::GLOBAL {
                    continue;
                }
                let keys = ["account", "account_id", "account_name"];
                let labels = keys.map(|key| (key, label(&account.name))).to_vec();
                let name = format!("gnatsd_accstatz_{name}");
                self.gauges.push((name, labels, float(figure(tally))));
            }
        }
        Ok(())
    }

    fn push(&mut self, name: &str, value: u64) {
        self.gauges.push((name.to_owned(), Vec::new(), float(value)));
    }

    fn label(&mut self, name: &str, key: &'static str, value: &str) {
        self.gauges.push((name.to_owned(), vec![(key, label(value))], 1.0));
    }

    /// Every number in there, by its path.
    fn flatten(&mut self, prefix: &str, value: &impl Serialize) {
        // What is shown as JSON can be made JSON.
        if let Ok(Value::Object(fields)) = serde_json::to_value(value) {
            for (name, value) in fields {
                self.field(prefix, &name, &value);
            }
        }
    }

    fn field(&mut self, prefix: &str, name: &str, value: &Value) {
        let clean = name.trim_matches('/').replace('/', "_");
        let full = if clean.is_empty() { prefix.to_owned() } else { format!("{prefix}_{clean}") };
        match value {
            Value::Number(number) => {
                self.gauges.push((full, Vec::new(), number.as_f64().unwrap_or_default()));
            }
            Value::String(text) if LABELS.contains(&name) => self.label(&full, "value", text),
            Value::String(text) if TIMES.contains(&name) => {
                if let Ok(time) = text.parse::<jiff::Timestamp>() {
                    let millis = u64::try_from(time.as_millisecond()).unwrap_or_default();
                    self.push(&full, millis);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.field(&full, name, value);
                }
            }
            _ => {}
        }
    }
}

impl Collector for Aliases {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for of_name in self.gauges.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some((name, ..)) = of_name.first() else { continue };
            let help = "As prometheus-nats-exporter has it.";
            // A name that only a counter may have, for something that is none.
            let counter_name = name.ends_with("_total");
            let kind = if counter_name { MetricType::Unknown } else { MetricType::Gauge };
            let mut gauge = encoder.encode_descriptor(name, help, None, kind)?;
            for (_, labels, value) in of_name {
                let mut all = vec![("server_id", self.server_id.clone())];
                all.extend(labels.iter().cloned());
                ConstGauge::new(*value).encode(gauge.encode_family(&all)?)?;
            }
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn float(value: u64) -> f64 {
    value as f64
}
