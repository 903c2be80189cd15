//! The message lane: what is in flight, what comes back, what is kept.

use std::collections::VecDeque;
use std::thread;

use proptest::prelude::*;

use super::super::lane::message_lane;
use super::super::{Batch, Frame, MessageReceiver, MessageSender};
use super::{message, tail};
use crate::limits::{BATCH_BYTES, LANE_BATCHES, LANE_BYTES_MAX};

fn append(sender: &mut MessageSender, payload: &[u8]) {
    let tail = tail(payload);
    sender.append_message(&message(&tail, payload.len()));
}

fn payloads(batch: &Batch) -> Vec<Vec<u8>> {
    let payload = |frame| match frame {
        Frame::Message(frame) => frame.message.payload.to_vec(),
        other => panic!("no message: {other:?}"),
    };
    batch.frames(0).map(payload).collect()
}

/// Takes and gives back everything; how many frames there were.
fn drain(receiver: &mut MessageReceiver) -> usize {
    let mut frames = 0;
    while let Some(batch) = receiver.take() {
        frames += batch.frames(0).count();
        assert!(!receiver.give_back(batch), "nobody sleeps");
    }
    frames
}

#[test]
fn a_message_is_seen_when_published_and_counted_until_given_back() {
    let (mut sender, mut receiver) = message_lane(LANE_BYTES_MAX);
    append(&mut sender, b"hello");
    assert!(receiver.is_empty());
    assert!(sender.publish());
    assert!(!sender.publish());
    assert!(!receiver.is_empty());
    let batch = receiver.take().unwrap();
    assert_eq!(payloads(&batch), [b"hello"]);
    assert_eq!(sender.bytes_in_flight(), batch.len());
    assert!(!receiver.give_back(batch));
    assert!(!sender.unblocked(), "nobody asked for room");
    append(&mut sender, b"again");
    assert!(sender.publish());
    let batch = receiver.take().unwrap();
    assert_eq!(sender.bytes_in_flight(), batch.len());
    assert!(!receiver.give_back(batch));
}

#[test]
fn a_full_lane_has_room_again_when_enough_came_back() {
    let (mut sender, mut receiver) = message_lane(LANE_BYTES_MAX);
    let mut sent = 0;
    while sender.has_room() {
        append(&mut sender, &[0; 1000]);
        sent += 1;
    }
    assert!(sender.publish());
    assert!((LANE_BYTES_MAX..LANE_BYTES_MAX + 1100).contains(&sender.bytes_in_flight()));
    assert!(!sender.unblocked());
    let batch = receiver.take().unwrap();
    let received = batch.frames(0).count();
    assert!(receiver.give_back(batch), "the sender announced that it waits");
    assert!(sender.has_room());
    assert_eq!(received + drain(&mut receiver), sent);
}

#[test]
fn one_frame_larger_than_the_lane_passes_and_its_buffer_is_not_kept() {
    let (mut sender, mut receiver) = message_lane(LANE_BYTES_MAX);
    let payload = vec![7; 3 * LANE_BYTES_MAX];
    assert!(sender.has_room());
    append(&mut sender, b"before");
    append(&mut sender, &payload);
    assert!(!sender.has_room());
    append(&mut sender, b"after");
    assert!(sender.publish());
    for expected in [&b"before"[..], &payload, b"after"] {
        let batch = receiver.take().unwrap();
        assert_eq!(payloads(&batch), [expected]);
        assert!(!receiver.give_back(batch));
    }
    assert!(sender.has_room());
    assert!(sender.spare_capacities().all(|capacity| capacity <= 2 * BATCH_BYTES));
    assert_eq!(sender.spare_capacities().count(), 2);
}

#[test]
fn small_batches_beyond_the_slots_wait_in_one_and_nothing_is_lost() {
    let (mut sender, mut receiver) = message_lane(LANE_BYTES_MAX);
    let numbers = (0..2 * LANE_BATCHES).map(|number| number.to_string().into_bytes());
    for (number, payload) in numbers.clone().enumerate() {
        assert!(sender.has_room());
        append(&mut sender, &payload);
        assert_eq!(sender.publish(), number < LANE_BATCHES);
    }
    assert!(!sender.unblocked(), "the last batch has no slot yet");
    let first = receiver.take().unwrap();
    let mut received = payloads(&first);
    assert!(receiver.give_back(first), "the sender announced that it waits");
    assert!(sender.publish());
    while let Some(batch) = receiver.take() {
        received.extend(payloads(&batch));
        assert!(!receiver.give_back(batch));
    }
    assert!(numbers.eq(received));
}

#[test]
fn a_lane_without_slots_is_full_when_its_last_batch_is() {
    let (mut sender, _receiver) = message_lane(LANE_BYTES_MAX);
    for _ in 0..LANE_BATCHES {
        append(&mut sender, b"small");
        assert!(sender.publish());
    }
    let before = sender.bytes_in_flight();
    while sender.has_room() {
        append(&mut sender, &[0; 100]);
    }
    assert!((BATCH_BYTES..BATCH_BYTES + 200).contains(&(sender.bytes_in_flight() - before)));
}

#[test]
fn in_steady_state_buffers_go_round_and_none_is_made() {
    const ROUNDS: usize = if cfg!(miri) { 4 } else { 50 };
    let (mut sender, mut receiver) = message_lane(LANE_BYTES_MAX);
    for round in 0..ROUNDS {
        while sender.has_room() {
            append(&mut sender, &[0; 1000]);
            let grown = sender.filling_capacity() == BATCH_BYTES;
            assert!(grown || round < 2, "a new buffer would be small, and grow");
        }
        assert!(sender.publish());
        assert!(drain(&mut receiver) > 900);
        assert_eq!(sender.settled_bytes(), 0);
    }
    let kept: usize = sender.spare_capacities().sum();
    assert!((LANE_BYTES_MAX..=LANE_BYTES_MAX + 2 * BATCH_BYTES).contains(&kept));
}

proptest! {
    #[test]
    fn a_lane_is_a_queue_and_knows_what_is_in_flight(
        operations in prop::collection::vec((0..4u8, 0..100_000usize), 0..200),
    ) {
        let (mut sender, mut receiver) = message_lane(LANE_BYTES_MAX);
        let (mut number, mut next) = (0u64, 0u64);
        let mut held = VecDeque::new();
        for (operation, size) in operations {
            match operation {
                0 if sender.has_room() => {
                    let payload = [&number.to_le_bytes()[..], &vec![0; size]].concat();
                    append(&mut sender, &payload);
                    number += 1;
                }
                1 => {
                    let _ = sender.publish();
                }
                2 => held.extend(receiver.take()),
                3 => {
                    for payload in held.front().map(payloads).into_iter().flatten() {
                        prop_assert_eq!(&payload[..8], next.to_le_bytes());
                        next += 1;
                    }
                    if let Some(batch) = held.pop_front() {
                        let _ = receiver.give_back(batch);
                    }
                }
                _ => {}
            }
            prop_assert!(sender.bytes_in_flight() < LANE_BYTES_MAX + 110_000);
        }
        held.into_iter().for_each(|batch| {
            next += batch.frames(0).count() as u64;
            let _ = receiver.give_back(batch);
        });
        loop {
            let _ = sender.publish();
            match drain(&mut receiver) {
                0 => break,
                frames => next += frames as u64,
            }
        }
        prop_assert_eq!(next, number);
        prop_assert!(sender.has_room());
        prop_assert_eq!(sender.settled_bytes(), 0);
    }
}

#[test]
fn messages_cross_between_threads_in_order() {
    const MESSAGES: u64 = if cfg!(miri) { 300 } else { 1_000_000 };
    let (mut sender, mut receiver) = message_lane(LANE_BYTES_MAX);
    let publisher = thread::spawn(move || {
        for number in 0..MESSAGES {
            while !sender.has_room() {
                let _ = sender.publish();
                thread::yield_now();
            }
            append(&mut sender, &number.to_le_bytes());
            if number % 100 == 0 {
                let _ = sender.publish();
            }
        }
        while sender.bytes_in_flight() > 0 {
            let _ = sender.publish();
            let _ = sender.settled_bytes();
            thread::yield_now();
        }
    });
    let mut next = 0u64;
    while next < MESSAGES {
        let Some(batch) = receiver.take() else {
            thread::yield_now();
            continue;
        };
        for payload in payloads(&batch) {
            assert_eq!(payload, next.to_le_bytes());
            next += 1;
        }
        assert!(!receiver.give_back(batch));
    }
    publisher.join().unwrap();
}
