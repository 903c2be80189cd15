//! How many system calls a process makes, where the kernel lets us count them.
//!
//! The tracepoint makes every system call of the whole machine a little slower, ours included, so
//! it is only armed in a window of its own after the one that is measured. What a ring does inside
//! one `io_uring_enter` is one call: that is what a ring is for.
#![deny(clippy::indexing_slicing)]

use std::fs;

use perf_event::events::Tracepoint;
use perf_event::{Builder, Counter};

/// Where a kernel tells the number of the tracepoint: today and before 4.1.
const TRACEPOINT: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];

/// Counters on all threads of a process.
pub(crate) struct SyscallCounter {
    counters: Vec<Counter>,
}

impl SyscallCounter {
    /// Arms them; nothing if the kernel does not allow it (it takes root or `CAP_PERFMON`, and a
    /// tracefs that can be read). Threads that start later are counted too.
    pub(crate) fn start(threads: impl Iterator<Item = i32>) -> Option<Self> {
        let id = TRACEPOINT.iter().find_map(|path| fs::read_to_string(path).ok())?;
        let event = Tracepoint::with_id(id.trim().parse().ok()?);
        let open = |thread: i32| {
            let mut builder = Builder::new(event);
            builder.observe_pid(thread).any_cpu().inherit(true).include_kernel().enabled(true);
            builder.build().ok()
        };
        let counters: Vec<Counter> = threads.filter_map(open).collect();
        (!counters.is_empty()).then_some(Self { counters })
    }

    /// How many there were.
    pub(crate) fn stop(mut self) -> u64 {
        self.counters.iter_mut().filter_map(|counter| counter.read().ok()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not everybody may count; whoever may must find what was done.
    #[test]
    fn our_own_calls_are_counted() {
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        let Some(counter) = SyscallCounter::start([own].into_iter()) else { return };
        for _ in 0..100 {
            fs::metadata("/").unwrap();
        }
        let seen = counter.stop();
        assert!((100..1_000).contains(&seen), "{seen}");
    }
}
