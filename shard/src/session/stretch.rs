//! A stretch of ordinary publishes, which is what nearly all input is.
//!
//! What has to be asked before any publish of a client (does its account map subjects, is its input
//! traced) has one answer until the client does something else, so it is asked once per stretch.
//! What has to be asked of a subject (may the client publish there, does its account take it as a
//! service of another) is asked when it is another than before. What is left per message: its
//! sizes, what it is counted as, its deliveries.
//!
//! Whatever is not ordinary ends the stretch before anything was done about it, and goes the long
//! way (`publish.rs`), which does the same and everything else. The two must agree, and a test
//! holds them to it.

use std::rc::Rc;
use std::sync::Arc;

use crate::authorize::Permissions;
use crate::delivery::publish::Publisher;
use crate::delivery::{Message, Reach};
use crate::engine::Exchange;
use crate::interest::MatchSet;
use crate::subject;
use crate::wire::client::{Publish, read_whole, read_whole_on};

use super::client::{ClientSession, Phase};
use super::publish::is_special;

/// Where the subject of the message before led.
struct Route {
    set: Rc<MatchSet>,
    /// The index was as it is while this was so.
    epoch: u64,
    /// Lanes to other shards may need room.
    crosses: bool,
}

impl ClientSession {
    /// Carries out the ordinary publishes at the head of `bytes`, up to the end of a turn. Returns
    /// how many bytes are done.
    pub(super) fn stretch(&mut self, exchange: &mut Exchange, bytes: &[u8]) -> usize {
        if !matches!(bytes.first(), Some(b'P' | b'H')) || !self.is_ordinary(exchange) {
            return 0;
        }
        let (mut done, mut messages, mut payload) = (0, 0, 0);
        let mut last: Option<Route> = None;
        while let Some(rest) = bytes.get(done..) {
            let same = last.as_ref().is_some_and(|it| it.epoch == exchange.interest.epoch());
            let again = if same {
                read_whole_on(rest, self.memo.spaced(), &self.parse_limits)
            } else {
                None
            };
            let (publish, len) = match again {
                Some(read) => read,
                None => {
                    let Some(read) = read_whole(rest, &self.parse_limits) else { break };
                    last = self.set_out(exchange, read.0.subject);
                    read
                }
            };
            let Some(route) = &last else { break };
            if is_special(publish.reply)
                || (route.crosses && exchange.peers.full_lane(&route.set).is_some())
            {
                break;
            }
            done += len;
            messages += 1;
            payload += publish.payload.len() as u64;
            self.send(exchange, route, &publish);
            if exchange.outlets.is_due() {
                break;
            }
        }
        self.in_msgs += messages;
        self.in_bytes += payload;
        exchange.stats.in_msgs += messages;
        exchange.stats.in_bytes += payload;
        done
    }

    /// Whether a publish of this client is like one of anybody, but for its subject.
    fn is_ordinary(&self, exchange: &Exchange) -> bool {
        self.phase == Phase::Connected
            && self.mappings.is_none()
            && !self.connect.verbose
            && !self.internal
            && !exchange.options.trace
    }

    /// Where another subject leads; nowhere if it is one that has to be looked at.
    fn set_out(&mut self, exchange: &mut Exchange, subject: &[u8]) -> Option<Route> {
        let rules = self.grant.permissions.as_ref();
        let allowed = |rules: &Arc<Permissions>| {
            (self.memo_allowed && self.memo.subject() == subject) || rules.may_publish(subject)
        };
        let imports = self.imports.as_ref();
        if is_special(subject)
            || imports.is_some_and(|it| self.crossings.lead(subject) || it.takes(subject))
            || (self.connect.pedantic && !subject::is_valid_literal(subject))
            || !rules.is_none_or(allowed)
        {
            return None;
        }
        self.memo_allowed = rules.is_some();
        let set = self.memo.look_up(&mut exchange.interest, self.grant.account, subject);
        let crosses = !(set.remote.is_empty() && set.groups.is_empty());
        Some(Route { set, epoch: exchange.interest.epoch(), crosses })
    }

    #[inline]
    fn send(&mut self, exchange: &mut Exchange, route: &Route, publish: &Publish<'_>) {
        if route.set.is_empty() && publish.reply.is_empty() {
            return;
        }
        let message = Message {
            account: self.grant.account,
            imported: false,
            subject: publish.subject,
            reply: publish.reply,
            header_len: publish.header_len,
            payload: publish.payload,
            tail: publish.tail.unwrap_or_default(),
        };
        let publisher = Publisher {
            conn: self.conn,
            no_responders: self.connect.no_responders,
            behind: &self.behind,
            alone: true,
            answers: None,
        };
        let expired = exchange.expired.len();
        let head = self.memo.head();
        let reach = match route.crosses {
            false => exchange.publish_here_alone(&route.set, head, &message, publisher),
            true => exchange.publish(&route.set, head, &message, publisher, Reach::default()),
        };
        self.reach.merge(reach);
        if exchange.expired.len() > expired {
            self.expire_own(exchange, expired);
        }
    }
}
