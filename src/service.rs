//! The service manager: what it is told about this process, and what it looks at.
//!
//! This is systemd's protocol of datagrams (`sd_notify`), which other managers speak too. Without
//! one, nothing here does anything.
//!
//! Invariant: the watchdog is fed only while every shard turns. One that hangs leaves its clients
//! waiting for ever, and only a restart helps them.

use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tracing::error;

/// What must be added to the time that a lame duck takes: closing the last connections.
const MARGIN: Duration = Duration::from_secs(15);

/// What the service manager wants of this process.
#[derive(Debug)]
pub struct Service {
    /// The service is restarted unless it shows life this often.
    watchdog: Option<Duration>,
    fed: Instant,
}

impl Service {
    /// As the environment says.
    #[must_use]
    pub fn from_env() -> Self {
        let watchdog = sd_notify::watchdog_enabled().filter(|interval| !interval.is_zero());
        Self { watchdog, fed: Instant::now() }
    }

    /// How often [`Self::watch`] must be called, and each shard turn at least.
    #[must_use]
    pub fn rest(&self) -> Option<Duration> {
        self.watchdog.map(|interval| interval / 4)
    }

    /// Every listener accepts, and every shard runs.
    pub fn ready(&self, status: &str) {
        tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// The configuration is being read again. Must be followed by [`Self::ready`].
    pub fn reloading(&self) {
        // Without the time in the same message, newer managers end the service.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            tell(&[NotifyState::Reloading, now]);
        }
    }

    /// The end has begun, and takes at most about `time`.
    pub fn stopping(&self, status: &str, time: Duration) {
        let micros = u32::try_from((time + MARGIN).as_micros()).unwrap_or(u32::MAX);
        let extend = NotifyState::ExtendTimeoutUsec(micros);
        tell(&[NotifyState::Stopping, extend, NotifyState::Status(status)]);
    }

    /// Shows life, if the slowest shard turned so short a time ago that it cannot hang.
    pub fn watch(&mut self, slowest_turn: Duration) {
        let Some(interval) = self.watchdog else { return };
        if slowest_turn <= interval / 2 && self.fed.elapsed() >= interval / 5 {
            self.fed = Instant::now();
            tell(&[NotifyState::Watchdog]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        error!("The service manager cannot be told anything: {error}");
    }
}
