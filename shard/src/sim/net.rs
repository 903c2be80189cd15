//! A socket as both of its ends see it: a queue of bytes each way, with a bounded window towards
//! the client, and ends that close in every order.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::transport::toy::ToyClient;

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
    secret: Option<Secret>,
}

/// A client that seals what it sends, once it has read INFO.
#[derive(Debug)]
struct Secret {
    toy: ToyClient,
    /// INFO as far as it was read; all of it once the handshake has begun.
    info: Vec<u8>,
    /// Said before the handshake was over.
    unsaid: Vec<u8>,
    /// It is to hang up like this, once that was said.
    leaves: bool,
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
            secret: None,
        }
    }

    /// The client seals what it sends from INFO on.
    pub(super) fn seal(&mut self, key: u8) {
        let toy = ToyClient::new(key);
        let (info, unsaid) = (Vec::new(), Vec::new());
        self.secret = Some(Secret { toy, info, unsaid, leaves: false });
    }

    /// Whether what the client sends leaves it: who seals has to have read INFO first.
    pub(super) fn speaks(&self) -> bool {
        self.secret.as_ref().is_none_or(|secret| secret.toy.is_open())
    }

    /// The client sends.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.client != ClientEnd::Open || self.server == ServerEnd::Closed {
            return;
        }
        match &mut self.secret {
            None => self.to_server.extend(bytes),
            // It has said its last.
            Some(secret) if secret.leaves => {}
            Some(secret) if !secret.toy.is_open() => secret.unsaid.extend(bytes),
            Some(secret) => self.to_server.extend(secret.toy.seal(bytes)),
        }
    }

    /// The client reads at most `most` bytes.
    pub(super) fn read(&mut self, most: usize) -> Vec<u8> {
        let count = most.min(self.to_client.len());
        let bytes: Vec<u8> = self.to_client.drain(..count).collect();
        let Some(secret) = &mut self.secret else { return bytes };
        let mut plain = Vec::new();
        let mut sealed = bytes.as_slice();
        if !secret.info.ends_with(b"\r\n") {
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
            let (info, rest) = bytes.split_at(end);
            secret.info.extend_from_slice(info);
            plain.extend_from_slice(info);
            sealed = rest;
            if secret.info.ends_with(b"\r\n") {
                self.to_server.extend(secret.toy.hello());
            }
        }
        let (opened, answer) = secret.toy.take(sealed);
        plain.extend(opened);
        self.to_server.extend(&answer);
        if !answer.is_empty() {
            let unsaid = std::mem::take(&mut secret.unsaid);
            self.to_server.extend(secret.toy.seal(&unsaid));
            if secret.leaves && self.client == ClientEnd::Open {
                self.to_server.extend(ToyClient::end());
                self.client = ClientEnd::Finished;
            }
        }
        plain
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
        if let Some(secret) = &mut self.secret
            && end == ClientEnd::Finished
            && !secret.toy.is_open()
            && self.server == ServerEnd::Open
        {
            secret.leaves = true;
            return;
        }
        // Not every client says so before its socket does.
        if let Some(secret) = &self.secret
            && (self.client, end) == (ClientEnd::Open, ClientEnd::Finished)
            && secret.toy.is_open()
            && rng.bool()
        {
            self.to_server.extend(ToyClient::end());
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
