//! A log file that is put aside when it is full.
//!
//! The backup bears the time in its name, `server.log.2026.01.31.12.00.00.000000000`, as with
//! nats-server, so that tools and habits find it, and so that names sort by age.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Zoned;
use jiff::fmt::strtime::BrokenDownTime;

/// How the name of a backup ends.
const STAMP: &str = "%Y.%m.%d.%H.%M.%S.%9f";

/// When a log file is full, and how many there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RotationOptions {
    /// The line that goes beyond this size is the last one in its file.
    pub bytes_max: u64,
    /// The file and its backups together; `None` keeps all.
    pub files_max: Option<usize>,
}

/// A file that rotates.
pub(super) struct RotatingFile {
    path: PathBuf,
    file: File,
    options: RotationOptions,
    bytes_used: u64,
    /// Grows if a rotation fails, so that it is not tried again with every line.
    bytes_max: u64,
}

/// What became of a rotation, in words for the log.
pub(super) enum Rotated {
    /// Under this name, and with these backups removed.
    Aside(PathBuf, Vec<PathBuf>),
    /// It goes on in the full file.
    Failed(String),
}

impl RotatingFile {
    pub(super) fn open(path: &Path, options: RotationOptions) -> io::Result<Self> {
        let file = super::open(path)?;
        let bytes_used = file.metadata()?.len();
        let bytes_max = options.bytes_max;
        Ok(Self { path: path.to_owned(), file, options, bytes_used, bytes_max })
    }

    /// How many bytes of `lines` belong into this file: whole lines, the last one of which may go
    /// beyond its size.
    pub(super) fn share_of(&self, lines: &str) -> usize {
        let room = self.bytes_max.saturating_sub(self.bytes_used);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let mut share = 0;
        for line in lines.split_inclusive('\n') {
            share += line.len();
            if share > room {
                break;
            }
        }
        share
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes_used > self.bytes_max
    }

    /// Puts the full file aside and goes on in a new one.
    pub(super) fn rotate(&mut self, now: &Zoned) -> Rotated {
        match self.put_aside(now) {
            Ok(backup) => {
                self.bytes_used = 0;
                self.bytes_max = self.options.bytes_max;
                Rotated::Aside(backup, self.purge())
            }
            Err(error) => {
                self.bytes_max = self.bytes_max.saturating_mul(2);
                Rotated::Failed(format!(
                    "The log file could not be rotated: {}; the next attempt is at {} bytes",
                    crate::listen::reason(&error),
                    self.bytes_max
                ))
            }
        }
    }

    fn put_aside(&mut self, now: &Zoned) -> io::Result<PathBuf> {
        let mut backup = self.path.clone().into_os_string();
        backup.push(format!(".{}", now.strftime(STAMP)));
        let backup = PathBuf::from(backup);
        fs::rename(&self.path, &backup)?;
        match super::open(&self.path) {
            Ok(file) => self.file = file,
            Err(error) => {
                // The full file stays in use under its own name.
                let _ = fs::rename(&backup, &self.path);
                return Err(error);
            }
        }
        Ok(backup)
    }

    /// Removes the oldest backups. What cannot be removed is tried again at the next rotation.
    fn purge(&self) -> Vec<PathBuf> {
        let Some(files_max) = self.options.files_max else { return Vec::new() };
        let mut backups = self.backups();
        let kept = backups.len().min(files_max.saturating_sub(1));
        backups.truncate(backups.len() - kept);
        backups.retain(|backup| fs::remove_file(backup).is_ok());
        backups
    }

    /// The backups, oldest first.
    fn backups(&self) -> Vec<PathBuf> {
        let Some(name) = self.path.file_name().and_then(|name| name.to_str()) else {
            return Vec::new();
        };
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or_else(|| Path::new("."));
        let is_backup = |path: &PathBuf| {
            let found = path.file_name().and_then(|found| found.to_str()).unwrap_or_default();
            let stamp = found.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            stamp.is_some_and(|stamp| BrokenDownTime::parse(STAMP, stamp).is_ok())
        };
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        let mut backups: Vec<PathBuf> =
            entries.map(|entry| entry.path()).filter(is_backup).collect();
        backups.sort();
        backups
    }
}

impl Write for RotatingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes_used = self.bytes_used.saturating_add(written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i8) -> Zoned {
        let time = jiff::civil::date(2026, 1, 31).at(12, 0, second, 5);
        time.to_zoned(jiff::tz::TimeZone::UTC).unwrap()
    }

    #[test]
    fn a_full_file_is_put_aside_and_the_oldest_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let stranger = dir.path().join("a.log.old");
        fs::write(&stranger, "kept").unwrap();
        let options = RotationOptions { bytes_max: 10, files_max: Some(3) };
        let mut file = RotatingFile::open(&path, options).unwrap();
        for second in 0..4 {
            assert_eq!(file.share_of("12345\n12345\n12345\n"), 12);
            file.write_all(b"12345\n12345\n").unwrap();
            assert!(file.is_full());
            let Rotated::Aside(backup, removed) = file.rotate(&at(second)) else {
                panic!("{second}");
            };
            let stamp = |second| format!("a.log.2026.01.31.12.00.{second:02}.000000005");
            assert_eq!(backup, dir.path().join(stamp(second)));
            assert_eq!(fs::read(&backup).unwrap(), b"12345\n12345\n");
            let oldest = (second >= 2).then(|| dir.path().join(stamp(second - 2)));
            assert_eq!(removed, Vec::from_iter(oldest));
            assert_eq!(fs::read(&path).unwrap(), b"");
        }
        assert_eq!(file.backups().len(), 2);
        assert!(stranger.exists());
    }

    #[test]
    fn what_was_in_the_file_before_counts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, "12345678").unwrap();
        let options = RotationOptions { bytes_max: 10, files_max: None };
        let file = RotatingFile::open(&path, options).unwrap();
        assert_eq!(file.share_of("12345\n12345\n"), 6);
    }

    #[test]
    fn a_file_that_cannot_be_put_aside_stays_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        let options = RotationOptions { bytes_max: 1, files_max: None };
        let mut file = RotatingFile::open(&path, options).unwrap();
        fs::remove_file(&path).unwrap();
        file.write_all(b"12\n").unwrap();
        let Rotated::Failed(text) = file.rotate(&at(0)) else { panic!() };
        let expected = "The log file could not be rotated: no such file or directory; the next \
                        attempt is at 2 bytes";
        assert_eq!(text, expected);
        file.write_all(b"34\n").unwrap();
    }
}
