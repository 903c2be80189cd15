//! Monitoring over HTTP or HTTPS: the endpoints of nats-server, `/metrics` for Prometheus, and a
//! page for people.
//!
//! | file | what |
//! | --- | --- |
//! | [`http`] | a small HTTP server on threads of its own |
//! | `endpoints.rs` | from a path to its answer; requests counted |
//! | `answers.rs` | the same figures for those who ask by message |
//! | `varz.rs`, `connz.rs`, `subsz.rs`, `accounts.rs`, `shardz.rs` | what is there, as JSON |
//! | `absent.rs` | features that are not there, as the reference shows them switched off |
//! | `health.rs` | whether every shard answers |
//! | `metrics` | the same figures for Prometheus |
//! | `page` | the status page |
//! | `process.rs` | what the kernel knows of this process |
//! | `query.rs`, `json.rs`, `time.rs` | options in, JSON out, times, all as Go has them |
//!
//! All figures come through the door of the shards ([`ringbus_shard::io::Inspector`]), in slices,
//! so that nobody's messages wait for a scrape. Secrets are not among what comes through it.

mod absent;
mod accounts;
pub(crate) mod answers;
mod connz;
mod endpoints;
mod health;
pub mod http;
mod json;
mod metrics;
mod page;
mod peer_cert;
mod process;
pub mod query;
mod shardz;
mod subsz;
#[cfg(test)]
mod tests;
mod time;
mod varz;

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use ringbus_shard::io::Inspector;
use ringbus_shard::limits::Limits;
use tracing::info;

use self::answers::Endpoints;
pub(crate) use self::time::round_trip;
use crate::auth::Account;
use crate::identity::Identity;
use crate::listen::{self, Endpoint};
use crate::tls;

/// What monitoring says of the server and cannot learn from its shards.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Who it is, and where clients find it.
    pub identity: Identity,
    /// What clients may do.
    pub limits: Limits,
    /// Whether clients must say who they are.
    pub auth_required: bool,
    /// The accounts in force: the global one, that of the system, then the others.
    pub accounts: Vec<Account>,
    /// What holds in them.
    pub terms: Arc<ringbus_shard::account::Accounts>,
    /// Keys of the proxies that may vouch for clients.
    pub proxies: Vec<Arc<str>>,
    /// What the system account is called.
    pub system_account: String,
    /// Where monitoring listens; nowhere with port 0.
    pub endpoint: Endpoint,
    /// Whether that is over HTTPS.
    pub secure: bool,
    /// Certificates and choices of TLS, if there is any.
    pub tls: Option<tls::Server>,
    /// The same as clients see it.
    pub clients: Option<tls::clients::Clients>,
    /// In front of every path; empty, or with a slash before it and none behind.
    pub base_path: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Labels that the operator gave it.
    pub tags: Vec<String>,
    /// What else the operator says of it.
    pub metadata: BTreeMap<String, String>,
    /// Fingerprint of the configuration file; empty if there is none.
    pub config_digest: String,
    /// What it is called.
    pub program: String,
    /// When the configuration was read again, if it was.
    pub loaded: Option<Timestamp>,
}

/// The facts as they are at this moment: one thread replaces them, those of monitoring look.
#[derive(Clone, Debug)]
pub struct SharedFacts(Arc<RwLock<Arc<Facts>>>);

impl SharedFacts {
    /// These, for now.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(facts))))
    }

    /// These from now on.
    pub fn set(&self, facts: Facts) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(facts);
    }

    /// There is one more account, unless it is known already.
    pub fn enter(&self, account: &Account) {
        let mut facts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Err(place) = facts.accounts.binary_search_by_key(&account.id, |known| known.id) {
            let mut more = Facts::clone(&facts);
            more.accounts.insert(place, account.clone());
            *facts = Arc::new(more);
        }
    }

    /// Accounts share this with each other from now on.
    pub fn share(&self, terms: &Arc<ringbus_shard::account::Accounts>) {
        let mut facts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&facts.terms, terms) {
            *facts = Arc::new(Facts { terms: Arc::clone(terms), ..Facts::clone(&facts) });
        }
    }

    /// As they are.
    #[must_use]
    pub fn get(&self) -> Arc<Facts> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The monitoring port, bound and not served yet.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    /// What it shows over TLS; nothing if it does not speak TLS.
    pub tls: Option<tls::Shared>,
    /// Where it is; the port is the real one.
    pub endpoint: Endpoint,
}

impl Door {
    /// Binds the port and says so in the log.
    ///
    /// # Errors
    /// Returns the line that the server ends with.
    pub fn open(mut endpoint: Endpoint, tls: Option<tls::Shared>) -> Result<Self, String> {
        let failed = |why: &str| {
            format!(
                "Can't start monitoring: can't listen to the monitor port: {why} \
                 (choose another port with -m)"
            )
        };
        let listener = listen::listen(&endpoint).map_err(|error| failed(&error.cause()))?;
        let local = listener.local_addr().map_err(|error| failed(&error.to_string()))?;
        endpoint.port = local.port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        info!("Starting {scheme} monitor on {endpoint}");
        Ok(Self { listener, tls, endpoint })
    }

    /// Where it listens, as the kernel has it.
    ///
    /// # Errors
    /// Returns the system's error.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves.
    ///
    /// # Errors
    /// Returns the system's error if it has no thread to give.
    pub(crate) fn serve(self, endpoints: Arc<Endpoints>) -> io::Result<http::Server> {
        http::Server::start(self.listener, self.tls, Box::new(endpoints))
    }
}

/// All that monitoring has to say, over HTTP and by message.
pub(crate) fn endpoints(facts: SharedFacts, inspector: Inspector) -> Arc<Endpoints> {
    Arc::new(Endpoints::new(facts, inspector))
}

/// A base path as it is put in front of others: `/a/b`, or nothing.
#[must_use]
pub fn base_path(text: &str) -> String {
    let parts = text.split('/').filter(|part| !part.is_empty() && *part != ".");
    parts.fold(String::new(), |path, part| path + "/" + part)
}
