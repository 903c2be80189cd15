//! The publisher of an open loop: sends what is due, and says how well it could.
//!
//! It never waits for an answer. Only a full socket holds it up, or a receiver that is a whole
//! window of bytes behind (see `flow`); what becomes due meanwhile is sent as soon as possible and
//! still counts from when it was due.

use std::num::NonZeroU64;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use rustix::event::PollFlags;
use rustix::thread::set_current_timer_slack;

use super::flow::Flow;
use super::latency::{histogram, nanos};
use super::receiver::{self, Receiver};
use super::schedule::Schedule;
use super::{Phase, Steering};
use crate::check::CheckFailure;
use crate::client::{self, Moved};
use crate::wire::FrameBatch;

const WINDOW_POLL: Duration = Duration::from_micros(100);
const SOCKET_POLL: Duration = Duration::from_millis(20);
/// How often the sender looks for PINGs, errors and the end; its longest sleep.
const LISTEN_EVERY: Duration = Duration::from_millis(20);
/// How long a server may take nothing at all.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Share of the window that may still have to be sent when its time is over, as a divisor; and
/// never less than one long pause of a busy machine leaves behind.
const BACKLOG_SHARE: u64 = 100;
const BACKLOG_TIME: Duration = Duration::from_millis(50);

/// One publishing connection with its schedule.
#[derive(Debug)]
pub(super) struct Sender {
    receiver: Receiver,
    batch: FrameBatch,
    schedule: Schedule,
    /// The messages whose latency counts.
    window: Range<u64>,
    /// Sequence of the next message.
    next: u64,
    /// The part of the batch that is still to be written.
    unwritten: Range<usize>,
    /// When the last hindrance went away.
    free_since: Instant,
    kept: Punctuality,
}

/// How the schedule was kept in the window.
#[derive(Debug)]
pub(super) struct Punctuality {
    /// Lateness for which nobody else is to blame.
    pub(super) late: Histogram<u64>,
    /// The most that a message was behind, whoever was to blame.
    pub(super) behind_max: Duration,
    /// Messages of the window that were given up at its end, being too many.
    pub(super) unsent: u64,
}

impl Punctuality {
    /// Notes a message that has waited since `due`.
    fn behind(&mut self, due: Instant, now: Instant) {
        self.behind_max = self.behind_max.max(now.saturating_duration_since(due));
    }
}

/// What keeps the sender from going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wrote,
    /// Nothing is due before this.
    Early(Instant),
    WindowFull,
    SocketFull,
    Finished,
}

impl Sender {
    pub(super) fn new(
        receiver: Receiver,
        batch: FrameBatch,
        schedule: Schedule,
        window: Range<u64>,
    ) -> Result<Self> {
        let kept = Punctuality { late: histogram()?, behind_max: Duration::ZERO, unsent: 0 };
        let free_since = schedule.due(0);
        Ok(Self { receiver, batch, schedule, window, next: 0, unwritten: 0..0, free_since, kept })
    }

    /// Sends on schedule until the run stops and the window is sent.
    pub(super) fn send(mut self, flow: &Flow, steering: &Steering) -> Result<Punctuality> {
        set_current_timer_slack(Some(NonZeroU64::MIN)).context("timer slack")?;
        let mut scratch = receiver::scratch(0);
        let (mut listened, mut moved) = (Instant::now(), Instant::now());
        while !steering.failed() {
            let stopping = steering.phase() >= Phase::Stop;
            let step = self.step(flow, stopping)?;
            if listened.elapsed() > LISTEN_EVERY {
                self.receiver.read(&mut scratch, |_| {})?;
                listened = Instant::now();
            }
            match step {
                Step::Finished => break,
                Step::Wrote => moved = listened,
                Step::Early(due) => {
                    moved = listened;
                    let left = due.saturating_duration_since(Instant::now());
                    thread::sleep(left.min(LISTEN_EVERY));
                }
                Step::WindowFull => self.hindered(|_| {
                    thread::sleep(WINDOW_POLL);
                    Ok(())
                })?,
                Step::SocketFull => self.hindered(|sender| {
                    client::wait(&[sender.receiver.client()], PollFlags::OUT, SOCKET_POLL)?;
                    Ok(())
                })?,
            }
            if moved.elapsed() > STUCK_TIMEOUT {
                let text = format!("server took no bytes for {STUCK_TIMEOUT:?}");
                return Err(CheckFailure(text).into());
            }
        }
        if !steering.failed() {
            self.receiver.flush(&mut scratch)?;
        }
        Ok(self.kept)
    }

    /// Waits for others; that time is not the sender's own lateness.
    fn hindered(&mut self, wait: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        wait(self)?;
        self.free_since = Instant::now();
        Ok(())
    }

    /// One write at most. What is begun is finished, so what counts as published is on the wire.
    fn step(&mut self, flow: &Flow, stopping: bool) -> Result<Step> {
        if self.unwritten.is_empty() {
            self.receiver.answer_pings()?;
            let end = if stopping { self.give_up_or_end() } else { u64::MAX };
            if self.next >= end {
                return Ok(Step::Finished);
            }
            let now = Instant::now();
            let due = self.schedule.due_by(now).min(end).saturating_sub(self.next);
            if due == 0 {
                return Ok(Step::Early(self.schedule.due(self.next)));
            }
            let count = due.min(self.batch.frames());
            if !flow.has_room(0, count) {
                return Ok(Step::WindowFull);
            }
            self.begin_write(now, count);
            flow.published[0].set(self.next);
        }
        match self.receiver.client().write(&self.batch.bytes()[self.unwritten.clone()])? {
            Moved::Bytes(len) => {
                self.unwritten.start += len;
                Ok(Step::Wrote)
            }
            Moved::Later => Ok(Step::SocketFull),
        }
    }

    /// Stamps the next messages and notes how late they are.
    fn begin_write(&mut self, now: Instant, count: u64) {
        let (mut seq, end) = (self.next, self.next + count);
        while seq < end {
            let (due, next) = (self.schedule.due(seq), self.schedule.next_burst(seq).min(end));
            if self.window.contains(&seq) {
                let late = now.saturating_duration_since(due.max(self.free_since));
                self.kept.late.saturating_record_n(nanos(late), next - seq);
                self.kept.behind(due, now);
            }
            seq = next;
        }
        let count_usize = usize::try_from(count).unwrap_or(usize::MAX);
        self.unwritten = 0..self.batch.stamp_some(self.next, count_usize);
        self.next += count;
    }

    /// The time is over: the end of the window, or here if that is too far away to be worth it.
    fn give_up_or_end(&mut self) -> u64 {
        let whole = self.window.end - self.window.start;
        let pause = self.schedule.between(Duration::ZERO, BACKLOG_TIME).end;
        let bearable = pause.max(whole / BACKLOG_SHARE);
        // What is left only becomes less, so the first look decides.
        let left = self.window.end.saturating_sub(self.next);
        if left > bearable {
            self.kept.unsent = left;
            self.kept.behind(self.schedule.due(self.next), Instant::now());
            self.next
        } else {
            self.window.end
        }
    }
}
