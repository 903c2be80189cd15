//! Clients over TLS, with certificates made here: whom the server lets in and whom it turns away,
//! what each of them is told, and what a reload does. Where it matters, the reference does the
//! same.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod admission;
mod certificates;
mod first;
mod flood;
mod library;
mod openssl;
mod pieces;
mod proxied;
mod reload;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use ringbus_test_support::tls::{Authority, Client, Identity};
use ringbus_test_support::{Program, Server};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

fn ringbus(shards: usize) -> Program {
    Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), shards)
}

/// Those that a test is for: ours, and the reference where there is one.
fn programs() -> Vec<Program> {
    [Some(ringbus(2)), Program::reference()].into_iter().flatten().collect()
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
        Self::with(program, |folder, authority| {
            authority.issue(folder, "server");
            config(folder, more, top)
        })
    }

    /// With a configuration of its own; the certificate of the authority is `ca.pem`.
    fn with(program: &Program, config: impl FnOnce(&Path, &Authority) -> String) -> Self {
        let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new());
        fs::write(folder.path().join("ca.pem"), authority.pem()).expect("written");
        let file = folder.path().join("conf");
        fs::write(&file, config(folder.path(), &authority)).expect("written");
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
        Link(self.authority.client(tcp, None, own))
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
struct Link(Client);

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
