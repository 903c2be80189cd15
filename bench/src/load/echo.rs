//! Responders that answer wherever they are asked to: a request that came from another account
//! names a reply subject of the server's own making, so its layout is not known in advance. What
//! was asked is sent back, and the requester checks it.
#![deny(clippy::indexing_slicing)]

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use anyhow::Result;

use super::poller::Poller;
use super::receiver;
use super::{Phase, Steering};
use crate::check::CheckFailure;
use crate::client::{Client, Moved};

const POLL: Duration = Duration::from_millis(20);
/// Longest control line that a server may send.
const LINE_LEN_MAX: usize = 64 * 1_024;

/// One of them.
#[derive(Debug)]
pub(super) struct Echo {
    client: Client,
    /// Start of a frame whose rest has not come yet.
    carry: Vec<u8>,
}

impl Echo {
    pub(super) fn new(client: Client) -> Self {
        Self { client, carry: Vec::new() }
    }

    /// One read, and one write with all answers to it.
    fn turn(&mut self, scratch: &mut [u8], answers: &mut Vec<u8>) -> Result<()> {
        let Moved::Bytes(len) = self.client.read(scratch)? else { return Ok(()) };
        self.carry.extend_from_slice(scratch.get(..len).unwrap_or_default());
        answers.clear();
        let mut done = 0;
        while let Some(len) = answer(self.carry.get(done..).unwrap_or_default(), answers)? {
            done += len;
        }
        self.carry.drain(..done);
        self.client.write_all(answers)
    }
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}

/// Answers until the run is done.
pub(super) fn respond(
    mut hand: Vec<(usize, Echo)>,
    size: usize,
    steering: &Steering,
) -> Result<()> {
    let mut poller = Poller::new(hand.iter().map(|(_, echo)| echo))?;
    let mut scratch = receiver::scratch(size + 256);
    let mut answers = Vec::new();
    while steering.phase() < Phase::Done {
        for at in poller.wait(POLL)? {
            if let Some((_, echo)) = hand.get_mut(at) {
                echo.turn(&mut scratch, &mut answers)?;
            }
        }
    }
    Ok(())
}

/// Appends what the frame at the head of `bytes` is answered with, and returns its length; nothing
/// if it is not all there.
fn answer(bytes: &[u8], answers: &mut Vec<u8>) -> Result<Option<usize>, CheckFailure> {
    let Some(line_len) = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1) else {
        return match bytes.len() > LINE_LEN_MAX {
            true => Err(CheckFailure("a control line without an end".to_owned())),
            false => Ok(None),
        };
    };
    let line = bytes.get(..line_len).unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match *words {
        ["MSG", _, _, reply, size] => {
            let size: usize =
                size.parse().map_err(|_| CheckFailure(format!("no size in {text:?}")))?;
            let len = line_len + size + 2;
            let Some(payload) = bytes.get(line_len..len) else { return Ok(None) };
            answers.extend_from_slice(format!("PUB {reply} {size}\r\n").as_bytes());
            answers.extend_from_slice(payload);
            Ok(Some(len))
        }
        ["PING"] => {
            answers.extend_from_slice(b"PONG\r\n");
            Ok(Some(line_len))
        }
        ["PONG" | "+OK"] | ["INFO", ..] => Ok(Some(line_len)),
        _ => Err(CheckFailure(format!("expected a request, saw {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    fn answered(bytes: &str) -> Option<(usize, String)> {
        let mut answers = Vec::new();
        let len = answer(bytes.as_bytes(), &mut answers).unwrap()?;
        Some((len, String::from_utf8(answers).unwrap()))
    }

    #[test]
    fn requests_are_answered_where_they_say() {
        let frames = [
            ("MSG rr 1 _R_.abc 2\r\nok\r\nMSG", Some((24, "PUB _R_.abc 2\r\nok\r\n"))),
            ("MSG rr 1 _R_.abc 2\r\nok\r", None),
            ("MSG rr 1 _R_", None),
            ("PING\r\n", Some((6, "PONG\r\n"))),
            ("INFO {\"a b\": 1}\r\n", Some((17, ""))),
            ("+OK\r\nPING\r\n", Some((5, ""))),
        ];
        for (bytes, expected) in frames {
            let expected = expected.map(|(len, text)| (len, text.to_owned()));
            assert_eq!(answered(bytes), expected, "{bytes:?}");
        }
        for bad in ["-ERR 'x'\r\n", "MSG rr 1 2\r\nok\r\n", "MSG rr 1 _R_.a x\r\n"] {
            assert!(answer(bad.as_bytes(), &mut Vec::new()).is_err(), "{bad:?}");
        }
    }
}
