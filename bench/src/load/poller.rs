//! Readiness of many sockets for one thread.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

/// Sockets reported by one wait.
const BATCH: usize = 256;

/// An epoll set; sockets are known by the position they were added with.
pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub(super) fn new<'a, S: AsFd + 'a>(sockets: impl Iterator<Item = &'a S>) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("epoll")?;
        for (idx, socket) in sockets.enumerate() {
            let key = epoll::EventData::new_u64(idx as u64);
            epoll::add(&epoll, socket, key, epoll::EventFlags::IN).context("epoll")?;
        }
        Ok(Self { epoll, events: Vec::with_capacity(BATCH) })
    }

    /// Positions of the sockets that can be read, or were closed; none if the time is up.
    pub(super) fn wait(&mut self, timeout: Duration) -> Result<impl Iterator<Item = usize> + '_> {
        let timeout = Timespec::try_from(timeout).context("timeout")?;
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll"),
        }
        Ok(self.events.iter().map(|event| usize::try_from(event.data.u64()).unwrap_or(usize::MAX)))
    }
}
