//! What the endpoints say, for those who ask by message instead of HTTP: the same figures, as JSON
//! in one line.

use std::collections::BTreeMap;

use jiff::Timestamp;
use ringbus_shard::clock::Now;
use serde::Serialize;

pub(crate) use super::accounts::AccountStat;
pub(crate) use super::endpoints::Endpoints;

use super::accounts;
use super::endpoints::Refusal;
use super::query::Query;
use super::{absent, connz, health, json, process, subsz, varz};

/// The server in few figures, as it announces itself.
#[derive(Debug, Serialize)]
pub(crate) struct Statsz {
    start: Timestamp,
    mem: u64,
    cores: usize,
    cpu: f64,
    connections: u64,
    total_connections: u64,
    active_accounts: usize,
    subscriptions: usize,
    sent: Traffic,
    sent_to_clients: Traffic,
    received: Traffic,
    received_from_clients: Traffic,
    slow_consumers: u64,
    active_servers: u64,
    gomaxprocs: usize,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Traffic {
    msgs: u64,
    bytes: u64,
}

impl Endpoints {
    /// What `kind` of figures says, JSON; nothing if there is no such kind.
    pub(crate) fn data(&self, kind: &str, query: &Query) -> Option<Result<Vec<u8>, String>> {
        let said = |data: Result<Vec<u8>, Refusal>| data.map_err(|refusal| refusal.to_string());
        Some(said(match kind {
            "VARZ" => varz::varz(self).map(|data| json::compact(&data)),
            "SUBSZ" => subsz::subsz(self, query).map(|data| json::compact(&data)),
            "CONNZ" => connz::connz(self, query).map(|data| json::compact(&data)),
            "ROUTEZ" => absent::routez(self, query).map(|data| json::compact(&data)),
            "GATEWAYZ" => absent::gatewayz(self, query).map(|data| json::compact(&data)),
            "LEAFZ" => absent::leafz(self, query).map(|data| json::compact(&data)),
            "ACCOUNTZ" => accounts::accountz(self, query).map(|data| json::compact(&data)),
            "JSZ" => absent::jsz(self, query).map(|data| json::compact(&data)),
            "HEALTHZ" => health::health(self, query).map(|data| json::compact(&data.by_message())),
            "EXPVARZ" => Ok(json::compact(&process::variables(&self.facts().program))),
            "IPQUEUESZ" => absent::ipqueuesz(query).map(|data| json::compact(&data)),
            "RAFTZ" => Ok(b"{}".to_vec()),
            "PROFILEZ" => {
                Ok(br#"{"profile":null,"error":"profiles are not supported: use perf"}"#.to_vec())
            }
            _ => return None,
        }))
    }

    /// One account.
    pub(crate) fn account_info(&self, name: &str) -> Result<Vec<u8>, String> {
        let detail = accounts::account_detail(self, name);
        detail.map(|detail| json::compact(&detail)).map_err(|refusal| refusal.to_string())
    }

    /// The figures of these accounts, or of all that have clients.
    pub(crate) fn account_stats(
        &self,
        unused: bool,
        wanted: &[String],
    ) -> Result<Vec<AccountStat>, String> {
        accounts::stats(self, unused, wanted).map_err(|refusal| refusal.to_string())
    }

    /// The same as a whole answer.
    pub(crate) fn account_statz(&self, unused: bool, wanted: &[String]) -> Result<Vec<u8>, String> {
        let statz = accounts::accstatz(self, unused, wanted);
        statz.map(|statz| json::compact(&statz)).map_err(|refusal| refusal.to_string())
    }

    /// How many subscriptions of an account match a subject.
    pub(crate) fn subscribers(&self, account: &str, subject: &str) -> Result<usize, String> {
        let found = accounts::known(self, account)
            .and_then(|account| subsz::matching(self, account.id, subject));
        found.map_err(|refusal| refusal.to_string())
    }

    /// How many subscriptions of an account are interested in a subject or pattern, those of one
    /// queue group if one is named.
    pub(crate) fn interested(
        &self,
        account: &str,
        subject: &str,
        queue: Option<&str>,
    ) -> Result<usize, String> {
        let found = accounts::known(self, account)
            .and_then(|account| subsz::interested(self, account.id, subject, queue));
        found.map_err(|refusal| refusal.to_string())
    }

    /// The server in few figures.
    pub(crate) fn statsz(&self) -> Result<Statsz, String> {
        let totals = varz::totals(self).map_err(|refusal| refusal.to_string())?;
        let active = self.account_stats(false, &[])?.len();
        let sent = Traffic { msgs: totals.traffic.out_msgs, bytes: totals.traffic.out_bytes };
        let received = Traffic { msgs: totals.stats.in_msgs, bytes: totals.stats.in_bytes };
        Ok(Statsz {
            start: self.started,
            mem: process::resident_bytes(),
            cores: self.facts().cores,
            cpu: self.processor.percent(),
            connections: totals.connections(),
            total_connections: totals.stats.opened,
            active_accounts: active,
            subscriptions: totals.subscriptions,
            sent,
            sent_to_clients: sent,
            received,
            received_from_clients: received,
            slow_consumers: totals.stats.slow_pending + totals.stats.slow_deadline,
            active_servers: 1,
            gomaxprocs: self.inspector.shards(),
        })
    }

    /// The time on the wall when shards counted `now`.
    pub(crate) fn time(&self, now: Now) -> Timestamp {
        self.wall.at(now)
    }
}

/// Switches of nats-server and how they stand.
pub(crate) fn features() -> BTreeMap<&'static str, bool> {
    varz::FEATURES.into()
}

/// A value as JSON in one line.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    json::compact(value)
}
