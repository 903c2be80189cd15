//! `/healthz`: whether the server serves. It does if every shard answers.

use ringbus_shard::io::Stuck;
use serde::Serialize;

use super::endpoints::{Endpoints, Refusal};
use super::http::response::Response;
use super::json;
use super::query::Query;

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Health {
    status: &'static str,
    /// Told in the answer where there is no status of HTTP to tell it.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<u16>,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<HealthError>,
    #[serde(skip)]
    code: u16,
}

#[derive(Clone, Debug, Serialize)]
struct HealthError {
    #[serde(rename = "type")]
    kind: &'static str,
    error: String,
}

impl Health {
    /// As it is told by message.
    pub(super) fn by_message(self) -> Self {
        Self { status_code: Some(self.code), ..self }
    }
}

pub(super) fn healthz(endpoints: &Endpoints, query: &Query) -> Result<Response, Refusal> {
    let health = health(endpoints, query)?;
    Ok(Response::json(health.code, json::compact(&health)))
}

pub(super) fn health(endpoints: &Endpoints, query: &Query) -> Result<Health, Refusal> {
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
    let status_text = if ok { "ok" } else { "error" };
    Ok(Health { status: status_text, status_code: None, error, errors, code: status })
}

fn first_stuck(endpoints: &Endpoints) -> Option<Stuck> {
    endpoints.inspector.inspect(|_| ()).into_iter().find_map(Result::err)
}
