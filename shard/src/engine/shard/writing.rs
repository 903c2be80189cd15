//! What becomes of the bytes that wait for a connection: taken by its socket, or not.

use crate::clock::Now;
use crate::error::CloseReason;
use crate::event::What;
use crate::ids::ConnId;
use crate::outbox::Outbox;

use super::{End, Shard, TimerKind};

impl Shard {
    /// The socket took the oldest `count` of the waiting bytes.
    pub fn on_written(&mut self, now: Now, conn: ConnId, count: usize) {
        if !self.wrote(now, conn, count) {
            return;
        }
        match self.seat(conn).map(|seat| seat.end) {
            Some(End::Flushing) => self.finish(now, conn),
            Some(End::Parting) if self.says_farewell(conn) => {}
            Some(End::Parting) => self.let_go(conn),
            Some(End::Open | End::Lingering | End::Closing) | None => {}
        }
    }

    /// The socket takes no more for now.
    pub fn on_blocked(&mut self, now: Now, conn: ConnId) {
        let deadline = now.after(self.exchange.options.limits.write_deadline);
        if self.exchange.outlets.blocked(conn, deadline) {
            self.exchange.timers.arm(deadline, conn, TimerKind::WriteDeadline);
        }
    }

    /// The socket may take more.
    pub fn on_writable(&mut self, conn: ConnId) {
        self.exchange.outlets.writable(conn);
    }

    pub(super) fn on_write_deadline(&mut self, now: Now, conn: ConnId) {
        let Some(deadline) = self.exchange.outlets.look_at_deadline(conn) else { return };
        if now < deadline {
            self.exchange.timers.arm(deadline, conn, TimerKind::WriteDeadline);
            return;
        }
        if self.seat(conn).is_none_or(|seat| seat.end != End::Open) {
            // It is on its way out, with a time limit of its own.
            return;
        }
        let waiting = self.outbox(conn).map_or(0, Outbox::queued);
        let allowed = self.exchange.options.limits.write_deadline.as_secs();
        self.exchange.stats.slow_deadline += 1;
        self.report(conn, What::SlowDeadline(allowed, waiting));
        self.close(now, conn, CloseReason::SlowConsumerDeadline);
    }
}
