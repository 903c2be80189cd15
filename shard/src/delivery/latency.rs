//! Service latency: how long requests to another account take, told to the account that answers.
//!
//! An export says which share of its requests is measured, or that headers of tracing systems
//! decide, and on which subject the figures are published. A request that is measured bears what
//! is known of who made it until it is answered; its reply subject shows that it is measured, so
//! that the shard of whoever answers says who that is (see [`Frame::Responder`]).
//!
//! [`Frame::Responder`]: crate::mesh::Frame::Responder

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::account::{Latency, Sampling};
use crate::clock::Now;
use crate::engine::Exchange;
use crate::ids::AccountId;
use crate::wire::encode;
use crate::wire::headers::Headers;

use super::Message;
use super::answers::{Pending, ReplyTo, is_answer};
use super::identity::{Described, Object, time};

/// What the event is called.
const TYPE: &str = "io.nats.server.metric.v1.service_latency";

/// A request that is measured.
#[derive(Debug, Default)]
pub struct Measured {
    /// Where the figures go.
    pub latency: Arc<Latency>,
    /// Who made it.
    pub requestor: Rc<Described>,
    /// The headers that had it measured, as JSON; empty if none did.
    pub headers: Vec<u8>,
    /// When it came.
    pub asked: Now,
}

impl Measured {
    /// What it counts against the bounds of requests.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.requestor.json.len() + self.headers.len()
    }
}

/// What became of a request that was measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It was answered.
    Answered,
    /// It had no reply subject.
    BadRequest,
    /// Nobody awaits the answer any more.
    Abandoned,
    /// Nobody was there to answer.
    Unserved,
    /// It was not answered in time.
    Overdue,
}

impl Fate {
    /// The status and the words of nats-server.
    const fn status(self) -> (u64, &'static str) {
        match self {
            Self::Answered => (200, ""),
            Self::BadRequest => (400, "Bad Request"),
            Self::Abandoned => (408, "Request Timeout"),
            Self::Unserved => (503, "Service Unavailable"),
            Self::Overdue => (504, "Service Timeout"),
        }
    }
}

/// A request that was measured, and when that is told.
struct Figures<'a> {
    id: &'a str,
    now: Now,
    /// Time since 1970 when the clock began.
    wall: Duration,
    measured: &'a Measured,
    fate: Fate,
    responder: Option<&'a Described>,
}

impl Figures<'_> {
    fn json(&self) -> Vec<u8> {
        let Self { id, now, wall, measured, fate, responder } = *self;
        let since_1970 = |at: Now| wall + at.since(Now::ZERO);
        let (status, description) = fate.status();
        let requestor = &measured.requestor;
        let start = since_1970(measured.asked).saturating_sub(requestor.round_trip);
        let (service, total) = if fate == Fate::Answered {
            let took = now.since(measured.asked);
            let its_trip = responder.map_or(Duration::ZERO, |it| it.round_trip);
            (took.saturating_sub(its_trip), took + requestor.round_trip)
        } else {
            (Duration::ZERO, Duration::ZERO)
        };
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut out = Vec::with_capacity(512);
        let mut object = Object::open(&mut out);
        object.text("type", TYPE);
        object.text("id", id);
        object.text("timestamp", &time(since_1970(now)));
        object.number("status", status);
        object.text("description", description);
        object.json("requestor", &requestor.json);
        object.json("responder", responder.map_or(&[], |it| &it.json));
        object.json("header", &measured.headers);
        object.text("start", &time(start));
        object.always("service", nanos(service));
        // What passes between two looks at the clock is nothing here.
        object.always("system", 0);
        object.always("total", nanos(total));
        object.close();
        out
    }
}

impl Exchange {
    /// Whether a request that came with these headers is measured, and with what. One without a
    /// reply subject is told of at once.
    #[cold]
    pub(super) fn measure(
        &mut self,
        now: Now,
        latency: &Arc<Latency>,
        account: AccountId,
        requestor: &Rc<Described>,
        request: &Message<'_>,
        reply: &[u8],
    ) -> Option<Rc<Measured>> {
        let block = request.payload.get(..request.header_len).unwrap_or_default();
        let headers = sample(latency.sampling, self.rng.u8(0..100), block)?;
        let (latency, requestor) = (Arc::clone(latency), Rc::clone(requestor));
        let measured = Measured { latency, requestor, headers, asked: now };
        if reply.is_empty() {
            self.tell_latency(now, account, &measured, Fate::BadRequest, None);
            return None;
        }
        Some(Rc::new(measured))
    }

    /// Tells what became of a request, if that was measured.
    #[inline]
    pub(super) fn measured(&mut self, now: Now, pending: &Pending, fate: Fate) {
        if let Some(measured) = &pending.measured {
            self.tell_latency(now, pending.account, measured, fate, None);
        }
    }

    /// The same of one that is answered now. Who answers was said just before.
    pub(super) fn measured_answer(&mut self, now: Now, pending: &Pending, token: u64) {
        if let Some(measured) = &pending.measured {
            let known = self.responder.take();
            let responder = known.as_ref().filter(|(of, _)| *of == token);
            let responder = responder.map(|(_, described)| &**described);
            self.tell_latency(now, pending.account, measured, Fate::Answered, responder);
            self.responder = known;
        }
    }

    #[cold]
    pub(super) fn tell_latency(
        &mut self,
        now: Now,
        account: AccountId,
        measured: &Measured,
        fate: Fate,
        responder: Option<&Described>,
    ) {
        let id: String = (0..22).map(|_| self.rng.alphanumeric()).collect();
        let figures = Figures { id: &id, now, wall: self.wall, measured, fate, responder };
        let payload = figures.json();
        let mut tail = Vec::with_capacity(payload.len() + 16);
        encode::tail(&mut tail, &[], 0, &payload);
        let message = Message {
            account,
            imported: false,
            subject: &measured.latency.subject,
            reply: &[],
            header_len: 0,
            payload: &payload,
            tail: &tail,
        };
        self.publish_here(&message, None);
    }

    /// A subscription of this shard has ended: requests whose answers it alone awaited have failed.
    #[cold]
    pub(crate) fn abandon(&mut self, now: Now, account: AccountId, pattern: &[u8]) {
        if let Some(token) = self.answers.measured_for(account, pattern) {
            self.abandon_if_alone(now, token);
        } else if !crate::subject::is_literal(pattern) {
            self.answers_lost = true;
            self.look_for_answers(now);
        }
    }

    /// The same for patterns, a while later: whoever goes may have had many.
    #[cold]
    pub(crate) fn abandon_all(&mut self, now: Now) {
        if self.answers.measured() > ABANDONED_MAX {
            // They are told of when their time is up.
            return;
        }
        let all: Vec<u64> = self.answers.all_measured().collect();
        for token in all {
            self.abandon_if_alone(now, token);
        }
    }

    /// The time of a request is up.
    pub(crate) fn overdue(&mut self, now: Now, pending: &Pending) {
        if pending.measured.is_some() {
            let awaited = self.is_awaited(pending.to_account, &pending.to);
            let fate = if awaited { Fate::Overdue } else { Fate::Abandoned };
            self.measured(now, pending, fate);
        }
    }

    /// Whether somebody awaits answers there, as far as that can be known: they may go on into
    /// another account, or to another subject.
    fn is_awaited(&mut self, account: AccountId, to: &[u8]) -> bool {
        is_answer(to)
            || self.options.accounts.mappings(account).is_some()
            || !self.interest.matches(account, to).is_empty()
    }

    fn abandon_if_alone(&mut self, now: Now, token: u64) {
        let Some((account, to)) = self.answers.awaited(token) else { return };
        let to = ReplyTo::from_slice(to);
        if !self.is_awaited(account, &to)
            && let Some(pending) = self.answers.remove(token)
        {
            self.measured(now, &pending, Fate::Abandoned);
        }
    }
}

/// So many requests are looked at together, for whether anybody still awaits their answers.
const ABANDONED_MAX: usize = 4096;

/// Whether a request with these headers is measured: the headers that have it measured, as JSON,
/// or nothing of them if chance does. `dice` is a number below 100.
fn sample(sampling: Sampling, dice: u8, headers: &[u8]) -> Option<Vec<u8>> {
    if let Sampling::Percent(percent) = sampling
        && dice < percent
    {
        return Some(Vec::new());
    }
    let headers = Headers::read(headers)?;
    let all: Vec<(String, &[u8])> =
        headers.iter().map(|(name, value)| (canonical(name), value)).collect();
    let first = |name: &str| all.iter().find(|(known, _)| known == name).map(|(_, value)| *value);
    let shown = |keep: &dyn Fn(&str) -> bool| Some(as_json(&all, keep));
    if let Some(id) = first("Uber-Trace-Id") {
        let flags = id.split(|byte| *byte == b':').collect::<Vec<_>>();
        let [_, _, _, flags @ ([_] | [_, _])] = flags[..] else { return None };
        let is_sampled = hex(flags)? & 1 == 1;
        let keep = |name: &str| name == "Uber-Trace-Id" || name.starts_with("Uberctx-");
        return is_sampled.then(|| shown(&keep)).flatten();
    }
    let of_b3 = |name: &str| {
        matches!(name, "X-B3-Sampled" | "X-B3-Traceid" | "X-B3-Parentspanid" | "X-B3-Spanid")
    };
    match first("X-B3-Sampled") {
        Some(b"1") => return shown(&of_b3),
        Some(b"0") => return None,
        _ => {}
    }
    if first("X-B3-Traceid").is_some() {
        return shown(&of_b3);
    }
    if let Some(value) = first("B3") {
        let parts: Vec<&[u8]> = value.split(|byte| *byte == b'-').collect();
        let denied = matches!(parts[..], [b"0"] | [_, _, b"0", ..]);
        return if denied { None } else { shown(&|name| name == "B3") };
    }
    let parts: Vec<&[u8]> = first("Traceparent")?.split(|byte| *byte == b'-').collect();
    let [_, _, _, flags @ [_, _]] = parts[..] else { return None };
    // As the reference reads it, which knows no more than seven flags.
    let is_sampled = hex(flags).is_some_and(|flags| flags < 0x80 && flags & 1 == 1);
    is_sampled.then(|| shown(&|name| matches!(name, "Traceparent" | "Tracestate"))).flatten()
}

/// One or two digits.
fn hex(digits: &[u8]) -> Option<u8> {
    let value = |byte: &u8| char::from(*byte).to_digit(16);
    let number = digits.iter().try_fold(0, |number, byte| Some(number * 16 + value(byte)?))?;
    u8::try_from(number).ok()
}

/// A name as Go writes those of MIME headers.
fn canonical(name: &[u8]) -> String {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let name_text = String::from_utf8_lossy(name);
    if !name.iter().all(is_token) {
        return name_text.into_owned();
    }
    let mut begins = true;
    let of = |char: char| {
        let upper = std::mem::replace(&mut begins, char == '-');
        if upper { char.to_ascii_uppercase() } else { char.to_ascii_lowercase() }
    };
    name_text.chars().map(of).collect()
}

/// Values by their names, which are in order.
fn as_json(all: &[(String, &[u8])], keep: &dyn Fn(&str) -> bool) -> Vec<u8> {
    let mut names: Vec<&str> =
        all.iter().map(|(name, _)| name.as_str()).filter(|name| keep(name)).collect();
    names.sort_unstable();
    names.dedup();
    let mut out = Vec::new();
    let mut object = Object::open(&mut out);
    for name in names {
        let values = all.iter().filter(|(known, _)| known == name);
        object.texts(name, values.map(|(_, value)| String::from_utf8_lossy(value)));
    }
    object.close();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(lines: &[&str]) -> Vec<u8> {
        let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        format!("NATS/1.0\r\n{lines}\r\n").into_bytes()
    }

    /// The table follows the documents of the tracing systems, and what nats-server makes of them.
    #[test]
    fn headers_decide() {
        let trace = "479fefe9525eddb:5adb976bfc1f95c1:479fefe9525eddb:";
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-";
        for (lines, expected) in [
            (vec![], None),
            (vec!["Some-Other: value"], None),
            (vec!["X-B3-Sampled: 1"], Some(r#"{"X-B3-Sampled":["1"]}"#)),
            (vec!["X-B3-Sampled: 0", "X-B3-TraceId: a"], None),
            (
                vec!["x-b3-traceid: a", "X-B3-SpanId: b", "Other: c", "X-B3-ParentSpanId: d"],
                Some(r#"{"X-B3-Parentspanid":["d"],"X-B3-Spanid":["b"],"X-B3-Traceid":["a"]}"#),
            ),
            (vec!["b3: 80f-e45-1-05e", "b3: 0"], Some(r#"{"B3":["80f-e45-1-05e","0"]}"#)),
            (vec!["b3: 80f-e45-d"], Some(r#"{"B3":["80f-e45-d"]}"#)),
            (vec!["b3: 80f-e45-0-05e"], None),
            (vec!["b3: 0"], None),
            (vec!["b3: 1"], Some(r#"{"B3":["1"]}"#)),
            (
                vec![&*format!("Uber-Trace-Id: {trace}1"), "Uberctx-X: <y>", "B3: 1"],
                Some(&*format!(
                    r#"{{"Uber-Trace-Id":["{trace}1"],"Uberctx-X":["\u003cy\u003e"]}}"#
                )),
            ),
            (vec![&*format!("Uber-Trace-Id: {trace}0"), "X-B3-Sampled: 1"], None),
            (vec![&*format!("Uber-Trace-Id: {trace}123")], None),
            (vec![&*format!("Uber-Trace-Id: {trace}x")], None),
            (vec!["Uber-Trace-Id: 1:2:1"], None),
            (
                vec![&*format!("traceparent: {parent}01"), "tracestate: s"],
                Some(&*format!(r#"{{"Traceparent":["{parent}01"],"Tracestate":["s"]}}"#)),
            ),
            (vec![&*format!("traceparent: {parent}00")], None),
            (vec![&*format!("traceparent: {parent}81")], None),
            (vec![&*format!("traceparent: {parent}1")], None),
        ] {
            let found = sample(Sampling::Headers, 0, &block(&lines));
            let found = found.map(|json| String::from_utf8(json).unwrap());
            assert_eq!(found.as_deref(), expected, "{lines:?}");
        }
        assert_eq!(sample(Sampling::Headers, 0, b"NATS/1.0\r\nB3: 1\r\n"), None, "no block");
    }

    #[test]
    fn chance_decides_else_headers() {
        for (percent, dice, lines, expected) in [
            (100, 99, vec![], Some("")),
            (60, 59, vec![], Some("")),
            (60, 60, vec![], None),
            (60, 60, vec!["B3: 1"], Some(r#"{"B3":["1"]}"#)),
            (60, 59, vec!["B3: 1"], Some("")),
        ] {
            let found = sample(Sampling::Percent(percent), dice, &block(&lines));
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{percent} {dice}");
        }
    }

    fn described(json: &str, micros: u64) -> Described {
        Described { json: json.into(), round_trip: Duration::from_micros(micros) }
    }

    #[test]
    fn what_is_told() {
        let measured = Measured {
            requestor: Rc::new(described(r#"{"acc":"B","rtt":100000}"#, 100)),
            headers: br#"{"B3":["1"]}"#.to_vec(),
            asked: Now::from_nanos(1_000_000),
            ..Measured::default()
        };
        let responder = described(r#"{"acc":"A"}"#, 300);
        let figures = |fate, responder| {
            let now = Now::from_nanos(3_000_000);
            let wall = Duration::from_secs(1);
            let json = Figures { id: "I", now, wall, measured: &measured, fate, responder }.json();
            String::from_utf8(json).unwrap()
        };
        assert_eq!(
            figures(Fate::Answered, Some(&responder)),
            concat!(
                r#"{"type":"io.nats.server.metric.v1.service_latency","id":"I","#,
                r#""timestamp":"1970-01-01T00:00:01.003Z","#,
                r#""status":200,"#,
                r#""requestor":{"acc":"B","rtt":100000},"responder":{"acc":"A"},"#,
                r#""header":{"B3":["1"]},"#,
                r#""start":"1970-01-01T00:00:01.0009Z","#,
                r#""service":1700000,"system":0,"total":2100000}"#
            )
        );
        assert_eq!(
            figures(Fate::Unserved, None),
            concat!(
                r#"{"type":"io.nats.server.metric.v1.service_latency","id":"I","#,
                r#""timestamp":"1970-01-01T00:00:01.003Z","#,
                r#""status":503,"description":"Service Unavailable","#,
                r#""requestor":{"acc":"B","rtt":100000},"header":{"B3":["1"]},"#,
                r#""start":"1970-01-01T00:00:01.0009Z","service":0,"system":0,"total":0}"#
            )
        );
    }
}
