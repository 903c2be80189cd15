//! A socket as both of its ends see it: a queue of bytes each way, with a bounded window towards
//! the client, and ends that close in every order.

use std::collections::VecDeque;

use fastrand::Rng;

/// What the client has done with its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ClientEnd {
    Open,
    /// It said that nothing more will come, and still reads.
    Finished,
    /// It vanished.
    Reset,
}

/// What the server has done with its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ServerEnd {
    Open,
    /// It said that nothing more will come.
    Finished,
    /// It let go of the socket.
    Closed,
}

/// How a write of the server ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    All(usize),
    Some(usize),
    Failed,
}

/// One connection between a client and a shard.
#[derive(Debug)]
pub(super) struct Socket {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    /// Bytes that may be on their way to the client.
    window: usize,
    /// There is no such bound for now.
    pub(super) wide: bool,
    pub(super) client: ClientEnd,
    pub(super) server: ServerEnd,
}

impl Socket {
    pub(super) fn new(window: usize) -> Self {
        Self {
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            window,
            wide: false,
            client: ClientEnd::Open,
            server: ServerEnd::Open,
        }
    }

    /// The client sends.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.client == ClientEnd::Open && self.server != ServerEnd::Closed {
            self.to_server.extend(bytes);
        }
    }

    /// The client reads at most `most` bytes.
    pub(super) fn read(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.to_client.len());
        self.to_client.drain(..count).collect()
    }

    /// Whether the client has read everything there will ever be.
    pub(super) fn is_over(&self) -> bool {
        self.server != ServerEnd::Open && self.to_client.is_empty()
    }

    /// The client hangs up.
    pub(super) fn hang_up(&mut self, end: ClientEnd, rng: &mut Rng) {
        if self.client == ClientEnd::Reset {
            return;
        }
        self.client = end;
        if end == ClientEnd::Reset {
            self.to_client.clear();
            let kept = rng.usize(..=self.to_server.len());
            self.to_server.truncate(kept);
        }
    }

    /// Whether the server would find anything: bytes, or the end of them.
    pub(super) fn has_input(&self) -> bool {
        !self.to_server.is_empty() || self.client != ClientEnd::Open
    }

    /// The server receives at most `most` bytes; none means that the client hung up.
    pub(super) fn receive(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.to_server.len());
        self.to_server.drain(..count).collect()
    }

    /// Whether the server would write without waiting.
    pub(super) fn is_writable(&self) -> bool {
        self.client == ClientEnd::Reset || self.room() > 0
    }

    fn room(&self) -> usize {
        let window = if self.wide { usize::MAX } else { self.window };
        window.saturating_sub(self.to_client.len())
    }

    /// The server writes. Unless `eager`, the kernel takes as much as it likes.
    pub(super) fn write(&mut self, bytes: &[u8], eager: bool, rng: &mut Rng) -> Written {
        if self.client == ClientEnd::Reset {
            // The first bytes after the client has gone may still be taken, and are lost.
            return if rng.bool() { Written::Failed } else { Written::All(bytes.len()) };
        }
        let room = self.room().min(bytes.len());
        let count = if eager || rng.u8(..4) > 0 { room } else { rng.usize(..=room) };
        self.to_client.extend(bytes.iter().take(count));
        if count == bytes.len() { Written::All(count) } else { Written::Some(count) }
    }
}
