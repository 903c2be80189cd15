//! Requests to read the configuration again: they go the way of everybody else, which is a signal,
//! and hear what came of it.

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// What came of reading the configuration again: nothing to say, or what is wrong with it.
pub(super) type Outcome = Result<(), String>;

/// Outcomes that nobody has heard yet. Who asked hears the next one.
const OUTCOMES_MAX: usize = 16;

/// Where the process says what came of reading the configuration again.
#[derive(Clone, Debug)]
pub struct Reload(Sender<Outcome>);

impl Reload {
    /// That, and where it is heard.
    #[must_use]
    pub fn new() -> (Self, Receiver<Result<(), String>>) {
        let (said, heard) = bounded(OUTCOMES_MAX);
        (Self(said), heard)
    }

    /// It was read again, or not.
    pub fn answer(&self, outcome: &Result<(), String>) {
        match self.0.try_send(outcome.clone()) {
            // Full only while nobody listens, who then has nothing to answer either.
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Has the configuration read again.
pub(super) fn ask() -> Result<(), String> {
    kill(Pid::this(), Signal::SIGHUP).map_err(|error| error.to_string())
}
