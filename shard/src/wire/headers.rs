//! The header block of a message: `NATS/1.0[ status[ description]]`, lines of `name:value`, and an
//! empty line, all ended by CR LF.
//!
//! The block is read strictly or not at all. Nothing on the way of a message through the server
//! depends on it, and a publisher may send any bytes as headers; only features that act on a header
//! read the block, and for them a block that is not well formed has no headers.

#![deny(clippy::indexing_slicing)]

use std::borrow::Cow;

use memchr::{memchr, memmem};

const VERSION: &[u8] = b"NATS/1.0";

/// A header block that is well formed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Headers<'a> {
    /// What follows the version on the first line.
    first: &'a [u8],
    /// The lines of names and values, each with its CR LF.
    lines: &'a [u8],
}

/// The status that a server or a service puts on the first line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Status<'a> {
    /// Three digits, such as 503.
    pub code: u16,
    /// Words behind it; often none.
    pub description: &'a [u8],
}

impl<'a> Headers<'a> {
    /// Reads the block that is the whole of `block`.
    #[must_use]
    pub fn read(block: &'a [u8]) -> Option<Self> {
        let after_version = block.strip_prefix(VERSION)?;
        let first_end = memmem::find(after_version, b"\r\n")?;
        let (first, rest) = after_version.split_at_checked(first_end)?;
        if !matches!(first.first(), None | Some(b' ' | b'\t')) || has_line_byte(first) {
            return None;
        }
        let lines = rest.strip_prefix(b"\r\n")?.strip_suffix(b"\r\n")?;
        let headers = Self { first, lines };
        let mut rest = lines;
        while !rest.is_empty() {
            (_, _, rest) = split_line(rest)?;
        }
        Some(headers)
    }

    /// The status, if there is one.
    #[must_use]
    pub fn status(&self) -> Option<Status<'a>> {
        let (code, description) = self.first.trim_ascii().split_at_checked(3)?;
        let code = code.iter().try_fold(0, |code: u16, byte| match byte {
            b'0'..=b'9' => Some(code * 10 + u16::from(byte - b'0')),
            _ => None,
        })?;
        match description.first() {
            None | Some(b' ' | b'\t') => {
                Some(Status { code, description: description.trim_ascii_start() })
            }
            Some(_) => None,
        }
    }

    /// Names and values in order, a name as often as it was given.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut rest = self.lines;
        std::iter::from_fn(move || {
            let (name, value, after) = split_line(rest)?;
            rest = after;
            Some((name, value))
        })
    }

    /// The first value of `name`, which is written exactly so: names are told apart by case.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&'a [u8]> {
        self.iter().find_map(|(other, value)| (other == name).then_some(value))
    }
}

/// The name and value on the first of `lines`, without blanks around the value, and the other
/// lines.
fn split_line(lines: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let line_end = memmem::find(lines, b"\r\n")?;
    let (line, rest) = (lines.get(..line_end)?, lines.get(line_end + 2..)?);
    let colon = memchr(b':', line)?;
    let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
    let blank_in_name = name.iter().any(|byte| matches!(byte, b' ' | b'\t'));
    if name.is_empty() || blank_in_name || has_line_byte(line) {
        return None;
    }
    Some((name, value.trim_ascii(), rest))
}

/// Whether there is a CR or LF that ends no line. It would end one for a less strict reader.
fn has_line_byte(line: &[u8]) -> bool {
    memchr::memchr2(b'\r', b'\n', line).is_some()
}

/// A header block without the lines of `name`, in whatever case it is written. Any reader of the
/// block has to find nothing under that name: so it is looked for behind each LF, whether or not
/// the block is well formed.
#[must_use]
pub fn without<'a>(block: &'a [u8], name: &[u8]) -> Cow<'a, [u8]> {
    let lines = || block.split_inclusive(|byte| *byte == b'\n');
    let is_named = |line: &&[u8]| {
        let (before, _) = line.split_at(memchr(b':', line).unwrap_or(0));
        before.trim_ascii().eq_ignore_ascii_case(name)
    };
    if !lines().any(|line| is_named(&line)) {
        return Cow::Borrowed(block);
    }
    Cow::Owned(lines().filter(|line| !is_named(line)).flatten().copied().collect())
}

/// The header block that tells the sender of a request to `subject` that nobody was there.
#[must_use]
pub fn no_responders(subject: &[u8]) -> Vec<u8> {
    [VERSION, b" 503\r\nNats-Subject: ", subject, b"\r\n\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_status_and_repeated_names() {
        let block = b"NATS/1.0 404  No Messages \r\nA: 1\r\na:2\r\nA:\t3 : 4 \r\nEmpty:\r\n\r\n";
        let headers = Headers::read(block).expect("the block is well formed");
        let expected = Status { code: 404, description: b"No Messages" };
        assert_eq!(headers.status(), Some(expected));
        let all: Vec<_> = headers.iter().collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"A", b"1"), (b"a", b"2"), (b"A", b"3 : 4"), (b"Empty", b"")];
        assert_eq!(all, expected);
        assert_eq!(headers.get(b"a"), Some(&b"2"[..]));
        assert_eq!(headers.get(b"A"), Some(&b"1"[..]));
        assert_eq!(headers.get(b"empty"), None);
    }

    #[test]
    fn blocks_without_status() {
        for block in [&b"NATS/1.0\r\n\r\n"[..], b"NATS/1.0 \r\n\r\n", b"NATS/1.0 x\r\n\r\n"] {
            let headers = Headers::read(block).expect("the block is well formed");
            assert_eq!(headers.status(), None, "{}", block.escape_ascii());
            assert_eq!(headers.iter().count(), 0);
        }
        let headers = Headers::read(b"NATS/1.0 5033\r\n\r\n").expect("the block is well formed");
        assert_eq!(headers.status(), None);
    }

    #[test]
    fn blocks_that_are_not_well_formed() {
        let cases: [&[u8]; 13] = [
            b"",
            b"NATS/1.0",
            b"NATS/1.0\r\n",
            b"NATS/1.1\r\n\r\n",
            b"NATS/1.00\r\n\r\n",
            b"nats/1.0\r\n\r\n",
            b"NATS/1.0\n\n",
            b"NATS/1.0\r\nA: 1\r\n",
            b"NATS/1.0\r\nA\r\n\r\n",
            b"NATS/1.0\r\n: 1\r\n\r\n",
            b"NATS/1.0\r\nA : 1\r\n\r\n",
            b"NATS/1.0\r\nA: 1\nB: 2\r\n\r\n",
            b"NATS/1.0\r\nA: 1\r\n\r\n\r\n",
        ];
        for block in cases {
            assert_eq!(Headers::read(block), None, "{}", block.escape_ascii());
        }
    }

    #[test]
    fn lines_of_a_name_are_taken_out() {
        for (block, expected) in [
            (&b"NATS/1.0\r\n\r\n"[..], &b"NATS/1.0\r\n\r\n"[..]),
            (b"NATS/1.0\r\nX: 1\r\nY: X:\r\n\r\n", b"NATS/1.0\r\nY: X:\r\n\r\n"),
            (b"NATS/1.0\r\nx : 1\r\n X:2\r\nXX: 3\r\n\r\n", b"NATS/1.0\r\nXX: 3\r\n\r\n"),
            (b"NATS/1.0\r\nA: 1\nX: 2\r\n\r\n", b"NATS/1.0\r\nA: 1\n\r\n"),
            (b"X: 1\r\n\r\n", b"\r\n"),
            (b"X", b"X"),
            (b"", b""),
        ] {
            assert_eq!(*without(block, b"X"), *expected, "{}", block.escape_ascii());
        }
    }

    #[test]
    fn nobody_was_there() {
        let block = no_responders(b"foo");
        assert_eq!(block, b"NATS/1.0 503\r\nNats-Subject: foo\r\n\r\n");
        let headers = Headers::read(&block).expect("we write well-formed blocks");
        assert_eq!(headers.status(), Some(Status { code: 503, description: b"" }));
        assert_eq!(headers.get(b"Nats-Subject"), Some(&b"foo"[..]));
    }
}
