//! The chunks a shard keeps for its outboxes: two sizes, last in first out.

use crate::limits::{CHUNK_BYTES, CHUNK_POOL};

use super::put;

/// Size of the first chunk of a burst: one page, enough for what a quiet connection is told.
const SMALL_BYTES: usize = 4096;

/// Small chunks kept; as many bytes as the large ones.
const SMALL_POOL: usize = CHUNK_POOL * (CHUNK_BYTES / SMALL_BYTES);

/// Bytes of an outbox that lie one after the other.
///
/// The memory of one from the pool is written once with zeros, when it is made, and counts as
/// initialised from then on, so that frames can be written into it as into any slice. One that is
/// larger is made for a single frame, and is not.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    memory: Vec<u8>,
    /// How much of it holds something.
    len: usize,
}

impl Chunk {
    /// How many bytes there is room for in all.
    pub(super) fn size(&self) -> usize {
        self.memory.capacity()
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.memory.get(..self.len).unwrap_or_default()
    }

    pub(super) fn fits(&self, len: usize) -> bool {
        self.size() - self.len >= len
    }

    /// The next `len` bytes, to be written; they belong to what it holds from now on.
    #[inline]
    pub(super) fn room(&mut self, len: usize) -> Option<&mut [u8]> {
        let end = self.len + len;
        let room = self.memory.get_mut(self.len..end)?;
        self.len = end;
        Some(room)
    }

    /// The same with `slack` bytes more, which may be written too and belong to nothing.
    #[inline(always)]
    pub(super) fn room_with_slack(&mut self, len: usize, slack: usize) -> Option<&mut [u8]> {
        let end = self.len + len;
        let room = self.memory.get_mut(self.len..end + slack)?;
        self.len = end;
        Some(room)
    }

    /// Appends `parts`, which are `len` bytes and fit.
    pub(super) fn append(&mut self, parts: &[&[u8]], len: usize) {
        debug_assert!(self.fits(len), "the caller has seen to it");
        if let Some(mut room) = self.room(len) {
            for part in parts {
                room = put(room, part);
            }
            return;
        }
        debug_assert_eq!(self.memory.len(), self.len, "made for this frame");
        parts.iter().for_each(|part| self.memory.extend_from_slice(part));
        self.len = self.memory.len();
    }
}

/// Empty chunks of one shard. What does not fit is given back to the allocator.
#[derive(Debug, Default)]
pub struct ChunkPool {
    small: Vec<Chunk>,
    large: Vec<Chunk>,
}

impl ChunkPool {
    /// An empty chunk with room for `len` bytes at least.
    pub(super) fn take(&mut self, len: usize) -> Chunk {
        let (kept, size) = if len <= SMALL_BYTES {
            (&mut self.small, SMALL_BYTES)
        } else if len <= CHUNK_BYTES {
            (&mut self.large, CHUNK_BYTES)
        } else {
            return Chunk { memory: Vec::with_capacity(len), len: 0 };
        };
        kept.pop().unwrap_or_else(|| Chunk { memory: vec![0; size], len: 0 })
    }

    /// Takes a chunk back; its content is forgotten.
    pub(super) fn put(&mut self, mut chunk: Chunk) {
        chunk.len = 0;
        let (kept, most) = match chunk.memory.len() {
            SMALL_BYTES => (&mut self.small, SMALL_POOL),
            CHUNK_BYTES => (&mut self.large, CHUNK_POOL),
            _ => return,
        };
        if kept.len() < most {
            kept.push(chunk);
        }
    }
}
