//! The driver on real sockets: sleeping, waking, sharing a core, stopping.
//!
//! The runtime can fall asleep with work at hand when its own timers or wake-ups are used; the
//! driver avoids both. These tests look for the stall that would show if it did not.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringbus_shard::event::{Event, EventSink};
use ringbus_shard::ids::ShardId;
use ringbus_shard::io::{Running, StartOptions, start};
use ringbus_shard::limits::Limits;
use ringbus_shard::options::{Open, Options};
use ringbus_shard::wire::info::Info;

/// Far above any delay of a loaded machine, far below for ever.
const STALL: Duration = Duration::from_secs(3);

struct Silent;

impl EventSink for Silent {
    fn record(&mut self, _: Event) {}

    fn shard_failed(&mut self, shard: ShardId, reason: &str) {
        panic!("shard {shard}: {reason}");
    }

    fn accept_failed(&mut self, reason: &str, _: Duration) {
        panic!("accept: {reason}");
    }
}

/// Shards on these cores, and where they listen.
fn serve(cores: &[usize]) -> (Running, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let running = start(StartOptions {
        cores: cores.to_vec(),
        listener,
        shared: false,
        options: Options {
            info: Info { headers: true, ..Info::default() },
            limits: Limits::default(),
            authenticator: Arc::new(Open),
            accounts: Arc::default(),
            transports: None,
            trace: false,
            traced_payload_max: 0,
        },
        spin: Duration::ZERO,
        rest: None,
        events: Box::new(|_| Box::new(Silent)),
    })
    .unwrap();
    (running, port)
}

struct Client(BufReader<TcpStream>);

impl Client {
    /// Connected, and known to its shard.
    fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(STALL)).unwrap();
        let mut client = Self(BufReader::new(stream));
        client.say("CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
        while client.line() != "PONG" {}
        client
    }

    fn say(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let read = self.0.read_line(&mut line).expect("a shard stalled");
        assert!(read > 0, "the connection ended");
        line.trim_end().to_owned()
    }

    /// The next message, and not a PING in between.
    fn message(&mut self) -> String {
        loop {
            let line = self.line();
            if line.starts_with("MSG") {
                return self.line();
            }
            if line == "PING" {
                self.say("PONG\r\n");
            }
        }
    }
}

/// Two clients that answer each other, on two shards if there are two.
struct Pair(Client, Client);

impl Pair {
    fn connect(port: u16) -> Self {
        let mut pair = Self(Client::connect(port), Client::connect(port));
        pair.0.say("SUB left 1\r\nPING\r\n");
        pair.1.say("SUB right 1\r\nPING\r\n");
        while pair.0.line() != "PONG" {}
        while pair.1.line() != "PONG" {}
        pair
    }

    fn round_trip(&mut self) -> Duration {
        let begun = Instant::now();
        self.0.say("PUB right 2\r\nhi\r\n");
        assert_eq!(self.1.message(), "hi");
        self.1.say("PUB left 2\r\nho\r\n");
        assert_eq!(self.0.message(), "ho");
        begun.elapsed()
    }
}

#[test]
fn sleeping_shards_wake_for_each_other() {
    let (running, port) = serve(&[0, 1, 0]);
    let mut pair = Pair::connect(port);
    let mut pauses = fastrand::Rng::with_seed(1);
    let mut worst = Duration::ZERO;
    for _ in 0..2000 {
        thread::sleep(Duration::from_micros(pauses.u64(0..1500)));
        worst = worst.max(pair.round_trip());
    }
    assert!(worst < STALL, "{worst:?}");
    running.stop(Duration::from_secs(1));
}

#[test]
fn shards_on_one_core_with_a_hog_never_stall() {
    let (running, port) = serve(&[0, 0]);
    let ends = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..2)
        .map(|_| {
            let ends = Arc::clone(&ends);
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            })
        })
        .collect();
    let mut pair = Pair::connect(port);
    let begun = Instant::now();
    let (mut worst, mut rounds) = (Duration::ZERO, 0);
    while begun.elapsed() < Duration::from_secs(4) {
        worst = worst.max(pair.round_trip());
        rounds += 1;
    }
    ends.store(true, Ordering::Relaxed);
    for hog in hogs {
        hog.join().unwrap();
    }
    assert!(worst < STALL && rounds > 20, "{rounds} rounds, the worst {worst:?}");
    running.stop(Duration::from_secs(1));
}

/// Long enough that the shard leaves the socket alone for a while, receives as it comes again, and
/// so on: what was sent arrives in order, whichever way each of it was read.
#[test]
fn a_publisher_with_one_message_per_write_is_read_in_order() {
    let (running, port) = serve(&[0, 1]);
    let mut subscriber = Client::connect(port);
    subscriber.say("SUB numbers 1\r\nPING\r\n");
    while subscriber.line() != "PONG" {}
    let mut publisher = Client::connect(port);
    let publishing = thread::spawn(move || {
        let (begun, mut sent) = (Instant::now(), 0u64);
        while begun.elapsed() < Duration::from_millis(1500) {
            for _ in 0..100 {
                publisher.say(&format!("PUB numbers 10\r\n{sent:010}\r\n"));
                sent += 1;
            }
            if sent % 20_000 == 0 {
                // A pause shows the shard that there is nothing to gather.
                thread::sleep(Duration::from_millis(1));
            }
        }
        publisher.say("PUB numbers 4\r\nlast\r\n");
        // It stays: one that left with an INFO unread would reset the connection.
        (sent, publisher)
    });
    let mut received = 0;
    loop {
        let text = subscriber.message();
        if text == "last" {
            break;
        }
        assert_eq!(text.parse(), Ok(received));
        received += 1;
    }
    assert_eq!(publishing.join().unwrap().0, received);
    running.stop(Duration::from_secs(1));
}

/// Publishers that never let their socket run dry take turns, and those who say little do not wait
/// for them. Other programs may take the cores from some of them for a while, but hardly so in each
/// round, as a shard would that is unfair.
#[test]
fn a_flood_leaves_others_their_share() {
    const FLOODS: usize = 3;
    const ROUNDS_MAX: usize = 5;
    let (running, port) = serve(&[0]);
    let ends = Arc::new(AtomicBool::new(false));
    let sent: Arc<[AtomicU64; FLOODS]> = Arc::default();
    let floods: Vec<_> = (0..FLOODS)
        .map(|number| {
            let (ends, sent) = (Arc::clone(&ends), Arc::clone(&sent));
            thread::spawn(move || {
                let mut client = Client::connect(port);
                let batch = "PUB nobody 0\r\n\r\n".repeat(4_000);
                while !ends.load(Ordering::Relaxed) {
                    client.say(&batch);
                    sent[number].fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let mut client = Client::connect(port);
    let mut seen = Vec::new();
    let fair = (0..ROUNDS_MAX).any(|_| {
        let before = sent.each_ref().map(|sent| sent.load(Ordering::Relaxed));
        let (begun, mut worst) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(2) {
            let asked = Instant::now();
            client.say("PING\r\n");
            // Each is answered before long, whatever the round is like.
            while client.line() != "PONG" {}
            worst = worst.max(asked.elapsed());
            thread::sleep(Duration::from_millis(5));
        }
        let after = sent.each_ref().map(|sent| sent.load(Ordering::Relaxed));
        let counts: [u64; FLOODS] = std::array::from_fn(|number| after[number] - before[number]);
        seen.push((worst, counts));
        let (least, most) = (*counts.iter().min().unwrap(), *counts.iter().max().unwrap());
        worst < Duration::from_secs(1) && least > 0 && least * 4 >= most
    });
    ends.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.join().unwrap();
    }
    assert!(fair, "{seen:?}");
    running.stop(Duration::from_secs(1));
}

#[test]
fn stopping_ends_every_connection_and_all_shards() {
    let (running, port) = serve(&[0, 1]);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(port)).collect();
    assert_eq!(running.connections(), 20);
    let begun = Instant::now();
    let readers: Vec<_> = clients
        .drain(..)
        .map(|mut client| {
            thread::spawn(move || {
                let mut rest = String::new();
                while client.0.read_line(&mut rest).unwrap() > 0 {}
            })
        })
        .collect();
    running.stop(Duration::from_secs(5));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    for reader in readers {
        reader.join().unwrap();
    }
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens any more");
}

#[test]
fn clients_that_leave_are_forgotten() {
    let (running, port) = serve(&[0, 1]);
    for _ in 0..3 {
        let clients: Vec<Client> = (0..50).map(|_| Client::connect(port)).collect();
        assert_eq!(running.connections(), 50);
        drop(clients);
        let begun = Instant::now();
        while running.connections() > 0 {
            assert!(begun.elapsed() < STALL, "{} are still there", running.connections());
            thread::sleep(Duration::from_millis(5));
        }
    }
    running.stop(Duration::from_secs(1));
}
