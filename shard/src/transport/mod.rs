//! Transport: what stands between the bytes of a socket and those of the protocol.
//!
//! | file | what |
//! | --- | --- |
//! | [`sniff`] | what a client speaks, by its first byte |
//! | [`carrier`] | one connection that has a transport, or may get one |
//!
//! A [`Transport`] is bytes to bytes: what came from the socket to what the session reads, what the
//! outbox holds to what the socket is given. It knows no socket and no clock, so that the simulator
//! runs one of its own. The broker makes them ([`Transports`]), and they are made as late as the
//! first byte of a client: a silent socket costs no more than without.
//!
//! A connection without a transport pays nothing but a look, per receive and per write, whether it
//! has one.

pub(crate) mod carrier;
pub mod sniff;

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
#[cfg(any(test, fuzzing))]
pub(crate) mod toy;

use std::time::Duration;

use crate::clock::Now;

pub use carrier::{Handshake, HandshakeDone, Output};

/// Makes the transports of a process, and says who gets one. Shared by all shards: asked once per
/// connection, it must not block.
pub trait Transports: Send + Sync {
    /// Who gets one, and when.
    fn terms(&self) -> Terms;

    /// One more, for a client whose first bytes have come.
    ///
    /// # Errors
    /// If it does not get one.
    fn accept(&self, now: Now) -> Result<Box<dyn Transport>, Declined>;

    /// Whether a client that came through another transport may stay. Asked when that was replaced
    /// by this one.
    fn admits(&self, _facts: &Facts) -> bool {
        true
    }

    /// Whether a client may come in whose handshake began with another transport, and ended after
    /// that was replaced by this one. Unlike [`Self::admits`], this is about somebody who was not
    /// here yet.
    ///
    /// # Errors
    /// With what is wrong with it.
    fn readmits(&self, _facts: &Facts) -> Result<(), Failure> {
        Ok(())
    }
}

/// When a client gets a transport.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// A client may do without.
    pub optional: bool,
    /// Whether the handshake comes before INFO.
    pub first: First,
    /// A handshake must be over this long after the connection was accepted.
    pub timeout: Duration,
}

/// Whether a handshake comes before INFO.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum First {
    /// It comes after.
    No,
    /// It comes before.
    Yes,
    /// It comes before if the client begins within this time, else after.
    Within(Duration),
}

/// Why a client gets no transport.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Declined {
    /// Too many came within this second.
    Throttled,
    /// None can be made.
    Failed(String),
}

/// What is wrong with a connection, in words for the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure(pub String);

/// What a handshake established.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Facts {
    /// Version of the protocol, as monitoring shows it: `1.3`.
    pub version: &'static str,
    /// What it is sealed with, as monitoring shows it.
    pub cipher: String,
    /// The handshake came before INFO.
    pub first: bool,
    /// What the client sent as certificates, in DER. The first is its own, and was verified; the
    /// others are whatever it sent with it.
    pub certificates: Vec<Vec<u8>>,
}

impl Facts {
    /// That of the client itself, if it has one.
    #[must_use]
    pub fn certificate(&self) -> Option<&[u8]> {
        self.certificates.first().map(Vec::as_slice)
    }

    /// Memory that they hold, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let certificates: usize = self.certificates.iter().map(Vec::len).sum();
        size_of::<Self>() + self.cipher.len() + certificates
    }
}

/// How far a handshake came.
#[derive(Debug)]
pub struct Shaken {
    /// Bytes at the head of the input that are done with.
    pub consumed: usize,
    /// Where it stands: established, or in need of more input.
    pub outcome: Result<Option<Facts>, Failure>,
}

/// How far the opening of records came.
#[derive(Debug)]
pub struct Opened {
    /// Bytes at the head of the input that are done with.
    pub consumed: usize,
    /// Whether more may come.
    pub outcome: Result<Peering, Failure>,
}

/// Whether the peer goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Peering {
    /// It does.
    GoesOn,
    /// It said that nothing more will come.
    Ended,
}

/// Both sides' bytes of one connection.
///
/// `input` is always what came and was not consumed yet, in order. That of a handshake may be
/// changed at will, but what is not consumed is given again, with more behind it. What is consumed
/// need not be used yet: a transport may keep part of a record, and what came with the end of a
/// handshake. What goes to the socket because of what came (an answer, an alert) is appended to
/// `output`, with a failure too.
pub trait Transport: Send {
    /// Bytes that the input must have for a look at it to be worth while. Asked only before the
    /// first step of a handshake: later, nobody else knows where in a record the input begins.
    fn need(&self, input: &[u8]) -> usize;

    /// Whether the client was answered by what a handshake costs most: a signature. Who was comes
    /// first where handshakes queue, so that those which are begun come to an end.
    fn is_answered(&self) -> bool;

    /// Goes on with the handshake. May take a millisecond, and may be called on any thread.
    fn shake(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> Shaken;

    /// Opens what came after the handshake, piece by piece. The first call may bring nothing new.
    fn open(&mut self, input: &[u8], output: &mut Vec<u8>, plain: &mut dyn FnMut(&[u8])) -> Opened;

    /// Seals `plain`, which is not empty, and appends it to `output`.
    ///
    /// # Errors
    /// If nothing more can be sealed.
    fn seal(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), Failure>;

    /// Why the connection is to end soon, if it is: what is sealed with one set of keys is bounded
    /// in some versions. What waits can still be sealed.
    fn is_worn(&self) -> Option<&'static str> {
        None
    }

    /// Appends to `output` that nothing more will come.
    fn close(&mut self, output: &mut Vec<u8>);
}
