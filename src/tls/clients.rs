//! TLS for clients: who gets it, on what terms, and who may stay when that changes.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ringbus_shard::clock::Now;
use ringbus_shard::transport::{Declined, Facts, Failure, First, Terms, Transport, Transports};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};

use super::failure;
use super::records::Records;
use super::{Offer, builder};

/// SHA-256 of a certificate's key, with its algorithm, in DER.
pub type Pin = [u8; 32];

/// What clients are offered, and what they must offer.
#[derive(Clone)]
pub struct Door {
    /// Certificates and choices.
    pub offer: Offer,
    /// Clients may do without TLS.
    pub optional: bool,
    /// Whether the handshake comes before INFO.
    pub first: First,
    /// Clients need a certificate that leads to one of these.
    pub authorities: Option<Arc<RootCertStore>>,
    /// It must have one of these keys.
    pub pinned: Option<BTreeSet<Pin>>,
}

/// Makes the transports of clients.
#[derive(Clone)]
pub struct Clients {
    config: Arc<ServerConfig>,
    terms: Terms,
    pinned: Option<Arc<BTreeSet<Pin>>>,
    /// Looks at certificates of clients, if they need one.
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    rate: Option<Rate>,
    fingerprint: [u8; 32],
}

impl Clients {
    /// What this door comes to.
    ///
    /// # Errors
    /// Returns why nobody could shake hands.
    pub fn new(door: &Door) -> Result<Self, String> {
        let Door { offer, optional, first, authorities, pinned } = door;
        let fingerprint = fingerprint(door);
        let (provider, builder) = builder(offer)?;
        let verifier = |authorities: &Arc<RootCertStore>| {
            WebPkiClientVerifier::builder_with_provider(Arc::clone(authorities), provider)
                .build()
                .map_err(|error| format!("tls: {error}"))
        };
        let verifier = authorities.as_ref().map(verifier).transpose()?;
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        let mut config = builder.with_cert_resolver(offer.resolver());
        // Who comes back proves again who he is: a ticket would outlive his certificate, and what
        // an operator changes. Connections last long enough for that not to matter.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let terms = Terms { optional: *optional, first: *first, timeout: offer.timeout };
        Ok(Self {
            config: Arc::new(config),
            terms,
            pinned: pinned.clone().map(Arc::new),
            verifier,
            rate: None,
            fingerprint,
        })
    }

    /// The same, with so many handshakes within a second.
    #[must_use]
    pub fn limited(self, rate: Option<Rate>) -> Self {
        Self { rate, ..self }
    }

    /// Whether clients would see no difference.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// Whether clients need a certificate.
    #[must_use]
    pub const fn verifies(&self) -> bool {
        self.verifier.is_some()
    }

    /// Whether somebody may come without TLS, or hears of it before.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        self.terms
    }

    /// How many keys of clients are known, if they must be.
    #[must_use]
    pub fn pinned(&self) -> Option<usize> {
        self.pinned.as_ref().map(|pinned| pinned.len())
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl Transports for Clients {
    fn terms(&self) -> Terms {
        self.terms
    }

    fn accept(&self, now: Now) -> Result<Box<dyn Transport>, Declined> {
        if self.rate.as_ref().is_some_and(|rate| !rate.admits(now)) {
            return Err(Declined::Throttled);
        }
        let records = Records::new(Arc::clone(&self.config), self.pinned.clone());
        match records {
            Ok(records) => Ok(Box::new(records)),
            Err(error) => Err(Declined::Failed(format!("tls: {error}"))),
        }
    }

    fn admits(&self, facts: &Facts) -> bool {
        let Some(pinned) = &self.pinned else { return true };
        facts.certificates.first().is_some_and(|der| is_pinned(pinned, der))
    }

    fn readmits(&self, facts: &Facts) -> Result<(), Failure> {
        if let Some(verifier) = &self.verifier {
            verified(&**verifier, facts).map_err(|error| Failure(failure::reason(&error)))?;
        }
        if self.admits(facts) { Ok(()) } else { Err(Failure(failure::NOT_PINNED.to_owned())) }
    }
}

/// Looks at the certificates of a client whose key was proved already.
fn verified(verifier: &dyn ClientCertVerifier, facts: &Facts) -> Result<(), rustls::Error> {
    let mut chain = facts.certificates.iter().map(|der| CertificateDer::from(der.as_slice()));
    let own = chain.next().ok_or(rustls::Error::NoCertificatesPresented)?;
    let rest: Vec<_> = chain.collect();
    verifier.verify_client_cert(&own, &rest, UnixTime::now()).map(drop)
}

/// Whether a certificate has one of these keys.
pub(super) fn is_pinned(pinned: &BTreeSet<Pin>, der: &[u8]) -> bool {
    pin(der).is_some_and(|pin| pinned.contains(&pin))
}

/// What the key of a certificate is known by.
#[must_use]
pub fn pin(der: &[u8]) -> Option<Pin> {
    let der = CertificateDer::from(der);
    let parsed = ParsedCertificate::try_from(&der).ok()?;
    Some(Sha256::digest(parsed.subject_public_key_info()).into())
}

/// Public parts only.
fn fingerprint(door: &Door) -> [u8; 32] {
    let Door { offer, optional, first, authorities, pinned } = door;
    let mut hash = Sha256::new();
    hash.update(super::fingerprint(offer));
    if let Some(authorities) = authorities {
        for root in &authorities.roots {
            hash.update(root.subject.len().to_le_bytes());
            hash.update(&root.subject);
            hash.update(&root.subject_public_key_info);
        }
    }
    hash.update(format!("{optional} {first:?} {} {pinned:?}", authorities.is_some()));
    hash.finalize().into()
}

/// How many handshakes may begin within a second, on all shards together, and how many were
/// refused. Looked at once per handshake.
#[derive(Clone, Debug)]
pub struct Rate {
    most: u64,
    count: Arc<Mutex<Count>>,
}

#[derive(Debug, Default)]
struct Count {
    /// When the second that is counted ends.
    end: Now,
    begun: u64,
    refused: u64,
}

impl Rate {
    /// So many.
    #[must_use]
    pub fn new(most: u64) -> Self {
        Self { most, count: Arc::default() }
    }

    fn admits(&self, now: Now) -> bool {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if now >= count.end {
            count.end = now.after(Duration::from_secs(1));
            count.begun = 0;
        }
        let admitted = count.begun < self.most;
        if admitted {
            count.begun += 1;
        } else {
            count.refused += 1;
        }
        admitted
    }

    /// How many were refused since the last call.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut count.refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_begin_within_a_second_and_no_more() {
        let rate = Rate::new(3);
        let second = Duration::from_secs(1);
        let mut now = Now::ZERO.after(second);
        for _ in 0..3 {
            let admitted = (0..10).filter(|_| rate.admits(now)).count();
            assert_eq!((admitted, rate.refused(), rate.refused()), (3, 7, 0));
            assert!(!rate.admits(now.after(second / 2)));
            assert_eq!(rate.refused(), 1);
            now = now.after(second);
        }
    }
}
