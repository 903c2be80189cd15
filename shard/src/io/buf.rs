//! Where the kernel puts what it receives: a ring of buffers shared by all sockets of a shard.
//!
//! The kernel takes buffers from the ring in the order they were put there. On kernels that can
//! (6.12), it fills one buffer with what several sockets sent, one piece after the other, before it
//! takes the next: a few large buffers then serve thousands of quiet sockets as well as one loud
//! one, and the memory in use stays small enough for the cache. On older kernels each receive takes
//! a whole buffer.
//!
//! Bound: [`BUFFERS`] times [`BUFFER_BYTES`]; when all are taken, receives end with `ENOBUFS` and
//! are armed again after the buffers came back.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Buffers in the ring; a power of two.
pub(super) const BUFFERS: u16 = 32;

/// Bytes of one buffer.
pub(super) const BUFFER_BYTES: u32 = 64 << 10;

/// The only group of buffers there is.
pub(super) const GROUP: u16 = 0;

/// Fill buffers piece by piece (`IOU_PBUF_RING_INC`).
const INCREMENTAL: u16 = 2;

const PAGE: usize = 4096;

const _: () = assert!(BUFFERS.is_power_of_two());

/// Memory aligned to pages, zeroed, freed on drop.
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn new(len: usize) -> Self {
        let layout = Layout::from_size_align(len.next_multiple_of(PAGE), PAGE)
            .unwrap_or_else(|_| Layout::new::<[u8; PAGE]>());
        // SAFETY: the layout is not empty, no buffer and no ring is.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Self { start, layout }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout, and freed only here.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// The buffers of one ring. Must outlive the ring's registration, so the ring is closed first.
pub(super) struct RecvBuffers {
    ring: Pages,
    memory: Pages,
    tail: u16,
    /// How far the kernel has filled each buffer.
    filled: Vec<u32>,
    incremental: bool,
}

/// One piece of received data: where it is until [`RecvBuffers::release`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    buffer: u16,
    offset: u32,
    len: u32,
    last: bool,
}

impl RecvBuffers {
    /// Makes the buffers and gives them to `ring`.
    pub(super) fn register(ring: &IoUring) -> io::Result<Self> {
        let mut buffers = Self {
            ring: Pages::new(usize::from(BUFFERS) * size_of::<BufRingEntry>()),
            memory: Pages::new(usize::from(BUFFERS) * BUFFER_BYTES as usize),
            tail: 0,
            filled: vec![0; usize::from(BUFFERS)],
            incremental: true,
        };
        let address = buffers.ring.start.as_ptr() as u64;
        let submitter = ring.submitter();
        let register = |flags: u16| {
            // SAFETY: the pages stay where they are until `self` is dropped, after the ring.
            unsafe { submitter.register_buf_ring_with_flags(address, BUFFERS, GROUP, flags) }
        };
        if let Err(error) = register(INCREMENTAL) {
            if error.raw_os_error() != Some(rustix::io::Errno::INVAL.raw_os_error()) {
                return Err(error);
            }
            register(0)?;
            buffers.incremental = false;
        }
        for buffer in 0..BUFFERS {
            buffers.put(buffer);
        }
        Ok(buffers)
    }

    /// Puts a buffer at the tail of the ring.
    fn put(&mut self, buffer: u16) {
        let entries = self.ring.start.cast::<BufRingEntry>();
        let place = usize::from(self.tail % BUFFERS);
        // SAFETY: `place` is below the number of entries that the pages were made for.
        let entry = unsafe { entries.add(place) };
        let offset = usize::from(buffer) * BUFFER_BYTES as usize;
        // SAFETY: `buffer` is below the number of buffers that the pages were made for.
        let memory = unsafe { self.memory.start.add(offset) };
        // SAFETY: the kernel reads entries only before the tail, and this one lies at it, so
        // nobody else has this entry. Zeroed pages are valid entries.
        let entry = unsafe { &mut *entry.as_ptr() };
        entry.set_addr(memory.as_ptr() as u64);
        entry.set_len(BUFFER_BYTES);
        entry.set_bid(buffer);
        if let Some(filled) = self.filled.get_mut(usize::from(buffer)) {
            *filled = 0;
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the address of the first entry of a registered ring.
        let tail = unsafe { BufRingEntry::tail(entries.as_ptr()) };
        // SAFETY: aligned, as a field of an entry; the kernel only reads it.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }

    /// The kernel put `len` bytes into `buffer`, behind what it put there before; `more` says that
    /// it will put more there. To be called for every completion, in order.
    pub(super) fn piece(&mut self, buffer: u16, len: u32, more: bool) -> Option<Piece> {
        let filled = self.filled.get_mut(usize::from(buffer))?;
        let offset = *filled;
        *filled = offset.checked_add(len).filter(|end| *end <= BUFFER_BYTES)?;
        Some(Piece { buffer, offset, len, last: !(self.incremental && more) })
    }

    /// The bytes of a piece.
    pub(super) fn bytes(&self, piece: Piece) -> &[u8] {
        let start = usize::from(piece.buffer) * BUFFER_BYTES as usize + piece.offset as usize;
        // SAFETY: `piece` checked that it lies within its buffer, and the buffer within the pages.
        let start = unsafe { self.memory.start.add(start) };
        // SAFETY: the kernel has written these bytes and writes elsewhere until the whole buffer
        // is put back, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(start.as_ptr(), piece.len as usize) }
    }

    /// A piece was read. When it was the last of its buffer, the kernel gets that again.
    pub(super) fn release(&mut self, piece: Piece) {
        if piece.last {
            self.put(piece.buffer);
        }
    }
}
