//! A transport for tests: a handshake of two round trips, then records whose bytes are turned over
//! by a key. As little as shows whether somebody mixes up what is sealed and what is not.
//!
//! `16 k s` from the client, `16 s` from the server, `14 k` from the client; then records, `17`,
//! two bytes of length, content; `15` for the end.
//!
//! As a library would, it swallows whatever it is given, parts of messages and of records too, and
//! takes some of what follows the handshake with it.

use std::sync::Arc;

use crate::clock::Now;

use super::{Declined, Facts, Failure, Opened, Peering, Shaken, Terms, Transport, Transports};

const HELLO: u8 = 0x16;
const FINISHED: u8 = 0x14;
const RECORD: u8 = 0x17;
const END: u8 = 0x15;

/// Looked at together during a handshake.
const STEP_BYTES: usize = 5;

/// Content of the longest record.
const CONTENT_MAX: usize = 1000;

/// Gives everybody who asks a toy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toys(pub(crate) Terms);

impl Toys {
    pub(crate) fn shared(terms: Terms) -> Option<Arc<dyn Transports>> {
        Some(Arc::new(Self(terms)))
    }
}

impl Transports for Toys {
    fn terms(&self) -> Terms {
        self.0
    }

    fn accept(&self, _: Now) -> Result<Box<dyn Transport>, Declined> {
        Ok(Box::new(Toy::default()))
    }
}

/// The server's side.
#[derive(Debug, Default)]
struct Toy {
    key: Option<u8>,
    /// Swallowed, and not used yet.
    held: Vec<u8>,
}

fn turned_over(bytes: &[u8], key: u8) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ key).collect()
}

fn seal(plain: &[u8], key: u8, output: &mut Vec<u8>) {
    for content in plain.chunks(CONTENT_MAX) {
        let len = u16::try_from(content.len()).expect("a short record");
        output.push(RECORD);
        output.extend_from_slice(&len.to_be_bytes());
        output.extend(content.iter().map(|byte| byte ^ key));
    }
}

/// Length of the record at the head, with its header; `None` while that is not known.
fn record(input: &[u8]) -> Option<usize> {
    let [_, high, low] = input.first_chunk()?;
    Some(3 + usize::from(u16::from_be_bytes([*high, *low])))
}

impl Transport for Toy {
    fn need(&self, _: &[u8]) -> usize {
        assert!(self.key.is_none() && self.held.is_empty(), "nobody knows what the input is");
        3
    }

    fn is_answered(&self) -> bool {
        self.key.is_some()
    }

    fn shake(&mut self, input: &mut [u8], output: &mut Vec<u8>) -> Shaken {
        let mut consumed = 0;
        for step in input.chunks(STEP_BYTES) {
            self.held.extend_from_slice(step);
            consumed += step.len();
            loop {
                match (self.key, &*self.held) {
                    (None, [HELLO, key, seed, ..]) => {
                        self.key = Some(*key);
                        output.extend([HELLO, *seed]);
                        self.held.drain(..3);
                    }
                    (Some(key), [FINISHED, proof, ..]) if *proof == key => {
                        self.held.drain(..2);
                        let facts = Facts { version: "toy", ..Facts::default() };
                        return Shaken { consumed, outcome: Ok(Some(facts)) };
                    }
                    (_, []) | (None, [HELLO, ..]) | (Some(_), [FINISHED]) => break,
                    _ => {
                        output.push(END);
                        return Shaken { consumed, outcome: Err(Failure("no hello".to_owned())) };
                    }
                }
            }
        }
        Shaken { consumed, outcome: Ok(None) }
    }

    fn open(&mut self, input: &[u8], output: &mut Vec<u8>, plain: &mut dyn FnMut(&[u8])) -> Opened {
        let key = self.key.expect("the handshake is over");
        self.held.extend_from_slice(input);
        let mut opened = 0;
        let outcome = loop {
            let rest = &self.held[opened..];
            match rest.first() {
                None => break Ok(Peering::GoesOn),
                Some(&END) => break Ok(Peering::Ended),
                Some(&RECORD) => match record(rest) {
                    Some(len) if len <= rest.len() => {
                        plain(&turned_over(&rest[3..len], key));
                        opened += len;
                    }
                    _ => break Ok(Peering::GoesOn),
                },
                Some(_) => {
                    output.push(END);
                    break Err(Failure("no record".to_owned()));
                }
            }
        };
        self.held.drain(..opened);
        Opened { consumed: input.len(), outcome }
    }

    fn seal(&mut self, plain: &[u8], output: &mut Vec<u8>) -> Result<(), Failure> {
        seal(plain, self.key.expect("the handshake is over"), output);
        Ok(())
    }

    fn close(&mut self, output: &mut Vec<u8>) {
        output.push(END);
    }
}

/// The client's side.
#[derive(Debug)]
pub(crate) struct ToyClient {
    key: u8,
    input: Vec<u8>,
    shaken: bool,
    /// The server said that nothing more will come.
    pub(crate) ended: bool,
}

impl ToyClient {
    /// One that turns bytes over by `key`.
    pub(crate) fn new(key: u8) -> Self {
        Self { key, input: Vec::new(), shaken: false, ended: false }
    }

    /// What it begins with.
    pub(crate) fn hello(&self) -> [u8; 3] {
        [HELLO, self.key, 7]
    }

    /// How it ends its handshake.
    pub(crate) fn finished(&self) -> [u8; 2] {
        [FINISHED, self.key]
    }

    /// Whether its handshake is over.
    pub(crate) fn is_open(&self) -> bool {
        self.shaken
    }

    /// Seals what it says.
    pub(crate) fn seal(&self, plain: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        seal(plain, self.key, &mut output);
        output
    }

    /// Says that nothing more will come.
    pub(crate) fn end() -> [u8; 1] {
        [END]
    }

    /// Reads what came. Returns it in plain, and what is to be answered.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
        self.input.extend_from_slice(bytes);
        let (mut plain, mut answer) = (Vec::new(), Vec::new());
        loop {
            match self.input.first() {
                Some(&HELLO) if !self.shaken && self.input.len() >= 2 => {
                    assert_eq!(self.input[1], 7, "the server answers another hello");
                    self.input.drain(..2);
                    self.shaken = true;
                    answer.extend(self.finished());
                }
                Some(&END) => {
                    self.input.remove(0);
                    self.ended = true;
                }
                Some(&RECORD) if self.shaken => match record(&self.input) {
                    Some(len) if len <= self.input.len() => {
                        plain.extend(self.input[3..len].iter().map(|byte| byte ^ self.key));
                        self.input.drain(..len);
                    }
                    _ => return (plain, answer),
                },
                None | Some(&HELLO) => return (plain, answer),
                Some(byte) => panic!("the server sent {byte:#x} where a record begins"),
            }
        }
    }
}
