//! Clients over TLS, with certificates made here: whom the server lets in and whom it turns away,
//! what each of them is told, and what a reload does. Where it matters, the reference does the
//! same.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod admission;
mod certificates;
mod first;
mod library;
mod reload;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use ringbus_test_support::{Program, Server};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

fn ringbus(shards: usize) -> Program {
    Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), shards)
}

/// Those that a test is for: ours, and the reference where there is one.
fn programs() -> Vec<Program> {
    [Some(ringbus(2)), Program::reference()].into_iter().flatten().collect()
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// Somebody who signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    /// A certificate with these names, changed as wanted, and its key.
    fn sign(
        &self,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (rcgen::Certificate, KeyPair) {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        (params.signed_by(&key, &self.0).expect("a certificate"), key)
    }

    /// For a client.
    fn identity(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let (certificate, key) = self.sign(&[], change);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        (certificate.der().clone(), key)
    }

    /// Writes `name.pem` and `name.key` for the server.
    fn issue(&self, folder: &Path, name: &str) -> CertificateDer<'static> {
        let (certificate, key) = self.sign(&["localhost", "127.0.0.1"], |_| {});
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("written");
        fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("written");
        certificate.der().clone()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        roots
    }
}

/// A server, and the folder with its configuration and its certificates.
struct Served {
    folder: TempDir,
    authority: Authority,
    server: Server,
}

/// `more` stands in the block, `top` beside it.
fn config(folder: &Path, more: &str, top: &str) -> String {
    let folder = folder.display();
    format!(
        "debug: true\n{top}\n\
         tls {{ cert_file: \"{folder}/server.pem\", key_file: \"{folder}/server.key\"\n\
         ca_file: \"{folder}/ca.pem\"\n{more}\n}}\n"
    )
}

impl Served {
    fn by(program: &Program, more: &str, top: &str) -> Self {
        let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new());
        authority.issue(folder.path(), "server");
        fs::write(folder.path().join("ca.pem"), authority.0.pem()).expect("written");
        let file = folder.path().join("conf");
        fs::write(&file, config(folder.path(), more, top)).expect("written");
        let server = program.start(&["-c", file.to_str().expect("text")]).expect("it starts");
        Self { folder, authority, server }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn plain(&self) -> TcpStream {
        let tcp = TcpStream::connect(self.address()).expect("it listens");
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        tcp
    }

    /// A client that has shaken hands after it read INFO; INFO is given, too.
    fn client(&self, own: Option<Identity>) -> (Link, String) {
        let mut tcp = self.plain();
        let info = line(&mut tcp);
        (self.shake(tcp, own), info)
    }

    /// A handshake with whoever is at the other end.
    fn shake(&self, tcp: TcpStream, own: Option<Identity>) -> Link {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(self.authority.roots());
        let config = match own {
            Some((certificate, key)) => {
                config.with_client_auth_cert(vec![certificate], key).expect("a certificate")
            }
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        Link(StreamOwned::new(tls, tcp))
    }

    /// Waits for a line in the log.
    fn logs(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.server.log().contains(text) {
            assert!(Instant::now() < deadline, "no {text:?} in {}", self.server.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A line as it stands on the wire, byte by byte: what follows may be of another kind.
fn line(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") {
        let mut byte = [0];
        from.read_exact(&mut byte).expect("a line");
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).expect("text")
}

/// Everything until the other end hangs up, one way or another.
fn rest(from: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("it does not hang up"),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A client over TLS.
struct Link(StreamOwned<ClientConnection, TcpStream>);

impl Link {
    fn says(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).expect("sent");
        self.0.flush().expect("sent");
    }

    /// Whether the server answers a PING, after CONNECT with this.
    fn enters(&mut self, connect: &str) -> bool {
        let text = format!("CONNECT {{\"verbose\":false{connect}}}\r\nPING\r\n");
        if self.0.write_all(text.as_bytes()).is_err() {
            return false;
        }
        let mut bytes = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            match self.0.read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            }
            if bytes.windows(6).any(|six| six == b"PONG\r\n") {
                return true;
            }
        }
    }

    /// What the server showed.
    fn certificate(&self) -> CertificateDer<'static> {
        let shown = self.0.conn.peer_certificates().expect("a certificate");
        shown.first().expect("a certificate").clone().into_owned()
    }
}
