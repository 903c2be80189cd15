//! Who gets what, against a judge that is slow and obviously right: random accounts, users, rules,
//! imports and mappings on two shards, and every way there is from a publisher to a subscriber.
//!
//! One thing happens at a time, and everything comes to rest before the next, so that nothing is
//! left open but which member of a queue group gets a message. Where chance decides about mappings,
//! both are given the same draws.
//!
//! | file | what |
//! | --- | --- |
//! | `judge.rs` | what must come of one thing that a client does |
//! | `compare.rs` | whether that is what came |
//!
//! `ORACLE_CASES` says how many messages are published, `ORACLE_FIRST` where the seeds begin;
//! `scripts/oracle.sh` asks for a million.

mod compare;
mod judge;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use compare::Got;
use judge::{Draws, Expected, Judge, Looked, Name, Person, Published};

use super::client::{Answer, Client, Said, message};
use super::tenants::{NAMES, Tenants, account, filled, pattern, subject};
use super::world::{Plan, World};
use crate::account::naive::anonymous;
use crate::authorize::{Permissions, Rules, oracle as authorize};
use crate::limits::Limits;
use crate::mesh::Capacity;
use crate::options::{Authenticator, Grant, Offer, Verdict};

/// Messages that every `cargo test` publishes.
const CASES: u64 = 10_000;

/// Of one world.
const MESSAGES: u64 = 60;

/// In one world, on both shards together.
const CLIENTS: usize = 7;

/// Longer than any answer that must come soon may take, and than rules leave for one.
const PAUSE: Duration = Duration::from_secs(5);

/// All of them are shorter than any other answer may take.
const PAUSES_MAX: u32 = 20;

/// Lets everybody in; users are called by their numbers.
struct Doors(Vec<(usize, Option<Arc<Permissions>>)>);

impl Authenticator for Doors {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let number = offer.connect.user.parse().ok();
        let user = number.and_then(|number: usize| self.0.get(number));
        Verdict::of(user.map(|(place, permissions)| Grant {
            account: account(*place),
            account_name: NAMES[*place].into(),
            user: Some(offer.connect.user.as_str().into()),
            permissions: permissions.clone(),
            ..Grant::default()
        }))
    }
}

/// What a user may do, most of the time.
fn rules(rng: &mut Rng) -> Option<Rules> {
    if rng.bool() {
        return None;
    }
    let mut rules = authorize::rules(rng);
    if rng.u8(..4) > 0 {
        // Those who may ask, or answer.
        if let Some(allow) = &mut rules.subscribe.allow {
            allow.push(if rng.bool() { "in.*" } else { ">" }.to_owned());
        }
        if let Some(allow) = &mut rules.publish.allow {
            allow.push(if rng.bool() { "_R_.>" } else { ">" }.to_owned());
        }
    }
    Some(rules)
}

/// One world, and what must come of it.
struct Court {
    world: World,
    rng: Rng,
    parsers: Vec<Client>,
    judge: Judge,
    /// Subjects that are published to again and again.
    usual: Vec<String>,
    messages: u64,
    /// Names of subscriptions.
    sids: u64,
    pauses: u32,
}

impl Court {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan {
            shards: 2,
            capacity: Capacity::of(2),
            limits: Limits::default(),
            rules: Vec::new(),
            sealed: false,
        };
        let mut world = World::new(rng.u64(..), &plan);
        world.eager = true;
        let accounts = rng.usize(2..=4);
        let tenants = Tenants::new(&mut rng, accounts);
        let people: Vec<Person> = (0..CLIENTS)
            .map(|number| {
                let account = if number < accounts { number } else { rng.usize(..accounts) };
                let mut person = Person::new(account, rng.usize(..2), rules(&mut rng));
                person.headers = rng.u8(..4) > 0;
                person.echo = rng.u8(..4) > 0;
                person.no_responders = person.headers;
                person
            })
            .collect();
        let judge = Judge::new(people, tenants.terms.clone());
        let usual = (0..5).map(|_| subject(&mut rng)).collect();
        let parsers = (0..CLIENTS).map(|_| Client::new()).collect();
        let mut court = Self { world, rng, parsers, judge, usual, messages: 0, sids: 0, pauses: 0 };
        court.enforce(Some(&tenants));
        court.admit();
        court
    }

    /// The terms and rules that hold from now on.
    fn enforce(&mut self, tenants: Option<&Tenants>) {
        let compiled = |rules: &Rules| Permissions::new(rules.clone()).expect("rules are patterns");
        let people = self.judge.people.iter().map(|person| {
            (person.account, person.rules.as_ref().map(|rules| Arc::new(compiled(rules))))
        });
        let doors = Doors(people.collect());
        self.world.change(|options| {
            options.authenticator = Arc::new(doors);
            if let Some(tenants) = tenants {
                options.accounts = Arc::new(tenants.accounts.clone());
            }
        });
    }

    fn admit(&mut self) {
        for (number, person) in self.judge.people.iter().enumerate() {
            let socket = self.world.connect(person.shard, 1 << 20);
            assert_eq!(socket, number);
            self.parsers[number].headers = person.headers;
            let Person { headers, echo, no_responders, .. } = person;
            let line = format!(
                "CONNECT {{\"user\":\"{number}\",\"verbose\":false,\"pedantic\":false,\
                 \"headers\":{headers},\"echo\":{echo},\"no_responders\":{no_responders}}}\r\n"
            );
            self.world.sockets[socket].send(line.as_bytes());
        }
        self.world.settle();
        self.hear();
        for number in 0..CLIENTS {
            self.subscribe(number, format!("in.{number}"), None);
            self.subscribe_somehow(number);
            self.subscribe_somehow(number);
        }
    }

    /// Everything that clients read since the last time.
    fn hear(&mut self) -> Vec<Got> {
        let mut all = Vec::new();
        for (number, parser) in self.parsers.iter_mut().enumerate() {
            let bytes = self.world.sockets[number].read(usize::MAX);
            parser.take(&bytes);
            while let Some(said) = parser.next_said() {
                match said {
                    Said::Info | Said::Answer(Answer::Pong | Answer::Ok) => {}
                    Said::Ping => self.world.sockets[number].send(b"PONG\r\n"),
                    Said::Stale => panic!("client {number} answers"),
                    Said::Answer(Answer::Err) => all.push(Got::Error(number)),
                    Said::Message { line, headers, payload } => {
                        all.push(Got::message(number, &message(&line, headers, &payload)));
                    }
                }
            }
        }
        all
    }

    /// It comes to rest, and what came of it is what had to.
    fn compare(&mut self, expected: Expected, about: &str) {
        self.world.settle();
        let got = self.hear();
        if let Err(why) = self.judge.compare(expected, got) {
            panic!("{about}\n{why}\n{:#?}", self.judge);
        }
    }

    fn says(&mut self, number: usize, text: &str, body: &[u8]) {
        let bytes = [text.as_bytes(), b"\r\n", body].concat();
        self.world.sockets[number].send(&bytes);
    }

    fn subscribe(&mut self, number: usize, pattern: String, queue: Option<String>) {
        self.sids += 1;
        let sid = format!("s{}", self.sids);
        let words = queue.as_ref().map(|queue| format!(" {queue}")).unwrap_or_default();
        let line = format!("SUB {pattern}{words} {sid}");
        let expected = self.judge.subscribe(number, sid, pattern, queue);
        self.says(number, &line, b"");
        self.compare(expected, &line);
    }

    /// To something that may come: published where it is, taken from another account, or made.
    fn subscribe_somehow(&mut self, number: usize) {
        let rng = &mut self.rng;
        let queue = rng.choice(["q", "q.a", "r"]).filter(|_| rng.u8(..3) == 0);
        let own = &self.judge.terms.accounts[self.judge.people[number].account];
        let streams = own.streams.iter().map(|stream| anonymous(&stream.to));
        let services = own.service_exports.iter().map(|export| export.subject.clone());
        let mut likely: Vec<String> = streams.chain(services).collect();
        likely.extend(["_R_.>", ">", "*.*.*"].map(str::to_owned));
        let pattern = match rng.choice(likely).filter(|_| rng.bool()) {
            Some(likely) if rng.bool() => likely,
            Some(likely) => filled(rng, &likely),
            None => pattern(rng),
        };
        self.subscribe(number, pattern, queue.map(str::to_owned));
    }

    fn act(&mut self) {
        match self.rng.u8(..40) {
            0..6 => {
                let number = self.rng.usize(..CLIENTS);
                self.subscribe_somehow(number);
            }
            6..11 => {
                let number = self.rng.usize(..CLIENTS);
                if let Some(sid) = self.judge.forget_some(number, &mut self.rng) {
                    self.says(number, &format!("UNSUB {sid}"), b"");
                    self.compare(Expected::default(), "UNSUB");
                }
            }
            11 => {
                let tenants = Tenants::new(&mut self.rng, self.judge.terms.accounts.len());
                self.judge.terms = tenants.terms.clone();
                self.enforce(Some(&tenants));
                self.compare(Expected::default(), "other terms");
            }
            12 => {
                let rng = &mut self.rng;
                let other = (0..CLIENTS).map(|_| (rng.bool()).then(|| rules(rng)));
                let other: Vec<_> = other.collect();
                let expected = self.judge.other_rules(other);
                self.enforce(None);
                self.compare(expected, "other rules");
            }
            13 if self.pauses < PAUSES_MAX => {
                self.pauses += 1;
                self.world.advance(PAUSE);
                self.judge.pause(PAUSE);
                self.compare(Expected::default(), "time");
            }
            14..24 if self.answer() => {}
            _ => self.publish(),
        }
    }

    fn publish(&mut self) {
        let rng = &mut self.rng;
        let number = rng.usize(..CLIENTS);
        let own = &self.judge.terms.accounts[self.judge.people[number].account];
        let services = own.services.iter().map(|service| anonymous(&service.from));
        let streams = own.stream_exports.iter().map(|export| export.subject.clone());
        let likely: Vec<String> = services.chain(streams).collect();
        let subject = match rng.choice(likely).filter(|_| rng.u8(..3) > 0) {
            Some(likely) => filled(rng, &likely),
            None if rng.bool() => subject(rng),
            None => rng.choice(&self.usual).cloned().unwrap_or_default(),
        };
        let reply = match rng.u8(..4) {
            0 => None,
            1 => Some(self::subject(rng)),
            _ => Some(format!("in.{number}")),
        };
        self.send(number, &subject, reply);
    }

    /// Somebody answers what it was asked.
    fn answer(&mut self) -> bool {
        let asked: Vec<_> = self.judge.asked.iter().rev().take(6).cloned().collect();
        let Some((number, name)) = self.rng.choice(asked) else { return false };
        let reply = (self.rng.u8(..6) == 0).then(|| format!("in.{number}"));
        self.send(number, &name, reply);
        true
    }

    fn send(&mut self, number: usize, subject: &str, reply: Option<String>) {
        self.messages += 1;
        let drivers = self.world.drivers.iter();
        let draws = Draws(drivers.map(|it| it.shard.exchange().rng.clone()).collect());
        let twice = self.judge.comes_twice(number, subject, draws.clone());
        let reply = reply.filter(|_| !twice);
        let body = format!("body {}", self.messages);
        let body = if self.rng.u8(..12) == 0 { String::new() } else { body };
        let headers = (self.judge.people[number].headers && self.rng.u8(..3) == 0).then(|| {
            let lies = ["Nats-Request-Info: {\"acc\":\"X\"}", "nats-request-INFO:x", "Other: line"];
            let lie = lies[self.rng.usize(..3)];
            format!("NATS/1.0\r\nA: b\r\n{lie}\r\nC: d\r\n\r\n")
        });
        let words = reply.as_ref().map(|reply| format!(" {reply}")).unwrap_or_default();
        let block = headers.clone().unwrap_or_default();
        let (own, total) = (block.len(), block.len() + body.len());
        let line = match &headers {
            Some(_) => format!("HPUB {subject}{words} {own} {total}"),
            None => format!("PUB {subject}{words} {total}"),
        };
        let reply = reply.map(Name::Text);
        let published = Published { subject, reply, headers: headers.as_deref(), body: &body };
        let expected = self.judge.publish(number, published, draws);
        self.says(number, &line, format!("{block}{body}\r\n").as_bytes());
        self.compare(expected, &format!("client {number}: {line}"));
    }
}

fn run(seed: u64, messages: u64) -> Looked {
    let mut court = Court::new(seed);
    while court.messages < messages {
        court.act();
    }
    let mut looked = court.judge.looked;
    looked.messages = court.messages;
    looked
}

#[test]
fn everybody_gets_what_the_naive_judge_says() {
    let setting = |name, default| {
        std::env::var(name).map_or(default, |text: String| text.parse().expect("a number"))
    };
    let (first, cases) = (setting("ORACLE_FIRST", 0), setting("ORACLE_CASES", CASES));
    let mut sum = Looked::default();
    for seed in first..first + cases.div_ceil(MESSAGES) {
        let looked = std::panic::catch_unwind(|| run(seed, MESSAGES));
        let Ok(looked) = looked else {
            panic!("seed {seed} failed; to repeat it: scripts/oracle.sh 1 {seed}");
        };
        sum.add(looked);
    }
    eprintln!("{sum:?}");
    assert!(cases < CASES || sum.least() > cases / 200, "too little was looked at: {sum:?}");
}
