//! Certificates made on the spot, and clients over TLS that trust who made them.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ALL_VERSIONS, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

/// A certificate and its key.
pub type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A client over TLS.
pub type Client = StreamOwned<ClientConnection, TcpStream>;

/// Somebody who signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    /// One of its own.
    ///
    /// # Panics
    /// Like everything here, if the library refuses what it is given.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// Its own certificate.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with these names for this key, changed as wanted.
    ///
    /// # Panics
    /// If there can be none.
    pub fn certify(
        &self,
        key: &KeyPair,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        params.signed_by(key, &self.0).expect("a certificate")
    }

    /// The same with a key of its own.
    ///
    /// # Panics
    /// If there can be none.
    pub fn sign(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        (self.certify(&key, names, change), key)
    }

    /// For a client.
    ///
    /// # Panics
    /// If there can be none.
    pub fn identity(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let (certificate, key) = self.sign(&[], change);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (certificate.der().clone(), key)
    }

    /// Writes `name.pem` and `name.key` for a server at `localhost`.
    ///
    /// # Panics
    /// If they cannot be written.
    pub fn issue(&self, folder: &Path, name: &str) -> CertificateDer<'static> {
        let (certificate, key) = self.sign(&["localhost", "127.0.0.1"], |_| {});
        write_pair(folder, name, &certificate, &key);
        certificate.der().clone()
    }

    /// For those who trust it, and nobody else.
    ///
    /// # Panics
    /// If its certificate cannot be read.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        roots
    }

    /// A client that trusts it and has not begun to shake hands; with a certificate of its own if
    /// it has one.
    ///
    /// # Panics
    /// If there can be none.
    #[must_use]
    pub fn client(
        &self,
        tcp: TcpStream,
        version: Option<&'static SupportedProtocolVersion>,
        own: Option<Identity>,
    ) -> Client {
        let one = version.map(|version| [version]);
        let versions = one.as_ref().map_or(ALL_VERSIONS, |one| one);
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(self.roots());
        let config = match own {
            Some((certificate, key)) => {
                config.with_client_auth_cert(vec![certificate], key).expect("a certificate")
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        StreamOwned::new(tls, tcp)
    }
}

/// Writes `name.pem` and `name.key`.
///
/// # Panics
/// If they cannot be written.
pub fn write_pair(folder: &Path, name: &str, certificate: &Certificate, key: &KeyPair) {
    fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
    fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
}
