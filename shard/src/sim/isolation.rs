//! What clients of one account do changes nothing that clients of another see, beyond what the
//! accounts share: the same clients do the same twice, once with a noisy account beside them and
//! once without, and must read the same.
//!
//! In half of the runs the accounts share: each has streams and a service of the other. Then some
//! clients of the noisy account are there both times and do the same both times, on what is shared;
//! the others do what they like on everything else, and subscribe to what the quiet account offers.
//!
//! Which member of a queue group gets a message is left to chance, which an account beside it may
//! shift: of groups, only what all members read together is compared.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::world::{Plan, World};
use crate::account::{Access, Accounts, ResponseType, Service};
use crate::ids::AccountId;
use crate::limits::Limits;
use crate::mesh::Capacity;
use crate::options::{Authenticator, Grant, Offer, Verdict};

/// Clients of each kind: quiet ones, noisy ones, and those of the noisy account that share.
const CLIENTS: usize = 4;

/// What the quiet ones do.
const DEEDS: usize = 120;

const QUIET: AccountId = AccountId::new(2);
const NOISY: AccountId = AccountId::new(3);

/// The account is what the user's name says.
struct Tenants;

impl Authenticator for Tenants {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let account = offer.connect.user.parse().ok().map(AccountId::new);
        let grant = |account| Grant { account, account_name: "T".into(), ..Grant::default() };
        Verdict::of(account.map(grant))
    }
}

/// What the accounts have of each other: the quiet one takes `s.>` as `t.>` and asks `v.*` as
/// `w.*`; the noisy one takes `q.>` as it is.
fn shared() -> Accounts {
    let mut accounts = Accounts::default();
    accounts.entry(QUIET).name = "Q".into();
    accounts.entry(NOISY).name = "N".into();
    let threshold = Duration::from_secs(1000);
    let exports = &mut accounts.entry(NOISY).exports;
    exports.add_stream(b"s.>", Access::default()).expect("a stream");
    let streamed = ResponseType::Stream;
    exports.add_service(b"v.*", Access::default(), streamed, threshold).expect("a service");
    accounts.entry(QUIET).exports.add_stream(b"q.>", Access::default()).expect("a stream");
    accounts.import_stream(QUIET, NOISY, b"s.>", b"t.>").expect("it is offered");
    let service = Service { from: b"w.*", to: b"v.*", share: true };
    accounts.import_service(QUIET, NOISY, service).expect("it is offered");
    accounts.import_stream(NOISY, QUIET, b"q.>", b"").expect("it is offered");
    accounts
}

/// What a client sends next. Both accounts use the same subjects, queues and names.
fn deed(rng: &mut Rng, number: usize) -> String {
    let token = |rng: &mut Rng| ["a", "b", "c"][rng.usize(..3)];
    let wild = |rng: &mut Rng| if rng.u8(..4) == 0 { "*" } else { token(rng) };
    let last = |rng: &mut Rng| if rng.bool() { wild(rng) } else { ">" };
    let pattern = format!("{}.{}", token(rng), last(rng));
    let subject = pattern.replace(['*', '>'], "a");
    let sid = rng.u8(..12);
    match rng.u8(..10) {
        0..2 => format!("SUB {pattern} p{sid}\r\n"),
        2 => format!("SUB {pattern} q{} g{sid}\r\n", rng.u8(..2)),
        3 => format!("UNSUB {}{sid}\r\n", if rng.bool() { "p" } else { "g" }),
        4 => format!("UNSUB p{sid} {}\r\n", rng.u8(1..5)),
        5 => format!("PUB {subject} inbox.{sid} 0\r\n\r\n"),
        6 => format!("SUB inbox.* i{sid}\r\n"),
        7 => "SUB a..b wrong\r\nPUB _GR_.x 0\r\n\r\n".to_owned(),
        _ => format!("PUB {subject} {}\r\n{number:04}\r\n", 4),
    }
}

/// The same for who shares: also what is offered to him, and what he offers.
fn quiet_deed(rng: &mut Rng, number: usize, shares: bool) -> String {
    let sid = rng.u8(..12);
    let token = ["a", "b", "*", ">"][rng.usize(..4)];
    match rng.u8(..12) {
        _ if !shares => deed(rng, number),
        0 => format!("SUB t.{token} p{sid}\r\n"),
        1 => format!("SUB t.{token} q{} g{sid}\r\n", rng.u8(..2)),
        2 => format!("SUB > p{sid}\r\n"),
        3 => format!("PUB q.{} 4\r\n{number:04}\r\n", ["a", "b"][rng.usize(..2)]),
        4..6 => format!("PUB w.{} inbox.{sid} 4\r\n{number:04}\r\n", ["a", "b"][rng.usize(..2)]),
        _ => deed(rng, number),
    }
}

/// What a noisy client does that is nobody's business but its account's; it guesses, too.
fn noisy_deed(rng: &mut Rng, number: usize, shares: bool) -> String {
    let sid = rng.u8(..12);
    let name = ["inbox.3", "t.a", "w.a", "q.a", "_R_.000000.x", "_INBOX.x"][rng.usize(..6)];
    match rng.u8(..12) {
        0 => format!("PUB {name} 4\r\n{number:04}\r\n"),
        1 if shares => format!("SUB q.> p{sid}\r\n"),
        2 if shares => format!("SUB q.a q{} g{sid}\r\n", rng.u8(..2)),
        3 => format!("SUB {name} p{sid}\r\n"),
        4 if !shares => format!("SUB > p{sid}\r\n"),
        _ => deed(rng, number),
    }
}

/// What those of the noisy account do who are there both times.
fn sharing_deed(rng: &mut Rng, number: usize) -> String {
    let token = ["a", "b"][rng.usize(..2)];
    match rng.u8(..6) {
        0 => "SUB v.* q 1\r\n".to_owned(),
        1 => "UNSUB 1\r\n".to_owned(),
        2 => format!("PUB s.{token} s.reply 4\r\n{number:04}\r\n"),
        _ => format!("PUB s.{token} 4\r\n{number:04}\r\n"),
    }
}

/// Answers to the requests among what a client of the service read: two for each.
fn answers(read: &[u8]) -> String {
    let text = String::from_utf8_lossy(read);
    let replies = text.split("\r\n").filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words.len() > 5 && words[0] == "HMSG").then(|| words[3].to_owned())
    });
    let twice = |reply: String| format!("PUB {reply} 3\r\none\r\nPUB {reply} 3\r\ntwo\r\n");
    replies.map(twice).collect()
}

/// What the clients of the quiet account read: each its own lines, and what groups got together.
type Read = (Vec<Vec<String>>, Vec<String>);

fn run(seed: u64, noisy: bool) -> Read {
    let mut rng = Rng::with_seed(seed);
    let (shards, shares) = (rng.usize(1..=4), rng.bool());
    let plan = Plan {
        shards,
        capacity: Capacity::of(shards),
        limits: Limits::default(),
        rules: Vec::new(),
        sealed: false,
    };
    let mut world = World::new(rng.u64(..), &plan);
    world.change(|options| {
        options.authenticator = Arc::new(Tenants);
        if shares {
            options.accounts = Arc::new(shared());
        }
    });
    let homes: Vec<usize> = (0..3 * CLIENTS).map(|_| rng.usize(..shards)).collect();
    let sockets: Vec<usize> = homes.iter().map(|home| world.connect(*home, 1 << 20)).collect();
    let connect = |account: AccountId| {
        format!(
            "CONNECT {{\"user\":\"{}\",\"verbose\":false,\"pedantic\":false,\
             \"headers\":true,\"no_responders\":true}}\r\n",
            account.index()
        )
    };
    let (quiet, others) = sockets.split_at(CLIENTS);
    let (loud, sharing) = others.split_at(CLIENTS);
    for (account, sockets) in [(QUIET, quiet), (NOISY, others)] {
        sockets.iter().for_each(|socket| world.sockets[*socket].send(connect(account).as_bytes()));
    }
    world.eager = true;
    world.settle();
    // Two sources of chance: what the quiet ones do must not depend on what the others do.
    let (mut own, mut other) = (Rng::with_seed(seed ^ 1), Rng::with_seed(seed ^ 2));
    let mut read = vec![Vec::new(); CLIENTS];
    for number in 0..DEEDS {
        if noisy {
            for _ in 0..other.usize(..6) {
                let actor = loud[other.usize(..CLIENTS)];
                let said = noisy_deed(&mut other, number + 5000, shares);
                world.sockets[actor].send(said.as_bytes());
                if other.bool() {
                    world.settle();
                }
            }
        }
        if shares {
            let (actor, said) = (own.usize(..CLIENTS), sharing_deed(&mut own, number + 1000));
            world.sockets[sharing[actor]].send(said.as_bytes());
            world.settle();
        }
        let (actor, said) = (own.usize(..CLIENTS), quiet_deed(&mut own, number, shares));
        world.sockets[quiet[actor]].send(said.as_bytes());
        world.settle();
        for socket in sharing {
            let asked = world.sockets[*socket].read(usize::MAX);
            world.sockets[*socket].send(answers(&asked).as_bytes());
        }
        world.settle();
        for (socket, read) in quiet.iter().zip(&mut read) {
            read.extend(world.sockets[*socket].read(usize::MAX));
        }
    }
    compare(&read)
}

/// Lines without what chance decides.
fn compare(read: &[Vec<u8>]) -> Read {
    let mut groups = Vec::new();
    let mut own = Vec::new();
    for bytes in read {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let mut lines: Vec<String> = Vec::new();
        let mut rest = text.split("\r\n");
        while let Some(line) = rest.next() {
            if !line.starts_with("MSG ") {
                lines.push(line.to_owned());
                continue;
            }
            let message = format!("{line} {}", rest.next().unwrap_or_default());
            let mut words: Vec<&str> = message.split(' ').collect();
            if words[2].starts_with('g') {
                words.remove(2);
                groups.push(words.join(" "));
            } else {
                lines.push(message);
            }
        }
        own.push(lines);
    }
    groups.sort();
    (own, groups)
}

#[test]
fn what_one_account_does_is_nothing_to_another() {
    let setting = |name, default| {
        std::env::var(name).map_or(default, |text: String| text.parse().expect("a number"))
    };
    let (first, count): (u64, u64) = (setting("SIM_FIRST", 0), setting("SIM_SEEDS", 60));
    let (mut messages, mut streams, mut answers) = (0, 0, 0);
    for seed in first..first + count {
        let alone = run(seed, false);
        assert_eq!(run(seed, true), alone, "seed {seed}");
        for line in alone.0.iter().flatten().chain(&alone.1) {
            messages += u64::from(line.starts_with("MSG "));
            streams += u64::from(line.starts_with("MSG t."));
            answers += u64::from(line.starts_with("MSG inbox.") && line.ends_with(" two"));
        }
    }
    let least = (messages / 50).min(streams).min(answers);
    assert!(count < 60 || least > count / 2, "too little was read: {messages} {streams} {answers}");
}
