//! `/metrics`: everything for Prometheus, without an exporter in between.
//!
//! | file | what |
//! | --- | --- |
//! | `families.rs` | our own figures, by shard |
//! | `aliases.rs` | the same under the names of prometheus-nats-exporter, for its dashboards |
//! | `classic.rs` | from OpenMetrics to the older text format |
//!
//! Whoever says that it reads OpenMetrics gets it, everybody else the older format. Nothing is
//! counted for a scrape: a shard is asked for the numbers it has.

mod aliases;
mod classic;
mod families;
#[cfg(test)]
mod tests;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::endpoints::{Endpoints, Refusal};
use super::http::request::Request;
use super::http::response::Response;
use super::shardz::snapshots;
use super::varz::{self, Totals};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const CLASSIC: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) fn metrics(endpoints: &Endpoints, request: &Request) -> Result<Response, Refusal> {
    let shards = snapshots(endpoints)?;
    let mut totals = Totals::default();
    for shard in &shards {
        totals.add(&shard.stats, shard.traffic, shard.subscriptions);
    }
    let varz = varz::from_totals(endpoints, &totals);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families::Families::new(endpoints, shards)));
    registry.register_collector(Box::new(aliases::Aliases::new(endpoints, &varz, &totals)?));
    let mut text = String::with_capacity(32 << 10);
    // Writing to a String cannot fail.
    let _ = encode(&mut text, &registry);
    let open = request.likes("application/openmetrics-text") > 0
        && request.accept.contains("application/openmetrics-text");
    Ok(if open {
        Response::of(OPEN_METRICS, text.into_bytes())
    } else {
        Response::of(CLASSIC, classic::from_open_metrics(&text).into_bytes())
    })
}

/// A label value that may hold anything.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
