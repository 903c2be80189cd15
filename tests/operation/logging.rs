//! Logs of the process, as those who collect them find them.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use ringbus_test_support::{PATIENCE, Raw, eventually};
use rustix::process::Signal;

use super::{CLIENT, Process};

#[test]
fn a_log_of_json_is_an_object_a_line() {
    let mut process = Process::start(&["--log-format", "json", "-D"], &[]);
    drop(Raw::client(process.address(), CLIENT).unwrap());
    process.wait_for("stderr", "Client connection closed");
    process.signal(Signal::INT);
    process.wait();
    let pid = u64::from(process.child.id());
    let log = process.text("stderr");
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(lines.iter().all(|line| line["pid"] == pid && line["ts"].is_string()), "{log}");
    let created = lines.iter().find(|l| l["msg"] == "Client connection created").unwrap();
    assert_eq!(created["level"], "debug");
    assert_eq!(created["cid"], 1);
    assert!(created["client"].as_str().unwrap().starts_with("127.0.0.1:"));
}

#[test]
fn the_journal_gets_severities_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    for is_journal in [true, false] {
        let path = folder.path().join("stderr");
        let errors = fs::File::create(&path).unwrap();
        let stat = errors.metadata().unwrap();
        let inode = if is_journal { stat.ino() } else { stat.ino() + 1 };
        let status = Command::new(env!("CARGO_BIN_EXE_ringbus"))
            .args(["-a", "127.0.0.1", "-P", "/no/such/folder/pid"])
            .env("JOURNAL_STREAM", format!("{}:{inode}", stat.dev()))
            .stderr(Stdio::from(errors))
            .status()
            .unwrap();
        assert_eq!(status.code(), Some(1));
        let text = fs::read_to_string(&path).unwrap();
        let last = text.lines().last().unwrap();
        assert!(last.contains("[FTL] Could not write pidfile"), "{text}");
        assert_eq!(last.starts_with("<2>["), is_journal, "{text}");
    }
}

#[test]
fn a_log_file_is_put_aside_inside_the_fence_and_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    let flags = ["-l", "logs/log", "--log_size_limit", "2000", "-DV", "--ports_file_dir", "."];
    let mut process = Process::start_in(folder, &flags, &[]);
    let files = |process: &Process| fs::read_dir(process.path("logs")).unwrap().count();
    let ports = || {
        fs::read_dir(process.folder.path()).unwrap().flatten().find_map(|entry| {
            let is_ports = entry.path().extension().is_some_and(|end| end == "ports");
            is_ports.then(|| fs::read_to_string(entry.path()).unwrap())
        })
    };
    eventually("a ports file", PATIENCE, || ports().is_some());
    let ports: serde_json::Value = serde_json::from_str(&ports().unwrap()).unwrap();
    let address = ports["nats"][0].as_str().unwrap().trim_start_matches("nats://").to_owned();
    let mut client = Raw::client(address.parse().unwrap(), CLIENT).unwrap();
    for _ in 0..50 {
        client.send(b"PUB a 1\r\nx\r\n").unwrap();
    }
    eventually("files put aside", PATIENCE, || files(&process) >= 3);
    process.wait_for("logs/log", "Rotated log, backup saved as \"logs/log.20");

    fs::rename(process.path("logs/log"), process.path("logs/moved")).unwrap();
    process.signal(Signal::USR1);
    process.wait_for("logs/log", "File log re-opened");
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(0));
}

#[test]
fn a_syslog_elsewhere_gets_every_line() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let url = format!("udp://{}", receiver.local_addr().unwrap());
    let mut process = Process::start(&["-r", &url], &[]);
    let pid = process.child.id();
    let next = || {
        let mut bytes = [0; 2000];
        let count = receiver.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let first = next();
    assert!(first.starts_with("<5>20"), "{first}");
    assert!(first.ends_with(&format!(" ringbus[{pid}]: Starting ringbus\n")), "{first}");
    while !next().ends_with(": Server is ready\n") {}
    process.signal(Signal::INT);
    while !next().ends_with(": Server Exiting..\n") {}
    assert_eq!(process.wait().code(), Some(0));
    assert_eq!(process.text("stderr"), "");
}
