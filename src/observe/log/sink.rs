//! Where lines go: standard error, a file, or a syslog.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use super::file::LogFile;
use super::format::{Format, Line};
use super::syslog::Syslog;
use super::{Destination, LogOptions};
use crate::listen::reason;

/// Lines are written together up to this many bytes.
pub(super) const BATCH_BYTES: usize = 64 << 10;

/// Takes lines, one after the other.
pub(super) enum Sink {
    /// Standard error, or what stands for it in a test.
    Stream { out: Box<dyn Write + Send>, format: Format, batch: String },
    /// A file.
    File(LogFile),
    /// A syslog, which has its own form of lines.
    Syslog(Syslog),
}

impl Sink {
    /// Opens it.
    ///
    /// # Errors
    /// Returns the line to print.
    pub(super) fn open(options: &LogOptions) -> Result<Self, String> {
        let mut format = Format::new(options, std::process::id());
        Ok(match &options.destination {
            Destination::StandardError => {
                format.colored = !format.json && io::stderr().is_terminal();
                let journal = std::env::var("JOURNAL_STREAM").unwrap_or_default();
                format.severity = is_journal(&journal, &io::stderr());
                Self::stream(Box::new(io::stderr()), format)
            }
            Destination::File { path, size_max, files_max } => {
                let file = LogFile::open(path, format, *size_max, *files_max);
                Self::File(file.map_err(|error| {
                    let cause = reason(&error);
                    format!("error opening file: open {}: {cause}", path.display())
                })?)
            }
            Destination::Syslog => Self::Syslog(Syslog::local(&options.program)?),
            Destination::RemoteSyslog(url) => Self::Syslog(Syslog::remote(url, &options.program)?),
        })
    }

    pub(super) fn stream(out: Box<dyn Write + Send>, format: Format) -> Self {
        Self::Stream { out, format, batch: String::new() }
    }

    /// Lines come from here on, and nobody else writes to the same place.
    pub(super) fn begin(&mut self) {
        match self {
            Self::File(file) => file.begin(),
            Self::Stream { .. } | Self::Syslog(_) => {}
        }
    }

    /// Takes a line. True if it was written because much was waiting.
    pub(super) fn put(&mut self, line: &Line) -> bool {
        match self {
            Self::Stream { format, batch, .. } => {
                format.append(line, batch);
                let full = batch.len() >= BATCH_BYTES;
                if full {
                    self.flush();
                }
                full
            }
            Self::File(file) => file.put(line),
            Self::Syslog(syslog) => {
                syslog.put(line);
                false
            }
        }
    }

    /// Writes what was taken so far.
    pub(super) fn flush(&mut self) {
        match self {
            Self::Stream { out, batch, .. } => {
                // There is nowhere left to report that the log cannot be written.
                let _ = out.write_all(batch.as_bytes()).and_then(|()| out.flush());
                batch.clear();
            }
            Self::File(file) => file.flush(),
            Self::Syslog(_) => {}
        }
    }

    /// Opens a file again, by its name.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.reopen(),
            Self::Stream { .. } | Self::Syslog(_) => Ok(()),
        }
    }
}

/// Whether a file is the stream to the journal that the environment names as `device:inode`.
fn is_journal(named: &str, file: &impl AsFd) -> bool {
    let Some((device, inode)) = named.split_once(':') else { return false };
    nix::sys::stat::fstat(file)
        .is_ok_and(|stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}

/// The name of this host.
pub(super) fn hostname() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        let file = tempfile::tempfile().unwrap();
        let stat = file.metadata().unwrap();
        assert!(is_journal(&format!("{}:{}", stat.dev(), stat.ino()), &file));
        assert!(!is_journal(&format!("{}:{}", stat.dev(), stat.ino() + 1), &file));
        for other in ["", ":", "1", "a:b"] {
            assert!(!is_journal(other, &file), "{other}");
        }
    }
}
