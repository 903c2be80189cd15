//! Tries, on a throw-away ring, everything that a shard asks of io_uring.
//!
//! Kernels, sandboxes and security profiles differ in what they allow; a version number tells less
//! than doing it. The probe receives one byte through a ring set up as a shard's is.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::NonNull;

use io_uring::types::{BufRingEntry, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode};

/// What was tried when the host refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// Setting up the ring.
    Setup,
    /// Registering a ring of receive buffers.
    Buffers,
    /// Receiving into one of them with a request that stays.
    Receive,
}

/// That the host refused, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// What was tried.
    pub stage: Stage,
    /// The kernel's error number; 0 if it only did not do what it should.
    pub errno: i32,
}

const ENTRIES: u32 = 8;
const BUFFER_GROUP: u16 = 0;
const BUFFER_BYTES: u32 = 64;
const PAGE: usize = 4096;

/// Whether this host offers what a shard needs.
///
/// # Errors
/// Returns where and how it refused.
pub fn ring() -> Result<(), Refusal> {
    let at =
        |stage| move |error: io::Error| Refusal { stage, errno: error.raw_os_error().unwrap_or(0) };
    // Declared before the ring, so that it outlives what the kernel holds of it.
    let pages = Pages::new();
    let mut ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .build(ENTRIES)
        .map_err(at(Stage::Setup))?;
    register(&ring, &pages).map_err(at(Stage::Buffers))?;
    receive(&mut ring).map_err(at(Stage::Receive))
}

/// Two pages: a buffer ring of one entry, and the buffer.
struct Pages(NonNull<u8>);

impl Pages {
    const LAYOUT: Layout = match Layout::from_size_align(2 * PAGE, PAGE) {
        Ok(layout) => layout,
        Err(_) => panic!("a power of two"),
    };

    fn new() -> Self {
        // SAFETY: the layout has a size other than zero.
        let memory = unsafe { alloc_zeroed(Self::LAYOUT) };
        Self(NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(Self::LAYOUT)))
    }

    fn entry(&self) -> *mut BufRingEntry {
        self.0.as_ptr().cast()
    }

    fn buffer(&self) -> *mut u8 {
        // Stays inside the two pages.
        self.0.as_ptr().wrapping_add(PAGE)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, and freed once.
        unsafe { dealloc(self.0.as_ptr(), Self::LAYOUT) }
    }
}

fn register(ring: &IoUring, pages: &Pages) -> io::Result<()> {
    // SAFETY: the first page is zeroed, aligned for an entry, and nobody else uses it yet.
    let entry = unsafe { &mut *pages.entry() };
    entry.set_addr(pages.buffer() as u64);
    entry.set_len(BUFFER_BYTES);
    entry.set_bid(0);
    // SAFETY: the page is aligned, holds one entry, and outlives the ring.
    unsafe {
        ring.submitter().register_buf_ring_with_flags(pages.entry() as u64, 1, BUFFER_GROUP, 0)?;
    }
    // SAFETY: the pointer is to the first entry of a registered buffer ring, which holds the tail.
    let tail = unsafe { BufRingEntry::tail(pages.entry()) };
    // SAFETY: the tail lies inside the page; the kernel reads it only when a receive is submitted.
    unsafe { tail.cast_mut().write_volatile(1) };
    Ok(())
}

fn receive(ring: &mut IoUring) -> io::Result<()> {
    let (mut near, far) = UnixStream::pair()?;
    near.write_all(b"x")?;
    let request = opcode::RecvMulti::new(Fd(far.as_raw_fd()), BUFFER_GROUP).build();
    // SAFETY: the request points to no memory of its own; the buffers outlive the ring.
    unsafe { ring.submission().push(&request) }.map_err(io::Error::other)?;
    let patience = Timespec::new().sec(1);
    ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&patience))?;
    let completion = ring.completion().next().ok_or_else(|| io::Error::other("nothing came"))?;
    if completion.result() < 0 {
        return Err(io::Error::from_raw_os_error(-completion.result()));
    }
    let stays = cqueue::more(completion.flags());
    let placed = cqueue::buffer_select(completion.flags()) == Some(0);
    if completion.result() == 1 && stays && placed {
        Ok(())
    } else {
        Err(io::Error::other("one byte was sent, and something else was received"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_tests_offers_what_a_shard_needs() {
        assert_eq!(ring(), Ok(()));
    }
}
