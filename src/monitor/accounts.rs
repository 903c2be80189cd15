//! `/accountz` and `/accstatz`: the accounts there are, which is one for clients and the one that
//! the server keeps for itself.

use jiff::Timestamp;
use serde::Serialize;

use super::endpoints::{Endpoints, GLOBAL, Refusal, SYSTEM};
use super::query::Query;
use super::subsz::{IndexStats, index_stats};
use super::varz::{Totals, totals};

#[derive(Debug, Serialize)]
pub(super) struct Accountz {
    server_id: String,
    now: Timestamp,
    system_account: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    accounts: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account_detail: Option<AccountDetail>,
}

#[derive(Debug, Serialize)]
struct AccountDetail {
    account_name: &'static str,
    update_time: Timestamp,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_system: bool,
    expired: bool,
    complete: bool,
    jetstream_enabled: bool,
    leafnode_connections: u64,
    client_connections: u64,
    subscriptions: usize,
    name_tag: &'static str,
    sublist_stats: IndexStats,
}

/// The account of that name.
fn known(name: &str) -> Option<&'static str> {
    [SYSTEM, GLOBAL].into_iter().find(|known| *known == name)
}

pub(super) fn accountz(endpoints: &Endpoints, query: &Query) -> Result<Accountz, Refusal> {
    let wanted = query.text("acc");
    let mut answer = Accountz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        system_account: SYSTEM,
        accounts: Vec::new(),
        account_detail: None,
    };
    if wanted.is_empty() {
        answer.accounts = vec![SYSTEM, GLOBAL];
        return Ok(answer);
    }
    let name =
        known(wanted).ok_or_else(|| Refusal::Bad(format!("Account {wanted} does not exist")))?;
    let is_system = name == SYSTEM;
    let (totals, sublist_stats) = if is_system {
        (Totals::default(), IndexStats::default())
    } else {
        (totals(endpoints)?, index_stats(endpoints)?)
    };
    answer.account_detail = Some(AccountDetail {
        account_name: name,
        update_time: endpoints.started,
        is_system,
        expired: false,
        complete: true,
        jetstream_enabled: false,
        leafnode_connections: 0,
        client_connections: totals.connections(),
        subscriptions: totals.subscriptions,
        name_tag: name,
        sublist_stats,
    });
    Ok(answer)
}

#[derive(Debug, Serialize)]
pub(super) struct Accstatz {
    server_id: String,
    now: Timestamp,
    account_statz: Vec<AccountStat>,
}

#[derive(Debug, Serialize)]
struct AccountStat {
    acc: &'static str,
    name: &'static str,
    conns: u64,
    leafnodes: u64,
    total_conns: u64,
    num_subscriptions: usize,
    sent: Flow,
    received: Flow,
    slow_consumers: u64,
}

#[derive(Debug, Default, Serialize)]
struct Flow {
    msgs: u64,
    bytes: u64,
    gateways: Count,
    routes: Count,
    leafs: Count,
}

#[derive(Debug, Default, Serialize)]
struct Count {
    msgs: u64,
    bytes: u64,
}

pub(super) fn accstatz(endpoints: &Endpoints, query: &Query) -> Result<Accstatz, Refusal> {
    let unused = query.switch("unused")?;
    let accounts = [(SYSTEM, Totals::default()), (GLOBAL, totals(endpoints)?)];
    let stat = |(name, totals): (&'static str, Totals)| {
        let Totals { stats, traffic, .. } = totals;
        AccountStat {
            acc: name,
            name,
            conns: totals.connections(),
            leafnodes: 0,
            total_conns: totals.connections(),
            num_subscriptions: totals.subscriptions,
            sent: Flow { msgs: traffic.out_msgs, bytes: traffic.out_bytes, ..Flow::default() },
            received: Flow { msgs: stats.in_msgs, bytes: stats.in_bytes, ..Flow::default() },
            slow_consumers: stats.slow_pending + stats.slow_deadline,
        }
    };
    let shown = accounts.into_iter().map(stat).filter(|account| unused || account.conns > 0);
    Ok(Accstatz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        account_statz: shown.collect(),
    })
}
