//! Carrier: one connection that has a transport, or may get one.
//!
//! It holds what came and is no whole record yet, and what was sealed and is not written yet. The
//! plain bytes of what is sealed stay in the outbox until the socket has taken all of it, so that
//! what waits for a connection, and for how long, is told in plain bytes for all connections alike.
//!
//! Bounds: [`SEAL_BYTES`] in flight; a record, or [`HANDSHAKE_BYTES_MAX`], of input.
//!
//! Invariants: `sent` is less than the length of `output`, or both are zero; `plain` is zero while
//! `output` is empty.

use std::sync::{Arc, Weak};

use crate::clock::Now;
use crate::event::Insecure;
use crate::limits::{HANDSHAKE_BYTES_MAX, SEAL_BYTES};
use crate::outbox::Outbox;

use super::{Facts, Failure, First, Opened, Peering, Terms, Transport, Transports};

/// Pieces of an outbox that are sealed together.
const PIECES: usize = 64;

/// What waits to be written to a socket.
#[derive(Clone, Copy, Debug)]
pub enum Output<'a> {
    /// What is in the outbox.
    Plain(&'a Outbox),
    /// These bytes.
    Sealed(&'a [u8]),
}

/// How far a connection has come.
pub(crate) enum Stage {
    /// Its client has sent nothing.
    Waiting,
    /// Its handshake has begun.
    Shaking(Box<dyn Transport>),
    /// A step of its handshake is done elsewhere, as long as somebody waits for it: this.
    Away(#[expect(dead_code, reason = "that it is there tells that somebody waits")] Arc<()>),
    /// It is established.
    Open(Box<dyn Transport>),
    /// It will not be.
    Failed,
}

/// See the [module](self).
pub(crate) struct Carrier {
    pub(crate) stage: Stage,
    pub(crate) terms: Terms,
    /// When its handshake must be over, or INFO is due.
    pub(crate) deadline: Now,
    /// INFO has not been sent.
    pub(crate) silent: bool,
    /// The driver was told to read no more for now.
    pub(crate) paused: bool,
    /// The client has hung up. What it sent before may still be to come.
    pub(crate) hung_up: bool,
    /// The client said that nothing more will come. Its socket will say the same.
    pub(crate) ended: bool,
    /// It was told that this connection is to end.
    pub(crate) worn: bool,
    /// A step of the handshake was begun: the transport may hold part of a record from then on.
    begun: bool,
    /// What made the transport.
    maker: Option<Weak<dyn Transports>>,
    /// Nothing more will be sealed.
    closed: bool,
    /// Bytes of the outbox that were there before the handshake, and are not sealed.
    clear: usize,
    input: Vec<u8>,
    output: Vec<u8>,
    sent: usize,
    plain: usize,
}

/// A step of a handshake, to be done wherever its time does not matter.
pub struct Handshake {
    transport: Box<dyn Transport>,
    input: Vec<u8>,
    awaited: Weak<()>,
    /// A first step is not worth beginning after this.
    begin_by: Now,
}

/// What came of it.
pub struct HandshakeDone {
    pub(crate) transport: Box<dyn Transport>,
    /// What was not consumed.
    pub(crate) input: Vec<u8>,
    pub(crate) output: Vec<u8>,
    pub(crate) outcome: Result<Option<Facts>, Insecure>,
}

impl Handshake {
    /// Whether its client was answered by nothing dear yet.
    #[must_use]
    pub fn is_first(&self) -> bool {
        !self.transport.is_answered()
    }

    /// Whether so much of its client's time is over that no answer would be of use.
    #[must_use]
    pub fn is_late(&self, now: Now) -> bool {
        self.is_first() && now > self.begin_by
    }

    /// Nobody has the time to do it.
    #[must_use]
    pub fn refused(self) -> HandshakeDone {
        let Self { transport, input, .. } = self;
        let outcome = Err(Insecure::Crowded);
        HandshakeDone { transport, input, output: Vec::new(), outcome }
    }

    /// Does it, if anybody still waits for it. This may take a millisecond.
    #[must_use]
    pub fn run(self) -> HandshakeDone {
        let Self { mut transport, mut input, awaited, .. } = self;
        let mut output = Vec::new();
        if awaited.strong_count() == 0 {
            let outcome = Err(Insecure::Timeout);
            return HandshakeDone { transport, input, output, outcome };
        }
        let shaken = transport.shake(&mut input, &mut output);
        input.drain(..shaken.consumed.min(input.len()));
        let outcome = shaken.outcome.map_err(|Failure(why)| Insecure::Failed(why));
        HandshakeDone { transport, input, output, outcome }
    }
}

impl std::fmt::Debug for Handshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handshake").field("input", &self.input.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for HandshakeDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandshakeDone").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

impl Carrier {
    /// For a client that was just accepted.
    pub(crate) fn new(terms: Terms, now: Now) -> Self {
        let patience = match terms.first {
            First::Within(delay) => delay,
            First::No | First::Yes => terms.timeout,
        };
        Self {
            stage: Stage::Waiting,
            terms,
            deadline: now.after(patience),
            silent: terms.first != First::No,
            paused: false,
            hung_up: false,
            ended: false,
            worn: false,
            begun: false,
            maker: None,
            closed: false,
            clear: 0,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            plain: 0,
        }
    }

    /// Whether the client has sent nothing.
    pub(crate) fn is_waiting(&self) -> bool {
        matches!(self.stage, Stage::Waiting)
    }

    /// The handshake begins. `clear` bytes wait in the outbox.
    pub(crate) fn begin(
        &mut self,
        maker: &Arc<dyn Transports>,
        transport: Box<dyn Transport>,
        clear: usize,
    ) {
        self.stage = Stage::Shaking(transport);
        self.maker = Some(Arc::downgrade(maker));
        self.clear = clear;
    }

    /// Whether these have made the transport.
    pub(crate) fn is_made_by(&self, transports: &Arc<dyn Transports>) -> bool {
        let maker = self.maker.as_ref();
        maker.is_some_and(|maker| std::ptr::addr_eq(maker.as_ptr(), Arc::as_ptr(transports)))
    }

    /// Bytes came while there is no handshake, or one that is not over.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Whether more came than a handshake may be, while nobody looks at it.
    pub(crate) fn has_too_much(&self) -> bool {
        self.input.len() > HANDSHAKE_BYTES_MAX
    }

    /// The next step of the handshake, if there is enough for one.
    pub(crate) fn next_step(&mut self, now: Now) -> Option<Handshake> {
        let Stage::Shaking(transport) = &self.stage else { return None };
        let need = if self.begun { 1 } else { transport.need(&self.input) };
        if self.input.is_empty() || self.input.len() < need {
            return None;
        }
        self.begun = true;
        let waits = Arc::new(());
        let awaited = Arc::downgrade(&waits);
        let Stage::Shaking(transport) = std::mem::replace(&mut self.stage, Stage::Away(waits))
        else {
            return None;
        };
        // Whoever is answered has as much time again for the rest.
        let begin_by = now.after(self.deadline.since(now) / 2);
        Some(Handshake { transport, input: std::mem::take(&mut self.input), awaited, begin_by })
    }

    /// A step is done. What came meanwhile goes behind what it left.
    pub(crate) fn came_back(&mut self, mut input: Vec<u8>, output: &[u8]) {
        input.append(&mut self.input);
        self.input = input;
        self.say(output);
    }

    /// These bytes are to be written, behind what already waits.
    fn say(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Opens what came: what was kept, then `bytes`; and what came with the end of the handshake,
    /// which the transport may hold. `scratch` is empty before and after.
    pub(crate) fn open(
        &mut self,
        bytes: &[u8],
        scratch: &mut Vec<u8>,
        plain: &mut dyn FnMut(&[u8]),
    ) -> Option<Opened> {
        let Stage::Open(transport) = &mut self.stage else { return None };
        let mut input = bytes;
        if !self.input.is_empty() {
            scratch.extend_from_slice(&self.input);
            scratch.extend_from_slice(bytes);
            input = scratch;
        }
        let opened = transport.open(input, &mut self.output, plain);
        self.ended |= opened.outcome == Ok(Peering::Ended);
        let rest = input.get(opened.consumed..).unwrap_or_default();
        // Exactly as much memory as there are bytes: most connections are idle most of the time.
        self.input = rest.to_vec();
        scratch.clear();
        Some(opened)
    }

    /// Seals some of the outbox, if nothing that is sealed waits. `spare` is memory for it.
    pub(crate) fn seal(&mut self, outbox: &Outbox, spare: &mut Vec<u8>) -> Result<(), Failure> {
        let Stage::Open(transport) = &mut self.stage else { return Ok(()) };
        if !self.output.is_empty() || self.closed || outbox.is_empty() {
            return Ok(());
        }
        self.output = std::mem::take(spare);
        for piece in outbox.pieces(PIECES) {
            let piece = piece.get(..SEAL_BYTES - self.plain).unwrap_or(piece);
            if let Err(failure) = transport.seal(piece, &mut self.output) {
                self.closed = true;
                return Err(failure);
            }
            self.plain += piece.len();
            if self.plain == SEAL_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// Why it is to end, if that is new.
    pub(crate) fn wears_out(&mut self) -> Option<&'static str> {
        let Stage::Open(transport) = &self.stage else { return None };
        let why = transport.is_worn().filter(|_| !self.worn);
        self.worn |= why.is_some();
        why
    }

    /// Whether the outbox is written as it is for now.
    pub(crate) fn is_clear(&self) -> bool {
        self.clear > 0 || self.is_waiting()
    }

    /// What is sealed and waits.
    pub(crate) fn output(&self) -> &[u8] {
        self.output.get(self.sent..).unwrap_or_default()
    }

    /// The socket took `count` bytes of the outbox as they are.
    pub(crate) fn wrote_clear(&mut self, count: usize) {
        self.clear = self.clear.saturating_sub(count);
    }

    /// The socket took `count` sealed bytes. Returns how many bytes of the outbox are done.
    pub(crate) fn wrote(&mut self, count: usize, spare: &mut Vec<u8>) -> usize {
        self.sent += count;
        if self.sent < self.output.len() {
            return 0;
        }
        self.sent = 0;
        self.output.clear();
        let memory = std::mem::take(&mut self.output);
        if spare.capacity() < memory.capacity() {
            *spare = memory;
        }
        std::mem::take(&mut self.plain)
    }

    /// Says that nothing more will come. True if that is to be written first.
    pub(crate) fn close(&mut self) -> bool {
        if let Stage::Open(transport) = &mut self.stage
            && !std::mem::replace(&mut self.closed, true)
        {
            transport.close(&mut self.output);
        }
        !self.output().is_empty()
    }
}
