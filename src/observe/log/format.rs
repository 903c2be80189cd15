//! What a line looks like.
//!
//! Invariant: one event is one line. Control characters in a message are escaped, so that nothing a
//! client sends can forge a line or reach a terminal.

use std::fmt::Write as _;
use std::net::SocketAddr;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;
use tracing::Metadata;

use super::{FATAL, LogFormat, LogOptions};

/// One event, on its way to the sink.
pub(super) struct Line {
    pub(super) at: Timestamp,
    pub(super) label: Label,
    pub(super) text: String,
}

/// How a line is introduced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Label {
    Information,
    Debug,
    Warning,
    Error,
    Fatal,
    Trace,
}

impl Label {
    pub(super) fn of(metadata: &Metadata<'_>) -> Self {
        match *metadata.level() {
            _ if metadata.target() == FATAL => Self::Fatal,
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warning,
            tracing::Level::INFO => Self::Information,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }

    const fn text(self, colored: bool) -> &'static str {
        match (self, colored) {
            (Self::Information, false) => "[INF] ",
            (Self::Debug, false) => "[DBG] ",
            (Self::Warning, false) => "[WRN] ",
            (Self::Error, false) => "[ERR] ",
            (Self::Fatal, false) => "[FTL] ",
            (Self::Trace, false) => "[TRC] ",
            (Self::Information, true) => "[\x1b[32mINF\x1b[0m] ",
            (Self::Debug, true) => "[\x1b[36mDBG\x1b[0m] ",
            (Self::Warning, true) => "[\x1b[0;93mWRN\x1b[0m] ",
            (Self::Error, true) => "[\x1b[31mERR\x1b[0m] ",
            (Self::Fatal, true) => "[\x1b[31mFTL\x1b[0m] ",
            (Self::Trace, true) => "[\x1b[33mTRC\x1b[0m] ",
        }
    }

    /// How JSON names it.
    const fn level(self) -> &'static str {
        match self {
            Self::Information => "info",
            Self::Debug => "debug",
            Self::Warning => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
            Self::Trace => "trace",
        }
    }

    /// Its severity in the journal, where what is traced is the least important.
    const fn journal_severity(self) -> u8 {
        match self {
            Self::Fatal => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Information => 6,
            Self::Debug | Self::Trace => 7,
        }
    }

    /// Its severity in syslog, as nats-server sees it.
    pub(super) const fn syslog_severity(self) -> u8 {
        match self {
            Self::Fatal => 2,
            Self::Error => 3,
            Self::Warning => 4,
            Self::Information | Self::Trace => 5,
            Self::Debug => 7,
        }
    }
}

/// How a line is written.
#[derive(Clone)]
pub(super) struct Format {
    pub(super) pid: u32,
    pub(super) zone: Option<TimeZone>,
    pub(super) colored: bool,
    pub(super) json: bool,
    /// Whether the severity stands before the line, for the journal.
    pub(super) severity: bool,
}

/// A line as JSON.
#[derive(Serialize)]
struct Object<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<String>,
    level: &'static str,
    pid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cid: Option<u64>,
    msg: &'a str,
}

impl Format {
    pub(super) fn new(options: &LogOptions, pid: u32) -> Self {
        let zone = if options.utc { TimeZone::UTC } else { TimeZone::system() };
        let json = options.format == LogFormat::Json;
        let zone = options.time.then_some(zone);
        Self { pid, zone, colored: false, json, severity: false }
    }

    pub(super) fn append(&self, line: &Line, out: &mut String) {
        // Writing to a String cannot fail.
        if self.severity {
            let _ = write!(out, "<{}>", line.label.journal_severity());
        }
        if self.json {
            self.append_json(line, out);
            return;
        }
        let _ = write!(out, "[{}] ", self.pid);
        if let Some(zone) = &self.zone {
            let time = line.at.to_zoned(zone.clone());
            let _ = write!(out, "{} ", time.strftime("%Y/%m/%d %H:%M:%S%.6f"));
        }
        out.push_str(line.label.text(self.colored));
        append_escaped(&line.text, out);
        out.push('\n');
    }

    fn append_json(&self, line: &Line, out: &mut String) {
        let ts = self.zone.as_ref().map(|zone| {
            line.at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%.6f%:z").to_string()
        });
        let (client, msg) = split_client(&line.text);
        let (client, cid) = client.unzip();
        let object = Object { ts, level: line.label.level(), pid: self.pid, client, cid, msg };
        // Texts and numbers always become JSON.
        out.push_str(&serde_json::to_string(&object).unwrap_or_default());
        out.push('\n');
    }
}

/// Takes `address - cid:5 - ` off a line about a client.
fn split_client(text: &str) -> (Option<(&str, u64)>, &str) {
    let split = || {
        let (address, rest) = text.split_once(" - cid:")?;
        let (cid, rest) = rest.split_once(" - ")?;
        address.parse::<SocketAddr>().ok()?;
        Some(((address, cid.parse().ok()?), rest))
    };
    split().map_or((None, text), |(client, rest)| (Some(client), rest))
}

/// Appends a message with its control characters escaped.
pub(super) fn append_escaped(text: &str, out: &mut String) {
    for c in text.chars() {
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
}
