//! Everything one core owns. Pure: no socket, no file, no clock, no thread.
//!
//! The methods come in three groups: `on_*` when something happened, with the time it happened;
//! `take_*` for what the driver must do next; the rest are getters. One turn of a driver:
//!
//! 1. collect input: bytes from sockets, whatever it was told;
//! 2. [`Shard::on_mesh`]: takes the batches other shards sent, then every change of interest they
//!    told before; only then are bytes and batches looked into. This order, and step 4, are what
//!    makes a subscription visible everywhere before anybody can know that it exists;
//! 3. `on_bytes` and the other `on_*`, [`Shard::on_batches`], [`Shard::on_time`];
//! 4. [`Shard::commit`]: shows the other shards what this one did, interest first;
//! 5. writes to sockets: [`Shard::take_dirty`], [`Shard::output`]; then commands.

use std::collections::VecDeque;
use std::sync::Arc;

mod carried;
mod ending;
mod internal;
mod judging;
mod options;
mod proxied;
mod writing;

pub use internal::{Treated, Treatment};

use crate::clock::Now;
use crate::delivery::arrival::Answer;
use crate::delivery::{Memo, Traffic};
use crate::error::CloseReason;
use crate::event::{Event, What};
use crate::ids::{ConnId, ShardId};
use crate::interest::Delta;
use crate::mesh::{Batch, Endpoint};
use crate::options::Options;
use crate::outbox::Outbox;
use crate::session::{ClientSession, Flow, Halt, Peer};
use crate::transport::carrier::Carrier;
use crate::transport::{First, Handshake};

use self::proxied::Preface;
use super::{Command, Exchange, History, Peers, Sighting, Stats, Taken, TimerKind};

/// One shard.
pub struct Shard {
    exchange: Exchange,
    seats: Vec<Seat>,
    free: Vec<u32>,
    /// Sessions that wait for room on a lane, by shard; then those that wait for the control lanes.
    /// Who takes what room there is and wants more goes to the end of the queue.
    waiting: Vec<VecDeque<ConnId>>,
    waiting_control: VecDeque<ConnId>,
    /// Sessions that produced enough for one turn.
    ready: VecDeque<ConnId>,
    /// The last subject from each shard.
    memos: Vec<Memo>,
    /// Batches that wait to be carried out, and how many bytes of the first are done.
    taken: Taken,
    taken_done: usize,
    fired: Vec<(ConnId, TimerKind)>,
    commands: VecDeque<Command>,
    handshakes: VecDeque<(ConnId, Handshake)>,
    connections: usize,
    /// The seat at which [`Self::on_shed`] goes on.
    shed: usize,
    history: History,
    /// Connections of the server itself.
    internal: Vec<ConnId>,
    /// Memory for what is opened and what is sealed.
    scratch: Vec<u8>,
    spare: Vec<u8>,
}

/// A place for a connection, used again and again.
struct Seat {
    generation: u32,
    session: Option<Box<ClientSession>>,
    end: End,
    /// What its bytes go through, if they go through anything.
    carrier: Option<Box<Carrier>>,
    /// What a proxy says first, while it is being read.
    preface: Option<Box<Preface>>,
}

impl Seat {
    /// The connection of a client that is not on its way out.
    fn open_client(&self) -> Option<ConnId> {
        let session = self.session.as_ref().filter(|session| !session.is_internal())?;
        (self.end == End::Open).then(|| session.conn())
    }
}

/// How far a connection is on its way out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// It is not.
    Open,
    /// What is queued is still being written.
    Flushing,
    /// The same, for a peer that will send nothing more: it may still be reading.
    Parting,
    /// Everything was written; the peer has not hung up yet.
    Lingering,
    /// The driver was told to let go of the socket.
    Closing,
}

impl Shard {
    /// A shard with nobody connected. `seed` decides every choice it makes at random.
    #[must_use]
    pub fn new(options: Arc<Options>, endpoint: Endpoint<Delta>, now: Now, seed: u64) -> Self {
        let shards = endpoint.to.len();
        Self {
            exchange: Exchange::new(options, Peers::new(endpoint), now, seed),
            seats: Vec::new(),
            free: Vec::new(),
            waiting: (0..shards).map(|_| VecDeque::new()).collect(),
            waiting_control: VecDeque::new(),
            ready: VecDeque::new(),
            memos: (0..shards).map(|_| Memo::default()).collect(),
            taken: Taken::new(),
            taken_done: 0,
            fired: Vec::new(),
            commands: VecDeque::new(),
            handshakes: VecDeque::new(),
            connections: 0,
            shed: 0,
            history: History::new(shards),
            internal: Vec::new(),
            scratch: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// A client connected.
    pub fn on_open(&mut self, now: Now, peer: Peer) -> ConnId {
        let terms = self.exchange.options.transports.as_ref().map(|transports| transports.terms());
        let conn = match terms {
            Some(terms) => self.open_carried(now, peer, terms),
            None => self.open_plain(now, peer),
        };
        self.expect_proxy(now, conn);
        conn
    }

    fn open_plain(&mut self, now: Now, peer: Peer) -> ConnId {
        self.exchange.stats.opened += 1;
        self.seat_down(|exchange, conn| ClientSession::open(exchange, now, conn, peer))
    }

    fn seat_down(&mut self, open: impl FnOnce(&mut Exchange, ConnId) -> ClientSession) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let (session, end) = (None, End::Open);
            self.seats.push(Seat { generation: 0, session, end, carrier: None, preface: None });
            u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
        });
        let Some(seat) = self.seats.get_mut(slot as usize) else { return ConnId::new(slot, 0) };
        let conn = ConnId::new(slot, seat.generation);
        self.exchange.outlets.open(conn);
        seat.end = End::Open;
        seat.session = Some(Box::new(open(&mut self.exchange, conn)));
        self.connections += 1;
        conn
    }

    /// A client that is one too many: it is told so, and let go.
    pub fn on_open_refused(&mut self, now: Now, peer: Peer) -> ConnId {
        let terms = self.exchange.options.transports.as_ref().map(|transports| transports.terms());
        let conn = match terms {
            // Where INFO waits for a handshake, it is not told without one either.
            Some(terms) if terms.first != First::No => self.open_carried(now, peer, terms),
            _ => self.open_plain(now, peer),
        };
        self.with_session(now, conn, |session, exchange| session.refuse(exchange));
        conn
    }

    /// Bytes arrived from a client.
    pub fn on_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let mut bytes = bytes;
        if self.seats.get(conn.slot() as usize).is_some_and(|seat| seat.preface.is_some()) {
            let Some(rest) = self.read_preface(now, conn, bytes) else { return };
            bytes = rest;
        }
        if self.seats.get(conn.slot() as usize).is_some_and(|seat| seat.carrier.is_some()) {
            return self.on_carried_bytes(now, conn, bytes);
        }
        self.with_session(now, conn, |session, exchange| session.on_bytes(exchange, now, bytes));
    }

    /// The driver let go of the socket, as it was commanded.
    pub fn on_released(&mut self, conn: ConnId) {
        let Some(seat) = self.seats.get_mut(conn.slot() as usize) else { return };
        if seat.generation != conn.generation() || seat.end != End::Closing {
            return;
        }
        seat.generation = seat.generation.wrapping_add(1);
        seat.session = None;
        seat.carrier = None;
        seat.preface = None;
        self.exchange.outlets.release(conn);
        self.free.push(conn.slot());
        self.connections -= 1;
        self.internal.retain(|internal| *internal != conn);
    }

    /// Takes what other shards sent: batches first, then every change of interest told before them.
    pub fn on_mesh(&mut self) {
        self.on_mesh_batches();
        self.on_mesh_deltas();
    }

    /// The first half of [`Self::on_mesh`]. Other shards are at work between the two.
    pub(crate) fn on_mesh_batches(&mut self) {
        self.exchange.peers.catch_up();
        self.exchange.peers.take_batches(&mut self.taken);
    }

    /// The second half of [`Self::on_mesh`].
    pub(crate) fn on_mesh_deltas(&mut self) {
        let Exchange { peers, interest, .. } = &mut self.exchange;
        peers.take_deltas(|from, delta| interest.apply(from, delta));
        self.exchange.last_stalled = None;
    }

    /// Carries out the batches that [`Self::on_mesh`] took, until enough is queued for one turn;
    /// the rest waits for the next.
    pub fn on_batches(&mut self, now: Now) {
        while let Some((from, batch)) = self.taken.pop_front() {
            let left = self.on_batch(now, from, &batch);
            self.settle(now);
            if left > 0 {
                self.taken_done = batch.len() - left;
                self.taken.push_front((from, batch));
                return;
            }
            self.taken_done = 0;
            self.exchange.peers.give_back(from, batch);
            if self.output_is_due() {
                return;
            }
        }
    }

    /// Returns how many bytes of the batch are left.
    fn on_batch(&mut self, now: Now, from: ShardId, batch: &Batch) -> usize {
        self.exchange.outlets.now = now;
        let mut frames = batch.frames(self.taken_done);
        for frame in frames.by_ref() {
            let Some(memo) = self.memos.get_mut(from.index()) else { continue };
            match self.exchange.arrive(now, memo, &frame) {
                Answer::None => {}
                Answer::Behind(conn) => self.with_session(now, conn, |session, _| {
                    session.receivers_behind(now, from);
                    Flow::Next
                }),
            }
            if self.output_is_due() {
                break;
            }
        }
        frames.len()
    }

    /// Time has passed: what is due is done.
    pub fn on_time(&mut self, now: Now) {
        let mut fired = std::mem::take(&mut self.fired);
        self.exchange.timers.advance(now, &mut fired);
        for (conn, kind) in fired.drain(..) {
            self.on_timer(now, conn, kind);
        }
        self.fired = fired;
    }

    fn on_timer(&mut self, now: Now, conn: ConnId, kind: TimerKind) {
        match kind {
            TimerKind::Ping => {
                self.with_session(now, conn, |s, exchange| s.on_ping_timer(exchange, now));
            }
            TimerKind::Authentication => {
                self.with_session(now, conn, |s, exchange| s.on_authentication_timer(exchange));
            }
            TimerKind::Expiry => {
                self.with_session(now, conn, |s, exchange| s.on_expiry_timer(exchange, now));
            }
            TimerKind::Handshake => self.on_handshake_timer(now, conn),
            TimerKind::Proxy => self.on_proxy_timer(now, conn),
            TimerKind::Unstall => self.with_session(now, conn, |session, exchange| {
                if session.halt() == Some(Halt::Stalled) {
                    return session.resume(exchange, now);
                }
                Flow::Next
            }),
            TimerKind::Answers => {
                self.exchange.outlets.now = now;
                self.exchange.expire_answers(now);
                self.settle(now);
            }
            TimerKind::WriteDeadline => self.on_write_deadline(now, conn),
            TimerKind::Close => match self.seat(conn).map(|seat| seat.end) {
                Some(End::Flushing | End::Parting | End::Lingering) => self.let_go(conn),
                Some(End::Open | End::Closing) | None => {}
            },
        }
    }

    /// Lets sessions go on that waited for what may be there now. False if none is left that could
    /// go on at once, and no batch.
    pub fn on_turn(&mut self, now: Now) -> bool {
        for shard in ShardId::all(self.waiting.len()) {
            self.resume_for_lane(now, shard);
        }
        self.resume_for_control(now);
        if let Some(conn) = self.ready.pop_front() {
            self.resume(now, conn);
        }
        !self.ready.is_empty() || !self.taken.is_empty()
    }

    /// Each session that waits for the lane to `shard` goes on, as long as there is room.
    fn resume_for_lane(&mut self, now: Now, shard: ShardId) {
        let queue = |this: &mut Self| this.waiting.get_mut(shard.index())?.pop_front();
        for _ in 0..self.waiting.get(shard.index()).map_or(0, VecDeque::len) {
            if !self.exchange.peers.has_room(shard) {
                return;
            }
            if let Some(conn) = queue(self) {
                self.resume(now, conn);
            }
        }
    }

    /// The same for the control lanes. While anybody waits, the room that comes back is theirs.
    fn resume_for_control(&mut self, now: Now) {
        for _ in 0..self.waiting_control.len() {
            if !self.exchange.peers.can_broadcast() {
                return;
            }
            self.exchange.control_is_kept = false;
            if let Some(conn) = self.waiting_control.pop_front() {
                self.resume(now, conn);
            }
            self.exchange.control_is_kept = !self.waiting_control.is_empty();
        }
    }

    fn resume(&mut self, now: Now, conn: ConnId) {
        self.with_session(now, conn, |session, exchange| session.resume(exchange, now));
    }

    /// Lets a session do something, and does what follows from it.
    fn with_session(
        &mut self,
        now: Now,
        conn: ConnId,
        act: impl FnOnce(&mut ClientSession, &mut Exchange) -> Flow,
    ) {
        if let Some(reason) = self.act(now, conn, act) {
            self.close(now, conn, reason);
        }
        self.settle(now);
    }

    /// Lets a session do something. Returns why it is to be closed, if it is; that and
    /// [`Self::settle`] are left to the caller.
    #[inline]
    fn act(
        &mut self,
        now: Now,
        conn: ConnId,
        act: impl FnOnce(&mut ClientSession, &mut Exchange) -> Flow,
    ) -> Option<CloseReason> {
        let seat = self.seats.get_mut(conn.slot() as usize)?;
        if seat.generation != conn.generation() {
            return None;
        }
        let session = seat.session.as_mut()?;
        self.exchange.outlets.now = now;
        let flow = act(session, &mut self.exchange);
        if let Some(reading) = session.reading_changed() {
            let command = if reading { Command::Resume(conn) } else { Command::Pause(conn) };
            self.commands.push_back(command);
        }
        match flow {
            Flow::Next => {}
            Flow::Retry(halt) => self.wait(conn, halt),
            Flow::Close(reason) => return Some(reason),
        }
        None
    }

    fn wait(&mut self, conn: ConnId, halt: Halt) {
        match halt {
            Halt::Lane(shard) => {
                self.exchange.stats.lane_waits += 1;
                if let Some(waiting) = self.waiting.get_mut(shard.index()) {
                    waiting.push_back(conn);
                }
            }
            Halt::Control => {
                self.waiting_control.push_back(conn);
                self.exchange.control_is_kept = true;
            }
            Halt::Turn => self.ready.push_back(conn),
            Halt::Judges(effort) => self.exchange.trials.waiting.push(effort, conn),
            Halt::Stalled | Halt::Judged => {}
        }
    }

    /// Does what deliveries left behind: subscriptions that had their last message, connections
    /// whose outbox went over its bound.
    fn settle(&mut self, now: Now) {
        while let Some(id) = self.exchange.expired.pop() {
            let Some(holder) = self.exchange.subscriptions.get(id).map(|s| s.conn) else {
                continue;
            };
            let seat = self.seats.get_mut(holder.slot() as usize);
            if let Some(session) = seat.and_then(|seat| seat.session.as_mut()) {
                session.expire(&mut self.exchange, id);
            }
        }
        for (conn, line) in self.exchange.outlets.take_traced() {
            self.report(conn, What::Sent(line));
        }
        while let Some(conn) = self.exchange.outlets.take_overflowed() {
            self.exchange.stats.slow_pending += 1;
            self.report(conn, What::SlowPending(self.exchange.options.limits.pending));
            self.close(now, conn, CloseReason::SlowConsumerPending);
        }
    }

    fn report(&mut self, conn: ConnId, what: What) {
        let seat = self.seats.get(conn.slot() as usize);
        if let Some(session) = seat.and_then(|seat| seat.session.as_ref()) {
            session.report(&mut self.exchange, what);
        }
    }

    fn seat(&self, conn: ConnId) -> Option<&Seat> {
        let seat = self.seats.get(conn.slot() as usize)?;
        (seat.generation == conn.generation() && seat.session.is_some()).then_some(seat)
    }

    /// Shows the other shards what this one did. Adds those that must be woken to `wake`. Only
    /// after this may anything be written to a socket.
    pub fn commit(&mut self, wake: &mut Vec<ShardId>) {
        self.exchange.peers.commit(wake);
    }

    /// The next connection with bytes to write.
    pub fn take_dirty(&mut self) -> Option<ConnId> {
        self.exchange.outlets.take_dirty()
    }

    /// Whether a connection has bytes that were not tried to be written yet.
    #[must_use]
    pub fn any_dirty(&self) -> bool {
        self.exchange.outlets.any_dirty()
    }

    /// All dirty connections were visited.
    pub fn flushed(&mut self) {
        self.exchange.outlets.flushed();
    }

    /// Whether enough is queued that it should be written before more input is processed.
    #[must_use]
    pub fn output_is_due(&self) -> bool {
        self.exchange.outlets.is_due()
    }

    /// What waits for a connection, in bytes of the protocol. What its socket is to be given is
    /// [`Self::output`].
    #[must_use]
    pub fn outbox(&self, conn: ConnId) -> Option<&Outbox> {
        self.exchange.outlets.get(conn).map(|outlet| outlet.outbox())
    }

    /// The next thing to do to a socket.
    pub fn take_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Whether a session waits for no more than its next turn.
    #[must_use]
    pub fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// The next thing that happened.
    pub fn take_event(&mut self) -> Option<Event> {
        self.exchange.events.pop_front()
    }

    /// Whether the shard may sleep: see [`Peers::may_sleep`]. Not while a session could go on:
    /// others may have found room on a lane, and so taken back the wish for it, since that session
    /// found none.
    pub fn may_sleep(&mut self) -> bool {
        !self.any_may_go_on() && self.exchange.peers.may_sleep()
    }

    /// Whether a session that waits for room would find some. If not, the lanes know of the wish.
    fn any_may_go_on(&mut self) -> bool {
        let peers = &mut self.exchange.peers;
        let waiting = ShardId::all(self.waiting.len()).zip(&self.waiting);
        let mut waiting = waiting.filter(|(_, sessions)| !sessions.is_empty());
        waiting.any(|(shard, _)| peers.has_room(shard))
            || (!self.waiting_control.is_empty() && peers.can_broadcast())
    }

    /// The shard has slept.
    pub fn awake(&self) {
        self.exchange.peers.awake();
    }

    /// Whether other shards have sent anything, by a fresh look.
    pub fn any_arrived(&mut self) -> bool {
        self.exchange.peers.any_arrived()
    }

    /// How long until [`Self::on_time`] has something to do.
    #[must_use]
    pub fn next_deadline(&self, now: Now) -> Option<std::time::Duration> {
        self.exchange.timers.next_in(now)
    }

    /// Connections, those on their way out included.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// Places for connections, taken or not: the range of [`Self::sightings`].
    #[must_use]
    pub fn places(&self) -> usize {
        self.seats.len()
    }

    /// The open connections in those places.
    pub fn sightings(&self, places: std::ops::Range<usize>) -> impl Iterator<Item = Sighting<'_>> {
        let end = places.end.min(self.seats.len());
        let seats = self.seats.get(places.start.min(end)..end).unwrap_or_default();
        seats.iter().filter_map(|seat| self.see(seat))
    }

    /// That connection, if it is still open.
    #[must_use]
    pub fn sighting(&self, conn: ConnId) -> Option<Sighting<'_>> {
        self.see(self.seat(conn)?)
    }

    fn see<'a>(&'a self, seat: &'a Seat) -> Option<Sighting<'a>> {
        let session = seat.session.as_deref();
        let session = session.filter(|session| !session.is_closed() && !session.is_internal())?;
        Some(Sighting::new(session, self.exchange.outlets.get(session.conn())))
    }

    /// The latest connections that ended.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What all connections are sent.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.exchange.outlets.traffic()
    }

    /// Why sessions that process no input for now do not.
    pub fn halts(&self) -> impl Iterator<Item = Halt> {
        self.seats.iter().filter_map(|seat| seat.session.as_ref()?.halt())
    }

    /// What was counted.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.exchange.stats
    }

    /// What all connections have between them, to look at.
    #[must_use]
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }
}
