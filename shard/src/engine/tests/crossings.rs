//! What requests to other accounts may cost the shard, and what is kept of them.

use super::sharing::{Who, World, account, options, shared};
use super::*;
use crate::account::{Access, Accounts, Latency, ResponseType, Sampling, Service};
use crate::limits::{MESSAGE_BYTES_KEPT, OVERDUE_MAX};

/// A is told who asks and how long it takes, on `figures`; B and D ask for `v.*` as `w.*`.
fn measured() -> Accounts {
    let mut accounts = Accounts::default();
    for name in ["A", "B", "C", "D"] {
        accounts.entry(account(name)).name = name.into();
    }
    let (a, b, d) = (account("A"), account("B"), account("D"));
    let exports = &mut accounts.entry(a).exports;
    let access = Access { approved: vec![b, d], ..Access::default() };
    let threshold = Duration::from_secs(1);
    exports.add_service(b"v.*", access, ResponseType::Singleton, threshold).unwrap();
    let sampling = Sampling::Percent(100);
    exports.measure(b"v.*", Latency { sampling, subject: b"figures"[..].into() }).unwrap();
    for importer in [b, d] {
        let service = Service { from: b"w.*", to: b"v.*", share: true };
        accounts.import_service(importer, a, service).unwrap();
    }
    accounts
}

/// It has a name that is six times as long as JSON.
fn long_name(world: &mut World, who: Who, user: &str) {
    let name = "<".repeat(3900);
    let rest = r#""headers":true,"no_responders":true,"protocol":1,"verbose":false"#;
    world.says(who, &format!("CONNECT {{\"user\":\"{user}\",\"name\":\"{name}\",{rest}}}\r\n"));
    world.settle();
    world.hears(who);
}

fn kept(world: &World, (shard, conn): Who) -> usize {
    world.scenes[shard].shard.sighting(conn).unwrap().crossings_bytes()
}

#[test]
fn a_large_request_leaves_no_memory_behind() {
    let mut world = World::new(1, &options(shared(), None));
    let service = world.client(0, "A");
    world.says(service, "SUB v.* 1\r\n");
    let asking = world.client(0, "B");
    let body = "x".repeat(1 << 20);
    world.says(asking, &format!("PUB w.x inbox {}\r\n{body}\r\n", body.len()));
    world.settle();
    assert!(world.hears(service).len() > 1 << 20);
    assert!(kept(&world, asking) < 8 << 10, "{}", kept(&world, asking));
    let shared = world.scenes[0].shard.exchange().answer_tail.capacity();
    assert!(shared <= MESSAGE_BYTES_KEPT, "{shared}");
}

#[test]
fn what_is_told_of_a_long_name_is_not_kept_by_the_idle() {
    let mut world = World::new(1, &options(measured(), None));
    let service = world.client(0, "A");
    world.says(service, "SUB v.* 1\r\n");
    let asking = world.client(0, "B");
    long_name(&mut world, asking, "B");
    world.says(asking, "PUB w.x inbox 0\r\n\r\n");
    world.settle();
    assert!(world.hears(service).contains(&"\\u003c".repeat(3900)));
    assert!(kept(&world, asking) < 8 << 10, "{}", kept(&world, asking));
}

/// Whatever its name, the requests of a client cost about as much as they are long.
#[test]
fn requests_that_nobody_wants_end_a_turn_and_tell_nobodys_name() {
    let mut world = World::new(1, &options(shared_with_all(), None));
    let asking = world.client(0, "B");
    long_name(&mut world, asking, "B");
    let requests: String = (0..1000).map(|n| format!("PUB w.{n} 0\r\n\r\n")).collect();
    let Scene { shard, now, .. } = &mut world.scenes[0];
    let now = *now;
    shard.flushed();
    shard.on_bytes(now, asking.1, requests.as_bytes());
    assert!(shard.output_is_due() && shard.any_ready(), "others have a turn");
    let mut turns = 1;
    while shard.any_ready() {
        shard.flushed();
        shard.on_turn(now);
        turns += 1;
    }
    assert!((2..4).contains(&turns), "{turns}: it did not write the name again and again");
    assert_eq!(shard.sighting(asking.1).unwrap().received().0, 1000);
}

/// As `measured`, but nobody measures.
fn shared_with_all() -> Accounts {
    let mut accounts = shared();
    let (a, b) = (account("A"), account("B"));
    let service = Service { from: b"w.>", to: b"all.>", share: true };
    let access = Access { approved: vec![b], ..Access::default() };
    let threshold = Duration::from_secs(1);
    let exports = &mut accounts.entry(a).exports;
    exports.add_service(b"all.>", access, ResponseType::Singleton, threshold).unwrap();
    accounts.import_service(b, a, service).unwrap();
    accounts
}

/// Anybody may publish on names of answers that nobody was given.
#[test]
fn answers_that_are_made_up_cost_no_lane() {
    let options = options(measured(), None);
    let ends = mesh_of(2, Capacity { control_frames: 64, lane_bytes: 1 << 20 });
    let scenes = ends.into_iter().map(|endpoint| Scene {
        shard: Shard::new(Arc::clone(&options), endpoint, Now::ZERO, 7),
        now: Now::ZERO,
        clients: 0,
    });
    let mut world = World { scenes: scenes.collect() };
    let guessing = world.client(0, "A");
    long_name(&mut world, guessing, "A");
    let waiting = |world: &World| world.scenes[0].shard.exchange().peers.in_flight();
    world.settle();
    let before = waiting(&world);
    world.says(guessing, "PUB _R_.000001.x.T 0\r\n\r\n");
    assert!(waiting(&world) < before + 200, "{before} {}", waiting(&world));
    // What looks right is told of within a bound.
    world.settle();
    let before = waiting(&world);
    world.says(guessing, &"PUB _R_.000001.abcdefghij1.T 0\r\n\r\n".repeat(1000));
    let bound = crate::limits::DESCRIBED_TURN_BYTES_MAX + 1000 * 128;
    assert!(waiting(&world) < before + bound, "{before} {}", waiting(&world));
}

#[test]
fn requests_whose_time_is_up_are_told_of_in_portions() {
    let mut world = World::new(1, &options(measured(), None));
    let service = world.client(0, "A");
    world.says(service, "SUB v.* 1\r\nSUB figures 2\r\n");
    let asking = world.client(0, "B");
    world.says(asking, "SUB inbox.* 3\r\n");
    let count = 30_000;
    for n in 0..count {
        world.says(asking, &format!("PUB w.x inbox.{n} 0\r\n\r\n"));
        if n % 100 == 0 {
            world.settle();
            world.hears(service);
        }
    }
    world.settle();
    world.hears(service);
    let left = |world: &World| world.scenes[0].shard.exchange().answers.len();
    assert_eq!(left(&world), count);
    let (mut before, mut told) = (count, 0);
    for _ in 0..2 * count / OVERDUE_MAX + 1000 {
        let scene = &mut world.scenes[0];
        scene.now = scene.now.after(Duration::from_millis(5));
        scene.shard.on_time(scene.now);
        assert!(before - left(&world) <= OVERDUE_MAX, "{before} {}", left(&world));
        before = left(&world);
        told += world.hears(service).matches("Service Timeout").count();
    }
    assert_eq!((before, told), (0, count));
}

/// What a timer delivers has the same consequences as what a client sends.
#[test]
fn the_last_message_of_a_subscription_may_come_from_a_timer() {
    let mut world = World::new(1, &options(measured(), None));
    let service = world.client(0, "A");
    world.says(service, "SUB v.* 1\r\nSUB figures 2\r\nUNSUB 2 1\r\n");
    let asking = world.client(0, "B");
    world.says(asking, "SUB inbox 3\r\nPUB w.x inbox 0\r\n\r\n");
    world.settle();
    world.hears(service);
    let scene = &mut world.scenes[0];
    let subscriptions =
        |scene: &Scene| scene.shard.sighting(service.1).map(|seen| seen.subscriptions()).unwrap();
    assert_eq!(subscriptions(scene), 2);
    for _ in 0..40 {
        scene.now = scene.now.after(Duration::from_millis(50));
        scene.shard.on_time(scene.now);
    }
    assert!(scene.hears(service.1).contains("Service Timeout"));
    assert_eq!(subscriptions(scene), 1);
}
