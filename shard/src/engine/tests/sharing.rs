//! Accounts that share streams and services, on several shards with narrow lanes: who gets what,
//! how often, in which order, and who gets nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::account::{Access, Accounts, ImportError, ResponseType, Service};
use crate::authorize::{Lists, Permissions, Rules};
use crate::ids::AccountId;

/// Users are called after accounts: this many, from A on.
const ACCOUNTS: [&str; 4] = ["A", "B", "C", "D"];

pub(super) fn account(name: &str) -> AccountId {
    let place = ACCOUNTS.iter().position(|known| *known == name).unwrap();
    AccountId::new(u32::try_from(place).unwrap() + 2)
}

/// Everybody is let into the account of that name; with rules if there are some for it.
struct ByName(Option<(&'static str, Arc<Permissions>)>);

impl Authenticator for ByName {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, offer: &Offer<'_>) -> Verdict {
        let user = offer.connect.user.as_str();
        let rules = self.0.as_ref().filter(|(name, _)| *name == user);
        Verdict::of(Some(Grant {
            account: account(user),
            account_name: user.into(),
            permissions: rules.map(|(_, rules)| Arc::clone(rules)),
            ..Grant::default()
        }))
    }
}

/// A has streams `s.>` and a service `v.*` for B and D, which know the service as `w.*`.
pub(super) fn shared() -> Accounts {
    let mut accounts = Accounts::default();
    for name in ACCOUNTS {
        accounts.entry(account(name)).name = name.into();
    }
    let (a, b, d) = (account("A"), account("B"), account("D"));
    let exports = &mut accounts.entry(a).exports;
    let access = || Access { approved: vec![b, d], ..Access::default() };
    exports.add_stream(b"s.>", access()).unwrap();
    let threshold = Duration::from_secs(1);
    exports.add_service(b"v.*", access(), ResponseType::Singleton, threshold).unwrap();
    for importer in [b, d] {
        accounts.import_stream(importer, a, b"s.>", b"t.>").unwrap();
        let service = Service { from: b"w.*", to: b"v.*", share: false };
        accounts.import_service(importer, a, service).unwrap();
    }
    accounts
}

pub(super) fn options(
    accounts: Accounts,
    rules: Option<(&'static str, Arc<Permissions>)>,
) -> Arc<Options> {
    Arc::new(Options {
        info: Info { headers: true, ..Info::default() },
        limits: Limits { stalls: false, ..Limits::default() },
        authenticator: Arc::new(ByName(rules)),
        accounts: Arc::new(accounts),
        transports: None,
        trace: false,
        traced_payload_max: 0,
    })
}

/// Several shards, whatever waits between them, and the clients of all.
pub(super) struct World {
    pub(super) scenes: Vec<Scene>,
}

/// A client: its shard, and itself there.
pub(super) type Who = (usize, ConnId);

impl World {
    pub(super) fn new(shards: usize, options: &Arc<Options>) -> Self {
        let capacity = Capacity { control_frames: 8, lane_bytes: 256 };
        let scenes = mesh_of(shards, capacity)
            .into_iter()
            .map(|endpoint| Scene {
                shard: Shard::new(Arc::clone(options), endpoint, Now::ZERO, 7),
                now: Now::ZERO,
                clients: 0,
            })
            .collect();
        Self { scenes }
    }

    pub(super) fn client(&mut self, shard: usize, account: &str) -> Who {
        let scene = &mut self.scenes[shard];
        let conn = scene.open();
        let options = r#""headers":true,"no_responders":true,"protocol":1,"verbose":false"#;
        scene.says(conn, &format!("CONNECT {{\"user\":\"{account}\",{options}}}\r\n"));
        self.settle();
        self.scenes[shard].hears(conn);
        (shard, conn)
    }

    pub(super) fn says(&mut self, (shard, conn): Who, text: &str) {
        self.scenes[shard].says(conn, text);
    }

    /// Until nothing is on its way.
    pub(super) fn settle(&mut self) {
        for _ in 0..50 {
            for Scene { shard, now, .. } in &mut self.scenes {
                shard.on_mesh();
                shard.on_batches(*now);
                while shard.on_turn(*now) {
                    shard.on_batches(*now);
                }
                while shard.take_dirty().is_some() {}
                shard.flushed();
                shard.commit(&mut Vec::new());
            }
        }
    }

    pub(super) fn hears(&mut self, (shard, conn): Who) -> String {
        self.scenes[shard].hears(conn)
    }

    /// Lets time pass on all shards.
    pub(super) fn wait(&mut self, time: Duration) {
        for scene in &mut self.scenes {
            scene.wait(time);
        }
        self.settle();
    }

    pub(super) fn waiting(&self) -> usize {
        self.scenes.iter().map(|scene| scene.shard.exchange().answers.len()).sum()
    }
}

/// Messages: subject, reply if there is one, and body.
fn messages(heard: &str) -> Vec<(String, Option<String>, String)> {
    let mut found = Vec::new();
    let mut rest = heard;
    while let Some((line, after)) = rest.split_once("\r\n") {
        let words: Vec<&str> = line.split(' ').collect();
        let (numbers, header) = match words[0] {
            "MSG" => (1, 0),
            "HMSG" => (2, words[words.len() - 2].parse().unwrap()),
            _ => {
                rest = after;
                continue;
            }
        };
        let len: usize = words[words.len() - 1].parse().unwrap();
        let reply = (words.len() > 3 + numbers).then(|| words[3].to_owned());
        found.push((words[1].to_owned(), reply, after[header..len].to_owned()));
        rest = &after[len + 2..];
    }
    found
}

#[test]
fn each_request_is_answered_once_by_one_member_wherever_they_are() {
    for shards in 1..=4 {
        let mut world = World::new(shards, &options(shared(), None));
        let services: Vec<Who> = (0..shards * 2)
            .map(|n| {
                let who = world.client(n % shards, "A");
                world.says(who, "SUB v.* workers 1\r\n");
                who
            })
            .collect();
        let strangers: Vec<Who> = (0..shards)
            .flat_map(|n| {
                let stranger = world.client(n, "C");
                world.says(stranger, "SUB > 1\r\n");
                [stranger]
            })
            .collect();
        let requesters: Vec<Who> =
            (0..shards).flat_map(|n| ["B", "D"].map(|account| world.client(n, account))).collect();
        for (n, who) in requesters.iter().enumerate() {
            world.says(*who, &format!("SUB inbox.{n:02}.* 9\r\n"));
        }
        world.settle();
        let mut asked = BTreeSet::new();
        for round in 0..20 {
            for (n, who) in requesters.iter().enumerate() {
                let id = format!("{round:02}-{n:02}");
                let len = id.len();
                world.says(*who, &format!("PUB w.x inbox.{n:02}.{id} {len}\r\n{id}\r\n"));
                asked.insert(id);
            }
        }
        world.settle();
        let mut taken = BTreeMap::<String, usize>::new();
        for who in &services {
            let heard = world.hears(*who);
            for (subject, reply, body) in messages(&heard) {
                assert_eq!(subject, "v.x");
                *taken.entry(body.clone()).or_default() += 1;
                let reply = reply.unwrap();
                // The second answer is one too many.
                for _ in 0..2 {
                    let line = format!("PUB {reply} {}\r\n{body}\r\n", body.len());
                    world.says(*who, &line);
                }
            }
        }
        world.settle();
        assert_eq!(taken.len(), asked.len());
        assert!(taken.values().all(|count| *count == 1), "{taken:?}");
        let mut answered = BTreeSet::new();
        for who in &requesters {
            let heard = world.hears(*who);
            for (subject, reply, body) in messages(&heard) {
                assert!(subject.starts_with("inbox.") && subject.ends_with(&*body), "{subject}");
                assert_eq!(reply, None);
                assert!(answered.insert(body));
            }
        }
        assert_eq!(answered, asked);
        assert_eq!(world.waiting(), 0, "nothing is kept of what was answered");
        for stranger in strangers {
            assert_eq!(world.hears(stranger), "", "another account is not concerned");
        }
    }
}

#[test]
fn a_request_that_nobody_takes_is_answered_wherever_that_is_found_out() {
    for shards in 1..=3 {
        let mut world = World::new(shards, &options(shared(), None));
        let service = world.client(shards - 1, "A");
        let requester = world.client(0, "B");
        world.says(requester, "SUB inbox 9\r\n");
        world.settle();
        let expected = "HMSG inbox 9 35 35\r\nNATS/1.0 503\r\nNats-Subject: w.x\r\n\r\n\r\n";
        world.says(requester, "PUB w.x inbox 1\r\nx\r\n");
        world.settle();
        assert_eq!(world.hears(requester), expected);
        // It leaves while the request is on its way.
        world.says(service, "SUB v.x q 1\r\n");
        world.settle();
        world.says(requester, "PUB w.x inbox 1\r\nx\r\n");
        world.scenes[shards - 1].says(service.1, "UNSUB 1\r\n");
        world.settle();
        let heard = (world.hears(service), world.hears(requester));
        if shards > 1 {
            assert_eq!(heard, (String::new(), expected.to_owned()));
        }
        world.wait(Duration::from_secs(3));
        assert_eq!(world.waiting(), 0);
    }
}

#[test]
fn who_must_be_answered_soon_is_forgotten_before_who_need_not() {
    let mut accounts = Accounts::default();
    for name in ACCOUNTS {
        accounts.entry(account(name)).name = name.into();
    }
    let (a, b) = (account("A"), account("B"));
    for (subject, seconds) in [(&b"slow"[..], 100), (b"soon", 1)] {
        let threshold = Duration::from_secs(seconds);
        let exports = &mut accounts.entry(a).exports;
        exports.add_service(subject, Access::default(), ResponseType::Stream, threshold).unwrap();
        let service = Service { from: subject, to: subject, share: false };
        accounts.import_service(b, a, service).unwrap();
    }
    let mut world = World::new(1, &options(accounts, None));
    let (asks, answers) = (world.client(0, "B"), world.client(0, "A"));
    world.says(answers, "SUB * 1\r\n");
    for round in 0..20 {
        world.says(asks, "PUB slow inbox 0\r\n\r\nPUB soon inbox 0\r\n\r\n");
        assert_eq!(world.waiting(), 2 + round);
        world.wait(Duration::from_millis(1200));
        assert_eq!(world.waiting(), 1 + round);
    }
    let timers = world.scenes[0].shard.exchange().timers.armed();
    assert!(timers < 40, "{timers}");
    world.wait(Duration::from_secs(120));
    assert_eq!(world.waiting(), 0);
}

#[test]
fn messages_of_one_publisher_arrive_in_order_under_their_other_name() {
    for shards in 1..=3 {
        let mut world = World::new(shards, &options(shared(), None));
        let readers: Vec<(Who, bool)> = (0..shards)
            .flat_map(|n| [(world.client(n, "B"), true), (world.client(n, "C"), false)])
            .collect();
        let publisher = world.client(0, "A");
        for (who, _) in &readers {
            world.says(*who, "SUB > 1\r\nSUB t.* 2\r\n");
        }
        world.settle();
        for n in 0..200 {
            world.says(publisher, &format!("PUB s.x 3\r\n{n:03}\r\n"));
            if n % 20 == 0 {
                world.settle();
            }
        }
        world.settle();
        for (who, gets) in readers {
            let heard = world.hears(who);
            let heard = messages(&heard);
            if !gets {
                assert!(heard.is_empty());
                continue;
            }
            assert!(heard.iter().all(|(subject, ..)| subject == "t.x"));
            let expected: Vec<String> =
                (0..200).flat_map(|n| [format!("{n:03}"), format!("{n:03}")]).collect();
            let found: Vec<String> = heard.into_iter().map(|(_, _, body)| body).collect();
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn rules_are_about_the_subject_that_a_client_is_given() {
    let lists = |deny: &str| Lists { allow: None, deny: vec![deny.to_owned()] };
    let rules = Rules { subscribe: lists("t.no"), publish: lists("w.no"), ..Rules::default() };
    let rules = Some(("B", Arc::new(Permissions::new(rules).unwrap())));
    let mut world = World::new(2, &options(shared(), rules));
    let (reader, writer) = (world.client(0, "B"), world.client(1, "A"));
    world.says(reader, "SUB > 1\r\nSUB t.* q 2\r\n");
    world.says(writer, "SUB v.* 1\r\n");
    world.settle();
    for subject in ["s.no", "s.yes", "t.no"] {
        world.says(writer, &format!("PUB {subject} 1\r\nx\r\n"));
    }
    world.says(reader, "PUB w.no 1\r\nx\r\nPUB w.yes 1\r\nx\r\n");
    world.settle();
    let heard = world.hears(reader);
    let subjects: Vec<String> = messages(&heard).into_iter().map(|(subject, ..)| subject).collect();
    assert_eq!(subjects, ["w.yes", "t.yes", "t.yes"]);
    assert!(heard.contains("-ERR 'Permissions Violation for Publish to \"w.no\"'"), "{heard}");
    let heard = world.hears(writer);
    let subjects: Vec<String> = messages(&heard).into_iter().map(|(subject, ..)| subject).collect();
    assert_eq!(subjects, ["v.yes"]);
}

#[test]
fn other_terms_alone_hold_at_once_too() {
    let mut world = World::new(2, &options(shared(), None));
    let (reader, writer) = (world.client(0, "B"), world.client(1, "A"));
    let chained = world.client(1, "C");
    world.says(reader, "SUB t.x 1\r\n");
    world.says(writer, "SUB v.x 1\r\n");
    world.settle();
    // C knows the service of A by way of B.
    let by_way_of_b = |mut accounts: Accounts| {
        let (b, c) = (account("B"), account("C"));
        let exports = &mut accounts.entry(b).exports;
        let second = Duration::from_secs(1);
        exports.add_service(b"w.*", Access::default(), ResponseType::Singleton, second).unwrap();
        let service = Service { from: b"y.*", to: b"w.*", share: false };
        accounts.import_service(c, b, service).unwrap();
        accounts
    };
    let tell = |world: &mut World, accounts: Accounts| {
        let accounts = Arc::new(by_way_of_b(accounts));
        for Scene { shard, now, .. } in &mut world.scenes {
            shard.on_accounts(*now, Arc::clone(&accounts));
        }
        world.settle();
    };
    let mut without = Accounts::default();
    for name in ACCOUNTS {
        without.entry(account(name)).name = name.into();
    }
    for accounts in [shared(), without.clone(), shared(), without] {
        let works = accounts.imports(account("B")).is_some();
        tell(&mut world, accounts);
        world.says(writer, "PUB s.x 1\r\nx\r\n");
        world.says(reader, "PUB w.x 1\r\nx\r\n");
        world.says(chained, "PUB y.x 1\r\nx\r\n");
        world.settle();
        assert_eq!(messages(&world.hears(reader)).len(), usize::from(works));
        assert_eq!(messages(&world.hears(writer)).len(), 2 * usize::from(works));
    }
}

#[test]
fn other_terms_hold_for_those_who_are_connected() {
    let mut world = World::new(2, &options(shared(), None));
    let (reader, writer) = (world.client(0, "B"), world.client(1, "A"));
    world.says(reader, "SUB t.x 1\r\nSUB u.x 2\r\nUNSUB 2 2\r\n");
    world.settle();
    let before = |world: &World| {
        world.scenes.iter().map(|scene| scene.shard.exchange().interest.patterns()).sum::<usize>()
    };
    let patterns = before(&world);
    let seen = |world: &mut World, expected: &[&str]| {
        world.says(writer, "PUB s.x 1\r\nx\r\n");
        world.settle();
        let heard = world.hears(reader);
        let subjects: Vec<String> =
            messages(&heard).into_iter().map(|(subject, ..)| subject).collect();
        assert_eq!(subjects, expected);
    };
    seen(&mut world, &["t.x"]);
    let mut other = Accounts::default();
    for name in ACCOUNTS {
        other.entry(account(name)).name = name.into();
    }
    other.entry(account("A")).exports.add_stream(b"s.>", Access::default()).unwrap();
    other.import_stream(account("B"), account("A"), b"s.>", b"u.>").unwrap();
    let other = options(other, None);
    for scene in &mut world.scenes {
        scene.shard.on_options(scene.now, Arc::clone(&other));
    }
    world.settle();
    seen(&mut world, &["u.x"]);
    seen(&mut world, &["u.x"]);
    seen(&mut world, &[]);
    let none = options(Accounts::default(), None);
    for scene in &mut world.scenes {
        scene.shard.on_options(scene.now, Arc::clone(&none));
    }
    world.settle();
    seen(&mut world, &[]);
    assert!(before(&world) < patterns, "nothing is left of what was taken");
    assert_eq!(world.scenes[0].shard.exchange().subscriptions.len(), 1);
}

#[test]
fn a_client_that_goes_takes_its_shadows_along() {
    let mut world = World::new(2, &options(shared(), None));
    let (reader, writer) = (world.client(0, "B"), world.client(1, "A"));
    world.says(reader, "SUB t.x 1\r\nSUB > q 2\r\nUNSUB 2\r\nSUB t.> 3\r\n");
    world.settle();
    let scene = &mut world.scenes[0];
    scene.shard.on_hang_up(scene.now, reader.1, CloseReason::ClientClosed);
    world.settle();
    for scene in &world.scenes {
        let exchange = scene.shard.exchange();
        assert_eq!((exchange.subscriptions.len(), exchange.interest.patterns()), (0, 0));
    }
    world.says(writer, "SUB inbox 1\r\nPUB s.x inbox 1\r\nx\r\n");
    world.settle();
    assert!(world.hears(writer).starts_with("HMSG inbox 1 35 35\r\nNATS/1.0 503"));
}

#[test]
fn cve_2020_28466_no_import_leads_in_a_circle_and_chains_answer() {
    let mut accounts = Accounts::default();
    for name in ACCOUNTS {
        accounts.entry(account(name)).name = name.into();
    }
    let (a, b, d) = (account("A"), account("B"), account("D"));
    for (exporter, subject) in [(a, b"v.*"), (d, b"u.*")] {
        let exports = &mut accounts.entry(exporter).exports;
        let threshold = Duration::from_secs(1);
        exports.add_service(subject, Access::default(), ResponseType::Stream, threshold).unwrap();
    }
    let service = |from, to| Service { from, to, share: false };
    accounts.import_service(a, d, service(b"v.*", b"u.*")).unwrap();
    accounts.import_service(b, a, service(b"w.*", b"v.*")).unwrap();
    for circle in [service(b"u.*", b"v.*"), service(b"u.x", b"v.x"), service(b"*.x", b"v.x")] {
        assert_eq!(accounts.import_service(d, a, circle), Err(ImportError::Cycle), "{circle:?}");
    }
    assert!(accounts.clone().import_service(d, a, service(b"other", b"v.x")).is_ok());
    for shards in 1..=3 {
        let mut world = World::new(shards, &options(accounts.clone(), None));
        let (asks, answers) = (world.client(0, "B"), world.client(shards - 1, "D"));
        world.says(answers, "SUB u.x 1\r\n");
        world.settle();
        world.says(asks, "SUB inbox 1\r\nPUB w.x inbox 1\r\nx\r\n");
        world.settle();
        let heard = world.hears(answers);
        let [(_, Some(reply), _)] = &messages(&heard)[..] else { panic!("{heard}") };
        assert!(heard.contains("{\"acc\":\"B\",\"svc\":\"A\"}"), "{heard}");
        for _ in 0..2 {
            world.says(answers, &format!("PUB {reply} 3\r\nyes\r\n"));
        }
        world.settle();
        assert_eq!(world.hears(asks), "MSG inbox 1 3\r\nyes\r\n".repeat(2));
        world.wait(Duration::from_secs(3));
        assert_eq!(world.waiting(), 0);
    }
}
