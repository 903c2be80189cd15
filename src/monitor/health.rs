//! `/healthz`: whether the server serves. It does if every shard answers.

use ringbus_shard::io::Stuck;
use serde::Serialize;

use super::endpoints::{Endpoints, Refusal};
use super::http::response::Response;
use super::json;
use super::query::Query;

#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<HealthError>,
}

#[derive(Debug, Serialize)]
struct HealthError {
    #[serde(rename = "type")]
    kind: &'static str,
    error: String,
}

pub(super) fn healthz(endpoints: &Endpoints, query: &Query) -> Result<Response, Refusal> {
    for name in ["js-enabled", "js-enabled-only", "js-server-only", "js-meta-only"] {
        query.switch(name)?;
    }
    let details = query.switch("details")?;
    let wanted = |name: &str| !query.text(name).is_empty();
    let lacks =
        |name: &str, of: &str| format!("\"{name}\" must not be empty when checking {of} health");
    let (status, kind, error) = if wanted("stream") && !wanted("account") {
        (400, "BAD_REQUEST", lacks("account", "stream"))
    } else if wanted("consumer") && !wanted("stream") {
        (400, "BAD_REQUEST", lacks("stream", "consumer"))
    } else if let Some(stuck) = first_stuck(endpoints) {
        (500, "CONNECTION", stuck.to_string())
    } else {
        (200, "", String::new())
    };
    let ok = status == 200;
    let (error, errors) = match (ok, details) {
        (true, _) => (String::new(), Vec::new()),
        (false, true) => (String::new(), vec![HealthError { kind, error }]),
        (false, false) => (error, Vec::new()),
    };
    let health = Health { status: if ok { "ok" } else { "error" }, error, errors };
    Ok(Response::json(status, json::compact(&health)))
}

fn first_stuck(endpoints: &Endpoints) -> Option<Stuck> {
    endpoints.inspector.inspect(|_| ()).into_iter().find_map(Result::err)
}
