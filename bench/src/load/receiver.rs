//! The reading side of any role: bytes of one connection through the checker, PINGs answered.
#![deny(clippy::indexing_slicing)]

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::event::PollFlags;

use crate::check::{CheckFailure, Checker, Message, Order};
use crate::client::{self, Client, Moved};
use crate::wire::{FrameShape, Numbering, STAMP_LEN};

/// Bytes read at once.
const READ_LEN: usize = 256 * 1_024;
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection and what it has to get.
#[derive(Debug)]
pub(super) struct Receiver {
    client: Client,
    checker: Checker,
    /// Start of a frame whose rest has not come yet.
    carry: Vec<u8>,
}

/// Where receivers of one thread read to; large enough for any carry and a full read.
pub(super) fn scratch(frame_len: usize) -> Vec<u8> {
    vec![0; READ_LEN + frame_len]
}

impl Receiver {
    pub(super) fn new(client: Client, checker: Checker) -> Self {
        Self { client, checker, carry: Vec::new() }
    }

    /// For a connection that must not get any message.
    pub(super) fn deaf(client: Client) -> Self {
        let shape = FrameShape::new("MSG nothing", Numbering::None, "", STAMP_LEN);
        Self::new(client, Checker::new(shape, Order::Gapless, 0, 0))
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn checker(&self) -> &Checker {
        &self.checker
    }

    pub(super) fn into_checker(self) -> Checker {
        self.checker
    }

    /// One read, PINGs answered. False if there was nothing.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        on_message: impl FnMut(Message<'_>),
    ) -> Result<bool> {
        let some = self.read(scratch, on_message)?;
        self.answer_pings()?;
        Ok(some)
    }

    /// One read. PINGs wait for `answer_pings`: who has a frame half written must not answer now.
    pub(super) fn read(
        &mut self,
        scratch: &mut [u8],
        on_message: impl FnMut(Message<'_>),
    ) -> Result<bool> {
        let carried = self.carry.len();
        let too_long = || CheckFailure(format!("a frame of more than {carried} bytes"));
        let (head, room) = scratch.split_at_mut_checked(carried).ok_or_else(too_long)?;
        let Moved::Bytes(len) = self.client.read(room)? else { return Ok(false) };
        head.copy_from_slice(&self.carry);
        let bytes = scratch.get(..carried + len).unwrap_or_default();
        let eaten = self.checker.consume(bytes, on_message)?;
        self.carry.clear();
        self.carry.extend_from_slice(bytes.get(eaten..).unwrap_or_default());
        Ok(true)
    }

    /// Sends a PONG for every PING read so far.
    pub(super) fn answer_pings(&mut self) -> Result<()> {
        for _ in 0..self.checker.take_pings() {
            self.client.write_all(b"PONG\r\n")?;
        }
        Ok(())
    }

    /// Sends a PING and waits for its PONG: the server has taken everything before it.
    pub(super) fn flush(&mut self, scratch: &mut [u8]) -> Result<()> {
        let wanted = self.checker.pongs() + 1;
        self.client.write_all(b"PING\r\n")?;
        let since = Instant::now();
        while self.checker.pongs() < wanted {
            if since.elapsed() > PONG_TIMEOUT {
                return Err(CheckFailure(format!("no PONG within {PONG_TIMEOUT:?}")).into());
            }
            client::wait(&[&self.client], PollFlags::IN, Duration::from_millis(50))?;
            self.receive(scratch, |_| {})?;
        }
        Ok(())
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.client.as_fd()
    }
}
