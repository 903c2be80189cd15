//! A crowd that does nothing: what a connection costs in memory, and to accept.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::receiver::{self, Receiver};
use super::{Sample, Window};
use crate::client::Client;
use crate::meter::Meter;

/// Time for a server to settle before its memory is read.
const SETTLE: Duration = Duration::from_millis(500);

pub(super) fn run(connections: usize, addr: SocketAddr, meter: &mut Meter) -> Result<Sample> {
    // The first connection makes the server build what it builds once; it is not part of the crowd.
    let first = Client::connect(addr, "")?;
    thread::sleep(SETTLE);
    let mut own = Meter::new(std::process::id());
    let own_before = own.sample()?;
    let (begin, before, rss_before) = (Instant::now(), meter.sample()?, meter.rss()?);
    let mut crowd = (0..connections)
        .map(|_| Client::connect(addr, "").map(Receiver::deaf))
        .collect::<Result<Vec<_>>>()?;
    let (elapsed, after) = (begin.elapsed(), meter.sample()?);
    let client_cpu_ns = (own.sample()? - own_before).cpu_ns;
    thread::sleep(SETTLE);
    let rss_bytes = meter.rss()?;
    // A connection that was dropped would be very cheap: every one must still answer.
    let mut scratch = receiver::scratch(0);
    for connection in &mut crowd {
        connection.flush(&mut scratch)?;
    }
    drop(first);
    let usage = after - before;
    let window =
        Window { operations: connections as u64, elapsed, usage, client_cpu_ns, rss_bytes };
    let mut sample = window.sample("connect");
    sample.bytes_per_connection = Some(per_connection(rss_bytes, rss_before, connections));
    Ok(sample)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
fn per_connection(after: u64, before: u64, connections: usize) -> f64 {
    after.saturating_sub(before) as f64 / connections as f64
}
