//! What bad clients and bad luck do to the process: nothing that others would notice.
//!
//! Every test starts a server of its own, hurts it from outside over loopback, and ends with the
//! same two questions: did unrelated traffic flow all the while, and does the server still
//! answer? The tests run one at a time, because they measure memory, time and open files.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod hostile;
mod killed;
mod logins;
mod memory;
mod stalled;

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringbus_test_support::{Program, Raw, Server, raise_open_files};
use socket2::{Domain, Socket, Type};

const SHARDS: usize = 2;

/// What an ordinary client says of itself.
const CLIENT: &str = r#"{"verbose":false,"pedantic":false,"headers":true}"#;

/// A round trip of unrelated traffic may take this long in the worst moment of a test, on a
/// machine that has the attackers to run as well.
const WORST_ROUND_TRIP: Duration = Duration::from_secs(1);

/// Files the test process needs besides the connections of a test.
const FILES_RESERVED: usize = 1_000;

/// A server, and the right to be the only test that runs.
struct Patient {
    server: Server,
    open_files: usize,
    _alone: MutexGuard<'static, ()>,
}

impl Patient {
    fn start() -> Self {
        Self::start_as(env!("CARGO_BIN_EXE_ringbus"), &[])
    }

    fn start_with(flags: &[&str]) -> Self {
        Self::start_as(env!("CARGO_BIN_EXE_ringbus"), flags)
    }

    /// Starts what `command` leads to: the server, or a script that ends in it.
    fn start_as(command: &str, flags: &[&str]) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        // A test that failed has dropped its server all the same.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let open_files = raise_open_files();
        let program = Program::ringbus(command, SHARDS);
        let server = program.start(flags).unwrap();
        Self { server, open_files, _alone: alone }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn client(&self) -> Raw {
        Raw::client(self.address(), CLIENT).unwrap()
    }

    /// As many connections as wanted, or as many as the limit of open files allows.
    fn at_most(&self, wanted: usize) -> usize {
        wanted.min(self.open_files.saturating_sub(FILES_RESERVED))
    }

    /// The server runs and answers.
    fn check(mut self) {
        if let Some(ended) = self.server.ended() {
            panic!("{ended}");
        }
        self.client().sync().unwrap();
    }
}

/// Connects from one of several loopback addresses, so that local ports do not run out.
fn connect_from(index: usize, to: SocketAddr) -> TcpStream {
    let host = u8::try_from(2 + index % 8).unwrap();
    let from = SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0));
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Closes with a reset instead of an orderly end.
fn reset(stream: TcpStream) {
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Two clients that mind their own business: each message of one is answered by the other.
struct Bystanders {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Observed>,
}

/// What the bystanders noticed.
#[derive(Clone, Copy, Debug, Default)]
struct Observed {
    round_trips: u64,
    worst: Duration,
}

impl Bystanders {
    fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let mut asker = Raw::client(address, CLIENT).unwrap();
        let mut answerer = Raw::client(address, CLIENT).unwrap();
        asker.send(b"SUB by.answer 1\r\n").unwrap();
        asker.sync().unwrap();
        answerer.send(b"SUB by.ask 1\r\n").unwrap();
        answerer.sync().unwrap();
        let thread = thread::spawn(move || {
            let mut observed = Observed::default();
            while !stopped.load(Ordering::Relaxed) {
                let begin = Instant::now();
                asker.send(b"PUB by.ask by.answer 2\r\nhi\r\n").unwrap();
                message(&mut answerer, "MSG by.ask 1 by.answer 2");
                answerer.send(b"PUB by.answer 2\r\nho\r\n").unwrap();
                message(&mut asker, "MSG by.answer 1 2");
                observed.worst = observed.worst.max(begin.elapsed());
                observed.round_trips += 1;
                thread::sleep(Duration::from_millis(1));
            }
            observed
        });
        Self { stop, thread }
    }

    /// Ends the traffic and makes sure that it flowed.
    fn check(self) -> Observed {
        self.stop.store(true, Ordering::Relaxed);
        let observed = self.thread.join().expect("bystanders were disturbed");
        assert!(observed.round_trips > 0, "bystanders came to a halt: {observed:?}");
        assert!(observed.worst < WORST_ROUND_TRIP, "bystanders had to wait: {observed:?}");
        observed
    }
}

/// Takes a message with this control line; PINGs of the server are answered on the way.
fn message(raw: &mut Raw, control: &str) {
    loop {
        let line = raw.line().unwrap();
        if line == "PING" {
            raw.send(b"PONG\r\n").unwrap();
        } else {
            assert_eq!(line, control);
            raw.line().unwrap();
            return;
        }
    }
}
