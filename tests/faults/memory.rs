//! What connections cost in memory: idle ones little, liars no more than what they sent.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use ringbus_test_support::{Raw, resident_bytes};

use crate::{Bystanders, CLIENT, Patient, connect_from, reset};

/// Idle connections, where the limit of open files allows as many.
const IDLE: usize = 20_000;
const IDLE_BYTES_MAX: usize = 16 << 10;

/// The process may keep this much more than after an earlier crowd, and a tenth.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Connections that announce a payload and send little of it.
const LIARS: usize = 500;
const LIE_BYTES: usize = 1_000_000;
const SENT_BYTES: usize = 1_000;
const LIAR_BYTES_MAX: usize = SENT_BYTES + (4 << 10);

/// Longer than until the first PING of the server, which idle connections also pay for.
const SETTLED: Duration = Duration::from_secs(3);

#[test]
fn idle_connections_are_cheap_and_leave_nothing() {
    let patient = Patient::start();
    let pid = patient.server.pid();
    let bystanders = Bystanders::start(patient.address());
    thread::sleep(Duration::from_millis(500));
    let before = resident_bytes(pid);

    let count = patient.at_most(IDLE);
    let clients = connect_clients(&patient, count);
    thread::sleep(SETTLED);
    let with = resident_bytes(pid);
    let each = with.saturating_sub(before) / count;

    hang_up(clients);
    let observed = bystanders.check();
    report(&format!(
        "{count} idle connections: {each} bytes each; server KiB before {}, with {}; {observed:?}",
        before >> 10,
        with >> 10,
    ));
    assert!(each <= IDLE_BYTES_MAX, "an idle connection costs {each} bytes");

    // The server remembers some of the connections that ended. A second crowd must leave nothing
    // that the first one has not left.
    thread::sleep(SETTLED);
    let before = resident_bytes(pid);
    hang_up(connect_clients(&patient, count));
    let allowed = before + before / 10 + KEPT_BYTES_MAX;
    let deadline = Instant::now() + Duration::from_secs(10);
    // Closing them all takes the server a moment.
    thread::sleep(Duration::from_secs(1));
    let mut after = resident_bytes(pid);
    while after > allowed && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(50));
        after = resident_bytes(pid);
    }
    report(&format!("after they left: {} KiB, allowed {} KiB", after >> 10, allowed >> 10));
    assert!(after <= allowed, "closed connections leave {} bytes behind", after - before);

    patient.check();
}

/// Half of them in good order, half with a reset.
fn hang_up(clients: Vec<TcpStream>) {
    for (i, stream) in clients.into_iter().enumerate() {
        if i % 2 == 0 {
            reset(stream);
        }
    }
}

#[test]
fn memory_grows_with_bytes_received_not_declared() {
    let patient = Patient::start();
    let pid = patient.server.pid();
    let bystanders = Bystanders::start(patient.address());
    let mut liars = connect_clients(&patient, LIARS);
    thread::sleep(SETTLED);
    let before = resident_bytes(pid);
    for stream in &mut liars {
        stream.write_all(format!("PUB lie {LIE_BYTES}\r\n").as_bytes()).unwrap();
        stream.write_all(&[b'x'; SENT_BYTES]).unwrap();
    }
    thread::sleep(Duration::from_millis(500));
    let each = resident_bytes(pid).saturating_sub(before) / LIARS;
    report(&format!("declared {LIE_BYTES}, sent {SENT_BYTES}: {each} bytes each"));
    bystanders.check();
    assert!(each <= LIAR_BYTES_MAX, "a payload that was not sent costs {each} bytes");
    patient.check();
}

/// Ordinary clients with a finished handshake, of which only the sockets are kept.
fn connect_clients(patient: &Patient, count: usize) -> Vec<TcpStream> {
    (0..count)
        .map(|i| {
            let stream = connect_from(i, patient.address());
            let mut raw = Raw::over(stream.try_clone().unwrap()).unwrap();
            raw.line().unwrap();
            raw.send(format!("CONNECT {CLIENT}\r\n").as_bytes()).unwrap();
            raw.sync().unwrap();
            stream
        })
        .collect()
}

/// To the real standard output: libtest hides what `println!` says in a test that passes.
pub(super) fn report(line: &str) {
    let mut output = std::io::stdout().lock();
    output.write_all(format!("{line}\n").as_bytes()).unwrap();
}
