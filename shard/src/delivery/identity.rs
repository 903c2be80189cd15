//! Who makes a request, as the account that answers it is told: the header `Nats-Request-Info`.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

use crate::ids::ClientId;
use crate::wire::connect::ConnectOptions;

/// Name of the header. Only the server writes it: what a client says under this name does not cross
/// into another account.
pub const REQUEST_INFO: &[u8] = b"Nats-Request-Info";

/// What there is to tell of a requester. Its account and its round trip are told always, the rest
/// if its account shares it.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Its account.
    pub account: &'a str,
    /// Its user.
    pub user: Option<&'a str>,
    /// Its number.
    pub client: ClientId,
    /// Where it comes from.
    pub address: SocketAddr,
    /// What it said of itself.
    pub connect: &'a ConnectOptions,
    /// When it connected, since 1970.
    pub start: Duration,
    /// How long a round trip to it takes.
    pub round_trip: Duration,
    /// The server it is connected to.
    pub server: &'a str,
}

/// A client as events describe it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Described {
    /// All that may be told, as JSON.
    pub json: Vec<u8>,
    /// How long a round trip to it takes.
    pub round_trip: Duration,
}

impl Identity<'_> {
    /// This client, with all there is or what is always told.
    #[must_use]
    pub(super) fn described(&self, detailed: bool) -> Described {
        let mut json = Vec::new();
        self.object(detailed, detailed, None, &mut json);
        Described { json, round_trip: self.round_trip }
    }

    /// Appends the header line: `detailed` with all there is, `with_server` with the server's name,
    /// and with the account `service` that the request came through.
    pub fn line(
        &self,
        detailed: bool,
        with_server: bool,
        service: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(REQUEST_INFO);
        out.extend_from_slice(b": ");
        self.object(detailed, with_server, service, out);
        out.extend_from_slice(b"\r\n");
    }

    fn object(&self, detailed: bool, with_server: bool, service: Option<&str>, out: &mut Vec<u8>) {
        let detail = |text| if detailed { text } else { "" };
        let ConnectOptions { name, lang, version, .. } = self.connect;
        let (start, host) = match detailed {
            true => (time(self.start), self.address.ip().to_string()),
            false => Default::default(),
        };
        let mut object = Object::open(out);
        object.text("start", detail(&start));
        object.text("host", detail(&host));
        object.number("id", if detailed { self.client.get() } else { 0 });
        object.text("acc", self.account);
        object.text("svc", service.unwrap_or_default());
        object.text("user", detail(self.user.unwrap_or_default()));
        object.text("name", detail(name));
        object.text("lang", detail(lang));
        object.text("ver", detail(version));
        object.number("rtt", u64::try_from(self.round_trip.as_nanos()).unwrap_or(u64::MAX));
        object.text("server", if with_server { self.server } else { "" });
        object.text("kind", detail("Client"));
        object.text("client_type", detail("nats"));
        object.close();
    }
}

/// A JSON object while it is written; what is empty or zero is left out.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }

    /// What is JSON already.
    pub(super) fn json(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.name(name);
            self.out.extend_from_slice(value);
        }
    }

    /// A number, be it zero.
    pub(super) fn always(&mut self, name: &str, value: u64) {
        self.name(name);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    pub(super) fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = Cow<'t, str>>) {
        self.name(name);
        self.out.push(b'[');
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.out.push(b',');
            }
            self.string(&value);
        }
        self.out.push(b']');
    }

    fn name(&mut self, name: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        if value > 0 {
            self.always(name, value);
        }
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            self.string(value);
        }
    }

    /// As Go writes it, which escapes what could be taken for HTML. No line end is left in it.
    fn string(&mut self, value: &str) {
        let json = serde_json::to_string(value).unwrap_or_default();
        for piece in json.split_inclusive(|char| escape(char).is_some()) {
            let last = piece.chars().next_back();
            let (plain, escaped) = match last.and_then(|last| Some((last, escape(last)?))) {
                Some((last, escaped)) => (piece.strip_suffix(last).unwrap_or(piece), escaped),
                None => (piece, ""),
            };
            self.out.extend_from_slice(plain.as_bytes());
            self.out.extend_from_slice(escaped.as_bytes());
        }
    }
}

/// What Go writes in JSON instead of a character that could be taken for more than text.
const fn escape(char: char) -> Option<&'static str> {
    match char {
        '<' => Some("\\u003c"),
        '>' => Some("\\u003e"),
        '&' => Some("\\u0026"),
        '\u{2028}' => Some("\\u2028"),
        '\u{2029}' => Some("\\u2029"),
        _ => None,
    }
}

/// A point of time, given since 1970, as RFC 3339 has it.
pub(super) fn time(since: Duration) -> String {
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Years begin in March, so that the day that is not in each of them is the last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (year + 400 * era, month + 3),
        _ => (year + 400 * era + 1, month - 9),
    };
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}");
    if since.subsec_nanos() > 0 {
        text.push_str(format!(".{:09}", since.subsec_nanos()).trim_end_matches('0'));
    }
    text.push('Z');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_of_time() {
        for (seconds, nanos, expected) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (951_782_400, 0, "2000-02-29T00:00:00Z"),
            (1_709_251_199, 120_000_000, "2024-02-29T23:59:59.12Z"),
            (1_798_761_599, 999_999_999, "2026-12-31T23:59:59.999999999Z"),
            (4_107_542_400, 1, "2100-03-01T00:00:00.000000001Z"),
        ] {
            assert_eq!(time(Duration::new(seconds, nanos)), expected);
        }
    }

    #[test]
    fn what_is_told() {
        let connect = ConnectOptions {
            name: "<m&\u{2028}>\r\n\"".to_owned(),
            lang: "rust".to_owned(),
            version: "1.0".to_owned(),
            ..ConnectOptions::default()
        };
        let identity = Identity {
            account: "B",
            user: Some("bob"),
            client: ClientId::new(7),
            address: ([127, 0, 0, 1], 4222).into(),
            connect: &connect,
            start: Duration::from_secs(1),
            round_trip: Duration::from_nanos(5),
            server: "one",
        };
        let line = |detailed, with_server, service| {
            let mut out = Vec::new();
            identity.line(detailed, with_server, service, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(false, false, None), "Nats-Request-Info: {\"acc\":\"B\",\"rtt\":5}\r\n");
        assert_eq!(
            line(false, true, Some("A")),
            "Nats-Request-Info: {\"acc\":\"B\",\"svc\":\"A\",\"rtt\":5,\"server\":\"one\"}\r\n"
        );
        assert_eq!(
            line(true, true, None),
            "Nats-Request-Info: {\"start\":\"1970-01-01T00:00:01Z\",\"host\":\"127.0.0.1\",\
             \"id\":7,\"acc\":\"B\",\"user\":\"bob\",\
             \"name\":\"\\u003cm\\u0026\\u2028\\u003e\\r\\n\\\"\",\
             \"lang\":\"rust\",\"ver\":\"1.0\",\"rtt\":5,\"server\":\"one\",\"kind\":\"Client\",\
             \"client_type\":\"nats\"}\r\n"
        );
    }
}
