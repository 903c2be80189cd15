//! The names under which prometheus-nats-exporter publishes what it reads from `/varz`, `/connz`,
//! `/subsz`, `/healthz` and `/accstatz`, so that dashboards made for it fill without it. It calls
//! everything a gauge, so this does too.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::Serialize;
use serde_json::Value;

use super::super::endpoints::{Endpoints, GLOBAL, Refusal};
use super::super::subsz::index_stats;
use super::super::varz::{Totals, Varz};
use super::label;

/// Texts that become the label of a gauge that is 1.
const LABELS: [&str; 3] = ["server_id", "server_name", "version"];

/// Times that become milliseconds since 1970.
const TIMES: [&str; 2] = ["start", "config_load_time"];

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
        aliases.flatten("gnatsd_subsz", &index_stats(endpoints)?);
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
        for (name, value) in [
            ("current_connections", connections),
            ("total_connections", connections),
            ("subscriptions", subscriptions),
            ("leaf_nodes", 0),
            ("sent_messages", traffic.out_msgs),
            ("sent_bytes", traffic.out_bytes),
            ("received_messages", stats.in_msgs),
            ("received_bytes", stats.in_bytes),
            ("slow_consumers", stats.slow_pending + stats.slow_deadline),
        ] {
            let account = ["account", "account_id", "account_name"];
            let labels = account.map(|name| (name, GLOBAL.to_owned())).to_vec();
            aliases.gauges.push((format!("gnatsd_accstatz_{name}"), labels, float(value)));
        }
        Ok(aliases)
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
        for (name, labels, value) in &self.gauges {
            let help = "As prometheus-nats-exporter has it.";
            // A name that only a counter may have, for something that is none.
            let counter_name = name.ends_with("_total");
            let kind = if counter_name { MetricType::Unknown } else { MetricType::Gauge };
            let mut gauge = encoder.encode_descriptor(name, help, None, kind)?;
            let mut all = vec![("server_id", self.server_id.clone())];
            all.extend(labels.iter().cloned());
            ConstGauge::new(*value).encode(gauge.encode_family(&all)?)?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers")]
fn float(value: u64) -> f64 {
    value as f64
}
