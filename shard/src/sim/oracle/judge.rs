//! What must come of one thing that a client does, told by lists that are gone through one by one.

use std::time::Duration;

use fastrand::Rng;

use crate::account::naive::{Landing, Terms};
use crate::authorize::{Rules, naive as authorize};
use crate::clock::Now;
use crate::subject::naive::matches;

/// A client.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) account: usize,
    pub(super) shard: usize,
    pub(super) rules: Option<Rules>,
    pub(super) headers: bool,
    pub(super) echo: bool,
    pub(super) no_responders: bool,
    /// Subjects it may answer on: since when, and how often it has.
    pub(super) may_answer: Vec<(String, Now, u64)>,
}

impl Person {
    pub(super) fn new(account: usize, shard: usize, rules: Option<Rules>) -> Self {
        let may_answer = Vec::new();
        let (headers, echo, no_responders) = (true, true, true);
        Self { account, shard, rules, headers, echo, no_responders, may_answer }
    }

    pub(super) fn may_publish(&self, subject: &str) -> bool {
        self.rules.as_ref().is_none_or(|rules| authorize::may_publish(rules, subject.as_bytes()))
    }

    /// The place of what it was given to answer on, if it still may.
    fn answers(&self, now: Now, subject: &str) -> Option<usize> {
        let responses = self.rules.as_ref()?.responses?;
        self.may_answer.iter().position(|(name, at, used)| {
            let late = responses.ttl.is_some_and(|ttl| now.since(*at) > ttl);
            name == subject && !late && responses.max.is_none_or(|max| *used < max)
        })
    }
}

/// A subscription.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) number: usize,
    pub(super) sid: String,
    pub(super) pattern: String,
    pub(super) queue: Option<String>,
}

/// A subject: one that somebody wrote, or one that the server made for an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Name {
    Text(String),
    /// For the answer to the request at that place.
    Made(usize),
}

/// A request that may be answered from another account.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// Where it is answered.
    pub(super) account: usize,
    /// Where the answer goes.
    pub(super) to_account: usize,
    pub(super) to: Name,
    pub(super) streamed: bool,
    pub(super) soon: bool,
    /// Where it was made.
    pub(super) shard: usize,
    /// What the answer is published to, once somebody has seen it.
    pub(super) name: Option<String>,
    pub(super) over: bool,
    /// Whether it is over is left open.
    pub(super) open: bool,
}

/// What a message says of who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Asker {
    pub(super) number: usize,
    pub(super) detailed: bool,
    pub(super) server: bool,
    pub(super) service: Option<usize>,
}

/// One copy of a message on its way to somebody.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) number: usize,
    pub(super) sid: String,
    pub(super) subject: Name,
    /// The same, by what is known.
    pub(super) reply: Option<Name>,
    pub(super) headers: Option<String>,
    pub(super) asker: Option<Asker>,
    pub(super) body: String,
    /// It is one of several of which exactly one comes.
    pub(super) group: Option<usize>,
}

/// What has to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Expected {
    pub(super) errors: Vec<usize>,
    pub(super) copies: Vec<Copy>,
    pub(super) groups: Vec<(usize, String)>,
    /// Who is told that nobody was there, and by what subject; none if it cannot be told.
    pub(super) unheard: Option<(usize, String, String)>,
    /// He may also be left to wait, see [`Judge::is_taken`].
    pub(super) may_wait: bool,
}

/// How much was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looked {
    pub(super) messages: u64,
    pub(super) copies: u64,
    /// Copies in accounts that a request came to.
    pub(super) crossed: u64,
    /// Copies in accounts that take a stream.
    pub(super) streamed: u64,
    /// Answers that came back.
    pub(super) answered: u64,
    /// SUB and PUB that rules do not allow.
    pub(super) refused: u64,
    /// Copies that rules kept from somebody.
    pub(super) kept: u64,
    /// Requests that nobody got.
    pub(super) unheard: u64,
    /// Messages that mappings gave another subject.
    pub(super) mapped: u64,
}

impl Looked {
    fn all(&mut self) -> [&mut u64; 9] {
        let Self { messages, copies, crossed, streamed, answered, refused, kept, unheard, mapped } =
            self;
        [messages, copies, crossed, streamed, answered, refused, kept, unheard, mapped]
    }

    pub(super) fn add(&mut self, mut other: Self) {
        for (sum, more) in self.all().into_iter().zip(other.all()) {
            *sum += *more;
        }
    }

    /// What was looked at least.
    pub(super) fn least(&mut self) -> u64 {
        self.all().into_iter().map(|count| *count).min().unwrap_or(0)
    }
}

/// A message as it was published.
#[derive(Clone, Debug)]
pub(super) struct Published<'a> {
    pub(super) subject: &'a str,
    pub(super) reply: Option<Name>,
    pub(super) headers: Option<&'a str>,
    pub(super) body: &'a str,
}

/// What chance decides on each shard, as it will.
#[derive(Clone, Debug)]
pub(super) struct Draws(pub(super) Vec<Rng>);

impl Draws {
    /// The next weight.
    fn weight(&mut self, shard: usize) -> u8 {
        self.0[shard].u8(..100)
    }

    /// A member of a queue group is chosen.
    fn member(&mut self, shard: usize) {
        self.0[shard].u64(..);
    }
}

/// What is known of everybody.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    pub(super) people: Vec<Person>,
    pub(super) terms: Terms,
    pub(super) looked: Looked,
    pub(super) held: Vec<Held>,
    pub(super) requests: Vec<Request>,
    /// Who was given which subject for an answer.
    pub(super) asked: Vec<(usize, String)>,
    pub(super) now: Now,
}

impl Judge {
    pub(super) fn new(people: Vec<Person>, terms: Terms) -> Self {
        let (held, requests, asked) = (Vec::new(), Vec::new(), Vec::new());
        Self { people, terms, looked: Looked::default(), held, requests, asked, now: Now::ZERO }
    }

    /// A client subscribes.
    pub(super) fn subscribe(
        &mut self,
        number: usize,
        sid: String,
        pattern: String,
        queue: Option<String>,
    ) -> Expected {
        let mut expected = Expected::default();
        let held = Held { number, sid, pattern, queue };
        if self.may_hold(&held) {
            self.held.push(held);
        } else {
            self.looked.refused += 1;
            expected.errors.push(number);
        }
        expected
    }

    fn may_hold(&self, held: &Held) -> bool {
        let (pattern, queue) = (held.pattern.as_bytes(), held.queue.as_deref().map(str::as_bytes));
        let rules = self.people[held.number].rules.as_ref();
        rules.is_none_or(|rules| authorize::may_subscribe(rules, pattern, queue))
    }

    /// A client ends one of its subscriptions.
    pub(super) fn forget_some(&mut self, number: usize, rng: &mut Rng) -> Option<String> {
        let of = |held: &Held| held.number == number && !held.pattern.starts_with("in.");
        let places: Vec<usize> =
            (0..self.held.len()).filter(|place| of(&self.held[*place])).collect();
        Some(self.held.remove(rng.choice(places)?).sid)
    }

    /// Other rules for some: whoever may not have a subscription any more loses it.
    pub(super) fn other_rules(&mut self, others: Vec<Option<Option<Rules>>>) -> Expected {
        let mut expected = Expected::default();
        for (person, other) in self.people.iter_mut().zip(others) {
            let Some(other) = other else { continue };
            let responses = |rules: &Option<Rules>| rules.as_ref().and_then(|it| it.responses);
            if responses(&other).is_none() || responses(&other) != responses(&person.rules) {
                person.may_answer.clear();
            }
            person.rules = other;
        }
        for held in std::mem::take(&mut self.held) {
            if self.may_hold(&held) {
                self.held.push(held);
            } else {
                expected.errors.push(held.number);
            }
        }
        expected
    }

    /// More time has passed than answers to some services may take.
    pub(super) fn pause(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.requests.iter_mut().filter(|request| request.soon).for_each(|it| it.over = true);
    }

    /// Whether a message comes to an account twice on the same subject, so that nobody could tell
    /// what the answers to one and the other are called.
    pub(super) fn comes_twice(&self, number: usize, subject: &str, mut draws: Draws) -> bool {
        let Person { account, shard, .. } = self.people[number];
        let draw = &mut || draws.weight(shard);
        let mapped = self.terms.mapped(account, subject, draw);
        let all = self.terms.landings(account, mapped.as_deref().unwrap_or(subject), draw);
        let same = |one: &Landing, other: &Landing| {
            (one.account, &one.subject) == (other.account, &other.subject)
        };
        (1..all.len()).any(|at| all[..at].iter().any(|before| same(before, &all[at])))
    }

    /// A client publishes.
    pub(super) fn publish(
        &mut self,
        number: usize,
        published: Published<'_>,
        mut draws: Draws,
    ) -> Expected {
        let mut expected = Expected::default();
        let person = &self.people[number];
        let (account, shard) = (person.account, person.shard);
        let mapped = self.terms.mapped(account, published.subject, &mut || draws.weight(shard));
        self.looked.mapped += u64::from(mapped.is_some());
        let subject = mapped.unwrap_or_else(|| published.subject.to_owned());
        if !person.may_publish(&subject) {
            let Some(place) = person.answers(self.now, &subject) else {
                self.looked.refused += 1;
                expected.errors.push(number);
                return expected;
            };
            self.people[number].may_answer[place].2 += 1;
        }
        let landings = self.terms.landings(account, &subject, &mut || draws.weight(shard));
        let mut names: Vec<Option<Name>> = vec![published.reply.clone()];
        let mut counts = Vec::new();
        for at in 0..landings.len() {
            if at > 0 {
                let name = self.ask(&landings, at, &names, shard);
                names.push(name);
            }
            let copy = Copy {
                number,
                sid: String::new(),
                subject: Name::Text(landings[at].subject.clone()),
                reply: names[at].clone(),
                headers: published.headers.map(str::to_owned),
                asker: (at > 0).then(|| self.asker(&landings, at, number)),
                body: published.body.to_owned(),
                group: None,
            };
            counts.push(self.deliver(&mut expected, landings[at].account, &copy, at == 0));
        }
        let mut total: usize = counts.iter().sum();
        self.give_up(&landings, &mut counts, &names);
        let known = |request: &Request| {
            !request.over && request.account == account && request.name.as_ref() == Some(&subject)
        };
        if let Some(request) = self.requests.iter().position(known) {
            let onward = Published { subject: &subject, ..published.clone() };
            let reached = self.answer(&mut expected, request, &onward, number, &mut draws);
            self.looked.answered += u64::from(reached > 0);
            total += reached;
        }
        if total == 0 {
            let taken = |it: &Landing| self.is_taken(it.account, &it.subject);
            expected.may_wait |= landings.len() > 1 && landings.iter().any(taken);
            self.nobody(&mut expected, number, &subject, published.reply.as_ref());
        }
        expected
    }

    /// A request comes to another account, with a subject for its answer.
    fn ask(
        &mut self,
        landings: &[Landing],
        at: usize,
        names: &[Option<Name>],
        shard: usize,
    ) -> Option<Name> {
        let (before, place) = landings[at].by?;
        let to_account = landings[before].account;
        let export = self.terms.export(&self.terms.accounts[to_account].services[place]);
        let (streamed, soon) = (export.streamed, export.soon);
        let (to, account) = (names[before].clone()?, landings[at].account);
        let (name, over, open) = (None, false, false);
        let request = Request { account, to_account, to, streamed, soon, shard, name, over, open };
        self.requests.push(request);
        Some(Name::Made(self.requests.len() - 1))
    }

    /// Whether somebody takes a stream that a message in that account would be on if it came from
    /// no other account. On another shard that counts as somebody who gets it, unless the message
    /// goes nowhere else.
    fn is_taken(&self, account: usize, subject: &str) -> bool {
        let seen = self.terms.appearances(account, subject);
        seen.iter().skip(1).any(|(taker, name)| {
            self.held.iter().any(|held| {
                let person = &self.people[held.number];
                person.account == *taker && matches(held.pattern.as_bytes(), name.as_bytes())
            })
        })
    }

    /// What a request says of who makes it, as the account at `at` is told.
    fn asker(&self, landings: &[Landing], at: usize, number: usize) -> Asker {
        let (mut at, mut shares) = (at, Vec::new());
        let mut service = None;
        while let Some((before, place)) = landings[at].by {
            let account = landings[before].account;
            shares.push(self.terms.accounts[account].services[place].share);
            if service.is_none() && landings[before].by.is_some() {
                service = Some(account);
            }
            at = before;
        }
        let detailed = shares.last() == Some(&true);
        Asker { number, detailed, server: shares.contains(&true), service }
    }

    /// Adds all copies of a message in one account; those who take its streams have it too if
    /// `streams`. Returns how many come.
    fn deliver(
        &mut self,
        expected: &mut Expected,
        account: usize,
        copy: &Copy,
        streams: bool,
    ) -> usize {
        let text = self.text(&copy.subject);
        let seen = match streams {
            true => self.terms.appearances(account, &text),
            false => vec![(account, text)],
        };
        let first_group = expected.groups.len();
        let mut count = 0;
        for (place, (taker, name)) in seen.into_iter().enumerate() {
            for held in &self.held {
                let person = &self.people[held.number];
                let (pattern, subject) = (held.pattern.as_bytes(), name.as_bytes());
                let own = held.number == copy.number && !person.echo;
                if person.account != taker || own || !matches(pattern, subject) {
                    continue;
                }
                let queue = held.queue.as_deref();
                let may = person.rules.as_ref().is_none_or(|rules| {
                    authorize::may_deliver(rules, pattern, queue.map(str::as_bytes), subject)
                });
                if !may {
                    self.looked.kept += 1;
                    continue;
                }
                let group = queue.map(|queue| {
                    let key = (0, queue.to_owned());
                    let own = expected.groups.iter().skip(first_group);
                    let known = own.clone().position(|known| *known == key);
                    known.map(|known| known + first_group).unwrap_or_else(|| {
                        count += 1;
                        expected.groups.push(key);
                        expected.groups.len() - 1
                    })
                });
                count += usize::from(group.is_none());
                self.looked.crossed += u64::from(copy.asker.is_some());
                self.looked.streamed += u64::from(place > 0);
                let subject =
                    if place == 0 { copy.subject.clone() } else { Name::Text(name.clone()) };
                let (number, sid) = (held.number, held.sid.clone());
                expected.copies.push(Copy { number, sid, subject, group, ..copy.clone() });
            }
        }
        count
    }

    /// How many queue groups there are for a subject in an account, whether or not they take what
    /// comes from another one.
    fn groups(&self, account: usize, subject: &str) -> usize {
        let mut names: Vec<&str> = Vec::new();
        for (place, (taker, name)) in
            self.terms.appearances(account, subject).into_iter().enumerate()
        {
            for held in self.held.iter().filter(|held| self.people[held.number].account == taker) {
                let (pattern, subject) = (held.pattern.as_bytes(), name.as_bytes());
                let Some(queue) = held.queue.as_deref() else { continue };
                let may = self.people[held.number].rules.as_ref().is_none_or(|rules| {
                    authorize::may_deliver(rules, pattern, Some(queue.as_bytes()), subject)
                });
                if matches(pattern, subject) && (may || place > 0) && !names.contains(&queue) {
                    names.push(queue);
                }
            }
        }
        names.len()
    }

    /// Requests that nobody got, there or beyond, are over.
    fn give_up(&mut self, landings: &[Landing], counts: &mut [usize], names: &[Option<Name>]) {
        for at in (1..landings.len()).rev() {
            if let Some((before, _)) = landings[at].by {
                counts[before] += counts[at];
            }
            if let Some(Name::Made(request)) = names[at]
                && counts[at] == 0
            {
                self.requests[request].over = true;
            }
        }
    }

    /// An answer goes back to where it was asked from. Returns how many get it.
    fn answer(
        &mut self,
        expected: &mut Expected,
        at: usize,
        published: &Published<'_>,
        number: usize,
        draws: &mut Draws,
    ) -> usize {
        let Request { account, to_account, to, streamed, soon, shard, .. } =
            self.requests[at].clone();
        // An answer may be a question itself.
        let reply = published.reply.clone().map(|reply| {
            let (account, to_account) = (to_account, account);
            let (to, name, over, open) = (reply, None, false, false);
            let request =
                Request { account, to_account, to, streamed, soon, shard, name, over, open };
            self.requests.push(request);
            Name::Made(self.requests.len() - 1)
        });
        // The account that asked may call it something else.
        let known = self.text(&to);
        let mapped = self.terms.mapped(to_account, &known, &mut || draws.weight(shard));
        let to = mapped.filter(|mapped| *mapped != known).map_or(to, Name::Text);
        let copy = Copy {
            number,
            sid: String::new(),
            subject: to.clone(),
            reply: reply.clone(),
            headers: published.headers.map(str::to_owned),
            asker: None,
            body: published.body.to_owned(),
            group: None,
        };
        let mut count = self.deliver(expected, to_account, &copy, false);
        for _ in 0..self.groups(to_account, &self.text(&to)) {
            draws.member(shard);
        }
        if let Name::Made(next) = to
            && !self.requests[next].over
        {
            let onward = Published { reply: reply.clone(), ..published.clone() };
            count += self.answer(expected, next, &onward, number, draws);
        }
        if let Some(Name::Made(asked)) = reply
            && count == 0
        {
            self.requests[asked].over = true;
        }
        let passed_on = matches!(to, Name::Made(next) if self.requests[next].open);
        if passed_on || (count == 0 && self.is_taken(to_account, &self.text(&to))) {
            expected.may_wait = true;
            self.requests[at].open = true;
            let name = self.requests[at].name.clone().unwrap_or_default();
            self.asked.retain(|(_, asked)| *asked != name);
        }
        let is_last = !streamed || (published.body.is_empty() && published.headers.is_none());
        self.requests[at].over |= is_last || count == 0;
        count
    }

    /// Nobody got a request.
    fn nobody(
        &mut self,
        expected: &mut Expected,
        number: usize,
        subject: &str,
        reply: Option<&Name>,
    ) {
        let (person, Some(Name::Text(reply))) = (&self.people[number], reply) else { return };
        let waits = |held: &&Held| {
            let (pattern, reply) = (held.pattern.as_bytes(), reply.as_bytes());
            let rules = person.rules.as_ref();
            held.number == number
                && held.queue.is_none()
                && matches(pattern, reply)
                && rules.is_none_or(|it| authorize::may_deliver(it, pattern, None, reply))
        };
        if person.no_responders && self.held.iter().any(|held| waits(&held)) {
            self.looked.unheard += 1;
            expected.unheard = Some((number, reply.clone(), subject.to_owned()));
        }
    }

    fn text(&self, name: &Name) -> String {
        match name {
            Name::Text(text) => text.clone(),
            // Whatever it is, no pattern and no rule here tells it from this.
            Name::Made(at) => {
                self.requests[*at].name.clone().unwrap_or_else(|| "_R_.?.?".to_owned())
            }
        }
    }
}
