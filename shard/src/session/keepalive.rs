//! PING, PONG, the round trip, and connections that do not answer.

use std::time::Duration;

use crate::clock::Now;
use crate::engine::{Exchange, TimerKind};
use crate::error::Violation;
use crate::limits::{FIRST_PING, RTT_INTERVAL};
use crate::wire::encode;

use super::client::{ClientSession, Flow, Phase};

/// When a connection was heard, and what it has not answered.
#[derive(Debug)]
pub(super) struct Keepalive {
    heard: Now,
    unanswered: u32,
    /// When it connected.
    since: Now,
    /// When the last PING went out.
    asked: Option<Now>,
    round_trip: Option<Duration>,
    /// When the next look is due; timers that fire before are left-overs.
    next: Option<Now>,
    /// The second INFO, with what the client became, was sent.
    pub(super) introduced: bool,
}

impl Keepalive {
    pub(super) fn new(now: Now) -> Self {
        Self {
            heard: now,
            unanswered: 0,
            since: now,
            asked: None,
            round_trip: None,
            next: None,
            introduced: false,
        }
    }

    /// The client sent something.
    pub(super) fn heard(&mut self, now: Now) {
        self.heard = now;
    }

    /// The client answered.
    pub(super) fn pong(&mut self, now: Now) {
        self.unanswered = 0;
        self.round_trip = self.asked.map(|asked| now.since(asked));
    }

    /// The client said who it is, which is a first estimate of its round trip.
    fn connected(&mut self, now: Now) {
        self.round_trip = Some(now.since(self.since));
    }
}

impl Keepalive {
    /// How long the client took to answer, once it did.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

impl ClientSession {
    /// Looks after this connection in `delay`, unless that is planned for earlier already.
    pub(super) fn look_in(&mut self, exchange: &mut Exchange, now: Now, delay: Duration) {
        let at = now.after(delay);
        if self.keepalive.next.is_none_or(|next| at < next) {
            self.keepalive.next = Some(at);
            exchange.timers.arm(at, self.conn, TimerKind::Ping);
        }
    }

    /// The first look comes early, to learn the round trip, and not for all clients at once.
    pub(super) fn look_early(&mut self, exchange: &mut Exchange, now: Now) {
        let delay = exchange.options.limits.ping_interval.min(FIRST_PING);
        let jitter = delay.mul_f64(exchange.rng.f64() / 5.0);
        self.keepalive.connected(now);
        self.look_in(exchange, now, delay + jitter);
    }

    /// It is time to ask whether the client is still there.
    pub fn on_ping_timer(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        if self.phase == Phase::Closed || self.keepalive.next.is_none_or(|next| now < next) {
            return Flow::Next;
        }
        self.keepalive.next = None;
        let interval = exchange.options.limits.ping_interval;
        let quiet = now.since(self.keepalive.heard) >= interval;
        let unmeasured = self.keepalive.round_trip.is_none()
            || self.keepalive.asked.is_none_or(|asked| now.since(asked) > RTT_INTERVAL);
        if quiet || unmeasured {
            if self.keepalive.unanswered >= exchange.options.limits.pings_out {
                exchange.stats.stale += 1;
                return self.violated(exchange, Violation::Stale);
            }
            self.keepalive.unanswered += 1;
            self.keepalive.asked = Some(now);
            self.tell(exchange, encode::PING);
        }
        self.look_in(exchange, now, interval);
        Flow::Next
    }

    /// The client asks. Everything it sent before was carried out: operations are carried out in
    /// order, and what they queued for this client stands before the PONG.
    pub(super) fn on_ping(&mut self, exchange: &mut Exchange) {
        self.tell(exchange, encode::PONG);
        if self.phase == Phase::Connected && !self.keepalive.introduced {
            self.keepalive.introduced = true;
            if self.connect.protocol >= 1 {
                self.introduce(exchange);
            }
        }
    }
}
