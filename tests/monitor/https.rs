//! The monitoring port over TLS, with certificates made here: who is served, who is turned away and
//! when, and what a reload does.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use ringbus_test_support::tls::{Authority, Client, Identity};
use rustix::process::{Pid, Signal, kill_process};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;

use super::*;

const REQUEST: &[u8] = b"GET /varz HTTP/1.0\r\nHost: h\r\n\r\n";

/// A server, and the folder with its configuration and its certificates.
struct Served {
    folder: TempDir,
    authority: Authority,
    server: Server,
    monitor: SocketAddr,
}

fn config(folder: &Path, name: &str, more: &str) -> String {
    let folder = folder.display();
    format!(
        "https: \"127.0.0.1:-1\"\nallow_non_tls: true\n\
         tls {{ cert_file: \"{folder}/{name}.pem\", key_file: \"{folder}/{name}.key\" {more} }}\n"
    )
}

fn served_by(program: &Program, more: &str) -> Served {
    let (folder, authority) = (TempDir::new().expect("a folder"), Authority::new());
    authority.issue(folder.path(), "localhost");
    fs::write(folder.path().join("ca.pem"), authority.pem()).expect("written");
    let file = folder.path().join("conf");
    fs::write(&file, config(folder.path(), "localhost", more)).expect("written");
    let server = program.start(&["-c", file.to_str().expect("text")]).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring listens");
    Served { folder, authority, server, monitor }
}

fn served(more: &str) -> Served {
    served_by(&ringbus(2), more)
}

/// A client that trusts this authority alone; with a certificate of its own if it has one.
fn client(
    served: &Served,
    version: &'static SupportedProtocolVersion,
    own: Option<Identity>,
) -> Client {
    let tcp = TcpStream::connect(served.monitor).expect("monitoring listens");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    served.authority.client(tcp, Some(version), own)
}

fn ask(client: &mut Client, request: &[u8]) -> String {
    client.write_all(request).expect("sent");
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).expect("an answer, and an end that TLS knows of");
    String::from_utf8(answer).expect("text")
}

/// What a new client sees.
fn varz(served: &Served) -> Value {
    let answer = ask(&mut client(served, &rustls::version::TLS13, None), REQUEST);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK") || head.starts_with("HTTP/1.0 200 OK"), "{head}");
    serde_json::from_str(body).expect("JSON")
}

/// The certificate that a new client is shown.
fn shown(served: &Served) -> CertificateDer<'static> {
    let mut client = client(served, &rustls::version::TLS13, None);
    ask(&mut client, REQUEST);
    client.conn.peer_certificates().expect("a chain")[0].clone().into_owned()
}

fn reload(served: &Served, text: &str) -> String {
    let before = served.server.log().len();
    let pid = Pid::from_raw(served.server.pid().cast_signed()).expect("a process");
    kill_process(pid, Signal::HUP).expect("signalled");
    eventually(text, PATIENCE, || served.server.log()[before..].contains(text));
    served.server.log()[before..].to_owned()
}

#[test]
fn every_page_is_there_over_both_versions() {
    let served = served("");
    assert!(served.server.log().contains("Starting https monitor on 127.0.0.1:"));
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for path in ["/", "/varz", "/connz", "/metrics", "/healthz"] {
            let request = format!("GET {path} HTTP/1.0\r\nHost: h\r\n\r\n");
            let answer = ask(&mut client(&served, version, None), request.as_bytes());
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
        }
    }
    let varz = varz(&served);
    assert_eq!(varz["https_port"], served.monitor.port());
    assert_eq!((&varz["http_port"], &varz["http_host"]), (&0.into(), &"127.0.0.1".into()));
    assert!(varz["tls_cert_not_after"].as_str().expect("a time").ends_with('Z'));
    assert_eq!(varz["tls_required"], Value::Null);
    Raw::client(served.server.address(), "{\"verbose\":false}").expect("clients need no TLS");
}

#[test]
fn requests_follow_each_other_on_one_connection_however_they_are_cut() {
    let served = served("");
    let mut client = client(&served, &rustls::version::TLS13, None);
    for byte in b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n" {
        client.write_all(&[*byte]).expect("sent");
    }
    let mut first = [0; 15];
    client.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    let rest = ask(&mut client, b"GET /nope HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert!(rest.contains("HTTP/1.1 404 ") && rest.ends_with("404 page not found\n"), "{rest}");
}

#[test]
fn old_versions_are_turned_away_if_the_operator_wants_it() {
    let served = served(", min_version: \"1.3\", cipher_suites: [ TLS_AES_128_GCM_SHA256 ]");
    varz(&served);
    let refused = client(&served, &rustls::version::TLS12, None).write_all(REQUEST);
    assert!(refused.expect_err("no common version").to_string().contains("ProtocolVersion"));
}

/// Bytes to a socket, and what comes back until it is closed.
fn plain(monitor: SocketAddr, bytes: &[u8]) -> (String, Duration) {
    let (begin, mut tcp) = (Instant::now(), TcpStream::connect(monitor).expect("it listens"));
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    // Whoever is turned away early need not have been read.
    let _ = tcp.write_all(bytes);
    let mut answer = Vec::new();
    match tcp.read_to_end(&mut answer) {
        Err(error) if error.kind() != ErrorKind::ConnectionReset => panic!("{error}"),
        _ => (String::from_utf8_lossy(&answer).into_owned(), begin.elapsed()),
    }
}

fn plain_http_is_told_so_by(program: &Program) {
    let served = served_by(program, "");
    for method in ["GET /varz", "HEAD /", "POST /x", "PUT /x", "OPTIONS *"] {
        let (answer, _) = plain(served.monitor, format!("{method} HTTP/1.1\r\n\r\n").as_bytes());
        let expected = "HTTP/1.0 400 Bad Request\r\n\r\n\
                        Client sent an HTTP request to an HTTPS server.\n";
        assert_eq!(answer, expected, "{program}: {method}");
    }
    // The line may be written after the answer.
    for line in [
        "monitoring: TLS handshake error from 127.0.0.1:",
        "client sent an HTTP request to an HTTPS server",
    ] {
        eventually(line, PATIENCE, || served.server.log().contains(line));
    }
}

#[test]
fn plain_http_is_told_so() {
    plain_http_is_told_so_by(&ringbus(1));
}

#[test]
fn nobody_is_asked_for_a_certificate_whatever_verify_says() {
    let reference = Program::reference();
    for program in std::iter::once(ringbus(1)).chain(reference) {
        let folder = TempDir::new().expect("a folder");
        let authority = Authority::new();
        fs::write(folder.path().join("ca.pem"), authority.pem()).expect("written");
        let ca = folder.path().join("ca.pem");
        let served = served_by(&program, &format!(", verify: true, ca_file: {ca:?}"));
        varz(&served);
        let (certificate, key) = authority.sign(&[], |_| {});
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let own = Some((certificate.der().clone(), key));
        let answer = ask(&mut client(&served, &rustls::version::TLS13, own), REQUEST);
        assert!(answer.contains(" 200 OK"), "{program}: {answer}");
    }
}

#[test]
fn plain_http_is_told_so_by_the_reference() {
    if let Some(reference) = Program::reference() {
        plain_http_is_told_so_by(&reference);
    }
}

#[test]
fn garbage_and_silence_are_cut_off_while_others_are_served() {
    let served = served(", timeout: 1");
    let monitor = served.monitor;
    let silent: Vec<_> = (0..20)
        .map(|index| {
            std::thread::spawn(move || {
                // The begin of a record that never ends, or nothing.
                let begin: &[u8] = if index % 2 == 0 { b"" } else { b"\x16\x03\x01\x02\x00\x01" };
                plain(monitor, begin).1
            })
        })
        .collect();
    for begin in [&b"\0\0\0\0\0\0\0\0"[..], &[0xff; 9_000], b"\x16\x03\x01\0\0", b"SSH-2.0-x\r\n"] {
        let (_, took) = plain(monitor, begin);
        assert!(took < Duration::from_secs(5), "{took:?}");
        varz(&served);
    }
    for silent in silent {
        let took = silent.join().expect("it ended");
        assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
    }
    varz(&served);
    let log = served.server.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn a_peer_that_sends_byte_by_byte_has_no_more_time() {
    let served = served(", timeout: 1");
    let (begin, mut tcp) = (Instant::now(), TcpStream::connect(served.monitor).expect("listens"));
    let record = [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], &[b'a'; 400]].concat();
    for byte in record {
        if tcp.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(900) && took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn the_flag_opens_the_port_with_the_block_of_the_file() {
    let folder = TempDir::new().expect("a folder");
    let authority = Authority::new();
    authority.issue(folder.path(), "localhost");
    let file = folder.path().join("conf");
    let config = config(folder.path(), "localhost", "");
    let block = config.split_once('\n').expect("lines").1;
    fs::write(&file, block).expect("written");
    let file = file.to_str().expect("text");
    let refused = |flags: &[&str]| ringbus(1).start(flags).err().expect("no start");
    assert!(refused(&["-ms", "-1"]).contains("TLS cert and key required for HTTPS"));
    let why = "can't specify both HTTP (-1) and HTTPs (-1) ports";
    assert!(refused(&["-c", file, "-m", "-1", "-ms", "-1"]).contains(why));
    let server = ringbus(1).start(&["-c", file, "-ms", "-1"]).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring listens");
    varz(&Served { folder, authority, server, monitor });
}

#[test]
fn a_renewed_certificate_is_shown_to_those_who_come_after_the_reload() {
    let served = served("");
    let first = shown(&served);
    let mut open = client(&served, &rustls::version::TLS13, None);
    open.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").expect("sent");
    open.read_exact(&mut [0; 15]).expect("an answer");
    let log = reload(&served, "Reloaded server configuration");
    assert!(!log.contains("Reloaded: tls"), "nothing changed: {log}");
    let renewed = served.authority.issue(served.folder.path(), "localhost");
    assert_eq!(shown(&served), first);
    let log = reload(&served, "Reloaded server configuration");
    assert!(log.contains("Reloaded: tls = enabled"), "{log}");
    assert_eq!(shown(&served), renewed);
    let rest = ask(&mut open, REQUEST);
    assert!(rest.contains("HTTP/1.1 200 OK"), "who was there is still served: {rest}");
}

#[test]
fn a_broken_certificate_at_a_reload_changes_nothing_and_is_told() {
    let served = served("");
    let first = shown(&served);
    let key = served.folder.path().join("localhost.key");
    let secret = fs::read_to_string(&key).expect("a key");
    let (_, other) = served.authority.sign(&[], |_| {});
    for (text, why) in [
        (other.serialize_pem(), "tls: private key does not match public key"),
        (secret[..60].to_owned(), "tls: malformed PEM block in key input"),
        (String::new(), "tls: failed to find any PEM data in key input"),
    ] {
        fs::write(&key, text).expect("written");
        let log = reload(&served, "Failed to reload server configuration: ");
        assert!(log.contains("error parsing X509 certificate/key pair: "), "{log}");
        assert!(log.contains(why) && log.contains("localhost.key"), "{log}");
        assert_eq!(shown(&served), first);
    }
    fs::remove_file(&key).expect("removed");
    let log = reload(&served, "Failed to reload server configuration: ");
    assert!(log.contains(".key: no such file or directory"), "{log}");
    fs::write(&key, &secret).expect("written");
    let log = reload(&served, "Reloaded server configuration");
    assert!(!log.contains("Reloaded: tls"), "{log}");
    let log = served.server.log();
    for line in secret.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!log.contains(line), "the key is in the log");
    }
}

#[test]
fn a_broken_certificate_at_the_start_is_one_line() {
    let folder = TempDir::new().expect("a folder");
    Authority::new().issue(folder.path(), "localhost");
    fs::write(folder.path().join("localhost.pem"), "").expect("written");
    let file = folder.path().join("conf");
    fs::write(&file, config(folder.path(), "localhost", "")).expect("written");
    let failed = ringbus(1).start(&["-c", file.to_str().expect("text")]).err().expect("no start");
    let why = "conf:3:7: error parsing X509 certificate/key pair: tls: failed to find any PEM data \
               in certificate input (";
    assert!(failed.contains(why), "{failed}");
}
