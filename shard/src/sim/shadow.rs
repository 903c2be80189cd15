//! What must come of what the clients do, worked out the slow and obvious way: a list of
//! subscriptions, a list of publishes, and the moments at which somebody could know something.
//!
//! A moment is a number of the simulation's steps. A subscription is *visible* from the moment
//! somebody saw an effect of anything its connection did after SUB: its own `+OK` or PONG, or a
//! message that it published later, read by anyone. It is *ended* likewise after UNSUB. So:
//!
//! - what is sent after a subscription became visible must reach it, unless it may have ended;
//! - what is sent after it ended must not;
//! - whatever else races with SUB or UNSUB, and may go either way, but at most once.
//!
//! A queue group gets each message at most once, and exactly once if a member was visible the whole
//! time and none of those that may have got it lost its connection.
//!
//! All this holds in each account that a message comes to, by the terms of all accounts, which do
//! not change here. An answer to a request of another account is owed if it is the only one.

use std::collections::HashMap;

use super::client::{Answer, Client, End};
use super::copies::{self, Copy};
use super::deeds::{Limit, Publication, Sub};
use super::seen::Seen;
use crate::account::naive::{Landing, Terms};
use crate::authorize::{Rules, naive as authorize};
use crate::subject::naive;

/// A step of the simulation.
pub(super) type Moment = u64;

/// A message as a client read it.
#[derive(Debug)]
pub(super) struct Received<'a> {
    pub(super) subject: &'a str,
    pub(super) sid: &'a str,
    pub(super) reply: Option<&'a str>,
    pub(super) headers: Option<&'a [u8]>,
    pub(super) body: &'a [u8],
}

/// What the clients did and saw.
pub(super) struct Shadow {
    terms: Terms,
    pub(super) clients: Vec<Client>,
    pub(super) subs: Vec<Sub>,
    pub(super) publications: Vec<Publication>,
    /// Publications by the reply they named.
    requests: HashMap<String, usize>,
    /// Names of answers to requests of other accounts: the publication, and where it landed.
    names: HashMap<String, (usize, usize)>,
    /// How often each kind of check had something to check.
    pub(super) seen: Seen,
}

impl Shadow {
    /// Nobody has done anything; these terms hold all the time.
    pub(super) fn new(terms: Terms) -> Self {
        Self {
            terms,
            clients: Vec::new(),
            subs: Vec::new(),
            publications: Vec::new(),
            requests: HashMap::new(),
            names: HashMap::new(),
            seen: Seen::default(),
        }
    }

    /// A client sent SUB.
    pub(super) fn subscribe(
        &mut self,
        client: usize,
        sid: &str,
        pattern: &str,
        queue: Option<&str>,
    ) {
        let wanted = (pattern.as_bytes(), queue.map(str::as_bytes));
        let allows = |rules: &Rules| authorize::may_subscribe(rules, wanted.0, wanted.1);
        if !self.clients[client].rules.as_ref().is_none_or(allows) {
            self.clients[client].next_op(Answer::Err);
            self.seen.denied += 1;
            return;
        }
        let op = self.clients[client].next_op(Answer::Ok);
        let earlier = self.subs.iter().filter(|sub| sub.client == client && sub.sid == sid);
        if earlier.clone().any(|sub| sub.unsub.is_none()) {
            // The name is taken: nothing happens.
            assert!(earlier.clone().all(|sub| sub.limit.is_none() || sub.unsub.is_some()));
            return;
        }
        self.subs.push(Sub {
            client,
            sid: sid.to_owned(),
            pattern: pattern.to_owned(),
            queue: queue.map(str::to_owned),
            op,
            certain: true,
            visible: None,
            unsub: None,
            ended: None,
            over: false,
            limit: None,
            delivered: 0,
            last: HashMap::new(),
            forgotten: None,
        });
    }

    /// A client sent UNSUB.
    pub(super) fn unsubscribe(&mut self, client: usize, sid: &str, max: Option<u64>) {
        let op = self.clients[client].next_op(Answer::Ok);
        let held = |sub: &&mut Sub| sub.client == client && sub.sid == sid && sub.unsub.is_none();
        for sub in self.subs.iter_mut().filter(held) {
            match max {
                Some(max) => {
                    sub.certain &= sub.limit.is_none();
                    sub.limit = Some(Limit { op, max, had: None });
                }
                None => sub.unsub = Some(op),
            }
        }
    }

    /// A client sent a second CONNECT: its subscriptions end.
    pub(super) fn reconnect(&mut self, client: usize) {
        let op = self.clients[client].next_op(Answer::Ok);
        let held = |sub: &&mut Sub| sub.client == client && sub.unsub.is_none();
        self.subs.iter_mut().filter(held).for_each(|sub| sub.unsub = Some(op));
    }

    /// The subscriptions of a client that it has not ended.
    pub(super) fn held_by(&self, client: usize) -> impl Iterator<Item = &Sub> {
        self.subs.iter().filter(move |sub| sub.client == client && sub.unsub.is_none())
    }

    /// A name that a client has used, and may use again.
    pub(super) fn used_sid(&self, client: usize) -> Option<String> {
        let mine = || self.subs.iter().filter(|sub| sub.client == client);
        let last = mine().find(|sub| sub.over)?;
        let free = |sub: &Sub| sub.sid != last.sid || sub.over;
        mine().all(free).then(|| last.sid.clone())
    }

    /// Whether a subscription may end by itself.
    pub(super) fn is_limited(&self, client: usize, sid: &str) -> bool {
        self.held_by(client).any(|sub| sub.sid == sid && sub.limit.is_some())
    }

    /// A client is about to send PUB or HPUB. Returns the number that its body must begin with.
    pub(super) fn next_publication(&self) -> usize {
        self.publications.len()
    }

    /// Whether a message of that client comes to an account twice on the same subject.
    pub(super) fn comes_twice(&self, client: usize, subject: &str) -> bool {
        let account = self.clients[client].account;
        let mapped = copies::mapped(&self.terms, account, subject);
        let all = copies::landings(&self.terms, account, mapped.as_deref().unwrap_or(subject));
        let name = |it: &Landing| (it.account, it.subject.clone());
        (1..all.len()).any(|at| all[..at].iter().any(|before| name(before) == name(&all[at])))
    }

    /// A client sent PUB or HPUB.
    #[expect(clippy::too_many_arguments, reason = "what a publish is made of")]
    pub(super) fn publish(
        &mut self,
        now: Moment,
        sent_on: u64,
        client: usize,
        subject: &str,
        reply: Option<&str>,
        headers: Option<Vec<u8>>,
        body: Vec<u8>,
    ) {
        let account = self.clients[client].account;
        let mapped = copies::mapped(&self.terms, account, subject);
        let subject = mapped.as_deref().unwrap_or(subject);
        let allows = |rules: &Rules| authorize::may_publish(rules, subject.as_bytes());
        if !self.clients[client].rules.as_ref().is_none_or(allows) {
            self.clients[client].next_op(Answer::Err);
            self.seen.denied += 1;
            return;
        }
        let op = self.clients[client].next_op(Answer::Ok);
        if let Some(reply) = reply.filter(|reply| reply.starts_with("_INBOX")) {
            self.requests.insert(reply.to_owned(), self.publications.len());
        }
        let landings = copies::landings(&self.terms, account, subject);
        let mut copies = copies::copies(&self.terms, &landings);
        let mut answers = None;
        if let Some((number, at)) = self.names.get(subject).copied()
            && self.publications[number].landings[at].account == account
        {
            let request = &mut self.publications[number];
            request.answered += 1;
            let reply = request.reply.as_deref().expect("it is answered");
            copies.extend(copies::back(&self.terms, &request.landings, at, reply));
            answers = Some(number);
        }
        self.publications.push(Publication {
            client,
            op,
            sent: now,
            subject: subject.to_owned(),
            reply: reply.map(str::to_owned),
            headers,
            body,
            landings,
            copies,
            answers,
            answered: 0,
            deliveries: Vec::new(),
            refusals: 0,
            sent_on,
            settled: false,
        });
    }

    /// Somebody has seen that the server carried out the first `ops` operations of a client.
    fn known(&mut self, now: Moment, client: usize, ops: u64, by_itself: bool) {
        for sub in self.subs.iter_mut().filter(|sub| sub.client == client) {
            if sub.op < ops {
                sub.visible.get_or_insert(now);
            }
            if sub.unsub.is_some_and(|op| op < ops) {
                sub.ended.get_or_insert(now);
                sub.over |= by_itself;
            }
            if let Some(limit) = &mut sub.limit
                && by_itself
                && limit.op < ops
            {
                limit.had.get_or_insert(sub.delivered);
            }
        }
    }

    /// A client read `+OK`, PONG or `-ERR`.
    pub(super) fn answered(&mut self, now: Moment, client: usize, answer: Answer) {
        let ops = self.clients[client].answered(answer);
        self.known(now, client, ops, true);
    }

    /// A client read a message.
    pub(super) fn received(
        &mut self,
        now: Moment,
        sent_on: u64,
        client: usize,
        got: &Received<'_>,
    ) {
        if got.headers.is_some_and(|headers| headers.starts_with(b"NATS/1.0 503")) {
            self.refused(client, got);
            return;
        }
        let number = got.body.split(|byte| *byte == b' ').next();
        let number = number.and_then(|number| std::str::from_utf8(number).ok());
        let number: Option<usize> = number.and_then(|number| number.parse().ok());
        let Some(publication) = number.and_then(|number| self.publications.get(number)) else {
            panic!("client {client} got what nobody published: {got:?}");
        };
        let number = number.unwrap_or_default();
        assert!(got.body == publication.body, "body of {number} to client {client}");
        let (publisher, op) = (publication.client, publication.op);
        let copy = self.delivered(sent_on, client, got, number);
        self.check_received(client, got, number, copy);
        self.known(now, publisher, op + 1, false);
    }

    /// What comes along is what was published; a request from another account says who asks.
    fn check_received(&mut self, client: usize, got: &Received<'_>, number: usize, copy: usize) {
        let publication = &self.publications[number];
        let Copy { landing, crossed, .. } = publication.copies[copy];
        let own = publication.headers.as_deref().filter(|_| self.clients[client].headers);
        if crossed && self.clients[client].headers {
            let block = String::from_utf8_lossy(got.headers.unwrap_or_default());
            let (told, others): (Vec<&str>, Vec<&str>) =
                block.split("\r\n").partition(|line| line.starts_with("Nats-Request-Info: {"));
            let own = String::from_utf8_lossy(own.unwrap_or(b"NATS/1.0\r\n\r\n"));
            assert_eq!((told.len(), others.join("\r\n")), (1, own.into_owned()), "of {number}");
        } else {
            assert_eq!(got.headers, own, "headers of {number}");
        }
        match (got.reply, &publication.reply) {
            (Some(name), Some(_)) if crossed => {
                assert!(name.starts_with("_R_."), "reply of {number}");
                self.names.entry(name.to_owned()).or_insert((number, landing));
            }
            (reply, asked) => assert_eq!(reply, asked.as_deref(), "reply of {number}"),
        }
    }

    /// Notes a delivery, if there may be one.
    fn delivered(
        &mut self,
        sent_on: u64,
        client: usize,
        got: &Received<'_>,
        number: usize,
    ) -> usize {
        let publication = &self.publications[number];
        let fits = |index: usize, sub: &Sub| {
            let mine = sub.client == client && sub.sid == got.sid;
            let mut all = (0..publication.copies.len()).filter(|_| mine);
            all.find(|copy| {
                publication.copies[*copy].is_called(got.subject)
                    && self.looks_like(got, publication, *copy)
                    && self.may_get(index, sub, publication, *copy)
            })
        };
        let all = self.subs.iter().enumerate();
        let found = all.filter_map(|(index, sub)| Some((index, fits(index, sub)?))).next();
        let Some((index, copy)) = found else {
            let mine = |sub: &&Sub| sub.client == client && sub.sid == got.sid;
            let held: Vec<_> = self.subs.iter().filter(mine).collect();
            panic!("client {client} must not get {got:?} of {publication:?}: {held:#?}");
        };
        let Copy { crossed, answers, account, .. } = publication.copies[copy];
        let queue = self.subs[index].queue.clone();
        let sub = &mut self.subs[index];
        // Answers go round by who asked.
        if !answers
            && let Some(last) = sub.last.insert(publication.client, number)
            && last > number
        {
            // The one that came late may have been sent on from a shard whose members were gone.
            let sent_on_since = sent_on - self.publications[number].sent_on;
            assert!(
                queue.is_some() && sent_on_since > 0,
                "{number} after {last} to subscription {index} of client {client}"
            );
        }
        sub.delivered += 1;
        let home = self.clients[self.publications[number].client].account;
        self.publications[number].deliveries.push((index, copy));
        self.seen.deliveries += 1;
        self.seen.crossed += u64::from(crossed || (account != home && !answers));
        self.seen.answered += u64::from(answers);
        copy
    }

    /// Whether a message may have come as this copy, by what tells requests of other accounts.
    fn looks_like(&self, got: &Received<'_>, publication: &Publication, copy: usize) -> bool {
        let told = match (got.headers, got.reply) {
            (Some(headers), _) => {
                let text = String::from_utf8_lossy(headers);
                Some(text.contains("\r\nNats-Request-Info: {"))
            }
            (None, reply) => reply.map(|reply| reply.starts_with("_R_.")),
        };
        told.is_none_or(|crossed| crossed == publication.copies[copy].crossed)
    }

    fn may_get(&self, index: usize, sub: &Sub, publication: &Publication, copy: usize) -> bool {
        let had_all = |limit: Limit| limit.had.is_some() && sub.delivered >= limit.max;
        let landing = publication.copies[copy].landing;
        // Who gets an answer of his own from elsewhere is not known there.
        (self.is_wanted(sub, publication, copy)
            || (publication.copies[copy].answers && self.would_have_copy(sub, publication, copy)))
            && !sub.over
            && sub.ended.is_none_or(|ended| ended > publication.sent)
            && !sub.limit.is_some_and(had_all)
            && !publication.deliveries.iter().any(|(other, another)| {
                let taken = &self.subs[*other].queue;
                let same = publication.copies[*another].landing == landing;
                (*other == index && *another == copy)
                    || (same && taken.is_some() && *taken == sub.queue)
            })
    }

    fn is_wanted(&self, sub: &Sub, publication: &Publication, copy: usize) -> bool {
        self.would_have_copy(sub, publication, copy)
            && (sub.client != publication.client || self.clients[sub.client].echo)
    }

    fn would_have_copy(&self, sub: &Sub, publication: &Publication, copy: usize) -> bool {
        let copy = &publication.copies[copy];
        self.clients[sub.client].account == copy.account && self.would_have(sub, copy.subject())
    }

    /// Whether a subscription matches a subject, and its client may have what is published there.
    fn would_have(&self, sub: &Sub, subject: &str) -> bool {
        let (pattern, subject) = (sub.pattern.as_bytes(), subject.as_bytes());
        let queue = sub.queue.as_deref().map(str::as_bytes);
        let may = |rules| authorize::may_deliver(rules, pattern, queue, subject);
        naive::matches(pattern, subject) && self.clients[sub.client].rules.as_ref().is_none_or(may)
    }

    /// A client read 503.
    fn refused(&mut self, client: usize, got: &Received<'_>) {
        let Some(publication) =
            self.requests.get(got.subject).map(|number| &mut self.publications[*number])
        else {
            panic!("503 for no request: {got:?}");
        };
        assert_eq!(publication.client, client, "503 to the requester");
        assert!(self.clients[client].no_responders, "503 to who wants to hear it");
        let subject = &publication.subject;
        let expected = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n");
        assert_eq!(got.headers, Some(expected.as_bytes()));
        assert!(got.body.is_empty());
        assert!(publication.deliveries.is_empty(), "somebody got {publication:?}");
        publication.refusals += 1;
        self.seen.refusals += 1;
        assert_eq!(publication.refusals, 1, "one 503 for {publication:?}");
        let taken = self.subs.iter().any(|sub| {
            sub.client == client
                && sub.sid == got.sid
                && sub.queue.is_none()
                && self.would_have(sub, got.subject)
        });
        assert!(taken, "503 to a subscription of the requester: {got:?}");
    }

    /// Nothing is left to do but for those who do not read: everything owed must have come.
    /// `final_check` says that everybody reads, so that nothing has to be looked at again.
    pub(super) fn settle(&mut self, now: Moment, everybody_reads: bool) {
        for number in 0..self.publications.len() {
            if !self.publications[number].settled {
                self.check(number);
                self.publications[number].settled = everybody_reads;
            }
        }
        if everybody_reads {
            for index in 0..self.subs.len() {
                let sub = &self.subs[index];
                let limit_reached = sub
                    .limit
                    .is_some_and(|limit| sub.delivered >= limit.max && limit.had.is_some());
                let lost = self.clients[sub.client].end != End::Open;
                if sub.ended.is_some() || limit_reached || lost {
                    self.subs[index].forgotten.get_or_insert(now);
                }
            }
        }
    }

    /// Whether a subscription was there, for everybody to know, from before the publish until now.
    fn is_owed(&self, sub: &Sub, publication: &Publication) -> bool {
        let client = &self.clients[sub.client];
        sub.certain
            && sub.visible.is_some_and(|visible| visible <= publication.sent)
            && sub.unsub.is_none()
            && sub.limit.is_none_or(|limit| sub.delivered < limit.max)
            && client.end == End::Open
            && !client.stalled
    }

    fn check(&mut self, number: usize) {
        let publication = &self.publications[number];
        if !self.clients[publication.client].end.processes_everything() {
            return;
        }
        let (mut owed_plain, mut owed_group, mut kept) = (0, 0, 0);
        let mut responder = false;
        let mut possible = false;
        let all = (0..publication.copies.len())
            .flat_map(|copy| (0..self.subs.len()).map(move |index| (copy, index)));
        for (copy, index) in all {
            let (sub, seen) = (&self.subs[index], &publication.copies[copy]);
            if !self.is_wanted(sub, publication, copy) {
                let matches = naive::matches(sub.pattern.as_bytes(), seen.subject().as_bytes());
                let here = self.clients[sub.client].account == seen.account;
                let may = self.would_have(sub, seen.subject());
                kept += u64::from(here && matches && !may && self.is_owed(sub, publication));
                continue;
            }
            possible |= sub.forgotten.is_none_or(|forgotten| forgotten > publication.sent);
            if !self.is_owed(sub, publication) || (seen.answers && !self.is_only(publication)) {
                continue;
            }
            responder = true;
            match &sub.queue {
                None => {
                    owed_plain += 1;
                    assert!(
                        publication.deliveries.contains(&(index, copy)),
                        "subscription {index} {sub:#?} was owed {number} {publication:?}"
                    );
                }
                Some(queue) => {
                    owed_group += 1;
                    self.check_group(number, publication, queue, copy);
                }
            }
        }
        if responder {
            assert_eq!(publication.refusals, 0, "503 despite a responder: {publication:?}");
        }
        let owed_refusal =
            !possible && self.is_owed_refusal(publication) && self.is_certain(publication);
        if owed_refusal {
            assert_eq!(publication.refusals, 1, "no 503 for {number} {publication:?}");
        }
        if !publication.settled {
            self.seen.owed_plain += owed_plain;
            self.seen.owed_group += owed_group;
            self.seen.kept += kept;
            self.seen.owed_refusals += u64::from(owed_refusal);
        }
    }

    /// A group with a member that was always there got the message, or somebody got it who is gone
    /// or does not read.
    fn check_group(&self, number: usize, publication: &Publication, queue: &str, copy: usize) {
        let of_group = |sub: &Sub| sub.queue.as_deref() == Some(queue);
        let landing = publication.copies[copy].landing;
        let here = |copy: usize| publication.copies[copy].landing == landing;
        let mut deliveries = publication.deliveries.iter();
        if deliveries.any(|(index, copy)| here(*copy) && of_group(&self.subs[*index])) {
            return;
        }
        let unread = (0..publication.copies.len()).filter(|copy| here(*copy)).any(|copy| {
            self.subs.iter().any(|sub| {
                let client = &self.clients[sub.client];
                of_group(sub)
                    && self.is_wanted(sub, publication, copy)
                    && sub.forgotten.is_none_or(|forgotten| forgotten > publication.sent)
                    && (client.stalled || client.end != End::Open)
            })
        });
        assert!(unread, "group {queue} never got {number} {publication:?}");
    }

    /// Whether an answer is the only one to its request, so that it is not too late.
    fn is_only(&self, publication: &Publication) -> bool {
        let request = publication.answers.map(|number| &self.publications[number]);
        // Those from further on go back by the same way.
        request.is_some_and(|it| it.answered == 1)
    }

    /// Whether it is found out that nobody got a message: it goes to one other account at most, and
    /// nobody takes a stream that it is none of, or of which it is kept from him.
    fn is_certain(&self, publication: &Publication) -> bool {
        let taken = copies::taken(&self.terms, &publication.landings);
        publication.landings.len() <= 2
            && publication.answers.is_none()
            && !self.subs.iter().any(|sub| {
                let account = self.clients[sub.client].account;
                taken.iter().any(|(taker, name)| {
                    account == *taker && naive::matches(sub.pattern.as_bytes(), name.as_bytes())
                })
            })
    }

    /// Whether the publisher asked to hear of it, and can.
    fn is_owed_refusal(&self, publication: &Publication) -> bool {
        let client = &self.clients[publication.client];
        let Some(reply) = &publication.reply else { return false };
        client.no_responders
            && self.requests.contains_key(reply)
            && self.subs.iter().any(|sub| {
                sub.client == publication.client
                    && sub.queue.is_none()
                    && sub.op < publication.op
                    && sub.limit.is_none()
                    && self.is_owed_at_home(sub)
                    && self.would_have(sub, reply)
            })
    }

    /// Whether a client's own subscription holds for what it sends itself.
    fn is_owed_at_home(&self, sub: &Sub) -> bool {
        let client = &self.clients[sub.client];
        sub.certain && sub.unsub.is_none() && client.end == End::Open && !client.stalled
    }
}
