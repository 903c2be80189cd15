//! The log against sinks that are quick, stuck and moved away.

use std::fs;
use std::sync::mpsc;

use super::*;

fn options(file: Option<PathBuf>) -> LogOptions {
    LogOptions { file, rotation: None, time: true, utc: true, verbosity: Verbosity::default() }
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
    let plain = Format { pid: 42, zone: Some(TimeZone::UTC), colored: false };
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
    let bare = Format { pid: 42, zone: None, colored: false };
    assert_eq!(formatted(&bare, &line(Label::Information, "x")), "[42] [INF] x\n");
    let colored = Format { pid: 42, zone: None, colored: true };
    let green = "[42] [\u{1b}[32mINF\u{1b}[0m] x\n";
    assert_eq!(formatted(&colored, &line(Label::Information, "x")), green);
    let east = TimeZone::fixed(jiff::tz::offset(2));
    let local = Format { pid: 1, zone: Some(east), colored: false };
    let expected = "[1] 2026/11/20 09:39:28.731234 [INF] x\n";
    assert_eq!(formatted(&local, &line(Label::Information, "x")), expected);
}

#[test]
fn a_full_file_is_put_aside_between_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut options = options(Some(path.clone()));
    options.time = false;
    options.rotation = Some(RotationOptions { bytes_max: 4000, files_max: Some(4) });
    let log = Log::start(options).unwrap();
    tracing::subscriber::with_default(log.clone(), || {
        for number in 0..1000 {
            tracing::info!(target: "ringbus::x", "line {number:04}");
        }
    });
    log.flush();
    let mut names: Vec<PathBuf> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names[0], path);
    names.rotate_left(1);
    let texts: Vec<String> = names.iter().map(|name| fs::read_to_string(name).unwrap()).collect();
    assert!(texts[..3].iter().all(|text| (4000..4100).contains(&text.len())));
    let lines = texts.iter().flat_map(|text| text.lines());
    let numbers: Vec<&str> =
        lines.filter_map(|line| line.split_once("line ")).map(|(_, n)| n).collect();
    let last = numbers.len();
    let expected: Vec<String> = (1000 - last..1000).map(|number| format!("{number:04}")).collect();
    assert_eq!(numbers, expected);
    let told = format!("[INF] Rotated log, the full file is {:?}", names[2]);
    assert!(texts[3].contains(&told), "{}", texts[3]);
}

#[test]
fn a_message_cannot_forge_a_line() {
    let format = Format { pid: 1, zone: None, colored: false };
    let text = "name \"a\n[1] [INF] b\r\u{1b}[31m\u{7f}ü";
    let expected = "[1] [INF] name \"a\\n[1] [INF] b\\r\\u{1b}[31m\\u{7f}ü\n";
    assert_eq!(formatted(&format, &line(Label::Information, text)), expected);
}

#[test]
fn events_arrive_by_level_and_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let mut options = options(Some(path.clone()));
    options.time = false;
    options.verbosity.trace = true;
    let log = Log::start(options).unwrap();
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
    let log = Log::start(options(Some(path.clone()))).unwrap();
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
    let options = options(None);
    let format = Format { pid: 1, zone: None, colored: false };
    let sink = Box::new(Stuck { release: wait, written });
    let log = Log::start_with(Sink::Plain(sink), format, options).unwrap();
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
