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
    ring_at(0, capacity)
}

/// A ring whose indices begin at `start`, so that tests see them wrap around.
pub(super) fn ring_at<T: Send>(start: usize, capacity: usize) -> (Producer<T>, Consumer<T>) {
    let slots = (0..capacity.next_power_of_two()).map(|_| UnsafeCell::new(None)).collect();
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Operation {
        Push,
        Publish,
        Pop,
        Release,
        Free,
        IsEmpty,
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            4 => Just(Operation::Push),
            2 => Just(Operation::Publish),
            4 => Just(Operation::Pop),
            1 => Just(Operation::Release),
            1 => Just(Operation::Free),
            1 => Just(Operation::IsEmpty),
        ]
    }

    /// The ring as two queues: what was pushed, and what of it was published.
    #[derive(Default)]
    struct Model {
        hidden: VecDeque<u32>,
        visible: VecDeque<u32>,
        /// What the consumer knew to be published when it looked last.
        known: usize,
        /// Popped, and the slots not handed back.
        unreleased: usize,
    }

    impl Model {
        fn used(&self) -> usize {
            self.hidden.len() + self.visible.len() + self.unreleased
        }

        fn pop(&mut self) -> Option<u32> {
            if self.known == 0 {
                self.unreleased = 0;
                self.known = self.visible.len();
            }
            let value = self.visible.pop_front()?;
            self.known -= 1;
            self.unreleased += 1;
            Some(value)
        }
    }

    proptest! {
        #[test]
        fn a_ring_is_a_bounded_queue_that_shows_what_was_published(
            capacity in 1usize..9,
            before_wrap in 0usize..20,
            operations in prop::collection::vec(operation(), 0..200),
        ) {
            let start = 0usize.wrapping_sub(before_wrap);
            let (mut producer, mut consumer) = ring_at(start, capacity);
            let capacity = capacity.next_power_of_two();
            let mut model = Model::default();
            for (number, operation) in (0u32..).zip(operations) {
                match operation {
                    Operation::Push => {
                        let pushed = producer.push(number);
                        prop_assert_eq!(pushed.is_ok(), model.used() < capacity);
                        if pushed.is_ok() {
                            model.hidden.push_back(number);
                        }
                    }
                    Operation::Publish => {
                        prop_assert_eq!(producer.publish(), !model.hidden.is_empty());
                        model.visible.append(&mut model.hidden);
                    }
                    Operation::Pop => prop_assert_eq!(consumer.pop(), model.pop()),
                    Operation::Release => {
                        consumer.release();
                        model.unreleased = 0;
                    }
                    Operation::Free => prop_assert_eq!(producer.free(), capacity - model.used()),
                    Operation::IsEmpty => {
                        prop_assert_eq!(consumer.is_empty(), model.visible.is_empty());
                        model.known = model.visible.len();
                    }
                }
            }
        }
    }

    #[test]
    fn values_never_popped_are_dropped_with_the_ring() {
        let value = Arc::new(());
        let (mut producer, mut consumer) = ring(4);
        for published in [true, true, true, false] {
            assert!(producer.push(Arc::clone(&value)).is_ok());
            if published {
                producer.publish();
            }
        }
        assert!(consumer.pop().is_some());
        assert_eq!(Arc::strong_count(&value), 1 + 3);
        drop(producer);
        assert!(consumer.pop().is_some());
        drop(consumer);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_million_values_cross_between_threads_in_order() {
        const VALUES: u64 = if cfg!(miri) { 1_000 } else { 1_000_000 };
        let (mut producer, mut consumer) = ring(64);
        let sender = thread::spawn(move || {
            for value in 0..VALUES {
                while producer.push(Box::new(value)).is_err() {
                    producer.publish();
                    thread::yield_now();
                }
                if value % 7 == 0 {
                    producer.publish();
                }
            }
            producer.publish();
        });
        for expected in 0..VALUES {
            let value = loop {
                match consumer.pop() {
                    Some(value) => break *value,
                    None => thread::yield_now(),
                }
            };
            assert_eq!(value, expected);
        }
        sender.join().unwrap();
        assert!(consumer.is_empty());
    }
}
