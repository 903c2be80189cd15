//! What clients may do, in sizes, numbers and times.
//!
//! Zero is the default where nats-server takes it so, which is almost everywhere.

use std::time::Duration;

use ringbus_shard::limits::{Limits, PROXY_TIMEOUT};

use super::dump::Dump;
use super::reader::{Field, FromField, Reader};
use super::setting::Setting;

/// The largest payload and control line: sizes that fit the protocol's 32 bits.
const SIZE_MAX: i64 = i32::MAX as i64;

/// The bounds of the data plane, and what it may be told about the protocol.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of Limits, which says what they are")]
pub struct Bounds {
    pub control_line: Setting<usize>,
    pub payload: Setting<usize>,
    pub pending: Setting<usize>,
    pub connections: Setting<Option<usize>>,
    pub subscriptions: Setting<Option<usize>>,
    pub subscription_tokens: Setting<Option<usize>>,
    pub ping_interval: Setting<Duration>,
    pub pings_out: Setting<u32>,
    pub write_deadline: Setting<Duration>,
    /// Clients are told that messages have no headers (`no_header_support`).
    pub without_headers: Setting<bool>,
    /// Proxies say first for whom they speak (`proxy_protocol`).
    pub proxied: Setting<bool>,
    /// Publishers are never paused for slow receivers (`no_fast_producer_stall`).
    pub without_stall: Setting<bool>,
}

impl Bounds {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let usual = Limits::default();
        // The match cache of a shard is bounded and swept by itself. The key exists in
        // nats-server because its cache was once a burden, and has nothing to switch off here.
        reader.optional::<bool>(&["disable_sublist_cache", "no_sublist_cache"]);
        Self {
            control_line: size(reader, &["max_control_line"], usual.control_line),
            payload: size(reader, &["max_payload"], usual.payload),
            pending: Setting::new(Size::<{ i64::MAX }>(0))
                .or_file(reader.optional(&["max_pending"]))
                .map(|size| size.or(usual.pending)),
            connections: Setting::new(None)
                .or_file(count(reader, &["max_connections", "max_conn"]))
                // Without the key there is a bound; zero and less let nobody in.
                .map(|count| count.map_or(usual.connections, |count| Some(count.unwrap_or(0)))),
            subscriptions: Setting::new(None)
                .or_file(count(reader, &["max_subscriptions", "max_subs"]))
                .map(Option::flatten),
            subscription_tokens: Setting::new(None).or_file(
                reader
                    .optional::<Tokens>(&["max_sub_tokens", "max_subscription_tokens"])
                    .map(|found| found.map(|tokens| Some(tokens.0))),
            ),
            ping_interval: time(reader, &["ping_interval"], usual.ping_interval),
            pings_out: Setting::new(Size::<SIZE_MAX>(0))
                .or_file(reader.optional(&["ping_max"]))
                .map(|size| u32::try_from(size.0).ok().filter(|max| *max > 0))
                .map(|max| max.unwrap_or(usual.pings_out)),
            write_deadline: time(reader, &["write_deadline"], usual.write_deadline),
            without_headers: Setting::new(false).or_file(reader.optional(&["no_header_support"])),
            proxied: Setting::new(false).or_file(reader.optional(&["proxy_protocol"])),
            without_stall: Setting::new(false)
                .or_file(reader.optional(&["no_fast_producer_stall"])),
        }
    }

    /// These bounds for the shards.
    #[must_use]
    pub fn limits(&self, auth_timeout: Duration) -> Limits {
        Limits {
            control_line: *self.control_line,
            payload: *self.payload,
            pending: *self.pending,
            connections: *self.connections,
            subscriptions: *self.subscriptions,
            subscription_tokens: *self.subscription_tokens,
            ping_interval: *self.ping_interval,
            pings_out: *self.pings_out,
            write_deadline: *self.write_deadline,
            auth_timeout,
            proxied: self.proxied.then_some(PROXY_TIMEOUT),
            stalls: !*self.without_stall,
        }
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { control_line, payload, pending, connections, subscriptions, .. } = self;
        dump.plain("max_control_line", control_line);
        dump.plain("max_payload", payload);
        dump.plain("max_pending", pending);
        dump.number_or_none("max_connections", connections, "-1");
        dump.number_or_none("max_subscriptions", subscriptions, "0");
        let Self { subscription_tokens, ping_interval, pings_out, write_deadline, .. } = self;
        dump.number_or_none("max_subscription_tokens", subscription_tokens, "none");
        dump.duration("ping_interval", ping_interval);
        dump.plain("ping_max", pings_out);
        dump.duration("write_deadline", write_deadline);
        dump.plain("no_header_support", &self.without_headers);
        dump.plain("proxy_protocol", &self.proxied);
        dump.plain("no_fast_producer_stall", &self.without_stall);
    }
}

type Names = &'static [&'static str];

fn size(reader: &mut Reader<'_>, names: Names, default: usize) -> Setting<usize> {
    Setting::new(Size::<SIZE_MAX>(0)).or_file(reader.optional(names)).map(|size| size.or(default))
}

fn time(reader: &mut Reader<'_>, names: Names, default: Duration) -> Setting<Duration> {
    Setting::new(Duration::ZERO)
        .or_file(reader.optional(names))
        .map(|time| if time.is_zero() { default } else { time })
}

/// A number that is not a bound if it is zero or less.
fn count(
    reader: &mut Reader<'_>,
    names: Names,
) -> Option<super::reader::Found<Option<Option<usize>>>> {
    let found = reader.optional::<i64>(names)?;
    Some(found.map(|count| Some(usize::try_from(count).ok().filter(|count| *count > 0))))
}

/// From zero to `MAX`.
pub(super) struct Size<const MAX: i64>(i64);

impl<const MAX: i64> Size<MAX> {
    fn or(&self, default: usize) -> usize {
        usize::try_from(self.0).ok().filter(|size| *size > 0).unwrap_or(default)
    }
}

impl<const MAX: i64> FromField<'_> for Size<MAX> {
    fn read(field: Field<'_>) -> Option<Self> {
        match i64::read(field)? {
            size if size < 0 => field.fault("the value cannot be negative"),
            size if size > MAX => {
                field.fault(format!("{} value is too big: the maximum is {MAX}", field.key))
            }
            size => Some(Self(size)),
        }
    }
}

struct Tokens(usize);

impl FromField<'_> for Tokens {
    fn read(field: Field<'_>) -> Option<Self> {
        match u8::try_from(i64::read(field)?) {
            Ok(tokens) if tokens > 0 => Some(Self(usize::from(tokens))),
            _ => field.fault("the number of tokens is 1 to 255"),
        }
    }
}
