//! PUB and HPUB: limits and reserved names, then delivery.

use crate::clock::Now;
use crate::delivery::Message;
use crate::delivery::publish::Publisher;
use crate::engine::Exchange;
use crate::error::Violation;
use crate::subject;
use crate::wire::client::Publish;
use crate::wire::encode;

use super::client::{ClientSession, Flow, Halt};
use super::permit::Standing;

/// Whether a name may be one of those that mean something to the server.
#[inline]
fn is_special(name: &[u8]) -> bool {
    matches!(name.first(), Some(b'$' | b'_'))
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
        let flow = match subject {
            Some(subject) => {
                if exchange.options.trace {
                    self.trace_mapped(exchange, publish.subject, subject);
                }
                let publish = Publish { subject, ..*publish };
                self.publish_to(exchange, now, &publish, impossible)
            }
            None => self.publish_to(exchange, now, publish, impossible),
        };
        if matches!(flow, Flow::Retry(_)) {
            mapped.keep();
        }
        self.mapped = mapped;
        flow
    }

    #[inline]
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
        if (is_special(publish.subject) || is_special(publish.reply))
            && let Some(flow) = self.special(exchange, now, publish, impossible)
        {
            if standing == Standing::Answering {
                self.spend(exchange, publish.subject);
            }
            return flow;
        }
        let set = match exchange.route(&mut self.memo, self.grant.account, publish.subject) {
            Ok(set) => set,
            Err(full) => return Flow::Retry(Halt::Lane(full)),
        };
        if standing != Standing::Free {
            self.published(exchange, standing, publish.subject);
        }
        self.count(exchange, publish);
        self.warn_if(exchange, impossible);
        if self.connect.verbose {
            self.tell(exchange, encode::OK);
        }
        if set.is_empty() && !self.connect.no_responders {
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
            account: self.grant.account,
            subject: publish.subject,
            reply: publish.reply,
            header_len: publish.header_len,
            payload: publish.payload,
            tail,
        };
        let publisher = Publisher {
            conn: self.conn,
            no_responders: self.connect.no_responders,
            behind: &self.behind,
        };
        let expired = exchange.expired.len();
        self.reach.merge(exchange.publish(&set, self.memo.head(), &message, publisher));
        if exchange.expired.len() > expired {
            self.expire_own(exchange, expired);
        }
        Flow::Next
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

    /// Requests to the server, and names that only the server itself may use.
    #[inline(never)]
    fn special(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        publish: &Publish<'_>,
        impossible: bool,
    ) -> Option<Flow> {
        if self.internal {
            return None;
        }
        let violation = if subject::is_reserved_publish(publish.subject) {
            Violation::PublishTo(publish.subject.into())
        } else if subject::is_reserved_reply(publish.reply) {
            Violation::ReplyOf(publish.reply.into())
        } else if self.asks(exchange, now, publish) {
            self.count(exchange, publish);
            if self.connect.verbose {
                self.tell(exchange, encode::OK);
            }
            return Some(Flow::Next);
        } else {
            return None;
        };
        self.count(exchange, publish);
        self.warn_if(exchange, impossible);
        Some(self.violated(exchange, violation))
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
    fn expire_own(&mut self, exchange: &mut Exchange, mut from: usize) {
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
