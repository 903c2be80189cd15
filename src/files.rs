//! The two files by which harnesses and service managers find a running server.
//!
//! The pid file (`-P`) is left behind at the end, the ports file is removed, as with nats-server.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// Writes the process ID: digits, no line end, readable by the owner only.
///
/// # Errors
/// Returns the system's error.
pub fn write_pid(path: &Path, pid: u32) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    write!(file, "{pid}")
}

/// Where the server listens, by kind of listener.
#[derive(Debug, Default, Serialize)]
pub struct Ports {
    /// Client listeners.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nats: Vec<String>,
    /// Monitoring.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<String>,
}

/// The ports file of this process. Exists from [`PortsFile::write`] to [`PortsFile::remove`].
#[derive(Debug)]
pub struct PortsFile(PathBuf);

impl PortsFile {
    /// Names the file; nothing is written yet.
    #[must_use]
    pub fn new(dir: &Path, program: &str, pid: u32) -> Self {
        Self(dir.join(format!("{program}_{pid}.ports")))
    }

    /// Writes it in one step: a harness that polls for the file never reads half of it.
    ///
    /// # Errors
    /// Returns the line to log.
    pub fn write(&self, ports: &Ports) -> Result<(), String> {
        let write = || {
            let unfinished = self.0.with_extension("ports.new");
            fs::write(&unfinished, serde_json::to_vec(ports)?)?;
            fs::rename(&unfinished, &self.0)
        };
        write().map_err(|error: io::Error| {
            let (path, cause) = (self.0.display(), crate::listen::reason(&error));
            format!("Error writing ports file ({path}): {cause}")
        })
    }

    /// Removes it.
    ///
    /// # Errors
    /// Returns the line to log.
    pub fn remove(&self) -> Result<(), String> {
        fs::remove_file(&self.0).map_err(|error| {
            let (path, cause) = (self.0.display(), crate::listen::reason(&error));
            format!("Error cleaning up ports file {path}: {cause}")
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_ports_file_is_the_one_of_nats_server() {
        let dir = tempfile::tempdir().unwrap();
        let file = PortsFile::new(dir.path(), "nats-server", 7);
        file.write(&Ports { nats: vec!["nats://127.0.0.1:45007".to_owned()], ..Ports::default() })
            .unwrap();
        let path = dir.path().join("nats-server_7.ports");
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, r#"{"nats":["nats://127.0.0.1:45007"]}"#);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        file.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        let gone =
            format!("Error cleaning up ports file {}: no such file or directory", path.display());
        assert_eq!(file.remove(), Err(gone));
    }

    #[test]
    fn the_pid_file_is_digits_for_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        write_pid(&path, 42).unwrap();
        write_pid(&path, 43).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"43");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_pid(&dir.path().join("no/such"), 1).is_err());
    }
}
