//! The log: events in, lines in nats-server's format out.
//!
//! Whoever has something to say emits a `tracing` event with a finished sentence as its message;
//! lines about a client begin with `127.0.0.1:1234 - cid:5 - `. The event is taken over with its
//! time and handed to one thread that formats and writes. A sink that is slow or stuck therefore
//! never stalls a shard: beyond [`QUEUE_BYTES_MAX`] lines are dropped, counted, and the gap is
//! reported.
//!
//! | file | what |
//! | --- | --- |
//! | `format` | what a line looks like |
//! | `sink` | where lines go |
//! | `file` | a file that is put aside when it is large |
//! | `syslog` | the syslog of this host or another |

mod file;
mod format;
mod sink;
mod syslog;

use std::fmt::{self, Write as _};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::cli::Verbosity;
use crate::listen::reason;

use self::format::{Label, Line};
use self::sink::Sink;

/// Target of the event that ends the process: `error!(target: FATAL, "…")` is logged as `[FTL]`.
pub const FATAL: &str = "ringbus::fatal";

/// Bytes of lines that may wait for the sink.
pub const QUEUE_BYTES_MAX: usize = 4 << 20;

/// What a waiting line costs besides its text.
const LINE_OVERHEAD: usize = 64;

/// Longest time that the end of the process waits for a sink that does not take its lines.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Where lines go.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Destination {
    /// Standard error, which systemd collects.
    #[default]
    StandardError,
    /// A file.
    File {
        /// Its name.
        path: PathBuf,
        /// The file is put aside once it has more bytes than this.
        size_max: Option<u64>,
        /// This file and those put aside are at most so many.
        files_max: Option<usize>,
    },
    /// The syslog of this host.
    Syslog,
    /// A syslog elsewhere: `udp://host:port`, `tcp://host:port` or `unix:///path`.
    RemoteSyslog(String),
}

/// What a line is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// As nats-server writes it.
    #[default]
    Text,
    /// An object of JSON.
    Json,
}

/// What the log looks like and where it goes.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Where lines go.
    pub destination: Destination,
    /// What a line is; syslog has a form of its own.
    pub format: LogFormat,
    /// Whether lines carry the time.
    pub time: bool,
    /// Whether that is UTC instead of local time.
    pub utc: bool,
    /// Which events are logged.
    pub verbosity: Verbosity,
    /// What the program is called, for syslog.
    pub program: String,
}

/// Where lines may go next: opened, and not used yet.
pub struct Next {
    sink: Sink,
    to_file: bool,
}

impl Next {
    /// Opens it.
    ///
    /// # Errors
    /// Returns the line for the operator.
    pub fn open(options: &LogOptions) -> Result<Self, String> {
        let to_file = matches!(options.destination, Destination::File { .. });
        Ok(Self { sink: Sink::open(options)?, to_file })
    }
}

/// What the log thread is told.
enum Task {
    Write(Line),
    /// Open the file again; the answer says how that went.
    Reopen(Sender<io::Result<()>>),
    /// What comes after this goes there.
    Switch(Box<Sink>),
    /// Answer when everything before this is written.
    Flush(Sender<()>),
}

/// Shared by the threads that log, the one that writes, and the one that says what is logged.
#[derive(Default)]
struct Gauge {
    queued_bytes: AtomicUsize,
    dropped_lines: AtomicU64,
    debug: AtomicBool,
    trace: AtomicBool,
    to_file: AtomicBool,
}

/// The running log.
#[derive(Clone)]
pub struct Log {
    tasks: Sender<Task>,
    gauge: Arc<Gauge>,
}

impl Log {
    /// Opens the sink and starts the log thread, which inherits the signal mask of the caller.
    ///
    /// # Errors
    /// Returns the line to print if the sink cannot be opened or the thread not be started.
    pub fn start(options: &LogOptions) -> Result<Self, String> {
        let Next { sink, to_file } = Next::open(options)?;
        Self::start_with(sink, options.verbosity, to_file)
    }

    fn start_with(sink: Sink, verbosity: Verbosity, to_file: bool) -> Result<Self, String> {
        let (tasks, inbox) = unbounded();
        let gauge = Arc::new(Gauge::default());
        let log = Self { tasks, gauge: Arc::clone(&gauge) };
        log.keep(verbosity);
        log.gauge.to_file.store(to_file, Ordering::Relaxed);
        let mut writer = Writer { inbox, gauge, sink };
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| format!("cannot start the log: {}", reason(&error)))?;
        Ok(log)
    }

    /// Whether it goes to a file, which is what can be opened again.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.gauge.to_file.load(Ordering::Relaxed)
    }

    /// Which events are logged from now on.
    pub fn set_verbosity(&self, verbosity: Verbosity) {
        self.keep(verbosity);
        // Who logs remembers whether anybody listens.
        tracing::callsite::rebuild_interest_cache();
    }

    fn keep(&self, verbosity: Verbosity) {
        self.gauge.debug.store(verbosity.debug, Ordering::Relaxed);
        self.gauge.trace.store(verbosity.trace, Ordering::Relaxed);
    }

    /// Lines go there from now on, those that are waiting excepted.
    pub fn switch(&self, next: Next) {
        self.gauge.to_file.store(next.to_file, Ordering::Relaxed);
        // The log thread lives as long as the process.
        let _ = self.tasks.send(Task::Switch(Box::new(next.sink)));
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
            tracing::Level::DEBUG => own && self.gauge.debug.load(Ordering::Relaxed),
            tracing::Level::TRACE => own && self.gauge.trace.load(Ordering::Relaxed),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let gauge = &self.gauge;
        Some(match (gauge.trace.load(Ordering::Relaxed), gauge.debug.load(Ordering::Relaxed)) {
            (true, _) => LevelFilter::TRACE,
            (false, true) => LevelFilter::DEBUG,
            (false, false) => LevelFilter::INFO,
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

/// The log thread's state.
struct Writer {
    inbox: Receiver<Task>,
    gauge: Arc<Gauge>,
    sink: Sink,
}

impl Writer {
    fn run(&mut self) {
        self.sink.begin();
        while let Ok(first) = self.inbox.recv() {
            let mut next = Some(first);
            while let Some(task) = next {
                match task {
                    Task::Write(line) => {
                        let cost = line.text.len() + LINE_OVERHEAD;
                        let full = self.sink.put(&line);
                        self.gauge.queued_bytes.fetch_sub(cost, Ordering::Relaxed);
                        if full {
                            break;
                        }
                    }
                    Task::Reopen(answer) => {
                        let _ = answer.send(self.sink.reopen());
                    }
                    Task::Switch(sink) => {
                        self.report_gap();
                        self.sink.flush();
                        self.sink = *sink;
                        self.sink.begin();
                    }
                    Task::Flush(answer) => {
                        self.report_gap();
                        self.sink.flush();
                        let _ = answer.send(());
                    }
                }
                next = self.inbox.try_recv().ok();
            }
            self.report_gap();
            self.sink.flush();
        }
    }

    fn report_gap(&mut self) {
        let dropped = self.gauge.dropped_lines.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            let text = format!("{dropped} log lines were dropped: the log is written too slowly");
            self.sink.put(&Line { at: Timestamp::now(), label: Label::Warning, text });
        }
    }
}

#[cfg(test)]
mod tests;
