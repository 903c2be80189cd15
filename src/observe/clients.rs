//! What happens to clients, as log lines in the words of nats-server: people and tools search for
//! them.

use std::time::{Duration, Instant};

use crossbeam_channel::TrySendError;
use ringbus_shard::error::{CloseReason, Quoted, Violation};
use ringbus_shard::event::{ClientLabel, Event, EventSink, Insecure, What};
use ringbus_shard::ids::ShardId;
use ringbus_shard::transport::Facts;
use ringbus_shard::transport::sniff::{Language, sniff};
use tracing::{debug, error, info, trace, warn};

use super::log::FATAL;
use crate::system::{Note, Notes};

/// How often it is said, at most, that notes are lost.
const OVERRUN_SAID_EVERY: Duration = Duration::from_secs(10);

/// The same for handshakes that were refused.
const REFUSED_SAID_EVERY: Duration = Duration::from_secs(1);

/// Writes the events of one shard to the log, and hands on those that go further.
#[derive(Clone, Debug)]
pub struct ClientLog {
    notes: Notes,
    /// When it was last said that a note found no room.
    overrun: Option<Instant>,
    /// Handshakes that were refused since that was last said, and when.
    refused: u64,
    refused_said: Option<Instant>,
}

impl ClientLog {
    /// With whoever takes the notes.
    #[must_use]
    pub fn new(notes: Notes) -> Self {
        Self { notes, overrun: None, refused: 0, refused_said: None }
    }

    /// A shard waits for nobody: what finds no room is lost, and that is said now and then.
    fn hand_on(&mut self, note: Note) {
        let full = matches!(self.notes.told.try_send(note), Err(TrySendError::Full(_)));
        if full && self.overrun.is_none_or(|said| said.elapsed() > OVERRUN_SAID_EVERY) {
            warn!("More happens to clients than system events can tell: some are left out");
            self.overrun = Some(Instant::now());
        }
    }

    /// One line for many: where they come by the thousand, a line for each is a flood of its own.
    fn crowded(&mut self) {
        self.refused += 1;
        if self.refused_said.is_none_or(|said| said.elapsed() > REFUSED_SAID_EVERY) {
            warn!(
                "TLS handshakes refused: {}; more clients connect than can be answered in time",
                std::mem::take(&mut self.refused)
            );
            self.refused_said = Some(Instant::now());
        }
    }
}

impl EventSink for ClientLog {
    fn record(&mut self, event: Event) {
        let who = Who(&event.client);
        match event.what {
            What::Entered(view) => self.hand_on(Note::Entered(view)),
            What::Left(view, stop, reason) => self.hand_on(Note::Left(view, stop, reason)),
            // One that finds no room is not answered, like one that asks too often.
            What::Asked(asked) => drop(self.notes.asked.try_send(asked)),
            What::Opened => debug!("{who} - Client connection created"),
            What::Secured(facts) => {
                debug!("{who} - TLS handshake complete");
                let Facts { version, cipher, .. } = &*facts;
                debug!("{who} - TLS version {version}, cipher suite {cipher}");
            }
            What::Insecure(Insecure::Crowded) => self.crowded(),
            What::Insecure(why) => insecure(&who, &why),
            What::Worn(why) => warn!("{who} - {why}"),
            What::Closed(reason) => closed(&who, reason),
            What::Violated(violation) => violated(&who, &violation),
            What::Unreadable(input) => {
                // A wrong port or a wrong scheme is the likeliest of mistakes.
                let hint = match (sniff(&input), input.get(1)) {
                    (Some(Language::Tls), Some(3)) => ": it looks like TLS, which is not offered",
                    _ => "",
                };
                error!("{who} - Client parser ERROR: proto={}{hint}", Quoted(&input));
            }
            What::ProxyFault(fault) => {
                let peer = event.client.peer;
                warn!("Error reading PROXY protocol header from {peer}: {fault}");
            }
            What::Refused(None) => error!("{who} - authentication error"),
            What::Refused(Some(claim)) => error!("{who} - authentication error - {claim}"),
            What::SlowPending(most) => {
                info!("{who} - Slow Consumer Detected: MaxPending of {most} Exceeded");
            }
            What::SlowDeadline(seconds, waiting) => info!(
                "{who} - Slow Consumer Detected: WriteDeadline of {seconds}s exceeded with \
                 {waiting} total bytes."
            ),
            What::SentError(text) => error!("{who} - Client Error {text}"),
            What::Received(line) => trace!("{who} - <<- {line}"),
            What::Sent(line) => trace!("{who} - ->> {line}"),
        }
    }

    fn shard_failed(&mut self, shard: ShardId, reason: &str) {
        error!(target: FATAL, "Shard {shard} failed: {reason}");
        // The last thing this process does: the line must be out before it ends.
        std::thread::sleep(Duration::from_millis(100));
    }

    fn accept_failed(&mut self, reason: &str, pause: Duration) {
        let pause = pause.as_millis();
        error!("Temporary Client Accept Error ({reason}), sleeping {pause}ms");
    }
}

/// Whoever looks whether a port is open is no error; one that tries in earnest is.
fn insecure(who: &Who<'_>, why: &Insecure) {
    match why {
        Insecure::NotBegun => debug!("{who} - TLS handshake timeout"),
        Insecure::Timeout => debug!("{who} - TLS handshake error: timeout"),
        Insecure::Plain => debug!(
            "{who} - TLS handshake error: tls: first record does not look like a TLS handshake"
        ),
        Insecure::HungUp => error!("{who} - TLS handshake error: EOF"),
        // Told together, once a second.
        Insecure::Throttled | Insecure::Crowded => {}
        Insecure::Failed(why) | Insecure::Stale(why) => {
            error!("{who} - TLS handshake error: {why}")
        }
    }
}

fn closed(who: &Who<'_>, reason: CloseReason) {
    if reason == CloseReason::Stale {
        debug!("{who} - Stale Client Connection - Closing");
    }
    debug!("{who} - Client connection closed: {reason}");
}

fn violated(who: &Who<'_>, violation: &Violation) {
    match violation {
        Violation::AuthTimeout => error!("{who} - authentication timeout"),
        Violation::MaxConnections => error!("{who} - maximum connections exceeded"),
        Violation::MaxAccountConnections => {
            error!("{who} - maximum account active connections exceeded");
        }
        Violation::MaxSubscriptions => error!("{who} - maximum subscriptions exceeded"),
        Violation::ControlLine => error!("{who} - maximum control line exceeded"),
        Violation::MaxPayload => error!("{who} - maximum payload exceeded"),
        Violation::PublishTo(subject) => {
            error!("{who} - Publish Violation - Subject {}", Quoted(subject));
        }
        Violation::ReplyOf(reply) => {
            error!("{who} - Publish Violation - Reply {}", Quoted(reply));
        }
        Violation::SubscribeTo(named) => {
            let queue = named.queue.as_deref().map(|queue| format!(", Queue: {}", Quoted(queue)));
            error!(
                "{who} - Subscription Violation - Subject {}{}, SID {}",
                Quoted(&named.pattern),
                queue.unwrap_or_default(),
                named.sid.escape_ascii()
            );
        }
        Violation::TooManyTokens(named) => error!(
            "{who} - Subscription Violation Too Many Tokens - Subject {}, SID {}",
            Quoted(&named.pattern),
            named.sid.escape_ascii()
        ),
        Violation::Unsubscribed(named) => {
            info!("{who} - Removed sub {named} (sid {}) - not authorized", Quoted(&named.sid))
        }
        Violation::UserExpired | Violation::AccountExpired | Violation::Revoked => {
            debug!("{who} - {}", violation.text().unwrap_or_default());
        }
        // Shown as refused, as unreadable input, as an operation, or as the reason of the close.
        Violation::Authorization
        | Violation::ProxyNotTrusted
        | Violation::ProxyRequired
        | Violation::SignerGone
        | Violation::TlsRequired
        | Violation::Throttled
        | Violation::UnknownOperation
        | Violation::Malformed
        | Violation::Headers
        | Violation::ClientProtocol
        | Violation::NoRespondersWithoutHeaders
        | Violation::Stale
        | Violation::InvalidSubject
        | Violation::InvalidPublishSubject
        | Violation::PeerError => {}
    }
}

/// A client at the head of its lines: `127.0.0.1:1234 - cid:5 - "v1.2:go:name" - "$G/user"`.
struct Who<'a>(&'a ClientLabel);

impl std::fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ClientLabel { id, peer, details } = self.0;
        write!(f, "{peer} - cid:{id}")?;
        if details.is_empty() { Ok(()) } else { write!(f, " - {details}") }
    }
}
