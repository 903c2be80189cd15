//! Servers under test: started fresh for every run, pinned, stopped by their own pid.
//!
//! A server is any binary with nats-server's flags. It picks a free port itself and tells it
//! through the ports file. Every run gets a new process, so that no run inherits the memory of the
//! one before; however we end, it ends with us.
#![deny(clippy::indexing_slicing)]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use serde::Deserialize;

use crate::affinity::{CpuList, Pinning};
use crate::check::CheckFailure;
use crate::client::Door;
use crate::scenario::{Login, Setup};
use crate::tls;

/// How long a server may take until its port is known.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a server that may end by itself has for it.
const END_TIMEOUT: Duration = Duration::from_secs(20);
const START_POLL: Duration = Duration::from_millis(5);
/// Longest INFO that is read.
const GREETING_LEN_MAX: u64 = 64 * 1_024;
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
    /// How many shards it was told to have, if it was.
    pub(crate) shards: Option<u32>,
    /// CPUs of its own, where those of all servers are too many.
    cpus: Option<CpuList>,
    /// It may end by itself: a build that counts what it runs writes the counts then.
    pub(crate) ends_gently: bool,
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
        let name = name.to_owned();
        Ok(Self { name, binary, flags, shards: None, cpus: None, ends_gently: false })
    }
}

impl Target {
    /// True if this server is ours: only it knows shards, and goals are set for it.
    pub(crate) fn is_ours(name: &str) -> bool {
        name.starts_with(SHARDED)
    }

    /// Its name without the number of shards.
    pub(crate) fn base_name(&self) -> &str {
        base_name(&self.name)
    }

    /// One target for each number of shards if this server is ours, else itself. Of several, each
    /// has a CPU per shard, the first ones of `cpus`: fewer shards must not profit from more cores.
    pub(crate) fn with_shards(self, counts: &[u32], cpus: Option<&CpuList>) -> Vec<Self> {
        if !Self::is_ours(&self.name) || counts.is_empty() {
            return vec![self];
        }
        let variant = |count: &u32| {
            let mut variant = self.clone();
            variant.flags.extend(["--shards".to_owned(), count.to_string()]);
            variant.shards = Some(*count);
            if counts.len() > 1 {
                variant.name = format!("{}/{count}", self.name);
                variant.cpus = cpus.map(|cpus| cpus.first(*count as usize));
            }
            variant
        };
        counts.iter().map(variant).collect()
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

    /// What a server says of its language in INFO: `go1.19.8`.
    pub(crate) fn runtime(&self, pinning: &Pinning) -> Result<String> {
        #[derive(Deserialize)]
        struct Info {
            go: String,
        }
        let server = self.start(pinning, None, false)?;
        let addr = address(&server.ports.nats, "nats://").context("a client port")?;
        let stream = TcpStream::connect(addr)?;
        stream.set_read_timeout(Some(START_TIMEOUT))?;
        let mut line = String::new();
        BufReader::new(stream.take(GREETING_LEN_MAX)).read_line(&mut line)?;
        let info: Info = serde_json::from_str(line.strip_prefix("INFO ").context("INFO")?)?;
        Ok(info.go)
    }

    /// Starts a server, with its monitoring port open if `monitored`, and waits until it listens.
    pub(crate) fn start(
        &self,
        pinning: &Pinning,
        setup: Option<&Setup>,
        monitored: bool,
    ) -> Result<Server> {
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
            .args(&self.flags);
        if monitored {
            command.args(["-m", "-1"]);
        }
        if let Some(setup) = setup {
            let path = dir.join("server.conf");
            if setup.tls {
                tls::write_files(&dir)?;
            }
            fs::write(&path, setup.config.replace(tls::DIR, &dir.display().to_string()))?;
            command.arg("-c").arg(path);
        }
        command
            // Signals from the terminal are for us; the server ends when its owner drops it.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let child = pinning.on_server_cpus(self.cpus.as_ref(), || {
            command.spawn().with_context(|| format!("cannot start {}", self.binary.display()))
        })?;
        let mut server =
            Server { child, dir, ports: Ports::default(), ends_gently: self.ends_gently };
        server.ports = server.wait_for_ports().map_err(|error| {
            // What one server does not take is a fact about it, and no reason to stop the others.
            let text = format!("target {}: {error:#}", self.name);
            if setup.is_some() { CheckFailure(text).into() } else { anyhow!(text) }
        })?;
        Ok(server)
    }
}

/// `ringbus/2` and `ringbus/1` are the same program.
pub(crate) fn base_name(target: &str) -> &str {
    target.split('/').next().unwrap_or(target)
}

/// A running server; it is killed when this goes away.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    dir: PathBuf,
    ports: Ports,
    ends_gently: bool,
}

/// What a ports file says.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
struct Ports {
    nats: Vec<String>,
    #[serde(default)]
    monitoring: Vec<String>,
}

impl Server {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks the server to end and gives it some time.
    fn end(&mut self) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if pid.is_none_or(|pid| kill_process(pid, Signal::TERM).is_err()) {
            return;
        }
        let deadline = Instant::now() + END_TIMEOUT;
        while Instant::now() < deadline && matches!(self.child.try_wait(), Ok(None)) {
            thread::sleep(START_POLL);
        }
    }

    /// Where clients connect, as whom.
    pub(crate) fn door(&self, setup: Option<&Setup>) -> Result<Door> {
        self.door_for(setup, setup.and_then(|setup| setup.login.as_ref()))
    }

    /// Where responders connect, if as somebody else.
    pub(crate) fn responder_door(&self, setup: Option<&Setup>) -> Result<Option<Door>> {
        let responder = setup.and_then(|setup| setup.responder.as_ref());
        responder.map(|responder| self.door_for(setup, Some(responder))).transpose()
    }

    fn door_for(&self, setup: Option<&Setup>, login: Option<&Login>) -> Result<Door> {
        // With TLS, nats-server names its scheme in the ports file.
        let address =
            ["nats://", "tls://"].iter().find_map(|scheme| address(&self.ports.nats, scheme));
        Door::new(address.context("ports file: a client port")?, setup, login)
    }

    /// Where its monitoring port is, if it was to have one.
    pub(crate) fn monitor(&self) -> Option<SocketAddr> {
        address(&self.ports.monitoring, "http://")
    }

    /// The end of what the server printed.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(self.dir.join("server.log")).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_LEN)..).unwrap_or_default();
        String::from_utf8_lossy(tail).trim_end().to_owned()
    }

    fn wait_for_ports(&mut self) -> Result<Ports> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            if let Some(ports) = read_ports(&self.dir) {
                return Ok(ports);
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
        if self.ends_gently {
            self.end();
        }
        // Both fail only if the server is gone already.
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// The ports, once a ports file is there and whole.
fn read_ports(dir: &Path) -> Option<Ports> {
    let file = fs::read_dir(dir)
        .ok()?
        .flatten()
        .find(|entry| entry.path().extension().is_some_and(|end| end == "ports"))?;
    serde_json::from_str(&fs::read_to_string(file.path()).ok()?).ok()
}

fn address(urls: &[String], scheme: &str) -> Option<SocketAddr> {
    urls.first()?.strip_prefix(scheme)?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "these lists are our own")]
mod tests {
    use super::*;

    #[test]
    fn ports_file_is_read() {
        let text = r#"{"nats":["nats://127.0.0.1:4333"],"monitoring":["http://127.0.0.1:1"]}"#;
        let ports: Ports = serde_json::from_str(text).unwrap();
        let local = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(address(&ports.nats, "nats://"), local(4_333));
        assert_eq!(address(&ports.monitoring, "http://"), local(1));
        let text = r#"{"nats":[]}"#;
        let ports: Ports = serde_json::from_str(text).unwrap();
        assert_eq!(address(&ports.nats, "nats://"), None);
        assert!(ports.monitoring.is_empty());
    }

    #[test]
    fn target_has_name_path_and_flags() {
        let target: Target = "ringbus=/bin/sh,-m 0 --trace".parse().unwrap();
        let one = target.clone().with_shards(&[2], None);
        assert_eq!(one[0].flags, ["-m", "0", "--trace", "--shards", "2"]);
        assert_eq!((one[0].name.as_str(), one[0].shards), ("ringbus", Some(2)));
        assert_eq!(target.clone().with_shards(&[], None)[0], target);
        let peer: Target = "nats=/bin/sh".parse().unwrap();
        assert_eq!(peer.clone().with_shards(&[1, 2], None), [peer]);
        let cpus = "0-3".parse().unwrap();
        let several = target.with_shards(&[1, 2], Some(&cpus));
        let names: Vec<&str> = several.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["ringbus/1", "ringbus/2"]);
        assert_eq!(several[1].cpus, Some("0,1".parse().unwrap()));
        for bad in ["nats", "=x", "nats=", "nats=/no/such/file"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
