//! The parts of the data plane by themselves: reading operations, finding receivers, the lane
//! between two shards.

use std::hint::black_box;

use ringbus_shard::delivery::{Memo, Message};
use ringbus_shard::ids::{AccountId, ConnId, ShardId, SubId};
use ringbus_shard::interest::{Interest, LocalTarget};
use ringbus_shard::mesh::{Endpoint, Frame, MessageFrame, Origin, mesh};
use ringbus_shard::wire::client::{ParseLimits, Parsed, parse};

use crate::{Scenario, Work};

/// Everything of this file.
pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "parse/pub", prepare: || read("PUB subject 16\r\n0123456789abcdef\r\n") },
    Scenario {
        name: "parse/pub_reply",
        prepare: || read("PUB subject _INBOX.QXzvLkP3.7 16\r\n0123456789abcdef\r\n"),
    },
    Scenario {
        name: "parse/hpub",
        prepare: || read("HPUB subject 23 39\r\nNATS/1.0\r\nname: yes\r\n\r\n0123456789abcdef\r\n"),
    },
    Scenario { name: "parse/sub", prepare: || read("SUB orders.*.new workers 1234\r\n") },
    Scenario { name: "parse/unsub", prepare: || read("UNSUB 1234\r\n") },
    Scenario { name: "parse/ping", prepare: || read("PING\r\n") },
    Scenario { name: "match/memo", prepare: same_subject },
    Scenario { name: "match/cache", prepare: remembered },
    Scenario { name: "match/cache_many", prepare: many_remembered },
    Scenario { name: "match/trie", prepare: never_seen },
    Scenario { name: "match/change_literal", prepare: || change("_INBOX.QXzvLkP3.7") },
    Scenario { name: "match/change_wildcard", prepare: || change("_INBOX.QXzvLkP3.*") },
    Scenario { name: "mesh/batch", prepare: across },
];

/// Operations of one call.
const OPERATIONS: usize = 200;

/// Operations one after the other, all alike.
fn read(operation: &str) -> Work {
    let bytes = operation.repeat(OPERATIONS).into_bytes();
    let limits = ParseLimits { control_line: 4096, payload: 1 << 20, headers: true };
    Box::new(move || {
        let (mut rest, mut count) = (&bytes[..], 0);
        while let Parsed::Op { op, len } = parse(rest, &limits) {
            black_box(op);
            rest = &rest[len..];
            count += 1;
        }
        assert!(rest.is_empty(), "everything was read");
        count
    })
}

fn target(slot: u32) -> LocalTarget {
    LocalTarget { conn: slot, sub: SubId::new(slot) }
}

fn index(patterns: &[&str]) -> Interest {
    let mut interest = Interest::new(ShardId::FIRST, 42);
    for (slot, pattern) in (0..).zip(patterns) {
        let _ = interest.insert(AccountId::GLOBAL, pattern.as_bytes(), None, target(slot));
    }
    interest
}

/// A publisher that stays on its subject.
fn same_subject() -> Work {
    let mut interest = index(&["orders.>"]);
    let mut memo = Memo::default();
    Box::new(move || {
        for _ in 0..OPERATIONS {
            let set = memo.look_up(&mut interest, AccountId::GLOBAL, b"orders.eu.berlin.new");
            assert_eq!(black_box(set).plain.len(), 1);
        }
        OPERATIONS as u64
    })
}

/// One subject, without the memo.
fn remembered() -> Work {
    let mut interest = index(&["orders.>"]);
    Box::new(move || {
        for _ in 0..OPERATIONS {
            let set = interest.matches(AccountId::GLOBAL, b"orders.eu.berlin.new");
            assert_eq!(black_box(set).plain.len(), 1);
        }
        OPERATIONS as u64
    })
}

/// A thousand subjects in turn.
fn many_remembered() -> Work {
    let mut interest = index(&["orders.>"]);
    let subjects: Vec<String> = (0..1000).map(|number| format!("orders.{number}.new")).collect();
    Box::new(move || {
        for subject in &subjects {
            let set = interest.matches(AccountId::GLOBAL, subject.as_bytes());
            assert_eq!(black_box(set).plain.len(), 1);
        }
        subjects.len() as u64
    })
}

/// Subjects that nobody has published to before: the walk, and remembering what it found.
fn never_seen() -> Work {
    let mut interest = index(&["orders.*.new", "orders.>", "prices.>", "orders.eu.*"]);
    let mut number = 0_u64;
    Box::new(move || {
        for _ in 0..OPERATIONS {
            number += 1;
            let mut subject = *b"orders.0000000000.new";
            for (place, digit) in subject[7..17].iter_mut().zip(0..) {
                *place = b'a' + ((number >> (4 * digit)) & 15) as u8;
            }
            let set = interest.matches(AccountId::GLOBAL, &subject);
            assert_eq!(black_box(set).plain.len(), 2);
        }
        OPERATIONS as u64
    })
}

/// Somebody subscribes and leaves, among a thousand others.
fn change(pattern: &'static str) -> Work {
    let others: Vec<String> = (0..1000).map(|number| format!("_INBOX.{number}.*")).collect();
    let mut interest = index(&others.iter().map(String::as_str).collect::<Vec<_>>());
    Box::new(move || {
        let newcomer = target(5000);
        for _ in 0..OPERATIONS {
            let pattern = pattern.as_bytes();
            black_box(interest.insert(AccountId::GLOBAL, pattern, None, newcomer));
            black_box(interest.remove(AccountId::GLOBAL, pattern, None, newcomer));
        }
        OPERATIONS as u64
    })
}

/// A batch from one shard to another, read there, and its buffer back.
fn across() -> Work {
    let mut ends: Vec<Endpoint<()>> = mesh(2);
    let mut wake = Vec::new();
    let message = Message {
        imported: false,
        account: AccountId::GLOBAL,
        subject: b"subject",
        reply: b"",
        header_len: 0,
        payload: b"0123456789abcdef",
        tail: b"16\r\n0123456789abcdef\r\n",
    };
    let origin = Origin {
        shard: ShardId::FIRST,
        conn: ConnId::new(1, 0),
        sole: true,
        no_responders: true,
        hops: 0,
    };
    Box::new(move || {
        let [here, there] = &mut ends[..] else { return 0 };
        let Some(outbound) = &mut here.to[1] else { return 0 };
        for _ in 0..OPERATIONS {
            assert!(outbound.messages.has_room());
            let groups = std::iter::empty::<&[u8]>();
            let frame = MessageFrame { message, plain: true, groups, origin };
            outbound.messages.append_message(&frame);
        }
        here.publish(&mut wake);
        wake.clear();
        let Some(inbound) = &mut there.from[0] else { return 0 };
        let mut arrived = 0;
        while let Some(batch) = inbound.messages.take() {
            for frame in batch.frames(0) {
                assert!(matches!(black_box(frame), Frame::Message(_)));
                arrived += 1;
            }
            let _ = inbound.messages.give_back(batch);
        }
        assert_eq!(arrived, OPERATIONS, "everything arrived");
        arrived as u64
    })
}
