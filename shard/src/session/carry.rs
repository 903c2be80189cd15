//! Carry: input that could not be processed yet, because an operation is incomplete or because the
//! connection has to wait.
//!
//! Complete operations are parsed where the kernel put them; only what straddles two reads, or
//! arrives while the connection is halted, is copied here.
//!
//! Bound: an incomplete operation is at most a control line and a payload, and grows with what was
//! received, not with what was declared; a halted connection is not read from any more once it
//! carries [`STASH_BYTES`], so that it holds at most that and what was already on its way.

/// A halted connection that carries this much is not read from until it goes on.
pub(super) const STASH_BYTES: usize = 64 << 10;

/// Capacity kept while nothing is carried.
const KEPT_BYTES: usize = 4096;

/// Bytes in the order they arrived.
#[derive(Debug, Default)]
pub(super) struct Carry {
    bytes: Vec<u8>,
    done: usize,
    /// Length at which it is worth parsing again; zero if the next line end will tell.
    need: usize,
}

impl Carry {
    pub(super) fn is_empty(&self) -> bool {
        self.done == self.bytes.len()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// What is carried.
    pub(super) fn unread(&self) -> &[u8] {
        self.bytes.get(self.done..).unwrap_or_default()
    }

    /// Takes from `input` what may complete the operation that is carried, and returns how much
    /// that was.
    pub(super) fn top_up(&mut self, input: &[u8]) -> usize {
        let missing = self.need.saturating_sub(self.len());
        let count = if missing > 0 {
            missing.min(input.len())
        } else {
            memchr::memchr(b'\n', input).map_or(input.len(), |at| at + 1)
        };
        self.stash(input.get(..count).unwrap_or_default());
        count
    }

    /// Adds `input` behind the rest.
    pub(super) fn stash(&mut self, input: &[u8]) {
        if self.is_empty() {
            self.bytes.clear();
            self.done = 0;
        }
        self.bytes.extend_from_slice(input);
    }

    /// The operation that is carried needs `need` bytes in all; zero if that is not known.
    pub(super) fn expect(&mut self, need: usize) {
        self.need = need;
    }

    /// Whether enough is there to parse again.
    pub(super) fn is_ripe(&self) -> bool {
        self.len() >= self.need
    }

    /// Forgets the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.done += count;
        self.need = 0;
        if self.is_empty() {
            self.bytes.clear();
            self.done = 0;
            if self.bytes.capacity() > KEPT_BYTES {
                self.bytes = Vec::new();
            }
        } else if self.done > STASH_BYTES && self.done > self.bytes.len() / 2 {
            self.bytes.drain(..self.done);
            self.done = 0;
        }
    }

    /// Takes the whole carry out, to be parsed while the session changes.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}
