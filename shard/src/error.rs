//! What a client may do wrong, the exact words it is told, and what becomes of its connection.

use std::fmt;

/// A subscription in the words of its client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Named {
    /// What it would match.
    pub pattern: Box<[u8]>,
    /// Its queue group.
    pub queue: Option<Box<[u8]>>,
    /// What its client calls it.
    pub sid: Box<[u8]>,
}

impl Named {
    /// A subscription with these words.
    #[must_use]
    pub fn new(pattern: &[u8], queue: Option<&[u8]>, sid: &[u8]) -> Box<Self> {
        let (pattern, queue, sid) = (pattern.into(), queue.map(Into::into), sid.into());
        Box::new(Self { pattern, queue, sid })
    }
}

impl fmt::Display for Named {
    /// `"pattern"`, or `"pattern" using queue "queue"`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Quoted(&self.pattern).fmt(f)?;
        match &self.queue {
            Some(queue) => write!(f, " using queue {}", Quoted(queue)),
            None => Ok(()),
        }
    }
}

/// A broken rule of the client protocol. [`Violation::text`] is what the client reads in `-ERR`,
/// [`Violation::closes`] whether it is the last thing it reads.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Violation {
    /// A byte no operation begins with, or a payload not followed by CR LF.
    UnknownOperation,
    /// A control line longer than `max_control_line`.
    ControlLine,
    /// A declared payload larger than `max_payload`.
    MaxPayload,
    /// Arguments that cannot be read: wrong number, bad size, bad JSON. The client is told nothing.
    Malformed,
    /// Headers from a client that did not ask for them in CONNECT. The client is told nothing.
    Headers,
    /// An operation that is not for this connection: wrong credentials, or none yet.
    Authorization,
    /// The same: it comes through a proxy that nobody trusts.
    ProxyNotTrusted,
    /// The same: it has to come through a proxy.
    ProxyRequired,
    /// No handshake, or none in time, on a server that insists on one.
    TlsRequired,
    /// More handshakes within a second than the operator allows.
    Throttled,
    /// No CONNECT in time on a server that asks for credentials.
    AuthTimeout,
    /// Its credentials hold no more.
    UserExpired,
    /// Those of its account hold no more.
    AccountExpired,
    /// Its account took its credentials back.
    Revoked,
    /// Who vouched for it may do so no more. The client is told nothing.
    SignerGone,
    /// CONNECT with a protocol other than 0 or 1.
    ClientProtocol,
    /// CONNECT with `no_responders` but without `headers`.
    NoRespondersWithoutHeaders,
    /// The server has all the connections it may have.
    MaxConnections,
    /// The account has all the connections it may have.
    MaxAccountConnections,
    /// The connection has all the subscriptions it may have.
    MaxSubscriptions,
    /// PINGs were left unanswered.
    Stale,
    /// A pattern with an empty token, or with `>` before its end.
    InvalidSubject,
    /// Pedantic clients only: a publish subject with wildcards or empty tokens.
    InvalidPublishSubject,
    /// Publishing to this subject is not allowed.
    PublishTo(Box<[u8]>),
    /// Publishing with this reply subject is not allowed.
    ReplyOf(Box<[u8]>),
    /// This subscription is not allowed.
    SubscribeTo(Box<Named>),
    /// A pattern with more tokens than `max_subscription_tokens`.
    TooManyTokens(Box<Named>),
    /// This subscription was allowed, and is not any more: it has ended.
    Unsubscribed(Box<Named>),
    /// The client itself sent `-ERR`.
    PeerError,
}

impl Violation {
    /// The text between the quotes of `-ERR '…'`; none where the reference closes without a word.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let fixed = match self {
            Self::Malformed | Self::Headers | Self::PeerError | Self::SignerGone => return None,
            Self::UnknownOperation => "Unknown Protocol Operation",
            Self::ControlLine => "maximum control line exceeded",
            Self::MaxPayload => "Maximum Payload Violation",
            Self::Authorization | Self::ProxyNotTrusted | Self::ProxyRequired => {
                "Authorization Violation"
            }
            Self::AuthTimeout => "Authentication Timeout",
            Self::UserExpired => "User Authentication Expired",
            Self::AccountExpired => "Account Authentication Expired",
            Self::Revoked => "User Authentication Revoked",
            Self::TlsRequired => "Secure Connection - TLS Required",
            Self::Throttled => "Connection throttling is active. Please try again later.",
            Self::ClientProtocol => "invalid client protocol",
            Self::NoRespondersWithoutHeaders => "no responders requires headers support",
            Self::MaxConnections => "maximum connections exceeded",
            Self::MaxAccountConnections => "maximum account active connections exceeded",
            Self::MaxSubscriptions => "maximum subscriptions exceeded",
            Self::Stale => "Stale Connection",
            Self::InvalidSubject => "Invalid Subject",
            Self::InvalidPublishSubject => "Invalid Publish Subject",
            Self::PublishTo(subject) => {
                return Some(format!("Permissions Violation for Publish to {}", Quoted(subject)));
            }
            Self::ReplyOf(reply) => {
                let reply = Quoted(reply);
                return Some(format!("Permissions Violation for Publish with Reply of {reply}"));
            }
            Self::SubscribeTo(named) => {
                return Some(format!("Permissions Violation for Subscription to {named}"));
            }
            Self::Unsubscribed(named) => {
                let sid = Quoted(&named.sid);
                return Some(format!(
                    "Permissions Violation for Subscription to {named} (sid {sid})"
                ));
            }
            Self::TooManyTokens(named) => {
                let pattern = Quoted(&named.pattern);
                return Some(format!(
                    "Permissions Violation for Subscription to {pattern}, too many tokens"
                ));
            }
        };
        Some(fixed.to_owned())
    }

    /// Why the connection ends because of this; `None` if it goes on.
    #[must_use]
    pub fn closes(&self) -> Option<CloseReason> {
        Some(match self {
            Self::UnknownOperation | Self::Malformed | Self::Headers => {
                CloseReason::ProtocolViolation
            }
            Self::ControlLine => CloseReason::MaxControlLine,
            Self::MaxPayload => CloseReason::MaxPayload,
            Self::Authorization | Self::SignerGone => CloseReason::AuthenticationFailure,
            Self::ProxyNotTrusted => CloseReason::ProxyNotTrusted,
            Self::ProxyRequired => CloseReason::ProxyRequired,
            Self::UserExpired | Self::AccountExpired => CloseReason::AuthenticationExpired,
            Self::Revoked => CloseReason::Revoked,
            Self::AuthTimeout => CloseReason::AuthenticationTimeout,
            Self::ClientProtocol => CloseReason::BadClientProtocol,
            Self::NoRespondersWithoutHeaders => CloseReason::NoRespondersRequiresHeaders,
            Self::MaxConnections | Self::Throttled => CloseReason::MaxConnections,
            Self::TlsRequired => CloseReason::Handshake,
            Self::MaxAccountConnections => CloseReason::MaxAccountConnections,
            Self::Stale => CloseReason::Stale,
            Self::PeerError => CloseReason::ParseError,
            Self::MaxSubscriptions
            | Self::InvalidSubject
            | Self::InvalidPublishSubject
            | Self::PublishTo(_)
            | Self::ReplyOf(_)
            | Self::SubscribeTo(_)
            | Self::TooManyTokens(_)
            | Self::Unsubscribed(_) => return None,
        })
    }
}

/// Why a connection ended. [`fmt::Display`] gives the words that the reference's monitoring shows.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum CloseReason {
    /// The client hung up.
    ClientClosed,
    /// No CONNECT in time.
    AuthenticationTimeout,
    /// Wrong credentials.
    AuthenticationFailure,
    /// More output waiting than `max_pending`.
    SlowConsumerPending,
    /// A write made no progress within `write_deadline`.
    SlowConsumerDeadline,
    /// The socket refused a write.
    WriteError,
    /// The socket failed while reading.
    ReadError,
    /// The client sent `-ERR`.
    ParseError,
    /// PINGs were left unanswered.
    Stale,
    /// A broken rule of the protocol.
    ProtocolViolation,
    /// CONNECT asked for a protocol that does not exist.
    BadClientProtocol,
    /// The server had all the connections it may have.
    MaxConnections,
    /// Its account had all the connections it may have.
    MaxAccountConnections,
    /// It has more subscriptions than it may have, or may have none.
    MaxSubscriptions,
    /// A declared payload was too large.
    MaxPayload,
    /// A control line was too long.
    MaxControlLine,
    /// The server stops.
    ServerShutdown,
    /// CONNECT asked for `no_responders` without `headers`.
    NoRespondersRequiresHeaders,
    /// An operator sent it away.
    Kicked,
    /// Credentials hold no more.
    AuthenticationExpired,
    /// Credentials were taken back.
    Revoked,
    /// Its handshake came to nothing.
    Handshake,
    /// It came through a proxy that nobody trusts, or nobody trusts any more.
    ProxyNotTrusted,
    /// It did not come through a proxy, and had to.
    ProxyRequired,
}

impl CloseReason {
    /// Whether what is still queued for the client is written before the socket is closed. It is
    /// not, where the socket is the problem.
    #[must_use]
    pub const fn flushes(self) -> bool {
        !matches!(
            self,
            Self::ReadError
                | Self::WriteError
                | Self::SlowConsumerPending
                | Self::SlowConsumerDeadline
        )
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientClosed => "Client Closed",
            Self::AuthenticationTimeout => "Authentication Timeout",
            Self::AuthenticationFailure => "Authentication Failure",
            Self::SlowConsumerPending => "Slow Consumer (Pending Bytes)",
            Self::SlowConsumerDeadline => "Slow Consumer (Write Deadline)",
            Self::WriteError => "Write Error",
            Self::ReadError => "Read Error",
            Self::ParseError => "Parse Error",
            Self::Stale => "Stale Connection",
            Self::ProtocolViolation => "Protocol Violation",
            Self::BadClientProtocol => "Bad Client Protocol Version",
            Self::MaxConnections => "Maximum Connections Exceeded",
            Self::MaxAccountConnections => "Maximum Account Connections Exceeded",
            Self::MaxSubscriptions => "Maximum Subscriptions Exceeded",
            Self::MaxPayload => "Maximum Message Payload Exceeded",
            Self::MaxControlLine => "Maximum Control Line Exceeded",
            Self::ServerShutdown => "Server Shutdown",
            Self::NoRespondersRequiresHeaders => "No Responders Requires Headers",
            Self::Kicked => "Kicked",
            Self::AuthenticationExpired => "Authentication Expired",
            Self::Revoked => "Credentials Revoked",
            Self::Handshake => "TLS Handshake Failure",
            Self::ProxyNotTrusted => "Proxy Not Trusted",
            Self::ProxyRequired => "Proxy Required",
        })
    }
}

/// Bytes of a peer in double quotes, the way Go's `%q` prints a string: clients cut the subject
/// out of the text again.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\u{7}' => f.write_str("\\a")?,
                    '\u{8}' => f.write_str("\\b")?,
                    '\u{b}' => f.write_str("\\v")?,
                    '\u{c}' => f.write_str("\\f")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if c.is_control() && u32::from(c) < 0x80 => {
                        write!(f, "\\x{:02x}", u32::from(c))?;
                    }
                    c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_quoted_as_go_quotes_them() {
        let cases: [(&[u8], &str); 5] = [
            (b"foo.bar", "\"foo.bar\""),
            (b"a\"b\\c", "\"a\\\"b\\\\c\""),
            (b"\x00\x1f\x7f", "\"\\x00\\x1f\\x7f\""),
            ("größe".as_bytes(), "\"größe\""),
            (b"\xff\xfe", "\"\\xff\\xfe\""),
        ];
        for (bytes, expected) in cases {
            assert_eq!(Quoted(bytes).to_string(), expected);
        }
    }

    #[test]
    fn what_is_said_and_what_closes() {
        assert_eq!(Violation::Malformed.text(), None);
        assert_eq!(Violation::Malformed.closes(), Some(CloseReason::ProtocolViolation));
        let denied = Violation::SubscribeTo(Named::new(b"a", Some(b"q"), b"1"));
        let text = "Permissions Violation for Subscription to \"a\" using queue \"q\"";
        assert_eq!(denied.text().as_deref(), Some(text));
        assert_eq!(denied.closes(), None);
        let ended = Violation::Unsubscribed(Named::new(b"a", None, b"1"));
        let text = "Permissions Violation for Subscription to \"a\" (sid \"1\")";
        assert_eq!(ended.text().as_deref(), Some(text));
    }
}
