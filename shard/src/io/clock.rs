//! The one place that reads the clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::clock::Now;

/// The monotonic clock of a process; all its shards count from the same beginning.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    beginning: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { beginning: Instant::now() }
    }

    /// The time since 1970 when it began, as the clock on the wall has it now.
    #[must_use]
    pub fn wall(&self) -> Duration {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.saturating_sub(self.beginning.elapsed())
    }

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Now {
        Now::ZERO.after(self.beginning.elapsed())
    }
}
