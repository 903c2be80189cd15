//! Open loop: one publisher on a schedule, subscribers that compare it with the clock.
//!
//! Every message counts from when it was due, so a server that stalls shows in each message that
//! should have passed meanwhile, also in those that could not even be sent. Both ends read the
//! monotonic clock of this host. Flow control as in `stream` only keeps an overloaded server from
//! endless buffers; a run in which the rate was not held says so.

use std::ops::Range;
use std::thread;
use std::time::Instant;

use anyhow::{Result, ensure};
use hdrhistogram::Histogram;

use super::beside::{Company, Listening, Noted, Seen};
use super::flow::Flow;
use super::latency::{Kept, Latency, Loop, histogram, micros, nanos};
use super::receiver::Receiver;
use super::schedule::Schedule;
use super::sender::{Punctuality, Sender};
use super::subscriber::{self, Observer};
use super::{
    Phase, Sample, Site, Steering, Timing, Window, deal, join, measure, stream, wait_until,
};
use crate::check::{CheckFailure, Checker, Order};
use crate::client::Client;
use crate::meter::Meter;
use crate::scenario::{Beside, Delivery, Load, OpenLoop, Stream};
use crate::wire::{FrameBatch, FrameShape, Numbering};

/// Bytes of a write at most, if so much is due.
const BATCH_BYTES: usize = 64 * 1_024;
/// Lateness of the sender itself that is never worth a word.
const LATE_MAX_US: f64 = 1_000.0;

/// Everything connected, nothing sent yet.
struct Stage {
    connection: Receiver,
    batch: FrameBatch,
    receivers: Vec<Receiver>,
    company: Company,
    flow: Flow,
    frame_len: usize,
}

/// What one thread of subscribers came to.
type Heard = (Vec<(usize, Checker)>, Histogram<u64>);

/// What came of it, as far as each part got.
struct Outcome {
    window: Option<Window>,
    seen: Seen,
    kept: Option<Punctuality>,
    heard: Vec<Heard>,
}

pub(super) fn run(open: &OpenLoop, site: &Site) -> Result<Sample> {
    let timing = site.timing;
    let (per_second, peak_per_second) = rate(open, site)?;
    let stage = set_up(open, site)?;
    let schedule = Schedule::new(Instant::now(), per_second);
    let counted = schedule.between(timing.warm_up, timing.warm_up + timing.steady);
    ensure!(!counted.is_empty(), "{per_second} messages per second: none is due in the window");
    let steering = Steering::new();
    let outcome = play(stage, site, &steering, schedule, &counted);
    steering.verdict()?;
    let nothing = || CheckFailure("nothing was measured".to_owned());
    let mut sample = outcome.window.ok_or_else(nothing)?.sample("delivery");
    outcome.seen.write_to(&mut sample);
    sample.messages_per_read = stream::messages_per_read(
        outcome.heard.iter().flat_map(|(checkers, _)| checkers).map(|(_, checker)| checker),
    );
    let parts: Vec<_> = outcome.heard.into_iter().map(|(_, histogram)| histogram).collect();
    let mut latency = Latency::of(Loop::Open, &parts)?;
    let kept = outcome.kept.ok_or_else(nothing)?;
    latency.schedule = Some(Kept {
        per_second,
        peak_per_second,
        late_p99_us: micros(kept.late.value_at_quantile(0.99)),
        late_max_us: micros(kept.late.max()),
        behind_max_us: micros(nanos(kept.behind_max)),
        invalid: invalid(&kept, &latency, &counted),
    });
    sample.latency = Some(latency);
    Ok(sample)
}

/// Messages per second, and the peak if they are a part of it.
#[expect(clippy::cast_precision_loss, reason = "counts far below 52 bits")]
fn rate(open: &OpenLoop, site: &Site) -> Result<(f64, Option<f64>)> {
    let percent = match open.load {
        Load::PerSecond(rate) => return Ok((rate as f64, None)),
        Load::PercentOfPeak(percent) => percent,
    };
    let flat_out = Stream {
        publishers: 1,
        subscribers: open.subscribers,
        size: open.size,
        delivery: Delivery::All,
        subjects: 1,
        batched: true,
    };
    // The peak is that of the undisturbed server.
    let timing = Timing { steady: site.timing.steady / 2, ..site.timing };
    let site = Site { timing, beside: Beside::default(), ..site.clone() };
    let deliveries = stream::run(&flat_out, &site)?.per_second;
    let peak = deliveries / open.subscribers as f64;
    Ok((peak * percent as f64 / 100.0, Some(peak)))
}

fn set_up(open: &OpenLoop, site: &Site) -> Result<Stage> {
    let door = &site.door;
    let received = FrameShape::new("MSG open", Numbering::None, " 1", open.size);
    let receivers = (0..open.subscribers)
        .map(|_| {
            let checker = Checker::new(received.clone(), Order::Gapless, 0, 1);
            Ok(Receiver::new(Client::connect(door, "SUB open 1\r\n")?, checker))
        })
        .collect::<Result<Vec<_>>>()?;
    let sent = FrameShape::new("PUB open", Numbering::None, "", open.size);
    let batch = FrameBatch::new(sent, 0, BATCH_BYTES);
    let frame_len = received.frame_len();
    let flow = Flow::new(1, open.subscribers, Delivery::All, frame_len, batch.frames());
    let listening = Listening { line: "SUB open 1\r\n".to_owned(), frame_len };
    let company = Company::set_up(site, Some(&listening))?;
    let connection = Receiver::deaf(Client::connect(door, "")?);
    Ok(Stage { connection, batch, receivers, company, flow, frame_len })
}

/// All roles until everything that was sent has arrived, or one of them has failed.
fn play(
    stage: Stage,
    site: &Site,
    steering: &Steering,
    schedule: Schedule,
    counted: &Range<u64>,
) -> Outcome {
    let Stage { connection, batch, receivers, company, flow, frame_len } = stage;
    let (mut meter, timing, noted) = (Meter::new(site.server), site.timing, Noted::default());
    let (flow, noted) = (&flow, &noted);
    let send =
        move || Sender::new(connection, batch, schedule, counted.clone())?.send(flow, steering);
    let listen = move |hand| {
        let histogram = histogram()?;
        let mut clock = Clock { schedule, counted: counted.clone(), now: None, histogram };
        let checkers = subscriber::subscribe(hand, frame_len, flow, steering, &mut clock)?;
        Ok((checkers, clock.histogram))
    };
    let outcome = thread::scope(|scope| {
        let listening: Vec<_> = deal(receivers, site.threads)
            .into_iter()
            .filter(|hand| !hand.is_empty())
            .map(|hand| scope.spawn(move || steering.role(|| listen(hand))))
            .collect();
        let sending = scope.spawn(move || steering.role(send));
        let begin = Instant::now();
        company.begin(scope, steering, Some(flow), noted);
        let count = || flow.operations();
        let window = steering.role(|| measure(&mut meter, timing, steering, &count));
        let seen = noted.since(begin, site.beside);
        let kept = join(sending);
        if !wait_until(steering, timing.patience, &count, &|| flow.complete()) {
            steering.fail(stream::missing(flow).into());
        }
        steering.enter(Phase::Done);
        let heard = listening.into_iter().filter_map(join).collect();
        Outcome { window, seen, kept, heard }
    });
    let all = outcome
        .heard
        .iter()
        .try_for_each(|(checkers, _)| stream::verify(Delivery::All, flow, checkers));
    if let Err(error) = all {
        steering.fail(error);
    }
    outcome
}

/// Compares the schedule with the clock, which is read once for all that came with one read.
struct Clock {
    schedule: Schedule,
    counted: Range<u64>,
    now: Option<Instant>,
    histogram: Histogram<u64>,
}

impl Observer for Clock {
    fn read(&mut self) {
        self.now = None;
    }

    fn message(&mut self, seq: u64) {
        let now = *self.now.get_or_insert_with(Instant::now);
        if self.counted.contains(&seq) {
            let took = now.saturating_duration_since(self.schedule.due(seq));
            self.histogram.saturating_record(nanos(took));
        }
    }
}

/// Why these are not the latencies of the server at this rate, if so.
fn invalid(kept: &Punctuality, latency: &Latency, counted: &Range<u64>) -> Option<String> {
    let whole = counted.end - counted.start;
    if kept.unsent > 0 {
        let unsent = kept.unsent;
        return Some(format!(
            "rate not held: {unsent} of {whole} messages unsent when time was up"
        ));
    }
    // A server that is slow for all to see is not excused by a sender that was a bit late.
    let late = micros(kept.late.value_at_quantile(0.99));
    (late > LATE_MAX_US && late * 2.0 > latency.p99_us)
        .then(|| format!("sender late by itself: p99 {late:.0} us of {:.0} us", latency.p99_us))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Microseconds that most messages were late and took, and the slowest twentieth of them.
    fn judged(late: [u64; 2], took: [u64; 2], unsent: u64) -> Option<String> {
        let recorded = |[most, rest]: [u64; 2]| {
            let mut histogram = histogram().unwrap();
            histogram.record_n(most * 1_000, 950).unwrap();
            histogram.record_n(rest * 1_000, 50).unwrap();
            histogram
        };
        let behind_max = std::time::Duration::from_micros(late[1]);
        let kept = Punctuality { late: recorded(late), behind_max, unsent };
        invalid(&kept, &Latency::of(Loop::Open, &[recorded(took)]).unwrap(), &(0..1_000))
    }

    #[test]
    fn latency_of_the_sender_is_not_taken_for_that_of_the_server() {
        let reason = judged([20, 5_000], [80, 6_000], 0).unwrap();
        assert!(reason.contains("sender late by itself: p99 5"), "{reason}");
        // Too little to matter, and far less than what the server added.
        assert_eq!(judged([20, 900], [80, 950], 0), None);
        assert_eq!(judged([20, 5_000], [80, 90_000], 0), None);
        let reason = judged([20, 20], [80, 80], 7).unwrap();
        assert!(reason.contains("rate not held: 7 of 1000"), "{reason}");
    }
}
