//! One client's TLS: records in, bytes of the protocol out, and back.
//!
//! rustls keeps what is no whole record, or no whole message of a handshake: its interface without
//! buffers wants to see the same bytes again on every call, and panics if a peer that leaves a
//! message unfinished is written to meanwhile.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::sync::Arc;

use ringbus_shard::limits::HANDSHAKE_BYTES_MAX;
use ringbus_shard::transport::sniff::record;
use ringbus_shard::transport::{Facts, Failure, Opened, Peering, Shaken, Transport};
use rustls::{ProtocolVersion, ServerConfig, ServerConnection, SupportedCipherSuite};

use super::clients::{Pin, is_pinned};
use super::failure::{self, NOT_PINNED};

/// Given to rustls at once during a handshake, so that little of what follows it is taken with it.
const STEP_BYTES: usize = 4 << 10;

/// Content of the longest record that is sealed.
const CONTENT_MAX: usize = 16 << 10;

/// See the [module](self).
pub(in crate::tls) struct Records {
    connection: ServerConnection,
    pinned: Option<Arc<BTreeSet<Pin>>>,
    /// Bytes of the handshake so far.
    shaken: usize,
    /// The client said that nothing more will come, at once with the end of its handshake.
    ended: bool,
    /// Records that were sealed with keys that are not renewed, and how many of these may be, if
    /// that is bounded.
    sealed: u64,
    sealed_max: Option<u64>,
}

impl Records {
    pub(in crate::tls) fn new(
        config: Arc<ServerConfig>,
        pinned: Option<Arc<BTreeSet<Pin>>>,
    ) -> Result<Self, rustls::Error> {
        let mut connection = ServerConnection::new(config)?;
        // What is written is taken at once; how much that may be is decided elsewhere.
        connection.set_buffer_limit(None);
        let (ended, sealed, sealed_max) = (false, 0, None);
        Ok(Self { connection, pinned, shaken: 0, ended, sealed, sealed_max })
    }

    /// Gives some of `input` to rustls. Returns how much, and whether more may come.
    fn feed(&mut self, input: &[u8], output: &mut Vec<u8>) -> (usize, Result<Peering, Failure>) {
        let mut rest = input;
        // Fails only if what was opened before was not taken.
        let outcome = match self.connection.read_tls(&mut rest) {
            Ok(_) => self.connection.process_new_packets(),
            Err(error) => Err(rustls::Error::General(error.to_string())),
        };
        // An answer; or, after an error, an alert.
        self.take_sealed(output);
        let outcome = match outcome {
            Ok(state) if state.peer_has_closed() => Ok(Peering::Ended),
            Ok(_) => Ok(Peering::GoesOn),
            Err(error) => Err(Failure(failure::reason(&error))),
        };
        (input.len() - rest.len(), outcome)
    }

    /// Appends everything that is sealed.
    fn take_sealed(&mut self, output: &mut Vec<u8>) {
        while self.connection.wants_write() {
            // A vector takes anything.
            let _ = self.connection.write_tls(output);
        }
    }

    /// Hands over everything that is opened.
    fn take_opened(&mut self, plain: &mut dyn FnMut(&[u8])) {
        let mut reader = self.connection.reader();
        while let Ok(piece) = reader.fill_buf()
            && !piece.is_empty()
        {
            let len = piece.len();
            plain(piece);
            reader.consume(len);
        }
    }

    fn facts(&self) -> Facts {
        let version = match self.connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "1.3",
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "",
        };
        // Those of TLS 1.3 have a prefix of their own here, and none in Go.
        let suite = self.connection.negotiated_cipher_suite();
        let suite = suite.and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let cipher = suite.replace("TLS13_", "TLS_");
        let certificates = self.connection.peer_certificates().unwrap_or_default();
        let certificates = certificates.iter().map(|der| der.to_vec()).collect();
        Facts { version, cipher, first: false, certificates }
    }

    fn is_pinned(&self, facts: &Facts) -> bool {
        let Some(pinned) = &self.pinned else { return true };
        facts.certificates.first().is_some_and(|der| is_pinned(pinned, der))
    }

    /// What the handshake established.
    fn established(&mut self, output: &mut Vec<u8>) -> Result<Option<Facts>, Failure> {
        let facts = self.facts();
        if self.is_pinned(&facts) {
            // Keys of TLS 1.3 are renewed by rustls; once those of TLS 1.2 are used up, it says
            // that it ends, and loses what it is given.
            if let Some(SupportedCipherSuite::Tls12(suite)) =
                self.connection.negotiated_cipher_suite()
            {
                let most = suite.common.confidentiality_limit;
                self.sealed_max = (most < u64::MAX).then_some(most);
            }
            return Ok(Some(facts));
        }
        self.close(output);
        Err(Failure(NOT_PINNED.to_owned()))
    }
}

/// So many of the records that may be sealed with one set of keys are kept for what waits when the
/// others are used up.
const SEALED_RESERVE: u64 = 1 << 17;

const WORN: &str = "TLS 1.2 connection closed: its keys have sealed as many records as they may; \
                    a client that speaks TLS 1.3 or ChaCha20 is never closed for that";

impl Transport for Records {
    fn need(&self, input: &[u8]) -> usize {
        record(input)
    }

    fn is_answered(&self) -> bool {
        match self.connection.protocol_version() {
            // Signed with the first flight.
            Some(ProtocolVersion::TLSv1_2) => true,
            // Not so if the client was only asked for another curve.
            _ => self.connection.negotiated_key_exchange_group().is_some(),
        }
    }

    fn shake(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> Shaken {
        let mut consumed = 0;
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            let step = rest.get(..STEP_BYTES).unwrap_or(rest);
            if step.is_empty() {
                return Shaken { consumed, outcome: Ok(None) };
            }
            let (taken, outcome) = self.feed(step, output);
            consumed += taken;
            self.shaken += taken;
            let outcome = match outcome {
                Ok(peering) if !self.connection.is_handshaking() => {
                    self.ended = peering == Peering::Ended;
                    if self.ended {
                        // Whatever stands behind the end is nothing.
                        consumed = input.len();
                    }
                    self.established(output)
                }
                Ok(Peering::GoesOn) if self.shaken > HANDSHAKE_BYTES_MAX => {
                    Err(Failure("tls: handshake too long".to_owned()))
                }
                Ok(Peering::GoesOn) => continue,
                Ok(Peering::Ended) => Err(Failure("EOF".to_owned())),
                Err(failure) => Err(failure),
            };
            return Shaken { consumed, outcome };
        }
    }

    fn open(&mut self, input: &[u8], output: &mut Vec<u8>, plain: &mut dyn FnMut(&[u8])) -> Opened {
        let mut consumed = 0;
        // What came with the end of the handshake.
        self.take_opened(plain);
        if self.ended {
            return Opened { consumed: input.len(), outcome: Ok(Peering::Ended) };
        }
        loop {
            let rest = input.get(consumed..).unwrap_or_default();
            if rest.is_empty() {
                return Opened { consumed, outcome: Ok(Peering::GoesOn) };
            }
            let (taken, outcome) = self.feed(rest, output);
            consumed += taken;
            self.take_opened(plain);
            if taken == 0 || outcome != Ok(Peering::GoesOn) {
                let stuck = || Err(Failure("tls: record too long".to_owned()));
                let outcome = if outcome == Ok(Peering::GoesOn) { stuck() } else { outcome };
                return Opened { consumed, outcome };
            }
        }
    }

    fn seal(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), Failure> {
        let failed = |_| Failure("tls: nothing more can be sealed".to_owned());
        self.connection.writer().write_all(plain).map_err(failed)?;
        self.take_sealed(output);
        self.sealed += u64::try_from(plain.len().div_ceil(CONTENT_MAX)).unwrap_or(u64::MAX);
        Ok(())
    }

    fn is_worn(&self) -> Option<&'static str> {
        let most = self.sealed_max?;
        let worn = self.sealed >= most.saturating_sub(SEALED_RESERVE.min(most / 2));
        worn.then_some(WORN)
    }

    fn close(&mut self, output: &mut Vec<u8>) {
        self.connection.send_close_notify();
        self.take_sealed(output);
    }
}
