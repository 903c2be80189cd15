//! Subscriptions that come and go on a connection of their own.

use std::collections::VecDeque;
use std::fmt::Write;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::flow::Counter;
use super::receiver::{self, Receiver};
use super::{Phase, Steering};

const TICK: Duration = Duration::from_millis(1);
/// Subscriptions held at any time.
const HELD: usize = 100;
const SUBJECTS: u64 = 1_000;

/// Sends SUB and UNSUB in turn at the given rate. A server that does not keep up slows it down; the
/// rate that was reached is part of the figures.
pub(super) fn churn(
    mut receiver: Receiver,
    per_second: u64,
    done: &Counter,
    steering: &Steering,
) -> Result<()> {
    let mut scratch = receiver::scratch(0);
    let mut held = VecDeque::with_capacity(HELD);
    let (begin, mut sid, mut lines) = (Instant::now(), 0u64, String::new());
    while steering.phase() < Phase::Stop {
        let due = u64::try_from(begin.elapsed().as_millis()).unwrap_or(0) * per_second / 1_000;
        let behind = due.saturating_sub(done.get()).min(per_second / 10);
        lines.clear();
        let mut sent = 0;
        while sent < behind {
            if held.len() < HELD {
                sid += 1;
                writeln!(lines, "SUB churn.{} {sid}\r", sid % SUBJECTS)?;
                held.push_back(sid);
            } else if let Some(oldest) = held.pop_front() {
                writeln!(lines, "UNSUB {oldest}\r")?;
            }
            sent += 1;
        }
        receiver.client().write_all(lines.as_bytes())?;
        done.set(done.get() + sent);
        receiver.receive(&mut scratch, |_| {})?;
        thread::sleep(TICK);
    }
    if steering.failed() { Ok(()) } else { receiver.flush(&mut scratch) }
}
