//! PUB and HPUB: limits and reserved names, then delivery.

use std::time::Duration;

use crate::clock::Now;
use crate::delivery::answers::{Lead, is_answer, is_measured};
use crate::delivery::crossing::Requester;
use crate::delivery::identity::{Described, Identity};
use crate::delivery::publish::Publisher;
use crate::delivery::{Message, Reach};
use crate::engine::Exchange;
use crate::error::Violation;
use crate::ids::ShardId;
use crate::limits::{DESCRIBED_BYTES_FREE, DESCRIBED_TURN_BYTES_MAX};
use crate::mesh::Frame;
use crate::options::Options;
use crate::subject;
use crate::wire::client::Publish;
use crate::wire::encode;

use super::client::{ClientSession, Flow, Halt};
use super::permit::Standing;

/// Whether a name may be one of those that mean something to the server: all of them begin with a
/// `$`, `_R_.` or `_GR_.`. Inboxes do not.
#[inline]
pub(super) fn is_special(name: &[u8]) -> bool {
    matches!(name, [b'$', ..] | [b'_', b'R' | b'G', ..])
}

impl ClientSession {
    pub(super) fn publish(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        publish: &Publish<'_>,
    ) -> Flow {
        let impossible = self.connect.pedantic && !subject::is_valid_literal(publish.subject);
        if self.mappings.is_some() {
            return self.publish_mapped(exchange, now, publish, impossible);
        }
        self.publish_to(exchange, now, publish, impossible)
    }

    /// Publishes to what the account makes of the subject. Everything that follows, what the client
    /// may do included, is about that.
    #[inline(never)]
    fn publish_mapped(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        publish: &Publish<'_>,
        impossible: bool,
    ) -> Flow {
        let mut mapped = std::mem::take(&mut self.mapped);
        let mappings = self.mappings.as_deref();
        let subject =
            mappings.and_then(|all| mapped.look_up(all, publish.subject, &mut exchange.rng));
        if let Some(subject) = subject
            && exchange.options.trace
        {
            self.trace_mapped(exchange, publish.subject, subject);
        }
        let publish = Publish { subject: subject.unwrap_or(publish.subject), ..*publish };
        let flow = self.publish_to(exchange, now, &publish, impossible);
        if matches!(flow, Flow::Retry(_)) {
            mapped.keep();
        }
        self.mapped = mapped;
        flow
    }

    #[inline(always)]
    fn publish_to(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        publish: &Publish<'_>,
        impossible: bool,
    ) -> Flow {
        let standing = self.standing(exchange, now, publish.subject);
        if standing == Standing::Denied {
            return self.refuse_publish(exchange, publish, impossible);
        }
        let account = self.grant.account;
        let mut lead = Lead::Nowhere;
        if is_special(publish.subject) || is_special(publish.reply) {
            match self.special(exchange, now, publish, impossible) {
                Ok(found) => lead = found,
                Err(flow) => return self.treated(exchange, standing, publish.subject, flow),
            }
        }
        let set = match exchange.route(&mut self.memo, account, publish.subject) {
            Ok(set) => set,
            Err(full) => return self.wait_for(full, standing),
        };
        let mut leads = lead != Lead::Nowhere;
        if let Some(imports) = &self.imports {
            match exchange.route_across(&mut self.crossings, imports, account, publish.subject) {
                Ok(any) => leads |= any,
                Err(full) => return self.wait_for(full, standing),
            }
        }
        if standing != Standing::Free {
            self.published(exchange, standing, publish.subject);
        }
        self.count(exchange, publish);
        self.warn_if(exchange, impossible);
        if self.connect.verbose {
            self.tell(exchange, encode::OK);
        }
        if set.is_empty() && !leads && !self.connect.no_responders {
            return Flow::Next;
        }
        let rewritten;
        let tail = match publish.tail {
            Some(tail) => tail,
            None => {
                let mut tail = Vec::with_capacity(publish.payload.len() + publish.reply.len() + 32);
                encode::tail(&mut tail, publish.reply, publish.header_len, publish.payload);
                rewritten = tail;
                &rewritten
            }
        };
        let message = Message {
            account,
            imported: false,
            subject: publish.subject,
            reply: publish.reply,
            header_len: publish.header_len,
            payload: publish.payload,
            tail,
        };
        let expired = exchange.expired.len();
        let mut already = Reach::default();
        if leads {
            already = self.publish_beyond(exchange, now, &message, lead, set.is_empty());
        }
        let publisher =
            Publisher { answers: lead.elsewhere(), alone: !already.any(), ..self.publisher() };
        let reach = exchange.publish(&set, self.memo.head(), &message, publisher, already);
        self.reach.merge(reach);
        if exchange.expired.len() > expired {
            self.expire_own(exchange, expired);
        }
        Flow::Next
    }

    /// A publish that was no ordinary one is done, unless it waits.
    fn treated(
        &self,
        exchange: &mut Exchange,
        standing: Standing,
        subject: &[u8],
        flow: Flow,
    ) -> Flow {
        if standing == Standing::Answering && !matches!(flow, Flow::Retry(_)) {
            self.spend(exchange, subject);
        }
        flow
    }

    /// The memo has the subject already, so the verdict has to be on that.
    #[cold]
    fn wait_for(&mut self, full: ShardId, standing: Standing) -> Flow {
        self.memo_allowed = standing == Standing::Allowed;
        Flow::Retry(Halt::Lane(full))
    }

    #[cold]
    fn refuse_publish(
        &mut self,
        exchange: &mut Exchange,
        publish: &Publish<'_>,
        impossible: bool,
    ) -> Flow {
        self.count(exchange, publish);
        self.warn_if(exchange, impossible);
        self.violated(exchange, Violation::PublishTo(publish.subject.into()))
    }

    /// Publishes in other accounts: a request to their services, or an answer that is awaited here.
    #[inline(never)]
    fn publish_beyond(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        message: &Message<'_>,
        lead: Lead,
        alone: bool,
    ) -> Reach {
        let mut reach = Reach::default();
        if lead != Lead::Nowhere && is_measured(message.subject) {
            self.tell_responder(exchange, message.subject, lead);
        }
        if let Lead::Here(token) = lead {
            reach = exchange.answer(now, token, message, Some(self.conn.slot()));
        }
        if self.imports.is_some() && !self.crossings.is_empty() {
            let mut crossings = std::mem::take(&mut self.crossings);
            let options = &exchange.options;
            let identity = self.identity(exchange.wall, options);
            let written = crossings.tell(&options.accounts, &identity);
            exchange.outlets.worked(written);
            let requester = Requester { publisher: self.publisher(), alone };
            reach.merge(exchange.cross(now, &mut crossings, message, &requester));
            self.crossings = crossings;
        }
        reach
    }

    /// Who this is, for the account that answers it.
    fn identity<'a>(&'a self, wall: Duration, options: &'a Options) -> Identity<'a> {
        Identity {
            account: &self.grant.account_name,
            user: self.grant.user.as_deref(),
            client: self.peer.client,
            address: self.peer.address,
            connect: &self.connect,
            start: wall + self.start.since(Now::ZERO),
            round_trip: self.round_trip().unwrap_or_default(),
            server: &options.info.server_name,
        }
    }

    /// It answers a request that is measured: whoever measures that learns who it is. Nobody does
    /// of the server itself.
    #[cold]
    fn tell_responder(&mut self, exchange: &mut Exchange, subject: &[u8], lead: Lead) {
        if self.internal || lead == Lead::Nowhere {
            return;
        }
        let mut crossings = std::mem::take(&mut self.crossings);
        let identity = self.identity(exchange.wall, &exchange.options);
        let (described, written) = crossings.describe(&identity);
        self.crossings = crossings;
        exchange.outlets.worked(written);
        match lead {
            Lead::Nowhere => {}
            Lead::Here(token) => exchange.responder = Some((token, described)),
            Lead::There(shard) => {
                let Described { json, round_trip } = &*described;
                // What is sent is chosen by whoever answers, and anybody may say that he does.
                self.described += json.len().saturating_sub(DESCRIBED_BYTES_FREE);
                if self.described > DESCRIBED_TURN_BYTES_MAX {
                    return;
                }
                let (reply, about, round_trip) = (subject, json.as_slice(), *round_trip);
                exchange.peers.send_on(shard, &Frame::Responder { reply, about, round_trip });
            }
        }
    }

    fn publisher(&self) -> Publisher<'_> {
        Publisher {
            conn: self.conn,
            no_responders: self.connect.no_responders,
            behind: &self.behind,
            alone: true,
            answers: None,
        }
    }

    /// Requests to the server, names that only the server itself may use, and answers to requests
    /// of other accounts: says where those lead.
    #[inline(never)]
    fn special(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        publish: &Publish<'_>,
        impossible: bool,
    ) -> Result<Lead, Flow> {
        let violation = if self.internal {
            None
        } else if subject::is_reserved_publish(publish.subject) {
            Some(Violation::PublishTo(publish.subject.into()))
        } else if subject::is_reserved_reply(publish.reply) {
            Some(Violation::ReplyOf(publish.reply.into()))
        } else if self.asks(exchange, now, publish) {
            self.count(exchange, publish);
            if self.connect.verbose {
                self.tell(exchange, encode::OK);
            }
            return Err(Flow::Next);
        } else {
            None
        };
        if let Some(violation) = violation {
            self.count(exchange, publish);
            self.warn_if(exchange, impossible);
            return Err(self.violated(exchange, violation));
        }
        if !is_answer(publish.subject) {
            return Ok(Lead::Nowhere);
        }
        let lead = exchange.route_answer(self.grant.account, publish.subject);
        lead.map_err(|full| Flow::Retry(Halt::Lane(full)))
    }

    /// Pedantic clients are told about subjects that no subscription can match. Nothing else
    /// follows from it.
    #[inline]
    fn warn_if(&mut self, exchange: &mut Exchange, impossible: bool) {
        if impossible {
            self.violated(exchange, Violation::InvalidPublishSubject);
        }
    }

    /// Of the subscriptions that this message was the last for, this client's own end at once: its
    /// next operation may end them too, or use their names again. Those of others end when this
    /// client's turn is over.
    #[cold]
    pub(super) fn expire_own(&mut self, exchange: &mut Exchange, mut from: usize) {
        while let Some(&id) = exchange.expired.get(from) {
            if exchange.subscriptions.get(id).is_some_and(|held| held.conn == self.conn) {
                exchange.expired.swap_remove(from);
                self.expire(exchange, id);
            } else {
                from += 1;
            }
        }
    }

    #[inline]
    fn count(&mut self, exchange: &mut Exchange, publish: &Publish<'_>) {
        if self.internal {
            return;
        }
        self.in_msgs += 1;
        self.in_bytes += publish.payload.len() as u64;
        exchange.stats.in_msgs += 1;
        exchange.stats.in_bytes += publish.payload.len() as u64;
    }
}
