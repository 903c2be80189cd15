//! Connections whose bytes go through a transport, or will: the handshake, and both directions
//! after it. Everything else of a shard sees plain bytes only.

use std::sync::Arc;

use crate::clock::Now;
use crate::error::{CloseReason, Violation};
use crate::event::{Insecure, What};
use crate::ids::ConnId;
use crate::options::Options;
use crate::session::{ClientSession, Peer};
use crate::transport::carrier::{Carrier, HandshakeDone, Stage};
use crate::transport::sniff::{Language, sniff};
use crate::transport::{
    Declined, Facts, Failure, First, Handshake, Opened, Output, Peering, Terms,
};

use super::{Command, End, Shard, TimerKind};

impl Shard {
    /// A client connected that gets a transport, if it begins as if it had one.
    pub(super) fn open_carried(&mut self, now: Now, peer: Peer, terms: Terms) -> ConnId {
        self.exchange.stats.opened += 1;
        let conn = self.seat_down(|exchange, conn| {
            ClientSession::open_carried(exchange, now, conn, peer, terms.first)
        });
        let carrier = Carrier::new(terms, now);
        self.exchange.timers.arm(carrier.deadline, conn, TimerKind::Handshake);
        if let Some(seat) = self.seats.get_mut(conn.slot() as usize) {
            seat.carrier = Some(Box::new(carrier));
        }
        conn
    }

    /// The client that is to begin a handshake can speak only now.
    pub(super) fn await_handshake(&mut self, now: Now, conn: ConnId) {
        let Some(carrier) = self.carrier_mut(conn) else { return };
        // Where INFO waits for a handshake, it waits no longer because of a proxy.
        if carrier.silent && carrier.terms.first != First::Yes {
            return;
        }
        carrier.deadline = now.after(carrier.terms.timeout);
        let deadline = carrier.deadline;
        self.exchange.timers.arm(deadline, conn, TimerKind::Handshake);
    }

    /// The next step of a handshake, to be done and told to [`Self::on_handshake`].
    pub fn take_handshake(&mut self) -> Option<(ConnId, Handshake)> {
        self.handshakes.pop_front()
    }

    fn carrier(&self, conn: ConnId) -> Option<&Carrier> {
        self.seat(conn)?.carrier.as_deref()
    }

    fn carrier_mut(&mut self, conn: ConnId) -> Option<&mut Carrier> {
        let seat = self.seats.get_mut(conn.slot() as usize)?;
        seat.carrier.as_deref_mut().filter(|_| seat.generation == conn.generation())
    }

    /// Takes the carrier out, to be put back: what it brings is for the rest of the shard.
    fn take_carrier(&mut self, conn: ConnId) -> Option<Box<Carrier>> {
        let seat = self.seats.get_mut(conn.slot() as usize)?;
        seat.carrier.take_if(|_| seat.generation == conn.generation())
    }

    /// Puts it back, unless the driver was told to let go of the socket meanwhile.
    fn put_carrier(&mut self, conn: ConnId, carrier: Box<Carrier>) {
        let seat = self.seats.get_mut(conn.slot() as usize);
        if let Some(seat) = seat.filter(|seat| seat.end != End::Closing) {
            seat.carrier = Some(carrier);
        }
    }

    /// The driver is told to let go of the socket: what is sealed is not written any more.
    pub(super) fn forget_carrier(&mut self, conn: ConnId) {
        drop(self.take_carrier(conn));
        if let Some(outlet) = self.exchange.outlets.get_mut(conn) {
            outlet.set_sealed(false);
        }
    }

    /// Bytes arrived from a client that has a carrier.
    pub(super) fn on_carried_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let Some(seat) = self.seat(conn) else { return };
        if seat.end != End::Open {
            // Whatever still arrives is thrown away.
            return;
        }
        let Some(carrier) = self.carrier_mut(conn) else { return };
        match &carrier.stage {
            Stage::Waiting => self.on_first_bytes(now, conn, bytes),
            Stage::Shaking(_) | Stage::Away(_) => {
                carrier.keep(bytes);
                self.shake(now, conn);
            }
            Stage::Open(_) => self.open_bytes(now, conn, bytes),
            Stage::Failed => {}
        }
    }

    /// The client begins: with a handshake or without.
    fn on_first_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let Some(language) = sniff(bytes) else { return };
        let Some(carrier) = self.carrier(conn) else { return };
        let (terms, silent) = (carrier.terms, carrier.silent);
        if language == Language::Plain {
            if !terms.optional || silent {
                return self.not_secured(now, conn, Insecure::Plain, Some(Violation::TlsRequired));
            }
            self.go_plain(now, conn);
            return self.on_bytes(now, conn, bytes);
        }
        let Some(transports) = self.exchange.options.transports.clone() else {
            // Not offered any more, since it connected.
            return self.not_secured(now, conn, Insecure::NotBegun, None);
        };
        let transport = match transports.accept(now) {
            Ok(transport) => transport,
            Err(Declined::Throttled) => {
                let said = Some(Violation::Throttled);
                return self.not_secured(now, conn, Insecure::Throttled, said);
            }
            Err(Declined::Failed(why)) => {
                return self.not_secured(now, conn, Insecure::Failed(why), None);
            }
        };
        let clear = self.outbox(conn).map_or(0, crate::outbox::Outbox::queued);
        let Some(carrier) = self.carrier_mut(conn) else { return };
        carrier.begin(&transports, transport, clear);
        carrier.keep(bytes);
        // Whoever may take his time before he begins gets some for the handshake itself.
        if terms.optional || terms.first != First::No {
            carrier.deadline = now.after(terms.timeout);
            self.exchange.timers.arm(now.after(terms.timeout), conn, TimerKind::Handshake);
        }
        self.shake(now, conn);
    }

    /// The client does without a transport.
    fn go_plain(&mut self, now: Now, conn: ConnId) {
        drop(self.take_carrier(conn));
        let Some(seat) = self.seats.get_mut(conn.slot() as usize) else { return };
        if let Some(session) = &mut seat.session {
            session.begin(&mut self.exchange, now);
        }
    }

    /// Goes on with a handshake, if enough has come.
    fn shake(&mut self, now: Now, conn: ConnId) {
        let Some(carrier) = self.carrier_mut(conn) else { return };
        if let Some(step) = carrier.next_step(now) {
            self.handshakes.push_back((conn, step));
        } else if carrier.has_too_much() {
            if matches!(carrier.stage, Stage::Away(_)) {
                // It may be what follows the handshake.
                if !std::mem::replace(&mut carrier.paused, true) {
                    self.commands.push_back(Command::Pause(conn));
                }
            } else {
                let why = "tls: handshake message too long".to_owned();
                self.not_secured(now, conn, Insecure::Failed(why), None);
            }
        }
    }

    /// A step of a handshake was done.
    pub fn on_handshake(&mut self, now: Now, conn: ConnId, done: HandshakeDone) {
        if self.seat(conn).is_none_or(|seat| seat.end != End::Open) {
            return;
        }
        let Some(carrier) = self.carrier_mut(conn) else { return };
        let hung_up = carrier.hung_up;
        let HandshakeDone { transport, input, output, outcome } = done;
        carrier.came_back(input, &output);
        let (resumes, is_clear) = (std::mem::take(&mut carrier.paused), carrier.is_clear());
        let stage = match outcome {
            Ok(None) => Stage::Shaking(transport),
            Ok(Some(_)) if !is_clear => Stage::Open(transport),
            Ok(Some(_)) | Err(_) => Stage::Failed,
        };
        carrier.stage = stage;
        self.sealed(conn);
        if resumes {
            // One that failed is read from too, so that it is seen when its client leaves.
            self.commands.push_back(Command::Resume(conn));
        }
        match outcome {
            Ok(None) => self.shake(now, conn),
            Ok(Some(facts)) if !is_clear => self.on_secured(now, conn, facts),
            Ok(Some(_)) => {
                // Nobody can who has not read what comes before it.
                let why = "finished before it began".to_owned();
                self.not_secured(now, conn, Insecure::Failed(why), None);
            }
            Err(why) => {
                self.exchange.stats.handshakes_refused += u64::from(why == Insecure::Crowded);
                self.not_secured(now, conn, why, None);
            }
        }
        let still_open = self.seat(conn).is_some_and(|seat| seat.end == End::Open);
        let is_away = self.carrier(conn).is_some_and(|it| matches!(it.stage, Stage::Away(_)));
        if hung_up && still_open && !is_away {
            self.on_hang_up(now, conn, CloseReason::ClientClosed);
        }
    }

    fn on_secured(&mut self, now: Now, conn: ConnId, mut facts: Facts) {
        let Some(carrier) = self.carrier(conn) else { return };
        let first = carrier.silent;
        // What it was let in by may not be what holds now.
        if let Some(transports) = &self.exchange.options.transports
            && !carrier.is_made_by(transports)
            && let Err(Failure(why)) = transports.readmits(&facts)
        {
            return self.not_secured(now, conn, Insecure::Stale(why), None);
        }
        facts.first = first;
        let Some(seat) = self.seats.get_mut(conn.slot() as usize) else { return };
        if let Some(session) = &mut seat.session {
            session.secure(&mut self.exchange, facts);
            if first {
                session.greet(&mut self.exchange, true);
            }
            session.begin(&mut self.exchange, now);
        }
        self.open_bytes(now, conn, &[]);
    }

    /// Opens what came, and hands it to the session.
    fn open_bytes(&mut self, now: Now, conn: ConnId, bytes: &[u8]) {
        let Some(mut carrier) = self.take_carrier(conn) else { return };
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut ends = None;
        let opened = carrier.open(bytes, &mut scratch, &mut |plain| {
            if ends.is_none() {
                ends =
                    self.act(now, conn, |session, exchange| session.on_bytes(exchange, now, plain));
            }
        });
        self.scratch = scratch;
        self.put_carrier(conn, carrier);
        if let Some(reason) = ends {
            self.close(now, conn, reason);
        }
        self.settle(now);
        self.sealed(conn);
        let Some(Opened { outcome, .. }) = opened else { return };
        match outcome {
            Ok(Peering::GoesOn) => {}
            Ok(Peering::Ended) => self.hang_up(now, conn, CloseReason::ClientClosed),
            Err(_) => self.hang_up(now, conn, CloseReason::ReadError),
        }
    }

    /// Tells the outlet whether anything sealed waits.
    fn sealed(&mut self, conn: ConnId) {
        let waits = self.carrier(conn).is_some_and(|carrier| !carrier.output().is_empty());
        self.exchange.outlets.sealed(conn, waits);
    }

    /// The handshake of a connection is not over in time, or has not begun.
    pub(super) fn on_handshake_timer(&mut self, now: Now, conn: ConnId) {
        if self.seat(conn).is_none_or(|seat| seat.end != End::Open) {
            return;
        }
        let proxied = self.is_proxied(conn);
        let Some(carrier) = self.carrier_mut(conn) else { return };
        // The time of a proxy is its own.
        let waits_for_proxy = proxied && !(carrier.silent && carrier.terms.first != First::Yes);
        if now < carrier.deadline || waits_for_proxy {
            return;
        }
        let terms = carrier.terms;
        match carrier.stage {
            Stage::Waiting if carrier.silent && terms.first != First::Yes => {
                // INFO it is, after all; the client may still begin a handshake.
                carrier.silent = false;
                carrier.deadline = now.after(terms.timeout);
                let deadline = carrier.deadline;
                self.exchange.timers.arm(deadline, conn, TimerKind::Handshake);
                if let Some(session) =
                    self.seats.get_mut(conn.slot() as usize).and_then(|seat| seat.session.as_mut())
                {
                    session.greet(&mut self.exchange, false);
                }
            }
            Stage::Waiting if terms.optional && !carrier.silent => self.go_plain(now, conn),
            Stage::Waiting => {
                let said = Some(Violation::TlsRequired);
                self.not_secured(now, conn, Insecure::NotBegun, said);
            }
            Stage::Shaking(_) | Stage::Away(_) => {
                self.not_secured(now, conn, Insecure::Timeout, None);
            }
            Stage::Open(_) | Stage::Failed => {}
        }
    }

    fn not_secured(&mut self, now: Now, conn: ConnId, why: Insecure, said: Option<Violation>) {
        self.with_session(now, conn, |session, exchange| session.not_secured(exchange, why, said));
    }

    /// Whether the connection is in the middle of a handshake, or must begin with one.
    pub(super) fn is_shaking(&self, conn: ConnId) -> bool {
        self.carrier(conn).is_some_and(|carrier| match carrier.stage {
            Stage::Waiting => !carrier.terms.optional,
            Stage::Shaking(_) | Stage::Away(_) => true,
            Stage::Open(_) | Stage::Failed => false,
        })
    }

    /// The client hung up before its handshake was over. If a step of it is done elsewhere, what
    /// comes of that and what was sent behind it comes first: a publisher may leave at once after
    /// its last message.
    pub(super) fn on_handshake_hang_up(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        if reason == CloseReason::ClientClosed
            && let Some(carrier) = self.carrier_mut(conn)
            && matches!(carrier.stage, Stage::Away(_))
        {
            carrier.hung_up = true;
            return;
        }
        self.not_secured(now, conn, Insecure::HungUp, None);
    }

    /// What the socket of a connection is to be given next, if anything waits for it.
    pub fn output(&mut self, now: Now, conn: ConnId) -> Option<Output<'_>> {
        let seat = self.seats.get_mut(conn.slot() as usize)?;
        if seat.carrier.is_some() && seat.generation == conn.generation() {
            return self.carried_output(now, conn);
        }
        let outbox = self.outbox(conn).filter(|outbox| !outbox.is_empty())?;
        Some(Output::Plain(outbox))
    }

    fn carried_output(&mut self, now: Now, conn: ConnId) -> Option<Output<'_>> {
        let seat = self.seats.get_mut(conn.slot() as usize)?;
        let carrier = seat.carrier.as_deref_mut()?;
        let outbox = self.exchange.outlets.get(conn)?.outbox();
        if !carrier.is_clear() && carrier.seal(outbox, &mut self.spare).is_err() {
            self.on_hang_up(now, conn, CloseReason::WriteError);
        } else if let Some(why) = carrier.wears_out() {
            self.report(conn, What::Worn(why));
            self.close(now, conn, CloseReason::Handshake);
        }
        let seat = self.seats.get(conn.slot() as usize)?;
        let carrier = seat.carrier.as_deref()?;
        if carrier.is_clear() {
            let outbox = self.outbox(conn).filter(|outbox| !outbox.is_empty())?;
            return Some(Output::Plain(outbox));
        }
        let output = carrier.output();
        (!output.is_empty()).then_some(Output::Sealed(output))
    }

    /// The socket took `count` bytes. True if nothing waits any more.
    pub(super) fn wrote(&mut self, now: Now, conn: ConnId, count: usize) -> bool {
        let seat = self.seats.get_mut(conn.slot() as usize);
        let seat = seat.filter(|seat| seat.generation == conn.generation());
        let Some(carrier) = seat.and_then(|seat| seat.carrier.as_deref_mut()) else {
            return self.exchange.outlets.wrote(now, conn, count);
        };
        let plain = if carrier.is_clear() {
            carrier.wrote_clear(count);
            count
        } else {
            carrier.wrote(count, &mut self.spare)
        };
        let waits = !carrier.output().is_empty();
        let outlets = &mut self.exchange.outlets;
        if let Some(outlet) = outlets.get_mut(conn) {
            outlet.set_sealed(waits);
        }
        outlets.wrote(now, conn, plain) && !waits
    }

    /// The connection ends. What cannot be said any more is forgotten; true if something is sealed
    /// that is still to be written.
    pub(super) fn close_carrier(&mut self, conn: ConnId) -> bool {
        let Some(carrier) = self.carrier(conn) else { return false };
        match carrier.stage {
            Stage::Waiting => {
                drop(self.take_carrier(conn));
                false
            }
            Stage::Open(_) => !carrier.output().is_empty(),
            Stage::Shaking(_) | Stage::Away(_) | Stage::Failed => {
                let waits = !carrier.output().is_empty();
                if !carrier.is_clear() {
                    self.exchange.outlets.discard(conn);
                }
                // Nobody waits any more for a step that is done elsewhere.
                if let Some(carrier) = self.carrier_mut(conn) {
                    carrier.stage = Stage::Failed;
                    if std::mem::take(&mut carrier.paused) {
                        self.commands.push_back(Command::Resume(conn));
                    }
                }
                waits
            }
        }
    }

    /// The socket of a client ended. True if that is nothing new: its transport had ended before.
    pub(super) fn has_ended(&mut self, conn: ConnId) -> bool {
        self.carrier_mut(conn).is_some_and(|carrier| std::mem::take(&mut carrier.ended))
    }

    /// Everything was said: the transport says so too. True if that is to be written first.
    pub(super) fn says_farewell(&mut self, conn: ConnId) -> bool {
        let Some(carrier) = self.carrier_mut(conn) else { return false };
        let waits = carrier.close();
        self.exchange.outlets.sealed(conn, waits);
        waits
    }

    /// Whether a connection may not stay by the transports that are offered now, as opposed to
    /// `old` ones.
    pub(super) fn is_unwelcome(&self, conn: ConnId, old: &Options) -> bool {
        let Some(transports) = &self.exchange.options.transports else { return false };
        if old.transports.as_ref().is_some_and(|old| Arc::ptr_eq(old, transports)) {
            return false;
        }
        let session = self.seat(conn).and_then(|seat| seat.session.as_ref());
        let facts = session.and_then(|session| session.secured());
        facts.is_some_and(|facts| !transports.admits(facts))
    }
}
