//! What the clients of each account have sent and been sent, kept when they go.

use crate::ids::AccountId;

use super::Sighting;

/// Figures of one account.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Tally {
    /// Clients.
    pub connections: u64,
    /// Subscriptions they hold.
    pub subscriptions: usize,
    /// Messages they published.
    pub in_msgs: u64,
    /// Payload bytes of those.
    pub in_bytes: u64,
    /// Messages they were sent.
    pub out_msgs: u64,
    /// Payload bytes of those.
    pub out_bytes: u64,
    /// Clients that were closed because they were too slow.
    pub slow_consumers: u64,
}

impl Tally {
    /// Adds a client that is connected.
    pub fn see(&mut self, seen: &Sighting<'_>) {
        self.connections += 1;
        self.subscriptions += seen.subscriptions();
        self.move_in(seen);
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Self) {
        self.connections += other.connections;
        self.subscriptions += other.subscriptions;
        self.in_msgs += other.in_msgs;
        self.in_bytes += other.in_bytes;
        self.out_msgs += other.out_msgs;
        self.out_bytes += other.out_bytes;
        self.slow_consumers += other.slow_consumers;
    }

    fn move_in(&mut self, seen: &Sighting<'_>) {
        let ((in_msgs, in_bytes), (out_msgs, out_bytes)) = (seen.received(), seen.sent());
        self.in_msgs += in_msgs;
        self.in_bytes += in_bytes;
        self.out_msgs += out_msgs;
        self.out_bytes += out_bytes;
    }
}

/// The tallies of clients that have gone, by account.
#[derive(Clone, Debug, Default)]
pub struct Tallies(Vec<Tally>);

impl Tallies {
    /// A client goes.
    pub fn keep(&mut self, account: AccountId, seen: &Sighting<'_>, slow: bool) {
        let index = account.index();
        if self.0.len() <= index {
            self.0.resize(index + 1, Tally::default());
        }
        if let Some(tally) = self.0.get_mut(index) {
            tally.move_in(seen);
            tally.slow_consumers += u64::from(slow);
        }
    }

    /// What is kept of an account.
    #[must_use]
    pub fn of(&self, account: AccountId) -> Tally {
        self.0.get(account.index()).copied().unwrap_or_default()
    }
}
