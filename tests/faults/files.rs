//! A server that may open no more files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use ringbus_test_support::eventually;

use crate::{Patient, connect_from};

/// Files the server may have open: its own, and a few dozen clients.
const FILES: usize = 100;

/// More clients than that.
const CLIENTS: usize = 300;

/// Share of one core that a server may use up while it cannot accept anybody.
const BUSY_PERCENT: u64 = 25;

const WATCHED: Duration = Duration::from_secs(2);

#[test]
fn without_files_it_waits_and_serves_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("limited");
    let server = env!("CARGO_BIN_EXE_ringbus");
    let text = format!("#!/bin/sh\nulimit -n {FILES}\nexec {server} \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let patient = Patient::start_as(script.to_str().unwrap(), &[]);
    let pid = patient.server.pid();
    let mut served = patient.client();

    let crowd: Vec<_> = (0..CLIENTS).map(|i| connect_from(i, patient.address())).collect();
    eventually("the shortage is logged", Duration::from_secs(5), || {
        patient.server.log().contains("Accept Error")
    });
    let before = cpu_ticks(pid);
    std::thread::sleep(WATCHED);
    let ticks = cpu_ticks(pid) - before;
    // A tick is 10 ms of one core.
    assert!(ticks <= WATCHED.as_secs() * BUSY_PERCENT, "{ticks} ticks in {WATCHED:?}");
    served.sync().unwrap();

    // Who could not be accepted before is accepted, and so is who comes now.
    drop(crowd);
    drop(served);
    patient.check();
}

/// Time on a core, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = behind_name.split_whitespace().collect();
    // utime and stime are fields 14 and 15; the first behind the name is field 3.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}
