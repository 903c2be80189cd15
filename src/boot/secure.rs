//! TLS: what the process says of it for clients, and the monitoring port that may have it.

use std::time::{Duration, Instant};

use ringbus_shard::transport;
use tracing::{info, warn};

use super::Server;
use crate::listen::Endpoint;
use crate::monitor::Door;
use crate::tls::{self, clients::Rate};

/// How often it is said that handshakes were refused, at most.
const REFUSED_SAID_EVERY: Duration = Duration::from_secs(1);

/// A bound for handshakes, and when it was last looked at.
pub(super) struct Limited {
    rate: Rate,
    looked: Option<Instant>,
}

impl Limited {
    /// So many within a second.
    pub(super) fn new(most: u64) -> Self {
        Self { rate: Rate::new(most), looked: None }
    }

    /// The bound itself.
    pub(super) fn rate(&self) -> Rate {
        self.rate.clone()
    }

    /// Tells how many were refused, if it is time to. Returns how long until it is again.
    pub(super) fn said(&mut self, now: Instant) -> Duration {
        let since = self.looked.map(|looked| now.saturating_duration_since(looked));
        if let Some(left) = since.and_then(|since| REFUSED_SAID_EVERY.checked_sub(since))
            && !left.is_zero()
        {
            return left;
        }
        self.looked = Some(now);
        match self.rate.refused() {
            0 => {}
            refused => warn!("Rejected {refused} connections due to TLS rate limiting"),
        }
        REFUSED_SAID_EVERY
    }
}

/// Whether clients need TLS.
pub(super) fn say_tls(terms: transport::Terms) {
    let always_first = terms.first == transport::First::Yes;
    let available = terms.optional && !always_first;
    info!("TLS {} for client connections", if available { "available" } else { "required" });
    if always_first {
        warn!("Clients that are not using \"TLS Handshake First\" option will fail to connect");
    }
}

impl Server<'_> {
    /// Opens the monitoring port, if there is to be one.
    pub(super) fn monitoring(&self) -> Result<Option<Door>, String> {
        let settings = &self.plan.settings;
        let (http, https) = (*settings.monitoring.http, *settings.monitoring.https);
        let Some(port) = http.or(https) else { return Ok(None) };
        let host = settings.monitoring.host.as_ref().unwrap_or(&settings.listen.host).clone();
        let tls = settings.tls.server.clone().filter(|_| https.is_some());
        Door::open(Endpoint { host, port }, tls.map(tls::Shared::new)).map(Some)
    }
}
