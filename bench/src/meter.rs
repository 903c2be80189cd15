//! What the kernel's scheduler says a server process has used.
//!
//! CPU time comes from `/proc/<pid>/task/*/schedstat` (nanoseconds really run; the ticks of `stat`
//! are 10 ms). Trap: a thread that exits takes its figures with it, and the sum would jump back.
//! The meter remembers the last figures of every thread it has ever seen, so it has to be sampled
//! often enough (`SAMPLE_EVERY` in `load`): what a thread uses between its last sample and its end
//! is lost.
#![deny(clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Sub;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::check::CheckFailure;
use crate::syscalls::SyscallCounter;

/// Totals since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Time on a CPU.
    pub(crate) cpu_ns: u64,
    /// Time runnable but waiting for a CPU: how crowded the server's cores were.
    pub(crate) wait_ns: u64,
    /// Voluntary context switches: how often a thread went to sleep.
    pub(crate) sleeps: u64,
    /// Involuntary ones: how often somebody else took the CPU away.
    pub(crate) preemptions: u64,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            wait_ns: self.wait_ns - before.wait_ns,
            sleeps: self.sleeps - before.sleeps,
            preemptions: self.preemptions - before.preemptions,
        }
    }
}

/// Follows one process.
#[derive(Debug)]
pub(crate) struct Meter {
    proc_dir: PathBuf,
    threads: BTreeMap<String, Usage>,
}

impl Meter {
    pub(crate) fn new(pid: u32) -> Self {
        Self { proc_dir: PathBuf::from(format!("/proc/{pid}")), threads: BTreeMap::new() }
    }

    /// Reads all threads and sums them up, the ended ones included.
    pub(crate) fn sample(&mut self) -> Result<Usage> {
        let tasks = self.proc_dir.join("task");
        let entries = fs::read_dir(&tasks).map_err(|error| {
            CheckFailure(format!("the server is gone: {}: {error}", tasks.display()))
        })?;
        for entry in entries {
            let thread = entry?;
            // A thread may end between two reads; then its last figures stay.
            let Ok(schedstat) = fs::read_to_string(thread.path().join("schedstat")) else {
                continue;
            };
            let Ok(status) = fs::read_to_string(thread.path().join("status")) else { continue };
            let (cpu_ns, wait_ns) = parse_schedstat(&schedstat)
                .with_context(|| format!("schedstat of this kernel: {schedstat:?}"))?;
            let switches = |name| status_field(&status, name).unwrap_or(0);
            let sleeps = switches("voluntary_ctxt_switches:");
            let preemptions = switches("nonvoluntary_ctxt_switches:");
            let name = thread.file_name().to_string_lossy().into_owned();
            self.threads.insert(name, Usage { cpu_ns, wait_ns, sleeps, preemptions });
        }
        Ok(sum(self.threads.values()))
    }

    /// Counts the system calls of all threads from now on, if the kernel allows it.
    pub(crate) fn count_syscalls(&self) -> Option<SyscallCounter> {
        let threads = fs::read_dir(self.proc_dir.join("task")).ok()?;
        let number = |thread: fs::DirEntry| thread.file_name().to_str()?.parse().ok();
        SyscallCounter::start(threads.flatten().filter_map(number))
    }

    /// Resident memory in bytes.
    pub(crate) fn rss(&self) -> Result<u64> {
        let status = fs::read_to_string(self.proc_dir.join("status"))?;
        let kib = status_field(&status, "VmRSS:").context("VmRSS of the server")?;
        Ok(kib * 1_024)
    }
}

fn sum<'a>(threads: impl Iterator<Item = &'a Usage>) -> Usage {
    threads.fold(Usage::default(), |sum, thread| Usage {
        cpu_ns: sum.cpu_ns + thread.cpu_ns,
        wait_ns: sum.wait_ns + thread.wait_ns,
        sleeps: sum.sleeps + thread.sleeps,
        preemptions: sum.preemptions + thread.preemptions,
    })
}

/// Time run and time waited, in nanoseconds; the third field (time slices) is of no use here.
fn parse_schedstat(text: &str) -> Option<(u64, u64)> {
    let mut fields = text.split_ascii_whitespace().map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// A number of `/proc/<pid>/status`.
fn status_field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_and_status_are_read() {
        assert_eq!(parse_schedstat("123456789 42 7\n"), Some((123_456_789, 42)));
        assert_eq!(parse_schedstat("123\n"), None);
        assert_eq!(parse_schedstat("x y z\n"), None);
        let status = "Name:\tx\nVmRSS:\t  2048 kB\nvoluntary_ctxt_switches:\t9\n\
                      nonvoluntary_ctxt_switches:\t70\n";
        assert_eq!(status_field(status, "VmRSS:"), Some(2_048));
        assert_eq!(status_field(status, "voluntary_ctxt_switches:"), Some(9));
        assert_eq!(status_field(status, "VmSwap:"), None);
    }

    #[test]
    fn time_of_ended_threads_is_kept() {
        let proc_dir = std::env::temp_dir().join(format!("ringbus-meter-{}", std::process::id()));
        let thread = |tid: &str, cpu_ns: u64| {
            let dir = proc_dir.join("task").join(tid);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("schedstat"), format!("{cpu_ns} 10 1\n")).unwrap();
            let switches = "voluntary_ctxt_switches:\t3\nnonvoluntary_ctxt_switches:\t1\n";
            fs::write(dir.join("status"), switches).unwrap();
        };
        thread("1", 100);
        thread("2", 1_000);
        let mut meter = Meter { proc_dir: proc_dir.clone(), threads: BTreeMap::new() };
        let before = meter.sample().unwrap();
        let sum = Usage { cpu_ns: 1_100, wait_ns: 20, sleeps: 6, preemptions: 2 };
        assert_eq!(before, sum);
        fs::remove_dir_all(proc_dir.join("task/2")).unwrap();
        thread("1", 150);
        assert_eq!((meter.sample().unwrap() - before).cpu_ns, 50);
        fs::remove_dir_all(&proc_dir).unwrap();
        assert!(meter.sample().unwrap_err().is::<CheckFailure>(), "the server is gone");
    }

    #[test]
    fn our_own_process_can_be_measured() {
        let mut meter = Meter::new(std::process::id());
        assert!(meter.sample().unwrap().cpu_ns > 0);
        assert!(meter.rss().unwrap() > 0);
    }
}
