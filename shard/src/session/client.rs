//! The life of a client connection, and the loop over what it sends.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ahash::RandomState;
use smallvec::SmallVec;

use crate::account::Imports;
use crate::clock::Now;
use crate::delivery::{Crossings, Memo, Reach};
use crate::engine::Exchange;
use crate::error::{CloseReason, Violation};
use crate::event::{ClientLabel, Event, What};
use crate::ids::{AccountId, ClientId, ConnId, ShardId, SubId};
use crate::limits::{STALL_PAUSE, STALL_REPORT, UNJUDGED_BYTES};
use crate::options::{Effort, Grant, Nonce};
use crate::subject::mapping::{Mapped, Mappings};
use crate::transport::{Facts, First};
use crate::wire::client::{ClientOp, ParseLimits, Parsed, parse};
use crate::wire::connect::ConnectOptions;
use crate::wire::encode;
use crate::wire::info::check_foreign;

use super::allowance::Allowed;
use super::ask::Asking;
use super::carry::{Carry, STASH_BYTES};
use super::judgement::Judgement;
use super::keepalive::Keepalive;

/// A subscription's name as its client gave it.
pub(super) type Sid = SmallVec<[u8; 16]>;

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Its number in this process.
    pub client: ClientId,
    /// Its address.
    pub address: SocketAddr,
}

/// What a session does after an operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Flow {
    /// The next operation.
    Next,
    /// The same operation again, when the halt is over.
    Retry(Halt),
    /// Nothing more.
    Close(CloseReason),
}

/// Why a session processes no input for now. Never because of one slow receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Halt {
    /// The message lane to that shard is full.
    Lane(ShardId),
    /// A control lane is full, so that a change of interest could not be told.
    Control,
    /// Everybody who got its last messages has fallen behind.
    Stalled,
    /// It has produced enough output for one turn.
    Turn,
    /// Whether it may connect is being found out.
    Judged,
    /// The same, once that can begin: others are at it.
    Judges(Effort),
}

/// How far the session has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// INFO was sent.
    Greeted,
    /// CONNECT was accepted.
    Connected,
    /// Whatever still arrives is thrown away.
    Closed,
}

/// One client connection.
pub struct ClientSession {
    pub(super) conn: ConnId,
    pub(super) peer: Peer,
    pub(super) phase: Phase,
    pub(super) connect: Box<ConnectOptions>,
    pub(super) grant: Grant,
    pub(super) parse_limits: ParseLimits,
    /// Its proxy has not said yet for whom it speaks.
    pub(super) awaits_proxy: bool,
    pub(super) allowed: Allowed,
    pub(super) subscriptions: HashMap<Sid, SubId, RandomState>,
    pub(super) memo: Memo,
    /// What its account makes of the subjects it publishes to, if anything, and of the last one.
    pub(super) mappings: Option<Arc<Mappings>>,
    pub(super) mapped: Mapped,
    /// The rules of its client allow publishing to the subject that `memo` remembers.
    pub(super) memo_allowed: bool,
    /// What its account takes from others, if anything, and where its last subject led.
    pub(super) imports: Option<Arc<Imports>>,
    pub(super) crossings: Crossings,
    /// What was told of it to other shards in this turn, in bytes.
    pub(super) described: usize,
    pub(super) keepalive: Keepalive,
    pub(super) label: Arc<ClientLabel>,
    pub(super) in_msgs: u64,
    pub(super) in_bytes: u64,
    /// When it was accepted, and when it last published, subscribed or connected.
    pub(super) start: Now,
    pub(super) active: Now,
    /// From INFO to CONNECT.
    pub(super) connected_in: Option<std::time::Duration>,
    /// Subscriptions that began or ended, to tell whether any did.
    pub(super) changes: u64,
    stalls: u64,
    pub(super) reach: Reach,
    /// Shards where all its receivers have fallen behind, and when the first of them said so.
    pub(super) behind: SmallVec<[ShardId; 2]>,
    behind_since: Now,
    carry: Carry,
    pub(super) halt: Option<Halt>,
    /// The client hung up while input of its waited.
    leaving: Option<CloseReason>,
    reading: bool,
    pub(super) asking: Asking,
    /// What it was given to sign.
    pub(super) nonce: Option<Nonce>,
    pub(super) judgement: Judgement,
    /// When its time is over.
    pub(super) expires: Option<Now>,
    /// The server itself speaks.
    pub(super) internal: bool,
    /// Its client may speak, and its clocks run.
    pub(super) begun: bool,
    /// What its transport established, if it has one.
    pub(super) secured: Option<Arc<Facts>>,
}

impl ClientSession {
    /// A connection that was just accepted; INFO is queued for it.
    pub fn open(exchange: &mut Exchange, now: Now, conn: ConnId, peer: Peer) -> Self {
        let mut session = Self::new(exchange, now, conn, peer);
        session.take_allowance(exchange);
        session.report(exchange, What::Opened);
        session.greet(exchange, false);
        if !session.awaits_proxy {
            session.begin(exchange, now);
        }
        session
    }

    /// The same where a handshake comes first, or after INFO: what it is to do itself, it begins
    /// with afterwards.
    pub fn open_carried(
        exchange: &mut Exchange,
        now: Now,
        conn: ConnId,
        peer: Peer,
        first: First,
    ) -> Self {
        let mut session = Self::new(exchange, now, conn, peer);
        session.take_allowance(exchange);
        session.report(exchange, What::Opened);
        if first == First::No {
            session.greet(exchange, false);
        }
        session
    }

    pub(super) fn new(exchange: &mut Exchange, now: Now, conn: ConnId, peer: Peer) -> Self {
        let label = ClientLabel { id: peer.client, peer: peer.address, details: String::new() };
        let limits = &exchange.options.limits;
        let parse_limits = ParseLimits {
            control_line: limits.control_line,
            payload: limits.payload,
            headers: false,
        };
        exchange.set_account(conn, AccountId::GLOBAL);
        Self {
            conn,
            peer,
            phase: Phase::Greeted,
            connect: Box::default(),
            grant: Grant::default(),
            parse_limits,
            awaits_proxy: exchange.options.limits.proxied.is_some(),
            allowed: Allowed::default(),
            subscriptions: HashMap::with_hasher(exchange.hasher.clone()),
            memo: Memo::default(),
            mappings: exchange.options.accounts.mappings(AccountId::GLOBAL).cloned(),
            mapped: Mapped::default(),
            memo_allowed: false,
            imports: exchange.options.accounts.imports(AccountId::GLOBAL).cloned(),
            crossings: Crossings::default(),
            described: 0,
            keepalive: Keepalive::new(now),
            label: Arc::new(label),
            in_msgs: 0,
            in_bytes: 0,
            start: now,
            active: now,
            connected_in: None,
            changes: 0,
            stalls: 0,
            reach: Reach::default(),
            behind: SmallVec::new(),
            behind_since: now,
            carry: Carry::default(),
            halt: None,
            leaving: None,
            reading: true,
            asking: Asking::default(),
            nonce: None,
            judgement: Judgement::default(),
            expires: None,
            internal: false,
            begun: false,
            secured: None,
        }
    }

    /// Bytes arrived. What cannot be processed now is kept.
    pub fn on_bytes(&mut self, exchange: &mut Exchange, now: Now, bytes: &[u8]) -> Flow {
        if self.phase == Phase::Closed {
            return Flow::Next;
        }
        if self.halt.is_some() {
            self.carry.stash(bytes);
            return Flow::Next;
        }
        let mut rest = bytes;
        while !self.carry.is_empty() {
            if rest.is_empty() {
                return Flow::Next;
            }
            let taken = self.carry.top_up(rest);
            rest = rest.get(taken..).unwrap_or_default();
            if self.carry.is_ripe() {
                match self.run_carry(exchange, now) {
                    Flow::Next => {}
                    flow => {
                        self.carry.stash(rest);
                        return flow;
                    }
                }
            }
        }
        let (consumed, need, flow) = self.run(exchange, now, rest);
        if !matches!(flow, Flow::Close(_)) && consumed < rest.len() {
            self.carry.stash(rest.get(consumed..).unwrap_or_default());
            self.carry.expect(need);
        }
        flow
    }

    /// Goes on with what was kept.
    pub fn resume(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        self.halt = None;
        if self.phase == Phase::Closed {
            return Flow::Next;
        }
        match self.go_on_judging(exchange, now) {
            Flow::Next => {}
            flow => return flow,
        }
        let flow = if self.carry.is_empty() { Flow::Next } else { self.run_carry(exchange, now) };
        match (flow, self.leaving) {
            (Flow::Next, Some(reason)) => Flow::Close(reason),
            (flow, _) => flow,
        }
    }

    /// The client hung up, or its socket failed. What it sent before that and what waits here is
    /// carried out first: a publisher may leave at once after its last message.
    pub fn hang_up(&mut self, exchange: &mut Exchange, reason: CloseReason) -> Flow {
        if self.halt.is_none() || self.carry.is_empty() {
            return Flow::Close(reason);
        }
        // One that only stopped sending may still read; the next write shows whether it does.
        if reason != CloseReason::ClientClosed {
            exchange.outlets.shut(self.conn);
            exchange.outlets.discard(self.conn);
        }
        self.leaving.get_or_insert(reason);
        Flow::Next
    }

    fn run_carry(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        let mut carry = self.carry.take();
        let (consumed, need, flow) = self.run(exchange, now, carry.unread());
        carry.consume(consumed);
        carry.expect(need);
        self.carry = carry;
        flow
    }

    /// Carries out the operations at the head of `bytes`. Returns how many bytes are done, how many
    /// the next operation is known to need, and how to go on.
    fn run(&mut self, exchange: &mut Exchange, now: Now, bytes: &[u8]) -> (usize, usize, Flow) {
        let mut done = 0;
        let mut active = false;
        let before = (self.in_msgs, self.changes);
        self.reach = Reach::default();
        self.described = 0;
        if !self.behind.is_empty() && now.since(self.behind_since) > STALL_REPORT {
            self.behind.clear();
        }
        let (need, flow) = loop {
            let stretch = self.stretch(exchange, bytes.get(done..).unwrap_or_default());
            done += stretch;
            active |= stretch > 0;
            if exchange.outlets.is_due() {
                break (0, self.halted(Halt::Turn));
            }
            let rest = bytes.get(done..).unwrap_or_default();
            if rest.is_empty() {
                break (0, Flow::Next);
            }
            if let Some(flow) = self.enter_without_connect(exchange, now, rest) {
                break (0, flow);
            }
            // By reference: moving what was parsed costs more than looking at it.
            match &parse(rest, &self.parse_limits) {
                Parsed::Op { op, len } => {
                    active = true;
                    match self.on_op(exchange, now, op) {
                        Flow::Next => done += len,
                        flow => break (0, flow),
                    }
                }
                Parsed::More { need } => break (*need, Flow::Next),
                Parsed::Fault(violation) => {
                    break (0, self.fault(exchange, rest, violation.clone()));
                }
            }
            if exchange.outlets.is_due() {
                break (0, self.halted(Halt::Turn));
            }
        };
        self.crossings.rest();
        if active {
            self.keepalive.heard(now);
            if before != (self.in_msgs, self.changes) {
                self.active = now;
            }
        }
        let behind = self.reach.behind && !self.reach.keeping_up;
        if flow == Flow::Next && behind && exchange.options.limits.stalls {
            return (done, need, self.stall(exchange, now));
        }
        if let Flow::Retry(halt) = flow {
            self.halt = Some(halt);
        }
        (done, need, flow)
    }

    fn halted(&mut self, halt: Halt) -> Flow {
        self.halt = Some(halt);
        Flow::Retry(halt)
    }

    /// Another shard says that everybody there who got this publisher's messages has fallen behind.
    /// It holds for a while, then that shard has to say it again.
    pub fn receivers_behind(&mut self, now: Now, shard: ShardId) {
        if self.behind.is_empty() {
            self.behind_since = now;
        }
        if !self.behind.contains(&shard) {
            self.behind.push(shard);
        }
    }

    /// Everybody reached has fallen behind: wait a moment for them, and only for a moment.
    fn stall(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        let at = now.after(STALL_PAUSE);
        exchange.timers.arm(at, self.conn, crate::engine::TimerKind::Unstall);
        exchange.stats.stalls += 1;
        self.stalls += 1;
        self.halted(Halt::Stalled)
    }

    fn on_op(&mut self, exchange: &mut Exchange, now: Now, op: &ClientOp<'_>) -> Flow {
        if exchange.options.trace && !self.judgement.is_repeated() {
            self.trace_in(exchange, op);
        }
        match op {
            ClientOp::Publish(publish) => return self.publish(exchange, now, publish),
            ClientOp::Subscribe { subject, queue, sid } => {
                return self.subscribe(exchange, subject, *queue, sid);
            }
            ClientOp::Unsubscribe { sid, max } => return self.unsubscribe(exchange, sid, *max),
            ClientOp::Ping => self.on_ping(exchange),
            ClientOp::Pong => self.keepalive.pong(now),
            ClientOp::Connect(json) => return self.on_connect(exchange, now, json),
            ClientOp::Err(text) => {
                let text = String::from_utf8_lossy(text).into_owned();
                self.report(exchange, What::SentError(text));
                return Flow::Close(CloseReason::ParseError);
            }
            ClientOp::Info(json) => {
                if let Err(malformed) = check_foreign(json) {
                    return self.violated(exchange, malformed.into());
                }
            }
            ClientOp::Ok => {}
        }
        Flow::Next
    }

    /// Tells the client what it did wrong, and whoever watches.
    pub(super) fn violated(&mut self, exchange: &mut Exchange, violation: Violation) -> Flow {
        if let Some(text) = violation.text() {
            let mut line = Vec::with_capacity(text.len() + 16);
            encode::err(&mut line, &text);
            self.tell(exchange, &line);
        }
        let closes = violation.closes();
        self.report(exchange, What::Violated(violation));
        closes.map_or(Flow::Next, Flow::Close)
    }

    /// Queues bytes for this client.
    pub(super) fn tell(&self, exchange: &mut Exchange, bytes: &[u8]) {
        if exchange.options.trace {
            self.trace_out(exchange, bytes);
        }
        exchange.outlets.control(self.conn, bytes);
    }

    /// Reports what happened to this connection.
    pub fn report(&self, exchange: &mut Exchange, what: What) {
        if self.internal {
            return;
        }
        exchange.events.push_back(Event { client: Arc::clone(&self.label), what });
    }

    /// The session is over: its subscriptions are gone, its input is thrown away.
    pub fn close(&mut self, exchange: &mut Exchange, reason: CloseReason) {
        if self.phase == Phase::Closed {
            return;
        }
        self.phase = Phase::Closed;
        self.judgement = Judgement::default();
        self.carry = Carry::default();
        self.halt = None;
        self.memo = Memo::default();
        self.crossings.forget();
        self.drop_subscriptions(exchange);
        self.give_place_back();
        exchange.outlets.shut(self.conn);
        if self.internal {
            return;
        }
        exchange.stats.closed += 1;
        self.report(exchange, What::Closed(reason));
    }

    /// Whether the driver should read from the socket, when that differs from what it was told
    /// last.
    pub fn reading_changed(&mut self) -> Option<bool> {
        let most = if self.phase == Phase::Greeted { UNJUDGED_BYTES } else { STASH_BYTES };
        let reading = self.phase == Phase::Closed || self.halt.is_none() || self.carry.len() < most;
        (reading != std::mem::replace(&mut self.reading, reading)).then_some(reading)
    }

    /// What it keeps of where its requests go, in bytes.
    #[cfg(test)]
    pub(crate) fn crossings_bytes(&self) -> usize {
        self.crossings.bytes()
    }

    /// Why no input is processed for now.
    #[must_use]
    pub fn halt(&self) -> Option<Halt> {
        self.halt
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The user that it was let in as.
    #[must_use]
    pub fn known_as(&self) -> Option<&str> {
        self.grant.user.as_deref()
    }

    /// What its transport established, if it has one.
    #[must_use]
    pub fn secured(&self) -> Option<&Arc<Facts>> {
        self.secured.as_ref()
    }

    /// Whose session it is.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Where it comes from.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Key of the trusted proxy that vouched for it.
    #[must_use]
    pub fn proxy(&self) -> Option<&Arc<str>> {
        self.grant.proxy.as_ref()
    }

    /// When it was accepted.
    #[must_use]
    pub fn start(&self) -> Now {
        self.start
    }

    /// When it last published, subscribed or connected.
    #[must_use]
    pub fn active(&self) -> Now {
        self.active
    }

    /// How long its client took to answer a PING; until it did, how long it took to connect.
    #[must_use]
    pub fn round_trip(&self) -> Option<std::time::Duration> {
        self.keepalive.round_trip().or(self.connected_in)
    }

    /// Messages and payload bytes that it published.
    #[must_use]
    pub fn received(&self) -> (u64, u64) {
        (self.in_msgs, self.in_bytes)
    }

    /// Times it was paused for receivers that had all fallen behind.
    #[must_use]
    pub fn stalls(&self) -> u64 {
        self.stalls
    }

    /// Its subscriptions.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.len()
    }

    /// The same, one by one, in no order.
    pub fn subscription_ids(&self) -> impl Iterator<Item = SubId> {
        self.subscriptions.values().copied()
    }

    /// Its subject space.
    #[must_use]
    pub fn account(&self) -> AccountId {
        self.grant.account
    }

    /// The name of its subject space.
    #[must_use]
    pub fn account_name(&self) -> &Arc<str> {
        &self.grant.account_name
    }

    /// What its client said of itself.
    #[must_use]
    pub fn connect_options(&self) -> &ConnectOptions {
        &self.connect
    }

    /// Forgets a subscription that ended by itself.
    pub fn expire(&mut self, exchange: &mut Exchange, id: SubId) {
        let sid = exchange.subscriptions.get(id).map(|s| Sid::from_slice(s.sid()));
        if let Some(sid) = sid {
            self.subscriptions.remove(&sid);
        }
        exchange.unsubscribe(id);
    }
}
