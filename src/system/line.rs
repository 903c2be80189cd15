//! The client protocol over a pair of sockets, as far as the server needs it with itself.
//!
//! The other end is a shard of this process. Still nothing it says can make this panic: a line that
//! makes no sense ends the conversation.

#![deny(clippy::indexing_slicing)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use crossbeam_channel::Sender;

/// Longest line: subject and reply of a message are no longer than the line of the operator who
/// sent it, and `max_control_line` is far lower.
const LINE_MAX: u64 = 4 << 20;

/// Largest message that is taken: requests are small.
const MESSAGE_MAX: usize = 1 << 20;

/// A request that arrived.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Request {
    pub(super) subject: String,
    /// As its sender wrote it, which need not be text.
    pub(super) reply: Vec<u8>,
    /// `NATS/1.0` and lines; empty if there are none.
    pub(super) headers: String,
    pub(super) body: Vec<u8>,
}

/// What is said to a shard, collected and written at once.
#[derive(Debug)]
pub(super) struct Line {
    stream: UnixStream,
    waiting: Vec<u8>,
}

impl Line {
    pub(super) fn new(stream: UnixStream) -> Self {
        Self { stream, waiting: Vec::new() }
    }

    /// Wants what matches `pattern`.
    pub(super) fn subscribe(&mut self, pattern: &str, sid: usize) {
        self.subscribe_in(pattern, "", sid);
    }

    /// The same as a member of a queue group, if one is named.
    pub(super) fn subscribe_in(&mut self, pattern: &str, queue: &str, sid: usize) {
        let separator = if queue.is_empty() { "" } else { " " };
        // Writing to memory cannot fail.
        let _ = write!(self.waiting, "SUB {pattern}{separator}{queue} {sid}\r\n");
    }

    /// Bytes that wait to be said.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Publishes; not on what is no subject, such as one with a name in it that has blanks.
    pub(super) fn publish(&mut self, subject: &[u8], payload: &[u8]) {
        if !is_subject(subject) {
            return;
        }
        self.waiting.extend_from_slice(b"PUB ");
        self.waiting.extend_from_slice(subject);
        let _ = write!(self.waiting, " {}\r\n", payload.len());
        self.waiting.extend_from_slice(payload);
        self.waiting.extend_from_slice(b"\r\n");
    }

    /// The same with one header.
    pub(super) fn publish_with(&mut self, subject: &[u8], header: (&str, &str), payload: &[u8]) {
        if !is_subject(subject) {
            return;
        }
        let block = format!("NATS/1.0\r\n{}: {}\r\n\r\n", header.0, header.1);
        let (head, total) = (block.len(), block.len() + payload.len());
        self.waiting.extend_from_slice(b"HPUB ");
        self.waiting.extend_from_slice(subject);
        let _ = write!(self.waiting, " {head} {total}\r\n{block}");
        self.waiting.extend_from_slice(payload);
        self.waiting.extend_from_slice(b"\r\n");
    }

    /// Publishes with a reply subject, and a header if there is one.
    pub(super) fn request(
        &mut self,
        subject: &str,
        reply: &str,
        header: Option<(&str, &str)>,
        payload: &[u8],
    ) {
        if !is_subject(subject.as_bytes()) || !is_subject(reply.as_bytes()) {
            return;
        }
        // Writing to memory cannot fail.
        let _ = match header {
            None => write!(self.waiting, "PUB {subject} {reply} {}\r\n", payload.len()),
            Some((key, value)) => {
                let block = format!("NATS/1.0\r\n{key}: {value}\r\n\r\n");
                let (head, total) = (block.len(), block.len() + payload.len());
                write!(self.waiting, "HPUB {subject} {reply} {head} {total}\r\n{block}")
            }
        };
        self.waiting.extend_from_slice(payload);
        self.waiting.extend_from_slice(b"\r\n");
    }

    /// Ends the conversation, for the one who listens too.
    pub(super) fn close(&mut self) {
        self.waiting.clear();
        // One that has ended already is what is wanted.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Asks for a PONG, which comes when everything before was done.
    pub(super) fn ping(&mut self) {
        self.waiting.extend_from_slice(b"PING\r\n");
    }

    /// Says all of it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let said = self.stream.write_all(&self.waiting);
        self.waiting.clear();
        // A page with all connections is not kept room for.
        self.waiting.shrink_to(1 << 16);
        said
    }
}

/// Whether it can stand as one word in a line.
fn is_subject(subject: &[u8]) -> bool {
    let is_part = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    !subject.is_empty() && subject.iter().all(is_part)
}

/// What a shard said.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Heard {
    Request(Request),
    Pong,
    /// Something was wrong.
    Failure(String),
}

/// Hands on what a shard says until it says no more, or nobody listens.
pub(super) fn listen(stream: UnixStream, to: &Sender<Heard>) {
    let mut reader = BufReader::new(stream);
    while let Ok(Some(heard)) = next(&mut reader) {
        if to.send(heard).is_err() {
            return;
        }
    }
}

/// The next that matters; nothing at the end.
fn next(reader: &mut impl BufRead) -> io::Result<Option<Heard>> {
    loop {
        let mut line = Vec::new();
        reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        // The rest of one that is cut would be taken for another.
        let line = line.strip_suffix(b"\r\n").ok_or_else(nonsense)?;
        let mut words = line.split(|byte| *byte == b' ');
        let heard = match words.next() {
            Some(b"PONG") => Some(Heard::Pong),
            Some(b"MSG") => message(reader, words, false)?,
            Some(b"HMSG") => message(reader, words, true)?,
            Some(b"-ERR") => Some(Heard::Failure(String::from_utf8_lossy(line).into_owned())),
            // PINGs need no answer, and everything else is news to nobody.
            _ => None,
        };
        if heard.is_some() {
            return Ok(heard);
        }
    }
}

/// A message; nothing if it is too large to be a request.
fn message<'a>(
    reader: &mut impl Read,
    words: impl Iterator<Item = &'a [u8]>,
    headers: bool,
) -> io::Result<Option<Heard>> {
    let words: Vec<&[u8]> = words.collect();
    let none: &[u8] = b"";
    let (subject, reply, head, total) = match (words.as_slice(), headers) {
        ([subject, _, total], false) => (subject, none, &b"0"[..], total),
        ([subject, _, reply, total], false) => (subject, *reply, &b"0"[..], total),
        ([subject, _, head, total], true) => (subject, none, *head, total),
        ([subject, _, reply, head, total], true) => (subject, *reply, *head, total),
        _ => return Err(nonsense()),
    };
    let (head, total) = (number(head)?, number(total)?);
    if total > MESSAGE_MAX {
        let rest = total as u64 + 2;
        if io::copy(&mut reader.take(rest), &mut io::sink())? < rest {
            return Err(nonsense());
        }
        return Ok(None);
    }
    let mut body = vec![0; total + 2];
    reader.read_exact(&mut body)?;
    body.truncate(total);
    let payload = body.split_off(head.min(total));
    Ok(Some(Heard::Request(Request {
        subject: String::from_utf8_lossy(subject).into_owned(),
        reply: reply.to_vec(),
        headers: String::from_utf8(body).unwrap_or_default(),
        body: payload,
    })))
}

fn number(text: &[u8]) -> io::Result<usize> {
    str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(nonsense)
}

fn nonsense() -> io::Error {
    io::Error::from(io::ErrorKind::InvalidData)
}

impl Request {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> io::Result<Vec<Heard>> {
        let mut reader = io::Cursor::new(bytes);
        let mut heard = Vec::new();
        while let Some(next) = next(&mut reader)? {
            heard.push(next);
        }
        Ok(heard)
    }

    #[test]
    fn requests_come_with_or_without_reply_and_headers() {
        let heard = all(
            b"PING\r\nMSG a 1 2\r\nhi\r\n+OK\r\nMSG a.b 1 r\x0c\xff 0\r\n\r\nPONG\r\n\
              HMSG a 1 r 16 18\r\nNATS/1.0\r\nA: b\r\n{}\r\nHMSG a 1 12 12\r\nNATS/1.0\r\n\r\n\r\n",
        );
        let heard = heard.unwrap();
        let [
            Heard::Request(plain),
            Heard::Request(empty),
            Heard::Pong,
            Heard::Request(headed),
            Heard::Request(bare),
        ] = &heard[..]
        else {
            panic!("{heard:?}");
        };
        assert_eq!((&*plain.subject, &plain.reply[..]), ("a", &b""[..]));
        assert_eq!(plain.body, b"hi");
        let reply = &b"r\x0c\xff"[..];
        assert_eq!((&*empty.subject, &empty.reply[..], empty.body.len()), ("a.b", reply, 0));
        assert_eq!((headed.header("a"), &headed.body[..]), (Some("b"), &b"{}"[..]));
        assert_eq!((bare.header("a"), bare.body.len(), bare.reply.len()), (None, 0, 0));
    }

    #[test]
    fn what_is_too_large_is_left_out_and_errors_are_told() {
        let mut bytes = format!("MSG a 1 r {}\r\n", MESSAGE_MAX + 1).into_bytes();
        bytes.resize(bytes.len() + MESSAGE_MAX + 1, b'x');
        bytes.extend_from_slice(b"\r\n-ERR 'no'\r\nMSG b 1 0\r\n\r\n");
        let heard = all(&bytes).unwrap();
        let [Heard::Failure(text), Heard::Request(request)] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!((&**text, &*request.subject), ("-ERR 'no'", "b"));
    }

    #[test]
    fn what_is_no_subject_is_not_published_on() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut line = Line::new(ours);
        for subject in ["", "a b", "a\r\nPUB b", "a\tb"] {
            line.publish(subject.as_bytes(), b"x");
            line.publish_with(subject.as_bytes(), ("A", "b"), b"x");
        }
        assert!(line.waiting.is_empty());
        line.publish(b"a.b", b"x");
        line.publish_with("ä".as_bytes(), ("A", "b"), b"xy");
        let expected = "PUB a.b 1\r\nx\r\nHPUB ä 18 20\r\nNATS/1.0\r\nA: b\r\n\r\nxy\r\n";
        assert_eq!(String::from_utf8(line.waiting).unwrap(), expected);
    }

    #[test]
    fn nonsense_ends_the_conversation() {
        let broken: [&[u8]; 6] = [
            b"MSG a 1\r\n",
            b"MSG a 1 x\r\n",
            b"MSG a 1 99999999999\r\n",
            b"MSG a 1 5\r\nhi",
            b"HMSG a 1 2\r\n",
            b"MSG a 1 \xff\r\n",
        ];
        for bytes in broken {
            assert!(all(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        // More header than message.
        assert!(all(b"HMSG a 1 9 2\r\nhi\r\n").is_ok());
    }
}
