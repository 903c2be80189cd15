//! What one shard says to its clients, on a clock that jumps: limits that no flag reaches, timers,
//! and the ways a connection ends.

mod carried;
mod crossings;
mod internal;
mod judging;
mod options;
mod permissions;
mod places;
mod proxied;
mod sharing;
mod standing;
mod stretch;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Command, Shard};
use crate::clock::Now;
use crate::error::CloseReason;
use crate::event::What;
use crate::ids::{ClientId, ConnId};
use crate::interest::Delta;
use crate::limits::{CLOSE_FLUSH, LINGER, Limits, TURN_OUTPUT_BYTES_MAX};
use crate::mesh::{Capacity, Endpoint, mesh, mesh_of};
use crate::options::{Authenticator, Grant, Offer, Open, Options, Refusal, Verdict};
use crate::session::Peer;
use crate::wire::info::Info;

const CONNECT: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\n";

/// Lets nobody in.
struct Shut;

impl Authenticator for Shut {
    fn required(&self) -> bool {
        true
    }

    fn judge(&self, _: &Offer<'_>) -> Verdict {
        Verdict::Refused(Refusal::Credentials)
    }
}

/// One shard, and the clock.
struct Scene {
    shard: Shard,
    now: Now,
    clients: u64,
}

impl Scene {
    fn new(limits: Limits) -> Self {
        Self::with(limits, Arc::new(Open))
    }

    fn with(limits: Limits, authenticator: Arc<dyn Authenticator>) -> Self {
        Self::at(mesh(1).pop().unwrap(), limits, authenticator)
    }

    fn at(
        endpoint: Endpoint<Delta>,
        limits: Limits,
        authenticator: Arc<dyn Authenticator>,
    ) -> Self {
        let info = Info { headers: true, ..Info::default() };
        let options = Options {
            info,
            limits,
            authenticator,
            accounts: Arc::default(),
            transports: None,
            trace: false,
            traced_payload_max: 0,
        };
        let shard = Shard::new(Arc::new(options), endpoint, Now::ZERO, 7);
        Self { shard, now: Now::ZERO, clients: 0 }
    }

    /// Clients that want everything on `wide`.
    fn wide(&mut self, count: usize) -> Vec<ConnId> {
        let mut conns = Vec::new();
        for _ in 0..count {
            let conn = self.client();
            self.says(conn, "SUB wide 1\r\n");
            conns.push(conn);
        }
        conns
    }

    fn queued(&self, conns: &[ConnId]) -> usize {
        conns.iter().map(|conn| self.shard.outbox(*conn).unwrap().queued()).sum()
    }

    fn open(&mut self) -> ConnId {
        self.clients += 1;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let peer = Peer { client: ClientId::new(self.clients), address };
        self.shard.on_open(self.now, peer)
    }

    /// A client that has said CONNECT; what it was told so far is gone.
    fn client(&mut self) -> ConnId {
        let conn = self.open();
        self.says(conn, CONNECT);
        self.hears(conn);
        conn
    }

    fn says(&mut self, conn: ConnId, text: &str) {
        self.shard.on_bytes(self.now, conn, text.as_bytes());
        self.shard.commit(&mut Vec::new());
    }

    /// What waits for a client; its socket takes it all.
    fn hears(&mut self, conn: ConnId) -> String {
        let pieces = self.shard.outbox(conn).into_iter().flat_map(|outbox| outbox.pieces(1000));
        let bytes: Vec<u8> = pieces.flatten().copied().collect();
        while self.shard.take_dirty().is_some() {}
        self.shard.flushed();
        self.shard.on_written(self.now, conn, bytes.len());
        String::from_utf8(bytes).unwrap()
    }

    /// Time passes, in steps of a shard that wakes when something is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now.after(time);
        while self.now < end {
            let next = self.shard.next_deadline(self.now).map(|delay| self.now.after(delay));
            self.now = next
                .map_or(end, |next| next.min(end).max(self.now.after(Duration::from_millis(1))));
            self.shard.on_time(self.now);
        }
    }

    fn commands(&mut self) -> Vec<Command> {
        std::iter::from_fn(|| self.shard.take_command()).collect()
    }

    fn ended(&mut self) -> Vec<CloseReason> {
        std::iter::from_fn(|| self.shard.take_event())
            .filter_map(|event| match event.what {
                What::Closed(reason) => Some(reason),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn one_subscription_too_many_is_refused_and_nothing_else() {
    let mut scene = Scene::new(Limits { subscriptions: Some(2), ..Limits::default() });
    let conn = scene.client();
    scene.says(conn, "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPING\r\n");
    let heard = scene.hears(conn);
    assert!(heard.starts_with("-ERR 'maximum subscriptions exceeded'\r\nPONG\r\n"), "{heard}");
    scene.says(conn, "UNSUB 1\r\nSUB c 3\r\nPUB c 1\r\nx\r\n");
    assert_eq!(scene.hears(conn), "MSG c 3 1\r\nx\r\n");
    assert!(scene.ended().is_empty());
}

#[test]
fn a_pattern_of_too_many_tokens_is_refused() {
    let mut scene = Scene::new(Limits { subscription_tokens: Some(2), ..Limits::default() });
    let conn = scene.client();
    scene.says(conn, "SUB a.b 1\r\nSUB a.b.c 2\r\n");
    let told = "-ERR 'Permissions Violation for Subscription to \"a.b.c\", too many tokens'\r\n";
    assert_eq!(scene.hears(conn), told);
}

#[test]
fn a_client_that_is_one_too_many_is_told_after_info() {
    let mut scene = Scene::new(Limits::default());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
    let peer = Peer { client: ClientId::new(1), address };
    let conn = scene.shard.on_open_refused(scene.now, peer);
    let heard = scene.hears(conn);
    assert!(heard.starts_with("INFO {"), "{heard}");
    assert!(heard.ends_with("-ERR 'maximum connections exceeded'\r\n"), "{heard}");
    assert_eq!(scene.commands(), [Command::Finish(conn)]);
    assert_eq!(scene.ended(), [CloseReason::MaxConnections]);
}

#[test]
fn a_silent_client_is_pinged_and_then_found_stale() {
    let limits = Limits { ping_interval: Duration::from_secs(10), ..Limits::default() };
    let mut scene = Scene::new(limits);
    let conn = scene.client();
    scene.wait(Duration::from_millis(1900));
    assert_eq!(scene.hears(conn), "", "the first PING is not before 2 s");
    scene.wait(Duration::from_millis(600));
    assert_eq!(scene.hears(conn), "PING\r\n", "the first PING comes early");
    scene.wait(Duration::from_secs(10));
    assert_eq!(scene.hears(conn), "PING\r\n");
    scene.wait(Duration::from_secs(10));
    assert_eq!(scene.hears(conn), "-ERR 'Stale Connection'\r\n");
    assert_eq!(scene.ended(), [CloseReason::Stale]);
    assert_eq!(scene.shard.stats().stale, 1);
}

#[test]
fn a_client_that_talks_or_answers_stays() {
    let limits = Limits { ping_interval: Duration::from_secs(10), ..Limits::default() };
    let mut scene = Scene::new(limits);
    let (talker, listener) = (scene.client(), scene.client());
    let mut pings = 0;
    for _ in 0..20 {
        scene.wait(Duration::from_secs(3));
        scene.says(talker, "PUB x 0\r\n\r\n");
        if scene.hears(listener).contains("PING") {
            scene.says(listener, "PONG\r\n");
        }
        pings += scene.hears(talker).matches("PING").count();
    }
    assert!(scene.ended().is_empty());
    assert_eq!(pings, 1, "a client that talks is asked once, for its round trip");
}

#[test]
fn who_must_say_who_he_is_has_only_so_long() {
    let mut scene = Scene::with(Limits::default(), Arc::new(Shut));
    let conn = scene.open();
    scene.hears(conn);
    scene.wait(Duration::from_millis(1900));
    assert_eq!(scene.hears(conn), "");
    scene.wait(Duration::from_millis(200));
    assert_eq!(scene.hears(conn), "-ERR 'Authentication Timeout'\r\n");
    assert_eq!(scene.ended(), [CloseReason::AuthenticationTimeout]);
}

#[test]
fn what_waits_must_be_taken_within_the_write_deadline() {
    let mut scene = Scene::new(Limits::default());
    let conn = scene.client();
    scene.says(conn, "PING\r\n");
    while scene.shard.take_dirty().is_some() {}
    scene.shard.on_blocked(scene.now, conn);
    scene.wait(Duration::from_secs(9));
    assert!(scene.ended().is_empty());
    scene.wait(Duration::from_secs(2));
    assert_eq!(scene.ended(), [CloseReason::SlowConsumerDeadline]);
    assert_eq!(scene.commands(), [Command::Close(conn)], "nothing more is written to it");
    assert_eq!(scene.shard.stats().slow_deadline, 1);
}

#[test]
fn a_socket_that_takes_what_waited_meets_the_deadline_though_more_came() {
    let mut scene = Scene::new(Limits::default());
    let conn = scene.client();
    for _ in 0..10 {
        scene.says(conn, "PING\r\nPING\r\n");
        while scene.shard.take_dirty().is_some() {}
        scene.shard.on_blocked(scene.now, conn);
        scene.wait(Duration::from_secs(3));
        let queued = scene.shard.outbox(conn).unwrap().queued();
        scene.shard.on_written(scene.now, conn, queued - 6);
        scene.shard.on_writable(conn);
    }
    assert!(scene.ended().is_empty());
}

#[test]
fn more_than_may_wait_ends_the_receiver_and_not_the_publisher() {
    let mut scene = Scene::new(Limits { pending: 1000, ..Limits::default() });
    let (slow, publisher) = (scene.client(), scene.client());
    scene.says(slow, "SUB flood 1\r\n");
    for _ in 0..20 {
        scene.says(publisher, &format!("PUB flood 100\r\n{}\r\n", "x".repeat(100)));
        scene.wait(Duration::from_millis(20));
    }
    assert_eq!(scene.ended(), [CloseReason::SlowConsumerPending]);
    assert_eq!(scene.commands(), [Command::Close(slow)]);
    scene.says(publisher, "PING\r\n");
    assert!(scene.hears(publisher).starts_with("PONG\r\n"));
}

#[test]
fn a_publisher_waits_for_receivers_that_are_behind_unless_told_not_to() {
    for (stalls, counted) in [(true, 1), (false, 0)] {
        let mut scene = Scene::new(Limits { pending: 1000, stalls, ..Limits::default() });
        let (slow, publisher) = (scene.client(), scene.client());
        scene.says(slow, "SUB flood 1\r\n");
        let message = format!("PUB flood 100\r\n{}\r\n", "x".repeat(100));
        scene.says(publisher, &message.repeat(7));
        scene.says(publisher, &message);
        assert_eq!(scene.shard.stats().stalls, counted, "stalls: {stalls}");
        assert!(scene.ended().is_empty());
    }
}

#[test]
fn an_error_is_written_and_the_peer_may_hang_up_first() {
    let mut scene = Scene::new(Limits::default());
    let conn = scene.client();
    scene.says(conn, "NONSENSE\r\n");
    assert_eq!(scene.commands(), [], "the error is written first");
    assert_eq!(scene.hears(conn), "-ERR 'Unknown Protocol Operation'\r\n");
    assert_eq!(scene.commands(), [Command::Finish(conn)]);
    scene.says(conn, "PING\r\n");
    assert_eq!(scene.hears(conn), "", "what still arrives is thrown away");
    scene.wait(LINGER + Duration::from_millis(10));
    assert_eq!(scene.commands(), [Command::Close(conn)]);
    scene.shard.on_released(conn);
    assert_eq!(scene.shard.connections(), 0);
}

#[test]
fn an_error_that_nobody_takes_does_not_keep_a_connection() {
    let mut scene = Scene::new(Limits::default());
    let conn = scene.client();
    scene.says(conn, "NONSENSE\r\n");
    while scene.shard.take_dirty().is_some() {}
    scene.shard.on_blocked(scene.now, conn);
    scene.wait(CLOSE_FLUSH + Duration::from_millis(10));
    assert_eq!(scene.commands(), [Command::Close(conn)]);
}

#[test]
fn lame_duck_is_told_to_those_who_read_info_at_any_time() {
    let mut scene = Scene::new(Limits::default());
    let (new, old, silent) = (scene.client(), scene.open(), scene.open());
    scene.says(old, "CONNECT {\"verbose\":false,\"protocol\":0}\r\n");
    scene.hears(old);
    scene.hears(silent);
    scene.shard.on_lame_duck();
    let heard = scene.hears(new);
    assert!(heard.starts_with("INFO {") && heard.contains("\"ldm\":true"), "{heard}");
    assert_eq!(scene.hears(old), "");
    assert_eq!(scene.hears(silent), "");
}

#[test]
fn a_shutdown_writes_what_waits_and_closes_everybody() {
    let mut scene = Scene::new(Limits::default());
    let (idle, busy) = (scene.client(), scene.client());
    scene.says(busy, "PING\r\n");
    scene.shard.on_shutdown(scene.now);
    assert_eq!(scene.commands(), [Command::Finish(idle)]);
    assert!(scene.hears(busy).starts_with("PONG\r\n"));
    assert_eq!(scene.commands(), [Command::Finish(busy)]);
    assert_eq!(scene.ended(), [CloseReason::ServerShutdown; 2]);
}

/// 100 messages to 1000 receivers, 48 MB in all.
const WIDE: usize = 1000;
const WIDE_MSGS: usize = 100;

fn wide_messages() -> String {
    format!("PUB wide 480\r\n{}\r\n", "x".repeat(480)).repeat(WIDE_MSGS)
}

/// What waits is written turn by turn, and never more than a turn may queue. Returns how many turns
/// that took.
fn write_by_turns(scene: &mut Scene, receivers: &[ConnId]) -> usize {
    let wanted = WIDE * WIDE_MSGS * "MSG wide 1 480\r\n\r\n".len() + WIDE * WIDE_MSGS * 480;
    let (mut total, mut turns) = (0, 0);
    while total < wanted {
        turns += 1;
        let queued = scene.queued(receivers);
        assert!(queued <= TURN_OUTPUT_BYTES_MAX + WIDE * 500, "{queued} bytes at once");
        assert!(queued > 0, "{total} of {wanted} bytes came");
        total += queued;
        receivers.iter().for_each(|conn| drop(scene.hears(*conn)));
        scene.shard.on_batches(scene.now);
        scene.shard.on_turn(scene.now);
        scene.shard.commit(&mut Vec::new());
    }
    assert!(!scene.shard.on_turn(scene.now), "nothing is left to do");
    turns
}

#[test]
fn a_wide_fan_out_is_written_before_it_fills_the_memory() {
    let mut scene = Scene::new(Limits::default());
    let receivers = scene.wide(WIDE);
    let publisher = scene.client();
    scene.says(publisher, &wide_messages());
    assert!(write_by_turns(&mut scene, &receivers) > 1);
}

#[test]
fn a_wide_fan_out_from_another_shard_is_written_before_it_fills_the_memory() {
    let mut endpoints = mesh(2).into_iter();
    let mut there = Scene::at(endpoints.next().unwrap(), Limits::default(), Arc::new(Open));
    let mut here = Scene::at(endpoints.next().unwrap(), Limits::default(), Arc::new(Open));
    let receivers = here.wide(WIDE);
    there.shard.on_mesh();
    let publisher = there.client();
    there.says(publisher, &wide_messages());
    here.shard.on_mesh();
    here.shard.on_batches(here.now);
    assert!(here.shard.on_turn(here.now), "the turn is over, the batch is not");
    assert!(write_by_turns(&mut here, &receivers) > 1);
}

/// Two shards with lanes of next to no room, and what one of them does turn by turn while the other
/// takes what it is sent.
fn turns(greedy: impl Fn(usize) -> String, modest: &str, wanted: &str) -> usize {
    let capacity = Capacity { control_frames: 4, lane_bytes: 256 };
    let mut endpoints = mesh_of(2, capacity).into_iter();
    let mut here = Scene::at(endpoints.next().unwrap(), Limits::default(), Arc::new(Open));
    let mut there = Scene::at(endpoints.next().unwrap(), Limits::default(), Arc::new(Open));
    let receiver = there.client();
    there.says(receiver, "SUB to.> 1\r\n");
    here.shard.on_mesh();
    let (first, second, patient) = (here.client(), here.client(), here.client());
    for turn in 0..100 {
        here.shard.on_mesh();
        here.says(first, &greedy(2 * turn));
        here.says(second, &greedy(2 * turn + 1));
        here.shard.on_turn(here.now);
        if turn == 1 {
            here.says(patient, modest);
        }
        here.shard.commit(&mut Vec::new());
        there.shard.on_mesh();
        there.shard.on_batches(there.now);
        there.shard.on_turn(there.now);
        there.shard.commit(&mut Vec::new());
        if here.hears(patient).contains(wanted) || there.hears(receiver).contains(wanted) {
            return turn;
        }
    }
    panic!("{modest:?} was never carried out");
}

#[test]
fn a_subscription_waits_for_its_turn_and_not_for_those_who_always_have_more() {
    let greedy = |n| (0..50).map(|i| format!("SUB a.{n}.{i} {n}.{i}\r\n")).collect();
    let taken = turns(greedy, "SUB mine 1\r\nPING\r\n", "PONG\r\n");
    assert!(taken <= 5, "{taken} turns");
}

#[test]
fn a_message_waits_for_its_turn_and_not_for_those_who_always_have_more() {
    let greedy = |n| (0..50).map(|i| format!("PUB to.{n}.{i} 4\r\nmore\r\n")).collect();
    let taken = turns(greedy, "PUB to.you 4\r\nmine\r\n", "mine\r\n");
    assert!(taken <= 5, "{taken} turns");
}
