//! Signals, as events that the main thread waits for.
//!
//! They are blocked before any thread is started, so that none is delivered to a shard or to the
//! log thread, and no call of theirs is interrupted.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// SIGINT: stop cleanly.
    Stop,
    /// SIGTERM: stop cleanly, unless a lame duck is about to do so.
    Terminate,
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
    (Signal::SIGTERM, (Request::Terminate, "terminated")),
    (Signal::SIGUSR1, (Request::ReopenLog, "user defined signal 1")),
    (Signal::SIGHUP, (Request::Reload, "hangup")),
    (Signal::SIGUSR2, (Request::LameDuck, "user defined signal 2")),
];

/// The signals of this process, blocked in the thread that holds this and those it starts.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks them. Must come before the first thread is started.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn block() -> Result<Self, Errno> {
        let set: SigSet = TRAPPED.iter().map(|(signal, _)| *signal).collect();
        set.thread_block()?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Self)
    }

    /// Waits for the next one, at most for `time`. If the kernel cannot even wait, the only safe
    /// request is to stop.
    #[must_use]
    pub fn wait(&self, time: Option<Duration>) -> Option<Trapped> {
        let deadline = time.map(|time| Instant::now() + time);
        loop {
            match self.0.read_signal() {
                Ok(Some(info)) => {
                    let known = |(signal, _): &&(Signal, Trapped)| {
                        u32::try_from(*signal as i32) == Ok(info.ssi_signo)
                    };
                    if let Some((_, trapped)) = TRAPPED.iter().find(known) {
                        return Some(*trapped);
                    }
                }
                Ok(None) => {
                    let left = deadline.map(|deadline| deadline - Instant::now().min(deadline));
                    if left.is_some_and(|left| left.is_zero()) {
                        return None;
                    }
                    // Rounded up, lest the last millisecond be spent in a loop.
                    let millis = left.map(|left| left.as_millis() + 1);
                    let timeout = millis.map_or(PollTimeout::NONE, |millis| {
                        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
                    });
                    let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
                    if poll(&mut fds, timeout).is_err_and(|errno| errno != Errno::EINTR) {
                        return Some((Request::Stop, "interrupt"));
                    }
                }
                Err(Errno::EINTR) => {}
                Err(_) => return Some((Request::Stop, "interrupt")),
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
            assert_eq!(signals.wait(None), Some(trapped));
        }
        let begin = Instant::now();
        assert_eq!(signals.wait(Some(Duration::from_millis(20))), None);
        assert!(begin.elapsed() >= Duration::from_millis(20));
    }
}
