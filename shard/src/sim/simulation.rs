//! The loop of a simulation: somebody does something, some shard goes on, some client reads; now
//! and then everything comes to rest. What must hold is checked all the time, or at rest.

use std::sync::Arc;
use std::time::Duration;

use crate::error::CloseReason;
use crate::event::What;

use super::client::{Answer, Client, End, Said, message};
use super::net::ClientEnd;
use super::seen::Seen;
use super::shadow::{Moment, Shadow};
use super::workload::{Deed, Workload};
use super::world::{SLOW, World};

/// More rounds than any number of clients needs to come to rest.
const ROUNDS_MAX: usize = 20_000;

/// Subscriptions that one client holds at a time.
const HELD_MAX: usize = 16;

/// Messages published in one run, so that what is queued for a client that does not read stays
/// below the usual bound.
const PUBLICATIONS_MAX: usize = 2000;

/// One run.
pub(super) struct Simulation {
    world: World,
    shadow: Shadow,
    workload: Workload,
    moment: Moment,
}

/// Runs a seed. Panics if anything does not hold; returns what was checked.
pub(super) fn run(seed: u64) -> Seen {
    let mut rng = fastrand::Rng::with_seed(seed);
    let workload = Workload::new(&mut rng);
    let mut simulation = Simulation {
        world: World::new(rng.u64(..), &workload.plan),
        shadow: Shadow::new(workload.tenants.terms.clone()),
        workload,
        moment: 0,
    };
    let accounts = Arc::new(simulation.workload.tenants.accounts.clone());
    simulation.world.change(|options| options.accounts = accounts);
    simulation.run();
    simulation.shadow.seen
}

impl Simulation {
    fn run(&mut self) {
        (0..self.workload.clients).for_each(|_| self.connect());
        for _ in 0..self.workload.steps {
            self.moment += 1;
            if self.percent(self.workload.busy) {
                self.act();
            }
            self.go_on();
            if self.world.rng.u16(..300) == 0 {
                let everybody = self.world.rng.bool();
                self.come_to_rest(everybody);
            }
        }
        self.come_to_rest(true);
        self.leave();
    }

    fn percent(&mut self, percent: u8) -> bool {
        self.world.rng.u8(..100) < percent
    }

    /// Some shard takes a turn or a step of one, some client reads, some time passes.
    fn go_on(&mut self) {
        let shard = self.world.rng.usize(..self.world.drivers.len());
        if self.percent(self.workload.split) {
            self.world.step(shard);
        } else {
            self.world.turn(shard);
        }
        self.look_at_events();
        if !self.shadow.clients.is_empty() {
            let client = self.world.rng.usize(..self.shadow.clients.len());
            let most = *self.world.rng.choice(&[1, 20, 500, 1 << 20]).unwrap_or(&1);
            if !self.shadow.clients[client].stalled {
                self.read(client, most);
            }
        }
        if let Some(jump) = self.workload.jump
            && self.world.rng.u8(..20) == 0
        {
            self.world.advance(jump);
        } else {
            let passed = Duration::from_micros(self.world.rng.u64(..50));
            self.world.advance(passed);
        }
    }

    fn connect(&mut self) {
        let shard = self.world.rng.usize(..self.world.drivers.len());
        let window = self.workload.window(&mut self.world.rng);
        let client = self.world.connect(shard, window);
        if self.workload.plan.sealed && self.world.rng.bool() {
            let key = self.world.rng.u8(..);
            self.world.sockets[client].seal(key);
        }
        self.shadow.clients.push(Client::new());
        let accounts = self.workload.tenants.count();
        self.shadow.clients[client].account = self.world.rng.usize(..accounts);
        self.introduce(client);
    }

    /// Sends CONNECT.
    fn introduce(&mut self, client: usize) {
        let rng = &mut self.world.rng;
        let (verbose, headers, echo, protocol) =
            (rng.u8(..4) == 0, rng.u8(..4) > 0, rng.u8(..4) > 0, rng.u8(..2));
        let no_responders = headers && rng.bool();
        let slow = if rng.u8(..100) < self.workload.slow { SLOW } else { "" };
        // One more than there are: somebody whose rules nobody wrote.
        let number = rng.usize(..=self.workload.plan.rules.len());
        let first = &mut self.shadow.clients[client];
        let alone = self.workload.tenants.count() == 1;
        let place = if alone { String::new() } else { format!("@{}", first.account) };
        let user = format!("{slow}{number}{place}");
        first.verbose = verbose;
        first.headers = headers;
        first.echo = echo;
        first.no_responders = no_responders;
        first.rules = self.workload.plan.rules.get(number).cloned();
        self.shadow.reconnect(client);
        let line = format!(
            "CONNECT {{\"verbose\":{verbose},\"pedantic\":false,\"headers\":{headers},\
             \"echo\":{echo},\"no_responders\":{no_responders},\"protocol\":{protocol},\
             \"user\":\"{user}\"}}\r\n"
        );
        self.send(client, line.as_bytes());
    }

    fn send(&mut self, client: usize, bytes: &[u8]) {
        self.world.sockets[client].send(bytes);
    }

    /// Somebody does something, or several things at once, which arrive in one piece.
    fn act(&mut self) {
        let client = self.world.rng.usize(..self.shadow.clients.len());
        let deeds = if self.percent(self.workload.hasty) { self.world.rng.u8(2..12) } else { 1 };
        (0..deeds).for_each(|_| self.act_as(client));
    }

    fn act_as(&mut self, client: usize) {
        let Some(deed) = self.workload.deed(&mut self.world.rng) else { return };
        if deed == Deed::Connect {
            if self.shadow.clients.len() < self.workload.clients_max {
                self.connect();
            }
            return;
        }
        if self.shadow.clients[client].end != End::Open {
            return;
        }
        match deed {
            Deed::Connect => {}
            Deed::Reload => self.world.reload(),
            Deed::Subscribe => self.subscribe(client, false),
            Deed::SubscribeQueue => self.subscribe(client, true),
            Deed::SubscribeInVain => self.subscribe_in_vain(client),
            Deed::Unsubscribe => self.unsubscribe(client, false),
            Deed::Limit => self.unsubscribe(client, true),
            Deed::Publish => {
                let account = self.shadow.clients[client].account;
                let subject = self.workload.subject_of(&mut self.world.rng, account);
                self.publish(client, &subject, None);
            }
            Deed::Request => self.request(client),
            Deed::Ping => {
                self.shadow.clients[client].next_op(Answer::Pong);
                self.send(client, b"PING\r\n");
            }
            Deed::Again => self.again(client),
            // Who is to seal what he sends must read until he may.
            Deed::Stall if !self.world.sockets[client].speaks() => {}
            Deed::Stall => {
                let client = &mut self.shadow.clients[client];
                client.stalled = !client.stalled;
            }
            Deed::Finish => self.hang_up(client, ClientEnd::Finished),
            Deed::Vanish => self.hang_up(client, ClientEnd::Reset),
        }
    }

    fn fresh(&mut self, client: usize) -> u64 {
        let client = &mut self.shadow.clients[client];
        client.fresh += 1;
        client.fresh
    }

    fn subscribe(&mut self, client: usize, queue: bool) {
        if self.shadow.held_by(client).count() >= HELD_MAX {
            return;
        }
        let account = self.shadow.clients[client].account;
        let pattern = self.workload.pattern_of(&mut self.world.rng, account);
        let queue = queue.then(|| self.workload.queue(&mut self.world.rng));
        let used = self.shadow.used_sid(client).filter(|_| self.world.rng.bool());
        let sid = used.unwrap_or_else(|| format!("s{}", self.fresh(client)));
        self.shadow.subscribe(client, &sid, &pattern, queue.as_deref());
        let queue = queue.map(|queue| queue + " ").unwrap_or_default();
        self.send(client, format!("SUB {pattern} {queue}{sid}\r\n").as_bytes());
    }

    fn subscribe_in_vain(&mut self, client: usize) {
        let held = self.any_sid(client).filter(|sid| !self.shadow.is_limited(client, sid));
        if let Some(sid) = held {
            let pattern = self.workload.pattern(&mut self.world.rng);
            self.shadow.subscribe(client, &sid, &pattern, None);
            self.send(client, format!("SUB {pattern} {sid}\r\n").as_bytes());
        } else {
            self.shadow.clients[client].next_op(Answer::Err);
            self.send(client, b"SUB a..b nothing\r\n");
        }
    }

    fn any_sid(&mut self, client: usize) -> Option<String> {
        let held: Vec<&str> = self.shadow.held_by(client).map(|sub| &*sub.sid).collect();
        self.world.rng.choice(held).map(str::to_owned)
    }

    fn unsubscribe(&mut self, client: usize, limit: bool) {
        let Some(sid) = self.any_sid(client) else { return };
        let max = limit.then(|| self.world.rng.u64(1..5));
        self.shadow.unsubscribe(client, &sid, max);
        let max = max.map(|max| format!(" {max}")).unwrap_or_default();
        self.send(client, format!("UNSUB {sid}{max}\r\n").as_bytes());
    }

    fn publish(&mut self, client: usize, subject: &str, reply: Option<&str>) {
        let number = self.shadow.next_publication();
        if number >= PUBLICATIONS_MAX {
            return;
        }
        let body = self.workload.body(&mut self.world.rng, number);
        let mut headers = None;
        let words = reply.map(|reply| format!(" {reply}")).unwrap_or_default();
        let mut bytes;
        if self.shadow.clients[client].headers && self.world.rng.bool() {
            let block = format!("NATS/1.0\r\nNumber: {number}\r\n\r\n").into_bytes();
            let (header, total) = (block.len(), block.len() + body.len());
            bytes = format!("HPUB {subject}{words} {header} {total}\r\n").into_bytes();
            bytes.extend_from_slice(&block);
            headers = Some(block);
        } else {
            bytes = format!("PUB {subject}{words} {}\r\n", body.len()).into_bytes();
        }
        // The same in words that are not the usual ones.
        if self.world.rng.u8(..8) == 0 {
            let blank = bytes.iter().position(|byte| *byte == b' ').unwrap_or_default();
            bytes[..blank].make_ascii_lowercase();
            bytes.insert(blank, b' ');
        }
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(b"\r\n");
        self.send(client, &bytes);
        let sent_on = self.world.sent_on();
        self.shadow.publish(self.moment, sent_on, client, subject, reply, headers, body);
    }

    /// A request over a fresh inbox, or over one that is there already.
    fn request(&mut self, client: usize) {
        if self.shadow.held_by(client).count() >= 2 * HELD_MAX {
            return;
        }
        let number = self.fresh(client);
        let inbox = format!("_INBOX.{client}.{number}");
        let pattern = format!("_INBOX.{client}.*");
        let known = self.shadow.held_by(client).any(|sub| sub.pattern == pattern);
        if !known {
            let pattern = if self.world.rng.bool() { &pattern } else { &inbox };
            let sid = format!("i{number}");
            self.shadow.subscribe(client, &sid, pattern, None);
            self.send(client, format!("SUB {pattern} {sid}\r\n").as_bytes());
        }
        let account = self.shadow.clients[client].account;
        let subject = self.workload.subject_of(&mut self.world.rng, account);
        // Nobody could tell the answers to one of two equal requests from those to the other.
        let once = !self.shadow.comes_twice(client, &subject);
        self.publish(client, &subject, Some(&*inbox).filter(|_| once));
    }

    /// A second CONNECT, in a client that says the same again.
    fn again(&mut self, client: usize) {
        let Client { verbose, .. } = self.shadow.clients[client];
        self.shadow.reconnect(client);
        self.send(client, format!("CONNECT {{\"verbose\":{verbose}}}\r\n").as_bytes());
    }

    fn hang_up(&mut self, client: usize, end: ClientEnd) {
        if self.world.rng.u8(..3) == 0 {
            self.send(client, b"PUB a 100\r\ntorn");
        }
        self.world.sockets[client].hang_up(end, &mut self.world.rng);
        let client = &mut self.shadow.clients[client];
        client.end = match end {
            ClientEnd::Reset => End::Lost,
            _ if client.end == End::Open => End::Finished,
            _ => client.end,
        };
    }

    /// A client reads at most `most` bytes, and answers. Returns whether there were any.
    fn read(&mut self, client: usize, most: usize) -> bool {
        self.moment += 1;
        let bytes = self.world.sockets[client].read(most);
        self.shadow.clients[client].take(&bytes);
        let mut replies = Vec::new();
        while let Some(said) = self.shadow.clients[client].next_said() {
            match said {
                Said::Info => {}
                Said::Ping => self.send(client, b"PONG\r\n"),
                Said::Stale => assert!(self.may_be_stale(), "client {client}"),
                Said::Answer(answer) => self.shadow.answered(self.moment, client, answer),
                Said::Message { line, headers, payload } => {
                    let received = message(&line, headers, &payload);
                    let sent_on = self.world.sent_on();
                    self.shadow.received(self.moment, sent_on, client, &received);
                    replies.extend(received.reply.map(str::to_owned));
                }
            }
        }
        // PONG is no operation that is answered, so it needs no number.
        for reply in replies {
            if self.shadow.clients[client].end == End::Open && self.percent(self.workload.answering)
            {
                self.moment += 1;
                self.publish(client, &reply, None);
            }
        }
        if self.world.sockets[client].is_over() {
            self.world.sockets[client].hang_up(ClientEnd::Finished, &mut self.world.rng);
        }
        !bytes.is_empty()
    }

    /// Whether two PINGs may have stayed unanswered: much time passes while publishers are paused,
    /// and every CONNECT has an early PING follow.
    fn may_be_stale(&self) -> bool {
        let passed = self.world.now.since(self.world.began);
        self.workload.impatient || passed >= 2 * crate::limits::FIRST_PING
    }

    /// A connection may end only for a reason.
    fn look_at_events(&mut self) {
        let may_be_stale = self.may_be_stale();
        for event in std::mem::take(&mut self.world.events) {
            let What::Closed(reason) = event.what else { continue };
            let number = usize::try_from(event.client.id.get() - 1).unwrap_or(usize::MAX);
            let client = &mut self.shadow.clients[number];
            match reason {
                CloseReason::ClientClosed
                | CloseReason::ReadError
                | CloseReason::WriteError
                | CloseReason::Handshake => {
                    assert_ne!(client.end, End::Open, "client {number} did not hang up: {reason}");
                    continue;
                }
                CloseReason::SlowConsumerPending => assert!(self.workload.narrow, "{number}"),
                CloseReason::SlowConsumerDeadline => {
                    let least = self.workload.plan.limits.write_deadline;
                    let slow = self.world.drivers.iter().flat_map(|driver| &driver.deadlines);
                    let slow = slow.filter(|(socket, _)| *socket == number);
                    assert!(slow.clone().any(|(_, behind)| *behind >= least), "{number}");
                }
                CloseReason::Stale => assert!(may_be_stale, "{number}"),
                _ => panic!("client {number} was closed: {reason}"),
            }
            client.end = End::Lost;
        }
    }

    /// Everything that can happen happens, until nothing does; then what was owed must be there.
    fn come_to_rest(&mut self, everybody_reads: bool) {
        if everybody_reads {
            self.shadow.clients.iter_mut().for_each(|client| client.stalled = false);
        }
        self.hurry(true);
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "it never comes to rest");
            if !self.round() && !self.wait_for_stalls() {
                break;
            }
        }
        self.hurry(false);
        self.world.check_quiet();
        self.moment += 1;
        self.shadow.settle(self.moment, everybody_reads);
        if everybody_reads {
            for (number, client) in self.shadow.clients.iter().enumerate() {
                let owed = client.owed();
                assert!(owed == 0 || client.end != End::Open, "client {number}: {owed} answers");
            }
        }
    }

    /// No more surprises; who reads takes as much as there is.
    fn hurry(&mut self, eager: bool) {
        self.world.eager = eager;
        for (socket, client) in self.world.sockets.iter_mut().zip(&self.shadow.clients) {
            socket.wide = eager && !client.stalled;
        }
    }

    /// Everybody does what there is to do. False if there was nothing.
    fn round(&mut self) -> bool {
        let mut some = false;
        for shard in 0..self.world.drivers.len() {
            some |= self.world.turn(shard);
        }
        self.look_at_events();
        for client in 0..self.shadow.clients.len() {
            if !self.shadow.clients[client].stalled {
                some |= self.read(client, usize::MAX);
            }
        }
        some || !self.world.is_quiet()
    }

    /// If publishers are paused for a moment, the moment passes.
    fn wait_for_stalls(&mut self) -> bool {
        let stalled = self.world.stalled();
        if stalled {
            self.world.advance(crate::limits::STALL_PAUSE);
        }
        stalled
    }

    /// Everybody leaves, and nothing is left.
    fn leave(&mut self) {
        for client in 0..self.shadow.clients.len() {
            let end = if self.world.rng.bool() { ClientEnd::Finished } else { ClientEnd::Reset };
            self.hang_up(client, end);
        }
        self.come_to_rest(true);
        self.world.advance(crate::limits::CLOSE_FLUSH + Duration::from_secs(1));
        self.come_to_rest(true);
        self.world.check_empty();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seeds that every `cargo test` runs.
    const SEEDS: u64 = 200;

    /// Says how to repeat a seed that fails.
    struct Repeat(u64);

    impl Drop for Repeat {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("seed {0} failed; to repeat it: scripts/sim.sh 1 {0}", self.0);
            }
        }
    }

    fn setting(name: &str, default: u64) -> u64 {
        std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
    }

    /// `SIM_SEEDS` seeds from `SIM_FIRST` on.
    #[test]
    fn seeds() {
        let (first, count) = (setting("SIM_FIRST", 0), setting("SIM_SEEDS", SEEDS));
        let mut seen = Seen::default();
        for seed in first..first + count {
            let _repeat = Repeat(seed);
            seen.add(run(seed));
        }
        eprintln!("{count} seeds from {first}: {seen:?}");
        if count >= SEEDS {
            assert!(seen.least() > 50, "too little was checked: {seen:?}");
        }
    }

    #[test]
    fn a_seed_repeats_itself() {
        for seed in 0..5 {
            assert_eq!(run(seed), run(seed));
        }
    }
}
