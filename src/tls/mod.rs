//! TLS: from certificates, keys and what the operator chose to something that can shake hands.
//!
//! | file | what |
//! | --- | --- |
//! | [`pem`] | files to certificates and keys, refused in the words of nats-server |
//! | [`choice`] | cipher suites and curves by their names in Go |
//! | [`certificate`] | whom a certificate is for |
//! | [`clients`] | TLS of clients: on what terms, and who may stay |
//! | [`outgoing`] | the side that asks: what connections show and trust that this server makes |
//! | [`dn`] | distinguished names, compared part by part |
//! | `records` | one client's TLS, bytes to bytes |
//! | `failure.rs` | why a handshake failed, in the words of Go |
//! | `expiry.rs` | until when a certificate is valid |
//!
//! Nothing here reads a file or a socket. Keys are not shown by anything: what has one has no
//! `Debug` that goes into it, and no error has bytes of it.

#![deny(clippy::indexing_slicing)]

pub mod certificate;
pub mod choice;
pub mod clients;
pub mod dn;
mod expiry;
mod failure;
pub mod outgoing;
pub mod pem;
mod records;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ConfigBuilder, ServerConfig, ServerConnection, WantsVerifier};
use sha2::{Digest, Sha256};

use self::choice::{Curves, Suites};

/// The oldest version that is spoken.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Oldest {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl fmt::Display for Oldest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "1.2",
            Self::Tls13 => "1.3",
        })
    }
}

/// What a server offers to whoever connects.
#[derive(Clone, Default)]
pub struct Offer {
    /// In the order of the file.
    pub certificates: Vec<Arc<CertifiedKey>>,
    /// None for all.
    pub suites: Option<Suites>,
    /// None for all.
    pub curves: Option<Curves>,
    /// And all newer ones.
    pub oldest: Oldest,
    /// For a handshake.
    pub timeout: Duration,
}

/// A server's side of TLS, ready for use.
#[derive(Clone)]
pub struct Server {
    config: Arc<ServerConfig>,
    /// For a handshake.
    pub timeout: Duration,
    /// Until when the first certificate is valid, if it says so in a way that is understood.
    pub not_after: Option<Timestamp>,
    /// Of all that was offered.
    fingerprint: [u8; 32],
}

impl Server {
    /// What this offer comes to.
    ///
    /// # Errors
    /// Returns why nobody could shake hands.
    pub fn new(offer: Offer) -> Result<Self, String> {
        let fingerprint = fingerprint(&offer);
        let leaf = offer.certificates.first().and_then(|first| first.cert.first());
        let not_after = leaf.and_then(|leaf| expiry::not_after(leaf));
        // Nobody who asks for monitoring is asked for a certificate, as with nats-server.
        let (_, builder) = builder(&offer)?;
        let config = builder.with_no_client_auth().with_cert_resolver(offer.resolver());
        Ok(Self { config: Arc::new(config), timeout: offer.timeout, not_after, fingerprint })
    }

    /// Whether clients would see no difference.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }

    /// One more handshake.
    ///
    /// # Errors
    /// Returns what is wrong with the offer.
    pub fn accept(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// The offer in force at this moment: one thread replaces it, those that shake hands look.
#[derive(Clone, Debug)]
pub struct Shared(Arc<RwLock<Server>>);

impl Shared {
    /// This one, for now.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self(Arc::new(RwLock::new(server)))
    }

    /// This one from now on, for those who connect.
    pub fn set(&self, server: Server) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// As it is.
    #[must_use]
    pub fn get(&self) -> Server {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Offer {
    fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::new(Certificates(self.certificates.clone()))
    }
}

/// Where every server begins: what is offered, but for certificates of either side.
fn builder(offer: &Offer) -> Result<(Arc<CryptoProvider>, Builder), String> {
    let Offer { suites, curves, oldest, .. } = offer;
    let provider = Arc::new(provider(suites.as_ref(), curves.as_ref()));
    let versions: &[_] = match oldest {
        Oldest::Tls12 => &[&TLS13, &TLS12],
        Oldest::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| error.to_string())?;
    Ok((provider, builder))
}

/// What is left of all suites and curves by somebody's choice.
fn provider(suites: Option<&Suites>, curves: Option<&Curves>) -> CryptoProvider {
    let all = aws_lc_rs::default_provider();
    CryptoProvider {
        cipher_suites: suites.cloned().map_or(all.cipher_suites, |Suites(suites)| suites),
        kx_groups: curves.cloned().map_or(all.kx_groups, |Curves(curves)| curves),
        ..all
    }
}

type Builder = ConfigBuilder<ServerConfig, WantsVerifier>;

/// Public parts only: another key under the same certificate does not exist.
fn fingerprint(offer: &Offer) -> [u8; 32] {
    let Offer { certificates, suites, curves, oldest, timeout } = offer;
    let mut hash = Sha256::new();
    for certificate in certificates.iter().flat_map(|certified| &certified.cert) {
        hash.update(certificate.len().to_le_bytes());
        hash.update(certificate);
    }
    hash.update(format!("{suites:?} {curves:?} {oldest} {timeout:?}"));
    hash.finalize().into()
}

/// Picks a certificate as Go does: the first that suits the name and the algorithms of the client,
/// else the first.
#[derive(Debug)]
struct Certificates(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let Self(all) = self;
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let can_sign = |certified: &&Arc<CertifiedKey>| {
            certified.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let has_name = |certified: &&Arc<CertifiedKey>| {
            let parsed = certified.end_entity_cert().and_then(ParsedCertificate::try_from);
            match (&name, parsed) {
                (None, _) => true,
                (Some(name), Ok(parsed)) => verify_server_name(&parsed, name).is_ok(),
                (Some(_), Err(_)) => false,
            }
        };
        let suits = |certified: &&Arc<CertifiedKey>| can_sign(certified) && has_name(certified);
        all.iter().find(suits).or_else(|| all.first()).cloned()
    }
}
