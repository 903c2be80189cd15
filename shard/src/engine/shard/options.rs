//! Other options while the shard runs: what is read afresh each time holds at once, the rest is
//! told to those who remember it. Connections go on unless the change is about them.

use std::sync::Arc;

use crate::account::Accounts;
use crate::clock::Now;
use crate::error::CloseReason;
use crate::ids::ConnId;
use crate::options::Options;

use super::Shard;

impl Shard {
    /// These options hold from now on. Clients that may not be connected by them are let go, as
    /// are those whose subject space is another. [`Limits::pending`](crate::limits::Limits) stays
    /// what it was at the start.
    pub fn on_options(&mut self, now: Now, options: Arc<Options>) {
        let old = std::mem::replace(&mut self.exchange.options, options);
        let new = Arc::clone(&self.exchange.options);
        self.exchange.outlets.trace(new.trace, new.traced_payload_max);
        let judged_anew = !Arc::ptr_eq(&old.authenticator, &new.authenticator);
        let pinged_sooner = new.limits.ping_interval < old.limits.ping_interval;
        for conn in self.open_connections() {
            if self.is_unwelcome(conn, &old) {
                self.close(now, conn, CloseReason::Handshake);
                continue;
            }
            self.with_session(now, conn, |session, exchange| {
                session.on_options(exchange, now, judged_anew, pinged_sooner)
            });
        }
    }

    /// These terms of accounts hold from now on; all else stays. Whoever has more than they allow
    /// loses it at once.
    pub fn on_accounts(&mut self, now: Now, accounts: Arc<Accounts>) {
        let old = Arc::clone(&self.exchange.options);
        let options = Options { accounts, ..Options::clone(&old) };
        self.exchange.options = Arc::new(options);
        let new = Arc::clone(&self.exchange.options.accounts);
        let changed = new.changed(&old.accounts);
        for conn in self.open_connections() {
            self.with_session(now, conn, |session, exchange| {
                session.on_accounts(exchange, &changed)
            });
        }
    }

    /// Time since 1970 when the clock began: what clients are told of time is said by that.
    pub fn set_wall(&mut self, wall: std::time::Duration) {
        self.exchange.wall = wall;
    }

    /// So many connections are more than there may be: they are told so, and let go.
    pub fn on_surplus(&mut self, now: Now, count: usize) {
        for conn in self.open_connections().into_iter().take(count) {
            self.with_session(now, conn, |session, exchange| session.refuse(exchange));
        }
    }

    /// Those of clients that are not on their way out.
    pub(super) fn open_connections(&self) -> Vec<ConnId> {
        self.seats.iter().filter_map(super::Seat::open_client).collect()
    }
}
