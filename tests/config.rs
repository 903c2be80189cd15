//! Configuration files in the hands of the real binary: what they change for clients, and what the
//! operator reads.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use async_nats::{Client, ConnectErrorKind, ConnectOptions};
use ringbus_test_support::{Program, Raw, Server};

const SHARDS: usize = 2;

fn start(config: &str) -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.conf");
    fs::write(&file, config).unwrap();
    let program = Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), SHARDS);
    let server = program.start(&["-c", file.to_str().unwrap()]).unwrap();
    (folder, server)
}

async fn connect(server: &Server, user: &str, password: &str) -> Result<Client, ConnectErrorKind> {
    let options = ConnectOptions::with_user_and_password(user.to_owned(), password.to_owned());
    options.connect(server.url()).await.map_err(|error| error.kind())
}

/// Runs the binary with `flags` in `folder`, to its end.
fn run(folder: &Path, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ringbus")).current_dir(folder).args(flags).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn what_the_file_says_is_in_force() {
    let (_folder, server) = start(
        "server_name: of_file\n\
         max_payload: 2kb\n\
         authorization { users: [ { user: ann, password: a }, { user: bob, password: b } ] }\n",
    );
    for (user, password) in [("ann", "a"), ("bob", "b")] {
        let client = connect(&server, user, password).await.unwrap();
        let info = client.server_info();
        assert_eq!(info.server_name, "of_file");
        assert_eq!(info.max_payload, 2048);
    }
    for (user, password) in [("ann", "b"), ("eve", "")] {
        let refused = connect(&server, user, password).await.unwrap_err();
        assert_eq!(refused, ConnectErrorKind::AuthorizationViolation, "{user}");
    }
    let log = server.log();
    assert!(log.contains("Plaintext passwords detected"), "{log}");
    let used = log.lines().find(|line| line.contains("Using configuration file: ")).unwrap();
    assert!(used.contains("a.conf (sha256:"), "{used}");
}

#[test]
fn a_server_without_headers_says_so() {
    let (_folder, server) = start("no_header_support: true");
    let mut client = Raw::connect(server.address()).unwrap();
    let info = client.line().unwrap();
    assert!(!info.contains("\"headers\":true"), "{info}");
    client.send(b"CONNECT {\"headers\":true,\"verbose\":false}\r\nHPUB a 12 12\r\n").unwrap();
    // As with nats-server, the connection ends without a word.
    assert_eq!(client.line().unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn a_server_may_admit_few_and_none() {
    let (_folder, server) = start("max_connections: 1");
    let _first = async_nats::connect(server.url()).await.unwrap();
    async_nats::connect(server.url()).await.unwrap_err();
    let (_folder, server) = start("max_connections: 0");
    async_nats::connect(server.url()).await.unwrap_err();
}

#[test]
fn a_good_file_is_said_to_be_valid() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.conf"), "port: 4222\n").unwrap();
    let checked = run(folder.path(), &["-t", "-c", "a.conf"]);
    assert!(checked.status.success());
    assert_eq!(
        text(&checked.stderr),
        "ringbus: configuration file a.conf is valid \
         (sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e)\n"
    );
    let unnamed = run(folder.path(), &["-t"]);
    assert_eq!(unnamed.status.code(), Some(1));
    let expected = "ringbus: -t checks a configuration file: name one with -c\n";
    assert_eq!(text(&unnamed.stderr), expected);
}

#[test]
fn the_dump_tells_values_and_origins() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.conf"), "port: 4333\nmax_payload: 2kb\n").unwrap();
    let dumped = run(folder.path(), &["-c", "a.conf", "-p", "5", "--dump-config"]);
    assert!(dumped.status.success());
    let dump = text(&dumped.stdout);
    for (key, value, origin) in [
        ("port", "5", "flag --port"),
        ("max_payload", "2048", "a.conf:2:1"),
        ("ping_max", "2", "default"),
    ] {
        let line = dump.lines().find(|line| line.starts_with(&format!("{key}: "))).unwrap();
        let (setting, from) = line.split_once(" # ").unwrap();
        assert_eq!((setting.trim_end(), from), (format!("{key}: {value}").as_str(), origin));
    }
}

#[test]
fn what_prevents_a_start_is_said_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let config = "prot: 1\nping_interval: 5m\njetstream: true\n";
    fs::write(folder.path().join("a.conf"), config).unwrap();
    fs::write(folder.path().join("warns.conf"), "ping_interval: 5m\n").unwrap();
    let warning = "key \"ping_interval\": 5000000 is taken as seconds; write a duration such as \
                   \"10s\" or \"2m\", in quotes";
    let all = format!(
        "ringbus: a.conf:2:1: {warning}\n\
         a.conf:1:1: unknown field \"prot\", did you mean \"port\"?\n\
         a.conf:3:1: key \"jetstream\": JetStream is not supported yet\n"
    );
    for (flags, expected) in [
        (&["-c", "a.conf"][..], all.as_str()),
        (&["-t", "-c", "a.conf"], all.as_str()),
        (&["-c", "b.conf"], "ringbus: open b.conf: no such file or directory\n"),
        (&["-c", "."], "ringbus: read .: is a directory\n"),
        (&["-t", "-c", "warns.conf"], &format!("ringbus: warns.conf:1:1: {warning}\n")),
    ] {
        let ended = run(folder.path(), flags);
        assert_eq!(ended.status.code(), Some(1), "{flags:?}");
        assert_eq!(text(&ended.stderr), expected, "{flags:?}");
    }
}
