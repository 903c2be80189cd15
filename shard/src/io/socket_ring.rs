//! The socket ring: one io_uring per shard for accepting, receiving and waiting.
//!
//! The io_uring of the runtime is not used for sockets: its one-shot polls cost several times what
//! a multishot receive into provided buffers costs. This ring belongs to one thread and defers all
//! its work to the moments when that thread enters it, so nothing ever interrupts the shard.
//!
//! A request is told apart by its [`Token`], which comes back with every completion.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::fd::FromRawFd;
use rustix::io::Errno;

use crate::ids::ConnId;

use super::buf::{GROUP, Piece, RecvBuffers};

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;

/// `IORING_ENTER_GETEVENTS`: do the deferred work also when there is nothing to wait for.
const GETEVENTS: u32 = 1;

/// What a request was for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// Receive from a connection, again and again.
    Receive(ConnId),
    /// Tell when a connection's socket takes bytes again.
    Writable(ConnId),
    /// Accept connections, again and again.
    Accept,
    /// Tell when somebody wakes this shard, again and again.
    Wake,
    /// Nobody wants to know.
    Ignored,
}

const KIND_BITS: u32 = 4;
const GENERATION_MASK: u32 = (1 << (32 - KIND_BITS)) - 1;

impl Token {
    /// Kind, the low bits of the generation, slot.
    fn to_bits(self) -> u64 {
        let (kind, conn) = match self {
            Self::Ignored => (0, None),
            Self::Receive(conn) => (1, Some(conn)),
            Self::Writable(conn) => (2, Some(conn)),
            Self::Accept => (3, None),
            Self::Wake => (4, None),
        };
        let conn = conn.unwrap_or(ConnId::new(0, 0));
        let high = kind << (32 - KIND_BITS) | (conn.generation() & GENERATION_MASK);
        u64::from(high) << 32 | u64::from(conn.slot())
    }

    #[expect(clippy::cast_possible_truncation, reason = "the parts are taken apart")]
    fn from_bits(bits: u64) -> Self {
        let high = (bits >> 32) as u32;
        let conn = ConnId::new(bits as u32, high & GENERATION_MASK);
        match high >> (32 - KIND_BITS) {
            1 => Self::Receive(conn),
            2 => Self::Writable(conn),
            3 => Self::Accept,
            4 => Self::Wake,
            _ => Self::Ignored,
        }
    }

    /// Whether a token that came back belongs to `conn`: a slot is used again, and what was asked
    /// for its last user may still come back.
    pub(super) fn is_for(token: ConnId, conn: ConnId) -> bool {
        token.slot() == conn.slot() && token.generation() == conn.generation() & GENERATION_MASK
    }
}

/// What came back.
#[derive(Debug)]
pub(super) struct Completion {
    pub(super) token: Token,
    pub(super) outcome: Outcome,
    /// The request goes on and will come back again.
    pub(super) more: bool,
}

/// How a request went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Data, to be released when it was read.
    Data(Piece),
    /// A new connection.
    Accepted(OwnedFd),
    /// It happened.
    Done,
    /// It did not.
    Failed(Errno),
}

/// One shard's ring for sockets.
pub(super) struct SocketRing {
    // The ring is closed before its buffers are freed: fields are dropped in this order.
    ring: IoUring,
    buffers: RecvBuffers,
    /// Requests that the kernel would not take yet, in order.
    kept: VecDeque<squeue::Entry>,
}

impl SocketRing {
    /// A ring for the calling thread, and no other.
    pub(super) fn new() -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        let buffers = RecvBuffers::register(&ring)?;
        Ok(Self { ring, buffers, kept: VecDeque::new() })
    }

    /// Asks for something. A queue that is full is handed to the kernel; if that takes nothing at
    /// the moment, the request waits here: a connection whose request is lost would be deaf.
    fn push(&mut self, entry: squeue::Entry, token: Token) {
        self.kept.push_back(entry.user_data(token.to_bits()));
        self.fill();
    }

    /// Moves requests into the queue as far as there is room.
    fn fill(&mut self) {
        while let Some(entry) = self.kept.front() {
            let mut queue = self.ring.submission();
            // SAFETY: no request of this module borrows memory: receives take buffers from the
            // registered ring, and polls, accepts and cancellations take none.
            let pushed = unsafe { queue.push(entry) };
            drop(queue);
            if pushed.is_ok() {
                self.kept.pop_front();
            } else if self.ring.submit().is_err() {
                return;
            }
        }
    }

    /// Receives from a socket until it ends, fails, is cancelled or runs out of buffers.
    pub(super) fn receive(&mut self, socket: BorrowedFd<'_>, conn: ConnId) {
        let entry = opcode::RecvMulti::new(Fd(socket.as_raw_fd()), GROUP).build();
        self.push(entry, Token::Receive(conn));
    }

    /// Ends the receiving for a connection; it comes back as failed with `ECANCELED`.
    pub(super) fn cancel_receive(&mut self, conn: ConnId) {
        let entry = opcode::AsyncCancel::new(Token::Receive(conn).to_bits()).build();
        self.push(entry, Token::Ignored);
    }

    /// Tells once when a socket takes bytes.
    pub(super) fn writable(&mut self, socket: BorrowedFd<'_>, conn: ConnId) {
        let events = u32::from(rustix::event::PollFlags::OUT.bits());
        let entry = opcode::PollAdd::new(Fd(socket.as_raw_fd()), events).build();
        self.push(entry, Token::Writable(conn));
    }

    /// Accepts connections until it fails.
    pub(super) fn accept(&mut self, listener: BorrowedFd<'_>) {
        let flags = rustix::net::SocketFlags::CLOEXEC.bits().cast_signed();
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(flags).build();
        self.push(entry, Token::Accept);
    }

    /// Accepts no more.
    pub(super) fn cancel_accept(&mut self) {
        let entry = opcode::AsyncCancel::new(Token::Accept.to_bits()).build();
        self.push(entry, Token::Ignored);
    }

    /// Tells every time that an eventfd was written.
    pub(super) fn watch(&mut self, eventfd: BorrowedFd<'_>) {
        let events = u32::from(rustix::event::PollFlags::IN.bits());
        let entry = opcode::PollAdd::new(Fd(eventfd.as_raw_fd()), events).multi(true).build();
        self.push(entry, Token::Wake);
    }

    /// Whether there is anything to take, or to submit, without waiting for it.
    pub(super) fn has_work(&mut self) -> bool {
        let queue = self.ring.submission();
        let pending = queue.taskrun() || queue.cq_overflow() || !queue.is_empty();
        drop(queue);
        pending || !self.kept.is_empty() || !self.ring.completion().is_empty()
    }

    /// Whether the kernel has seen all that was asked for.
    pub(super) fn is_submitted(&mut self) -> bool {
        self.kept.is_empty() && self.ring.submission().is_empty()
    }

    /// Submits what was asked for and lets what has arrived complete, without waiting.
    pub(super) fn poll(&mut self) -> io::Result<()> {
        self.fill();
        let mut queue = self.ring.submission();
        queue.sync();
        let count = u32::try_from(queue.len()).unwrap_or(u32::MAX);
        if count == 0 && !queue.taskrun() && !queue.cq_overflow() {
            return Ok(());
        }
        drop(queue);
        let submitter = self.ring.submitter();
        // SAFETY: no argument is passed, so none can be wrong.
        let entered = unsafe { submitter.enter::<()>(count, 0, GETEVENTS, None) };
        Self::forgive(entered)
    }

    /// Submits what was asked for and waits until something completes, at most for `timeout`.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.fill();
        let timespec = timeout.map(Timespec::from);
        let mut args = SubmitArgs::new();
        if let Some(timespec) = &timespec {
            args = args.timespec(timespec);
        }
        Self::forgive(self.ring.submitter().submit_with_args(1, &args))
    }

    /// A time-out, a signal or a momentary shortage is no failure of the ring.
    fn forgive(entered: io::Result<usize>) -> io::Result<()> {
        let Err(error) = entered else { return Ok(()) };
        match Errno::from_io_error(&error) {
            Some(Errno::TIME | Errno::INTR | Errno::BUSY | Errno::AGAIN) => Ok(()),
            _ => Err(error),
        }
    }

    /// Appends what has completed to `completions`, at most about `most`.
    pub(super) fn collect(&mut self, completions: &mut Vec<Completion>, most: usize) {
        let Self { ring, buffers, .. } = self;
        for entry in ring.completion().take(most) {
            let (token, flags) = (Token::from_bits(entry.user_data()), entry.flags());
            let result = entry.result();
            let outcome = match (token, u32::try_from(result)) {
                (_, Err(_)) => {
                    let buffer = cqueue::buffer_select(flags);
                    if let Some(piece) = buffer.and_then(|id| buffers.piece(id, 0, false)) {
                        buffers.release(piece);
                    }
                    Outcome::Failed(Errno::from_raw_os_error(-result))
                }
                (Token::Accept, Ok(_)) => {
                    // SAFETY: the kernel opened it for this completion, and nobody else knows it.
                    Outcome::Accepted(unsafe { OwnedFd::from_raw_fd(result) })
                }
                (Token::Receive(_), Ok(len)) => {
                    let piece = cqueue::buffer_select(flags)
                        .and_then(|id| buffers.piece(id, len, cqueue::buffer_more(flags)));
                    match piece {
                        Some(piece) if len > 0 => Outcome::Data(piece),
                        // The end of the stream needs no buffer; one that came with it goes back.
                        Some(piece) => {
                            buffers.release(piece);
                            Outcome::Done
                        }
                        None => Outcome::Done,
                    }
                }
                (_, Ok(_)) => Outcome::Done,
            };
            completions.push(Completion { token, outcome, more: cqueue::more(flags) });
        }
    }

    /// The bytes of a piece.
    pub(super) fn bytes(&self, piece: Piece) -> &[u8] {
        self.buffers.bytes(piece)
    }

    /// A piece was read.
    pub(super) fn release(&mut self, piece: Piece) {
        self.buffers.release(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_trip_through_the_kernel() {
        let conn = ConnId::new(77, 0x0fff_fffe);
        for token in [Token::Receive(conn), Token::Writable(conn), Token::Accept, Token::Wake] {
            assert_eq!(Token::from_bits(token.to_bits()), token);
        }
        let old = ConnId::new(77, 0x2fff_fffe);
        let Token::Receive(returned) = Token::from_bits(Token::Receive(old).to_bits()) else {
            panic!("the kind was lost");
        };
        assert!(Token::is_for(returned, old));
        assert!(!Token::is_for(returned, ConnId::new(77, 0x2fff_ffff)));
    }
}
