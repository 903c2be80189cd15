//! Outbox: bytes that wait for one connection.
//!
//! A publisher appends whole frames; the driver writes what is there with one `send` and reports
//! how much the socket took. Bytes lie in chunks: a frame is copied once, never moved again, except
//! that the first, small chunk of a burst is copied into a large one when it overflows. Chunks come
//! from a pool of the shard, so that an idle connection holds none and a busy shard reuses the few
//! that are warm in its cache.
//!
//! Bounds: the caller compares [`Outbox::queued`] with `max_pending` before it appends.
//!
//! Invariant: `queued` is the sum of the chunks' lengths minus `written`; `written` is less than
//! the length of the front chunk, or zero.

mod copy;
mod pool;
#[cfg(test)]
mod tests;

pub use copy::put;
pub use pool::ChunkPool;

use std::collections::VecDeque;

use pool::Chunk;

use crate::limits::CHUNK_BYTES;

/// Bytes waiting for one connection, oldest first.
#[derive(Debug, Default)]
pub struct Outbox {
    sealed: VecDeque<Chunk>,
    open: Chunk,
    written: usize,
    queued: usize,
}

impl Outbox {
    /// Bytes waiting.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queued == 0
    }

    /// Room for a frame of exactly `len` bytes, which the caller fills to the last one, and for
    /// `slack` bytes behind it, which may be written too. Nothing if there is none without another
    /// chunk: then the frame has to be appended.
    #[inline(always)]
    pub fn room(&mut self, len: usize, slack: usize) -> Option<&mut [u8]> {
        let room = self.open.room_with_slack(len, slack)?;
        self.queued += len;
        Some(room)
    }

    /// Appends `parts` as one frame.
    pub fn append(&mut self, parts: &[&[u8]], pool: &mut ChunkPool) {
        let len = parts.iter().map(|part| part.len()).sum();
        if !self.open.fits(len) {
            self.grow(len, pool);
        }
        self.queued += len;
        self.open.append(parts, len);
    }

    /// Makes the open chunk one that has room for `len` bytes.
    #[cold]
    fn grow(&mut self, len: usize, pool: &mut ChunkPool) {
        if self.open.is_empty() {
            pool.put(std::mem::take(&mut self.open));
            self.open = pool.take(len);
            return;
        }
        if self.open.size() < CHUNK_BYTES && self.open.len() + len <= CHUNK_BYTES {
            let mut larger = pool.take(CHUNK_BYTES);
            larger.append(&[self.open.bytes()], self.open.len());
            pool.put(std::mem::replace(&mut self.open, larger));
            return;
        }
        let fresh = pool.take(len.max(CHUNK_BYTES));
        self.sealed.push_back(std::mem::replace(&mut self.open, fresh));
    }

    /// Appends `bytes` as one frame.
    pub fn push(&mut self, bytes: &[u8], pool: &mut ChunkPool) {
        self.append(&[bytes], pool);
    }

    /// The bytes to write next: at most `most` contiguous pieces, oldest first.
    pub fn pieces(&self, most: usize) -> impl Iterator<Item = &[u8]> {
        let skip = std::iter::once(self.written).chain(std::iter::repeat(0));
        self.sealed
            .iter()
            .chain(std::iter::once(&self.open))
            .zip(skip)
            .map(|(chunk, skip)| chunk.bytes().get(skip..).unwrap_or_default())
            .filter(|piece| !piece.is_empty())
            .take(most)
    }

    /// Whether everything that waits is one piece.
    #[must_use]
    pub fn is_one_piece(&self) -> bool {
        self.sealed.is_empty()
    }

    /// The socket took the oldest `count` bytes. Chunks that are done go back to the pool.
    pub fn advance(&mut self, count: usize, pool: &mut ChunkPool) {
        debug_assert!(count <= self.queued, "more written than was queued");
        self.queued -= count;
        self.written += count;
        while let Some(front) = self.sealed.front()
            && self.written >= front.len()
        {
            self.written -= front.len();
            if let Some(done) = self.sealed.pop_front() {
                pool.put(done);
            }
        }
        if self.queued == 0 {
            self.written = 0;
            pool.put(std::mem::take(&mut self.open));
            if self.sealed.capacity() > 64 {
                self.sealed = VecDeque::new();
            }
        }
    }

    /// Forgets everything that waits.
    pub fn clear(&mut self, pool: &mut ChunkPool) {
        self.advance(self.queued, pool);
    }
}
