//! Requests that cross into other accounts, and their answers on the way back.
//!
//! A service import is carried out on the publisher's shard: the request is published in the other
//! account as if somebody there had sent it, which costs one more match and no other trip. It bears
//! a reply subject that leads back to this shard (see [`answers`](super::answers)); an answer to
//! that is published here, where the requester awaits it.
//!
//! Where a subject leads is worked out once and remembered with the publisher ([`Crossings`]).

use std::rc::Rc;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::account::{Accounts, Imports, ServiceImport};
use crate::clock::Now;
use crate::engine::Exchange;
use crate::ids::{AccountId, ConnId, ShardId};
use crate::interest::MatchSet;
use crate::limits::{CROSSINGS_BYTES_KEPT, CROSSINGS_MAX, MESSAGE_BYTES_KEPT};
use crate::mesh::frame::encode_group;
use crate::mesh::{Frame, GroupNames, MessageFrame, Origin};
use crate::wire::encode;
use crate::wire::headers::{Headers, without};

use super::answers::{Lead, Pending, ReplyName};
use super::identity::{Described, Identity, REQUEST_INFO};
use super::latency::Fate;
use super::publish::Publisher;
use super::told::{Kind, Told};
use super::{Memo, Message, Reach};

/// Where the requests of one publisher to its last subject go.
#[derive(Debug, Default)]
pub struct Crossings {
    subject: Vec<u8>,
    known: bool,
    /// Mappings of another account decide anew for each request.
    drawn: bool,
    legs: Vec<Leg>,
    /// Legs of other subjects, whose memory is used again.
    spare: Vec<Leg>,
    /// What is told about the requester.
    told: Told,
    /// Something was added since [`Self::rest`].
    grown: bool,
}

/// One account that a request goes into.
#[derive(Debug)]
struct Leg {
    imports: Arc<Imports>,
    place: usize,
    /// The leg before it; none if it begins in the requester's account.
    before: Option<usize>,
    account: AccountId,
    /// The account that it leaves.
    from_account: AccountId,
    subject: Vec<u8>,
    memo: Memo,
    /// What is told about the requester.
    kind: Kind,
    /// Somebody there wants the request.
    wanted: bool,
    /// The requester as events describe it, where requests may be measured.
    requestor: Option<Rc<Described>>,
}

impl Leg {
    fn import(&self) -> Option<&ServiceImport> {
        self.imports.services.get(self.place)
    }

    /// Memory that it takes beside itself, in bytes.
    fn bytes(&self) -> usize {
        self.subject.capacity() + self.memo.bytes()
    }
}

/// Who makes a request.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// As a publisher.
    pub publisher: Publisher<'a>,
    /// Nobody in its own account wants the request.
    pub alone: bool,
}

impl Crossings {
    /// Other accounts, or another publisher, from now on.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The publisher's turn is over: what takes much memory is worked out anew in the next.
    #[inline]
    pub fn rest(&mut self) {
        if std::mem::take(&mut self.grown) && self.bytes() > CROSSINGS_BYTES_KEPT {
            self.forget();
        }
    }

    /// Memory that it takes beside itself, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let legs = self.legs.iter().chain(&self.spare).map(Leg::bytes).sum::<usize>();
        let places = self.legs.capacity() + self.spare.capacity();
        self.subject.capacity() + places * size_of::<Leg>() + legs + self.told.bytes()
    }

    /// What events say of the publisher. Also returns how many bytes were written for that.
    pub fn describe(&mut self, identity: &Identity<'_>) -> (Rc<Described>, usize) {
        self.grown = true;
        self.told.describe(identity, true)
    }

    /// Works out where `subject` leads from `account`, which has these `imports`.
    #[inline]
    fn plan(
        &mut self,
        exchange: &mut Exchange,
        imports: &Imports,
        account: AccountId,
        subject: &[u8],
    ) {
        if self.known && !self.drawn && self.subject == subject {
            return;
        }
        self.subject.clear();
        self.subject.extend_from_slice(subject);
        self.spare.extend(self.legs.drain(..).map(|leg| Leg { requestor: None, ..leg }));
        self.known = true;
        self.drawn = false;
        self.grown = true;
        if imports.takes(subject) {
            self.plan_anew(exchange, account);
        }
    }

    #[cold]
    fn plan_anew(&mut self, exchange: &mut Exchange, account: AccountId) {
        let Exchange { options, rng, outlets, .. } = exchange;
        let mut subject = std::mem::take(&mut self.subject);
        self.add(&options.accounts, rng, None, account, &subject);
        std::mem::swap(&mut self.subject, &mut subject);
        let mut done = 0;
        while let Some(leg) = self.legs.get_mut(done) {
            let (account, subject) = (leg.account, std::mem::take(&mut leg.subject));
            self.add(&options.accounts, rng, Some(done), account, &subject);
            if let Some(leg) = self.legs.get_mut(done) {
                leg.subject = subject;
            }
            done += 1;
        }
        outlets.worked(done * PLANNING);
    }

    /// Adds the legs that begin where `before` ends.
    fn add(
        &mut self,
        accounts: &Accounts,
        rng: &mut fastrand::Rng,
        before: Option<usize>,
        account: AccountId,
        subject: &[u8],
    ) {
        let Some(imports) = accounts.imports(account) else { return };
        for (place, import) in imports.services.iter().enumerate() {
            if !import.takes(subject) || self.has_passed(before, import) {
                continue;
            }
            if self.legs.len() >= CROSSINGS_MAX {
                return;
            }
            let (memo, mut to) = match self.spare.pop() {
                Some(Leg { memo, subject, .. }) => (memo, subject),
                None => (Memo::default(), Vec::new()),
            };
            to.clear();
            import.rename(subject, &mut to);
            if let Some(mappings) = accounts.mappings(import.account)
                && let Some(mapped) = mappings.map(&to, rng)
            {
                to = mapped;
                self.drawn = true;
            }
            let (shared, detailed, with_server) = match before.and_then(|at| self.legs.get(at)) {
                Some(leg) => {
                    let shared = leg.import().is_some_and(|it| it.share);
                    (shared, leg.kind.detailed, leg.kind.with_server)
                }
                None => (import.share, import.share, import.share),
            };
            let opens = before.is_some() && import.share;
            let with_server =
                with_server || (!shared && (opens || import.account == AccountId::SYSTEM));
            self.legs.push(Leg {
                imports: Arc::clone(imports),
                place,
                before,
                account: import.account,
                from_account: account,
                subject: to,
                memo,
                kind: Kind { detailed, with_server, service: before.map(|_| account) },
                wanted: false,
                requestor: None,
            });
        }
    }

    /// Whether a request came by the same export already: it runs in a circle.
    fn has_passed(&self, mut at: Option<usize>, import: &ServiceImport) -> bool {
        while let Some(leg) = at.and_then(|at| self.legs.get(at)) {
            if leg.import().is_some_and(|passed| passed.same_export(import)) {
                return true;
            }
            at = leg.before;
        }
        false
    }

    /// Whether `subject` is known to lead somewhere.
    #[must_use]
    pub fn lead(&self, subject: &[u8]) -> bool {
        !self.legs.is_empty() && self.subject == subject
    }

    /// Whether the last subject leads nowhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// Writes what is to be told about the requester, as far as that was not done. Returns how many
    /// bytes were written.
    pub fn tell(&mut self, accounts: &Accounts, identity: &Identity<'_>) -> usize {
        let mut written = 0;
        for leg in &mut self.legs {
            if leg.wanted {
                written += self.told.write(leg.kind, accounts, identity);
            }
            let measured = leg.import().filter(|import| import.latency.is_some());
            if let Some(import) = measured {
                let (described, bytes) = self.told.describe(identity, import.share);
                leg.requestor = Some(described);
                written += bytes;
            }
        }
        self.grown |= written > 0;
        written
    }
}

impl Exchange {
    /// Works out which other accounts a request goes into. False if none.
    ///
    /// # Errors
    /// The shard whose lane has no room for it; nothing was done.
    pub fn route_across(
        &mut self,
        crossings: &mut Crossings,
        imports: &Imports,
        account: AccountId,
        subject: &[u8],
    ) -> Result<bool, ShardId> {
        crossings.plan(self, imports, account, subject);
        for leg in &mut crossings.legs {
            leg.wanted = !self.route(&mut leg.memo, leg.account, &leg.subject)?.is_empty();
        }
        Ok(!crossings.legs.is_empty())
    }

    /// Publishes `request` in all accounts that [`Self::route_across`] found.
    pub fn cross(
        &mut self,
        now: Now,
        crossings: &mut Crossings,
        request: &Message<'_>,
        requester: &Requester<'_>,
    ) -> Reach {
        let mut tail = std::mem::take(&mut self.answer_tail);
        let alone = requester.alone && crossings.legs.len() == 1;
        let requester = Requester { alone, ..*requester };
        let mut reach = Reach::default();
        for at in 0..crossings.legs.len() {
            if crossings.legs.get(at).is_some_and(|leg| leg.before.is_none()) {
                let reply = request.reply;
                let crossing = Crossing { now, request, requester: &requester };
                reach.merge(self.cross_leg(crossings, at, reply, crossing, &mut tail));
            }
        }
        self.answer_tail = kept(tail);
        self.arm_answers(now);
        reach
    }

    /// Publishes a request in the account of one leg, and in those behind it. `reply` is where the
    /// answer is awaited in the account before.
    fn cross_leg(
        &mut self,
        crossings: &mut Crossings,
        at: usize,
        reply: &[u8],
        crossing: Crossing<'_>,
        tail: &mut Vec<u8>,
    ) -> Reach {
        let Crossing { now, request, requester } = crossing;
        self.outlets.worked(CROSSING);
        let goes_on = crossings.legs.iter().skip(at + 1).any(|leg| leg.before == Some(at));
        let Some(leg) = crossings.legs.get_mut(at) else { return Reach::default() };
        let Some(import) = leg.imports.services.get(leg.place) else { return Reach::default() };
        let first = leg.before.is_none();
        let latency = import.latency.as_ref().filter(|_| import.response.is_single());
        let measured = latency.zip(leg.requestor.as_ref()).and_then(|(latency, requestor)| {
            self.measure(now, latency, leg.account, requestor, request, reply)
        });
        let line = crossings.told.line(leg.kind).filter(|_| leg.wanted);
        if line.is_none() && !goes_on {
            // Nobody will answer, so nobody need wait.
            if let Some(measured) = measured {
                self.tell_latency(now, leg.account, &measured, Fate::Unserved, None);
            }
            return Reach::default();
        }
        let asked = (!reply.is_empty()).then(|| {
            let conn = requester.publisher.conn;
            self.answers.ask(
                now,
                Pending {
                    account: leg.account,
                    to_account: leg.from_account,
                    to: SmallVec::from_slice(reply),
                    requester: first.then(|| (conn, SmallVec::from_slice(request.subject))),
                    response: import.response,
                    threshold: import.threshold,
                    measured,
                },
            )
        });
        let reply = asked.as_ref().map_or(&[][..], |(_, reply)| reply);
        let mut reach = Reach::default();
        if let Some(line) = line {
            let header_len = with_line(request, reply, line, tail);
            self.outlets.worked(tail.len());
            let end = tail.len() - b"\r\n".len();
            let body = request.payload.len() - request.header_len;
            let message = Message {
                account: leg.account,
                imported: true,
                subject: &leg.subject,
                reply,
                header_len,
                payload: tail.get(end - header_len - body..end).unwrap_or_default(),
                tail,
            };
            let set = leg.memo.look_up(&mut self.interest, leg.account, &leg.subject);
            let publisher = Publisher { alone: requester.alone, ..requester.publisher };
            reach = self.deliver(&set, leg.memo.head(), &message, publisher);
        }
        let reply = ReplyName::from_slice(reply);
        for next in at + 1..crossings.legs.len() {
            if crossings.legs.get(next).is_some_and(|leg| leg.before == Some(at)) {
                reach.merge(self.cross_leg(crossings, next, &reply, crossing, tail));
            }
        }
        if let Some((token, _)) = asked.filter(|_| !reach.any())
            && let Some(pending) = self.answers.remove(token)
        {
            self.measured(now, &pending, Fate::Unserved);
        }
        reach
    }

    /// Where an answer on `subject` leads.
    ///
    /// # Errors
    /// The shard whose lane has no room for it.
    pub fn route_answer(&mut self, account: AccountId, subject: &[u8]) -> Result<Lead, ShardId> {
        let lead = self.answers.lead(account, subject);
        match lead {
            Lead::Nowhere => {}
            Lead::There(shard) if shard == self.peers.me() => return Ok(Lead::Nowhere),
            Lead::There(shard) => {
                if !self.peers.has_room(shard) {
                    return Err(shard);
                }
            }
            Lead::Here(token) => {
                if let Some(pending) = self.answers.get(account, token) {
                    let set = self.interest.matches(pending.to_account, &pending.to);
                    if let Some(full) = self.peers.full_lane(&set) {
                        return Err(full);
                    }
                }
            }
        }
        Ok(lead)
    }

    /// Publishes an answer where the request `token` of this shard awaits it. `publisher` is the
    /// slot of who answers, if it is a connection of this shard.
    pub fn answer(
        &mut self,
        now: Now,
        token: u64,
        message: &Message<'_>,
        publisher: Option<u32>,
    ) -> Reach {
        let mut reach = Reach::default();
        let Some(pending) = self.answers.get(message.account, token).cloned() else { return reach };
        let is_last = pending.response.is_single() || message.payload.is_empty();
        self.measured_answer(now, &pending, token);
        // An answer may be a question itself.
        let asked = (!message.reply.is_empty()).then(|| {
            self.answers.ask(
                now,
                Pending {
                    account: pending.to_account,
                    to_account: message.account,
                    to: SmallVec::from_slice(message.reply),
                    requester: None,
                    response: pending.response,
                    threshold: pending.threshold,
                    measured: None,
                },
            )
        });
        let reply = asked.as_ref().map_or(&[][..], |(_, reply)| reply);
        let (accounts, rng) = (&self.options.accounts, &mut self.rng);
        let mapped =
            accounts.mappings(pending.to_account).and_then(|all| all.map(&pending.to, rng));
        let to = mapped.as_deref().unwrap_or(&pending.to);
        let mut tail = std::mem::take(&mut self.answer_tail);
        if asked.is_some() {
            tail.clear();
            encode::tail(&mut tail, reply, message.header_len, message.payload);
        }
        let onward = Message {
            account: pending.to_account,
            imported: true,
            subject: to,
            reply,
            tail: if asked.is_some() { &tail } else { message.tail },
            ..*message
        };
        reach.merge(self.publish_here(&onward, publisher));
        if let Lead::Here(next) = self.answers.lead(pending.to_account, to)
            && next != token
        {
            if let Some((of, _)) = self.responder.as_mut().filter(|(of, _)| *of == token) {
                *of = next;
            }
            reach.merge(self.answer(now, next, &onward, publisher));
        }
        self.answer_tail = kept(tail);
        if let Some((token, _)) = asked.filter(|_| !reach.any()) {
            self.answers.remove(token);
        }
        if is_last || !reach.any() {
            self.answers.remove(token);
        } else {
            self.answers.touch(now, token);
        }
        self.arm_answers(now);
        reach
    }

    /// Nobody got a request that crossed, which was learned later: tells who made it. Only the
    /// server itself learns such things, so the token alone decides.
    pub(super) fn unanswered(&mut self, reply: &[u8]) {
        let mut reply = SmallVec::<[u8; 64]>::from_slice(reply);
        while let Some(pending) =
            self.answers.find(&reply).and_then(|token| self.answers.remove(token))
        {
            self.measured(self.outlets.now, &pending, Fate::Unserved);
            if let Some((conn, subject)) = &pending.requester {
                self.no_responders(*conn, pending.to_account, &pending.to, subject);
                return;
            }
            reply = pending.to;
        }
    }

    /// Delivers a message of no publisher here, whatever room there is: what finds none on a lane
    /// waits within a bound of its own, or is dropped and counted.
    pub(super) fn publish_here(&mut self, message: &Message<'_>, publisher: Option<u32>) -> Reach {
        let set = self.interest.matches(message.account, message.subject);
        let mut head = std::mem::take(&mut self.answer_head);
        head.clear();
        for part in [b"MSG ", message.subject, b" "] {
            head.extend_from_slice(part);
        }
        let mut reach = self.fan_out().to_all(&set.plain, &head, message, publisher);
        let mut elsewhere: SmallVec<[(ShardId, Vec<u8>); 4]> = SmallVec::new();
        for group in &set.groups {
            match self.one_of_group(group, &head, message, publisher) {
                Ok(reached) => reach.merge(reached),
                Err(Some(shard)) => {
                    let mut name = Vec::new();
                    encode_group(&group.name, &mut name);
                    match elsewhere.iter_mut().find(|(known, _)| *known == shard) {
                        Some((_, names)) => names.extend_from_slice(&name),
                        None => elsewhere.push((shard, name)),
                    }
                }
                Err(None) => {}
            }
        }
        self.answer_head = head;
        reach.keeping_up |= self.send_here(&set, &mut elsewhere, message);
        reach
    }

    /// Sends frames to the shards that `set` and the dice named. False if there are none.
    fn send_here(
        &mut self,
        set: &MatchSet,
        elsewhere: &mut SmallVec<[(ShardId, Vec<u8>); 4]>,
        message: &Message<'_>,
    ) -> bool {
        for shard in &set.remote {
            if !elsewhere.iter().any(|(known, _)| known == shard) {
                elsewhere.push((*shard, Vec::new()));
            }
        }
        let origin = Origin {
            shard: self.peers.me(),
            // No connection: nobody is to be paused or answered.
            conn: ConnId::new(u32::MAX, u32::MAX),
            sole: false,
            no_responders: false,
            hops: 0,
        };
        let mut sent = false;
        for (shard, names) in elsewhere.iter() {
            let plain = set.remote.contains(shard);
            let groups = GroupNames::new(names);
            let frame = MessageFrame { message: *message, plain, groups, origin };
            sent |= self.peers.send_on(*shard, &Frame::Message(frame));
        }
        sent
    }
}

/// What it costs to find out where a request goes, and to bring it there, as bytes of output that
/// take as long: see [`Outlets::worked`](super::Outlets::worked).
const PLANNING: usize = 512;
const CROSSING: usize = 256;

/// A buffer for messages, to be used again, unless one was so large that its memory is given back.
fn kept(buffer: Vec<u8>) -> Vec<u8> {
    if buffer.capacity() > MESSAGE_BYTES_KEPT { Vec::new() } else { buffer }
}

/// What all legs of one request have in common.
#[derive(Clone, Copy)]
struct Crossing<'a> {
    now: Now,
    request: &'a Message<'a>,
    requester: &'a Requester<'a>,
}

/// Writes the tail of a request that has `line` among its headers, and no other line of that name.
/// Headers that are not well formed do not go along.
/// Returns the length of its header block.
fn with_line(request: &Message<'_>, reply: &[u8], line: &[u8], tail: &mut Vec<u8>) -> usize {
    const PLAIN: &[u8] = b"NATS/1.0\r\n";
    let (headers, body) = request.payload.split_at(request.header_len);
    // Of a block that is none nobody knows what is read: the line might stand where nobody does.
    let headers = if Headers::read(headers).is_some() { headers } else { &[] };
    tail.clear();
    if headers.is_empty() {
        let header_len = PLAIN.len() + line.len() + 2;
        encode::tail_head(tail, reply, header_len, header_len + body.len());
        tail.extend_from_slice(PLAIN);
        for part in [line, b"\r\n", body, b"\r\n"] {
            tail.extend_from_slice(part);
        }
        return header_len;
    }
    let kept = without(headers, REQUEST_INFO);
    let kept = kept.strip_suffix(b"\r\n").unwrap_or(&kept);
    let header_len = kept.len() + line.len() + 2;
    encode::tail_head(tail, reply, header_len, header_len + body.len());
    for part in [kept, line, b"\r\n", body, b"\r\n"] {
        tail.extend_from_slice(part);
    }
    header_len
}
