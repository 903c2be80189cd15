//! Lame duck mode of the process, with its real times: what happens in the grace period.

use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

use ringbus_test_support::{PATIENCE, Raw, eventually};
use rustix::process::Signal;

use super::{CLIENT, Process};

/// Tells the process by the command that operators use.
fn tell(process: &Process, word: &str) {
    let order = format!("{word}={}", process.child.id());
    let told = Command::new(env!("CARGO_BIN_EXE_ringbus")).args(["--signal", &order]).status();
    assert!(told.unwrap().success());
}

#[test]
fn clients_are_told_and_served_while_nobody_new_gets_in() {
    let mut process = Process::start(&[], &[]);
    let address = process.address();
    let mut client = Raw::client(address, CLIENT).unwrap();
    assert!(client.line().unwrap().contains("\"connect_info\":true"));
    client.send(b"SUB a 1\r\n").unwrap();
    client.sync().unwrap();
    tell(&process, "ldm");
    let info = client.line().unwrap();
    assert!(info.starts_with("INFO {") && info.contains("\"ldm\":true"), "{info}");
    eventually("it accepts no more", PATIENCE, || TcpStream::connect(address).is_err());
    client.send(b"PUB a 1\r\nx\r\n").unwrap();
    assert_eq!(client.line().unwrap(), "MSG a 1 1");

    // Neither what a service manager sends on top nor a second order changes anything.
    process.signal(Signal::TERM);
    tell(&process, "ldm");
    process.wait_for("stderr", "Trapped \"terminated\" signal");
    assert_eq!(client.line().unwrap(), "x");
    client.sync().unwrap();

    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(0));
    let log = process.text("stderr");
    assert_eq!(log.matches("Entering lame duck mode, stop accepting new clients").count(), 1);
    assert!(log.contains("Server Exiting..") && !log.contains("Closing existing clients"), "{log}");
}

#[test]
fn without_clients_it_ends_at_once_and_soon_after_the_last_has_moved() {
    for client_moves in [false, true] {
        let mut process = Process::start(&[], &[]);
        let client = client_moves.then(|| Raw::client(process.address(), CLIENT).unwrap());
        process.wait_for("stderr", "Server is ready");
        tell(&process, "ldm");
        process.wait_for("stderr", "Entering lame duck mode");
        drop(client);
        let begin = Instant::now();
        assert_eq!(process.wait().code(), Some(0));
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
}
