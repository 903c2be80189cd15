//! Subscribers: read, check, tell the publishers how far they are.

use std::time::Duration;

use anyhow::Result;

use super::flow::Flow;
use super::poller::Poller;
use super::receiver::{self, Receiver};
use super::{Phase, Steering};
use crate::check::Checker;

/// Silence after the end that proves that nothing comes twice.
const QUIET: Duration = Duration::from_millis(20);

/// Sees every message that was checked.
pub(super) trait Observer {
    /// What comes next was read from the socket just now.
    fn read(&mut self);
    fn message(&mut self, seq: u64);
}

/// Counting is enough.
impl Observer for () {
    fn read(&mut self) {}
    fn message(&mut self, _seq: u64) {}
}

/// Receives on all connections until the run is done and nothing more comes.
pub(super) fn subscribe(
    mut receivers: Vec<(usize, Receiver)>,
    frame_len: usize,
    flow: &Flow,
    steering: &Steering,
    observer: &mut impl Observer,
) -> Result<Vec<(usize, Checker)>> {
    let mut poller = Poller::new(receivers.iter().map(|(_, receiver)| receiver))?;
    let mut scratch = receiver::scratch(frame_len);
    loop {
        let done = steering.phase() == Phase::Done;
        let mut quiet = true;
        for at in poller.wait(QUIET)? {
            quiet = false;
            let (id, receiver) = &mut receivers[at];
            observer.read();
            receiver.receive(&mut scratch, |message| observer.message(message.seq))?;
            flow.received[*id].set(receiver.checker().received());
        }
        if done && (quiet || steering.failed()) {
            break;
        }
    }
    Ok(receivers.into_iter().map(|(id, receiver)| (id, receiver.into_checker())).collect())
}
