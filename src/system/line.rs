//! The client protocol over a pair of sockets, as far as the server needs it with itself.
//!
//! The other end is a shard of this process. Still nothing it says can make this panic: a line that
//! makes no sense ends the conversation.

#![deny(clippy::indexing_slicing)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;

use crossbeam_channel::Sender;

/// Longest line; the shard's own bound is lower.
const LINE_MAX: u64 = 64 << 10;

/// Largest message that is taken: requests are small.
const MESSAGE_MAX: usize = 8 << 20;

/// A request that arrived.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Request {
    pub(super) subject: String,
    pub(super) reply: String,
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
        // Writing to memory cannot fail.
        let _ = write!(self.waiting, "SUB {pattern} {sid}\r\n");
    }

    /// Publishes; not on what is no subject, such as one with a name in it that has blanks.
    pub(super) fn publish(&mut self, subject: &str, payload: &[u8]) {
        if !is_subject(subject) {
            return;
        }
        let _ = write!(self.waiting, "PUB {subject} {}\r\n", payload.len());
        self.waiting.extend_from_slice(payload);
        self.waiting.extend_from_slice(b"\r\n");
    }

    /// The same with one header.
    pub(super) fn publish_with(&mut self, subject: &str, header: (&str, &str), payload: &[u8]) {
        if !is_subject(subject) {
            return;
        }
        let block = format!("NATS/1.0\r\n{}: {}\r\n\r\n", header.0, header.1);
        let (head, total) = (block.len(), block.len() + payload.len());
        let _ = write!(self.waiting, "HPUB {subject} {head} {total}\r\n{block}");
        self.waiting.extend_from_slice(payload);
        self.waiting.extend_from_slice(b"\r\n");
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
fn is_subject(subject: &str) -> bool {
    !subject.is_empty() && subject.bytes().all(|byte| byte > b' ' && byte != 0x7f)
}

/// What a shard said.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Heard {
    Request(Request),
    Pong,
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
        let text = str::from_utf8(&line).map_err(|_| nonsense())?;
        let mut words = text.split_ascii_whitespace();
        match words.next() {
            Some("PONG") => return Ok(Some(Heard::Pong)),
            Some("MSG") => return message(reader, words, false).map(Some),
            Some("HMSG") => return message(reader, words, true).map(Some),
            // PINGs need no answer, and everything else is news to nobody.
            _ => {}
        }
    }
}

fn message<'a>(
    reader: &mut impl Read,
    words: impl Iterator<Item = &'a str>,
    headers: bool,
) -> io::Result<Heard> {
    let words: Vec<&str> = words.collect();
    let (subject, reply, head, total) = match (words.as_slice(), headers) {
        ([subject, _, total], false) => (subject, "", "0", total),
        ([subject, _, reply, total], false) => (subject, *reply, "0", total),
        ([subject, _, head, total], true) => (subject, "", *head, total),
        ([subject, _, reply, head, total], true) => (subject, *reply, *head, total),
        _ => return Err(nonsense()),
    };
    let number = |text: &str| text.parse::<usize>().map_err(|_| nonsense());
    let (head, total) = (number(head)?, number(total)?);
    if total > MESSAGE_MAX {
        return Err(nonsense());
    }
    let mut body = vec![0; total + 2];
    reader.read_exact(&mut body)?;
    body.truncate(total);
    let payload = body.split_off(head.min(total));
    let headers = String::from_utf8(body).unwrap_or_default();
    let (subject, reply) = ((*subject).to_owned(), reply.to_owned());
    Ok(Heard::Request(Request { subject, reply, headers, body: payload }))
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
            b"PING\r\nMSG a 1 2\r\nhi\r\n+OK\r\nMSG a.b 1 r 0\r\n\r\nPONG\r\n\
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
        assert_eq!((&*plain.subject, &*plain.reply, &plain.body[..]), ("a", "", &b"hi"[..]));
        assert_eq!((&*empty.subject, &*empty.reply, empty.body.len()), ("a.b", "r", 0));
        assert_eq!((headed.header("a"), &headed.body[..]), (Some("b"), &b"{}"[..]));
        assert_eq!((bare.header("a"), bare.body.len(), &*bare.reply), (None, 0, ""));
    }

    #[test]
    fn what_is_no_subject_is_not_published_on() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let mut line = Line::new(ours);
        for subject in ["", "a b", "a\r\nPUB b", "a\tb"] {
            line.publish(subject, b"x");
            line.publish_with(subject, ("A", "b"), b"x");
        }
        assert!(line.waiting.is_empty());
        line.publish("a.b", b"x");
        line.publish_with("ä", ("A", "b"), b"xy");
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
            b"MSG \xff 1 2\r\nhi\r\n",
        ];
        for bytes in broken {
            assert!(all(bytes).is_err(), "{}", bytes.escape_ascii());
        }
        // More header than message.
        assert!(all(b"HMSG a 1 9 2\r\nhi\r\n").is_ok());
    }
}
