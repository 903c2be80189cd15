//! Models that loom runs in every interleaving (`scripts/loom.sh`): the ring, the doorbell, and
//! the order between the two lanes.
//!
//! Loom reports overlapping access to a slot, values that leak, and threads that wait for ever: a
//! lost wake-up is a deadlock. Where the models wait for a ring they yield, since loom must be
//! told that another thread has to move first.

use loom::sync::{Arc, Notify};
use loom::thread;

use super::control::control_lane;
use super::doorbell::Doorbell;
use super::frame::Frame;
use super::ring::{Consumer, Producer, ring, ring_at};
use super::{Capacity, mesh_of};
use crate::ids::ConnId;

/// Pops, waiting for a value.
fn pop_soon<T: Send>(consumer: &mut Consumer<T>) -> T {
    loop {
        if let Some(value) = consumer.pop() {
            return value;
        }
        thread::yield_now();
    }
}

/// A ring that holds `value` already, published.
fn ring_with<T: Send>(value: T) -> (Producer<T>, Consumer<T>) {
    let (mut producer, consumer) = ring(2);
    assert!(producer.push(value).is_ok());
    producer.publish();
    (producer, consumer)
}

#[test]
fn values_cross_in_order_while_the_indices_wrap() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring_at(usize::MAX, 2);
        let sender = thread::spawn(move || {
            for value in 0..3 {
                while producer.push(value).is_err() {
                    thread::yield_now();
                }
                producer.publish();
            }
        });
        for value in 0..3 {
            assert_eq!(pop_soon(&mut consumer), value);
        }
        assert!(consumer.is_empty());
        sender.join().unwrap();
    });
}

#[test]
fn a_batch_is_seen_as_a_whole() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(4);
        let sender = thread::spawn(move || {
            for value in 0..3 {
                assert!(producer.push(value).is_ok());
            }
            assert!(producer.publish());
        });
        let seen = std::iter::from_fn(|| consumer.pop()).collect::<Vec<_>>();
        assert!(seen.is_empty() || seen == [0, 1, 2]);
        sender.join().unwrap();
    });
}

#[test]
fn released_slots_are_filled_again_without_overlap() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring(2);
        assert!(producer.push(0).is_ok());
        assert!(producer.push(1).is_ok());
        assert!(producer.publish());
        let receiver = thread::spawn(move || {
            assert_eq!(consumer.pop(), Some(0));
            consumer.release();
            assert_eq!(consumer.pop(), Some(1));
            consumer
        });
        let pushed = producer.push(2).is_ok();
        producer.publish();
        assert!(producer.free() <= 1 + usize::from(!pushed));
        let mut consumer = receiver.join().unwrap();
        assert_eq!(consumer.pop(), pushed.then_some(2));
    });
}

#[test]
fn both_ends_may_go_at_any_time_and_nothing_leaks() {
    loom::model(|| {
        let (mut producer, mut consumer) = ring_with(Arc::new(()));
        let sender = thread::spawn(move || {
            assert!(producer.push(Arc::new(())).is_ok());
            producer.publish();
            let _ = producer.push(Arc::new(()));
        });
        drop(consumer.pop());
        drop(consumer);
        sender.join().unwrap();
    });
}

/// A shard as far as sleeping goes: its doorbell, and the eventfd it sleeps on.
struct Sleeper {
    doorbell: Doorbell,
    eventfd: Notify,
}

impl Sleeper {
    fn new() -> Arc<Self> {
        Arc::new(Self { doorbell: Doorbell::new(), eventfd: Notify::new() })
    }

    /// Sleeps until `ready`, as the driver of a shard does; how often it announced that.
    fn sleep_until(&self, mut ready: impl FnMut() -> bool) -> usize {
        let mut announcements = 0;
        while !ready() {
            announcements += 1;
            self.doorbell.announce_sleep();
            if !ready() {
                self.eventfd.wait();
            }
            self.doorbell.awake();
        }
        announcements
    }

    /// What a sender does after it published; whether it had to wake.
    fn ring(&self) -> bool {
        let wake = self.doorbell.ring();
        if wake {
            self.eventfd.notify();
        }
        wake
    }
}

#[test]
fn no_wake_up_is_lost() {
    loom::model(|| {
        let shard = Sleeper::new();
        let (mut producer, mut consumer) = ring(2);
        let rung = Arc::clone(&shard);
        let sender = thread::spawn(move || {
            for value in 0..2 {
                assert!(producer.push(value).is_ok());
                assert!(producer.publish());
                rung.ring();
            }
        });
        for value in 0..2 {
            shard.sleep_until(|| !consumer.is_empty());
            assert_eq!(consumer.pop(), Some(value));
        }
        sender.join().unwrap();
    });
}

/// Two senders and the sleeper are too many interleavings to try all: those with up to two
/// preemptions are.
#[test]
fn one_of_two_senders_wakes_per_announcement() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let shard = Sleeper::new();
        let (mut senders, mut consumers) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (mut producer, consumer) = ring(1);
            consumers.push(consumer);
            let shard = Arc::clone(&shard);
            senders.push(thread::spawn(move || {
                assert!(producer.push(()).is_ok());
                producer.publish();
                shard.ring()
            }));
        }
        let mut announcements = 0;
        for consumer in &mut consumers {
            announcements += shard.sleep_until(|| !consumer.is_empty());
        }
        let wakes = senders.into_iter().map(|sender| usize::from(sender.join().unwrap()));
        assert!(wakes.sum::<usize>() <= announcements);
    });
}

#[test]
fn a_sender_that_waits_for_room_is_woken() {
    loom::model(|| {
        let shard = Sleeper::new();
        let (mut sender, mut receiver) = control_lane(1);
        assert!(sender.push(0).is_ok());
        assert!(sender.publish());
        let rung = Arc::clone(&shard);
        let other = thread::spawn(move || {
            assert_eq!(receiver.pop(), Some(0));
            if receiver.release() {
                rung.ring();
            }
            receiver
        });
        if !sender.has_room(1) {
            shard.sleep_until(|| sender.unblocked());
        }
        assert!(sender.push(1).is_ok());
        assert!(sender.publish());
        let mut receiver = other.join().unwrap();
        assert_eq!(receiver.pop(), Some(1));
    });
}

/// Subscribe, then publish: who takes the message and then drains the control lane has seen the
/// interest before it looks at the message.
#[test]
fn interest_is_seen_before_the_messages_that_follow_it() {
    loom::model(|| {
        let (mut control, mut deltas) = control_lane(2);
        let (mut messages, mut batches) = ring(2);
        let sender = thread::spawn(move || {
            assert!(control.push("interest").is_ok());
            assert!(control.publish());
            assert!(messages.push("message").is_ok());
            messages.publish();
        });
        let early = deltas.pop();
        if batches.pop().is_some() {
            assert_eq!(early.or_else(|| deltas.pop()), Some("interest"));
        }
        sender.join().unwrap();
    });
}

/// The same over a third shard: what was subscribed at the first is known to the last before it
/// looks at what the second, which was told by the first, sends it.
#[test]
fn interest_is_seen_before_messages_of_others_who_were_told() {
    loom::model(|| {
        let (mut control, mut deltas) = control_lane(1);
        let (mut told, mut friend) = ring(1);
        let (mut messages, mut batches) = ring(1);
        let first = thread::spawn(move || {
            assert!(control.push("interest").is_ok());
            assert!(control.publish());
            assert!(told.push("subscribed").is_ok());
            told.publish();
        });
        let second = thread::spawn(move || {
            if friend.pop().is_some() {
                assert!(messages.push("message").is_ok());
                messages.publish();
            }
        });
        if batches.pop().is_some() {
            assert_eq!(deltas.pop(), Some("interest"));
        }
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// The same with the lanes of a real mesh: the first shard subscribes and tells the second by a
/// message, all in one turn. Those interleavings with up to two preemptions are tried.
#[test]
fn a_turn_shows_interest_to_everybody_before_a_message_to_anybody() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let capacity = Capacity { control_frames: 1, lane_bytes: 1 << 10 };
        let mut endpoints = mesh_of::<&str>(3, capacity).into_iter();
        let [mut first, mut second, mut third] = std::array::from_fn(|_| endpoints.next().unwrap());
        let message = Frame::Stalled { conn: ConnId::new(1, 0) };
        let subscribes = thread::spawn(move || {
            for lane in first.to.iter_mut().flatten() {
                assert!(lane.control.push("interest").is_ok());
            }
            first.to[1].as_mut().unwrap().messages.append(&message);
            first.publish(&mut Vec::new());
        });
        let passes_on = thread::spawn(move || {
            let told = second.from[0].as_mut().unwrap().messages.take();
            if told.is_some() {
                second.to[2].as_mut().unwrap().messages.append(&message);
                second.publish(&mut Vec::new());
            }
        });
        if third.from[1].as_mut().unwrap().messages.take().is_some() {
            assert_eq!(third.from[0].as_mut().unwrap().control.pop(), Some("interest"));
        }
        subscribes.join().unwrap();
        passes_on.join().unwrap();
    });
}
