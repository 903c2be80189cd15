//! The chunks a shard keeps for its outboxes: two sizes, last in first out.

use crate::limits::{CHUNK_BYTES, CHUNK_POOL};

/// Size of the first chunk of a burst: one page, enough for what a quiet connection is told.
const SMALL_BYTES: usize = 4096;

/// Small chunks kept; as many bytes as the large ones.
const SMALL_POOL: usize = CHUNK_POOL * (CHUNK_BYTES / SMALL_BYTES);

/// Empty chunks of one shard. What does not fit is given back to the allocator.
#[derive(Debug, Default)]
pub struct ChunkPool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl ChunkPool {
    /// An empty chunk with room for `len` bytes at least.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let (kept, size) = if len <= SMALL_BYTES {
            (&mut self.small, SMALL_BYTES)
        } else if len <= CHUNK_BYTES {
            (&mut self.large, CHUNK_BYTES)
        } else {
            return Vec::with_capacity(len);
        };
        kept.pop().unwrap_or_else(|| Vec::with_capacity(size))
    }

    /// Takes a chunk back; its content is forgotten.
    pub(super) fn put(&mut self, mut chunk: Vec<u8>) {
        chunk.clear();
        let (kept, most) = match chunk.capacity() {
            SMALL_BYTES => (&mut self.small, SMALL_POOL),
            CHUNK_BYTES => (&mut self.large, CHUNK_POOL),
            _ => return,
        };
        if kept.len() < most {
            kept.push(chunk);
        }
    }
}
