//! What clients that are nobody yet can do to those who are somebody.

use std::collections::VecDeque;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringbus_test_support::{Raw, eventually, resident_bytes};

use crate::memory::report;
use crate::{Patient, connect_from, message};

/// Of `secret`, at the cost that `nats server passwd` takes.
const HASH: &str = "$2a$11$abcdefghijklmnopqrstuuViuGI07N4McP9Kl.tD6XMEzyuvcY8LG";

const LOGINS_PER_SECOND: u32 = 100;

/// Seconds of a storm, unless `STORM_SECONDS` says otherwise; `scripts/logins.sh` does.
const STORM_SECONDS: u64 = 4;

/// A storm may add this much to the slowest of a hundred round trips on a machine that does nothing
/// else.
const P99_ADDED_MAX: Duration = Duration::from_millis(5);

/// Clients that say nothing, where the limit of open files allows as many.
const SILENT: usize = 19_000;
const SILENT_BYTES_MAX: usize = 8 << 10;

/// Their deadline; on a machine with much else to do as many of them are taken as connect in half
/// of that.
const SILENCE: Duration = Duration::from_secs(20);

fn start(config: &str) -> (Patient, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("server.conf");
    fs::write(&file, config).unwrap();
    (Patient::start_with(&["-c", &file.display().to_string()]), folder)
}

/// Round trips between two clients, one of which waits for the other; sorted.
fn round_trips(patient: &Patient, options: &str, time: Duration) -> Vec<Duration> {
    let connect = |subject: &str| {
        let mut raw = Raw::client(patient.address(), options).unwrap();
        raw.send(format!("SUB {subject} 1\r\n").as_bytes()).unwrap();
        raw.sync().unwrap();
        raw
    };
    let (mut asker, mut answerer) = (connect("by.answer"), connect("by.ask"));
    let end = Instant::now() + time;
    let mut times = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        asker.send(b"PUB by.ask by.answer 2\r\nhi\r\n").unwrap();
        message(&mut answerer, "MSG by.ask 1 by.answer 2");
        answerer.send(b"PUB by.answer 2\r\nho\r\n").unwrap();
        message(&mut asker, "MSG by.answer 1 2");
        times.push(begun.elapsed());
        thread::sleep(Duration::from_millis(1));
    }
    times.sort();
    times
}

fn p99(times: &[Duration]) -> Duration {
    times[times.len() * 99 / 100]
}

#[test]
fn a_storm_of_logins_takes_nothing_from_others() {
    let config = format!(
        "authorization {{ timeout: 1, users: [ \
           {{ user: ann, password: \"{HASH}\" }}, {{ user: bob, password: b }} ] }}"
    );
    let (patient, _folder) = start(&config);
    let bob = r#"{"verbose":false,"pedantic":false,"user":"bob","pass":"b"}"#;
    let seconds = std::env::var("STORM_SECONDS").ok().and_then(|text| text.parse().ok());
    let storm = Duration::from_secs(seconds.unwrap_or(STORM_SECONDS));
    let calm = p99(&round_trips(&patient, bob, storm / 2));
    let stop = AtomicBool::new(false);
    let (made, judged) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let stormy = thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            let mut open: VecDeque<Raw> = VecDeque::new();
            for number in 0_u32.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let due = begun + Duration::from_secs(1) * number / LOGINS_PER_SECOND;
                thread::sleep(due.saturating_duration_since(Instant::now()));
                let user = if number % 2 == 0 { "ann" } else { "nobody" };
                let mut raw = Raw::connect(patient.address()).unwrap();
                raw.line().unwrap();
                let line = format!("CONNECT {{\"user\":\"{user}\",\"pass\":\"{number}\"}}\r\n");
                raw.send(line.as_bytes()).unwrap();
                open.push_back(raw);
                made.fetch_add(1, Ordering::Relaxed);
                // They stay until they are refused, or their time is over.
                if open.len() > 2 * LOGINS_PER_SECOND as usize
                    && let Some(mut raw) = open.pop_front()
                {
                    raw.more(Instant::now() + Duration::from_millis(1)).unwrap();
                    let refused = raw.pending() == b"-ERR 'Authorization Violation'\r\n";
                    judged.fetch_add(usize::from(refused), Ordering::Relaxed);
                }
            }
        });
        let times = round_trips(&patient, bob, storm);
        stop.store(true, Ordering::Relaxed);
        p99(&times)
    });
    let (made, judged) = (made.into_inner(), judged.into_inner());
    // Those of the last two seconds were not looked at.
    let looked_at = made.saturating_sub(2 * LOGINS_PER_SECOND as usize).max(1);
    let each_second =
        u32::try_from(judged).unwrap() * LOGINS_PER_SECOND / u32::try_from(looked_at).unwrap();
    report(&format!(
        "{made} logins in {storm:?}, of which {judged} of {looked_at} were judged before their \
         time was over, {each_second} a second: p99 of a round trip {calm:?}, then {stormy:?}"
    ));
    assert!(made >= LOGINS_PER_SECOND as usize * 2, "only {made} logins were tried");
    // Where other work shares the cores, the calm is none either.
    assert!(
        stormy <= calm.max(Duration::from_millis(1)) * 2 + P99_ADDED_MAX,
        "{calm:?} {stormy:?}"
    );
    let mut raw = Raw::connect(patient.address()).unwrap();
    raw.line().unwrap();
    raw.send(format!("CONNECT {bob}\r\n").as_bytes()).unwrap();
    raw.sync().unwrap();
}

#[test]
fn silent_clients_are_cheap_and_end_at_the_deadline() {
    let config = format!(
        "authorization {{ user: ann, password: a, timeout: {} }}, max_connections: 30000",
        SILENCE.as_secs()
    );
    let (patient, _folder) = start(&config);
    let pid = patient.server.pid();
    thread::sleep(Duration::from_millis(500));
    let before = resident_bytes(pid);
    let begun = Instant::now();
    let mut clients: Vec<Raw> = (0..patient.at_most(SILENT))
        .take_while(|_| begun.elapsed() < SILENCE / 2)
        .map(|i| {
            let mut raw = Raw::over(connect_from(i, patient.address())).unwrap();
            assert!(raw.line().unwrap().starts_with("INFO {"));
            raw
        })
        .collect();
    let (count, connected) = (clients.len(), begun.elapsed());
    thread::sleep(Duration::from_millis(500));
    let with = resident_bytes(pid);
    let each = with.saturating_sub(before) / count;
    report(&format!("{count} silent clients, there after {connected:?}: {each} bytes each"));
    assert!(each <= SILENT_BYTES_MAX, "a silent client costs {each} bytes");
    assert!(count >= 1000, "only {count} connected in {connected:?}");
    for raw in &mut clients {
        // The first ones have been told already, the last ones are told when their time comes.
        eventually("the end of a silent client", SILENCE + Duration::from_secs(10), || {
            raw.more(Instant::now() + Duration::from_millis(100)).unwrap();
            raw.ended()
        });
        assert_eq!(raw.pending(), b"-ERR 'Authentication Timeout'\r\n");
    }
    assert!(begun.elapsed() >= SILENCE, "{:?}", begun.elapsed());
    let ann = r#"{"verbose":false,"user":"ann","pass":"a"}"#;
    Raw::client(patient.address(), ann).unwrap();
}
