//! Routes, leaf nodes, gateways, JetStream: not there, and shown as nats-server shows them while
//! they are off. Options are checked all the same.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::endpoints::{Endpoints, Refusal};
use super::http::response::Response;
use super::query::Query;
use super::varz::Off;

/// Nothing of anything.
type Nothing = [(); 0];

#[derive(Debug, Serialize)]
pub(super) struct Routez {
    server_id: String,
    server_name: String,
    now: Timestamp,
    num_routes: u64,
    routes: Nothing,
}

pub(super) fn routez(endpoints: &Endpoints, query: &Query) -> Result<Routez, Refusal> {
    query.subscriptions()?;
    Ok(Routez {
        server_id: endpoints.id(),
        server_name: endpoints.facts().identity.server_name.clone(),
        now: Timestamp::now(),
        num_routes: 0,
        routes: [],
    })
}

#[derive(Debug, Serialize)]
pub(super) struct Leafz {
    server_id: String,
    now: Timestamp,
    leafnodes: u64,
    leafs: Nothing,
}

pub(super) fn leafz(endpoints: &Endpoints, query: &Query) -> Result<Leafz, Refusal> {
    query.switch("subs")?;
    Ok(Leafz { server_id: endpoints.id(), now: Timestamp::now(), leafnodes: 0, leafs: [] })
}

#[derive(Debug, Serialize)]
pub(super) struct Gatewayz {
    server_id: String,
    now: Timestamp,
    outbound_gateways: Off,
    inbound_gateways: Off,
}

pub(super) fn gatewayz(endpoints: &Endpoints, query: &Query) -> Result<Gatewayz, Refusal> {
    query.subscriptions()?;
    query.switch("accs")?;
    Ok(Gatewayz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        outbound_gateways: Off {},
        inbound_gateways: Off {},
    })
}

#[derive(Debug, Serialize)]
pub(super) struct Jsz {
    memory: u64,
    storage: u64,
    reserved_memory: u64,
    reserved_storage: u64,
    accounts: u64,
    ha_assets: u64,
    api: JszApi,
    server_id: String,
    now: Timestamp,
    disabled: bool,
    config: JszConfig,
    streams: u64,
    consumers: u64,
    messages: u64,
    bytes: u64,
    total: u64,
}

#[derive(Debug, Default, Serialize)]
struct JszApi {
    level: u64,
    total: u64,
    errors: u64,
}

#[derive(Debug, Default, Serialize)]
struct JszConfig {
    max_memory: u64,
    max_storage: u64,
}

pub(super) fn jsz(endpoints: &Endpoints, query: &Query) -> Result<Jsz, Refusal> {
    for name in ["accounts", "streams", "consumers", "direct-consumers", "config"] {
        query.switch(name)?;
    }
    query.integer("offset")?;
    query.integer("limit")?;
    let leader_only = query.switch("leader-only")?;
    for name in ["raft", "stream-leader-only"] {
        query.switch(name)?;
    }
    if leader_only {
        return Err(Refusal::Bad("filtered response: not leader".to_owned()));
    }
    Ok(Jsz {
        memory: 0,
        storage: 0,
        reserved_memory: 0,
        reserved_storage: 0,
        accounts: 0,
        ha_assets: 0,
        api: JszApi::default(),
        server_id: endpoints.id(),
        now: Timestamp::now(),
        disabled: true,
        config: JszConfig::default(),
        streams: 0,
        consumers: 0,
        messages: 0,
        bytes: 0,
        total: 0,
    })
}

/// Queues between threads of nats-server: there are none here.
pub(super) fn ipqueuesz(query: &Query) -> Result<BTreeMap<String, Off>, Refusal> {
    query.switch("all")?;
    Ok(BTreeMap::new())
}

pub(super) fn raftz() -> Response {
    Response::text(404, "No Raft nodes registered")
}
