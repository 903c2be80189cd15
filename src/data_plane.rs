//! The door to the data plane: what the process hands it, and what the process may ask of it.
//!
//! A trait, so that everything around the data plane starts and stops in tests without io_uring.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use ringbus_shard::account::Accounts;
use ringbus_shard::io;
use ringbus_shard::limits::Limits;
use ringbus_shard::options::{Authenticator as _, Options};
use ringbus_shard::transport::Transports;
use ringbus_shard::wire::info::Info;

use crate::auth::Auth;
use crate::cli::Verbosity;
use crate::identity::Identity;
use crate::observe::clients::ClientLog;
use crate::system::Notes;
use crate::tls::clients::Clients;

/// Level of the stream API of the nats-server whose behaviour this is; clients decide by it what
/// they may ask for once streams are there.
const API_LEVEL: u64 = 5;

/// All that a data plane needs to run.
pub struct StartOptions {
    /// One entry per shard: the core it is pinned to. A core may occur more than once.
    pub cores: Vec<usize>,
    /// Bound and listening; nothing was accepted from it yet.
    pub listener: TcpListener,
    /// The service manager has the listener too, and goes on listening after this process.
    pub shared: bool,
    /// What a reload may change.
    pub terms: Terms,
    /// How long a shard looks for work before it sleeps.
    pub spin: Duration,
    /// The longest that a shard sleeps, if somebody watches whether it turns.
    pub rest: Option<Duration>,
    /// Takes what shards have to tell besides lines for the log.
    pub notes: Notes,
}

/// On what terms clients are served.
pub struct Terms {
    /// What INFO says about this server.
    pub identity: Identity,
    /// What clients may do.
    pub limits: Limits,
    /// Whether clients may use headers.
    pub headers: bool,
    /// Who may connect.
    pub auth: Arc<Auth>,
    /// What holds in each account.
    pub accounts: Arc<Accounts>,
    /// TLS for clients, if there is any.
    pub tls: Option<Clients>,
    /// What is worth a log line.
    pub verbosity: Verbosity,
    /// Bytes of a traced message that are shown; `None` shows all.
    pub traced_len_max: Option<usize>,
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

    /// For looking into the shards, from any thread.
    fn inspector(&self) -> io::Inspector;

    /// For sessions of the server itself, from any thread, if there can be such.
    fn control(&self) -> Option<io::Control>;

    /// How long it is ago that the slowest shard turned.
    fn slowest_turn(&self) -> Duration;

    /// Serves on these terms from now on. Those who are connected are judged again if `terms` has
    /// another judge. Returns how many connections were closed because there are too many.
    ///
    /// # Errors
    /// Returns the shard that does not answer; the terms hold for it too once it does.
    fn reload(&self, terms: Terms) -> Result<usize, io::Stuck>;

    /// Takes no new clients, and tells those that are here to go elsewhere.
    fn lame_duck(&mut self);

    /// Closes that many of the connections that were there when the lame duck began.
    fn shed(&mut self, count: usize);

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

/// The data plane of this product: one shard per core, see [`ringbus_shard`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Shards;

impl DataPlane for Shards {
    fn start(&self, options: StartOptions) -> Result<Box<dyn Running>, StartError> {
        let running = io::start(io::StartOptions {
            cores: options.cores,
            listener: options.listener,
            shared: options.shared,
            options: options.terms.into(),
            spin: options.spin,
            rest: options.rest,
            events: Box::new(move |_| Box::new(ClientLog::new(options.notes.clone()))),
        });
        running
            .map(|running| Box::new(running) as Box<dyn Running>)
            .map_err(|error| StartError(error.to_string()))
    }
}

impl From<Terms> for Options {
    fn from(terms: Terms) -> Self {
        let Terms { identity, limits, headers, auth, accounts, tls, verbosity, traced_len_max } =
            terms;
        let optional = tls.as_ref().map(|tls| tls.terms().optional);
        let info = Info {
            server_id: identity.server_id,
            server_name: identity.server_name,
            version: identity.version,
            proto: 1,
            git_commit: identity.git_commit.unwrap_or_default(),
            go: identity.go,
            host: identity.host,
            port: identity.port,
            headers,
            auth_required: auth.required(),
            tls_required: optional == Some(false),
            tls_verify: tls.as_ref().is_some_and(Clients::verifies),
            tls_available: optional == Some(true),
            api_level: API_LEVEL,
            max_payload: i32::try_from(limits.payload).unwrap_or(i32::MAX),
            ..Info::default()
        };
        Self {
            info,
            limits,
            authenticator: auth,
            accounts,
            transports: tls.map(|tls| Arc::new(tls) as Arc<dyn Transports>),
            trace: verbosity.trace,
            traced_payload_max: traced_len_max.unwrap_or(usize::MAX),
        }
    }
}

impl Running for io::Running {
    fn reload(&self, terms: Terms) -> Result<usize, io::Stuck> {
        Self::reload(self, terms.into())
    }

    fn connections(&self) -> usize {
        Self::connections(self)
    }

    fn inspector(&self) -> io::Inspector {
        Self::inspector(self)
    }

    fn control(&self) -> Option<io::Control> {
        Some(Self::control(self))
    }

    fn slowest_turn(&self) -> Duration {
        Self::slowest_turn(self)
    }

    fn lame_duck(&mut self) {
        Self::lame_duck(self);
    }

    fn shed(&mut self, count: usize) {
        Self::shed(self, count);
    }

    fn stop(self: Box<Self>, grace: Duration) {
        Self::stop(*self, grace);
    }
}
