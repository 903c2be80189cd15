//! Publishes that are carried out in a row, and deliveries to what nearly all receivers are,
//! against the long way: a shard whose messages are traced knows no other.

use proptest::prelude::*;

use super::*;
use crate::account::{Access, Accounts, ResponseType, Service};
use crate::authorize::{Lists, Permissions, Rules};
use crate::ids::AccountId;

/// Denies what begins with `no`, to everybody.
struct Ruled(Option<Arc<Permissions>>);

impl Authenticator for Ruled {
    fn required(&self) -> bool {
        false
    }

    fn judge(&self, _: &Offer<'_>) -> Verdict {
        Verdict::of(Some(Grant { permissions: self.0.clone(), ..Grant::default() }))
    }
}

/// `foo.bar` and `a.>` are services of another account, where nobody is.
fn sharing() -> Accounts {
    let mut accounts = Accounts::default();
    let (here, there) = (AccountId::GLOBAL, AccountId::new(2));
    let exports = &mut accounts.entry(there).exports;
    for name in [&b"foo.bar"[..], b"a.>"] {
        let (access, threshold) = (Access::default(), Duration::from_secs(1));
        exports.add_service(name, access, ResponseType::Singleton, threshold).unwrap();
    }
    for name in [&b"foo.bar"[..], b"a.>"] {
        let service = Service { from: name, to: name, share: true };
        accounts.import_service(here, there, service).unwrap();
    }
    accounts
}

fn scene(ruled: bool, shares: bool, trace: bool) -> Scene {
    let publish = Lists { allow: None, deny: vec!["no.>".to_owned(), "foo.no".to_owned()] };
    let rules = Rules { publish, ..Rules::default() };
    let permissions = ruled.then(|| Arc::new(Permissions::new(rules).unwrap()));
    let limits = Limits { control_line: 200, pending: 100_000, ..Limits::default() };
    let mut scene = Scene::with(limits, Arc::new(Ruled(permissions)));
    scene.change(|options| {
        options.trace = trace;
        if shares {
            options.accounts = Arc::new(sharing());
        }
    });
    scene
}

const CLIENTS: [&str; 4] = [
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n",
    "CONNECT {\"verbose\":false,\"pedantic\":true,\"echo\":false}\r\n",
    "CONNECT {\"verbose\":true,\"pedantic\":false,\"headers\":true}\r\n",
    "",
];

fn subject() -> impl Strategy<Value = String> {
    let names = [
        "foo",
        "foo.bar",
        "foo.no",
        "no.foo",
        "a..b",
        "foo.*",
        "_INBOX.1",
        "$SYS.REQ.USER.INFO",
        "$SYS.foo",
        "_R_.x",
        "_GR_.x",
        "a.subject.that.is.much.longer.than.the.heads.that.are.copied.as.a.whole.each.time",
    ];
    prop::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn sid() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1",
        "22",
        "a-name-of-15-byt",
        "a-name-of-15-by",
        "12345678901234567",
    ])
}

fn pattern() -> impl Strategy<Value = String> {
    prop_oneof![3 => subject(), 2 => Just("foo.>".to_owned()), 2 => Just(">".to_owned())]
}

fn operation() -> impl Strategy<Value = String> {
    let payload = prop_oneof![
        8 => 0..40usize,
        2 => 40..300usize,
        1 => Just(5_000usize),
        1 => Just(70_000usize),
    ]
    .prop_map(|len| "x".repeat(len))
    .boxed();
    let publish = |times: std::ops::Range<usize>| {
        let reply = prop::option::weighted(0.3, subject());
        (subject(), reply, payload.clone(), times).prop_map(|(subject, reply, payload, times)| {
            let reply = reply.map(|reply| format!("{reply} ")).unwrap_or_default();
            format!("PUB {subject} {reply}{}\r\n{payload}\r\n", payload.len()).repeat(times)
        })
    };
    let with_headers = (subject(), payload.clone()).prop_map(|(subject, payload)| {
        let headers = "NATS/1.0\r\na: b\r\n\r\n";
        let total = headers.len() + payload.len();
        format!("HPUB {subject} {} {total}\r\n{headers}{payload}\r\n", headers.len())
    });
    let subscribe = (pattern(), any::<bool>(), sid()).prop_map(|(pattern, queue, sid)| {
        let queue = if queue { "workers " } else { "" };
        format!("SUB {pattern} {queue}{sid}\r\n")
    });
    let unsubscribe = (sid(), prop::option::of(1..4u32)).prop_map(|(sid, max)| {
        format!("UNSUB {sid} {}\r\n", max.map(|max| max.to_string()).unwrap_or_default())
    });
    let odd = prop::sample::select(vec![
        "PING\r\n",
        "PONG\r\n",
        "pub foo 1\r\nx\r\n",
        "PUB foo  1\r\nx\r\n",
        "PUB foo 01\r\nx\r\n",
        "PUB foo 12 1\r\nx\r\n",
        "PUB foo 3\r\nxx\r\n",
    ])
    .prop_map(str::to_owned);
    prop_oneof![
        6 => publish(1..2),
        4 => publish(2..20),
        2 => with_headers,
        4 => subscribe,
        1 => unsubscribe,
        1 => odd,
    ]
}

/// What each of the clients heard, and what was counted, when they say these things in turn, each
/// cut in two somewhere.
fn play(
    (ruled, shares): (bool, bool),
    trace: bool,
    script: &[(usize, String, usize)],
) -> (Vec<String>, String) {
    let mut scene = scene(ruled, shares, trace);
    let conns: Vec<ConnId> = CLIENTS
        .iter()
        .map(|connect| {
            let conn = scene.open();
            scene.says(conn, connect);
            conn
        })
        .collect();
    let mut heard = vec![String::new(); conns.len()];
    for (client, text, cut) in script {
        let Some(conn) = conns.get(*client) else { continue };
        let (head, tail) = text.split_at((*cut).min(text.len()));
        for part in [head, tail] {
            scene.says(*conn, part);
            scene.shard.on_turn(scene.now);
        }
        for (conn, heard) in conns.iter().zip(&mut heard) {
            if scene.shard.outbox(*conn).is_some() {
                heard.push_str(&scene.hears(*conn));
            }
        }
    }
    let closed = scene.ended();
    (heard, format!("{:?} {closed:?}", scene.shard.stats()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn the_short_way_does_what_the_long_way_does(
        terms: (bool, bool),
        script in prop::collection::vec((0..CLIENTS.len(), operation(), 0..60usize), 1..40),
    ) {
        let (short, long) = (play(terms, false, &script), play(terms, true, &script));
        prop_assert_eq!(short, long);
    }
}
