//! Connections and subscriptions as an operator sees them.
//!
//! A [`Sighting`] borrows: looking at one costs no allocation, so that thousands can be passed over
//! to find the few that are asked for. Only those are copied, with [`Sighting::keep`].

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::delivery::Outlet;
use crate::ids::{AccountId, ClientId, ConnId};
use crate::session::ClientSession;
use crate::transport::Facts;

use super::Subscription;

/// What is shown in place of a token.
const REDACTED: &str = "[REDACTED]";

/// An open connection, looked at where it is.
#[derive(Clone, Copy)]
pub struct Sighting<'a> {
    session: &'a ClientSession,
    outlet: Option<&'a Outlet>,
}

impl<'a> Sighting<'a> {
    pub(crate) fn new(session: &'a ClientSession, outlet: Option<&'a Outlet>) -> Self {
        Self { session, outlet }
    }

    /// What it keeps of where its requests go, in bytes.
    #[cfg(test)]
    pub(crate) fn crossings_bytes(&self) -> usize {
        self.session.crossings_bytes()
    }

    /// Which of the shard's connections it is.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        self.session.conn()
    }

    /// Its number in the process.
    #[must_use]
    pub fn cid(&self) -> ClientId {
        self.session.peer().client
    }

    /// When it was accepted.
    #[must_use]
    pub fn start(&self) -> Now {
        self.session.start()
    }

    /// When it last published, was sent messages, or changed its subscriptions.
    #[must_use]
    pub fn active(&self) -> Now {
        self.outlet.map_or(Now::ZERO, Outlet::active).max(self.session.active())
    }

    /// How long its client takes to answer, as far as that is known.
    #[must_use]
    pub fn round_trip(&self) -> Option<Duration> {
        self.session.round_trip()
    }

    /// Bytes that wait for it.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.outlet.map_or(0, |outlet| outlet.outbox().queued())
    }

    /// Messages and payload bytes that it published.
    #[must_use]
    pub fn received(&self) -> (u64, u64) {
        self.session.received()
    }

    /// Messages and payload bytes that it was sent.
    #[must_use]
    pub fn sent(&self) -> (u64, u64) {
        self.outlet.map_or((0, 0), |outlet| (outlet.out_msgs, outlet.out_bytes))
    }

    /// Its subscriptions.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        self.session.subscription_count()
    }

    /// Its subject space.
    #[must_use]
    pub fn account_id(&self) -> AccountId {
        self.session.account()
    }

    /// The name of its subject space.
    #[must_use]
    pub fn account(&self) -> &'a Arc<str> {
        self.session.account_name()
    }

    /// Who it says it is: public key or user; that there is a token, but not which. Who it is, if
    /// it says nothing and is known by something else.
    #[must_use]
    pub fn user(&self) -> Option<&'a str> {
        let connect = self.session.connect_options();
        [connect.nkey.as_str(), connect.user.as_str()]
            .into_iter()
            .chain((!connect.auth_token.expose().is_empty()).then_some(REDACTED))
            .chain(self.session.known_as())
            .find(|user| !user.is_empty())
    }

    /// What its transport established, if it has one.
    #[must_use]
    pub fn secured(&self) -> Option<&'a Arc<Facts>> {
        self.session.secured()
    }

    /// Key of the trusted proxy that vouched for it.
    #[must_use]
    pub fn proxy(&self) -> Option<&'a Arc<str>> {
        self.session.proxy()
    }

    /// A copy that outlives the moment.
    #[must_use]
    pub fn keep(&self) -> ConnectionView {
        let connect = self.session.connect_options();
        let ((in_msgs, in_bytes), (out_msgs, out_bytes)) = (self.received(), self.sent());
        ConnectionView {
            conn: self.conn(),
            cid: self.cid(),
            address: self.session.peer().address,
            start: self.start(),
            active: self.active(),
            round_trip: self.round_trip(),
            pending: self.pending(),
            in_msgs,
            in_bytes,
            out_msgs,
            out_bytes,
            stalls: self.session.stalls(),
            subscriptions: self.subscriptions(),
            name: connect.name.as_str().into(),
            lang: connect.lang.as_str().into(),
            version: connect.version.as_str().into(),
            user: self.user().map(Into::into),
            account: Arc::clone(self.account()),
            secured: self.secured().cloned(),
            proxy: self.proxy().cloned(),
        }
    }
}

/// What was to be seen of a connection at one moment.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each is the value of the method of that name on Sighting")]
pub struct ConnectionView {
    pub conn: ConnId,
    pub cid: ClientId,
    pub address: SocketAddr,
    pub start: Now,
    pub active: Now,
    pub round_trip: Option<Duration>,
    pub pending: usize,
    pub in_msgs: u64,
    pub in_bytes: u64,
    pub out_msgs: u64,
    pub out_bytes: u64,
    pub stalls: u64,
    pub subscriptions: usize,
    pub name: Box<str>,
    pub lang: Box<str>,
    pub version: Box<str>,
    pub user: Option<Box<str>>,
    pub account: Arc<str>,
    pub secured: Option<Arc<Facts>>,
    pub proxy: Option<Arc<str>>,
}

/// What was to be seen of a subscription at one moment.
#[derive(Clone, Debug)]
pub struct SubscriptionView {
    /// Who holds it.
    pub conn: ConnId,
    /// What its holder calls it.
    pub sid: Box<[u8]>,
    /// What it matches.
    pub pattern: Arc<[u8]>,
    /// Its queue group.
    pub queue: Option<Arc<[u8]>>,
    /// Messages it got.
    pub delivered: u64,
    /// It ends after this many; zero if it does not.
    pub max: u64,
}

impl From<&Subscription> for SubscriptionView {
    fn from(subscription: &Subscription) -> Self {
        Self {
            conn: subscription.conn,
            sid: subscription.sid().into(),
            pattern: Arc::clone(&subscription.pattern),
            queue: subscription.queue.clone(),
            delivered: subscription.delivered,
            max: subscription.max,
        }
    }
}
