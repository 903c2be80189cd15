//! A log file, put aside under a name with the time when it is large enough.
//!
//! Names, order and lines are those of nats-server: what collects its logs finds these. A file
//! that cannot be put aside is written on, and tried again at twice the size.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::format::{Format, Label, Line};
use super::sink::BATCH_BYTES;
use crate::listen::reason;

/// What stands behind the name of a file that was put aside.
const SUFFIX: &str = "%Y.%m.%d.%H.%M.%S";

/// The file and what waits to be written to it.
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    format: Format,
    batch: String,
    /// Bytes in the file.
    size: u64,
    /// Bytes at which it is put aside, as asked for and as it is now.
    size_max: Option<u64>,
    limit: u64,
    files_max: Option<usize>,
}

impl LogFile {
    /// Opens it, and leaves what is in it alone: another may be writing it.
    pub(super) fn open(
        path: &Path,
        format: Format,
        size_max: Option<u64>,
        files_max: Option<usize>,
    ) -> io::Result<Self> {
        let (file, size) = open(path)?;
        let limit = size_max.unwrap_or(u64::MAX);
        let (path, batch) = (path.to_owned(), String::new());
        Ok(Self { path, file, format, batch, size, size_max, limit, files_max })
    }

    /// Nobody else writes it from here on. One that is too large already is put aside.
    pub(super) fn begin(&mut self) {
        // Whoever wrote it until now may have put it aside, and has surely written to it. A file
        // that cannot be opened again is open still.
        let _ = self.reopen();
        if self.size > self.limit {
            self.put(&line(Label::Information, "Rotating logfile...".to_owned()));
        }
    }

    /// Takes a line. True if it was written because much was waiting.
    pub(super) fn put(&mut self, line: &Line) -> bool {
        self.format.append(line, &mut self.batch);
        let waiting = self.batch.len();
        let too_large = self.size.saturating_add(waiting as u64) > self.limit;
        if too_large {
            self.flush();
            self.put_aside();
        } else if waiting >= BATCH_BYTES {
            self.flush();
        }
        waiting >= BATCH_BYTES
    }

    /// Writes what was taken so far.
    pub(super) fn flush(&mut self) {
        // There is nowhere left to report that the log cannot be written.
        if self.file.write_all(self.batch.as_bytes()).is_ok() {
            self.size += self.batch.len() as u64;
        }
        self.batch.clear();
    }

    /// Opens it again by its name. On failure the old file is written on.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.flush();
        (self.file, self.size) = open(&self.path)?;
        self.limit = self.size_max.unwrap_or(u64::MAX);
        Ok(())
    }

    fn put_aside(&mut self) {
        let now = Timestamp::now().to_zoned(TimeZone::system());
        let nanos = now.subsec_nanosecond();
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{}.{nanos:09}", now.strftime(SUFFIX)));
        let backup = PathBuf::from(name);
        let moved = fs::rename(&self.path, &backup).and_then(|()| open(&self.path));
        match moved {
            Ok((file, size)) => {
                (self.file, self.size) = (file, size);
                self.limit = self.size_max.unwrap_or(u64::MAX);
                self.say(Label::Information, format!("Rotated log, backup saved as {backup:?}"));
                self.purge();
            }
            Err(error) => {
                self.limit = self.limit.saturating_mul(2).max(self.size);
                let (cause, limit) = (reason(&error), self.limit);
                let text = format!(
                    "Unable to rotate the logfile ({cause}), will attempt next rotation at size \
                     {limit}"
                );
                self.say(Label::Error, text);
            }
        }
    }

    /// Removes the oldest of those that were put aside, if there are too many.
    fn purge(&mut self) {
        let Some(files_max) = self.files_max else { return };
        let mut backups = match backups(&self.path) {
            Ok(backups) => backups,
            Err(error) => {
                let (cause, dir) = (reason(&error), folder(&self.path));
                let text = format!(
                    "Unable to read directory {dir:?} for log purge ({cause}), will attempt next \
                     rotation"
                );
                return self.say(Label::Error, text);
            }
        };
        // Names sort by time.
        backups.sort();
        let excess = backups.len().saturating_sub(files_max.saturating_sub(1));
        for name in backups.into_iter().take(excess) {
            match fs::remove_file(folder(&self.path).join(&name)) {
                Ok(()) => self.say(Label::Information, format!("Purged log file {name:?}")),
                Err(error) => {
                    let cause = reason(&error);
                    let text = format!(
                        "Unable to remove backup log file {name:?} ({cause}), will attempt next \
                         rotation"
                    );
                    return self.say(Label::Error, text);
                }
            }
        }
    }

    /// Writes a line of its own, without looking at the size.
    fn say(&mut self, label: Label, text: String) {
        self.format.append(&line(label, text), &mut self.batch);
        self.flush();
    }
}

fn line(label: Label, text: String) -> Line {
    Line { at: Timestamp::now(), label, text }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Names of the files that were put aside.
fn backups(path: &Path) -> io::Result<Vec<String>> {
    let base = path.file_name().unwrap_or_default().to_string_lossy().into_owned() + ".";
    let mut backups = Vec::new();
    for entry in fs::read_dir(folder(path))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let stamp = name.strip_prefix(&base).and_then(|stamp| stamp.rsplit_once('.'));
        let is_backup = stamp.is_some_and(|(time, nanos)| {
            nanos.bytes().all(|byte| byte.is_ascii_digit())
                && DateTime::strptime(SUFFIX, time).is_ok()
        });
        if is_backup {
            backups.push(name);
        }
    }
    Ok(backups)
}

fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(path: &Path, size_max: u64, files_max: Option<usize>) -> LogFile {
        let format = Format { pid: 1, zone: None, colored: false, json: false, severity: false };
        LogFile::open(path, format, Some(size_max), files_max).unwrap()
    }

    fn log(path: &Path, size_max: u64, files_max: Option<usize>) -> LogFile {
        let mut log = opened(path, size_max, files_max);
        log.begin();
        log
    }

    fn text(n: usize) -> Line {
        line(Label::Information, format!("line {n:05}"))
    }

    #[test]
    fn a_full_file_is_put_aside_with_nothing_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = log(&path, 500, None);
        for n in 0..200 {
            log.put(&text(n));
        }
        log.flush();
        let mut names = backups(&path).unwrap();
        names.sort();
        assert!(names.len() >= 6, "{names:?}");
        let mut all = String::new();
        for name in names.iter().chain([&"log".to_owned()]) {
            let text = fs::read_to_string(dir.path().join(name)).unwrap();
            // One line more than allowed is what makes a file too large.
            assert!(text.len() <= 520, "{name}: {}", text.len());
            all.push_str(&text);
        }
        let lines: Vec<&str> = all.lines().filter(|line| line.contains("[INF] line ")).collect();
        let expected: Vec<String> = (0..200).map(|n| format!("[1] [INF] line {n:05}")).collect();
        assert_eq!(lines, expected);
        let saved = dir.path().join(&names[0]);
        assert!(all.contains(&format!("[1] [INF] Rotated log, backup saved as {saved:?}\n")));
        let suffix = names[0].strip_prefix("log.").unwrap();
        assert_eq!(suffix.len(), "2026.11.20.09.39.28.123456789".len());
    }

    #[test]
    fn only_so_many_files_are_kept_and_foreign_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for foreign in ["log.1", "log.txt", "log.2026.11.20", "other.2026.11.20.09.39.28.1"] {
            fs::write(dir.path().join(foreign), "").unwrap();
        }
        let mut log = log(&path, 300, Some(3));
        for n in 0..500 {
            log.put(&text(n));
        }
        log.flush();
        assert_eq!(backups(&path).unwrap().len(), 2);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3 + 4);
        assert!(fs::read_to_string(&path).unwrap().contains("[INF] Purged log file \"log.20"));
    }

    #[test]
    fn a_file_that_is_too_large_is_put_aside_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "x".repeat(400)).unwrap();
        log(&path, 300, None);
        assert_eq!(backups(&path).unwrap().len(), 1);
        assert!(fs::metadata(&path).unwrap().len() < 300);
    }

    #[test]
    fn one_that_is_opened_touches_nothing_until_it_begins() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut old = log(&path, 1000, None);
        for n in 0..20 {
            old.put(&text(n));
        }
        old.flush();
        let written = fs::read(&path).unwrap();
        let mut new = opened(&path, 300, None);
        assert_eq!(fs::read(&path).unwrap(), written);
        assert_eq!(backups(&path).unwrap().len(), 0);
        // Meanwhile the old one is put aside, so that another file has the name.
        while backups(&path).unwrap().is_empty() {
            old.put(&text(20));
        }
        new.begin();
        new.put(&text(21));
        new.flush();
        assert!(fs::read_to_string(&path).unwrap().contains("line 00021"));
        for n in 22..50 {
            new.put(&text(n));
        }
        assert!(backups(&path).unwrap().len() > 1, "the new bound holds");
    }

    #[test]
    fn what_cannot_be_put_aside_is_written_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut log = log(&path, 300, None);
        let written = dir.path().join("kept");
        fs::hard_link(&path, &written).unwrap();
        fs::remove_file(&path).unwrap();
        for n in 0..100 {
            log.put(&text(n));
        }
        log.flush();
        let text = fs::read_to_string(written).unwrap();
        assert!(text.contains("[ERR] Unable to rotate the logfile (no such file or directory)"));
        assert_eq!(text.lines().filter(|line| line.contains("[INF] line ")).count(), 100);
    }
}
