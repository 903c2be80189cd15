//! A server under test: started on a free port, stopped on drop, its log kept for the failure.
//!
//! The address comes from the ports file, which both ringbus and nats-server write once they
//! listen. Only the process that was started here is ever signalled.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fmt};

use serde_json::Value;
use tempfile::TempDir;

/// A server takes this long to start at most, on a machine busy with other tests.
const START: Duration = Duration::from_secs(20);

/// The reference must be at least this version: older ones behave differently.
const REFERENCE_MIN: (u32, u32) = (2, 15);

/// A server binary and how many shards to give it.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    /// `None` for servers that have no shards.
    shards: Option<usize>,
}

impl Program {
    /// The ringbus binary that cargo built, or the one named by `RINGBUS_BIN`. That may also be a
    /// nats-server, to try the tests themselves.
    #[must_use]
    pub fn ringbus(built: &str, shards: usize) -> Self {
        let path = env::var_os("RINGBUS_BIN").map_or_else(|| built.into(), PathBuf::from);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self { path, shards: (!name.starts_with("nats-server")).then_some(shards) }
    }

    /// The nats-server to compare with: `NATS_SERVER_BIN`, or the first recent enough
    /// `nats-server` on the `PATH`.
    ///
    /// # Panics
    /// If `NATS_SERVER_BIN` names something else.
    #[must_use]
    pub fn reference() -> Option<Self> {
        let named = env::var_os("NATS_SERVER_BIN").map(PathBuf::from);
        if let Some(path) = named {
            let version = version_of(&path);
            assert!(
                version >= Some(REFERENCE_MIN),
                "NATS_SERVER_BIN={} is no nats-server of version {REFERENCE_MIN:?} or later",
                path.display()
            );
            return Some(Self { path, shards: None });
        }
        env::split_paths(&env::var_os("PATH")?)
            .map(|folder| folder.join("nats-server"))
            .find(|path| version_of(path) >= Some(REFERENCE_MIN))
            .map(|path| Self { path, shards: None })
    }

    /// Whether this server has shards at all.
    #[must_use]
    pub const fn has_shards(&self) -> bool {
        self.shards.is_some()
    }

    /// Starts it on a free port of the loopback interface.
    ///
    /// # Errors
    /// If it ends, or does not listen in time: with its log.
    pub fn start(&self, flags: &[&str]) -> Result<Server, String> {
        self.start_on(-1, flags)
    }

    /// Starts it on a free port that stays free when it stops: [`Program::start`] gets one of
    /// those that the kernel hands out to whoever connects next.
    ///
    /// # Errors
    /// If it ends, or does not listen in time: with its log.
    pub fn start_to_restart(&self, flags: &[&str]) -> Result<Server, String> {
        let first = 20_000 + i32::try_from(std::process::id() % 10_000).unwrap_or_default();
        let is_free = |port: &i32| {
            let port = u16::try_from(*port).unwrap_or_default();
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
        };
        let port = (first..32_000).find(is_free).ok_or("no free port")?;
        self.start_on(port, flags)
    }

    /// Starts it on this port; -1 is any free one.
    ///
    /// # Errors
    /// If it ends, or does not listen in time: with its log.
    pub fn start_on(&self, port: i32, flags: &[&str]) -> Result<Server, String> {
        let folder = TempDir::new().map_err(|e| format!("no temporary folder: {e}"))?;
        let log = folder.path().join("log");
        let output = File::create(&log).map_err(|e| format!("no log file: {e}"))?;
        let mut command = Command::new(&self.path);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "--ports_file_dir"]);
        command.arg(folder.path()).args(flags);
        if let Some(shards) = self.shards {
            command.args(["--shards", &shards.to_string()]);
        }
        let twin = output.try_clone().map_err(|e| format!("no log file: {e}"))?;
        command.stdin(Stdio::null()).stdout(twin).stderr(output);
        let child = command.spawn().map_err(|e| format!("{}: {e}", self.path.display()))?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut server = Server { child, folder, address };
        server.address = server.wait_until_ready()?;
        Ok(server)
    }
}

/// Short and usable as part of a test name.
impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shards {
            Some(shards) => write!(f, "ringbus_{shards}"),
            None => f.write_str("reference"),
        }
    }
}

fn version_of(path: &Path) -> Option<(u32, u32)> {
    let output = Command::new(path).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.trim().strip_prefix("nats-server: v")?.to_owned();
    let mut parts = version.split('.').map(str::parse::<u32>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// A running server. Dropping it ends it.
pub struct Server {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Server {
    /// Where clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as NATS clients want it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// The process, for measurements.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the server logged until now.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How the process ended, if it did.
    #[must_use]
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok().flatten()?;
        Some(format!("the server ended ({status}); its log:\n{}", self.log()))
    }

    fn wait_until_ready(&mut self) -> Result<SocketAddr, String> {
        let deadline = Instant::now() + START;
        loop {
            if let Some(address) = self.address_from_ports_file() {
                return Ok(address);
            }
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            if Instant::now() > deadline {
                return Err(format!("no ports file within {START:?}; log:\n{}", self.log()));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn address_from_ports_file(&self) -> Option<SocketAddr> {
        let ports = self.ports()?;
        let url = ports.get("nats")?.get(0)?.as_str()?;
        url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"))?.parse().ok()
    }

    fn ports(&self) -> Option<Value> {
        let mut entries = fs::read_dir(self.folder.path()).ok()?.flatten();
        let file = entries.find(|e| e.path().extension().is_some_and(|x| x == "ports"))?;
        serde_json::from_slice(&fs::read(file.path()).ok()?).ok()
    }

    /// Where monitoring listens, if the server was started with it.
    #[must_use]
    pub fn monitoring(&self) -> Option<SocketAddr> {
        let ports = self.ports()?;
        let url = ports.get("monitoring")?.get(0)?.as_str()?;
        url.split_once("://")?.1.parse().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
