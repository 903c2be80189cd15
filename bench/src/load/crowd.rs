//! A crowd that comes at once and then does nothing: how fast it is let in, and what each
//! connection costs in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::process::{Resource, getrlimit};

use super::latency::{Latency, Loop, histogram, nanos};
use super::receiver::{self, Receiver};
use super::{Sample, Site, Steering, Window, join};
use crate::client::Client;
use crate::interrupt;
use crate::meter::Meter;
use crate::scenario::Crowd;

/// Time for a server to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);
/// Files that a server needs for itself: its shards, log, listeners.
const SERVER_FILES: u64 = 256;

/// More than these are connected several at a time.
const MANY: usize = 256;
const MANY_AT_ONCE: usize = 32;

pub(super) fn run(crowd: &Crowd, site: &Site) -> Result<Sample> {
    let mut meter = Meter::new(site.server);
    let (connections, reduced) = within_limits(crowd.connections, file_limit());
    // The first connection makes the server build what it builds once; it is not part of the crowd.
    let first = Client::connect(&site.door, "")?;
    thread::sleep(SETTLE);
    let mut own = Meter::new(std::process::id());
    let own_before = own.sample()?;
    let (begin, before, rss_before) = (Instant::now(), meter.sample()?, meter.rss()?);
    let came = connect_all(connections, crowd.at_once, |_| {
        let began = Instant::now();
        let client = Client::connect(&site.door, "")?;
        Ok((Receiver::deaf(client), began.elapsed()))
    })?;
    let (elapsed, after) = (begin.elapsed(), meter.sample()?);
    let client_cpu_ns = (own.sample()? - own_before).cpu_ns;
    let (mut times, mut admitted) = (histogram()?, Vec::with_capacity(connections));
    for (connection, took) in came {
        times.saturating_record(nanos(took));
        admitted.push(connection);
    }
    thread::sleep(SETTLE);
    let rss_bytes = meter.rss()?;
    // A connection that was dropped would be very cheap: every one must still answer.
    let mut scratch = receiver::scratch(0);
    for connection in &mut admitted {
        connection.flush(&mut scratch)?;
    }
    drop(first);
    let window = Window {
        operations: connections as u64,
        elapsed,
        usage: after - before,
        client_cpu_ns,
        rss_bytes,
        syscalls_per_1000: None,
    };
    let mut sample = window.sample("connect");
    sample.bytes_per_connection = Some(per_connection(rss_bytes, rss_before, connections));
    sample.latency = Some(Latency::of(Loop::Closed, &[times])?);
    sample.reduced = reduced;
    Ok(sample)
}

/// Makes all of them, so many at a time, each known by its number; in the order of the numbers.
pub(super) fn connect_all<T: Send>(
    count: usize,
    at_once: usize,
    connect: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (next, steering) = (AtomicUsize::new(0), Steering::new());
    let enter = || -> Result<Vec<(usize, T)>> {
        let mut made = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count || steering.failed() {
                return Ok(made);
            }
            interrupt::check()?;
            made.push((number, connect(number)?));
        }
    };
    let mut all: Vec<(usize, T)> = thread::scope(|scope| {
        let entering: Vec<_> =
            (0..at_once.min(count)).map(|_| scope.spawn(|| steering.role(enter))).collect();
        entering.into_iter().filter_map(join).flatten().collect()
    });
    steering.verdict()?;
    all.sort_by_key(|(number, _)| *number);
    Ok(all.into_iter().map(|(_, made)| made).collect())
}

/// How many to connect at once where nobody measures it. A few come one after the other, so that
/// they are spread over shards in the same way each time.
pub(super) fn at_once(count: usize) -> usize {
    if count > MANY { MANY_AT_ONCE } else { 1 }
}

/// How many files a process may have open; the servers inherit our limit.
pub(super) fn file_limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// As many as there may be, and a word if these are fewer than asked for.
pub(super) fn within_limits(wanted: usize, files: u64) -> (usize, Option<String>) {
    let possible = usize::try_from(files.saturating_sub(SERVER_FILES)).unwrap_or(usize::MAX);
    if wanted <= possible {
        return (wanted, None);
    }
    let word = format!("{possible} of {wanted} connections, {files} files may be open");
    (possible, Some(word))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
fn per_connection(after: u64, before: u64, connections: usize) -> f64 {
    after.saturating_sub(before) as f64 / connections as f64
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn all_come_in_order_and_a_failure_is_told() {
        let numbers = connect_all(1_000, 8, Ok).unwrap();
        assert_eq!(numbers, (0..1_000).collect::<Vec<_>>());
        assert!(connect_all(0, 8, Ok).unwrap().is_empty());
        let failure = connect_all(1_000, 8, |number| {
            if number == 500 { Err(anyhow!("500 stays out")) } else { Ok(()) }
        });
        assert_eq!(failure.unwrap_err().to_string(), "500 stays out");
        assert_eq!((at_once(16), at_once(10_000)), (1, MANY_AT_ONCE));
    }

    #[test]
    fn crowd_is_cut_to_what_the_host_allows_and_says_so() {
        assert_eq!(within_limits(10_000, 20_000), (10_000, None));
        let (connections, word) = within_limits(20_000, 20_000);
        assert_eq!(connections, 19_744);
        assert!(word.unwrap().contains("19744 of 20000"));
    }
}
