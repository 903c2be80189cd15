//! Waking a shard that sleeps in its socket ring: an eventfd that the ring watches.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io;

/// Wakes one shard. Shared by everybody who may have to.
#[derive(Debug)]
pub(super) struct Waker {
    eventfd: OwnedFd,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { eventfd: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    /// Wakes the shard, or makes its next sleep a short one.
    pub(super) fn wake(&self) {
        // The only way to fail is a counter that is full, and then the shard is being woken.
        let _ = io::write(&self.eventfd, &1u64.to_ne_bytes());
    }

    /// The shard has noticed.
    pub(super) fn clear(&self) {
        let mut count = [0; 8];
        // Nothing to read means that an earlier call read it.
        let _ = io::read(&self.eventfd, &mut count);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}
