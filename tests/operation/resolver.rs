//! A server of claims over HTTPS: who it is, what it answers, and how long it may take.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use ringbus::auth::jwt::claims::now;
use ringbus::auth::jwt::key::{KeyPair, Role};
use ringbus_test_support::tls::{Authority, write_pair};
use ringbus_test_support::{PATIENCE, eventually};
use rustix::process::Signal;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use super::Process;
use super::operators::{account_claims, key, offer, operator_claims, user_claims};

/// A server of claims, which has this answer to everything after so long, and wants a certificate
/// if it is told who signs those of clients.
fn serve(authority: &Authority, wants: bool, delay: Duration, answer: String) -> SocketAddr {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if wants {
        let roots = Arc::new(authority.roots());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
        builder.with_client_cert_verifier(verifier.build().unwrap())
    } else {
        builder.with_no_client_auth()
    };
    let (certificate, key) = authority.sign(&["localhost", "127.0.0.1"], |_| {});
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for tcp in listener.incoming() {
            let (config, answer) = (Arc::clone(&config), answer.clone());
            thread::spawn(move || {
                let tls = ServerConnection::new(config).unwrap();
                let mut stream = StreamOwned::new(tls, tcp.unwrap());
                // Whoever does not trust this server, or is not trusted, goes away.
                let mut question = [0; 4096];
                if stream.read(&mut question).is_ok_and(|len| len > 0) {
                    thread::sleep(delay);
                    let _ = stream.write_all(answer.as_bytes());
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            });
        }
    });
    address
}

fn account() -> KeyPair {
    key(Role::Account, 3)
}

fn known() -> String {
    let claims = account_claims(&account(), now(), |_| {});
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{claims}", claims.len())
}

fn config(server: SocketAddr, tls: &str) -> String {
    let operator = operator_claims();
    format!(
        "authorization {{ timeout: 20 }}\noperator: {operator}\n\
         resolver: URL(\"https://localhost:{}/jwt\")\nresolver_tls {{ {tls} }}\n",
        server.port()
    )
}

/// A server that asks there. Its folder has `ca.pem`, and `own.pem` with `own.key`.
fn start(authority: &Authority, server: SocketAddr, tls: &str) -> Process {
    let folder = TempDir::new().unwrap();
    let (certificate, key) = authority.sign(&["me"], |_| {});
    write_pair(folder.path(), "own", &certificate, &key);
    fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.path().join("conf"), config(server, tls)).unwrap();
    Process::start_in(folder, &["-c", "conf", "-D"], &[])
}

/// What a user of the account hears.
fn heard(process: &Process) -> String {
    let user = key(Role::User, 4);
    offer(process, &user_claims(&user, &account(), |_| {}), &user).1
}

const REFUSED: &str = "-ERR 'Authorization Violation'";

#[test]
fn claims_are_fetched_over_https() {
    let authority = Authority::new();
    let server = serve(&authority, false, Duration::ZERO, known());
    let process = start(&authority, server, "ca_file: ca.pem, min_version: \"1.3\"");
    assert_eq!(heard(&process), "PONG", "{}", process.text("stderr"));
}

#[test]
fn an_answer_that_has_no_claims_or_never_ends_refuses_the_user() {
    let authority = Authority::new();
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(9 << 20));
    let missing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned();
    for (answer, why) in [(missing, "404 Not Found"), (long, "the answer is longer than")] {
        let server = serve(&authority, false, Duration::ZERO, answer);
        let process = start(&authority, server, "ca_file: ca.pem");
        assert_eq!(heard(&process), REFUSED);
        eventually("the log says why", PATIENCE, || process.text("stderr").contains(why));
    }
}

#[test]
fn a_slow_server_is_not_waited_for_longer_than_two_seconds() {
    let authority = Authority::new();
    let server = serve(&authority, false, Duration::from_secs(15), known());
    let process = start(&authority, server, "ca_file: ca.pem");
    let since = Instant::now();
    assert_eq!(heard(&process), REFUSED);
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    let why = "no answer within 1.9s";
    eventually("the log says why", PATIENCE, || process.text("stderr").contains(why));
}

#[test]
fn a_server_that_somebody_else_signed_is_refused_until_a_reload_names_who() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = serve(&other, false, Duration::ZERO, known());
    let process = start(&authority, server, "ca_file: ca.pem");
    assert_eq!(heard(&process), REFUSED);
    let why = "invalid peer certificate";
    eventually("the log says why", PATIENCE, || process.text("stderr").contains(why));
    // The same configuration, another certificate in the file.
    fs::write(process.path("ca.pem"), other.pem()).unwrap();
    process.signal(Signal::HUP);
    eventually("the user may enter", PATIENCE, || heard(&process) == "PONG");
}

#[test]
fn a_server_that_wants_a_certificate_is_shown_one() {
    let authority = Authority::new();
    let server = serve(&authority, true, Duration::ZERO, known());
    let without = start(&authority, server, "ca_file: ca.pem");
    assert_eq!(heard(&without), REFUSED);
    drop(without);
    let tls = "ca_file: ca.pem, cert_file: own.pem, key_file: own.key";
    let with = start(&authority, server, tls);
    assert_eq!(heard(&with), "PONG", "{}", with.text("stderr"));
}
