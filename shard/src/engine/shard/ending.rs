//! How connections end: by their own doing, by ours, one after the other or all at once.

use crate::clock::Now;
use crate::engine::ClosedView;
use crate::error::CloseReason;
use crate::ids::ConnId;
use crate::limits::{CLOSE_FLUSH, LINGER};

use super::{Command, End, Shard, TimerKind};

impl Shard {
    /// The client hung up, or its socket failed.
    pub fn on_hang_up(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        let is_open = |end| matches!(end, End::Open | End::Flushing | End::Parting);
        let is_open = self.seat(conn).is_some_and(|seat| is_open(seat.end));
        // Who said so before may still be reading.
        if is_open && reason == CloseReason::ClientClosed && self.has_ended(conn) {
            return;
        }
        self.hang_up(now, conn, reason);
    }

    /// The same, said by the socket or by the transport.
    pub(super) fn hang_up(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        match self.seat(conn).map(|seat| seat.end) {
            Some(End::Open) if self.is_shaking(conn) => {
                self.on_handshake_hang_up(now, conn, reason);
            }
            Some(End::Open) => {
                self.with_session(now, conn, |session, exchange| session.hang_up(exchange, reason));
            }
            Some(End::Flushing) if reason.flushes() => self.set_end(conn, End::Parting),
            Some(End::Flushing | End::Parting | End::Lingering) => self.let_go(conn),
            Some(End::Closing) | None => {}
        }
    }

    /// All clients are told that this server is about to stop taking clients.
    pub fn on_lame_duck(&mut self) {
        for seat in &mut self.seats {
            if let Some(session) = &seat.session {
                session.lame_duck(&mut self.exchange);
            }
        }
    }

    /// Some of the connections are to go, as many as `count`: they are closed as if the server
    /// stopped.
    pub fn on_shed(&mut self, now: Now, count: usize) {
        let mut left = count;
        // Each call goes on where the last one ended: all of them together look at a seat once.
        for _ in 0..self.seats.len() {
            if left == 0 {
                return;
            }
            let seat = self.seats.get(self.shed % self.seats.len());
            self.shed += 1;
            if let Some(conn) = seat.and_then(super::Seat::open_client) {
                self.close(now, conn, CloseReason::ServerShutdown);
                left -= 1;
            }
        }
    }

    /// The server stops: all connections are closed, once what is queued for them was written.
    pub fn on_shutdown(&mut self, now: Now) {
        let open: Vec<ConnId> =
            self.seats.iter().filter_map(|seat| Some(seat.session.as_ref()?.conn())).collect();
        for conn in open {
            self.close(now, conn, CloseReason::ServerShutdown);
        }
    }

    pub(super) fn set_end(&mut self, conn: ConnId, end: End) {
        if let Some(seat) = self.seats.get_mut(conn.slot() as usize) {
            seat.end = end;
        }
    }

    /// Ends a connection: no more input, no more deliveries; what is queued is written if that
    /// makes sense.
    pub(super) fn close(&mut self, now: Now, conn: ConnId, reason: CloseReason) {
        let Some(seat) = self.seats.get_mut(conn.slot() as usize) else { return };
        if seat.generation != conn.generation() || seat.end != End::Open {
            return;
        }
        let Some(session) = &mut seat.session else { return };
        if !session.is_internal() {
            let closed = ClosedView::new(session, &self.exchange, now, reason);
            self.exchange.keep(session, &closed);
            self.history.push(closed);
        }
        session.close(&mut self.exchange, reason);
        if let Some(true) = session.reading_changed() {
            self.commands.push_back(Command::Resume(conn));
        }
        let sealed = self.close_carrier(conn);
        let outlet = self.exchange.outlets.get(conn);
        let queued = sealed || outlet.is_some_and(|o| !o.outbox().is_empty());
        let parting = reason == CloseReason::ClientClosed;
        // Where the transport has an end of its own, it is told to one that leaves, too.
        let queued = queued || (parting && self.says_farewell(conn));
        if !reason.flushes() || (parting && !queued) {
            self.let_go(conn);
        } else if queued {
            self.set_end(conn, if parting { End::Parting } else { End::Flushing });
            self.exchange.timers.arm(now.after(CLOSE_FLUSH), conn, TimerKind::Close);
        } else {
            self.finish(now, conn);
        }
    }

    /// Everything was written. The peer may still be sending: closing at once would reset the
    /// connection, and take from the peer what it has not read yet.
    pub(super) fn finish(&mut self, now: Now, conn: ConnId) {
        if self.says_farewell(conn) {
            // Finished once that was written.
            if self.seat(conn).is_some_and(|seat| seat.end == End::Open) {
                self.exchange.timers.arm(now.after(CLOSE_FLUSH), conn, TimerKind::Close);
            }
            return self.set_end(conn, End::Flushing);
        }
        self.set_end(conn, End::Lingering);
        self.commands.push_back(Command::Finish(conn));
        self.exchange.timers.arm(now.after(LINGER), conn, TimerKind::Close);
    }

    pub(super) fn let_go(&mut self, conn: ConnId) {
        self.set_end(conn, End::Closing);
        self.forget_carrier(conn);
        self.exchange.outlets.discard(conn);
        self.commands.push_back(Command::Close(conn));
    }
}
