//! PUB and HPUB, the operations that everything else is measured against.
//!
//! [`read_usual_form`] takes the form that client libraries write: upper case, one space between
//! arguments, sizes without leading zeros, CR LF. It gives up on anything else without a verdict.
//! That form is also what a receiver must read, so what follows the subject can be handed on as it
//! is: the `tail`.

use super::{ClientOp, ParseLimits, Parsed, Publish, Stop, is_blank, size};
use crate::error::Violation;

/// The arguments of a publish.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    subject: &'a [u8],
    reply: &'a [u8],
    header_len: usize,
    payload_len: usize,
}

/// Reads a publish whose control line is complete and written in the usual form.
#[inline]
pub(super) fn read_usual_form<'a>(buf: &'a [u8], limits: &ParseLimits) -> Option<Parsed<'a>> {
    let (args, with_headers) = if buf.starts_with(b"PUB ") {
        (4, false)
    } else if buf.starts_with(b"HPUB ") && limits.headers {
        (5, true)
    } else {
        return None;
    };
    let mut words = Words { buf, at: args };
    let (subject, false) = words.next()? else {
        return None;
    };
    let tail = words.at;
    let (reply, header_len, payload_len) = usual_arguments(&mut words, with_headers)?;
    let line_len = words.at;
    if line_len - b"\r\n".len() - args > limits.control_line {
        return None;
    }
    let line = Line { subject, reply, header_len, payload_len };
    Some(line.with_payload(buf, line_len, Some(tail), limits))
}

/// Reply, header size and total size.
#[inline]
fn usual_arguments<'a>(
    words: &mut Words<'a>,
    with_headers: bool,
) -> Option<(&'a [u8], usize, usize)> {
    const NO_REPLY: &[u8] = &[];
    let (first, first_is_last) = words.next()?;
    let (reply, header_len, last) = match (with_headers, first_is_last) {
        (false, true) => return Some((NO_REPLY, 0, usual_size(first)?)),
        (true, true) => return None,
        (false, false) => (first, 0, words.last()?),
        (true, false) => match words.next()? {
            (second, true) => (NO_REPLY, usual_size(first)?, second),
            (second, false) => (first, usual_size(second)?, words.last()?),
        },
    };
    let payload_len = usual_size(last)?;
    // A header block of no bytes is no header block: such a message goes out as MSG.
    let usual = !with_headers || (1..=payload_len).contains(&header_len);
    usual.then_some((reply, header_len, payload_len))
}

/// The words of a control line, from `at` on.
struct Words<'a> {
    buf: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    /// The word at `at`, and whether CR LF ends it. If anything but that or one space does, or if
    /// it is empty, there is none.
    #[inline]
    fn next(&mut self) -> Option<(&'a [u8], bool)> {
        let rest = self.buf.get(self.at..)?;
        let len = word_len(rest)?;
        let (word, end) = rest.split_at_checked(len)?;
        let is_last = match end {
            [b' ', ..] => false,
            [b'\r', b'\n', ..] => true,
            _ => return None,
        };
        self.at += len + if is_last { 2 } else { 1 };
        (len > 0).then_some((word, is_last))
    }

    /// The word at `at`, if CR LF ends it.
    #[inline]
    fn last(&mut self) -> Option<&'a [u8]> {
        self.next().and_then(|(word, is_last)| is_last.then_some(word))
    }
}

/// The bytes of `rest` before the first blank or control byte.
#[inline]
fn word_len(rest: &[u8]) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    const ABOVE_SPACE: u64 = 0x21 * ONES;
    let mut len = 0;
    while let Some(eight) = rest.get(len..).and_then(|bytes| bytes.first_chunk::<8>()) {
        let eight = u64::from_le_bytes(*eight);
        // The lowest bit that is set marks the first byte up to and including the space. Bits above
        // it may be wrong, because of the borrow.
        let low = eight.wrapping_sub(ABOVE_SPACE) & !eight & HIGH;
        if low != 0 {
            return Some(len + low.trailing_zeros() as usize / 8);
        }
        len += 8;
    }
    let ends_word = |byte: &u8| *byte <= b' ';
    rest.get(len..)?.iter().position(ends_word).map(|more| len + more)
}

/// A size as a receiver must read it.
#[inline]
fn usual_size(digits: &[u8]) -> Option<usize> {
    if digits.len() > 1 && digits.first() == Some(&b'0') {
        return None;
    }
    size(digits)
}

impl<'a> Line<'a> {
    /// Reads the arguments of a publish, however they are separated.
    pub(super) fn read(
        arg: &'a [u8],
        with_headers: bool,
        limits: &ParseLimits,
    ) -> Result<Self, Stop> {
        if with_headers && !limits.headers {
            return Err(Stop::Fault(Violation::Headers));
        }
        Self::of_words(arg, with_headers).ok_or(Stop::Fault(Violation::Malformed))
    }

    fn of_words(arg: &'a [u8], with_headers: bool) -> Option<Self> {
        let mut words = arg.split(|byte| is_blank(*byte)).filter(|word| !word.is_empty());
        let subject = words.next()?;
        let (first, second, third) = (words.next()?, words.next(), words.next());
        if words.next().is_some() {
            return None;
        }
        let (reply, header_len, payload_len): (&[u8], _, _) = match (with_headers, second, third) {
            (false, None, None) => (&[], 0, size(first)?),
            (false, Some(second), None) => (first, 0, size(second)?),
            (true, Some(second), None) => (&[], size(first)?, size(second)?),
            (true, Some(second), Some(third)) => (first, size(second)?, size(third)?),
            _ => return None,
        };
        (header_len <= payload_len).then_some(Self { subject, reply, header_len, payload_len })
    }

    /// The publish whose payload begins at `line_len`, and whose tail begins at `tail`.
    #[inline]
    pub(super) fn with_payload(
        self,
        buf: &'a [u8],
        line_len: usize,
        tail: Option<usize>,
        limits: &ParseLimits,
    ) -> Parsed<'a> {
        if self.payload_len > limits.payload {
            return Parsed::Fault(Violation::MaxPayload);
        }
        let payload_end = line_len + self.payload_len;
        let len = payload_end + 2;
        let end = buf.get(payload_end..len.min(buf.len())).unwrap_or_default();
        match end {
            b"\r\n" => {}
            [] | [b'\r'] => return Parsed::More { need: len },
            _ => return Parsed::Fault(Violation::UnknownOperation),
        }
        let op = ClientOp::Publish(Publish {
            subject: self.subject,
            reply: self.reply,
            header_len: self.header_len,
            payload: buf.get(line_len..payload_end).unwrap_or_default(),
            tail: tail.and_then(|tail| buf.get(tail..len)),
        });
        Parsed::Op { op, len }
    }
}
