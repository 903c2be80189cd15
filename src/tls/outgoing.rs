//! The side of TLS that asks: what a connection shows, trusts and offers that this server makes.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use ureq::tls::PrivateKey;

use super::choice::{Curves, Suites};
use super::{Oldest, provider};

/// A chain of certificates, the own one first, and its key.
pub struct Identity {
    /// The chain.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, which goes with the first.
    pub key: PrivateKey<'static>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// What such a connection shows, trusts and offers.
#[derive(Clone, Debug, Default)]
pub struct Outgoing {
    /// Shown to a server that wants a certificate.
    pub identity: Option<Arc<Identity>>,
    /// Who may have signed the certificate of the server; those of this host if it is none.
    pub authorities: Option<Arc<Vec<CertificateDer<'static>>>>,
    /// None for all.
    pub suites: Option<Suites>,
    /// None for all.
    pub curves: Option<Curves>,
    /// And all newer ones.
    pub oldest: Oldest,
    /// Whether whatever certificate the server shows will do.
    pub is_insecure: bool,
}

impl Outgoing {
    /// The suites and curves. Versions that are too old have no suite in it.
    #[must_use]
    pub fn provider(&self) -> CryptoProvider {
        let mut provider = provider(self.suites.as_ref(), self.curves.as_ref());
        if self.oldest == Oldest::Tls13 {
            provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        }
        provider
    }

    /// Whether servers would see no difference. Public parts tell: another key under the same
    /// certificate does not exist.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.fingerprint() == other.fingerprint()
    }

    fn fingerprint(&self) -> [u8; 32] {
        let Self { identity, authorities, suites, curves, oldest, is_insecure } = self;
        let mut hash = Sha256::new();
        let chain = identity.as_ref().map(|identity| &identity.chain);
        for certificates in [chain, authorities.as_deref()] {
            // Where one list ends is told by its length, and none is not an empty one.
            let count = certificates.map_or(u64::MAX, |certificates| certificates.len() as u64);
            hash.update(count.to_le_bytes());
            for certificate in certificates.into_iter().flatten() {
                hash.update(certificate.len().to_le_bytes());
                hash.update(certificate);
            }
        }
        hash.update(format!("{suites:?} {curves:?} {oldest} {is_insecure}"));
        hash.finalize().into()
    }
}
