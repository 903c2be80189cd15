//! Subscribers to the messages that are measured, of which they read nothing.
//!
//! A server gives such a subscriber up when too much waits for it (64 MiB by default), and then the
//! others have it easy again. So as soon as more than that must have been sent to it, another
//! one takes its place: there is one at any time.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::beside::Listening;
use super::flow::{Counter, Flow, total};
use super::{Phase, Steering};
use crate::client::{Client, Door};

const POLL: Duration = Duration::from_millis(5);
/// More than any server keeps by default (64 MiB) and sockets hold (some MiB).
const GIVEN_UP_BYTES: u64 = 80 * 1_024 * 1_024;

/// One of them.
#[derive(Debug)]
pub(super) struct Stalled {
    door: Door,
    listening: Listening,
    client: Client,
    /// What had been published when it subscribed.
    since: u64,
}

impl Stalled {
    pub(super) fn new(door: &Door, listening: &Listening) -> Result<Self> {
        let client = Client::connect(door, &listening.line)?;
        Ok(Self { door: door.clone(), listening: listening.clone(), client, since: 0 })
    }

    /// True if no server still keeps what it has not read.
    fn is_given_up(&self, published: u64) -> bool {
        let missed = published.saturating_sub(self.since);
        missed.saturating_mul(self.listening.frame_len as u64) > GIVEN_UP_BYTES
    }

    fn come_back(&mut self, published: u64) -> Result<()> {
        self.client = Client::connect_amid(&self.door, &self.listening.line)?;
        self.since = published;
        Ok(())
    }
}

/// Reads nothing until the run stops.
pub(super) fn hold(
    mut all: Vec<Stalled>,
    flow: &Flow,
    replaced: &Counter,
    steering: &Steering,
) -> Result<()> {
    while steering.phase() < Phase::Stop {
        let published = total(&flow.published);
        for stalled in &mut all {
            if stalled.is_given_up(published) {
                stalled.come_back(published)?;
                replaced.set(replaced.get() + 1);
            }
        }
        thread::sleep(POLL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn another_one_comes_when_the_first_must_have_been_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let door = Door::new(listener.local_addr().unwrap(), None, None).unwrap();
        let server = thread::spawn(move || {
            for stream in listener.incoming().take(2) {
                let mut stream = stream.unwrap();
                stream.write_all(b"INFO {}\r\n").unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while let Some(Ok(line)) = lines.next() {
                    if line == "PING" {
                        stream.write_all(b"PONG\r\n").unwrap();
                    } else if line.starts_with("SUB foo") {
                        break;
                    }
                }
                // The first one waits until its SUB is taken.
                stream.write_all(b"PONG\r\n").unwrap();
            }
        });
        let listening = Listening { line: "SUB foo 1\r\n".to_owned(), frame_len: 1_024 };
        let mut stalled = Stalled::new(&door, &listening).unwrap();
        assert!(!stalled.is_given_up(GIVEN_UP_BYTES / 1_024));
        assert!(stalled.is_given_up(GIVEN_UP_BYTES / 1_024 + 1));
        stalled.come_back(1_000_000).unwrap();
        assert!(!stalled.is_given_up(1_000_000));
        server.join().unwrap();
    }
}
