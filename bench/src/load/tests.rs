//! All roles against a tiny broker that is right, or wrong in one chosen way: a harness that does
//! not notice a lost message measures nothing.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use super::*;
use crate::check::CheckFailure;
use crate::scenario::{Crowd, Delivery, Load, OpenLoop, Requests, Stream};

/// The message that a faulty broker treats wrongly.
const FAULTY: usize = 100;
/// The message that a stalling broker takes its time for, and how much.
const STALLING: usize = 300;
const STALL: Duration = Duration::from_millis(300);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Loss,
    Repeat,
    Swap,
    Damage,
    Error,
    Stall,
}

#[derive(Debug)]
struct Subscription {
    pattern: String,
    group: bool,
    sid: String,
    to: Arc<TcpStream>,
}

#[derive(Debug)]
struct Broker {
    fault: Fault,
    messages: usize,
    subscriptions: Vec<Subscription>,
    held: Option<(String, Vec<u8>)>,
}

/// Listens until the test process ends.
fn broker(fault: Fault) -> SocketAddr {
    let broker = Broker { fault, messages: 0, subscriptions: Vec::new(), held: None };
    let broker = Arc::new(Mutex::new(broker));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (broker, stream) = (Arc::clone(&broker), Arc::new(stream.unwrap()));
            thread::spawn(move || serve(&broker, &stream));
        }
    });
    addr
}

fn serve(broker: &Mutex<Broker>, stream: &Arc<TcpStream>) -> Option<()> {
    stream.as_ref().write_all(b"INFO {}\r\n").ok()?;
    let mut input = BufReader::new(stream.as_ref());
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let mut broker: MutexGuard<'_, Broker> = broker.lock().ok()?;
        match words.as_slice() {
            ["PING"] => stream.as_ref().write_all(b"PING\r\nPONG\r\n").ok()?,
            ["SUB", pattern, group @ .., sid] => broker.subscriptions.push(Subscription {
                pattern: (*pattern).to_owned(),
                group: !group.is_empty(),
                sid: (*sid).to_owned(),
                to: Arc::clone(stream),
            }),
            ["UNSUB", sid] => broker
                .subscriptions
                .retain(|known| known.sid != *sid || !Arc::ptr_eq(&known.to, stream)),
            ["PUB", subject, reply @ .., size] => {
                let mut payload = vec![0; size.parse::<usize>().ok()? + 2];
                input.read_exact(&mut payload).ok()?;
                let middle = reply.first().map(|reply| format!(" {reply}")).unwrap_or_default();
                broker.publish(subject, &format!("{middle} {size}"), payload);
                // At any moment, also in the middle of what the publisher is writing.
                if broker.messages.is_multiple_of(3) {
                    stream.as_ref().write_all(b"PING\r\n").ok()?;
                }
            }
            [] => return None,
            _ => {}
        }
    }
}

impl Broker {
    fn publish(&mut self, subject: &str, rest: &str, mut payload: Vec<u8>) {
        self.messages += 1;
        let now = self.messages == FAULTY;
        match self.fault {
            Fault::Loss if now => return,
            Fault::Repeat if now => self.deliver(subject, rest, &payload),
            Fault::Damage if now => payload[0] ^= 1,
            Fault::Swap if now => {
                self.held = Some((format!("{subject} {rest}"), payload));
                return;
            }
            Fault::Error if now => {
                for subscription in &self.subscriptions {
                    subscription.to.as_ref().write_all(b"-ERR 'Slow Consumer'\r\n").ok();
                }
            }
            Fault::Stall if self.messages == STALLING => thread::sleep(STALL),
            _ => {}
        }
        self.deliver(subject, rest, &payload);
        if let Some((line, payload)) = self.held.take() {
            let (subject, rest) = line.split_once(' ').unwrap();
            self.deliver(subject, rest, &payload);
        }
    }

    fn deliver(&self, subject: &str, rest: &str, payload: &[u8]) {
        let matches = |known: &&Subscription| {
            known.pattern == subject
                || known.pattern.strip_suffix('>').is_some_and(|head| subject.starts_with(head))
        };
        let matching: Vec<&Subscription> = self.subscriptions.iter().filter(matches).collect();
        let turn = self.messages % matching.len().max(1);
        for (idx, subscription) in matching.iter().enumerate() {
            if !subscription.group || idx == turn {
                let mut frame =
                    format!("MSG {subject} {}{rest}\r\n", subscription.sid).into_bytes();
                frame.extend_from_slice(payload);
                // A client that has ended its run is no concern of the broker.
                subscription.to.as_ref().write_all(&frame).ok();
                subscription.to.as_ref().write_all(b"PING\r\n").ok();
            }
        }
    }
}

fn timing() -> Timing {
    let short = Duration::from_millis(100);
    Timing { warm_up: short, steady: short, patience: Duration::from_millis(500) }
}

fn stream(publishers: usize, subscribers: usize) -> Stream {
    Stream {
        publishers,
        subscribers,
        size: 1_024,
        delivery: Delivery::All,
        subjects: 1,
        batched: true,
    }
}

/// A broker, and nothing beside it. The process measured is our own.
fn site(fault: Fault) -> Site {
    Site {
        door: Door::new(broker(fault), None, None).unwrap(),
        responders: None,
        monitor: None,
        threads: 2,
        server: std::process::id(),
        timing: timing(),
        beside: Beside::default(),
    }
}

fn run_stream(stream: &Stream, fault: Fault) -> Result<Sample> {
    stream::run(stream, &site(fault))
}

fn good(stream: &Stream) -> Sample {
    let sample = run_stream(stream, Fault::None).unwrap();
    assert!(sample.operations > 0 && sample.cpu_ns > 0.0, "{sample:?}");
    sample
}

#[test]
fn every_kind_of_stream_arrives_whole() {
    assert_eq!(good(&stream(1, 0)).unit, "message");
    assert_eq!(good(&stream(1, 3)).unit, "delivery");
    good(&stream(4, 1));
    good(&Stream { batched: false, ..stream(2, 2) });
    good(&Stream { delivery: Delivery::Queue, ..stream(2, 3) });
    good(&Stream { delivery: Delivery::Pairs, ..stream(3, 3) });
    good(&Stream { subjects: 100, ..stream(1, 1) });
}

#[test]
fn what_goes_on_beside_is_told_and_not_counted() {
    let beside = Beside { idle: 3, churn_per_second: 2_000, ..Beside::default() };
    let site = Site { beside, ..site(Fault::None) };
    let sample = stream::run(&stream(1, 2), &site).unwrap();
    assert!(sample.churn_per_second.unwrap() > 0.0 && sample.messages_per_read.unwrap() > 0.0);
    assert_eq!((sample.stalled_replaced, sample.scrapes), (None, None));
    let published = sample.published_per_second.unwrap();
    assert!((published * 2.0 - sample.per_second).abs() < 1.0, "{sample:?}");
    let beside = Beside { scrapes_per_second: 1, ..beside };
    let error = stream::run(&stream(1, 2), &Site { beside, ..site }).unwrap_err();
    assert!(error.to_string().contains("no monitoring port"), "{error:#}");
}

#[test]
fn every_fault_voids_the_run() {
    for fault in [Fault::Loss, Fault::Repeat, Fault::Swap, Fault::Damage, Fault::Error] {
        for delivery in [Delivery::All, Delivery::Queue] {
            let error = run_stream(&Stream { delivery, ..stream(1, 2) }, fault).unwrap_err();
            assert!(error.is::<CheckFailure>(), "{fault:?} {delivery:?}: {error:#}");
        }
    }
}

#[test]
fn requests_are_answered_and_a_lost_one_is_noticed() {
    let plan = Requests { requesters: 5, responders: 2, size: 128 };
    let sample = request::run(&plan, &site(Fault::None)).unwrap();
    let latency = sample.latency.unwrap();
    assert!(latency.p50_us > 0.0 && latency.p50_us <= latency.max_us);
    let plan = Requests { requesters: 5, responders: 1, size: 128 };
    let error = request::run(&plan, &site(Fault::Loss)).unwrap_err();
    assert!(error.is::<CheckFailure>(), "{error:#}");
}

#[test]
fn clients_are_cut_to_the_files_that_may_be_open() {
    let shape = Shape::Request(Requests { requesters: 2_000, responders: 1, size: 16 });
    let beside = Beside { idle: 10_000, ..Beside::default() };
    let scenario = Scenario { name: "x".to_owned(), shape, beside, setup: None };
    let (beside, reduced) = within_limits(&scenario, 20_000).unwrap();
    assert_eq!((beside.idle, reduced), (10_000, None));
    let (beside, reduced) = within_limits(&scenario, 4_096).unwrap();
    assert!(beside.idle < 2_000 && reduced.is_some(), "{beside:?}");
    let error = within_limits(&scenario, 1_024).unwrap_err();
    assert!(error.is::<CheckFailure>(), "{error:#}");
}

#[test]
fn idle_crowd_is_counted() {
    let crowd = Crowd { connections: 20, at_once: 3 };
    let sample = crowd::run(&crowd, &site(Fault::None)).unwrap();
    assert_eq!((sample.operations, sample.unit.as_str()), (20, "connect"));
    assert_eq!((sample.latency.unwrap().count, sample.reduced), (20, None));
}

/// One message per millisecond, 100 ms warm-up, 600 ms that count.
fn run_open(open: &OpenLoop, fault: Fault) -> Result<Latency> {
    let timing = Timing { steady: Duration::from_millis(600), ..timing() };
    let sample = open::run(open, &Site { timing, ..site(fault) })?;
    assert!(sample.cpu_ns > 0.0 && sample.unit == "delivery");
    Ok(sample.latency.unwrap())
}

fn slow_loop(subscribers: usize, size: usize) -> OpenLoop {
    OpenLoop { subscribers, size, load: Load::PerSecond(1_000) }
}

#[test]
fn open_loop_counts_every_message_that_was_due() {
    let latency = run_open(&slow_loop(3, 16), Fault::None).unwrap();
    assert_eq!((latency.measured, latency.count), (Loop::Open, 3 * 600));
    assert!(latency.p50_us > 0.0 && latency.p50_us <= latency.p9999_us, "{latency:?}");
    assert!(latency.p9999_us <= latency.max_us * 1.001, "{latency:?}");
    assert_eq!(latency.schedule.unwrap().peak_per_second, None);
}

#[test]
fn part_of_the_peak_is_measured_first() {
    let open = OpenLoop { load: Load::PercentOfPeak(10), ..slow_loop(1, 1_024) };
    let kept = run_open(&open, Fault::None).unwrap().schedule.unwrap();
    let peak = kept.peak_per_second.unwrap();
    assert!(peak > 0.0 && (kept.per_second - peak / 10.0).abs() < 1e-6 * peak, "{kept:?}");
}

/// Coordinated omission: a sender that waits would have one slow message, the schedule has 300 of
/// 600, the first of them late by the whole stall and the last by nothing.
#[test]
fn stall_shows_in_every_message_due_meanwhile() {
    let latency = run_open(&slow_loop(1, 16), Fault::Stall).unwrap();
    let at_least = |part: f64| STALL.as_secs_f64() * 1e6 * part;
    assert_eq!(latency.count, 600);
    assert!(latency.max_us > at_least(0.99), "{latency:?}");
    assert!(latency.p90_us > at_least(0.75), "{latency:?}");
    assert!(latency.curve[1].1 > at_least(0.4), "p75 of {latency:?}");
}

/// The sockets are full long before the stall is over. What could not be sent counts all the same,
/// and the server is to blame for it.
#[test]
fn stall_that_holds_up_the_sender_shows_too() {
    let latency = run_open(&slow_loop(1, 64 * 1_024), Fault::Stall).unwrap();
    assert_eq!(latency.count, 600);
    assert!(latency.p90_us > STALL.as_secs_f64() * 1e6 * 0.75, "{latency:?}");
    assert_eq!(latency.invalid(), None, "{latency:?}");
    let kept = latency.schedule.unwrap();
    assert!(kept.behind_max_us > 10_000.0 && kept.behind_max_us > kept.late_p99_us, "{kept:?}");
}

#[test]
fn rate_that_cannot_be_held_is_said() {
    let open = OpenLoop { load: Load::PerSecond(1_000_000_000), ..slow_loop(1, 1_024) };
    let latency = run_open(&open, Fault::None).unwrap();
    assert!(latency.invalid().unwrap().contains("rate not held"), "{latency:?}");
    assert!(latency.schedule.unwrap().behind_max_us > 10_000.0);
}

#[test]
fn every_fault_voids_an_open_loop() {
    for fault in [Fault::Loss, Fault::Repeat, Fault::Swap, Fault::Damage, Fault::Error] {
        let error = run_open(&slow_loop(2, 16), fault).unwrap_err();
        assert!(error.is::<CheckFailure>(), "{fault:?}: {error:#}");
    }
}
