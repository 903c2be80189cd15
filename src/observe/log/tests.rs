//! The log against sinks that are quick, stuck and moved away.

use std::fs;
use std::io::Write;
use std::sync::mpsc;

use jiff::tz::TimeZone;

use super::format::Format;
use super::*;

fn options(path: PathBuf) -> LogOptions {
    LogOptions {
        destination: Destination::File { path, size_max: None, files_max: None },
        format: LogFormat::Text,
        time: true,
        utc: true,
        verbosity: Verbosity::default(),
        program: "ringbus".to_owned(),
    }
}

fn format(pid: u32, zone: Option<TimeZone>) -> Format {
    Format { pid, zone, colored: false, json: false, severity: false }
}

fn line(label: Label, text: &str) -> Line {
    let at = Timestamp::from_microsecond(1_795_160_368_731_234).unwrap();
    Line { at, label, text: text.to_owned() }
}

fn formatted(format: &Format, line: &Line) -> String {
    let mut out = String::new();
    format.append(line, &mut out);
    out
}

#[test]
fn lines_look_as_those_of_nats_server() {
    let plain = format(42, Some(TimeZone::UTC));
    let cases = [
        (Label::Information, "[42] 2026/11/20 07:39:28.731234 [INF] x\n"),
        (Label::Debug, "[42] 2026/11/20 07:39:28.731234 [DBG] x\n"),
        (Label::Warning, "[42] 2026/11/20 07:39:28.731234 [WRN] x\n"),
        (Label::Error, "[42] 2026/11/20 07:39:28.731234 [ERR] x\n"),
        (Label::Fatal, "[42] 2026/11/20 07:39:28.731234 [FTL] x\n"),
        (Label::Trace, "[42] 2026/11/20 07:39:28.731234 [TRC] x\n"),
    ];
    for (label, expected) in cases {
        assert_eq!(formatted(&plain, &line(label, "x")), expected);
    }
    let bare = format(42, None);
    assert_eq!(formatted(&bare, &line(Label::Information, "x")), "[42] [INF] x\n");
    let colored = Format { colored: true, ..format(42, None) };
    let green = "[42] [\u{1b}[32mINF\u{1b}[0m] x\n";
    assert_eq!(formatted(&colored, &line(Label::Information, "x")), green);
    let east = TimeZone::fixed(jiff::tz::offset(2));
    let local = format(1, Some(east));
    let expected = "[1] 2026/11/20 09:39:28.731234 [INF] x\n";
    assert_eq!(formatted(&local, &line(Label::Information, "x")), expected);
}

#[test]
fn a_message_cannot_forge_a_line() {
    let format = format(1, None);
    let text = "name \"a\n[1] [INF] b\r\u{1b}[31m\u{7f}ü";
    let expected = "[1] [INF] name \"a\\n[1] [INF] b\\r\\u{1b}[31m\\u{7f}ü\n";
    assert_eq!(formatted(&format, &line(Label::Information, text)), expected);
}

#[test]
fn json_is_one_object_a_line_with_the_client_by_itself() {
    let json = Format { json: true, ..format(42, Some(TimeZone::UTC)) };
    let expected = "{\"ts\":\"2026-11-20T07:39:28.731234+00:00\",\"level\":\"warn\",\"pid\":42,\
                    \"msg\":\"a \\\"b\\\"\\nc\"}\n";
    assert_eq!(formatted(&json, &line(Label::Warning, "a \"b\"\nc")), expected);
    let json = Format { json: true, ..format(42, None) };
    let text = "127.0.0.1:1234 - cid:5 - \"v1:go\" - Client connection closed: Client Closed";
    let expected = "{\"level\":\"debug\",\"pid\":42,\"client\":\"127.0.0.1:1234\",\"cid\":5,\
                    \"msg\":\"\\\"v1:go\\\" - Client connection closed: Client Closed\"}\n";
    assert_eq!(formatted(&json, &line(Label::Debug, text)), expected);
    for other in ["x - cid:5 - y", "127.0.0.1:1 - cid:x - y", "127.0.0.1:1 - cid:5"] {
        let expected =
            format!("{{\"level\":\"trace\",\"pid\":42,\"msg\":{}}}\n", serde_json::json!(other));
        assert_eq!(formatted(&json, &line(Label::Trace, other)), expected);
    }
}

#[test]
fn the_journal_reads_the_severity_before_the_line() {
    let journal = Format { severity: true, ..format(42, None) };
    for (label, expected) in [
        (Label::Information, "<6>[42] [INF] x\n"),
        (Label::Warning, "<4>[42] [WRN] x\n"),
        (Label::Error, "<3>[42] [ERR] x\n"),
        (Label::Fatal, "<2>[42] [FTL] x\n"),
        (Label::Debug, "<7>[42] [DBG] x\n"),
        (Label::Trace, "<7>[42] [TRC] x\n"),
    ] {
        assert_eq!(formatted(&journal, &line(label, "x")), expected);
    }
}

#[test]
fn events_arrive_by_level_and_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut options = options(path.clone());
    options.time = false;
    options.verbosity.trace = true;
    let log = Log::start(&options).unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        tracing::info!(target: "ringbus::x", "one {}", 1);
        tracing::debug!(target: "ringbus::x", "not asked for");
        tracing::trace!(target: "ringbus_shard::x", "two");
        tracing::info!(target: "elsewhere", "not ours");
        tracing::warn!(target: "elsewhere", size = 3, "three");
        tracing::error!(target: "ringbus::x", "four");
        tracing::error!(target: FATAL, "five");
    });
    log.flush();
    let pid = std::process::id();
    let expected = ["[INF] one 1", "[TRC] two", "[WRN] three size=3", "[ERR] four", "[FTL] five"];
    let expected: String = expected.iter().map(|line| format!("[{pid}] {line}\n")).collect();
    assert_eq!(fs::read_to_string(path).unwrap(), expected);
}

#[test]
fn a_file_that_was_moved_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
    let log = Log::start(&options(path.clone())).unwrap();
    log.push(Label::Information, "before".to_owned());
    log.flush();
    fs::rename(&path, &moved).unwrap();
    log.push(Label::Information, "between".to_owned());
    log.reopen().unwrap();
    log.push(Label::Information, "after".to_owned());
    log.flush();
    let (old, new) = (fs::read_to_string(moved).unwrap(), fs::read_to_string(&path).unwrap());
    assert!(old.contains("before") && old.contains("between") && !old.contains("after"), "{old}");
    assert!(new.contains("after") && new.lines().count() == 1, "{new}");
    fs::remove_dir_all(dir.path()).unwrap();
    assert!(log.reopen().is_err());
}

/// A sink that takes nothing until it is let go.
struct Stuck {
    release: mpsc::Receiver<()>,
    written: mpsc::Sender<Vec<u8>>,
}

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.release.recv();
        let _ = self.written.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_sink_costs_lines_and_not_time() {
    let (release, wait) = mpsc::channel();
    let (written, output) = mpsc::channel();
    let sink = Sink::stream(Box::new(Stuck { release: wait, written }), format(1, None));
    let log = Log::start_with(sink, Verbosity::default(), false).unwrap();
    let (text, lines) = ("x".repeat(1000 - LINE_OVERHEAD), 2 * QUEUE_BYTES_MAX / 1000);
    for _ in 0..lines {
        log.push(Label::Information, text.clone());
    }
    assert!(log.gauge.queued_bytes.load(Ordering::Relaxed) <= QUEUE_BYTES_MAX);
    drop(release);
    log.flush();
    drop(log);
    let output: Vec<u8> = output.iter().flatten().collect();
    let output = String::from_utf8(output).unwrap();
    let kept = output.lines().filter(|line| line.ends_with('x')).count();
    let gaps = output.lines().filter_map(|line| line.strip_prefix("[1] [WRN] "));
    let dropped: usize = gaps
        .map(|gap| {
            let number = gap.strip_suffix(" log lines were dropped: the log is written too slowly");
            number.unwrap().parse::<usize>().unwrap()
        })
        .sum();
    assert!(dropped > 0);
    assert_eq!(kept + dropped, lines);
}
