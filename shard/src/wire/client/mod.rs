//! Reads one client operation from the head of a buffer.
//!
//! The parser keeps no state: an operation that is not complete yet is read again from its first
//! byte when more bytes are there. What that costs is bounded, because a payload is waited for by
//! its length and never scanned. Nearly all input is a publish in the form that clients write, and
//! the module `publish` reads that form alone, as fast as it can; everything else, whatever its
//! form, goes through the general reader here. The two must agree, and a test holds them to it.
//!
//! The general reader behaves like the byte-by-byte state machine of the reference: it refuses the
//! first byte that cannot continue a verb, and it keeps its odd rules about CR (see `argument`).
//! It differs in that the blanks before an argument and the bytes ignored after PING, PONG and +OK
//! are bounded by `max_control_line` too, because they have to be kept until their line ends, and
//! in that it refuses HMSG, which the reference reads from clients by mistake, to no effect.

#![deny(clippy::indexing_slicing)]

mod publish;
#[cfg(test)]
mod tests;

use std::fmt;

pub use publish::{read_whole, read_whole_on};

use memchr::{memchr, memchr2};

use crate::error::Violation;
use crate::limits::SIZE_DIGITS_MAX;

/// What the sender may send.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParseLimits {
    /// Longest argument of a control line, counted without the verb and the line end.
    pub control_line: usize,
    /// Largest payload, headers included, that this connection may publish.
    pub payload: usize,
    /// Whether server and client agreed on headers.
    pub headers: bool,
}

/// One client operation, borrowed from the bytes it was read from.
#[derive(Clone, Copy, Eq, PartialEq)]
pub enum ClientOp<'a> {
    /// CONNECT with its JSON text, unread.
    Connect(&'a [u8]),
    /// PUB or HPUB.
    Publish(Publish<'a>),
    /// SUB. The pattern is not checked.
    Subscribe {
        /// The pattern.
        subject: &'a [u8],
        /// The queue group, if any.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// UNSUB.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: &'a [u8],
        /// Deliveries after which it ends, counted from its start; `None` ends it now, which is
        /// also what a count of zero or an unreadable one means.
        max: Option<u64>,
    },
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// INFO with its JSON text, unread. It means nothing from a client, but must be JSON.
    Info(&'a [u8]),
    /// +OK.
    Ok,
    /// -ERR with its text.
    Err(&'a [u8]),
}

impl fmt::Debug for ClientOp<'_> {
    /// Shows no JSON: that of CONNECT holds credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(json) => write!(f, "Connect({} bytes)", json.len()),
            Self::Publish(publish) => publish.fmt(f),
            Self::Subscribe { subject, queue, sid } => f
                .debug_struct("Subscribe")
                .field("subject", &subject.escape_ascii().to_string())
                .field("queue", &queue.map(|queue| queue.escape_ascii().to_string()))
                .field("sid", &sid.escape_ascii().to_string())
                .finish(),
            Self::Unsubscribe { sid, max } => {
                write!(f, "Unsubscribe {{ sid: {}, max: {max:?} }}", sid.escape_ascii())
            }
            Self::Ping => f.write_str("Ping"),
            Self::Pong => f.write_str("Pong"),
            Self::Info(json) => write!(f, "Info({} bytes)", json.len()),
            Self::Ok => f.write_str("Ok"),
            Self::Err(text) => write!(f, "Err({})", text.escape_ascii()),
        }
    }
}

/// PUB or HPUB.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Publish<'a> {
    /// Where to. Not checked: any bytes but blanks.
    pub subject: &'a [u8],
    /// Where answers go; empty if none are wanted.
    pub reply: &'a [u8],
    /// Bytes of the header block at the head of `payload`; zero if there is none.
    pub header_len: usize,
    /// Header block and body, without the final CR LF.
    pub payload: &'a [u8],
    /// `[reply ][header_len ]payload_len CR LF payload CR LF` exactly as a receiver must read it,
    /// if the publish was written in the usual form (see the module `publish`); `None` if it has to
    /// be written anew.
    pub tail: Option<&'a [u8]>,
}

/// What the head of a buffer holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed<'a> {
    /// A whole operation.
    Op {
        /// The operation.
        op: ClientOp<'a>,
        /// The bytes it takes, from the head of the buffer.
        len: usize,
    },
    /// The beginning of an operation.
    More {
        /// The bytes the whole operation takes, from the head of the buffer; 0 while its control
        /// line is not complete, which is when it is not known.
        need: usize,
    },
    /// Something that ends the connection.
    Fault(Violation),
}

/// Reads the operation at the head of `buf`. Called again with the same head and more bytes after
/// [`Parsed::More`], it gives what it would have given for all of them at once.
#[inline]
#[must_use]
pub fn parse<'a>(buf: &'a [u8], limits: &ParseLimits) -> Parsed<'a> {
    match publish::read_usual_form(buf, limits) {
        Some(parsed) => parsed,
        None => read_any_form(buf, limits),
    }
}

/// Why there is no operation (yet).
enum Stop {
    /// The control line is not complete.
    Incomplete,
    /// It is wrong.
    Fault(Violation),
}

impl From<Stop> for Parsed<'_> {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Incomplete => Self::More { need: 0 },
            Stop::Fault(violation) => Self::Fault(violation),
        }
    }
}

/// The operations a client may begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Verb {
    Publish,
    PublishWithHeaders,
    Subscribe,
    Unsubscribe,
    Ping,
    Pong,
    Connect,
    Info,
    Ok,
    Err,
}

/// No verb begins with another one, so the first that fits is the right one.
const VERBS: [(&[u8], Verb); 10] = [
    (b"PUB", Verb::Publish),
    (b"HPUB", Verb::PublishWithHeaders),
    (b"SUB", Verb::Subscribe),
    (b"UNSUB", Verb::Unsubscribe),
    (b"PING", Verb::Ping),
    (b"PONG", Verb::Pong),
    (b"CONNECT", Verb::Connect),
    (b"INFO", Verb::Info),
    (b"+OK", Verb::Ok),
    (b"-ERR", Verb::Err),
];

impl Verb {
    /// The verb at the head of `buf` and the bytes behind it.
    fn read(buf: &[u8]) -> Result<(Self, &[u8]), Stop> {
        let mut may_become_one = false;
        for (name, verb) in VERBS {
            match buf.split_at_checked(name.len()) {
                Some((head, rest)) if head.eq_ignore_ascii_case(name) => return Ok((verb, rest)),
                Some(_) => {}
                None => {
                    let start = name.get(..buf.len()).unwrap_or_default();
                    may_become_one |= start.eq_ignore_ascii_case(buf);
                }
            }
        }
        Err(if may_become_one {
            Stop::Incomplete
        } else {
            Stop::Fault(Violation::UnknownOperation)
        })
    }

    /// Whether a blank must follow. CONNECT and INFO may run straight into their JSON.
    const fn needs_blank(self) -> bool {
        !matches!(self, Self::Connect | Self::Info)
    }
}

/// Reads an operation however it is written.
#[cold]
#[inline(never)]
fn read_any_form<'a>(buf: &'a [u8], limits: &ParseLimits) -> Parsed<'a> {
    read_control_line(buf, limits).unwrap_or_else(Parsed::from)
}

fn read_control_line<'a>(buf: &'a [u8], limits: &ParseLimits) -> Result<Parsed<'a>, Stop> {
    let (verb, after_verb) = Verb::read(buf)?;
    let without_argument = match verb {
        Verb::Ping => Some(ClientOp::Ping),
        Verb::Pong => Some(ClientOp::Pong),
        Verb::Ok => Some(ClientOp::Ok),
        _ => None,
    };
    if let Some(op) = without_argument {
        let rest = skip_line(after_verb, limits)?;
        return Ok(Parsed::Op { op, len: buf.len() - rest.len() });
    }
    let (arg, rest) = argument(after_verb, verb.needs_blank(), limits)?;
    let op = match verb {
        Verb::Publish | Verb::PublishWithHeaders => {
            let line = publish::Line::read(arg, verb == Verb::PublishWithHeaders, limits)?;
            return Ok(line.with_payload(buf, buf.len() - rest.len(), None, limits));
        }
        Verb::Subscribe => subscribe(arg)?,
        Verb::Unsubscribe => unsubscribe(arg)?,
        Verb::Info => ClientOp::Info(arg),
        Verb::Err => ClientOp::Err(arg),
        _ => ClientOp::Connect(arg),
    };
    Ok(Parsed::Op { op, len: buf.len() - rest.len() })
}

/// What follows the line that `bytes` are the rest of.
fn skip_line<'a>(bytes: &'a [u8], limits: &ParseLimits) -> Result<&'a [u8], Stop> {
    let line_end = memchr(b'\n', bytes);
    if line_end.unwrap_or(bytes.len()) > limits.control_line {
        return Err(Stop::Fault(Violation::ControlLine));
    }
    let rest = line_end.and_then(|end| bytes.get(end + 1..));
    rest.ok_or(Stop::Incomplete)
}

/// The argument of a control line, and what follows the line. `bytes` are those behind the verb.
///
/// Two oddities of the reference can be seen from outside. The first byte that is not a blank
/// belongs to the argument even if it is a CR or LF. And a CR anywhere behind it makes the last
/// byte before the LF go, which is meant for the CR of CR LF but happens wherever the CR is.
fn argument<'a>(
    bytes: &'a [u8],
    needs_blank: bool,
    limits: &ParseLimits,
) -> Result<(&'a [u8], &'a [u8]), Stop> {
    let blanks = bytes.iter().position(|byte| !is_blank(*byte)).unwrap_or(bytes.len());
    if blanks > limits.control_line {
        return Err(Stop::Fault(Violation::ControlLine));
    }
    let Some((_, line)) = bytes.split_at_checked(blanks) else {
        return Err(Stop::Incomplete);
    };
    let Some((_, behind_first)) = line.split_first() else {
        return Err(Stop::Incomplete);
    };
    if needs_blank && blanks == 0 {
        return Err(Stop::Fault(Violation::UnknownOperation));
    }
    let (mut end, mut saw_cr) = (0, false);
    let line_end = loop {
        let unseen = behind_first.get(end..).unwrap_or_default();
        match memchr2(b'\r', b'\n', unseen) {
            None => break None,
            Some(at) if unseen.get(at) == Some(&b'\n') => break Some(1 + end + at),
            Some(_) if saw_cr => break memchr(b'\n', unseen).map(|at| 1 + end + at),
            Some(at) => (end, saw_cr) = (end + at + 1, true),
        }
    };
    let dropped = usize::from(saw_cr);
    if line_end.unwrap_or(line.len()) - dropped > limits.control_line {
        return Err(Stop::Fault(Violation::ControlLine));
    }
    let parts = line_end.and_then(|at| Some((line.get(..at - dropped)?, line.get(at + 1..)?)));
    parts.ok_or(Stop::Incomplete)
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn subscribe(arg: &[u8]) -> Result<ClientOp<'_>, Stop> {
    let mut words = words_of_line(arg);
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(subject), Some(sid), None, _) => {
            Ok(ClientOp::Subscribe { subject, queue: None, sid })
        }
        (Some(subject), Some(queue), Some(sid), None) => {
            Ok(ClientOp::Subscribe { subject, queue: Some(queue), sid })
        }
        _ => Err(Stop::Fault(Violation::Malformed)),
    }
}

fn unsubscribe(arg: &[u8]) -> Result<ClientOp<'_>, Stop> {
    let mut words = words_of_line(arg);
    let (sid, max) = match (words.next(), words.next(), words.next()) {
        (Some(sid), None, _) => (sid, None),
        (Some(sid), Some(max), None) => (sid, size(max)),
        _ => return Err(Stop::Fault(Violation::Malformed)),
    };
    let max = max.filter(|max| *max > 0).map(|max| max as u64);
    Ok(ClientOp::Unsubscribe { sid, max })
}

/// The words of SUB and UNSUB, where CR and LF inside a line separate like blanks. In PUB and HPUB
/// they do not.
fn words_of_line(arg: &[u8]) -> impl Iterator<Item = &[u8]> {
    arg.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).filter(|word| !word.is_empty())
}

/// A size: decimal digits only, and few enough of them that it cannot overflow.
#[inline]
fn size(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return None;
    }
    let mut value: usize = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // Cannot overflow, see SIZE_DIGITS_MAX. Said so, because this is run for every message.
        value = value.wrapping_mul(10).wrapping_add(usize::from(digit));
    }
    Some(value)
}

/// Panics if the readers of the usual form find another operation than the general one.
#[cfg(any(test, fuzzing))]
pub(crate) fn check_readers_agree(buf: &[u8], limits: &ParseLimits) {
    if let Some((publish, len)) = read_whole(buf, limits) {
        let op = ClientOp::Publish(publish);
        assert_eq!(parse(buf, limits), Parsed::Op { op, len }, "{}", buf.escape_ascii());
        let subject = [b" ", publish.subject, b" "].concat();
        assert_eq!(read_whole_on(buf, &subject, limits), Some((publish, len)));
        let other = [b" ", publish.subject, b"x "].concat();
        assert_eq!(read_whole_on(buf, &other, limits), None);
    }
    let Some(usual) = publish::read_usual_form(buf, limits) else {
        return;
    };
    let mut any_form = read_any_form(buf, limits);
    if let (
        Parsed::Op { op: ClientOp::Publish(usual), .. },
        Parsed::Op { op: ClientOp::Publish(any_form), .. },
    ) = (&usual, &mut any_form)
    {
        any_form.tail = usual.tail;
    }
    assert_eq!(usual, any_form, "{}", buf.escape_ascii());
}
