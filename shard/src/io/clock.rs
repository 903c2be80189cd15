//! The one place that reads the clock.

use std::time::Instant;

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

    /// What it shows.
    #[must_use]
    pub fn now(&self) -> Now {
        Now::ZERO.after(self.beginning.elapsed())
    }
}
