//! What a scrape costs those who exchange messages meanwhile. The figures are printed; what is
//! checked is the middle of them, since other programs disturb the slowest most.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use ringbus_test_support::raise_open_files;

use super::*;

const CONNECTIONS: usize = 20_000;
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 8;

/// More often than anybody scrapes, one endpoint after the other. The slowest of a hundred messages
/// is one that no scrape met as long as scrapes take less than a hundredth of the time.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);

/// What an ordinary round trip may take longer while somebody scrapes.
const ADDED: Duration = Duration::from_micros(50);

const SCRAPES: [&str; 4] = ["/connz?limit=1024&subs=1&sort=msgs_to", "/varz", "/metrics", "/subsz"];

/// Round trips through the server for a while, in order of their length.
fn ping_pong(client: &mut Raw, time: Duration) -> Vec<Duration> {
    let begin = Instant::now();
    let mut trips = Vec::new();
    while begin.elapsed() < time {
        let sent = Instant::now();
        client.send(b"PUB ping 2\r\nhi\r\n").expect("sent");
        let mut line = client.line().expect("the message comes back");
        if line == "PING" {
            client.send(b"PONG\r\n").expect("sent");
            line = client.line().expect("the message comes back");
        }
        assert!(line.starts_with("MSG ping 1 2"), "{line}");
        client.line().expect("its payload");
        trips.push(sent.elapsed());
    }
    trips
}

/// What became of many rounds. Other programs disturb some rounds, so the middle one counts.
#[derive(Default)]
struct Trips {
    count: usize,
    p50: Vec<Duration>,
    p99: Vec<Duration>,
    worst: Duration,
}

impl Trips {
    fn add(&mut self, mut trips: Vec<Duration>) {
        trips.sort_unstable();
        let at = |percent: usize| trips.get(trips.len() * percent / 100).copied();
        self.count += trips.len();
        self.p50.extend(at(50));
        self.p99.extend(at(99));
        self.worst = self.worst.max(trips.last().copied().unwrap_or_default());
    }

    fn p50(&self) -> Duration {
        middle(&self.p50)
    }
}

fn middle(rounds: &[Duration]) -> Duration {
    let mut rounds = rounds.to_vec();
    rounds.sort_unstable();
    rounds.get(rounds.len() / 2).copied().unwrap_or_default()
}

impl std::fmt::Display for Trips {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (p50, p99) = (self.p50(), middle(&self.p99));
        let (count, worst) = (self.count, self.worst);
        write!(f, "{count} round trips; p50 {p50:?}, p99 {p99:?} in the middle round; ")?;
        write!(f, "worst {worst:?}")
    }
}

#[test]
fn a_scrape_of_many_connections_does_not_stall_messages() {
    let count = CONNECTIONS.min(raise_open_files().saturating_sub(300));
    let server = ringbus(2).start(&["-m", "-1"]).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring listens");
    let connect = "{\"verbose\":false,\"name\":\"idle\",\"lang\":\"rust\"}";
    let idle: Vec<TcpStream> = (0..count)
        .map(|index| {
            // More than one address, or local ports run out.
            let mut stream = TcpStream::connect(server.address()).expect("connected");
            write!(stream, "CONNECT {connect}\r\nSUB idle.{index} 1\r\n").expect("sent");
            stream
        })
        .collect();
    eventually("all are connected", Duration::from_secs(60), || {
        json(monitor, "/varz")["subscriptions"] == count
    });
    let mut client = Raw::client(server.address(), "{\"verbose\":false}").expect("it connects");
    client.send(b"SUB ping 1\r\n").expect("sent");
    client.sync().expect("a round trip");
    let scraping = Arc::new(AtomicBool::new(false));
    let ends = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicUsize::new(0));
    let scraper = {
        let (scraping, ends, answered) = (scraping.clone(), ends.clone(), answered.clone());
        thread::spawn(move || {
            let mut paths = SCRAPES.iter().cycle();
            while !ends.load(Ordering::Relaxed) {
                if scraping.load(Ordering::Relaxed)
                    && let Some(path) = paths.next()
                {
                    // A machine that stands still for seconds makes it 503.
                    let good = get(monitor, path).status == 200;
                    answered.fetch_add(usize::from(good), Ordering::Relaxed);
                }
                thread::sleep(SCRAPE_EVERY);
            }
        })
    };
    ping_pong(&mut client, ROUND);
    let (mut quiet, mut busy) = (Trips::default(), Trips::default());
    for _ in 0..ROUNDS {
        quiet.add(ping_pong(&mut client, ROUND));
        scraping.store(true, Ordering::Relaxed);
        busy.add(ping_pong(&mut client, ROUND));
        scraping.store(false, Ordering::Relaxed);
    }
    ends.store(true, Ordering::Relaxed);
    scraper.join().expect("every scrape was answered");
    println!("{count} connections, without scrapes: {quiet}");
    println!("{count} connections, with scrapes:    {busy}");
    println!("{} answers to scrapes", answered.load(Ordering::Relaxed));
    // One a round, more or less; fewer where the machine has other things to do.
    assert!(answered.load(Ordering::Relaxed) >= ROUNDS / 2);
    assert!(busy.p50() <= quiet.p50() * 3 / 2 + ADDED, "{busy}, without: {quiet}");
    drop(idle);
}
