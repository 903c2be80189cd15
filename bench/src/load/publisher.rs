//! Publishers: frames as fast as the window and the socket allow.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::PollFlags;

use super::flow::Flow;
use super::receiver::{self, Receiver};
use super::{Phase, Steering};
use crate::check::CheckFailure;
use crate::client::{self, Moved};
use crate::wire::FrameBatch;

/// A full window is many milliseconds of work for any server, so a short sleep never runs it dry.
const WINDOW_POLL: Duration = Duration::from_micros(100);
const SOCKET_POLL: Duration = Duration::from_millis(20);
/// How often a publisher looks for PINGs and errors.
const LISTEN_EVERY: Duration = Duration::from_millis(20);
/// How long a server may refuse the last bytes.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);

/// One publishing connection.
#[derive(Debug)]
pub(super) struct Publisher {
    id: usize,
    receiver: Receiver,
    batch: FrameBatch,
    /// Sequence of the next message.
    next: u64,
    /// Bytes of the batch that the socket has taken; the whole batch if nothing is left to write.
    written: usize,
}

/// What an attempt to publish came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Wrote,
    WindowFull,
    SocketFull,
    Finished,
}

impl Publisher {
    pub(super) fn new(id: usize, receiver: Receiver, batch: FrameBatch) -> Self {
        let written = batch.bytes().len();
        Self { id, receiver, batch, next: 0, written }
    }

    /// One write. A batch once begun is always finished, so what counts as published is on the
    /// wire.
    fn step(&mut self, flow: &Flow, stopping: bool) -> Result<Step> {
        if self.written == self.batch.bytes().len() {
            self.receiver.answer_pings()?;
            if stopping {
                return Ok(Step::Finished);
            }
            if !flow.has_room(self.id, self.batch.frames()) {
                return Ok(Step::WindowFull);
            }
            self.batch.stamp(self.next);
            self.next += self.batch.frames();
            flow.published[self.id].set(self.next);
            self.written = 0;
        }
        match self.receiver.client().write(&self.batch.bytes()[self.written..])? {
            Moved::Bytes(len) => {
                self.written += len;
                Ok(Step::Wrote)
            }
            Moved::Later => Ok(Step::SocketFull),
        }
    }
}

/// Publishes on all connections in turn until the run stops.
pub(super) fn publish(
    mut publishers: Vec<Publisher>,
    flow: &Flow,
    steering: &Steering,
) -> Result<()> {
    let mut scratch = receiver::scratch(0);
    let (mut listened, mut wrote) = (Instant::now(), Instant::now());
    while !steering.failed() {
        let stopping = steering.phase() >= Phase::Stop;
        let mut steps = [0usize; 4];
        for publisher in &mut publishers {
            steps[publisher.step(flow, stopping)? as usize] += 1;
        }
        if listened.elapsed() > LISTEN_EVERY {
            for publisher in &mut publishers {
                publisher.receiver.read(&mut scratch, |_| {})?;
            }
            listened = Instant::now();
        }
        if steps[Step::Finished as usize] == publishers.len() {
            break;
        }
        if steps[Step::Wrote as usize] > 0 {
            wrote = listened;
        } else {
            if stopping && wrote.elapsed() > STUCK_TIMEOUT {
                let text = format!("server took no bytes for {STUCK_TIMEOUT:?}");
                return Err(CheckFailure(text).into());
            }
            if steps[Step::WindowFull as usize] > 0 {
                thread::sleep(WINDOW_POLL);
            } else {
                wait_for_sockets(&publishers)?;
            }
        }
    }
    for publisher in &mut publishers {
        if !steering.failed() {
            publisher.receiver.flush(&mut scratch)?;
        }
    }
    Ok(())
}

/// Waits until one of those that have something to write can do so.
fn wait_for_sockets(publishers: &[Publisher]) -> Result<()> {
    let clients: Vec<_> = publishers
        .iter()
        .filter(|publisher| publisher.written < publisher.batch.bytes().len())
        .map(|publisher| publisher.receiver.client())
        .collect();
    client::wait(&clients, PollFlags::OUT, SOCKET_POLL)?;
    Ok(())
}
