//! What a service manager, an operator and a log collector see of the process.
//!
//! Every test starts the real binary with an environment of its own and looks at it from outside:
//! datagrams, files, exit codes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod fence;
mod imports;
mod inherit;
mod lame_duck;
mod logging;
mod operators;
mod reload;
mod resolver;
mod secrets;
mod service;
mod system;

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use ringbus_test_support::{PATIENCE, eventually};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What a client that reads INFO at any time says of itself.
const CLIENT: &str = r#"{"verbose":false,"pedantic":false,"protocol":1,"headers":true}"#;

/// Where every server of these tests listens, and how it runs.
const FLAGS: [&str; 6] = ["-a", "127.0.0.1", "-p", "-1", "--shards", "2"];

/// A running server and the folder it works in. Dropping it ends it.
struct Process {
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts it on a free port, standard error into a file.
    fn start(flags: &[&str], environment: &[(&str, &Path)]) -> Self {
        Self::start_in(TempDir::new().unwrap(), flags, environment)
    }

    fn start_in(folder: TempDir, flags: &[&str], environment: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringbus"));
        command.args(FLAGS).args(flags).envs(environment.iter().copied()).stdin(Stdio::null());
        Self::spawn(folder, &mut command)
    }

    /// Starts a command that becomes the server.
    fn spawn(folder: TempDir, command: &mut Command) -> Self {
        let errors = File::create(folder.path().join("stderr")).unwrap();
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(errors);
        Self { child: command.spawn().unwrap(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a file of its folder has in it.
    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Waits for a line in a file of its folder.
    fn wait_for(&self, name: &str, part: &str) -> String {
        let mut found = None;
        eventually(part, PATIENCE, || {
            found = self.text(name).lines().find(|l| l.contains(part)).map(str::to_owned);
            found.is_some()
        });
        found.unwrap()
    }

    /// Where it listens, as its log on standard error says.
    fn address(&self) -> SocketAddr {
        self.wait_for("stderr", "Server is ready");
        let line = self.wait_for("stderr", "Listening for client connections on ");
        let (_, address) = line.rsplit_once(' ').unwrap();
        address.trim_end_matches(['"', '}']).parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end:\n{}", self.text("stderr"));
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
