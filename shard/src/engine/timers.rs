//! Timer wheel: when a connection has to be looked at again.
//!
//! Two rings of slots: the near one has a slot per 4 ms, the far one a slot per turn of the near
//! one. An entry is never taken out early; whoever armed it looks, when it fires, whether it still
//! means anything. That makes arming and firing a push and a pop, and lets 20,000 idle connections
//! cost one wake-up a second.

use std::time::Duration;

use crate::clock::Now;
use crate::ids::ConnId;

const TICK_NANOS: u64 = 4_000_000;
const SLOTS: usize = 256;
const TURN: u64 = SLOTS as u64;

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimerKind {
    /// Ping the client, or find it stale.
    Ping,
    /// The client has not said who it is.
    Authentication,
    /// Its proxy has not said for whom it speaks.
    Proxy,
    /// Its handshake is not over, or has not begun.
    Handshake,
    /// The socket has not taken what was waiting for it.
    WriteDeadline,
    /// A publisher was paused for receivers that fell behind.
    Unstall,
    /// The client was let in for so long.
    Expiry,
    /// A closing connection has had its time.
    Close,
    /// Requests to other accounts may have waited too long; of no connection.
    Answers,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    due: u64,
    conn: ConnId,
    kind: TimerKind,
}

/// The deadlines of one shard, to the next 4 ms.
#[derive(Debug)]
pub struct Timers {
    near: Vec<Vec<Entry>>,
    far: Vec<Vec<Entry>>,
    /// The first tick that has not been looked at.
    tick: u64,
    armed: usize,
}

impl Timers {
    /// No deadlines; the clock stands at `now`.
    #[must_use]
    pub fn new(now: Now) -> Self {
        let ring = || (0..SLOTS).map(|_| Vec::new()).collect();
        Self { near: ring(), far: ring(), tick: now.as_nanos() / TICK_NANOS, armed: 0 }
    }

    /// Deadlines that have not fired.
    #[must_use]
    pub fn armed(&self) -> usize {
        self.armed
    }

    /// `kind` is due for `conn` at `at`, or up to 4 ms later.
    pub fn arm(&mut self, at: Now, conn: ConnId, kind: TimerKind) {
        let due = at.as_nanos().div_ceil(TICK_NANOS).max(self.tick);
        self.armed += 1;
        self.place(Entry { due, conn, kind });
    }

    fn place(&mut self, entry: Entry) {
        let (turn_now, turn_due) = (self.tick / TURN, entry.due / TURN);
        let slot = if turn_now == turn_due {
            self.near.get_mut((entry.due % TURN) as usize)
        } else {
            // Beyond the far ring: looked at once per far turn, and put back.
            let turn = turn_due.min(turn_now + TURN - 1);
            self.far.get_mut((turn % TURN) as usize)
        };
        if let Some(slot) = slot {
            slot.push(entry);
        }
    }

    /// Moves to `now` and appends to `fired` what fell due.
    pub fn advance(&mut self, now: Now, fired: &mut Vec<(ConnId, TimerKind)>) {
        let end = now.as_nanos() / TICK_NANOS;
        if self.armed == 0 {
            self.tick = self.tick.max(end + 1);
            return;
        }
        while self.tick <= end {
            if self.tick.is_multiple_of(TURN) {
                self.cascade();
            }
            if let Some(slot) = self.near.get_mut((self.tick % TURN) as usize) {
                self.armed -= slot.len();
                fired.extend(slot.drain(..).map(|entry| (entry.conn, entry.kind)));
            }
            self.tick += 1;
        }
    }

    /// Spreads the entries of the turn that begins now over the near ring.
    fn cascade(&mut self) {
        let turn = (self.tick / TURN % TURN) as usize;
        let entries = self.far.get_mut(turn).map(std::mem::take).unwrap_or_default();
        for entry in entries {
            self.place(entry);
        }
    }

    /// How long from `now` until something may be due; `None` if nothing is armed.
    #[must_use]
    pub fn next_in(&self, now: Now) -> Option<Duration> {
        if self.armed == 0 {
            return None;
        }
        // The tick that begins a turn has not been cascaded yet: it is looked at itself.
        let turn_end = self.tick.next_multiple_of(TURN);
        let due = (self.tick..turn_end)
            .find(|tick| self.near.get((tick % TURN) as usize).is_some_and(|s| !s.is_empty()))
            .unwrap_or(turn_end);
        Some(Now::from_nanos(due * TICK_NANOS).since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId::new(1, 0);

    fn fire_time(armed_at: u64, due: u64) -> u64 {
        let mut timers = Timers::new(Now::from_nanos(armed_at));
        timers.arm(Now::from_nanos(due), CONN, TimerKind::Ping);
        let mut now = Now::from_nanos(armed_at);
        let mut fired = Vec::new();
        for _ in 0..10_000 {
            let Some(wait) = timers.next_in(now) else { break };
            now = now.after(wait);
            timers.advance(now, &mut fired);
            if !fired.is_empty() {
                return now.as_nanos();
            }
        }
        panic!("never fired");
    }

    #[test]
    fn everything_fires_within_a_tick_of_its_time() {
        let ms = 1_000_000;
        for start in [0, 3 * ms, 1023 * ms, 1024 * ms, 777_777_777] {
            for delay in [0, ms, 4 * ms, 5 * ms, 1000 * ms, 1024 * ms, 5000 * ms, 300_000 * ms] {
                let fired = fire_time(start, start + delay);
                let due = start + delay;
                assert!(fired >= due && fired <= due + TICK_NANOS, "{start} {delay} {fired}");
            }
        }
    }

    #[test]
    fn a_late_visit_fires_all_that_was_missed() {
        let mut timers = Timers::new(Now::ZERO);
        for n in 0..1000 {
            timers.arm(Now::from_nanos(n * 3_000_000), CONN, TimerKind::Close);
        }
        let mut fired = Vec::new();
        timers.advance(Now::from_nanos(4_000_000_000), &mut fired);
        assert_eq!(fired.len(), 1000);
        assert_eq!(timers.next_in(Now::from_nanos(4_000_000_000)), None);
    }

    #[test]
    fn idle_connections_cost_about_one_wake_up_a_second() {
        let mut timers = Timers::new(Now::ZERO);
        for n in 0..20_000 {
            timers.arm(Now::from_nanos(120_000_000_000 + n), CONN, TimerKind::Ping);
        }
        let (mut now, mut wakes, mut fired) = (Now::ZERO, 0, Vec::new());
        while now.as_nanos() < 60_000_000_000 {
            now = now.after(timers.next_in(now).unwrap());
            timers.advance(now, &mut fired);
            wakes += 1;
        }
        assert!(wakes <= 70, "{wakes}");
    }
}
