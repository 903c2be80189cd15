//! What simulations found, each told as a short story of its own: a seed means something only as
//! long as nobody changes what simulated clients do, a story for good.

use std::time::Duration;

use crate::ids::ShardId;
use crate::limits::{Limits, TURN_OUTPUT_BYTES};
use crate::mesh::{Capacity, Frame, mesh_of};

use super::net::ClientEnd;
use super::world::{Plan, World};

const QUIET: &[u8] = b"CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// A world in which nothing is left to chance.
fn world(shards: usize, capacity: Capacity) -> World {
    let mut world = World::new(
        1,
        &Plan { shards, capacity, limits: Limits::default(), rules: Vec::new(), sealed: false },
    );
    world.eager = true;
    world
}

fn client(world: &mut World, shard: usize) -> usize {
    let socket = world.connect(shard, usize::MAX);
    world.sockets[socket].send(QUIET);
    world.settle();
    heard(world, socket);
    socket
}

fn say(world: &mut World, socket: usize, text: &str) {
    world.sockets[socket].send(text.as_bytes());
}

fn heard(world: &mut World, socket: usize) -> String {
    String::from_utf8(world.sockets[socket].read(usize::MAX)).expect("the server says text")
}

fn hang_up(world: &mut World, socket: usize, end: ClientEnd) {
    let World { sockets, rng, .. } = world;
    sockets[socket].hang_up(end, rng);
}

#[test]
fn input_that_waited_when_its_client_hung_up_is_carried_out() {
    let mut world = world(1, Capacity::of(1));
    let (publisher, subscriber) = (client(&mut world, 0), client(&mut world, 0));
    for sid in 0..20 {
        say(&mut world, subscriber, &format!("SUB a {sid}\r\n"));
    }
    world.settle();
    let body = "x".repeat(1000);
    let count = 3 * TURN_OUTPUT_BYTES / (20 * body.len());
    let input = format!("PUB a {}\r\n{body}\r\n", body.len()).repeat(count);
    say(&mut world, publisher, &input);
    hang_up(&mut world, publisher, ClientEnd::Finished);
    world.settle();
    assert_eq!(heard(&mut world, subscriber).matches("MSG a ").count(), 20 * count);
    assert_eq!(world.drivers[0].shard.connections(), 1, "then it is gone");
}

#[test]
fn who_only_stops_sending_is_told_the_rest() {
    let mut world = world(1, Capacity::of(1));
    let socket = client(&mut world, 0);
    say(&mut world, socket, "SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n");
    hang_up(&mut world, socket, ClientEnd::Finished);
    world.settle();
    assert!(heard(&mut world, socket).starts_with("MSG a 1 2\r\nhi\r\nPONG\r\n"));
    assert_eq!(world.drivers[0].shard.connections(), 0);
}

#[test]
fn a_name_is_free_once_its_subscription_had_its_last_message() {
    let mut world = world(1, Capacity::of(1));
    let socket = client(&mut world, 0);
    say(&mut world, socket, "SUB a 1\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\nSUB b 1\r\nPUB b 0\r\n\r\n");
    world.settle();
    assert_eq!(heard(&mut world, socket), "MSG a 1 0\r\n\r\nMSG b 1 0\r\n\r\n");
}

#[test]
fn an_expired_subscription_does_not_take_its_successor_along() {
    let mut world = world(1, Capacity::of(1));
    let socket = client(&mut world, 0);
    say(&mut world, socket, "SUB a 1\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\nUNSUB 1\r\nSUB b 2\r\n");
    world.settle();
    say(&mut world, socket, "PUB b 0\r\n\r\n");
    world.settle();
    assert_eq!(heard(&mut world, socket), "MSG a 1 0\r\n\r\nMSG b 2 0\r\n\r\n");
}

/// A requester on shard 0; on shard 1 a member of a group who leaves while the request is on its
/// way, and with `plain` somebody who is there to stay; on shard 2 a member who has left as well
/// when the request gets there.
fn a_group_that_leaves(plain: bool) -> String {
    let mut world = world(3, Capacity::of(3));
    let requester = client(&mut world, 0);
    let (first, second, listener) =
        (client(&mut world, 1), client(&mut world, 2), client(&mut world, 1));
    say(&mut world, requester, "SUB inbox 1\r\n");
    say(&mut world, first, "SUB a q 1\r\n");
    if plain {
        say(&mut world, listener, "SUB a 1\r\n");
    }
    world.settle();
    say(&mut world, requester, "PUB a inbox 0\r\n\r\n");
    assert!(world.turn(0));
    say(&mut world, second, "SUB a q 1\r\n");
    assert!(world.turn(2));
    say(&mut world, first, "UNSUB 1\r\n");
    world.drivers[1].shard.on_mesh();
    // What shard 1 took it carries out in its next turn, after UNSUB.
    assert!(world.turn(1));
    say(&mut world, second, "UNSUB 1\r\n");
    world.settle();
    heard(&mut world, requester)
}

#[test]
fn a_request_that_reached_nobody_on_its_way_is_answered() {
    assert_eq!(a_group_that_leaves(false).matches("NATS/1.0 503").count(), 1);
}

#[test]
fn a_request_that_somebody_got_is_not_refused_when_its_group_has_gone() {
    assert_eq!(a_group_that_leaves(true), "");
}

#[test]
fn interest_of_a_connection_that_fails_while_it_is_written_to_is_taken_back_at_once() {
    let capacity = Capacity { control_frames: 1, lane_bytes: 1000 };
    let mut world = world(2, capacity);
    let (publisher, subscriber) = (client(&mut world, 0), client(&mut world, 0));
    for sid in 0..10 {
        say(&mut world, subscriber, &format!("SUB a.{sid} {sid}\r\n"));
    }
    world.settle();
    assert_eq!(world.drivers[1].shard.exchange().interest.patterns(), 10);
    world.drivers[0].ignore(subscriber);
    hang_up(&mut world, subscriber, ClientEnd::Reset);
    // The first bytes after it has gone may still be taken.
    while world.drivers[0].shard.connections() > 1 {
        say(&mut world, publisher, "PUB a.1 0\r\n\r\n");
        world.settle();
    }
    assert_eq!(world.drivers[1].shard.exchange().interest.patterns(), 0);
}

#[test]
fn who_waits_behind_removals_goes_on_when_the_last_of_them_is_told() {
    let capacity = Capacity { control_frames: 1, lane_bytes: 1000 };
    let mut world = world(2, capacity);
    let (leaving, waiting) = (client(&mut world, 0), client(&mut world, 0));
    for sid in 0..3 {
        say(&mut world, leaving, &format!("SUB a.{sid} {sid}\r\n"));
    }
    world.settle();
    // The other shard does not take its turns: the lane fills up, and the removals wait.
    say(&mut world, waiting, "SUB b 1\r\n");
    assert!(world.turn(0));
    hang_up(&mut world, leaving, ClientEnd::Reset);
    assert!(world.turn(0));
    say(&mut world, waiting, "SUB c 2\r\nPING\r\n");
    assert!(world.turn(0));
    assert_eq!(world.drivers[0].shard.halts().count(), 1);
    world.settle();
    assert_eq!(world.drivers[0].shard.halts().count(), 0);
    assert!(heard(&mut world, waiting).starts_with("PONG\r\n"));
    assert_eq!(world.drivers[1].shard.exchange().interest.patterns(), 2);
}

#[test]
fn a_socket_that_blocks_again_and_again_has_one_timer() {
    let mut world = world(1, Capacity::of(1));
    let socket = client(&mut world, 0);
    let conn = world.drivers[0].connections().find(|(s, _)| *s == socket).expect("it is open").1;
    let armed = world.drivers[0].shard.exchange().timers.armed();
    let now = world.now;
    for step in 0..3000 {
        let now = now.after(Duration::from_millis(10 * step));
        let shard = &mut world.drivers[0].shard;
        shard.on_time(now);
        shard.on_bytes(now, conn, b"PING\r\n");
        let waiting = shard.outbox(conn).expect("it is open").queued();
        shard.on_blocked(now, conn);
        shard.on_writable(conn);
        shard.on_written(now, conn, waiting);
    }
    let armed_now = world.drivers[0].shard.exchange().timers.armed();
    assert!(armed_now <= armed + 1, "{armed_now} timers, {armed} before");
}

#[test]
fn a_busy_publisher_does_not_keep_frames_that_wait_from_their_lane() {
    let capacity = Capacity { control_frames: 8, lane_bytes: 200 };
    let mut ends = mesh_of(2, capacity);
    let mut receiver = ends.pop().expect("two ends");
    let mut peers = crate::engine::Peers::new(ends.pop().expect("two ends"));
    let (to, stalled) = (ShardId::new(1), Frame::Stalled { conn: crate::ids::ConnId::new(1, 1) });
    let fill = |peers: &mut crate::engine::Peers| {
        while peers.has_room(to) {
            assert!(peers.send_on(to, &stalled));
        }
    };
    fill(&mut peers);
    assert!(peers.send_on(to, &stalled));
    assert!(peers.backlog() > 0);
    for _ in 0..3 {
        peers.commit(&mut Vec::new());
        let lane = receiver.from[0].as_mut().expect("a lane from the other shard");
        while let Some(batch) = lane.messages.take() {
            let _ = lane.messages.give_back(batch);
        }
        peers.catch_up();
        fill(&mut peers);
    }
    assert_eq!(peers.backlog(), 0);
}
