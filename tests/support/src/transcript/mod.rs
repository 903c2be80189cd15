//! Golden transcripts: one rule of the protocol as a conversation that a server must reproduce.
//!
//! A file opens with a comment that states the rule. `@name` is a connection; the first use of a
//! name connects it as an ordinary client (INFO, CONNECT `{"verbose":false,"pedantic":false,
//! "headers":true}`, one PING), unless that use is `raw` or `connect`.
//!
//! ```text
//! # the rule                       comments; the first one is the title
//! # server: --user a --pass b      more flags for the server
//! # config: ping_max: 1            a line of a configuration file for the server
//! # reference differs: why         the reference must fail here (ringbus is better on purpose)
//! @a raw                           connects and reads nothing
//! @a ready                         connects as an ordinary client
//! @a connect {json}                connects, takes INFO, sends CONNECT with this JSON, no PING
//!                                  (`<sign SEED>` in it: the nonce of that INFO, signed)
//! @a C: text                       sends a line (CR LF is added)
//! @a C+ text                       sends exactly this
//! @a S: text                       expects a line (CR LF is added)
//! @a S+ text                       expects exactly this
//! @a S~ regex                      expects a line that matches as a whole; what the first group
//!                                  captures stands for `<it>` in later `C` and `S` texts
//! @a any: text | text              expects one of these lines
//! @a all: text | text              expects all of these lines, in any order
//! @a,@b one: text                  exactly one of the connections gets this line
//! @a,@b share 100: text            together they get it 100 times, each at least once
//! @a info name:type name=json !no  expects INFO with these fields
//! @a sync                          PING, expects PONG and nothing before it
//! @a quiet                         the same, then nothing for a while
//! @a silent 100ms                  expects nothing for that long
//! @a closed                        expects the end of the connection, and nothing before it
//! @a finish                        says that nothing more will be sent, and goes on reading
//! @a close                         hangs up
//! pause 50ms
//! ```
//! In texts `\r \n \t \0 \\ \xHH` are bytes and `${1000*ab}` is `ab` a thousand times. A PING of
//! the server that no line expects is answered and not counted.

mod parse;
mod run;

use std::path::Path;
use std::time::Duration;

use regex_lite::Regex;
use serde_json::Value;

use crate::Program;

/// One file, read and checked.
#[derive(Debug)]
pub struct Transcript {
    /// The rule it shows.
    pub title: String,
    flags: Vec<String>,
    /// Lines of the configuration file.
    config: Vec<String>,
    /// Why the reference is expected to fail.
    reference_differs: Option<String>,
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    line: usize,
    shown: String,
    action: Action,
}

type Name = String;

#[derive(Debug)]
enum Action {
    Raw(Name),
    Ready(Name),
    Connect(Name, Vec<u8>),
    Send(Name, Vec<u8>),
    Expect(Name, Vec<u8>),
    Matches(Name, Regex),
    AnyOf(Name, Vec<Vec<u8>>),
    AllOf(Name, Vec<Vec<u8>>),
    Share { names: Vec<Name>, total: usize, text: Vec<u8>, everyone: bool },
    Info(Name, Vec<Field>),
    Sync(Name),
    Quiet(Name),
    Silent(Name, Duration),
    Closed(Name),
    Finish(Name),
    Close(Name),
    Pause(Duration),
}

#[derive(Debug)]
enum Field {
    Typed(String, String),
    Equal(String, Value),
    Absent(String),
}

impl Transcript {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read or a line has no meaning.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        parse::parse(&text).map_err(|e| format!("{}:{e}", path.display()))
    }

    /// Plays it against a server started for it.
    ///
    /// # Errors
    /// At the first line where the server does something else: the line, what came instead, and
    /// the server's log. Also if the reference passes a transcript that says it differs.
    pub fn play(&self, program: &Program, is_reference: bool) -> Result<(), String> {
        let mut flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
        let file = dir.path().join("server.conf").display().to_string();
        if !self.config.is_empty() {
            std::fs::write(&file, self.config.join("\n")).map_err(|e| e.to_string())?;
            flags.extend(["-c", &file]);
        }
        let mut server = program.start(&flags)?;
        let outcome = run::run(self, &server).and_then(|()| server.ended().map_or(Ok(()), Err));
        match (&self.reference_differs, outcome) {
            (Some(why), Ok(())) if is_reference => {
                Err(format!("the reference does not differ, although the file says: {why}"))
            }
            (Some(_), Err(_)) if is_reference => Ok(()),
            (_, Err(e)) => Err(format!("{}\n{e}\nserver log:\n{}", self.title, server.log())),
            (_, Ok(())) => Ok(()),
        }
    }
}
