//! `/connz`: connections, open and ended, sorted and in pages.
//!
//! Of all open connections only what sorts them is copied; whole ones are only those of the page
//! that is shown. So a server with very many connections can be asked for its busiest ten cheaply.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use ringbus_shard::clock::Now;
use ringbus_shard::engine::{ClosedView, ConnectionView, Sighting, SubscriptionView};
use ringbus_shard::ids::ConnId;
use serde::Serialize;

use crate::auth::GLOBAL;

use super::endpoints::{Endpoints, Refusal, all};
use super::peer_cert::PeerCert;
use super::query::{Query, State, Subscriptions};
use super::subsz::{SLOTS, SubDetail, holders, is_zero, next_slots, page};
use super::time::{round_trip, uptime};

/// Places that are looked at in one turn of a shard, and connections that are copied in one.
const PLACES: usize = 64;
const COPIES: usize = 64;

#[derive(Debug, Serialize)]
pub(super) struct Connz {
    server_id: String,
    now: Timestamp,
    num_connections: usize,
    total: usize,
    offset: usize,
    limit: usize,
    connections: Option<Vec<ConnInfo>>,
}

/// One connection.
#[derive(Clone, Debug, Serialize)]
struct ConnInfo {
    cid: u64,
    kind: &'static str,
    #[serde(rename = "type")]
    client_type: &'static str,
    ip: String,
    port: u16,
    start: Timestamp,
    last_activity: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    rtt: String,
    uptime: String,
    idle: String,
    pending_bytes: usize,
    in_msgs: u64,
    out_msgs: u64,
    in_bytes: u64,
    out_bytes: u64,
    #[serde(skip_serializing_if = "is_zero")]
    stalls: u64,
    subscriptions: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    lang: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    tls_version: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tls_cipher_suite: Box<str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tls_peer_certs: Vec<PeerCert>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_first: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorized_user: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subscriptions_list_detail: Vec<SubDetail>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<Proxy>,
}

/// A trusted proxy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Proxy {
    pub(super) key: Arc<str>,
}

/// What connections are sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    Cid,
    Subs,
    Pending,
    OutMsgs,
    InMsgs,
    OutBytes,
    InBytes,
    Last,
    Idle,
    Uptime,
    Stop,
    Reason,
    RoundTrip,
}

impl Sort {
    fn parse(name: &str) -> Result<Self, Refusal> {
        Ok(match name {
            "" | "cid" | "start" => Self::Cid,
            "subs" => Self::Subs,
            "pending" => Self::Pending,
            "msgs_to" => Self::OutMsgs,
            "msgs_from" => Self::InMsgs,
            "bytes_to" => Self::OutBytes,
            "bytes_from" => Self::InBytes,
            "last" => Self::Last,
            "idle" => Self::Idle,
            "uptime" => Self::Uptime,
            "stop" => Self::Stop,
            "reason" => Self::Reason,
            "rtt" => Self::RoundTrip,
            other => {
                let shown: String = other.chars().take(256).collect();
                return Err(Refusal::Bad(format!("invalid sorting option: {shown}")));
            }
        })
    }

    /// What is smaller comes first; of equals, the older connection. Looks at nothing that it does
    /// not need: each field of a connection may be a miss of the cache.
    fn key(self, view: &impl Sortable, now: u64) -> (u64, u64) {
        let last = u64::MAX;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(last);
        let key = match self {
            Self::Cid | Self::Reason => 0,
            Self::Subs => last - view.subscriptions() as u64,
            Self::Pending => last - view.pending() as u64,
            Self::OutMsgs => last - view.sent().0,
            Self::OutBytes => last - view.sent().1,
            Self::InMsgs => last - view.received().0,
            Self::InBytes => last - view.received().1,
            Self::Last => last - view.active().as_nanos(),
            Self::Idle => view.active().as_nanos(),
            Self::Uptime => view.lived(now),
            Self::Stop => last - view.stop(),
            Self::RoundTrip => last - view.round_trip().map_or(0, nanos),
        };
        (key, view.cid())
    }
}

/// What connections of both kinds can be sorted by.
trait Sortable {
    fn cid(&self) -> u64;
    fn subscriptions(&self) -> usize;
    fn pending(&self) -> usize;
    fn sent(&self) -> (u64, u64);
    fn received(&self) -> (u64, u64);
    fn active(&self) -> Now;
    fn lived(&self, now: u64) -> u64;
    fn stop(&self) -> u64;
    fn round_trip(&self) -> Option<Duration>;
}

impl Sortable for Sighting<'_> {
    fn cid(&self) -> u64 {
        Sighting::cid(self).get()
    }

    fn subscriptions(&self) -> usize {
        Sighting::subscriptions(self)
    }

    fn pending(&self) -> usize {
        Sighting::pending(self)
    }

    fn sent(&self) -> (u64, u64) {
        Sighting::sent(self)
    }

    fn received(&self) -> (u64, u64) {
        Sighting::received(self)
    }

    fn active(&self) -> Now {
        Sighting::active(self)
    }

    fn lived(&self, now: u64) -> u64 {
        now.saturating_sub(self.start().as_nanos())
    }

    fn stop(&self) -> u64 {
        0
    }

    fn round_trip(&self) -> Option<Duration> {
        Sighting::round_trip(self)
    }
}

impl Sortable for ClosedView {
    fn cid(&self) -> u64 {
        self.connection.cid.get()
    }

    fn subscriptions(&self) -> usize {
        self.connection.subscriptions
    }

    fn pending(&self) -> usize {
        self.connection.pending
    }

    fn sent(&self) -> (u64, u64) {
        (self.connection.out_msgs, self.connection.out_bytes)
    }

    fn received(&self) -> (u64, u64) {
        (self.connection.in_msgs, self.connection.in_bytes)
    }

    fn active(&self) -> Now {
        self.connection.active
    }

    fn lived(&self, _: u64) -> u64 {
        self.stop.as_nanos().saturating_sub(self.connection.start.as_nanos())
    }

    fn stop(&self) -> u64 {
        self.stop.as_nanos()
    }

    fn round_trip(&self) -> Option<Duration> {
        self.connection.round_trip
    }
}

/// The options of one request.
#[derive(Clone, Debug)]
struct Wish {
    sort: Sort,
    auth: bool,
    subscriptions: Subscriptions,
    offset: usize,
    limit: usize,
    cid: u64,
    state: State,
    user: String,
    account: String,
    /// Those with a subscription that this may match; empty for all.
    filter: String,
    mqtt: bool,
}

impl Wish {
    fn parse(query: &Query) -> Result<Self, Refusal> {
        let auth = query.switch("auth")?;
        let subscriptions = query.subscriptions()?;
        let (offset, limit) = page(query)?;
        let cid = query.unsigned("cid")?;
        let state = State::parse(query.text("state"))?;
        let sort = Sort::parse(query.text("sort"))?;
        for (only_closed, name) in [(Sort::Stop, "stop"), (Sort::Reason, "reason")] {
            if sort == only_closed && state != State::Closed {
                let why = format!("sort by {name} only valid on closed connections");
                return Err(Refusal::Bad(why));
            }
        }
        let filter = Some(query.text("filter-subject")).filter(|filter| *filter != ">");
        let filter = filter.unwrap_or_default().to_owned();
        if !filter.is_empty() && query.text("acc").is_empty() {
            let why = "filter by subject only valid with account filtering";
            return Err(Refusal::Bad(why.to_owned()));
        }
        Ok(Self {
            sort,
            auth,
            subscriptions,
            offset,
            limit: if cid > 0 { 1 } else { limit },
            cid,
            state,
            user: query.text("user").to_owned(),
            account: query.text("acc").to_owned(),
            filter,
            mqtt: !query.text("mqtt_client").is_empty(),
        })
    }

    /// Whether a connection of the wanted account is shown. A number overrides all else.
    fn shows<'a>(&self, cid: u64, user: impl FnOnce() -> Option<&'a str>) -> bool {
        if self.cid > 0 {
            return cid == self.cid;
        }
        !self.mqtt && (self.user.is_empty() || user() == Some(&self.user))
    }

    fn in_account(&self, account: &str) -> bool {
        self.account.is_empty() || account == self.account
    }
}

/// An open or an ended connection, and what sorts it.
type Sorted = ((u64, u64), Entry);

enum Entry {
    Open(usize, ConnId),
    Closed(Box<ClosedView>),
}

pub(super) fn connz(endpoints: &Endpoints, query: &Query) -> Result<Connz, Refusal> {
    let wish = Wish::parse(query)?;
    let mut connz = Connz {
        server_id: endpoints.id(),
        now: Timestamp::now(),
        num_connections: 0,
        total: 0,
        offset: wish.offset,
        limit: wish.limit,
        connections: Some(Vec::new()),
    };
    let mut accounts = endpoints.facts().accounts.clone().into_iter();
    if !wish.account.is_empty() && accounts.all(|account| *account.name != *wish.account) {
        // The reference stops before it has filled in more.
        return Ok(Connz { server_id: String::new(), connections: None, ..connz });
    }
    let mut found: Vec<Sorted> = Vec::new();
    if wish.state != State::Closed {
        connz.total += open(endpoints, &wish, &mut found)?;
        if !wish.filter.is_empty() {
            let holders = holders(endpoints, &wish.filter)?;
            let holds = |entry: &Entry| match entry {
                Entry::Open(shard, conn) => holders.contains(&(*shard, *conn)),
                Entry::Closed(_) => true,
            };
            found.retain(|(_, entry)| holds(entry));
        }
    }
    if wish.state != State::Open {
        let had_open = !found.is_empty();
        connz.total += closed(endpoints, &wish, &mut found)?;
        if wish.cid > 0 && had_open {
            found.truncate(1);
        }
    }
    if wish.sort == Sort::Reason {
        found.sort_by_cached_key(|(key, entry)| (reason(entry), *key));
    } else {
        found.sort_unstable_by_key(|(key, _)| *key);
    }
    let shown: Vec<Entry> =
        found.into_iter().map(|(_, entry)| entry).skip(wish.offset).take(wish.limit).collect();
    let connections = describe(endpoints, &wish, shown)?;
    connz.num_connections = connections.len();
    connz.connections = Some(connections);
    Ok(connz)
}

fn reason(entry: &Entry) -> String {
    match entry {
        Entry::Open(..) => String::new(),
        Entry::Closed(closed) => closed.reason.to_string(),
    }
}

/// Adds the open connections that are wanted. Returns how many there are in the wanted account.
fn open(endpoints: &Endpoints, wish: &Wish, found: &mut Vec<Sorted>) -> Result<usize, Refusal> {
    let wish = wish.clone();
    // One moment for all, or those looked at later would seem to be older.
    let now = endpoints.inspector.now().as_nanos();
    let slices = endpoints.inspector.gather(move |sight, from| {
        let mut in_account = 0;
        let mut keys = Vec::new();
        for seen in sight.shard.sightings(from..from.saturating_add(PLACES)) {
            if !wish.in_account(seen.account()) {
                continue;
            }
            in_account += 1;
            if wish.shows(seen.cid().get(), || seen.user()) {
                keys.push((wish.sort.key(&seen, now), seen.conn()));
            }
        }
        let next = from.saturating_add(PLACES);
        ((in_account, keys), (next < sight.shard.places()).then_some(next))
    });
    let mut total = 0;
    for (shard, slices) in all(slices)?.into_iter().enumerate() {
        for (in_account, keys) in slices {
            total += in_account;
            found.extend(keys.into_iter().map(|(key, conn)| (key, Entry::Open(shard, conn))));
        }
    }
    Ok(total)
}

/// The same with connections that have ended.
fn closed(endpoints: &Endpoints, wish: &Wish, found: &mut Vec<Sorted>) -> Result<usize, Refusal> {
    let wanted = wish.clone();
    let slices = endpoints.inspector.gather(move |sight, from| {
        let (part, next) = sight.shard.history().part(from, COPIES);
        let mut in_account = 0;
        let mut views = Vec::new();
        for closed in part.filter(|closed| wanted.in_account(&closed.connection.account)) {
            in_account += 1;
            let connection = &closed.connection;
            if wanted.shows(connection.cid.get(), || connection.user.as_deref()) {
                views.push(Box::new(closed.clone()));
            }
        }
        ((in_account, views), next)
    });
    let mut total = 0;
    for (in_account, views) in all(slices)?.into_iter().flatten() {
        total += in_account;
        let entry = |view: Box<ClosedView>| (wish.sort.key(&*view, 0), Entry::Closed(view));
        found.extend(views.into_iter().map(entry));
    }
    Ok(total)
}

/// Fills in what is shown of the connections of a page. One that has ended meanwhile is left out.
fn describe(
    endpoints: &Endpoints,
    wish: &Wish,
    shown: Vec<Entry>,
) -> Result<Vec<ConnInfo>, Refusal> {
    let mut wanted = vec![Vec::new(); endpoints.inspector.shards()];
    for entry in &shown {
        if let Entry::Open(shard, conn) = entry
            && let Some(list) = wanted.get_mut(*shard)
        {
            list.push(*conn);
        }
    }
    let wanted = Arc::new(wanted);
    let views = copies(endpoints, Arc::clone(&wanted))?;
    let some_subscribe = views.values().any(|view| view.subscriptions > 0);
    let mut subscriptions = if wish.subscriptions == Subscriptions::No || !some_subscribe {
        HashMap::new()
    } else {
        subscriptions_of(endpoints, &wanted)?
    };
    let now = endpoints.inspector.now();
    let describe = |entry: Entry| match entry {
        Entry::Open(shard, conn) => {
            let view = views.get(&(shard, conn))?;
            let held = subscriptions.remove(&(shard, conn)).unwrap_or_default();
            Some(info(endpoints, wish, view, now, &held))
        }
        Entry::Closed(closed) => {
            let ClosedView { connection, stop, reason, subscriptions } = *closed;
            let mut info = info(endpoints, wish, &connection, stop, &subscriptions);
            info.stop = Some(endpoints.wall.at(stop));
            info.reason = reason.to_string();
            // The reference names the account here, and not with open connections.
            for detail in &mut info.subscriptions_list_detail {
                detail.in_account(&connection.account);
            }
            Some(info)
        }
    };
    Ok(shown.into_iter().filter_map(describe).collect())
}

/// A connection of the process.
type Place = (usize, ConnId);

fn copies(
    endpoints: &Endpoints,
    wanted: Arc<Vec<Vec<ConnId>>>,
) -> Result<HashMap<Place, ConnectionView>, Refusal> {
    let slices = endpoints.inspector.gather(move |sight, from| {
        let list = wanted.get(sight.me.index()).map_or(&[][..], Vec::as_slice);
        let part = list.iter().skip(from).take(COPIES);
        let seen = part.filter_map(|conn| Some(sight.shard.sighting(*conn)?.keep()));
        let next = from + COPIES;
        (seen.collect::<Vec<_>>(), (next < list.len()).then_some(next))
    });
    let mut views = HashMap::new();
    for (shard, slices) in all(slices)?.into_iter().enumerate() {
        views.extend(slices.into_iter().flatten().map(|view| ((shard, view.conn), view)));
    }
    Ok(views)
}

/// The subscriptions of some connections, found by passing over all there are: a connection's own
/// table cannot be read in parts.
fn subscriptions_of(
    endpoints: &Endpoints,
    wanted: &[Vec<ConnId>],
) -> Result<HashMap<Place, Vec<SubscriptionView>>, Refusal> {
    let by_slot: Vec<Vec<Option<ConnId>>> = wanted
        .iter()
        .map(|list| {
            let most = list.iter().map(|conn| conn.slot() as usize + 1).max().unwrap_or(0);
            let mut slots = vec![None; most];
            for conn in list {
                if let Some(slot) = slots.get_mut(conn.slot() as usize) {
                    *slot = Some(*conn);
                }
            }
            slots
        })
        .collect();
    let by_slot = Arc::new(by_slot);
    let slices = endpoints.inspector.gather(move |sight, from| {
        let Some(slots) = by_slot.get(sight.me.index()).filter(|slots| !slots.is_empty()) else {
            return (Vec::new(), None);
        };
        let table = &sight.shard.exchange().subscriptions;
        let held = table.in_slots(from..from.saturating_add(SLOTS));
        let held = held.filter(|s| slots.get(s.conn.slot() as usize) == Some(&Some(s.conn)));
        (held.map(SubscriptionView::from).collect::<Vec<_>>(), next_slots(sight, from))
    });
    let mut by_connection: HashMap<Place, Vec<SubscriptionView>> = HashMap::new();
    for (shard, slices) in all(slices)?.into_iter().enumerate() {
        for view in slices.into_iter().flatten() {
            by_connection.entry((shard, view.conn)).or_default().push(view);
        }
    }
    Ok(by_connection)
}

/// A connection at the moment `at`, the last one it had or this one.
fn info(
    endpoints: &Endpoints,
    wish: &Wish,
    view: &ConnectionView,
    at: Now,
    held: &[SubscriptionView],
) -> ConnInfo {
    let ip = view.address.ip().to_canonical().to_string();
    let listed = wish.subscriptions;
    let patterns = held.iter().filter(|_| listed == Subscriptions::Patterns);
    let details = held.iter().filter(|_| listed == Subscriptions::Details);
    let secured = view.secured.as_deref();
    let certificates =
        secured.filter(|_| wish.auth).into_iter().flat_map(|facts| &facts.certificates);
    ConnInfo {
        cid: view.cid.get(),
        kind: "Client",
        client_type: "nats",
        ip,
        port: view.address.port(),
        start: endpoints.wall.at(view.start),
        last_activity: endpoints.wall.at(view.active),
        stop: None,
        reason: String::new(),
        rtt: round_trip(view.round_trip.unwrap_or_default()),
        uptime: uptime(at.since(view.start)),
        idle: uptime(at.since(view.active)),
        pending_bytes: view.pending,
        in_msgs: view.in_msgs,
        out_msgs: view.out_msgs,
        in_bytes: view.in_bytes,
        out_bytes: view.out_bytes,
        stalls: view.stalls,
        subscriptions: view.subscriptions,
        name: view.name.clone(),
        lang: view.lang.clone(),
        version: view.version.clone(),
        tls_version: secured.map_or("", |facts| facts.version),
        tls_cipher_suite: secured.map_or("", |facts| &facts.cipher).into(),
        tls_peer_certs: certificates.map(|der| PeerCert::of(der)).collect(),
        tls_first: secured.is_some_and(|facts| facts.first),
        authorized_user: view.user.clone().filter(|_| wish.auth),
        account: (wish.auth && *view.account != *GLOBAL).then(|| view.account.to_string()),
        subscriptions_list: patterns
            .map(|view| String::from_utf8_lossy(&view.pattern).into_owned())
            .collect(),
        subscriptions_list_detail: details.map(|held| SubDetail::new(held, view.cid)).collect(),
        name_tag: wish.auth.then(|| view.account.to_string()),
        proxy: view.proxy.clone().map(|key| Proxy { key }),
    }
}
