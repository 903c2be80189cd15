//! The driver: turns what sockets, clock and other shards do into calls of one pure [`Shard`], and
//! what the shard wants into writes and sleep. One per core; it never waits for anything but all of
//! them at once.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Receiver;
use rustix::io::Errno;
use rustix::net::getpeername;

use crate::clock::Now;
use crate::engine::{Command, Shard};
use crate::error::CloseReason;
use crate::event::EventSink;
use crate::ids::{ConnId, ShardId};
use crate::limits::{GATHER_BYTES, GATHER_BYTES_MAX};
use crate::mesh::ring::Consumer;
use crate::options::{Grant, Refusal, Verdict};

use super::Order;
use super::clock::Clock;
use super::flush::{Written, write};
use super::gather::{Read, read};
use super::inspect::{Look, Sight};
use super::judges::Judges;
use super::listen::Acceptor;
use super::pace::Pace;
use super::placement::{Loads, Newcomer};
use super::pulse::Pulse;
use super::shakers::Shakers;
use super::socket_ring::{Completion, Outcome, SocketRing, Token};
use super::sockets::Sockets;
use super::wake::Waker;

/// Completions taken in one turn. More than one turn's worth is left to the kernel, so that the
/// mesh, the clock and the writes get their share.
const COMPLETIONS_PER_TURN: usize = 256;

/// Written to one socket in one visit before others get theirs, input too.
const VISIT_BYTES: usize = 4 << 20;

/// How a driver goes on after a turn.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// With the next turn.
    Turn,
    /// With the next turn, once there is anything to do.
    Sleep,
}

/// What a driver is made of.
pub(super) struct Parts {
    pub(super) me: ShardId,
    pub(super) shard: Shard,
    pub(super) clock: Clock,
    pub(super) wakers: Arc<[Waker]>,
    pub(super) loads: Arc<Loads>,
    pub(super) newcomers: Consumer<Newcomer>,
    pub(super) orders: Receiver<Order>,
    pub(super) judges: Judges,
    pub(super) shakers: Shakers,
    pub(super) events: Box<dyn EventSink>,
    /// On the accepting shard only.
    pub(super) acceptor: Option<Acceptor>,
    /// How long to look for work before sleeping.
    pub(super) spin: Duration,
    /// Shows that this shard turns.
    pub(super) pulse: Pulse,
}

/// Drives one shard.
pub(super) struct Driver {
    parts: Parts,
    ring: SocketRing,
    sockets: Sockets,
    completions: Vec<Completion>,
    wake: Vec<ShardId>,
    pace: Pace,
    /// Connections that have had their share of a visit and have more.
    unfinished: Vec<ConnId>,
    /// What is read from a socket that was left alone.
    scratch: Box<[u8]>,
    /// When the process wants to be gone, once it does.
    stop: Option<Now>,
}

impl Driver {
    /// A driver for the calling thread.
    pub(super) fn new(parts: Parts) -> std::io::Result<Self> {
        let mut driver = Self {
            ring: SocketRing::new()?,
            parts,
            sockets: Sockets::default(),
            completions: Vec::with_capacity(COMPLETIONS_PER_TURN),
            wake: Vec::new(),
            pace: Pace::default(),
            unfinished: Vec::new(),
            scratch: vec![0; GATHER_BYTES].into(),
            stop: None,
        };
        driver.watch();
        if let Some(acceptor) = &mut driver.parts.acceptor {
            acceptor.begin(&mut driver.ring);
        }
        Ok(driver)
    }

    fn watch(&mut self) {
        if let Some(waker) = self.parts.wakers.get(self.parts.me.index()) {
            self.ring.watch(rustix::fd::AsFd::as_fd(waker));
        }
    }

    /// Runs until the process is told to stop and every connection has ended, or the time for that
    /// is over.
    ///
    /// A shard whose ring fails cannot even tell its peers; they would wait for its lanes for ever.
    /// The process ends then: whoever looks after it starts it again.
    pub(super) fn run(mut self) {
        if let Err(error) = self.rounds() {
            let reason = format!("io_uring for sockets: {error}");
            self.parts.events.shard_failed(self.parts.me, &reason);
            std::process::abort();
        }
    }

    fn rounds(&mut self) -> std::io::Result<()> {
        let mut next = Next::Sleep;
        loop {
            self.pace.stats.enters += 1;
            match next {
                Next::Sleep if !self.ring.has_work() => self.sleep()?,
                Next::Turn | Next::Sleep => self.ring.poll()?,
            }
            next = self.turn();
            if let Some(deadline) = self.stop
                && (self.parts.shard.connections() == 0 || self.parts.clock.now() >= deadline)
            {
                return Ok(());
            }
        }
    }

    /// One round: input, then what follows from it, then output. Returns how to go on.
    fn turn(&mut self) -> Next {
        let now = self.parts.clock.now();
        self.pace.works(now);
        self.sockets.submitted(&mut self.ring);
        self.parts.pulse.beat(now);
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.collect(&mut completions, COMPLETIONS_PER_TURN);
        // Interest that was told before any of this input was sent is known from here on.
        self.parts.shard.on_mesh();
        for completion in completions.drain(..) {
            self.on_completion(now, completion);
        }
        self.completions = completions;
        self.read_rested(now);
        self.parts.shard.on_batches(now);
        self.parts.shard.on_time(now);
        let more = self.parts.shard.on_turn(now);
        self.welcome(now);
        let look = self.obey(now);
        let more = more || self.parts.shard.any_ready();
        if let Some(acceptor) = &mut self.parts.acceptor {
            acceptor.retry(&mut self.ring, now);
        }
        self.flush(now);
        self.command(now);
        self.inquire(now);
        self.sockets.begin_again(&mut self.ring);
        self.report();
        // Last, so that nobody's bytes wait for it.
        if let Some(look) = look {
            self.show(now, look);
        }
        if more || self.parts.shard.any_dirty() { Next::Turn } else { Next::Sleep }
    }

    fn on_completion(&mut self, now: Now, completion: Completion) {
        let Completion { token, outcome, more } = completion;
        match token {
            Token::Receive(token) => self.on_receive(now, token, outcome, more),
            Token::Writable(token) => {
                if let Some(conn) = self.sockets.owner(token) {
                    self.parts.shard.on_writable(conn);
                }
            }
            Token::Accept => self.on_accept(now, outcome, more),
            Token::Wake => {
                if let Some(waker) = self.parts.wakers.get(self.parts.me.index()) {
                    waker.clear();
                }
                if !more {
                    self.watch();
                }
            }
            Token::Ignored => {}
        }
    }

    fn on_receive(&mut self, now: Now, token: ConnId, outcome: Outcome, more: bool) {
        let conn = self.sockets.owner(token);
        let hung_up = match outcome {
            Outcome::Data(piece) => {
                let bytes = self.ring.bytes(piece);
                let len = bytes.len();
                if let Some(conn) = conn {
                    self.parts.shard.on_bytes(now, conn, bytes);
                }
                self.ring.release(piece);
                if more && let Some(conn) = conn {
                    self.sockets.heard(&mut self.ring, now, conn, len);
                }
                if self.parts.shard.output_is_due() {
                    self.flush(now);
                }
                None
            }
            Outcome::Done => Some(CloseReason::ClientClosed),
            Outcome::Failed(Errno::NOBUFS | Errno::CANCELED | Errno::INTR | Errno::AGAIN) => None,
            Outcome::Failed(_) | Outcome::Accepted(_) => Some(CloseReason::ReadError),
        };
        let Some(conn) = conn else { return };
        if let Some(reason) = hung_up {
            self.sockets.ended(conn);
            self.parts.shard.on_hang_up(now, conn, reason);
        } else if !more {
            self.sockets.stopped(conn);
        }
    }

    /// Reads from the sockets that were left alone for a moment.
    fn read_rested(&mut self, now: Now) {
        let mut sum = 0;
        while sum < VISIT_BYTES
            && let Some(conn) = self.sockets.rested(&mut self.ring, now)
        {
            match self.read_all(now, conn) {
                Ok(total) => {
                    sum += total;
                    self.sockets.gathered(now, conn, total);
                }
                Err(reason) => {
                    self.sockets.ended(conn);
                    self.parts.shard.on_hang_up(now, conn, reason);
                }
            }
        }
    }

    /// Reads what one socket has gathered.
    fn read_all(&mut self, now: Now, conn: ConnId) -> Result<usize, CloseReason> {
        let mut total = 0;
        while total < GATHER_BYTES_MAX
            && let Some(fd) = self.sockets.fd(conn)
        {
            let bytes = match read(fd, &mut self.scratch) {
                Read::Some(bytes) => bytes,
                Read::Nothing => break,
                Read::End => return Err(CloseReason::ClientClosed),
                Read::Failed => return Err(CloseReason::ReadError),
            };
            total += bytes.len();
            let full = bytes.len() == GATHER_BYTES;
            // These bytes are younger than what this turn has seen of the mesh, and may have been
            // sent because of a subscription that has been told since.
            self.parts.shard.on_mesh();
            self.parts.shard.on_bytes(now, conn, bytes);
            if self.parts.shard.output_is_due() {
                self.flush(now);
            }
            if !full {
                break;
            }
        }
        Ok(total)
    }

    fn on_accept(&mut self, now: Now, outcome: Outcome, more: bool) {
        let Some(acceptor) = &mut self.parts.acceptor else { return };
        let newcomer = match outcome {
            Outcome::Accepted(fd) => {
                let address = getpeername(&fd).ok().flatten().and_then(|peer| peer.try_into().ok());
                // One that has hung up already has no address, and needs no answer. A listener for
                // both kinds of addresses gives those of the old kind in a form of the new one.
                address.and_then(|address: SocketAddr| {
                    let address = SocketAddr::new(address.ip().to_canonical(), address.port());
                    acceptor.placement.place(fd, address)
                })
            }
            Outcome::Failed(errno) => {
                acceptor.failed(now, errno, self.parts.events.as_mut());
                None
            }
            Outcome::Done | Outcome::Data(_) => None,
        };
        if !more && let Some(acceptor) = &mut self.parts.acceptor {
            acceptor.ended(&mut self.ring, now);
        }
        if let Some(newcomer) = newcomer {
            self.admit(now, newcomer);
        }
    }

    /// Sockets that the accepting shard handed over.
    fn welcome(&mut self, now: Now) {
        while let Some(newcomer) = self.parts.newcomers.pop() {
            self.admit(now, newcomer);
        }
    }

    fn admit(&mut self, now: Now, newcomer: Newcomer) {
        if self.stop.is_some() {
            if !newcomer.refused {
                self.parts.loads.remove(self.parts.me);
            }
            return;
        }
        // A socket that cannot be told to send at once still works.
        let _ = rustix::net::sockopt::set_tcp_nodelay(&newcomer.fd, true);
        let conn = if newcomer.refused {
            self.parts.shard.on_open_refused(now, newcomer.peer)
        } else {
            self.parts.shard.on_open(now, newcomer.peer)
        };
        self.sockets.open(&mut self.ring, conn, newcomer.fd, !newcomer.refused);
    }

    /// A session of the server itself.
    fn admit_internal(&mut self, now: Now, socket: OwnedFd, grant: Grant) {
        if self.stop.is_none() {
            let conn = self.parts.shard.on_open_internal(now, grant);
            self.sockets.open(&mut self.ring, conn, socket, false);
        }
    }

    /// What the process wants. If somebody wants to look, that is left to the caller.
    fn obey(&mut self, now: Now) -> Option<Look> {
        while let Ok(order) = self.parts.orders.try_recv() {
            match order {
                Order::LameDuck => {
                    self.refuse_newcomers();
                    self.parts.shard.on_lame_duck();
                }
                Order::Shed(count) => self.parts.shard.on_shed(now, count),
                Order::Options(options) => {
                    if let Some(acceptor) = &mut self.parts.acceptor {
                        acceptor.placement.allow(options.limits.connections);
                    }
                    self.parts.shard.on_options(now, options);
                }
                Order::Surplus(count) => self.parts.shard.on_surplus(now, count),
                Order::Stop(grace) => {
                    self.refuse_newcomers();
                    self.stop = Some(now.after(grace));
                    self.parts.shard.on_shutdown(now);
                }
                Order::Internal(socket, grant) => self.admit_internal(now, socket, grant),
                Order::Treat(client, treatment, answer) => {
                    // Whoever asked may have stopped waiting.
                    let _ = answer.send(self.parts.shard.on_treat(now, client, treatment));
                }
                Order::Judged(trial, verdict) => self.parts.shard.on_judged(now, trial, verdict),
                Order::Accounts(accounts) => self.parts.shard.on_accounts(now, accounts),
                Order::Review(account) => self.parts.shard.on_review(now, account),
                Order::Shaken(conn, done) => self.parts.shard.on_handshake(now, conn, done),
                // One per turn: those who look wait for each other, not clients for them.
                Order::Look(look) => return Some(look),
            }
        }
        None
    }

    fn show(&self, now: Now, look: Look) {
        let Parts { me, ref shard, .. } = self.parts;
        look(&Sight { me, now, shard, pace: self.pace.stats });
    }

    fn refuse_newcomers(&mut self) {
        if let Some(acceptor) = self.parts.acceptor.take() {
            acceptor.close(&mut self.ring);
        }
    }

    /// Shows the other shards what happened here, then writes what can be written.
    fn flush(&mut self, now: Now) {
        self.parts.shard.commit(&mut self.wake);
        for shard in self.wake.drain(..) {
            self.pace.stats.wakes += 1;
            if let Some(waker) = self.parts.wakers.get(shard.index()) {
                waker.wake();
            }
        }
        while let Some(conn) = self.parts.shard.take_dirty() {
            self.visit(now, conn);
        }
        for conn in self.unfinished.drain(..) {
            self.parts.shard.on_writable(conn);
        }
        self.parts.shard.flushed();
    }

    /// Writes what waits for one connection.
    fn visit(&mut self, now: Now, conn: ConnId) {
        let Some(fd) = self.sockets.fd(conn) else { return };
        let mut total = 0;
        loop {
            let Some(output) = self.parts.shard.output(now, conn) else { return };
            self.pace.stats.writes += 1;
            match write(fd, output) {
                Written::All(count) => {
                    total += count;
                    self.parts.shard.on_written(now, conn, count);
                    if total >= VISIT_BYTES {
                        self.unfinished.push(conn);
                        return;
                    }
                }
                Written::Some(count) => {
                    self.parts.shard.on_written(now, conn, count);
                    self.parts.shard.on_blocked(now, conn);
                    self.ring.writable(fd, conn);
                    return;
                }
                Written::Failed => {
                    self.parts.shard.on_hang_up(now, conn, CloseReason::WriteError);
                    return;
                }
            }
        }
    }

    /// Does what the shard wants done to sockets.
    fn command(&mut self, now: Now) {
        while let Some((conn, step)) = self.parts.shard.take_handshake() {
            if let Some(refused) = self.parts.shakers.shake(self.parts.me, conn, step) {
                self.parts.shard.on_handshake(now, conn, refused);
            }
        }
        while let Some(command) = self.parts.shard.take_command() {
            match command {
                Command::Pause(conn) => self.sockets.pause(&mut self.ring, conn),
                Command::Resume(conn) => self.sockets.resume(&mut self.ring, conn),
                Command::Finish(conn) => self.sockets.finish(conn),
                Command::Close(conn) => {
                    let counted = self.sockets.close(&mut self.ring, conn);
                    self.parts.shard.on_released(conn);
                    if counted {
                        self.parts.loads.remove(self.parts.me);
                    }
                }
            }
        }
    }

    /// Hands on what the shard wants to be found out.
    fn inquire(&mut self, now: Now) {
        while let Some(trial) = self.parts.shard.take_trial() {
            let id = trial.id;
            if !self.parts.judges.find_out(self.parts.me, trial) {
                self.parts.shard.on_judged(now, id, Verdict::Refused(Refusal::Credentials));
            }
        }
    }

    fn report(&mut self) {
        while let Some(event) = self.parts.shard.take_event() {
            self.parts.events.record(event);
        }
    }

    /// Waits for whatever comes first: a completion, another shard, a deadline.
    fn sleep(&mut self) -> std::io::Result<()> {
        let now = self.parts.clock.now();
        self.pace.rests(now);
        if self.spin(now) {
            return self.ring.poll();
        }
        let now = if self.parts.spin.is_zero() { now } else { self.parts.clock.now() };
        let mut timeout = self.parts.shard.next_deadline(now);
        let acceptor = self.parts.acceptor.as_ref().and_then(|acceptor| acceptor.retry_in(now));
        let stop = self.stop.map(|deadline| deadline.since(now));
        let pulse = self.parts.pulse.rest();
        let rest = self.sockets.rest(now);
        for other in [acceptor, stop, pulse, rest].into_iter().flatten() {
            timeout = Some(timeout.map_or(other, |timeout| timeout.min(other)));
        }
        if !self.parts.shard.may_sleep() {
            return self.ring.poll();
        }
        // Whoever hands over a socket or gives an order does so before looking whether we sleep.
        let waited = if self.parts.newcomers.is_empty() && self.parts.orders.is_empty() {
            self.ring.wait(timeout)
        } else {
            self.ring.poll()
        };
        self.parts.shard.awake();
        waited
    }

    /// Looks for work for a while; true if there is some.
    fn spin(&mut self, now: Now) -> bool {
        if self.parts.spin.is_zero() {
            return false;
        }
        let rest = self.sockets.rest(now).unwrap_or(self.parts.spin);
        let end = now.after(self.parts.spin.min(rest));
        loop {
            for _ in 0..32 {
                if self.ring.has_work() || self.parts.shard.any_arrived() {
                    return true;
                }
                std::hint::spin_loop();
            }
            if self.parts.clock.now() >= end {
                return false;
            }
        }
    }
}
