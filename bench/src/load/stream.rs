//! Publish and subscribe: sets the roles up, measures, and holds the sums against each other.

use std::thread;
use std::time::Instant;

use anyhow::Result;

use super::beside::{Company, Listening, Noted};
use super::flow::{Flow, total};
use super::publisher::{self, Publisher};
use super::receiver::Receiver;
use super::{Sample, Site, Steering, deal, join, measure, subscriber, wait_until};
use crate::check::{CheckFailure, Checker, Order};
use crate::client::Client;
use crate::load::Phase;
use crate::meter::Meter;
use crate::scenario::{Delivery, Stream};
use crate::wire::{FrameBatch, FrameShape, Numbering};

/// Bytes of a batched write, by payload: small frames as a client library would collect them,
/// larger ones so that a write still holds several.
const BATCH_BYTES: usize = 32 * 1_024;
const BATCH_BYTES_LARGE: usize = 64 * 1_024;
const LARGE_SIZE: usize = 1_024;

/// Everything connected, nothing sent yet.
struct Stage {
    publishers: Vec<Publisher>,
    receivers: Vec<Receiver>,
    company: Company,
    flow: Flow,
    frame_len: usize,
}

pub(super) fn run(stream: &Stream, site: &Site) -> Result<Sample> {
    let mut meter = Meter::new(site.server);
    let Stage { publishers, receivers, company, flow, frame_len } = set_up(stream, site)?;
    let (steering, noted) = (Steering::new(), Noted::default());
    let (flow, steering_ref, noted) = (&flow, &steering, &noted);
    let (window, checkers, seen) = thread::scope(|scope| {
        let subscribing: Vec<_> = deal(receivers, site.threads)
            .into_iter()
            .filter(|hand| !hand.is_empty())
            .map(|hand| {
                scope.spawn(move || {
                    steering_ref.role(|| {
                        subscriber::subscribe(hand, frame_len, flow, steering_ref, &mut ())
                    })
                })
            })
            .collect();
        let publishing: Vec<_> = deal(publishers, site.threads)
            .into_iter()
            .map(|hand| {
                let hand = hand.into_iter().map(|(_, publisher)| publisher).collect();
                scope.spawn(move || {
                    steering_ref.role(|| publisher::publish(hand, flow, steering_ref))
                })
            })
            .collect();
        let begin = Instant::now();
        company.begin(scope, steering_ref, Some(flow), noted);
        let count = || flow.operations();
        let window = steering_ref.role(|| measure(&mut meter, site.timing, steering_ref, &count));
        let seen = noted.since(begin, site.beside);
        for role in publishing {
            join(role);
        }
        let patience = site.timing.patience;
        if !wait_until(steering_ref, patience, &|| flow.operations(), &|| flow.complete()) {
            steering_ref.fail(missing(flow).into());
        }
        steering_ref.enter(Phase::Done);
        let checkers: Vec<(usize, Checker)> =
            subscribing.into_iter().filter_map(join).flatten().collect();
        (window, checkers, seen)
    });
    steering.verdict()?;
    verify(stream.delivery, flow, &checkers)?;
    let window = window.ok_or_else(|| CheckFailure("nothing was measured".to_owned()))?;
    let mut sample = window.sample(if stream.subscribers == 0 { "message" } else { "delivery" });
    sample.messages_per_read = messages_per_read(checkers.iter().map(|(_, checker)| checker));
    sample.published_per_second = Some(published(sample.per_second, stream));
    seen.write_to(&mut sample);
    Ok(sample)
}

/// Messages sent per second, at so many operations.
#[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
fn published(per_second: f64, stream: &Stream) -> f64 {
    match stream.delivery {
        Delivery::All => per_second / stream.subscribers.max(1) as f64,
        Delivery::Queue | Delivery::Pairs => per_second,
    }
}

/// How many messages subscribers got with one read, if they got any.
#[expect(clippy::cast_precision_loss, reason = "figures for people; 52 bits are plenty")]
pub(super) fn messages_per_read<'a>(checkers: impl Iterator<Item = &'a Checker>) -> Option<f64> {
    let (messages, reads) = checkers.fold((0, 0), |(messages, reads), checker| {
        (messages + checker.received(), reads + checker.reads())
    });
    (messages > 0).then(|| messages as f64 / reads as f64)
}

fn set_up(stream: &Stream, site: &Site) -> Result<Stage> {
    let door = &site.door;
    let (subject, numbering) = match (stream.delivery, stream.subjects) {
        (Delivery::Pairs, _) => ("foo.", Numbering::Publisher),
        (_, 1) => ("foo", Numbering::None),
        (_, subjects) => ("foo.", Numbering::Cycle(subjects)),
    };
    let received = FrameShape::new(&format!("MSG {subject}"), numbering, " 1", stream.size);
    let sent = FrameShape::new(&format!("PUB {subject}"), numbering, "", stream.size);
    let receivers = (0..stream.subscribers)
        .map(|id| {
            let (line, order, first, count) = match (stream.delivery, numbering) {
                (Delivery::Pairs, _) => (format!("SUB foo.{id:06} 1\r\n"), Order::Gapless, id, 1),
                (Delivery::Queue, _) => {
                    ("SUB foo group 1\r\n".to_owned(), Order::Rising, 0, stream.publishers)
                }
                (Delivery::All, Numbering::None) => {
                    ("SUB foo 1\r\n".to_owned(), Order::Gapless, 0, stream.publishers)
                }
                (Delivery::All, _) => {
                    ("SUB foo.> 1\r\n".to_owned(), Order::Gapless, 0, stream.publishers)
                }
            };
            let checker = Checker::new(received.clone(), order, u16::try_from(first)?, count);
            Ok(Receiver::new(Client::connect(door, &line)?, checker))
        })
        .collect::<Result<Vec<_>>>()?;
    let batch_bytes = match (stream.batched, stream.size) {
        (false, _) => 0,
        (true, size) if size >= LARGE_SIZE => BATCH_BYTES_LARGE,
        (true, _) => BATCH_BYTES,
    };
    let publishers = (0..stream.publishers)
        .map(|id| {
            let batch = FrameBatch::new(sent.clone(), u16::try_from(id)?, batch_bytes);
            Ok(Publisher::new(id, Receiver::deaf(Client::connect(door, "")?), batch))
        })
        .collect::<Result<Vec<_>>>()?;
    let frame_len = received.frame_len();
    let line = if numbering == Numbering::None { "SUB foo 1\r\n" } else { "SUB foo.> 1\r\n" };
    let listening = Listening { line: line.to_owned(), frame_len };
    let company = Company::set_up(site, Some(&listening))?;
    let batch_frames = (batch_bytes / sent.frame_len()).max(1) as u64;
    let (publisher_count, subscriber_count) = (publishers.len(), receivers.len());
    let flow =
        Flow::new(publisher_count, subscriber_count, stream.delivery, frame_len, batch_frames);
    Ok(Stage { publishers, receivers, company, flow, frame_len })
}

/// Who lacks how much.
pub(super) fn missing(flow: &Flow) -> CheckFailure {
    let lacking: Vec<String> = flow
        .received
        .iter()
        .enumerate()
        .filter_map(|(id, received)| {
            let (expected, received) = (flow.expected(id)?, received.get());
            (received < expected)
                .then(|| format!("subscriber {id}: expected {expected} messages, saw {received}"))
        })
        .collect();
    let (published, received) = (total(&flow.published), total(&flow.received));
    CheckFailure(format!(
        "messages lost: {published} published, {received} received in all; {}",
        lacking.join("; ")
    ))
}

/// After the end: nobody may have too much either. Order was checked on the way.
pub(super) fn verify(delivery: Delivery, flow: &Flow, checkers: &[(usize, Checker)]) -> Result<()> {
    for (id, checker) in checkers {
        let (expected, seen) = (flow.expected(*id), checker.received());
        if expected.is_some_and(|expected| expected != seen) {
            let text = format!("subscriber {id}: expected {expected:?} messages, saw {seen}");
            return Err(CheckFailure(text).into());
        }
    }
    if delivery != Delivery::Queue {
        return Ok(());
    }
    // Members see shares. Their counts and the sums of their sequences must make up the whole: a
    // loss hidden by a repeat would change the sum.
    for (idx, published) in flow.published.iter().enumerate() {
        let published = u128::from(published.get());
        let whole = published * published.saturating_sub(1) / 2;
        let sums = checkers.iter().filter_map(|(_, checker)| checker.sums().get(idx));
        let seen: u128 = sums.map(|sum| u128::from(*sum)).sum();
        if seen != whole {
            let text = format!("queue group, publisher {idx}: expected sum {whole}, saw {seen}");
            return Err(CheckFailure(text).into());
        }
    }
    let (published, received) = (total(&flow.published), total(&flow.received));
    if published != received {
        let text = format!("queue group: expected {published} messages, saw {received}");
        return Err(CheckFailure(text).into());
    }
    Ok(())
}
