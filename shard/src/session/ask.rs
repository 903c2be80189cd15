//! Requests that a client of any account may make to the server. They are answered for that client
//! and its account, so they are no messages: the server is told of them, and answers to the reply
//! subject. In the system account, all but the one about the client itself are messages as any
//! other.

use std::time::Duration;

use crate::clock::Now;
use crate::engine::Exchange;
use crate::event::{Asked, What};
use crate::ids::AccountId;
use crate::limits::{ASKED_BYTES_MAX, ASKED_PER_SECOND};
use crate::wire::client::Publish;

use super::client::ClientSession;

/// What every client may ask.
const USER_INFO: &[u8] = b"$SYS.REQ.USER.INFO";

/// What clients of other accounts than the system account may ask besides.
const OF_ACCOUNT: [&[u8]; 3] =
    [b"$SYS.REQ.SERVER.PING.CONNZ", b"$SYS.REQ.ACCOUNT.PING.CONNZ", b"$SYS.REQ.ACCOUNT.PING.STATZ"];

/// How often a client has asked lately. Answers are made by a thread that all clients share, so
/// none may keep it from the others.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asking {
    since: Now,
    count: u32,
}

impl Asking {
    fn admits(&mut self, now: Now) -> bool {
        if now.since(self.since) >= Duration::from_secs(1) {
            *self = Self { since: now, count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count <= ASKED_PER_SECOND
    }
}

/// Time until then in whole seconds, from now to the beginning of the second in which it lies.
fn left(wall: Duration, now: Now, end: Now) -> Duration {
    let since_1970 = |at: Now| wall + at.since(Now::ZERO);
    let end = Duration::from_secs(since_1970(end).as_secs());
    Duration::from_secs(end.saturating_sub(since_1970(now)).as_secs())
}

impl ClientSession {
    /// Whether a publish is such a request; it was made then, and is no message.
    pub(super) fn asks(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        publish: &Publish<'_>,
    ) -> bool {
        let account = self.grant.account;
        let asks = publish.subject == USER_INFO
            || (account != AccountId::SYSTEM && OF_ACCOUNT.contains(&publish.subject));
        if !asks {
            return false;
        }
        // The headers of a request say nothing that matters here.
        let body = publish.payload.get(publish.header_len..).unwrap_or_default();
        let may = !publish.reply.is_empty() && body.len() <= ASKED_BYTES_MAX;
        if may && self.asking.admits(now) {
            let asked = Asked {
                account,
                account_name: self.grant.account_name.clone(),
                user: self.grant.user.clone(),
                permissions: self.grant.permissions.clone(),
                stays: self.expires.map(|end| left(exchange.wall, now, end)),
                subject: publish.subject.into(),
                reply: publish.reply.into(),
                body: body.into(),
            };
            self.report(exchange, What::Asked(Box::new(asked)));
        }
        true
    }
}
