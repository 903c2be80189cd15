//! The matrix of openssl: each version, suite and curve that is offered, and those that are not;
//! certificates of both sides; names; and ways to end.
//!
//! Where there is no `openssl` on the `PATH` nothing is tried, which is said on standard error;
//! unless `RINGBUS_OPENSSL` says that it is `required`.

use std::io::{BufRead, BufReader, copy};
use std::net::{Shutdown, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;

use rcgen::{DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};
use ringbus_test_support::tls::write_pair;

use super::*;

const HELLO: &str = "CONNECT {\"verbose\":false}\r\nPING\r\n";

/// False, and said, if there is no openssl here.
fn is_here() -> bool {
    let found = Command::new("openssl").arg("version").output();
    let here = found.is_ok_and(|output| output.status.success());
    if !here {
        let required = std::env::var("RINGBUS_OPENSSL").is_ok_and(|text| text == "required");
        assert!(!required, "openssl is not on the PATH, and RINGBUS_OPENSSL says it is required");
        // Not by a macro: what those print is hidden where a test passes.
        let _ = writeln!(std::io::stderr(), "no openssl on the PATH: its matrix was not tried");
    }
    here
}

/// `openssl s_client`, which has said nothing to the server yet.
struct Ssl {
    child: Child,
    lines: Receiver<String>,
    /// Everything it said.
    seen: String,
}

impl Ssl {
    fn new(served: &Served, address: SocketAddr, options: &str) -> Self {
        let mut command = Command::new("openssl");
        let connect = format!("s_client -connect {address} -CAfile ca.pem -verify_return_error");
        command.args(connect.split(' ')).args(options.split_whitespace());
        command.current_dir(served.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl runs");
        let (tell, lines) = channel();
        let stderr = child.stderr.take().expect("piped");
        let both: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().expect("piped")), Box::new(stderr)];
        for stream in both {
            let tell = tell.clone();
            thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                    if tell.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Self { child, lines, seen: String::new() }
    }

    fn says(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("piped");
        // It may have been refused already.
        let _ = stdin.write_all(text.as_bytes());
        let _ = stdin.flush();
    }

    /// Reads until this line comes, or nothing more: false then.
    fn hears(&mut self, wanted: &str) -> bool {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.seen.push_str(&line);
                    self.seen.push('\n');
                    if line.contains(wanted) {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("no {wanted:?} in {}", self.seen),
            }
        }
    }
}

impl Drop for Ssl {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a server can be reached without the INFO that it begins with, which openssl cannot read.
fn without_info(address: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let relay = listener.local_addr().expect("an address");
    // Ends with the process.
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut server = TcpStream::connect(address).expect("it listens");
            line(&mut server);
            let twin = |tcp: &TcpStream| tcp.try_clone().expect("a socket");
            for (mut from, mut to) in
                [(twin(&client), twin(&server)), (twin(&server), twin(&client))]
            {
                thread::spawn(move || {
                    let _ = copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    relay
}

/// Whether a client with these options gets in, and what openssl said of it.
fn enters(served: &Served, address: SocketAddr, options: &str) -> (bool, String) {
    let mut ssl = Ssl::new(served, address, options);
    ssl.says(HELLO);
    let entered = ssl.hears("PONG");
    (entered, std::mem::take(&mut ssl.seen))
}

fn assert_enters(served: &Served, address: SocketAddr, options: &str) -> String {
    let (entered, seen) = enters(served, address, options);
    assert!(entered, "{options}: {seen}\n{}", served.server.log());
    seen
}

fn assert_refused(served: &Served, address: SocketAddr, options: &str) {
    let (entered, seen) = enters(served, address, options);
    assert!(!entered, "{options}: {seen}");
}

/// One whose key is for RSA, made by openssl: the library that makes the others cannot.
fn issue_rsa(authority: &Authority, folder: &Path, name: &str) {
    let arguments = "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048";
    let output = Command::new("openssl").args(arguments.split(' ')).output().expect("a key");
    let key = String::from_utf8(output.stdout).expect("text");
    let key = KeyPair::from_pem(&key).expect("a key");
    write_pair(folder, name, &authority.certify(&key, &["localhost"], |_| {}), &key);
}

/// A server with a certificate of each kind.
fn both_kinds(more: &str) -> Served {
    Served::with(&ringbus(2), |folder, authority| {
        authority.issue(folder, "server");
        issue_rsa(authority, folder, "rsa");
        let folder = folder.display();
        let pair = |name| {
            format!("{{ cert_file: \"{folder}/{name}.pem\", key_file: \"{folder}/{name}.key\" }}")
        };
        let (one, other) = (pair("server"), pair("rsa"));
        format!("debug: true\ntls {{ certs: [ {one}, {other} ]\n{more}\n}}\n")
    })
}

const NEW: [&str; 3] =
    ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];
const OLD: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
];
const NO_SUITE: &str = "tls: no cipher suite supported by both client and server";
const NO_CURVE: &str = "tls: no key exchanges supported by both client and server";

#[test]
fn each_version_suite_and_curve_that_is_offered_and_no_other() {
    if !is_here() {
        return;
    }
    let served = both_kinds("handshake_first: true");
    let address = served.address();
    for suite in NEW {
        let seen = assert_enters(&served, address, &format!("-tls1_3 -ciphersuites {suite}"));
        assert!(seen.contains(&format!("New, TLSv1.3, Cipher is {suite}")), "{seen}");
    }
    for suite in OLD {
        let seen = assert_enters(&served, address, &format!("-tls1_2 -cipher {suite}"));
        assert!(seen.contains(&format!("New, TLSv1.2, Cipher is {suite}")), "{seen}");
    }
    for curve in ["X25519", "P-256", "P-384"] {
        // Openssl wants the curve of a certificate to be among these, too.
        for version in ["-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", "-tls1_3"] {
            assert_enters(&served, address, &format!("{version} -groups {curve}"));
        }
    }
    // The best that both know, where a client offers all it has.
    assert!(assert_enters(&served, address, "").contains("New, TLSv1.3, "));

    for version in ["-tls1", "-tls1_1"] {
        assert_refused(&served, address, &format!("{version} -cipher DEFAULT@SECLEVEL=0"));
    }
    let refused = |options: &str, why: &str| {
        let before = served.server.log().matches(why).count();
        assert_refused(&served, address, options);
        ringbus_test_support::eventually(options, PATIENCE, || {
            served.server.log().matches(why).count() > before
        });
    };
    for suite in ["ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-SHA256", "ECDHE-ECDSA-AES128-CCM"] {
        refused(&format!("-tls1_2 -cipher {suite}"), NO_SUITE);
    }
    for suite in ["AES128-GCM-SHA256", "AES256-SHA", "DHE-RSA-AES128-GCM-SHA256"] {
        refused(&format!("-tls1_2 -cipher {suite}"), NO_CURVE);
    }
    for curve in ["P-521", "X448", "ffdhe2048"] {
        refused(&format!("-tls1_3 -groups {curve}"), NO_CURVE);
    }
}

#[test]
fn what_an_operator_chose_and_no_more() {
    if !is_here() {
        return;
    }
    let served = both_kinds(
        "handshake_first: true, curve_preferences: [ CurveP384 ]
         cipher_suites: [ TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 ]",
    );
    let address = served.address();
    for suite in OLD {
        let options = format!("-tls1_2 -cipher {suite}");
        let (entered, seen) = enters(&served, address, &options);
        assert_eq!(entered, suite == "ECDHE-RSA-AES256-GCM-SHA384", "{suite}: {seen}");
    }
    assert_enters(&served, address, "-tls1_3 -groups P-384");
    assert_enters(&served, address, "-tls1_3 -groups X25519:P-384");
    assert_refused(&served, address, "-tls1_3 -groups X25519");

    let served = both_kinds("handshake_first: true, min_version: \"1.3\"");
    assert_enters(&served, served.address(), "-tls1_3");
    assert_refused(&served, served.address(), "-tls1_2");
}

#[test]
fn a_handshake_after_info_is_the_same() {
    if !is_here() {
        return;
    }
    let served = both_kinds("");
    let relay = without_info(served.address());
    for options in ["-tls1_2", "-tls1_3", "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305"] {
        assert_enters(&served, relay, options);
    }
    assert_refused(&served, relay, "-tls1_2 -cipher ECDHE-RSA-AES128-SHA");
    served.logs(NO_SUITE);
    // One that expects the handshake first reads INFO for a record.
    assert_refused(&served, served.address(), "-tls1_3");
}

#[test]
fn certificates_of_clients() {
    if !is_here() {
        return;
    }
    let served = Served::by(&ringbus(2), "verify: true, handshake_first: true", "");
    let (folder, address) = (served.folder.path(), served.address());
    let own =
        |name: &str, authority: &Authority, change: &dyn Fn(&mut rcgen::CertificateParams)| {
            let (certificate, key) = authority.sign(&[], change);
            write_pair(folder, name, &certificate, &key);
        };
    let usage = |purpose: ExtendedKeyUsagePurpose| {
        move |params: &mut rcgen::CertificateParams| {
            params.extended_key_usages = vec![purpose.clone()];
        }
    };
    own("good", &served.authority, &|_| {});
    own("client", &served.authority, &usage(ExtendedKeyUsagePurpose::ClientAuth));
    own("expired", &served.authority, &|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    own("early", &served.authority, &|params| params.not_before = date_time_ymd(2090, 1, 1));
    own("unknown", &Authority::new(), &|_| {});
    own("usage", &served.authority, &usage(ExtendedKeyUsagePurpose::ServerAuth));
    issue_rsa(&served.authority, folder, "rsa");
    for version in ["-tls1_2", "-tls1_3"] {
        for name in ["good", "client", "rsa"] {
            let options = format!("{version} -cert {name}.pem -key {name}.key");
            assert_enters(&served, address, &options);
        }
        for (name, why) in [
            ("expired", "certificate has expired or is not yet valid"),
            ("early", "certificate has expired or is not yet valid"),
            ("unknown", "certificate signed by unknown authority"),
            ("usage", "certificate specifies an incompatible key usage"),
        ] {
            let options = format!("{version} -cert {name}.pem -key {name}.key");
            let before = served.server.log().matches(why).count();
            assert_refused(&served, address, &options);
            ringbus_test_support::eventually(why, PATIENCE, || {
                served.server.log().matches(why).count() > before
            });
        }
        assert_refused(&served, address, version);
        served.logs("tls: client didn't provide a certificate");
    }
}

#[test]
fn the_certificate_of_the_name_that_is_asked_for() {
    if !is_here() {
        return;
    }
    let served = Served::with(&ringbus(1), |folder, authority| {
        let mut pairs = String::new();
        for name in ["a.test", "b.test", "*.c.test"] {
            let file = name.replace('*', "any");
            let (certificate, key) = authority.sign(&[name], |params| {
                params.distinguished_name.push(DnType::CommonName, name);
            });
            write_pair(folder, &file, &certificate, &key);
            let path = folder.join(file).display().to_string();
            pairs.push_str(&format!("{{cert_file: \"{path}.pem\", key_file: \"{path}.key\"}}\n"));
        }
        format!("tls {{ handshake_first: true, certs: [ {pairs} ] }}\n")
    });
    for (asked, shown) in [
        ("-servername a.test", "a.test"),
        ("-servername b.test", "b.test"),
        ("-servername x.c.test", "*.c.test"),
        ("-servername nobody.test", "a.test"),
        ("-noservername", "a.test"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let seen = assert_enters(&served, served.address(), &format!("{version} {asked}"));
            let subject = seen.lines().find(|line| line.starts_with("subject=")).expect("shown");
            assert!(subject.ends_with(shown), "{asked}: {subject}");
        }
    }
}

#[test]
fn keys_are_renewed_in_the_new_version_and_no_handshake_is_repeated_in_the_old() {
    if !is_here() {
        return;
    }
    let served = both_kinds("handshake_first: true");
    let (mut other, _) = (Ssl::new(&served, served.address(), "-tls1_3"), ());
    other.says(HELLO);
    assert!(other.hears("PONG"));
    // These are commands to openssl, and no bytes of the protocol.
    for update in ["K\n", "k\n"] {
        other.says(update);
        assert!(other.hears("KEYUPDATE"));
        other.says("PING\r\n");
        assert!(other.hears("PONG"), "{}", other.seen);
    }

    let mut ssl = Ssl::new(&served, served.address(), "-tls1_2");
    ssl.says(HELLO);
    assert!(ssl.hears("PONG"));
    ssl.says("R\n");
    assert!(ssl.hears("RENEGOTIATING"));
    let refused = ssl.hears("no renegotiation");
    assert!(refused, "{}", ssl.seen);
    let done = served.server.log().matches("TLS handshake complete").count();
    assert_eq!(done, 2, "{}", served.server.log());
    other.says("PING\r\n");
    assert!(other.hears("PONG"));
}

#[test]
fn one_that_ends_early_is_closed_as_one_that_ends() {
    if !is_here() {
        return;
    }
    let served = both_kinds("handshake_first: true");
    for version in ["-tls1_2", "-tls1_3"] {
        let before = served.server.log().matches("Client connection closed: Client Closed").count();
        let mut ssl = Ssl::new(&served, served.address(), &format!("{version} -msg"));
        // The end, as soon as the handshake is over.
        drop(ssl.child.stdin.take());
        assert!(!ssl.hears("never"));
        assert!(ssl.seen.contains(">>> TLS"), "{}", ssl.seen);
        ringbus_test_support::eventually("it is closed", PATIENCE, || {
            served.server.log().matches("Client connection closed: Client Closed").count() > before
        });
    }
    let log = served.server.log();
    assert!(!log.contains("handshake error"), "{log}");
}
