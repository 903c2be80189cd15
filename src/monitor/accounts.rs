//! `/accountz` and `/accstatz`: the accounts there are, and what their clients have sent and been
//! sent.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use ringbus_shard::account::{Access, Account as Terms, Latency, Sampling};
use ringbus_shard::engine::Tally;
use ringbus_shard::ids::AccountId;
use ringbus_shard::subject::mapping::Mapping;
use serde::Serialize;
use serde_json::Value;

use crate::auth::Account;

use super::endpoints::{Endpoints, Refusal, all};
use super::query::Query;
use super::subsz::{IndexStats, index_stats};

/// Places for connections that are looked at in one turn of a shard.
const PLACES: usize = 64;

#[derive(Debug, Serialize)]
pub(crate) struct Accountz {
    server_id: String,
    now: Timestamp,
    system_account: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<Arc<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountDetail>,
}

/// One account.
#[derive(Debug, Serialize)]
pub(crate) struct AccountDetail {
    account_name: Arc<str>,
    update_time: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_system: bool,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: u64,
    client_connections: u64,
    subscriptions: usize,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    mappings: BTreeMap<String, Vec<Way>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exports: Vec<Export>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    imports: Vec<Import>,
    name_tag: Arc<str>,
    sublist_stats: IndexStats,
}

/// Where a mapping leads.
#[derive(Debug, Serialize)]
struct Way {
    subject: String,
    /// Summed up with those before it, as nats-server shows it.
    weight: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

/// Something that an account offers to others.
#[derive(Debug, Serialize)]
struct Export {
    subject: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_latency: Option<Measuring>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    approved_accounts: Vec<Arc<str>>,
}

/// Something that it takes from another.
#[derive(Debug, Serialize)]
struct Import {
    subject: String,
    account: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    local_subject: String,
    #[serde(rename = "type")]
    kind: &'static str,
    invalid: bool,
    share: bool,
    tracking: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Measuring>,
}

/// Which requests to a service are measured, and where that is told.
#[derive(Debug, Serialize)]
struct Measuring {
    sampling: Value,
    results: String,
}

impl Measuring {
    fn of(latency: Option<&Arc<Latency>>) -> Option<Self> {
        let latency = latency?;
        let sampling = match latency.sampling {
            Sampling::Percent(percent) => percent.into(),
            Sampling::Headers => "headers".into(),
        };
        Some(Self { sampling, results: text(&latency.subject) })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn exports(account: &Terms, name: &impl Fn(AccountId) -> Arc<str>) -> Vec<Export> {
    let export = |subject: &[u8], kind, response_type, access: &Access| Export {
        subject: text(subject),
        kind,
        response_type,
        service_latency: None,
        approved_accounts: access.approved.iter().map(|id| name(*id)).collect(),
    };
    let services = account.exports.services().iter();
    let services = services.map(|it| Export {
        service_latency: Measuring::of(it.latency.as_ref()),
        ..export(&it.subject, "service", Some(it.response.name()), &it.access)
    });
    let streams = account.exports.streams().iter();
    services.chain(streams.map(|it| export(&it.subject, "stream", None, &it.access))).collect()
}

fn imports(account: &Terms, name: &impl Fn(AccountId) -> Arc<str>) -> Vec<Import> {
    let Some(imports) = &account.imports else { return Vec::new() };
    let streams = imports.streams.iter().map(|it| Import {
        subject: text(&it.from),
        account: name(it.account),
        to: None,
        local_subject: text(&it.to),
        kind: "stream",
        invalid: false,
        share: false,
        tracking: false,
        latency: None,
    });
    let services = imports.services.iter().map(|it| Import {
        latency: Measuring::of(it.latency.as_ref()),
        ..service(text(&it.to), name(it.account), text(&it.from), it.share)
    });
    streams.chain(services).collect()
}

fn service(subject: String, account: Arc<str>, local: String, share: bool) -> Import {
    Import {
        subject,
        account,
        to: Some(local.clone()),
        local_subject: local,
        kind: "service",
        invalid: false,
        share,
        tracking: false,
        latency: None,
    }
}

/// What every account has from the system account: the requests that its clients may make.
fn from_system(system: &Arc<str>, name: &str, is_system: bool) -> Vec<Import> {
    let import = |subject: String, local: &str, share| {
        service(subject, Arc::clone(system), local.to_owned(), share)
    };
    let user = import(format!("$SYS.REQ.USER.{name}.INFO"), "$SYS.REQ.USER.INFO", true);
    let of_account =
        |what: &str, local: &str| import(format!("$SYS.REQ.ACCOUNT.{name}.{what}"), local, false);
    let mut all = vec![user];
    if !is_system {
        all.push(of_account("CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"));
        all.push(of_account("CONNZ", "$SYS.REQ.SERVER.PING.CONNZ"));
        all.push(of_account("STATZ", "$SYS.REQ.ACCOUNT.PING.STATZ"));
    }
    all
}

fn ways(mapping: &Mapping) -> (String, Vec<Way>) {
    let ways = mapping.ways().map(|(cluster, weight, way)| Way {
        subject: text(way.destination()),
        weight,
        cluster: cluster.map(str::to_owned),
    });
    (text(mapping.source()), ways.collect())
}

pub(super) fn accountz(endpoints: &Endpoints, query: &Query) -> Result<Accountz, Refusal> {
    let facts = endpoints.facts();
    let wanted = query.text("acc");
    let mut answer = Accountz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        system_account: facts.system_account.clone(),
        accounts: Vec::new(),
        account_detail: None,
    };
    if wanted.is_empty() {
        answer.accounts = facts.accounts.iter().map(|account| Arc::clone(&account.name)).collect();
        return Ok(answer);
    }
    answer.account_detail = Some(account_detail(endpoints, wanted)?);
    Ok(answer)
}

/// The account with that name.
pub(super) fn known(endpoints: &Endpoints, name: &str) -> Result<Account, Refusal> {
    let facts = endpoints.facts();
    let account = facts.accounts.iter().find(|account| &*account.name == name);
    account.cloned().ok_or_else(|| Refusal::Bad(format!("Account {name} does not exist")))
}

/// What there is to say of one account.
pub(super) fn account_detail(
    endpoints: &Endpoints,
    wanted: &str,
) -> Result<AccountDetail, Refusal> {
    let Account { name, id } = known(endpoints, wanted)?;
    let mut tally = Tally::default();
    for (account, its) in tallies(endpoints)? {
        if account.id == id {
            tally = its;
        }
    }
    let facts = endpoints.facts();
    let mappings = facts.terms.mappings(id);
    let is_system = id == AccountId::SYSTEM;
    let terms = facts.terms.get(id).cloned().unwrap_or_default();
    let find = |id| facts.accounts.iter().find(|account| account.id == id);
    let name_of = |id| find(id).map_or_else(|| "".into(), |account| Arc::clone(&account.name));
    let mut all_imports = imports(&terms, &name_of);
    all_imports.extend(from_system(&name_of(AccountId::SYSTEM), &name, is_system));
    Ok(AccountDetail {
        account_name: Arc::clone(&name),
        update_time: facts.loaded.unwrap_or(endpoints.started),
        is_system,
        expired: false,
        complete: true,
        jetstream_enabled: false,
        leafnode_connections: 0,
        client_connections: tally.connections,
        subscriptions: tally.subscriptions,
        mappings: mappings.iter().flat_map(|all| all.iter().map(ways)).collect(),
        exports: exports(&terms, &name_of),
        imports: all_imports,
        name_tag: name,
        sublist_stats: index_stats(endpoints, Some(id))?,
    })
}

/// What the clients of each account have sent and been sent, those that have gone included.
pub(super) fn tallies(endpoints: &Endpoints) -> Result<Vec<(Account, Tally)>, Refusal> {
    let facts = endpoints.facts();
    let accounts: Vec<AccountId> = facts.accounts.iter().map(|account| account.id).collect();
    let slices = endpoints.inspector.gather(move |sight, from| {
        let gone = &sight.shard.exchange().tallies;
        let kept = |id| if from == 0 { gone.of(id) } else { Tally::default() };
        let mut tallies: Vec<Tally> = accounts.iter().map(|id| kept(*id)).collect();
        for seen in sight.shard.sightings(from..from.saturating_add(PLACES)) {
            let index = accounts.iter().position(|id| *id == seen.account_id());
            if let Some(tally) = index.and_then(|index| tallies.get_mut(index)) {
                tally.see(&seen);
            }
        }
        let next = from.saturating_add(PLACES);
        (tallies, (next < sight.shard.places()).then_some(next))
    });
    let mut sums: Vec<(Account, Tally)> =
        facts.accounts.iter().map(|account| (account.clone(), Tally::default())).collect();
    for slice in all(slices)?.iter().flatten() {
        for ((_, sum), part) in sums.iter_mut().zip(slice) {
            sum.add(part);
        }
    }
    Ok(sums)
}

#[derive(Debug, Serialize)]
pub(crate) struct Accstatz {
    server_id: String,
    now: Timestamp,
    account_statz: Vec<AccountStat>,
}

/// The figures of one account.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct AccountStat {
    acc: Arc<str>,
    name: Arc<str>,
    conns: u64,
    leafnodes: u64,
    total_conns: u64,
    num_subscriptions: usize,
    sent: Flow,
    received: Flow,
    slow_consumers: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Flow {
    msgs: u64,
    bytes: u64,
    gateways: Count,
    routes: Count,
    leafs: Count,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Count {
    msgs: u64,
    bytes: u64,
}

impl AccountStat {
    pub(super) fn new(name: &Arc<str>, tally: &Tally) -> Self {
        Self {
            acc: Arc::clone(name),
            name: Arc::clone(name),
            conns: tally.connections,
            leafnodes: 0,
            total_conns: tally.connections,
            num_subscriptions: tally.subscriptions,
            sent: Flow { msgs: tally.out_msgs, bytes: tally.out_bytes, ..Flow::default() },
            received: Flow { msgs: tally.in_msgs, bytes: tally.in_bytes, ..Flow::default() },
            slow_consumers: tally.slow_consumers,
        }
    }

    /// Whose figures these are.
    pub(crate) fn account(&self) -> &Arc<str> {
        &self.acc
    }
}

/// The figures of these accounts, or of all that have clients.
pub(super) fn stats(
    endpoints: &Endpoints,
    unused: bool,
    wanted: &[String],
) -> Result<Vec<AccountStat>, Refusal> {
    let tallies = tallies(endpoints)?;
    let shown = tallies.iter().filter(|(account, tally)| {
        let named = wanted.iter().any(|name| **name == *account.name);
        (wanted.is_empty() || named) && (unused || tally.connections > 0)
    });
    Ok(shown.map(|(account, tally)| AccountStat::new(&account.name, tally)).collect())
}

pub(super) fn accstatz(
    endpoints: &Endpoints,
    unused: bool,
    wanted: &[String],
) -> Result<Accstatz, Refusal> {
    Ok(Accstatz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        account_statz: stats(endpoints, unused, wanted)?,
    })
}
