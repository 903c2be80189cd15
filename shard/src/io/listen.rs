//! Accepting, on the one shard that does.

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};

use crate::clock::Now;
use crate::event::EventSink;

use super::placement::Placement;
use super::socket_ring::SocketRing;

/// First pause after accepting failed, and the longest: each is twice the one before.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The listening socket, and where what it accepts goes.
pub(super) struct Acceptor {
    listener: TcpListener,
    /// Another process has it too.
    shared: bool,
    pub(super) placement: Placement,
    /// The next pause, and when accepting begins again if it is paused.
    pause: Duration,
    resume: Option<Now>,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, shared: bool, placement: Placement) -> Self {
        Self { listener, shared, placement, pause: PAUSE_MIN, resume: None }
    }

    /// Accepts from now on.
    pub(super) fn begin(&mut self, ring: &mut SocketRing) {
        self.resume = None;
        ring.accept(self.listener.as_fd());
    }

    /// Accepting failed: usually because the process has as many files open as it may. Going on at
    /// once would fail again, and take the core from the clients that are here.
    pub(super) fn failed(&mut self, now: Now, errno: Errno, events: &mut dyn EventSink) {
        if matches!(errno, Errno::CONNABORTED | Errno::INTR | Errno::AGAIN | Errno::CANCELED) {
            return;
        }
        self.resume = Some(now.after(self.pause));
        events.accept_failed(&errno.to_string(), self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }

    /// The ring does not accept any more: it begins again, now or after the pause.
    pub(super) fn ended(&mut self, ring: &mut SocketRing, now: Now) {
        match self.resume {
            None => {
                self.pause = PAUSE_MIN;
                self.begin(ring);
            }
            Some(_) => self.retry(ring, now),
        }
    }

    /// Begins again if the pause is over.
    pub(super) fn retry(&mut self, ring: &mut SocketRing, now: Now) {
        if self.resume.is_some_and(|resume| now >= resume) {
            self.begin(ring);
        }
    }

    /// Nobody is accepted any more. The ring may hold the socket for a while yet, so closing it
    /// would not be enough.
    pub(super) fn close(self, ring: &mut SocketRing) {
        if self.shared {
            // Who connects from here on is for whoever accepts next. One that the ring has accepted
            // and nobody has seen is closed, as if it had come a moment earlier. A ring that ends
            // before it gets to this accepts nothing more either.
            ring.cancel_accept();
        } else {
            // A socket that does not listen any more is what is wanted.
            let _ = shutdown(&self.listener, Shutdown::Both);
        }
    }

    /// How long until [`Self::retry`] has something to do.
    pub(super) fn retry_in(&self, now: Now) -> Option<Duration> {
        self.resume.map(|resume| resume.since(now))
    }
}
