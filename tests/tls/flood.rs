//! More clients than can shake hands: those that say hello and nothing more, and those that say
//! nothing at all.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use ringbus_test_support::{raise_open_files, resident_bytes};

use super::*;

/// Who says hello again and again.
const FLOODERS: usize = 2;
const FLOOD: Duration = Duration::from_secs(4);

/// Floods that are tried, where other programs have the cores meanwhile.
const FLOODS_MAX: usize = 3;

/// Clients that say nothing, or begin to say hello; more of them if `SILENT` says so.
const SILENT: usize = 2_000;
const SILENT_BYTES_MAX: usize = 8 << 10;
const SILENCE: Duration = Duration::from_secs(10);

/// So many more of them have a second more.
const MORE: usize = 400;

/// The first flight of a client.
fn hello(authority: &Authority, tcp: TcpStream) -> Vec<u8> {
    let mut flight = Vec::new();
    authority.client(tcp, None, None).conn.write_tls(&mut flight).expect("a hello");
    flight
}

fn round_trip(link: &mut Link) {
    link.says("PING\r\n");
    // The server may ask, too.
    while line(&mut link.0) != "PONG\r\n" {}
}

/// So many round trips within this time.
fn round_trips(link: &mut Link, time: Duration) -> (usize, Duration) {
    let (begin, mut count, mut longest) = (Instant::now(), 0, Duration::ZERO);
    while begin.elapsed() < time {
        let sent = Instant::now();
        round_trip(link);
        longest = longest.max(sent.elapsed());
        count += 1;
    }
    (count, longest)
}

/// What came of a flood.
struct Flood {
    /// From those who say nothing more.
    hellos: usize,
    /// Of somebody who was there before.
    trips: usize,
    longest: Duration,
    /// Clients that tried to come, and that came.
    tried: usize,
    came: usize,
}

impl Flood {
    fn of(served: &Served, here: &mut Link) -> Self {
        let hello = hello(&served.authority, served.plain());
        let (over, hellos) = (AtomicBool::new(false), AtomicUsize::new(0));
        let address = served.address();
        let (trips, longest, (tried, came)) = thread::scope(|scope| {
            for _ in 0..FLOODERS {
                scope.spawn(|| {
                    // So many of each at a time; the oldest goes when the next comes.
                    let (begin, mut open) = (Instant::now(), VecDeque::new());
                    // It ends where the test fails, too.
                    while !over.load(Ordering::Relaxed) && begin.elapsed() < FLOOD * 5 {
                        let Ok(mut tcp) = TcpStream::connect(address) else { continue };
                        if tcp.write_all(&hello).is_ok() {
                            hellos.fetch_add(1, Ordering::Relaxed);
                        }
                        open.push_back(tcp);
                        // They share the cores with the server: a flood of connections is not what
                        // this is about.
                        thread::sleep(Duration::from_micros(200));
                        if open.len() > 1_000 {
                            open.pop_front();
                        }
                    }
                });
            }
            let coming = scope.spawn(|| {
                let (begin, mut tried, mut came) = (Instant::now(), 0, 0);
                // Where little of the cores is left, somebody comes in all the same, but later.
                while begin.elapsed() < FLOOD || (came == 0 && begin.elapsed() < FLOOD * 4) {
                    tried += 1;
                    came += usize::from(served.shake(served.plain(), None).enters(""));
                }
                (tried, came)
            });
            let (trips, longest) = round_trips(here, FLOOD);
            let counts = coming.join().expect("it does not fail");
            over.store(true, Ordering::Relaxed);
            (trips, longest, counts)
        });
        Self { hellos: hellos.into_inner(), trips, longest, tried, came }
    }

    /// The flood shares the cores with everybody here: not as many as before, but always some.
    fn leaves_enough(&self) -> bool {
        let Self { hellos, trips, longest, came, .. } = *self;
        hellos > 500 && longest < Duration::from_secs(2) && trips > 8 && came >= 1
    }
}

#[test]
fn a_flood_of_hellos_stops_neither_those_who_are_here_nor_those_who_come() {
    let served = Served::by(&ringbus(2), "timeout: 2, handshake_first: true", "");
    let mut here = served.shake(served.plain(), None);
    assert!(here.enters(""));
    let (calm, _) = round_trips(&mut here, Duration::from_secs(1));
    // Other programs may disturb one flood, but hardly each of them.
    let mut seen = String::new();
    let enough = (0..FLOODS_MAX).any(|_| {
        let flood = Flood::of(&served, &mut here);
        let Flood { hellos, trips, longest, tried, came } = flood;
        let text = format!(
            "{hellos} hellos in {FLOOD:?}: {} round trips a second, {calm} before, the longest \
             took {longest:?}; {came} of {tried} clients came in\n",
            trips / 4
        );
        let _ = write!(std::io::stderr(), "{text}");
        seen.push_str(&text);
        flood.leaves_enough()
    });
    assert!(enough, "{seen}");
    assert!(served.client_comes_in_when_it_is_over(), "{seen}");
}

impl Served {
    fn client_comes_in_when_it_is_over(&self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if self.shake(self.plain(), None).enters("") {
                return true;
            }
        }
        false
    }
}

/// What a silent client costs, and how it ends.
fn silence(begin: &[u8], end: &str) {
    let most = std::env::var("SILENT").ok().and_then(|count| count.parse().ok()).unwrap_or(SILENT);
    let most = most.min(raise_open_files() - 200);
    let silence = SILENCE.max(Duration::from_secs((most / MORE) as u64));
    let more = format!("timeout: {}", silence.as_secs());
    let served = Served::by(&ringbus(2), &more, "max_connections: 30000");
    let (mut here, _) = served.client(None);
    assert!(here.enters(""));
    let pid = served.server.pid();
    let before = resident_bytes(pid);
    let start = Instant::now();
    let mut clients = Vec::new();
    while clients.len() < most && start.elapsed() < silence / 2 {
        // The server counts from when it accepts, which is no earlier than this.
        let came = Instant::now();
        let mut tcp = served.plain();
        assert!(line(&mut tcp).starts_with("INFO {"));
        tcp.write_all(begin).expect("sent");
        clients.push((tcp, came));
    }
    round_trip(&mut here);
    let count = clients.len();
    let each = resident_bytes(pid).saturating_sub(before) / count;
    let text = format!("{count} clients that said {} bytes: {each} bytes each", begin.len());
    let _ = writeln!(std::io::stderr(), "{text}");
    assert!(count >= 500 && each <= SILENT_BYTES_MAX, "{text}");
    for (mut tcp, came) in clients {
        tcp.set_read_timeout(Some(silence + PATIENCE)).expect("a timeout can be set");
        assert_eq!(rest(&mut tcp), end);
        assert!(came.elapsed() >= silence - Duration::from_millis(100), "{:?}", came.elapsed());
    }
    assert!(start.elapsed() < silence * 2 + PATIENCE, "{:?}", start.elapsed());
    round_trip(&mut here);
}

#[test]
fn who_says_nothing_is_cheap_and_ends_at_the_deadline() {
    silence(b"", "-ERR 'Secure Connection - TLS Required'\r\n");
}

#[test]
fn who_begins_to_say_hello_is_cheap_and_ends_at_the_deadline() {
    silence(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "");
}
