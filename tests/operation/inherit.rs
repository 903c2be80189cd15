//! A listener from the service manager: a socket that is passed as descriptor 3. Its first copy
//! stays here, as it stays with the manager.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{F_GETFL, OFlag, fcntl};
use ringbus_test_support::{PATIENCE, Raw, eventually};
use rustix::process::Signal;
use socket2::SockRef;
use tempfile::TempDir;

use super::{CLIENT, FLAGS, Process};

/// Becomes the server, with its standard input as descriptor 3.
const ONE: &str = r#"export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@" 3<&0 0</dev/null"#;

/// The same, and once more as descriptor 4.
const TWO: &str = r#"export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@" 3<&0 4<&0 0</dev/null"#;

/// For another process: this one has inherited the environment by mistake.
const OTHER: &str = r#"export LISTEN_FDS=1 LISTEN_PID=1; exec "$@" 3<&0 0</dev/null"#;

fn pass(script: &str, socket: impl Into<OwnedFd>) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_ringbus")]).args(FLAGS);
    command.stdin(Stdio::from(socket.into()));
    Process::spawn(TempDir::new().unwrap(), &mut command)
}

fn listener() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // As some managers pass it. The server accepts through io_uring, which must then not spin.
    listener.set_nonblocking(true).unwrap();
    listener
}

/// Whether whoever connects now is for us.
fn is_ours(listener: &TcpListener) -> bool {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    // A server that has not let go of it yet must have the time to show it.
    std::thread::sleep(Duration::from_millis(50));
    SockRef::from(listener).set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    match listener.accept() {
        Ok((_, peer)) => peer == client.local_addr().unwrap(),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "it listens no more");
            false
        }
    }
}

#[test]
fn it_is_served_and_goes_on_listening_after_each_server() {
    let listener = listener();
    let address = listener.local_addr().unwrap();
    // This one connects while there is no server at all, and waits.
    let mut early = TcpStream::connect(address).unwrap();
    for _ in 0..5 {
        let mut process = pass(ONE, listener.try_clone().unwrap());
        assert_eq!(process.address(), address);
        let flags = OFlag::from_bits_retain(fcntl(&listener, F_GETFL).unwrap());
        assert!(!flags.contains(OFlag::O_NONBLOCK), "an accept of io_uring would spin");
        let mut client = Raw::client(address, CLIENT).unwrap();
        let info = client.line().unwrap();
        assert!(info.contains(&format!("\"port\":{},", address.port())), "{info}");
        client.sync().unwrap();
        early.set_read_timeout(Some(PATIENCE)).unwrap();
        assert!(early.peek(&mut [0; 4]).unwrap() > 0, "who came early is not served");
        process.signal(Signal::INT);
        assert_eq!(process.wait().code(), Some(0));
        // The very next one, not only one after the rings of the process are gone.
        assert!(is_ours(&listener));
        early = TcpStream::connect(address).unwrap();
    }
}

#[test]
fn a_lame_duck_leaves_newcomers_to_the_next_server() {
    let listener = listener();
    let mut process = pass(ONE, listener.try_clone().unwrap());
    let mut client = Raw::client(process.address(), CLIENT).unwrap();
    assert!(client.line().unwrap().contains("\"connect_info\":true"));
    process.signal(Signal::USR2);
    let info = client.line().unwrap();
    assert!(info.contains("\"ldm\":true"), "{info}");
    // The shard that accepts may hear of it later than that of the client.
    eventually("newcomers are left alone", PATIENCE, || is_ours(&listener));
    client.sync().unwrap();
    assert!(is_ours(&listener));
    drop(client);
    assert_eq!(process.wait().code(), Some(0));
    assert!(is_ours(&listener));
}

#[test]
fn every_other_socket_ends_the_start_with_one_line() {
    let folder = TempDir::new().unwrap();
    let accepting = listener();
    let connected = TcpStream::connect(accepting.local_addr().unwrap()).unwrap();
    let unix = UnixListener::bind(folder.path().join("socket")).unwrap();
    let file = File::create(folder.path().join("file")).unwrap();
    let cases: [(&str, OwnedFd, &str); 5] = [
        (ONE, UdpSocket::bind("127.0.0.1:0").unwrap().into(), "fd 3 is not a valid tcp socket"),
        (ONE, unix.into(), "fd 3 is not a valid tcp socket"),
        (ONE, file.into(), "fd 3 is not a socket"),
        (ONE, connected.into(), "it does not listen"),
        (TWO, accepting.into(), "must pass one socket, to listen for clients, but LISTEN_FDS is"),
    ];
    for (script, socket, expected) in cases {
        let mut process = pass(script, socket);
        assert_eq!(process.wait().code(), Some(1), "{expected}");
        let text = process.text("stderr");
        assert!(text.starts_with("ringbus: the service manager must pass "), "{text}");
        assert!(text.contains(expected), "{text} is not about {expected}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn a_socket_for_another_process_is_left_alone() {
    let listener = listener();
    let process = pass(OTHER, listener.try_clone().unwrap());
    assert_ne!(process.address(), listener.local_addr().unwrap());
    assert!(is_ours(&listener));
}
