//! Threads beside the shards, for what would hold up a shard.

use std::io;
use std::thread;

use rustix::thread::CpuSet;

/// Enough for any hash, for the text of any claim, and for a chain of certificates.
const STACK_BYTES: usize = 512 << 10;

/// The cores that this process may use and no shard has; all it may use if that is none. `None` if
/// the host does not tell.
pub(super) fn cores(shards: &[usize]) -> Option<CpuSet> {
    let mut cores = rustix::thread::sched_getaffinity(None).ok()?;
    let mut spare = cores;
    for core in shards {
        spare.unset(*core);
    }
    if spare.count() > 0 {
        cores = spare;
    }
    Some(cores)
}

/// How many threads keep these cores busy, `most` at most.
pub(super) fn count(cores: Option<&CpuSet>, most: usize) -> usize {
    cores.map_or(1, |cores| cores.count() as usize).clamp(1, most)
}

/// Starts a thread that stands so far behind others, and stays on these cores. Where the host does
/// not allow one of these, the other helps.
///
/// # Errors
/// If there can be no more threads.
pub(super) fn spawn(
    name: String,
    nice: i32,
    cores: Option<CpuSet>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let thread = thread::Builder::new().name(name).stack_size(STACK_BYTES);
    thread.spawn(move || {
        if let Some(cores) = &cores {
            let _ = rustix::thread::sched_setaffinity(None, cores);
        }
        // Of this thread alone.
        let _ = rustix::process::setpriority_process(None, nice);
        work();
    })?;
    Ok(())
}
