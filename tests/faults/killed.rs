//! Clients that vanish in the middle of a message.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use ringbus_test_support::Raw;

use crate::{Bystanders, Patient, connect_from, reset};

/// Connections that are reset in the middle of a payload.
const RESETS: usize = 1_000;

/// Processes that are killed while they publish.
const KILLS: usize = 10;

#[test]
fn reset_in_the_middle_of_a_payload() {
    let patient = Patient::start();
    let bystanders = Bystanders::start(patient.address());
    let mut witness = patient.client();
    witness.send(b"SUB half 1\r\n").unwrap();
    witness.sync().unwrap();
    for i in 0..RESETS {
        let mut stream = connect_from(i, patient.address());
        stream.write_all(b"CONNECT {\"verbose\":false}\r\nSUB half 1\r\n").unwrap();
        stream.write_all(b"PUB half 100000\r\nnot all of it").unwrap();
        reset(stream);
    }
    bystanders.check();
    // Nothing of them was delivered, and nothing of them is left: one message, one copy.
    let mut publisher = patient.client();
    publisher.send(b"PUB half 2\r\nhi\r\n").unwrap();
    crate::message(&mut witness, "MSG half 1 2");
    witness.sync().unwrap();
    patient.check();
}

#[test]
fn processes_killed_while_they_publish() {
    let patient = Patient::start();
    let bystanders = Bystanders::start(patient.address());
    let mut witness = patient.client();
    witness.send(b"SUB killed 1\r\n").unwrap();
    witness.sync().unwrap();
    let reader = thread::spawn(move || read_well_formed(witness));
    for i in 0..KILLS {
        let mut publisher = publisher_process(patient.address().port());
        thread::sleep(Duration::from_millis(50 + 7 * i as u64));
        // SIGKILL: no exit handler, no orderly close.
        publisher.kill().unwrap();
        publisher.wait().unwrap();
    }
    let mut last = patient.client();
    last.send(b"PUB killed 3\r\nend\r\n").unwrap();
    let seen = reader.join().expect("only whole messages arrive");
    assert!(seen > 0, "the publishers did not publish");
    bystanders.check();
    patient.check();
}

/// A process of its own that publishes without end.
fn publisher_process(port: u16) -> Child {
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}
         printf 'CONNECT {{\"verbose\":false}}\\r\\n' >&3
         body=$(printf 'x%.0s' {{1..20000}})
         while :; do printf 'PUB killed 20000\\r\\n%s\\r\\n' \"$body\" >&3; done"
    );
    let mut command = Command::new("bash");
    command.args(["-c", &script]).stdin(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("bash starts")
}

/// Reads messages of the killed publishers until the last one, each of which must be whole.
fn read_well_formed(mut raw: Raw) -> usize {
    let mut seen = 0;
    loop {
        match raw.line().unwrap().as_str() {
            "PING" => raw.send(b"PONG\r\n").unwrap(),
            "MSG killed 1 20000" => {
                let body = raw.take(20_002).unwrap();
                assert!(body.iter().take(20_000).all(|&b| b == b'x'));
                seen += 1;
            }
            "MSG killed 1 3" => return seen,
            other => panic!("a torn message: {other}"),
        }
    }
}
