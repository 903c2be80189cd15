//! Request and reply: every requester has its own connection and one request in flight.
//!
//! requester -> server -> responder -> server -> requester. Closed loop: the next request leaves
//! when the reply has come, so the load adapts to the server and the latencies say so in their
//! label.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

use super::beside::{Company, Noted};
use super::echo::{self, Echo};
use super::flow::{Counter, total};
use super::latency::{Latency, Loop, histogram, nanos};
use super::poller::Poller;
use super::receiver::{self, Receiver};
use super::{Phase, Sample, Site, Steering, Window, crowd, deal, join, measure, wait_until};
use crate::check::{CheckFailure, Checker, Order};
use crate::client::Client;
use crate::meter::Meter;
use crate::scenario::Requests;
use crate::wire::{FrameBatch, FrameShape, Numbering};

const POLL: Duration = Duration::from_millis(20);

/// One requesting connection; its request is always in flight until the end.
struct Requester {
    receiver: Receiver,
    request: FrameBatch,
    sent: u64,
    /// Replies that have been counted: a PING, too, makes a socket readable.
    counted: u64,
    sent_at: Instant,
}

impl Requester {
    fn send(&mut self, now: Instant) -> Result<()> {
        self.request.stamp(self.sent);
        self.sent += 1;
        self.sent_at = now;
        self.receiver.client().write_all(self.request.bytes())
    }
}

/// Those who answer.
enum Responders {
    /// They check what they are asked.
    Checking(Vec<Receiver>),
    /// They cannot know where they are asked to answer.
    Anywhere(Vec<Echo>),
}

/// A thread's counter of requests answered, with which both ends are steered.
type Answered = [Counter];

pub(super) fn run(plan: &Requests, site: &Site) -> Result<Sample> {
    let (mut meter, threads, noted) = (Meter::new(site.server), site.threads, Noted::default());
    let (requesters, responders) = set_up(plan, site)?;
    let (company, noted) = (Company::set_up(site, None)?, &noted);
    let steering = Steering::new();
    let requester_hands = deal(requesters, threads);
    let counters: Vec<Counter> = requester_hands.iter().map(|_| Counter::default()).collect();
    let (steering_ref, answered): (&Steering, &Answered) = (&steering, &counters);
    let frame_len = plan.size + 256;
    let (window, latencies, seen) = thread::scope(|scope| {
        let size = plan.size;
        match responders {
            Responders::Checking(all) => deal(all, threads).into_iter().for_each(|hand| {
                scope.spawn(move || steering_ref.role(|| respond(hand, size, steering_ref)));
            }),
            Responders::Anywhere(all) => deal(all, threads).into_iter().for_each(|hand| {
                scope.spawn(move || steering_ref.role(|| echo::respond(hand, size, steering_ref)));
            }),
        }
        let requesting: Vec<_> = requester_hands
            .into_iter()
            .zip(answered)
            .map(|(hand, counter)| {
                scope.spawn(move || {
                    steering_ref.role(|| request(hand, frame_len, counter, steering_ref))
                })
            })
            .collect();
        let begin = Instant::now();
        company.begin(scope, steering_ref, None, noted);
        let count = || total(answered);
        let window = steering_ref.role(|| measure(&mut meter, site.timing, steering_ref, &count));
        let seen = noted.since(begin, site.beside);
        let all_ended = || requesting.iter().all(thread::ScopedJoinHandle::is_finished);
        if !wait_until(steering_ref, site.timing.patience, &count, &all_ended) {
            steering_ref.fail(CheckFailure("requests without a reply at the end".into()).into());
        }
        steering_ref.enter(Phase::Done);
        let latencies: Vec<_> = requesting.into_iter().filter_map(join).collect();
        (window, latencies, seen)
    });
    steering.verdict()?;
    let window: Window = window.ok_or_else(|| anyhow!("nothing was measured"))?;
    let mut sample = window.sample("request");
    seen.write_to(&mut sample);
    sample.latency = Some(Latency::of(Loop::Closed, &latencies)?);
    Ok(sample)
}

fn set_up(plan: &Requests, site: &Site) -> Result<(Vec<Requester>, Responders)> {
    let door = &site.door;
    let shared = plan.responders > 1;
    let (line, order) = if shared {
        ("SUB rr group 1\r\n", Order::Rising)
    } else {
        ("SUB rr 1\r\n", Order::Gapless)
    };
    let asked = FrameShape::new("MSG rr 1 _R.", Numbering::Publisher, "", plan.size);
    let all = 0..plan.responders;
    let responders = match &site.responders {
        None => {
            let checking = all.map(|_| {
                let checker = Checker::new(asked.clone(), order, 0, plan.requesters);
                Ok(Receiver::new(Client::connect(door, line)?, checker))
            });
            Responders::Checking(checking.collect::<Result<_>>()?)
        }
        Some(door) => {
            let anywhere = all.map(|_| Ok(Echo::new(Client::connect(door, line)?)));
            Responders::Anywhere(anywhere.collect::<Result<_>>()?)
        }
    };
    let sent = FrameShape::new("PUB rr _R.", Numbering::Publisher, "", plan.size);
    let answered = FrameShape::new("MSG _R.", Numbering::Publisher, " 1", plan.size);
    let at_once = crowd::at_once(plan.requesters);
    let requesters = crowd::connect_all(plan.requesters, at_once, |id| {
        let publisher = u16::try_from(id)?;
        let client = Client::connect(door, &format!("SUB _R.{id:06} 1\r\n"))?;
        let checker = Checker::new(answered.clone(), Order::Gapless, publisher, 1);
        Ok(Requester {
            receiver: Receiver::new(client, checker),
            request: FrameBatch::new(sent.clone(), publisher, 0),
            sent: 0,
            counted: 0,
            sent_at: Instant::now(),
        })
    })?;
    Ok((requesters, responders))
}

/// Asks, checks the answer, asks again. Returns the round trips of the steady window.
fn request(
    mut requesters: Vec<(usize, Requester)>,
    frame_len: usize,
    answered: &Counter,
    steering: &Steering,
) -> Result<Histogram<u64>> {
    let mut latencies = histogram()?;
    let mut poller = Poller::new(requesters.iter().map(|(_, requester)| &requester.receiver))?;
    let mut scratch = receiver::scratch(frame_len);
    let mut in_flight = requesters.len();
    for (_, requester) in &mut requesters {
        requester.send(Instant::now())?;
    }
    let mut done = 0;
    while in_flight > 0 && !steering.failed() {
        for at in poller.wait(POLL)? {
            let requester = &mut requesters[at].1;
            requester.receiver.receive(&mut scratch, |_| {})?;
            if requester.receiver.checker().received() == requester.counted {
                continue;
            }
            requester.counted += 1;
            let now = Instant::now();
            let took = now.saturating_duration_since(requester.sent_at);
            done += 1;
            match steering.phase() {
                Phase::Steady => {
                    latencies.saturating_record(nanos(took));
                    requester.send(now)?;
                }
                Phase::WarmUp | Phase::Counting => requester.send(now)?,
                Phase::Stop | Phase::Done => in_flight -= 1,
            }
        }
        answered.set(done);
    }
    Ok(latencies)
}

/// Sends every payload back to where it came from; all answers to one read leave in one write.
fn respond(mut responders: Vec<(usize, Receiver)>, size: usize, steering: &Steering) -> Result<()> {
    let mut poller = Poller::new(responders.iter().map(|(_, responder)| responder))?;
    let mut scratch = receiver::scratch(size + 256);
    let line_end = format!(" {size}\r\n");
    let mut answers = Vec::new();
    while steering.phase() < Phase::Done {
        for at in poller.wait(POLL)? {
            let responder = &mut responders[at].1;
            answers.clear();
            responder.receive(&mut scratch, |message| {
                answers.extend_from_slice(b"PUB _R.");
                answers.extend_from_slice(&crate::wire::digits(u64::from(message.publisher)));
                answers.extend_from_slice(line_end.as_bytes());
                answers.extend_from_slice(message.payload);
                answers.extend_from_slice(b"\r\n");
            })?;
            responder.client().write_all(&answers)?;
        }
    }
    Ok(())
}
