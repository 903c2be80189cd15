//! The monitoring port of the real process: field by field against nats-server, with nonsense, with
//! planted secrets, and under load.
//!
//! What nats-server 2.15 answers is kept in `fields.txt`; where one is at hand it is asked itself,
//! so that the file stays true.

mod fields;
mod https;
mod load;
mod nonsense;
mod secrets;
mod text;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringbus_test_support::{PATIENCE, Program, Raw, Server, eventually};
use serde_json::Value;

/// An answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

/// Asks for a path, as simply as can be.
fn get(server: SocketAddr, path: &str) -> Answer {
    get_with(server, path, "")
}

/// The same with more header lines.
fn get_with(server: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut stream = TcpStream::connect(server).expect("monitoring listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
    write!(stream, "GET {path} HTTP/1.0\r\nHost: h\r\n{headers}\r\n").expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

fn json(server: SocketAddr, path: &str) -> Value {
    let answer = get(server, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}: {}", answer.body))
}

fn ringbus(shards: usize) -> Program {
    Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), shards)
}

const USER: [&str; 6] = ["-m", "-1", "--user", "ann", "--pass", "s3cret"];

const CONNECT: &str = r#"{"verbose":false,"pedantic":false,"user":"ann","pass":"s3cret",
    "name":"one","lang":"rust","version":"1.2.3","headers":true,"echo":true}"#;

/// A server with a bit of everything: a client with subscriptions, messages, one that has left.
struct Scene {
    server: Server,
    monitor: SocketAddr,
    client: Raw,
}

fn scene(program: &Program) -> Scene {
    let server = program.start(&USER).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring is in the ports file");
    let connect = CONNECT.replace('\n', " ");
    let mut client = Raw::client(server.address(), &connect).expect("a client connects");
    client
        .send(b"SUB foo.> 1\r\nSUB bar.* workers 2\r\nSUB baz 3\r\nUNSUB 3 100\r\n")
        .expect("sent");
    let mut leaver = Raw::client(server.address(), &connect).expect("another");
    leaver.send(b"SUB gone 1\r\nPUB foo.x 5\r\nhello\r\n").expect("sent");
    leaver.sync().expect("a round trip");
    drop(leaver);
    let mut line = client.line().expect("a line");
    while !line.starts_with("MSG foo.x 1 5") {
        line = client.line().expect("a line");
    }
    eventually("the leaver is gone", Duration::from_secs(5), || {
        json(monitor, "/connz?state=closed")["total"] == 1
    });
    Scene { server, monitor, client }
}
