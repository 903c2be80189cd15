//! A simulated client: what it asked for, what answers it is owed, and a plain reader of what the
//! server sends.

use std::collections::VecDeque;

use super::shadow::Received;
use crate::authorize::Rules;

/// What an operation is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Answer {
    /// `+OK`, for verbose clients.
    Ok,
    /// PONG.
    Pong,
    /// `-ERR`.
    Err,
}

/// How a client's connection ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    Open,
    /// It hung up after everything it had sent.
    Finished,
    /// It vanished, or the server closed it.
    Lost,
}

impl End {
    /// Whether the server carries out everything that the client sent.
    pub(super) fn processes_everything(self) -> bool {
        self != Self::Lost
    }
}

/// One client; its number is that of its socket.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) verbose: bool,
    pub(super) headers: bool,
    pub(super) echo: bool,
    pub(super) no_responders: bool,
    /// The place of its account.
    pub(super) account: usize,
    /// What its user may do, if that is bounded.
    pub(super) rules: Option<Rules>,
    pub(super) end: End,
    /// It does not read.
    pub(super) stalled: bool,
    /// Operations sent.
    ops: u64,
    /// Answers to come, and the operations they are for.
    owed: VecDeque<(Answer, u64)>,
    /// Bytes read that are no whole operation yet.
    input: Vec<u8>,
    greeted: bool,
    /// Numbers for names that must be fresh.
    pub(super) fresh: u64,
}

/// What a client read.
#[derive(Debug)]
pub(super) enum Said {
    Info,
    Ping,
    Answer(Answer),
    /// It closes because PINGs were not answered.
    Stale,
    /// A message: the lengths of its line, its headers and all of its payload.
    Message {
        line: Vec<u8>,
        headers: usize,
        payload: Vec<u8>,
    },
}

impl Client {
    pub(super) fn new() -> Self {
        Self {
            verbose: false,
            headers: false,
            echo: true,
            no_responders: false,
            account: 0,
            rules: None,
            end: End::Open,
            stalled: false,
            ops: 0,
            owed: VecDeque::new(),
            input: Vec::new(),
            greeted: false,
            fresh: 0,
        }
    }

    /// The client sends an operation. `+OK` comes to verbose clients only.
    pub(super) fn next_op(&mut self, answer: Answer) -> u64 {
        let op = self.ops;
        self.ops += 1;
        if answer != Answer::Ok || self.verbose {
            self.owed.push_back((answer, op));
        }
        op
    }

    /// The client read an answer. Returns how many of its operations are known to be done.
    pub(super) fn answered(&mut self, answer: Answer) -> u64 {
        let Some((owed, op)) = self.owed.pop_front() else { panic!("{answer:?} to nothing") };
        assert_eq!(owed, answer, "answers come in the order of the operations");
        op + 1
    }

    /// Answers that have not come.
    pub(super) fn owed(&self) -> usize {
        self.owed.len()
    }

    /// The client read bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next whole operation that the server sent.
    pub(super) fn next_said(&mut self) -> Option<Said> {
        let end = self.input.windows(2).position(|two| two == b"\r\n")?;
        let line = self.input[..end].to_vec();
        let mut len = end + 2;
        let said = match line.split(|byte| *byte == b' ').next().unwrap_or_default() {
            b"INFO" => Said::Info,
            b"PING" => Said::Ping,
            b"PONG" => Said::Answer(Answer::Pong),
            b"+OK" => Said::Answer(Answer::Ok),
            b"-ERR" if line.ends_with(b"'Stale Connection'") => Said::Stale,
            b"-ERR" => Said::Answer(Answer::Err),
            verb @ (b"MSG" | b"HMSG") => {
                let mut sizes = line.rsplit(|byte| *byte == b' ').map(number);
                let total = sizes.next().unwrap_or_default();
                let headers = if verb == b"HMSG" { sizes.next().unwrap_or_default() } else { 0 };
                assert!(verb == b"MSG" || self.headers, "HMSG to a client without headers");
                let payload = self.input.get(len..len + total + 2)?;
                let payload =
                    payload.strip_suffix(b"\r\n").expect("a payload and its end").to_vec();
                len += total + 2;
                Said::Message { line, headers, payload }
            }
            _ => panic!("the server said {}", line.escape_ascii()),
        };
        if !std::mem::replace(&mut self.greeted, true) {
            assert!(matches!(said, Said::Info), "INFO comes first");
        }
        self.input.drain(..len);
        Some(said)
    }
}

fn number(word: &[u8]) -> usize {
    std::str::from_utf8(word).ok().and_then(|word| word.parse().ok()).expect("a size")
}

/// Takes a message apart.
pub(super) fn message<'a>(line: &'a [u8], headers: usize, payload: &'a [u8]) -> Received<'a> {
    let line = std::str::from_utf8(line).expect("subjects here are text");
    let words: Vec<&str> = line.split(' ').collect();
    let sizes = if words[0] == "HMSG" { 2 } else { 1 };
    let (reply, count) = match words.len() - sizes {
        3 => (None, 3),
        4 => (Some(words[3]), 4),
        _ => panic!("{line}"),
    };
    assert_eq!(words.len(), count + sizes);
    let (header, body) = payload.split_at(headers);
    let headers = (words[0] == "HMSG").then_some(header);
    Received { subject: words[1], sid: words[2], reply, headers, body }
}
