//! Signals, as events that the main thread waits for.
//!
//! They are blocked before any thread is started, so that none is delivered to a shard or to the
//! log thread, and no call of theirs is interrupted.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// SIGINT, SIGTERM: stop cleanly.
    Stop,
    /// SIGUSR1: open the log file again.
    ReopenLog,
    /// SIGHUP: read the configuration again.
    Reload,
    /// SIGUSR2: let clients move away, then stop.
    LameDuck,
}

/// A request and the name of the signal that made it, as Go prints it.
pub type Trapped = (Request, &'static str);

const TRAPPED: [(Signal, Trapped); 5] = [
    (Signal::SIGINT, (Request::Stop, "interrupt")),
    (Signal::SIGTERM, (Request::Stop, "terminated")),
    (Signal::SIGUSR1, (Request::ReopenLog, "user defined signal 1")),
    (Signal::SIGHUP, (Request::Reload, "hangup")),
    (Signal::SIGUSR2, (Request::LameDuck, "user defined signal 2")),
];

/// The signals of this process, blocked in the thread that holds this and those it starts.
#[derive(Debug)]
pub struct Signals(SigSet);

impl Signals {
    /// Blocks them. Must come before the first thread is started.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn block() -> Result<Self, Errno> {
        let set: SigSet = TRAPPED.iter().map(|(signal, _)| *signal).collect();
        set.thread_block()?;
        Ok(Self(set))
    }

    /// Waits for the next one. If the kernel cannot even wait, the only safe request is to stop.
    #[must_use]
    pub fn wait(&self) -> Trapped {
        loop {
            match self.0.wait() {
                Ok(signal) => {
                    if let Some((_, trapped)) = TRAPPED.iter().find(|(known, _)| *known == signal) {
                        return *trapped;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return (Request::Stop, "terminated"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::pthread::{pthread_kill, pthread_self};

    use super::*;

    #[test]
    fn every_signal_becomes_its_request() {
        let signals = Signals::block().unwrap();
        for (signal, trapped) in TRAPPED {
            pthread_kill(pthread_self(), signal).unwrap();
            assert_eq!(signals.wait(), trapped);
        }
    }
}
