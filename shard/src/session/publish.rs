//! PUB and HPUB: limits and reserved names, then delivery.

use crate::delivery::publish::{Published, Publisher};
use crate::delivery::Message;
use crate::engine::Exchange;
use crate::error::Violation;
use crate::subject;
use crate::wire::client::Publish;
use crate::wire::encode;

use super::client::{ClientSession, Flow, Halt};

impl ClientSession {
    pub(super) fn publish(&mut self, exchange: &mut Exchange, publish: &Publish<'_>) -> Flow {
        if subject::is_reserved_publish(publish.subject) {
            self.count(exchange, publish);
            let subject = publish.subject.into();
            return self.violated(exchange, Violation::PublishTo(subject));
        }
        if !publish.reply.is_empty() && subject::is_reserved_reply(publish.reply) {
            self.count(exchange, publish);
            let reply = publish.reply.into();
            return self.violated(exchange, Violation::ReplyOf(reply));
        }
        let publisher = Publisher { conn: self.conn, no_responders: self.connect.no_responders };
        let published = match publish.tail {
            Some(tail) => self.deliver(exchange, publish, tail, publisher),
            None => {
                let mut tail = Vec::with_capacity(publish.payload.len() + publish.reply.len() + 32);
                encode::tail(&mut tail, publish.reply, publish.header_len, publish.payload);
                self.deliver(exchange, publish, &tail, publisher)
            }
        };
        match published {
            Published::NoRoom(shard) => return Flow::Retry(Halt::Lane(shard)),
            Published::Done(reach) => {
                self.reach.keeping_up |= reach.keeping_up;
                self.reach.behind |= reach.behind;
            }
        }
        self.count(exchange, publish);
        if self.connect.pedantic && !subject::is_valid_literal(publish.subject) {
            return self.violated(exchange, Violation::InvalidPublishSubject);
        }
        if self.connect.verbose {
            self.tell(exchange, encode::OK);
        }
        Flow::Next
    }

    #[inline]
    fn deliver(
        &mut self,
        exchange: &mut Exchange,
        publish: &Publish<'_>,
        tail: &[u8],
        publisher: Publisher,
    ) -> Published {
        let message = Message {
            account: self.grant.account,
            subject: publish.subject,
            reply: publish.reply,
            header_len: publish.header_len,
            payload: publish.payload,
            tail,
        };
        exchange.publish(&mut self.memo, &message, publisher)
    }

    #[inline]
    fn count(&mut self, exchange: &mut Exchange, publish: &Publish<'_>) {
        self.in_msgs += 1;
        self.in_bytes += publish.payload.len() as u64;
        exchange.stats.in_msgs += 1;
        exchange.stats.in_bytes += publish.payload.len() as u64;
    }
}
