//! Servers under test: started fresh for every run, pinned, stopped by their own pid.
//!
//! A server is any binary with nats-server's flags. It picks a free port itself and tells it
//! through the ports file. Every run gets a new process, so that no run inherits the memory of the
//! one before; however we end, it ends with us.
#![deny(clippy::indexing_slicing)]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Signal, set_parent_process_death_signal};
use serde::Deserialize;

use crate::affinity::Pinning;

/// How long a server may take until its port is known.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const START_POLL: Duration = Duration::from_millis(5);
/// How much of a server's log a failure shows.
const LOG_TAIL_LEN: usize = 2_000;
/// Only these targets understand `--shards`.
const SHARDED: &str = "ringbus";

/// The word by which this program starts itself to become a server.
pub(crate) const EXEC_SERVER: &str = "exec-server";

/// Turns this process into a server that is killed when its parent ends: even a parent that is
/// killed itself leaves no server behind to disturb the next comparison. Returns only on failure.
pub(crate) fn exec_server(binary: &OsStr, args: impl Iterator<Item = OsString>) -> anyhow::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return anyhow!("cannot bind the server's life to ours: {error}");
    }
    anyhow!("cannot start {}: {}", binary.display(), Command::new(binary).args(args).exec())
}

/// `NAME=PATH[,flag flag ...]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) binary: PathBuf,
    pub(crate) flags: Vec<String>,
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (name, rest) = text
            .split_once('=')
            .with_context(|| format!("bad target {text:?}; valid is NAME=PATH[,FLAGS]"))?;
        let (path, flags) = rest.split_once(',').unwrap_or((rest, ""));
        ensure!(!name.is_empty() && !path.is_empty(), "bad target {text:?}; valid is NAME=PATH");
        let binary = PathBuf::from(path);
        ensure!(binary.is_file(), "target {name}: no file {path}");
        let flags = flags.split_ascii_whitespace().map(str::to_owned).collect();
        Ok(Self { name: name.to_owned(), binary, flags })
    }
}

impl Target {
    /// Adds `--shards N` if this server is ours.
    pub(crate) fn set_shards(&mut self, shards: u32) {
        if self.name.starts_with(SHARDED) {
            self.flags.extend(["--shards".to_owned(), shards.to_string()]);
        }
    }

    /// The first line of `-v`.
    pub(crate) fn version(&self) -> String {
        let output = Command::new(&self.binary).arg("-v").output();
        let text = output.map_or_else(
            |error| format!("no answer to -v: {error}"),
            |output| String::from_utf8_lossy(&output.stdout).into_owned(),
        );
        text.lines().next().unwrap_or("no answer to -v").to_owned()
    }

    /// Starts a server and waits until it listens.
    pub(crate) fn start(&self, pinning: &Pinning) -> Result<Server> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let dir =
            std::env::temp_dir().join(format!("ringbus-bench-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let log = File::create(dir.join("server.log"))?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(EXEC_SERVER)
            .arg(&self.binary)
            .args(["-a", "127.0.0.1", "-p", "-1", "--ports_file_dir"])
            .arg(&dir)
            .args(&self.flags)
            // Signals from the terminal are for us; the server ends when its owner drops it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = pinning.on_server_cpus(|| {
            command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))
        })?;
        let mut server = Server { child, dir, addr: SocketAddr::from(([127, 0, 0, 1], 0)) };
        server.addr = server.wait_for_port().with_context(|| format!("target {}", self.name))?;
        Ok(server)
    }
}

/// A running server; it is killed when this goes away.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
    addr: SocketAddr,
}

#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The end of what the server printed.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.dir.join("server.log")).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_LEN)..).unwrap_or_default();
        String::from_utf8_lossy(tail).trim_end().to_owned()
    }

    fn wait_for_port(&mut self) -> Result<SocketAddr> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(addr) = read_ports(&self.dir) {
                return Ok(addr);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("server ended at start ({status}): {}", self.log_tail());
            }
            if Instant::now() > deadline {
                bail!("no ports file after {START_TIMEOUT:?}: {}", self.log_tail());
            }
            thread::sleep(START_POLL);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if the server is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// The client port, once a ports file is there and whole.
fn read_ports(dir: &Path) -> Option<SocketAddr> {
    let file = fs::read_dir(dir)
        .ok()?
        .flatten()
        .find(|entry| entry.path().extension().is_some_and(|end| end == "ports"))?;
    parse_ports(&fs::read_to_string(file.path()).ok()?)
}

fn parse_ports(text: &str) -> Option<SocketAddr> {
    let ports: Ports = serde_json::from_str(text).ok()?;
    ports.nats.first()?.strip_prefix("nats://")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_file_is_read() {
        let text = r#"{"nats":["nats://127.0.0.1:4333"],"monitoring":["http://127.0.0.1:1"]}"#;
        assert_eq!(parse_ports(text), Some(SocketAddr::from(([127, 0, 0, 1], 4_333))));
        assert_eq!(parse_ports(""), None);
        assert_eq!(parse_ports(r#"{"nats":[]}"#), None);
    }

    #[test]
    fn target_has_name_path_and_flags() {
        let mut target: Target = "ringbus=/bin/sh,-m 0 --trace".parse().unwrap();
        target.set_shards(2);
        assert_eq!(target.flags, ["-m", "0", "--trace", "--shards", "2"]);
        let mut peer: Target = "nats=/bin/sh".parse().unwrap();
        peer.set_shards(2);
        assert!(peer.flags.is_empty());
        for bad in ["nats", "=x", "nats=", "nats=/no/such/file"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
