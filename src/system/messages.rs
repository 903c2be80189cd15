//! The JSON of events and answers, in the fields and order of nats-server 2.15: tools read it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use ringbus_shard::authorize::{Lists, Responses, Rules};
use ringbus_shard::clock::Now;
use ringbus_shard::engine::ConnectionView;
use ringbus_shard::error::CloseReason;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::monitor::Facts;
pub(super) use crate::monitor::answers::to_json;
use crate::monitor::answers::{AccountStat, Endpoints, Statsz, features};

/// Length of the name of an event.
const EVENT_ID_LEN: usize = 22;

/// Who speaks. Every message has a number of its own.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ServerInfo {
    name: String,
    host: String,
    id: String,
    ver: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<String, String>,
    feature_flags: BTreeMap<&'static str, bool>,
    jetstream: bool,
    flags: u64,
    seq: u64,
    time: Timestamp,
}

impl ServerInfo {
    pub(super) fn new(facts: &Facts, seq: u64) -> Self {
        let identity = &facts.identity;
        Self {
            name: identity.server_name.clone(),
            host: identity.host.clone(),
            id: identity.server_id.clone(),
            ver: identity.version.clone(),
            tags: facts.tags.clone(),
            metadata: facts.metadata.clone(),
            feature_flags: features(),
            jetstream: false,
            flags: 0,
            seq,
            time: Timestamp::now(),
        }
    }

    /// The short form that IDZ asks for.
    pub(super) fn idz(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Idz<'a> {
            name: &'a str,
            host: &'a str,
            id: &'a str,
        }
        to_json(&Idz { name: &self.name, host: &self.host, id: &self.id })
    }
}

/// An answer.
#[derive(Debug, Serialize)]
struct Answer<'a> {
    server: &'a ServerInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    code: u16,
    description: &'a str,
}

/// The answer with that JSON in it.
pub(super) fn answer(server: &ServerInfo, data: Vec<u8>) -> Vec<u8> {
    let data = String::from_utf8(data).ok().and_then(|text| RawValue::from_string(text).ok());
    to_json(&Answer { server, data: data.as_deref(), error: None })
}

/// The answer that nothing needs to be said.
pub(super) fn done(server: &ServerInfo) -> Vec<u8> {
    to_json(&Answer { server, data: None, error: None })
}

/// The answer that something was wrong with the request (400) or what it wants (500). Answers that
/// would have had data say that there is none.
pub(super) fn failure(server: &ServerInfo, code: u16, why: &str, had_data: bool) -> Vec<u8> {
    let data = had_data.then_some(RawValue::NULL);
    to_json(&Answer { server, data, error: Some(Failure { code, description: why }) })
}

/// The server in few figures.
pub(super) fn statsz(server: &ServerInfo, statsz: &Statsz) -> Vec<u8> {
    #[derive(Serialize)]
    struct Message<'a> {
        server: &'a ServerInfo,
        statsz: &'a Statsz,
    }
    to_json(&Message { server, statsz })
}

/// Who asks.
pub(super) fn user_info(
    user: &str,
    account: &str,
    rules: Option<&Rules>,
    stays: Option<Duration>,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct UserInfo<'a> {
        user: &'a str,
        account: &'a str,
        account_name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        permissions: Option<Permissions<'a>>,
        /// Nanoseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        expires: Option<u64>,
    }
    let permissions = rules.map(Permissions::new);
    let nanos = |stays: Duration| u64::try_from(stays.as_nanos()).unwrap_or(u64::MAX);
    let expires = stays.filter(|stays| !stays.is_zero()).map(nanos);
    to_json(&UserInfo { user, account, account_name: account, permissions, expires })
}

#[derive(Debug, Serialize)]
struct Permissions<'a> {
    publish: Patterns<'a>,
    subscribe: Patterns<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<Answers>,
}

#[derive(Debug, Serialize)]
struct Patterns<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    allow: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    deny: &'a [String],
}

/// How often and how long, in nanoseconds; -1 for no bound.
#[derive(Debug, Serialize)]
struct Answers {
    max: i64,
    ttl: i64,
}

impl<'a> Permissions<'a> {
    fn new(rules: &'a Rules) -> Self {
        let lists = |lists: &'a Lists| Patterns {
            allow: lists.allow.as_deref().unwrap_or_default(),
            deny: &lists.deny,
        };
        let responses = rules.responses.map(|Responses { max, ttl }| Answers {
            max: max.map_or(-1, |max| i64::try_from(max).unwrap_or(i64::MAX)),
            ttl: ttl.map_or(-1, |ttl| i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX)),
        });
        Self { publish: lists(&rules.publish), subscribe: lists(&rules.subscribe), responses }
    }
}

/// What every event begins with.
#[derive(Debug, Serialize)]
struct Event<'a, T> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    timestamp: Timestamp,
    server: &'a ServerInfo,
    #[serde(flatten)]
    rest: T,
}

fn event<T: Serialize>(kind: &'static str, server: &ServerInfo, rest: T) -> Vec<u8> {
    let id = std::iter::repeat_with(fastrand::alphanumeric).take(EVENT_ID_LEN).collect();
    to_json(&Event { kind, id, timestamp: Timestamp::now(), server, rest })
}

/// A client in an event.
#[derive(Debug, Serialize)]
struct ClientInfo<'a> {
    start: Timestamp,
    host: String,
    id: u64,
    acc: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    ver: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Timestamp>,
    name_tag: &'a str,
    kind: &'static str,
    client_type: &'static str,
}

impl<'a> ClientInfo<'a> {
    fn new(endpoints: &Endpoints, view: &'a ConnectionView) -> Self {
        Self {
            start: endpoints.time(view.start),
            host: view.address.ip().to_string(),
            id: view.cid.get(),
            acc: &view.account,
            user: view.user.as_deref(),
            name: &view.name,
            lang: &view.lang,
            ver: &view.version,
            rtt: None,
            stop: None,
            name_tag: &view.account,
            kind: "Client",
            client_type: "nats",
        }
    }
}

/// A client is connected.
pub(super) fn connected(
    server: &ServerInfo,
    endpoints: &Endpoints,
    view: &ConnectionView,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Connect<'a> {
        client: ClientInfo<'a>,
    }
    let client = ClientInfo::new(endpoints, view);
    event("io.nats.server.advisory.v1.client_connect", server, Connect { client })
}

#[derive(Debug, Serialize)]
struct Traffic {
    msgs: u64,
    bytes: u64,
}

/// A client is not connected any more.
pub(super) fn disconnected(
    server: &ServerInfo,
    endpoints: &Endpoints,
    view: &ConnectionView,
    stop: Now,
    reason: CloseReason,
) -> Vec<u8> {
    #[derive(Serialize)]
    struct Disconnect<'a> {
        client: ClientInfo<'a>,
        sent: Traffic,
        received: Traffic,
        reason: String,
    }
    let round_trip = view.round_trip.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    let client = ClientInfo {
        rtt: round_trip,
        stop: Some(endpoints.time(stop)),
        ..ClientInfo::new(endpoints, view)
    };
    let disconnect = Disconnect {
        client,
        sent: Traffic { msgs: view.out_msgs, bytes: view.out_bytes },
        received: Traffic { msgs: view.in_msgs, bytes: view.in_bytes },
        reason: reason.to_string(),
    };
    event("io.nats.server.advisory.v1.client_disconnect", server, disconnect)
}

/// How many clients an account has.
pub(super) fn account_connections(server: &ServerInfo, stat: &AccountStat) -> Vec<u8> {
    event("io.nats.server.advisory.v1.account_connections", server, stat)
}
