//! Many clients about whom a service is asked at once.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ringbus_test_support::{Program, Raw};
use tempfile::TempDir;

use super::{Service, config, enters};

#[test]
fn more_clients_than_questions_may_be_open_are_let_in_in_turn() {
    let program = Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), 1);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("conf");
    fs::write(&file, config("").replace("timeout: 1.5", "timeout: 20")).unwrap();
    let server = program.start(&["-c", file.to_str().unwrap()]).unwrap();
    let begun = Instant::now();
    let _service = Service::start(&server, move |asked| {
        // Whatever comes first waits until all are there.
        let there = Duration::from_secs(3);
        thread::sleep(there.saturating_sub(begun.elapsed()));
        Some(asked.admit(&mut asked.user_claims("APP")))
    });
    let mut crowd: Vec<Raw> = (0..3000)
        .map(|_| {
            let mut raw = Raw::connect(server.address()).unwrap();
            raw.send(b"CONNECT {\"verbose\":false,\"user\":\"bob\"}\r\nPING\r\n").unwrap();
            raw
        })
        .collect();
    let start = Instant::now();
    for raw in &mut crowd {
        raw.line().unwrap();
        let heard = loop {
            match raw.line() {
                Ok(line) => break line,
                Err(_) if !raw.ended() && start.elapsed() < Duration::from_secs(20) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert_eq!(heard, "PONG", "{}", server.log());
    }
}

#[test]
fn a_service_that_hangs_keeps_nobody_else_out() {
    let program = Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), 2);
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("conf");
    fs::write(&file, config("")).unwrap();
    let server = program.start(&["-c", file.to_str().unwrap()]).unwrap();
    let _service = Service::start(&server, |asked| {
        (asked.user() == "late").then(|| asked.admit(&mut asked.user_claims("APP")))
    });
    // Many more than a shard finds out about at a time.
    let crowd: Vec<Raw> = (0..1500)
        .map(|_| {
            let mut raw = Raw::connect(server.address()).unwrap();
            raw.send(b"CONNECT {\"verbose\":false,\"user\":\"bob\"}\r\nPING\r\n").unwrap();
            raw
        })
        .collect();
    let begun = Instant::now();
    enters(&server, r#""user":"auth","pass":"pwd""#);
    enters(&server, r#""user":"late""#);
    let took = begun.elapsed();
    for mut raw in crowd {
        raw.line().unwrap();
        assert_eq!(raw.line().unwrap(), "-ERR 'Authorization Violation'");
    }
    assert!(took < Duration::from_secs(4), "{took:?}");
    enters(&server, r#""user":"late""#);
}
