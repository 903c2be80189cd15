//! The log: events in, lines in nats-server's format out.
//!
//! Whoever has something to say emits a `tracing` event with a finished sentence as its message;
//! lines about a client begin with `127.0.0.1:1234 - cid:5 - `. The event is taken over with its
//! time and handed to one thread that formats and writes. A sink that is slow or stuck therefore
//! never stalls a shard: beyond [`QUEUE_BYTES_MAX`] lines are dropped, counted, and the gap is
//! reported.
//!
//! Invariant: one event is one line. Control characters in a message are escaped, so that nothing a
//! client sends can forge a line or reach a terminal.

mod rotation;

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

pub use self::rotation::RotationOptions;
use self::rotation::{Rotated, RotatingFile};
use crate::cli::Verbosity;

/// Target of the event that ends the process: `error!(target: FATAL, "…")` is logged as `[FTL]`.
pub const FATAL: &str = "ringbus::fatal";

/// Bytes of lines that may wait for the sink.
pub const QUEUE_BYTES_MAX: usize = 4 << 20;

/// What a waiting line costs besides its text.
const LINE_OVERHEAD: usize = 64;

/// Lines are written together up to this many bytes.
const BATCH_BYTES: usize = 64 << 10;

/// Longest time that the end of the process waits for a sink that does not take its lines.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// How a line is introduced.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Label {
    Information,
    Debug,
    Warning,
    Error,
    Fatal,
    Trace,
}

impl Label {
    fn of(metadata: &Metadata<'_>) -> Self {
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
}

/// What the log looks like and where it goes.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// A file, or standard error.
    pub file: Option<PathBuf>,
    /// Whether that file is put aside when it is full.
    pub rotation: Option<RotationOptions>,
    /// Whether lines carry the time.
    pub time: bool,
    /// Whether that is UTC instead of local time.
    pub utc: bool,
    /// Which events are logged.
    pub verbosity: Verbosity,
}

/// What the log thread is told.
enum Task {
    Write(Line),
    /// Open the file again; the answer says how that went.
    Reopen(Sender<io::Result<()>>),
    /// Answer when everything before this is written.
    Flush(Sender<()>),
}

struct Line {
    at: Timestamp,
    label: Label,
    text: String,
}

/// Shared by the threads that log and the one that writes.
#[derive(Default)]
struct Gauge {
    queued_bytes: AtomicUsize,
    dropped_lines: AtomicU64,
}

/// The running log.
#[derive(Clone)]
pub struct Log {
    tasks: Sender<Task>,
    gauge: Arc<Gauge>,
    verbosity: Verbosity,
    to_file: bool,
}

impl Log {
    /// Opens the sink and starts the log thread, which inherits the signal mask of the caller.
    ///
    /// # Errors
    /// Returns the system's error if the file cannot be opened or the thread not be started.
    pub fn start(options: LogOptions) -> io::Result<Self> {
        let sink = Sink::open(&options)?;
        let colored = options.file.is_none() && io::stderr().is_terminal();
        let format = Format::new(&options, std::process::id(), colored);
        Self::start_with(sink, format, options)
    }

    fn start_with(sink: Sink, format: Format, options: LogOptions) -> io::Result<Self> {
        let (tasks, inbox) = unbounded();
        let gauge = Arc::new(Gauge::default());
        let log = Self {
            tasks,
            gauge: Arc::clone(&gauge),
            verbosity: options.verbosity,
            to_file: options.file.is_some(),
        };
        let mut writer = Writer { inbox, gauge, sink, format, options };
        std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run())?;
        Ok(log)
    }

    /// Whether it goes to a file, which is what can be opened again.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.to_file
    }

    /// Opens the file again by its name, after something like logrotate moved it away.
    ///
    /// # Errors
    /// Returns the system's error; lines then still go to the old file.
    pub fn reopen(&self) -> io::Result<()> {
        let (answer, answered) = bounded(1);
        let gone = |_| io::Error::other("the log does not answer");
        self.tasks.send(Task::Reopen(answer)).map_err(|_| io::Error::other("the log has ended"))?;
        answered.recv_timeout(FLUSH_PATIENCE).map_err(gone)?
    }

    /// Waits until what was logged so far is written, but not for ever.
    pub fn flush(&self) {
        let (answer, answered) = bounded(1);
        if self.tasks.send(Task::Flush(answer)).is_ok() {
            // A sink that is stuck keeps its lines; the process ends without them.
            let _ = answered.recv_timeout(FLUSH_PATIENCE);
        }
    }

    fn push(&self, label: Label, text: String) {
        let cost = text.len() + LINE_OVERHEAD;
        if self.gauge.queued_bytes.fetch_add(cost, Ordering::Relaxed) + cost > QUEUE_BYTES_MAX {
            self.gauge.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
            self.gauge.dropped_lines.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let line = Line { at: Timestamp::now(), label, text };
        // The log thread lives as long as the process.
        let _ = self.tasks.send(Task::Write(line));
    }
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let own = metadata.target().starts_with("ringbus");
        match *metadata.level() {
            tracing::Level::ERROR | tracing::Level::WARN => true,
            tracing::Level::INFO => own,
            tracing::Level::DEBUG => own && self.verbosity.debug,
            tracing::Level::TRACE => own && self.verbosity.trace,
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.verbosity {
            Verbosity { trace: true, .. } => LevelFilter::TRACE,
            Verbosity { debug: true, .. } => LevelFilter::DEBUG,
            _ => LevelFilter::INFO,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.push(Label::of(event.metadata()), text.0);
    }

    // Lines stand alone: spans are not used.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message of an event; further fields, which only foreign code uses, stand behind it.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// How a line is written.
struct Format {
    pid: u32,
    zone: Option<TimeZone>,
    colored: bool,
}

impl Format {
    fn new(options: &LogOptions, pid: u32, colored: bool) -> Self {
        let zone = if options.utc { TimeZone::UTC } else { TimeZone::system() };
        Self { pid, zone: options.time.then_some(zone), colored }
    }

    fn append(&self, line: &Line, out: &mut String) {
        let _ = write!(out, "[{}] ", self.pid);
        if let Some(zone) = &self.zone {
            let time = line.at.to_zoned(zone.clone());
            let _ = write!(out, "{} ", time.strftime("%Y/%m/%d %H:%M:%S%.6f"));
        }
        out.push_str(line.label.text(self.colored));
        for c in line.text.chars() {
            if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
        }
        out.push('\n');
    }
}

/// Where lines go.
enum Sink {
    Plain(Box<dyn Write + Send>),
    Rotating(RotatingFile),
}

impl Sink {
    fn open(options: &LogOptions) -> io::Result<Self> {
        Ok(match (&options.file, options.rotation) {
            (None, _) => Self::Plain(Box::new(io::stderr())),
            (Some(path), None) => Self::Plain(Box::new(open(path)?)),
            (Some(path), Some(rotation)) => Self::Rotating(RotatingFile::open(path, rotation)?),
        })
    }
}

/// The log thread's state.
struct Writer {
    inbox: Receiver<Task>,
    gauge: Arc<Gauge>,
    sink: Sink,
    format: Format,
    options: LogOptions,
}

impl Writer {
    fn run(&mut self) {
        let mut batch = String::new();
        while let Ok(first) = self.inbox.recv() {
            let mut next = Some(first);
            while let Some(task) = next {
                match task {
                    Task::Write(line) => {
                        let cost = line.text.len() + LINE_OVERHEAD;
                        self.format.append(&line, &mut batch);
                        self.gauge.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
                        if batch.len() >= BATCH_BYTES {
                            break;
                        }
                    }
                    Task::Reopen(answer) => {
                        self.write(&mut batch);
                        let _ = answer.send(self.reopen());
                    }
                    Task::Flush(answer) => {
                        self.report_gap(&mut batch);
                        self.write(&mut batch);
                        let _ = answer.send(());
                    }
                }
                next = self.inbox.try_recv().ok();
            }
            self.report_gap(&mut batch);
            self.write(&mut batch);
        }
    }

    fn report_gap(&self, batch: &mut String) {
        let dropped = self.gauge.dropped_lines.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("{dropped} log lines were dropped: the log is written too slowly");
            let line = Line { at: Timestamp::now(), label: Label::Warning, text };
            self.format.append(&line, batch);
        }
    }

    fn write(&mut self, batch: &mut String) {
        // There is nowhere left to report that the log cannot be written.
        let _ = match &mut self.sink {
            Sink::Plain(sink) => sink.write_all(batch.as_bytes()).and_then(|()| sink.flush()),
            Sink::Rotating(file) => write_rotating(file, &self.format, batch),
        };
        batch.clear();
    }

    fn reopen(&mut self) -> io::Result<()> {
        if self.options.file.is_some() {
            self.sink = Sink::open(&self.options)?;
        }
        Ok(())
    }
}

/// Writes lines to a file that rotates, and says in the new file what became of the old one.
fn write_rotating(file: &mut RotatingFile, format: &Format, lines: &str) -> io::Result<()> {
    let mut rest = lines;
    while let Some((share, later)) = rest.split_at_checked(file.share_of(rest)) {
        if share.is_empty() {
            break;
        }
        file.write_all(share.as_bytes())?;
        rest = later;
        if !file.is_full() {
            continue;
        }
        let mut told = String::new();
        let mut tell = |label, text| {
            format.append(&Line { at: Timestamp::now(), label, text }, &mut told);
        };
        match file.rotate(&Zoned::now()) {
            Rotated::Aside(backup, removed) => {
                tell(Label::Information, format!("Rotated log, the full file is {backup:?}"));
                for gone in removed {
                    tell(Label::Information, format!("Removed log file {gone:?}"));
                }
            }
            Rotated::Failed(text) => tell(Label::Error, text),
        }
        file.write_all(told.as_bytes())?;
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests;
