//! A subscriber that stops reading is cut off, and nobody else loses anything by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringbus_test_support::{PATIENCE, Raw, eventually};

use crate::{Bystanders, Patient};

/// More than what waits for one connection at most (64 MiB) and what its sockets hold.
const FLOOD_BYTES: usize = 128 << 20;
const PAYLOAD_BYTES: usize = 64 << 10;

/// The publisher is at most this many messages ahead of the healthy subscriber, so that only the
/// stalled one can be too slow.
const AHEAD_MAX: usize = 128;

#[test]
fn a_subscriber_that_stops_reading_is_cut_off() {
    let patient = Patient::start();
    let bystanders = Bystanders::start(patient.address());
    let mut stalled = patient.client();
    stalled.send(b"SUB flood 1\r\n").unwrap();
    stalled.sync().unwrap();
    let mut healthy = patient.client();
    healthy.send(b"SUB flood 1\r\n").unwrap();
    healthy.sync().unwrap();

    let messages = FLOOD_BYTES / PAYLOAD_BYTES;
    let received = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&received);
    let reader = thread::spawn(move || drain_messages(healthy, messages, &counter));
    let mut publisher = patient.client();
    let message = [
        format!("PUB flood {PAYLOAD_BYTES}\r\n").into_bytes(),
        vec![b'x'; PAYLOAD_BYTES],
        b"\r\n".to_vec(),
    ]
    .concat();
    for sent in 0..messages {
        eventually("the healthy subscriber goes on", PATIENCE, || {
            sent - received.load(Ordering::Relaxed) < AHEAD_MAX
        });
        publisher.send(&message).expect("the publisher is stuck behind the stalled subscriber");
    }
    reader.join().expect("the healthy subscriber got everything");
    bystanders.check();

    let taken = read_to_end(&mut stalled);
    assert!(taken < FLOOD_BYTES, "the stalled subscriber was not cut: it read {taken} bytes");
    // The line may be written after the socket was closed.
    let reason = "Slow Consumer";
    eventually(reason, Duration::from_secs(5), || patient.server.log().contains(reason));
    patient.check();
}

fn drain_messages(mut raw: Raw, messages: usize, received: &AtomicUsize) {
    let control = format!("MSG flood 1 {PAYLOAD_BYTES}");
    for _ in 0..messages {
        let mut line = raw.line().unwrap();
        while line == "PING" {
            raw.send(b"PONG\r\n").unwrap();
            line = raw.line().unwrap();
        }
        assert_eq!(line, control);
        raw.take(PAYLOAD_BYTES + 2).unwrap();
        received.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads what there is until the end of the connection, and counts it.
fn read_to_end(raw: &mut Raw) -> usize {
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut taken = 0;
    loop {
        let more = raw.more(deadline).unwrap();
        taken += raw.pending().len();
        raw.skip(usize::MAX);
        if raw.ended() {
            return taken;
        }
        assert!(more, "the stalled subscriber is still connected after {taken} bytes");
    }
}
