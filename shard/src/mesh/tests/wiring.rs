//! The mesh as a whole: who is connected to whom, how much memory that takes, who may sleep.

use std::mem::size_of;

use super::super::{Capacity, Endpoint, mesh};
use super::{message, tail};
use crate::ids::ShardId;
use crate::limits::{CONTROL_FRAMES, LANE_BATCHES, LANE_BYTES_MAX};

/// An endpoint moves to its shard's thread.
const _: fn() = || {
    fn sendable<T: Send>() {}
    sendable::<Endpoint<Box<u8>>>();
};

#[test]
fn what_a_shard_sends_arrives_where_it_was_sent_to() {
    let mut endpoints = mesh::<(ShardId, ShardId)>(4);
    for endpoint in &mut endpoints {
        let me = endpoint.me;
        for (to, outbound) in ShardId::all(4).zip(&mut endpoint.to) {
            let Some(outbound) = outbound else {
                assert_eq!(to, me);
                continue;
            };
            assert!(outbound.control.push((me, to)).is_ok());
        }
        endpoint.publish(&mut Vec::new());
    }
    for endpoint in &mut endpoints {
        let me = endpoint.me;
        for (from, inbound) in ShardId::all(4).zip(&mut endpoint.from) {
            let Some(inbound) = inbound else {
                assert_eq!(from, me);
                continue;
            };
            assert!(!inbound.is_empty());
            assert_eq!(inbound.control.pop(), Some((from, me)));
            assert!(!inbound.control.release(), "nobody waits for room");
            assert!(inbound.is_empty());
        }
    }
}

#[test]
fn a_shard_sleeps_until_something_arrives() {
    let mut endpoints = mesh::<()>(2);
    let [first, second] = endpoints.as_mut_slice() else { unreachable!() };
    second.doorbell().announce_sleep();
    assert!(second.may_sleep());
    let tail = tail(b"wake up");
    let outbound = first.to[1].as_mut().unwrap();
    outbound.messages.append_message(&message(&tail, 7));
    assert!(outbound.control.push(()).is_ok());
    assert!(second.may_sleep(), "not published yet");
    let mut wake = Vec::new();
    first.publish(&mut wake);
    assert_eq!(wake, [second.me], "once for both lanes");
    assert!(!first.ring(second.me), "one caller wakes");
    assert!(!second.may_sleep());
}

#[test]
fn a_shard_that_waits_for_room_is_rung_for() {
    let mut endpoints = mesh::<u32>(2);
    let [first, second] = endpoints.as_mut_slice() else { unreachable!() };
    let control = &mut first.to[1].as_mut().unwrap().control;
    while control.has_room(1) {
        assert!(control.push(0).is_ok());
    }
    assert!(control.push(0).is_err());
    assert!(!control.has_room(3));
    assert!(control.publish());
    first.doorbell().announce_sleep();
    assert!(first.may_sleep());
    let inbound = &mut second.from[0].as_mut().unwrap().control;
    for left in [true, true, false] {
        assert_eq!(inbound.pop(), Some(0));
        assert!(inbound.release());
        assert_eq!(first.may_sleep(), left, "three slots are wanted");
    }
    assert!(second.ring(first.me));
}

#[test]
fn memory_is_what_the_table_says() {
    const CONTROL_FRAME: usize = 48;
    let buffers = 2 * LANE_BATCHES * size_of::<Option<Vec<u8>>>();
    let table = [2, 16, 64, 256].map(|shards: usize| {
        let pairs = shards * (shards - 1);
        let Capacity { control_frames, lane_bytes } = Capacity::of(shards);
        let rings = pairs * (control_frames * CONTROL_FRAME + buffers);
        (pairs, control_frames, rings >> 10, lane_bytes >> 10)
    });
    assert_eq!(
        table,
        [
            (2, 4096, 390, 1024),
            (240, 512, 6480, 1024),
            (4032, 128, 36288, 256),
            (65280, 64, 391680, 64),
        ]
    );
    assert_eq!(Capacity::of(1).control_frames, CONTROL_FRAMES);
    assert_eq!(Capacity::of(1).lane_bytes, LANE_BYTES_MAX);
}
