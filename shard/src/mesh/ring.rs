//! A ring with one producer and one consumer: the only lock-free code and the only `unsafe` of the
//! data plane.
//!
//! The producer owns `tail`, the consumer owns `head`; both count up for ever and wrap around. The
//! slots in `head..tail` belong to the consumer, the others to the producer. An index is stored
//! with release when its owner is done with the slots behind it, and loaded with acquire by the
//! other side before that touches them. Either side keeps a copy of the other's index and looks
//! again only when the copy says full or empty, and an index is stored once per batch, not once
//! per value: that is the difference between 1 ns and 30 ns per value.
//!
//! A slot is an `Option`, `None` unless it holds a value on its way, so values that were never
//! popped (or never published) are dropped with the ring, by safe code.
//!
//! Invariant: `head <= published <= tail <= head + capacity`, in wrapping arithmetic.

use super::sync::{Arc, AtomicUsize, Ordering, UnsafeCell};

/// Two cache lines, because the hardware fetches lines in pairs: an index shares them with nothing.
#[repr(align(128))]
struct Line<T>(T);

struct Shared<T> {
    /// First slot that the consumer still uses. Stored by the consumer only.
    head: Line<AtomicUsize>,
    /// First slot that the producer has not published. Stored by the producer only.
    tail: Line<AtomicUsize>,
    slots: Line<Box<[UnsafeCell<Option<T>>]>>,
}

// SAFETY: a slot is touched by the one producer or by the one consumer, never by both at a time
// (see the invariant above), and values only move from one thread to the other: `T: Send`.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// The slot of a running index.
    #[inline]
    fn slot(&self, index: usize) -> &UnsafeCell<Option<T>> {
        &self.slots.0[index & (self.slots.0.len() - 1)]
    }
}

/// The side that puts values in.
pub struct Producer<T> {
    shared: Arc<Shared<T>>,
    /// Slots filled, published or not.
    tail: usize,
    /// What the consumer may see.
    published: usize,
    /// Where the consumer was when we last looked.
    head: usize,
}

/// The side that takes values out, in the order in which they were put in.
pub struct Consumer<T> {
    shared: Arc<Shared<T>>,
    /// Slots emptied, handed back or not.
    head: usize,
    /// What the producer may fill again.
    released: usize,
    /// What was published when we last looked.
    tail: usize,
}

/// A ring of at least `capacity` slots, rounded up to a power of two.
pub fn ring<T: Send>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let slots = (0..capacity.next_power_of_two()).map(|_| UnsafeCell::new(None)).collect();
    ring_at(0, slots)
}

/// A ring whose indices begin at `start`, so that tests see them wrap around.
fn ring_at<T: Send>(
    start: usize,
    slots: Box<[UnsafeCell<Option<T>>]>,
) -> (Producer<T>, Consumer<T>) {
    debug_assert!(slots.len().is_power_of_two());
    let index = || Line(AtomicUsize::new(start));
    let shared = Arc::new(Shared { head: index(), tail: index(), slots: Line(slots) });
    let producer =
        Producer { shared: Arc::clone(&shared), tail: start, published: start, head: start };
    (producer, Consumer { shared, head: start, released: start, tail: start })
}

impl<T: Send> Producer<T> {
    /// Puts a value behind the others. The consumer sees it only after [`Self::publish`].
    ///
    /// # Errors
    /// Gives the value back if every slot is taken.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<(), T> {
        if self.tail.wrapping_sub(self.head) == self.capacity() && self.free() == 0 {
            return Err(value);
        }
        self.shared.slot(self.tail).with_mut(|slot| {
            // SAFETY: `tail - head < capacity`, so the slot is outside `head..tail` and ours; what
            // the consumer did to it happened before the acquire load that told us its `head`. The
            // consumer left `None` there, so overwriting without dropping loses nothing.
            unsafe { slot.write(Some(value)) }
        });
        self.tail = self.tail.wrapping_add(1);
        Ok(())
    }

    /// Shows the consumer everything pushed so far, with one store. True if there was anything new.
    #[inline]
    pub fn publish(&mut self) -> bool {
        if self.tail == self.published {
            return false;
        }
        self.shared.tail.0.store(self.tail, Ordering::Release);
        self.published = self.tail;
        true
    }

    /// Whether the consumer may see everything that was pushed.
    #[inline]
    #[must_use]
    pub fn is_published(&self) -> bool {
        self.tail == self.published
    }

    /// Slots that are free now, by a fresh look at the consumer's index.
    pub fn free(&mut self) -> usize {
        self.head = self.shared.head.0.load(Ordering::Acquire);
        self.capacity() - self.tail.wrapping_sub(self.head)
    }

    /// Slots in all.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.shared.slots.0.len()
    }
}

impl<T: Send> Consumer<T> {
    /// Takes the oldest value. Emptied slots go back to the producer when everything that was
    /// known to be published is drained, and when [`Self::release`] is called: who pops until
    /// `None` never needs to call it.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        if self.head == self.tail {
            self.release();
            if self.is_empty() {
                return None;
            }
        }
        let value = self.shared.slot(self.head).with_mut(|slot| {
            // SAFETY: `head < tail`, so the slot is ours; what the producer wrote to it happened
            // before the acquire load that told us its `tail`.
            unsafe { (*slot).take() }
        });
        debug_assert!(value.is_some(), "a published slot holds a value");
        self.head = self.head.wrapping_add(1);
        value
    }

    /// Hands the slots emptied so far back to the producer, with one store.
    #[inline]
    pub fn release(&mut self) {
        if self.head != self.released {
            self.shared.head.0.store(self.head, Ordering::Release);
            self.released = self.head;
        }
    }

    /// Whether nothing is waiting, by a fresh look at the producer's index.
    #[inline]
    pub fn is_empty(&mut self) -> bool {
        self.tail = self.shared.tail.0.load(Ordering::Acquire);
        self.head == self.tail
    }
}
