//! What the kernel says about a process: its memory, and how many files this one may open.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Resident memory of a process, in bytes.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn resident_bytes(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("process is gone");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("no VmRSS");
    let kib = line.split_whitespace().nth(1).and_then(|n| n.parse::<usize>().ok());
    kib.expect("VmRSS is a number") * 1024
}

/// Raises the limit of open files, which servers started later inherit, as far as it goes.
/// Returns how many files this process may now open.
///
/// # Panics
/// If the kernel refuses a limit that it allows.
pub fn raise_open_files() -> usize {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).expect("setrlimit");
    hard.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX))
}
