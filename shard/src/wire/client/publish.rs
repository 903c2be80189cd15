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
    let (subject_at, with_headers) = verb(buf, limits)?;
    let tail = word_end(buf, subject_at)? + 1;
    let arguments = Arguments::read(buf, subject_at, tail, with_headers, limits)?;
    let line = Line {
        subject: buf.get(subject_at..tail - 1)?,
        reply: buf.get(tail..tail + arguments.reply_len)?,
        header_len: arguments.header_len,
        payload_len: arguments.payload_len,
    };
    Some(line.with_payload(buf, arguments.line_len, Some(tail), limits))
}

/// Reads a publish in the usual form that is there to its last byte, and says how many bytes those
/// are; nothing if it is anything else, for which [`super::parse`] has a verdict.
#[inline]
pub fn read_whole<'a>(buf: &'a [u8], limits: &ParseLimits) -> Option<(Publish<'a>, usize)> {
    let (subject_at, with_headers) = verb(buf, limits)?;
    let tail = word_end(buf, subject_at)? + 1;
    whole(buf, subject_at, tail, with_headers, limits)
}

/// The same if it is on the same subject as the one before; `subject` is that with a blank before
/// and behind it. One comparison instead of a search.
#[inline]
pub fn read_whole_on<'a>(
    buf: &'a [u8],
    subject: &[u8],
    limits: &ParseLimits,
) -> Option<(Publish<'a>, usize)> {
    let (subject_at, with_headers) = verb(buf, limits)?;
    if !begins_with(buf.get(subject_at - 1..)?, subject) {
        return None;
    }
    whole(buf, subject_at, subject_at - 1 + subject.len(), with_headers, limits)
}

/// Where the subject begins, and whether there are headers.
#[inline]
fn verb(buf: &[u8], limits: &ParseLimits) -> Option<(usize, bool)> {
    if buf.starts_with(b"PUB ") {
        Some((4, false))
    } else if buf.starts_with(b"HPUB ") && limits.headers {
        Some((5, true))
    } else {
        None
    }
}

/// The publish whose subject begins at `subject_at`, and whose tail begins at `tail`.
#[inline]
fn whole<'a>(
    buf: &'a [u8],
    subject_at: usize,
    tail: usize,
    with_headers: bool,
    limits: &ParseLimits,
) -> Option<(Publish<'a>, usize)> {
    let arguments = Arguments::read(buf, subject_at, tail, with_headers, limits)?;
    let Arguments { reply_len, header_len, payload_len, line_len } = arguments;
    if payload_len > limits.payload {
        return None;
    }
    let payload_end = line_len + payload_len;
    let len = payload_end + 2;
    let (message, [b'\r', b'\n']) = buf.get(..len)?.split_last_chunk()? else { return None };
    let publish = Publish {
        subject: buf.get(subject_at..tail - 1)?,
        reply: buf.get(tail..tail + reply_len)?,
        header_len,
        payload: message.get(line_len..)?,
        tail: Some(buf.get(tail..len)?),
    };
    Some((publish, len))
}

/// Whether `bytes` begins with `prefix`: for the few bytes that a subject is, and inline.
#[inline]
fn begins_with(bytes: &[u8], prefix: &[u8]) -> bool {
    let Some(head) = bytes.get(..prefix.len()) else { return false };
    match prefix.len() {
        4..=8 => ends_are_equal::<4>(head, prefix),
        9..=16 => ends_are_equal::<8>(head, prefix),
        17..=32 => ends_are_equal::<16>(head, prefix),
        _ => head == prefix,
    }
}

/// Whether both ends are, which are all of something no longer than two of them.
#[inline]
fn ends_are_equal<const LEN: usize>(left: &[u8], right: &[u8]) -> bool {
    left.first_chunk::<LEN>() == right.first_chunk()
        && left.last_chunk::<LEN>() == right.last_chunk()
}

/// What follows the subject.
struct Arguments {
    reply_len: usize,
    header_len: usize,
    payload_len: usize,
    /// Where the payload begins.
    line_len: usize,
}

impl Arguments {
    /// Reads them from `at` on, up to CR LF.
    #[inline(always)]
    fn read(
        buf: &[u8],
        subject_at: usize,
        at: usize,
        with_headers: bool,
        limits: &ParseLimits,
    ) -> Option<Self> {
        let read = if with_headers {
            Self::with_headers(buf, at)?
        } else if let Some((payload_len, true, line_len)) = size_at(buf, at) {
            Self { reply_len: 0, header_len: 0, payload_len, line_len }
        } else {
            let end = word_end(buf, at)?;
            let (payload_len, true, line_len) = size_at(buf, end + 1)? else { return None };
            Self { reply_len: end - at, header_len: 0, payload_len, line_len }
        };
        (read.line_len - b"\r\n".len() - subject_at <= limits.control_line).then_some(read)
    }

    #[inline(never)]
    fn with_headers(buf: &[u8], at: usize) -> Option<Self> {
        let sizes = |at: usize| {
            let (header_len, false, next) = size_at(buf, at)? else { return None };
            let (payload_len, true, line_len) = size_at(buf, next)? else { return None };
            Some(Self { reply_len: 0, header_len, payload_len, line_len })
        };
        let read = match sizes(at) {
            Some(read) => read,
            None => {
                let end = word_end(buf, at)?;
                Self { reply_len: end - at, ..sizes(end + 1)? }
            }
        };
        // A header block of no bytes is no header block: such a message goes out as MSG.
        (1..=read.payload_len).contains(&read.header_len).then_some(read)
    }
}

/// Where the word at `at` ends, if it has any bytes and one blank ends it.
#[inline]
fn word_end(buf: &[u8], at: usize) -> Option<usize> {
    let len = word_len(buf.get(at..)?)?;
    (len > 0 && buf.get(at + len) == Some(&b' ')).then_some(at + len)
}

/// Eight times the same byte.
const fn eight(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The bytes of `rest` before the first blank or control byte.
#[inline]
fn word_len(rest: &[u8]) -> Option<usize> {
    let mut len = 0;
    while let Some(bytes) = rest.get(len..).and_then(|bytes| bytes.first_chunk::<8>()) {
        let bytes = u64::from_le_bytes(*bytes);
        // The lowest bit that is set marks the first byte up to and including the space. Bits above
        // it may be wrong, because of the borrow.
        let low = bytes.wrapping_sub(eight(0x21)) & !bytes & eight(0x80);
        if low != 0 {
            return Some(len + low.trailing_zeros() as usize / 8);
        }
        len += 8;
    }
    let ends_word = |byte: &u8| *byte <= b' ';
    rest.get(len..)?.iter().position(ends_word).map(|more| len + more)
}

/// The size at `at` as a receiver must read it, whether CR LF ends it or else one blank, and what
/// follows that.
#[inline(always)]
fn size_at(buf: &[u8], at: usize) -> Option<(usize, bool, usize)> {
    let rest = buf.get(at..)?;
    let Some(bytes) = rest.first_chunk::<8>() else { return long_size_at(buf, at) };
    // A digit has no bit set but those of its value.
    let bytes = u64::from_le_bytes(*bytes);
    let values = bytes ^ eight(b'0');
    // Here, too, bits above the lowest one that is set may be wrong.
    let other = (values.wrapping_add(eight(0x76)) | values) & eight(0x80);
    let len = other.trailing_zeros() / 8;
    if len > 6 {
        return long_size_at(buf, at);
    }
    let leads_with_zero = len > 1 && values & 0xff == 0;
    if len == 0 || leads_with_zero {
        return None;
    }
    // The digits in the highest bytes, the last one highest, with zeros before them; then pairs of
    // them, fours and all eight.
    let digits = values << (64 - 8 * len);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    let size = fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff;
    let (ends_line, more) = match (bytes >> (8 * len)) & 0xffff {
        0x0a0d => (true, 2),
        end if end & 0xff == u64::from(b' ') => (false, 1),
        _ => return None,
    };
    Some((size as usize, ends_line, at + len as usize + more))
}

/// The same for one of any length, or where the input ends.
#[cold]
#[inline(never)]
fn long_size_at(buf: &[u8], at: usize) -> Option<(usize, bool, usize)> {
    let rest = buf.get(at..)?;
    let len = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, end) = rest.split_at_checked(len)?;
    if digits.len() > 1 && digits.first() == Some(&b'0') {
        return None;
    }
    let size = size(digits)?;
    match end {
        [b'\r', b'\n', ..] => Some((size, true, at + len + 2)),
        [b' ', ..] => Some((size, false, at + len + 1)),
        _ => None,
    }
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
