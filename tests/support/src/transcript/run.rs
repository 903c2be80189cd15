//! Plays the steps of a transcript on real connections.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Action, Field, Transcript};
use crate::nkey::fill_in;
use crate::{PATIENCE, Raw, Server};

/// What an ordinary client of a transcript says of itself.
const ORDINARY: &str = r#"{"verbose":false,"pedantic":false,"headers":true}"#;

/// How long nothing must come where nothing is expected: far more than a delivery takes.
const QUIET: Duration = Duration::from_millis(60);

const PING: &[u8] = b"PING\r\n";

struct Stage {
    address: SocketAddr,
    connections: BTreeMap<String, Raw>,
    /// What stands for `<it>`.
    it: Vec<u8>,
}

/// Plays all steps, then makes sure that nothing was left unsaid.
pub(super) fn run(transcript: &Transcript, server: &Server) -> Result<(), String> {
    let mut stage =
        Stage { address: server.address(), connections: BTreeMap::new(), it: Vec::new() };
    for step in &transcript.steps {
        stage.act(&step.action).map_err(|e| format!("line {}: {}\n{e}", step.line, step.shown))?;
    }
    for (name, raw) in &mut stage.connections {
        raw.more(Instant::now() + Duration::from_millis(1)).map_err(text)?;
        if !raw.pending().is_empty() && raw.pending() != PING {
            return Err(format!("at the end @{name} has unexpected {}", shown(raw.pending())));
        }
    }
    let mut last = Raw::connect(stage.address).map_err(text)?;
    let info = last.line().map_err(text)?;
    if info.starts_with("INFO ") { Ok(()) } else { Err(format!("no INFO afterwards: {info}")) }
}

/// What an INFO asks to be signed.
fn nonce(info: &str) -> Option<String> {
    let json: Value = serde_json::from_str(info.strip_prefix("INFO ")?).ok()?;
    Some(json.get("nonce")?.as_str()?.to_owned())
}

impl Stage {
    fn act(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Raw(name) => self.open(name).map(drop),
            Action::Ready(name) => self.connection(name).map(drop),
            Action::Connect(name, json) => {
                let raw = self.open(name)?;
                let info = raw.line().map_err(text)?;
                if !info.starts_with("INFO ") {
                    return Err(format!("expected INFO, got {info}"));
                }
                let json = String::from_utf8_lossy(json);
                let json = fill_in(&json, nonce(&info).as_deref().unwrap_or_default())?;
                raw.send(format!("CONNECT {json}\r\n").as_bytes()).map_err(text)
            }
            Action::Send(name, bytes) => {
                // A server that closes while we write is judged by what is expected next.
                let bytes = self.filled(bytes);
                let _ = self.connection(name)?.send(&bytes);
                Ok(())
            }
            Action::Expect(name, bytes) => {
                let bytes = self.filled(bytes);
                expect(self.connection(name)?, &[&bytes]).map(drop)
            }
            Action::Matches(name, pattern) => {
                let line = line(self.connection(name)?)?;
                let Some(found) = pattern.captures(&line) else {
                    return Err(format!("got {line:?}"));
                };
                if let Some(it) = found.get(1) {
                    self.it = it.as_str().as_bytes().to_vec();
                }
                Ok(())
            }
            Action::AnyOf(name, texts) => {
                let texts: Vec<&Vec<u8>> = texts.iter().collect();
                expect(self.connection(name)?, &texts).map(drop)
            }
            Action::AllOf(name, texts) => {
                let mut left: Vec<&Vec<u8>> = texts.iter().collect();
                while !left.is_empty() {
                    let taken = expect(self.connection(name)?, &left)?;
                    left.remove(taken);
                }
                Ok(())
            }
            Action::Share { names, total, text, everyone } => {
                self.share(names, *total, text, *everyone)
            }
            Action::Info(name, fields) => info(&line(self.connection(name)?)?, fields),
            Action::Sync(name) => sync(self.connection(name)?),
            Action::Quiet(name) => {
                sync(self.connection(name)?)?;
                silent(self.connection(name)?, QUIET)
            }
            Action::Silent(name, time) => silent(self.connection(name)?, *time),
            Action::Closed(name) => closed(self.connection(name)?),
            Action::Finish(name) => {
                self.connection(name)?.stream().shutdown(Shutdown::Write).map_err(text)
            }
            Action::Close(name) => self.connections.remove(name).map(drop).ok_or_else(String::new),
            Action::Pause(time) => {
                thread::sleep(*time);
                Ok(())
            }
        }
    }

    /// `bytes` with what was captured.
    fn filled(&self, bytes: &[u8]) -> Vec<u8> {
        const PLACE: &[u8] = b"<it>";
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some((first, others)) = rest.split_first() {
            if let Some(after) = rest.strip_prefix(PLACE) {
                out.extend_from_slice(&self.it);
                rest = after;
            } else {
                out.push(*first);
                rest = others;
            }
        }
        out
    }

    fn open(&mut self, name: &str) -> Result<&mut Raw, String> {
        if self.connections.contains_key(name) {
            return Err(format!("@{name} is already connected"));
        }
        let raw = Raw::connect(self.address).map_err(text)?;
        Ok(self.connections.entry(name.to_owned()).or_insert(raw))
    }

    fn connection(&mut self, name: &str) -> Result<&mut Raw, String> {
        if !self.connections.contains_key(name) {
            let raw = Raw::client(self.address, ORDINARY).map_err(text)?;
            self.connections.insert(name.to_owned(), raw);
        }
        self.connections.get_mut(name).ok_or_else(String::new)
    }

    /// `text` arrives `total` times over all the connections, and no more.
    fn share(
        &mut self,
        names: &[String],
        total: usize,
        text: &[u8],
        everyone: bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        let mut counts = vec![0; names.len()];
        while counts.iter().sum::<usize>() < total {
            if Instant::now() > deadline {
                return Err(format!("only {counts:?} came to {names:?}"));
            }
            for (name, count) in names.iter().zip(&mut counts) {
                let raw = self.connection(name)?;
                raw.more(Instant::now() + Duration::from_millis(2)).map_err(self::text)?;
                *count += take_all(raw, text)?;
            }
        }
        if counts.iter().sum::<usize>() != total || (everyone && counts.contains(&0)) {
            return Err(format!("{counts:?} came to {names:?}"));
        }
        Ok(())
    }
}

/// Takes `text` as often as it is there; anything else is an error.
fn take_all(raw: &mut Raw, text: &[u8]) -> Result<usize, String> {
    let mut count = 0;
    loop {
        if raw.pending().starts_with(text) {
            raw.skip(text.len());
            count += 1;
        } else if raw.pending().starts_with(PING) {
            answer_ping(raw)?;
        } else if text.starts_with(raw.pending()) || PING.starts_with(raw.pending()) {
            return Ok(count);
        } else {
            return Err(format!("got {}", shown(raw.pending())));
        }
    }
}

/// Takes one of the texts; which one.
fn expect(raw: &mut Raw, texts: &[&Vec<u8>]) -> Result<usize, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let pending = raw.pending();
        if let Some(at) = texts.iter().position(|text| pending.starts_with(text)) {
            raw.skip(texts.get(at).map_or(0, |text| text.len()));
            return Ok(at);
        }
        let may_become = texts.iter().any(|text| text.starts_with(pending));
        if !may_become && pending.starts_with(PING) {
            answer_ping(raw)?;
            continue;
        }
        let hopeless = !may_become && !PING.starts_with(pending);
        if hopeless {
            // A little more of what came makes a better message.
            raw.more(Instant::now() + Duration::from_millis(20)).map_err(text)?;
        }
        if hopeless || !raw.more(deadline).map_err(text)? {
            let ended = if raw.ended() { " and the end of the connection" } else { "" };
            return Err(format!("got {}{ended}", shown(raw.pending())));
        }
    }
}

fn line(raw: &mut Raw) -> Result<String, String> {
    loop {
        let line = raw.line().map_err(text)?;
        if line != "PING" {
            return Ok(line);
        }
        raw.send(b"PONG\r\n").map_err(text)?;
    }
}

fn answer_ping(raw: &mut Raw) -> Result<(), String> {
    raw.skip(PING.len());
    raw.send(b"PONG\r\n").map_err(text)
}

fn sync(raw: &mut Raw) -> Result<(), String> {
    raw.send(PING).map_err(text)?;
    expect(raw, &[&b"PONG\r\n".to_vec()]).map(drop)
}

fn silent(raw: &mut Raw, time: Duration) -> Result<(), String> {
    raw.more(Instant::now() + time).map_err(text)?;
    match (raw.pending(), raw.ended()) {
        ([], false) => Ok(()),
        ([], true) => Err("the connection ended".to_owned()),
        (bytes, _) => Err(format!("got {}", shown(bytes))),
    }
}

fn closed(raw: &mut Raw) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    while raw.more(deadline).map_err(text)? {}
    match (raw.pending(), raw.ended()) {
        ([], true) => Ok(()),
        ([], false) => Err("the connection stays open".to_owned()),
        (bytes, _) => Err(format!("got {}", shown(bytes))),
    }
}

fn info(line: &str, fields: &[Field]) -> Result<(), String> {
    let json = line.strip_prefix("INFO ").ok_or_else(|| format!("no INFO: {line:?}"))?;
    let info: Value = serde_json::from_str(json).map_err(|e| format!("{e}: {json}"))?;
    for field in fields {
        let fits = match field {
            Field::Absent(name) => info.get(name).is_none(),
            Field::Equal(name, value) => info.get(name) == Some(value),
            Field::Typed(name, kind) => info.get(name).is_some_and(|value| kind == kind_of(value)),
        };
        if !fits {
            return Err(format!("not {field:?}: {json}"));
        }
    }
    Ok(())
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The beginning of some bytes, readable.
fn shown(bytes: &[u8]) -> String {
    let start = bytes.get(..300).unwrap_or(bytes);
    format!("{} bytes: \"{}\"", bytes.len(), start.escape_ascii())
}

fn text(error: impl Display) -> String {
    error.to_string()
}
