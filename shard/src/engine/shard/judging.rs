//! Verdicts that are found out elsewhere.

use crate::clock::Now;
use crate::ids::{AccountId, ConnId};
use crate::options::Told;
use crate::session::{Flow, Trial};

use super::Shard;

impl Shard {
    /// The next thing to be found out on another thread. Whoever takes it gives its verdict to
    /// [`Self::on_judged`], whatever has become of the client since.
    pub fn take_trial(&mut self) -> Option<Trial> {
        self.exchange.trials.pop_front()
    }

    /// What is told of a trial of that connection.
    pub fn on_judged(&mut self, now: Now, conn: ConnId, number: u32, told: Told) {
        if !matches!(told, Told::Given { waited: true, .. }) {
            self.exchange.trials_open = self.exchange.trials_open.saturating_sub(1);
        }
        self.with_session(now, conn, |session, exchange| match told {
            Told::Waits => {
                session.on_waiting(number);
                Flow::Next
            }
            Told::Given { outcome, .. } => session.on_judged(exchange, now, number, outcome),
        });
        // Those that have gone meanwhile need no room.
        while self.exchange.trials_open < crate::limits::TRIALS_MAX
            && let Some(conn) = self.waiting_judges.pop_front()
        {
            self.with_session(now, conn, |session, exchange| session.on_trial_room(exchange, now));
        }
    }

    /// Something changed about an account: its clients are looked at again.
    pub fn on_review(&mut self, now: Now, account: AccountId) {
        for conn in self.open_connections() {
            self.with_session(now, conn, |session, exchange| {
                session.on_review(exchange, now, account)
            });
        }
    }

    /// Clients whose verdict is awaited from a thread.
    #[must_use]
    pub fn trials(&self) -> usize {
        self.exchange.trials_open
    }
}
