//! The TLS side of a client, and the certificate that every server under test is given.
//!
//! One suite (TLS 1.3, AES-128-GCM), so that all servers do the same work: each would choose
//! another one by itself. Ciphertext is read in large pieces, because how much a receiver takes at
//! once decides what the server's writes cost.
#![deny(clippy::indexing_slicing)]

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// What the configuration of a server calls the folder with the two files.
pub(crate) const DIR: &str = "@DIR@";
const CERTIFICATE_FILE: &str = "server-cert.pem";
const KEY_FILE: &str = "server-key.pem";

/// Ciphertext read at once.
const READ_LEN: usize = 64 * 1_024;

/// The certificate of this process's servers.
struct Certificate {
    pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
}

/// Made once: all rounds of a comparison use the same.
fn certificate() -> Result<&'static Certificate> {
    static MADE: OnceLock<Certificate> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made);
    }
    let names = ["127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).context("a certificate")?;
    let (pem, der) = (made.cert.pem(), made.cert.der().clone());
    let key_pem = made.signing_key.serialize_pem();
    Ok(MADE.get_or_init(|| Certificate { pem, key_pem, der }))
}

/// Writes certificate and key into the folder of a server.
pub(crate) fn write_files(dir: &Path) -> Result<()> {
    let certificate = certificate()?;
    std::fs::write(dir.join(CERTIFICATE_FILE), &certificate.pem)?;
    std::fs::write(dir.join(KEY_FILE), &certificate.key_pem)?;
    Ok(())
}

/// What clients need to trust that certificate.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate()?.der.clone())?;
    let provider = CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        ..aws_lc_rs::default_provider()
    };
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// One connection under TLS, over a socket that its owner keeps.
pub(crate) struct Session {
    tls: ClientConnection,
    cipher: Vec<u8>,
    /// Bytes that were sealed, and not all written yet.
    sealed: usize,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("sealed", &self.sealed).finish_non_exhaustive()
    }
}

impl Session {
    /// Goes through the handshake on a socket that blocks.
    pub(crate) fn open(config: &Arc<ClientConfig>, stream: &TcpStream) -> Result<Self> {
        let name = ServerName::try_from("127.0.0.1")?;
        let mut tls = ClientConnection::new(Arc::clone(config), name)?;
        tls.set_buffer_limit(None);
        let mut socket = stream;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        Ok(Self { tls, cipher: vec![0; READ_LEN], sealed: 0 })
    }

    /// Reads what is there, as `Read` does on a socket.
    pub(crate) fn read(
        &mut self,
        mut stream: &TcpStream,
        buf: &mut [u8],
    ) -> std::io::Result<usize> {
        let len = stream.read(&mut self.cipher)?;
        if len == 0 {
            return Ok(0);
        }
        let (mut rest, mut filled) = (self.cipher.get(..len).unwrap_or_default(), 0);
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest)?;
            self.tls.process_new_packets().map_err(std::io::Error::other)?;
            filled += take(&mut self.tls, buf.get_mut(filled..).unwrap_or_default())?;
        }
        if filled == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(filled) }
    }

    /// Writes as `Write` does on a socket. If the socket takes no more, the same bytes have to come
    /// again: they count as written when all that they were sealed to is.
    pub(crate) fn write(&mut self, mut stream: &TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
        if self.sealed == 0 {
            self.sealed = self.tls.writer().write(bytes)?;
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut stream)?;
        }
        Ok(std::mem::take(&mut self.sealed))
    }
}

/// What has been opened so far.
fn take(tls: &mut ClientConnection, buf: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = buf.get_mut(filled..).filter(|room| !room.is_empty()) {
        match tls.reader().read(room) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
