//! Clients that were let in for some time, or because of what may change.

use crate::clock::Now;
use crate::engine::{Exchange, TimerKind};
use crate::error::Violation;
use crate::ids::AccountId;
use crate::options::Review;

use super::client::{ClientSession, Flow, Phase};

impl ClientSession {
    /// The time that the client may stay begins to run.
    pub(super) fn stay_until(&mut self, exchange: &mut Exchange, now: Now) {
        self.expires = self.grant.stays.map(|time| now.after(time));
        if let Some(at) = self.expires {
            exchange.timers.arm(at, self.conn, TimerKind::Expiry);
        }
    }

    /// The time of a client may be over; it may have been given more since.
    pub fn on_expiry_timer(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        if self.expires.is_some_and(|at| now >= at) {
            self.expires = None;
            return self.violated(exchange, Violation::UserExpired);
        }
        Flow::Next
    }

    /// Something changed about an account: a client of it may be something else now, or nothing.
    pub fn on_review(&mut self, exchange: &mut Exchange, now: Now, account: AccountId) -> Flow {
        if self.phase != Phase::Connected || self.grant.account != account {
            return Flow::Next;
        }
        let Some(standing) = self.grant.standing.clone() else { return Flow::Next };
        match standing.review() {
            Review::Holds => Flow::Next,
            Review::Changed(grant) => self.stay(exchange, now, Ok(grant)),
            Review::Over(violation) => self.violated(exchange, violation),
        }
    }
}
