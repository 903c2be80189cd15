//! Connections that come through a proxy: what the proxy says of its client is read before
//! anything else, and before any TLS; then it is as if the client had connected itself.
//!
//! Until then the client knows INFO, as from the reference, but not its own address in it; its
//! clocks stand still.

use crate::clock::Now;
use crate::error::CloseReason;
use crate::event::What;
use crate::ids::ConnId;
use crate::wire::proxy::{Fault, HEAD_MAX, Read, read};

use super::{End, Shard, TimerKind};

/// How much of what the proxy says is there.
#[derive(Debug)]
pub(super) enum Preface {
    /// Fewer bytes than it takes to know; at most [`HEAD_MAX`].
    Head(Vec<u8>),
    /// Everything that matters: so many bytes more are thrown away.
    Skip(usize),
}

impl Shard {
    /// A proxy is expected to speak first on this connection.
    pub(super) fn expect_proxy(&mut self, now: Now, conn: ConnId) {
        let Some(timeout) = self.exchange.options.limits.proxied else { return };
        if let Some(seat) = self.seats.get_mut(conn.slot() as usize) {
            seat.preface = Some(Box::new(Preface::Head(Vec::new())));
            self.exchange.timers.arm(now.after(timeout), conn, TimerKind::Proxy);
        }
    }

    /// Takes from `bytes` what the proxy said; what its client said is left, if it is known where
    /// that begins.
    pub(super) fn read_preface<'b>(
        &mut self,
        now: Now,
        conn: ConnId,
        bytes: &'b [u8],
    ) -> Option<&'b [u8]> {
        let seat = self.seats.get_mut(conn.slot() as usize)?;
        if seat.generation != conn.generation() || seat.end != End::Open {
            return None;
        }
        let head = match seat.preface.as_deref_mut()? {
            Preface::Skip(left) => {
                let here = bytes.len().min(*left);
                *left -= here;
                let done = *left == 0;
                return self.preface_is_read(conn, done, bytes.get(here..));
            }
            Preface::Head(head) => head,
        };
        let before = head.len();
        head.extend_from_slice(bytes.get(..HEAD_MAX - before).unwrap_or(bytes));
        match read(head) {
            Read::More => None,
            Read::None => {
                let head = std::mem::take(head);
                self.begin(now, conn, None);
                self.preface_is_read(conn, true, None);
                // What was kept and nobody needed is the client's.
                self.on_bytes(now, conn, head.get(..before).unwrap_or_default());
                Some(bytes)
            }
            Read::Header { len, source } => {
                // It was not known before these bytes, so that its end is in or behind them.
                let here = len.saturating_sub(before);
                let left = here.saturating_sub(bytes.len());
                seat.preface = Some(Box::new(Preface::Skip(left)));
                self.begin(now, conn, source);
                self.preface_is_read(conn, left == 0, bytes.get(here..))
            }
            Read::Fault(fault) => {
                self.refuse_proxy(now, conn, fault);
                None
            }
        }
    }

    fn preface_is_read<'b>(
        &mut self,
        conn: ConnId,
        done: bool,
        rest: Option<&'b [u8]>,
    ) -> Option<&'b [u8]> {
        if done && let Some(seat) = self.seats.get_mut(conn.slot() as usize) {
            seat.preface = None;
        }
        rest.filter(|rest| done && !rest.is_empty())
    }

    /// From now on it is the client that speaks.
    fn begin(&mut self, now: Now, conn: ConnId, source: Option<std::net::SocketAddr>) {
        let Some(seat) = self.seats.get_mut(conn.slot() as usize) else { return };
        let Some(session) = &mut seat.session else { return };
        session.come_from(source);
        if seat.carrier.is_some() {
            self.await_handshake(now, conn);
        } else {
            session.begin(&mut self.exchange, now);
        }
    }

    /// Whether its proxy has not said everything yet.
    pub(super) fn is_proxied(&self, conn: ConnId) -> bool {
        self.seat(conn).is_some_and(|seat| seat.preface.is_some())
    }

    /// The proxy has had its time.
    pub(super) fn on_proxy_timer(&mut self, now: Now, conn: ConnId) {
        if self.is_proxied(conn) {
            self.refuse_proxy(now, conn, Fault::Timeout);
        }
    }

    fn refuse_proxy(&mut self, now: Now, conn: ConnId, fault: Fault) {
        if let Some(seat) = self.seats.get_mut(conn.slot() as usize) {
            // Whatever still comes is thrown away by the session.
            seat.preface = None;
        }
        self.report(conn, What::ProxyFault(fault));
        self.close(now, conn, CloseReason::ProtocolViolation);
    }
}
