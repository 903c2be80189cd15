//! Verdicts that are found out elsewhere.

use crate::clock::Now;
use crate::ids::AccountId;
use crate::options::Verdict;
use crate::session::{Trial, TrialId};

use super::Shard;

impl Shard {
    /// The next thing to be found out on another thread. Whoever takes it gives its verdict to
    /// [`Self::on_judged`], whatever has become of the client since.
    pub fn take_trial(&mut self) -> Option<Trial> {
        self.exchange.trials.queue.pop_front()
    }

    /// The verdict of a trial.
    pub fn on_judged(&mut self, now: Now, trial: TrialId, verdict: Verdict) {
        let effort = trial.effort;
        self.exchange.trials.end(effort);
        self.with_session(now, trial.conn, |session, exchange| {
            session.on_judged(exchange, now, trial, verdict)
        });
        // Those that have gone meanwhile need no room.
        while let Some(conn) = self.exchange.trials.next_waiting(effort) {
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

    /// Clients whose verdict is awaited.
    #[must_use]
    pub fn trials(&self) -> usize {
        self.exchange.trials.open()
    }
}
