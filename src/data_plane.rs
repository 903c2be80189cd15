//! The door to the data plane: what the process hands it, and what the process may ask of it.
//!
//! A trait, so that everything around the data plane starts and stops in tests without io_uring.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ringbus_shard::limits::Limits;

use crate::auth::Auth;
use crate::cli::Verbosity;
use crate::identity::Identity;

/// All that a data plane needs to run.
pub struct StartOptions {
    /// One entry per shard: the core it is pinned to. A core may occur more than once.
    pub cores: Vec<usize>,
    /// Bound and listening; nothing was accepted from it yet.
    pub listener: TcpListener,
    /// What INFO says about this server.
    pub identity: Identity,
    /// What clients may do.
    pub limits: Limits,
    /// Who may connect.
    pub auth: Arc<Auth>,
    /// What is worth a log line.
    pub verbosity: Verbosity,
    /// Bytes of a traced message that are shown; `None` shows all.
    pub traced_len_max: Option<usize>,
    /// How long a shard looks for work before it sleeps.
    pub spin: Duration,
}

/// A way to run shards.
pub trait DataPlane {
    /// Starts accepting. Returns when every shard runs.
    ///
    /// # Errors
    /// Returns one line for the operator: what is missing, and how to get it.
    fn start(&self, options: StartOptions) -> Result<Box<dyn Running>, StartError>;
}

/// A data plane that runs. One that cannot go on aborts the process: a server with a dead shard
/// would keep clients waiting for ever.
pub trait Running {
    /// Clients connected at this moment.
    fn connections(&self) -> usize;

    /// Stops accepting, flushes and closes every connection, and ends the shards. Connections that
    /// do not take their last bytes within `grace` are cut.
    fn stop(self: Box<Self>, grace: Duration);
}

/// Why the data plane did not start.
#[derive(Debug)]
pub struct StartError(pub String);

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Accepts every connection and closes it at once: the process around the data plane, alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Closing;

/// The thread of [`Closing`].
struct ClosingRuns {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl DataPlane for Closing {
    fn start(&self, options: StartOptions) -> Result<Box<dyn Running>, StartError> {
        let failed = |error: std::io::Error| StartError(error.to_string());
        let listener = options.listener;
        listener.set_nonblocking(true).map_err(failed)?;
        let ends = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&ends);
        let thread = std::thread::Builder::new()
            .name("closing".to_owned())
            .spawn(move || {
                while !seen.load(Ordering::Acquire) {
                    if listener.accept().is_err() {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
            })
            .map_err(failed)?;
        Ok(Box::new(ClosingRuns { ends, thread }))
    }
}

impl Running for ClosingRuns {
    fn connections(&self) -> usize {
        0
    }

    fn stop(self: Box<Self>, _grace: Duration) {
        self.ends.store(true, Ordering::Release);
        // A panic of that thread was already printed; there is nothing else to end.
        let _ = self.thread.join();
    }
}
