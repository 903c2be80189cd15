//! What clients of one account do changes nothing that clients of another see: the same clients do
//! the same twice, once with a noisy account beside them and once without, and must read the same.
//!
//! Which member of a queue group gets a message is left to chance, which an account beside it may
//! shift: of groups, only what all members read together is compared.

use std::sync::Arc;

use fastrand::Rng;

use super::world::{Plan, World};
use crate::ids::AccountId;
use crate::limits::Limits;
use crate::mesh::Capacity;
use crate::options::{Authenticator, Grant, Offer, Verdict};

/// Clients of each account.
const CLIENTS: usize = 4;

/// What each of them does.
const DEEDS: usize = 120;

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

/// What a client sends next. Both accounts use the same subjects, queues and names.
fn deed(rng: &mut Rng, number: usize) -> String {
    let token = |rng: &mut Rng| ["a", "b", "c", "*"][rng.usize(..4)];
    let pattern = format!("{}.{}", token(rng), if rng.bool() { token(rng) } else { ">" });
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

/// What the clients of the quiet account read: each its own lines, and what groups got together.
type Read = (Vec<Vec<String>>, Vec<String>);

fn run(seed: u64, noisy: bool) -> Read {
    let mut rng = Rng::with_seed(seed);
    let shards = rng.usize(1..=4);
    let plan = Plan {
        shards,
        capacity: Capacity::of(shards),
        limits: Limits::default(),
        rules: Vec::new(),
        sealed: false,
    };
    let mut world = World::new(rng.u64(..), &plan);
    world.judge_by(Arc::new(Tenants));
    let homes: Vec<usize> = (0..2 * CLIENTS).map(|_| rng.usize(..shards)).collect();
    let sockets: Vec<usize> = homes.iter().map(|home| world.connect(*home, 1 << 20)).collect();
    let connect = |account: usize| {
        format!(
            "CONNECT {{\"user\":\"{account}\",\"verbose\":false,\"pedantic\":false,\
             \"headers\":true,\"no_responders\":true}}\r\n"
        )
    };
    let (quiet, loud) = sockets.split_at(CLIENTS);
    for (account, sockets) in [(2, quiet), (3, loud)] {
        sockets.iter().for_each(|socket| world.sockets[*socket].send(connect(account).as_bytes()));
    }
    world.eager = true;
    world.settle();
    // Two sources of chance: what the quiet ones do must not depend on what the others do.
    let (mut own, mut other) = (Rng::with_seed(seed ^ 1), Rng::with_seed(seed ^ 2));
    let mut read = vec![Vec::new(); CLIENTS];
    for number in 0..DEEDS {
        let (actor, said) = (own.usize(..CLIENTS), deed(&mut own, number));
        if noisy {
            for _ in 0..other.usize(..6) {
                let (actor, said) = (other.usize(..CLIENTS), deed(&mut other, number + 5000));
                world.sockets[loud[actor]].send(said.as_bytes());
                if other.bool() {
                    world.settle();
                }
            }
        }
        world.sockets[quiet[actor]].send(said.as_bytes());
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
    let seeds = std::env::var("SIM_SEEDS").map_or(60, |text| text.parse().expect("a number"));
    let mut messages = 0;
    for seed in 0..seeds {
        let alone = run(seed, false);
        assert_eq!(run(seed, true), alone, "seed {seed}");
        messages += alone.1.len();
        messages += alone.0.iter().flatten().filter(|line| line.starts_with("MSG ")).count();
    }
    assert!(messages > 1000, "too little was read: {messages}");
}
