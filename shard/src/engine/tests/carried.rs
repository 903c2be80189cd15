//! Clients behind a transport, which is a toy here: how it begins, what is sealed and what is not,
//! and every way to end in between.

use super::*;
use crate::event::Insecure;
use crate::limits::{HANDSHAKE_BYTES_MAX, SEAL_BYTES};
use crate::transport::toy::{ToyClient, Toys};
use crate::transport::{Declined, Facts, Failure, First, Output, Terms, Transport, Transports};

const TIMEOUT: Duration = Duration::from_secs(2);
/// One that wants no second INFO.
const CONNECT: &str = "CONNECT {\"verbose\":false}\r\n";

const REFUSED: &[u8] = b"-ERR 'Secure Connection - TLS Required'\r\n";

fn terms(optional: bool, first: First) -> Terms {
    Terms { optional, first, timeout: TIMEOUT }
}

/// A shard whose clients get a toy.
fn scene(optional: bool, first: First) -> Scene {
    scene_with(optional, first, Limits::default())
}

fn scene_with(optional: bool, first: First, limits: Limits) -> Scene {
    let info = Info { headers: true, ..Info::default() };
    let options = Options {
        info,
        limits,
        authenticator: Arc::new(Open),
        accounts: Arc::default(),
        transports: Toys::shared(terms(optional, first)),
        trace: false,
        traced_payload_max: 0,
    };
    let endpoint = mesh(1).pop().unwrap();
    let shard = Shard::new(Arc::new(options), endpoint, Now::ZERO, 7);
    Scene { shard, now: Now::ZERO, clients: 0 }
}

impl Scene {
    fn sends(&mut self, conn: ConnId, bytes: &[u8]) {
        self.shard.on_bytes(self.now, conn, bytes);
        self.steps();
    }

    /// Does the steps of handshakes that wait to be done.
    fn steps(&mut self) {
        while let Some((conn, step)) = self.shard.take_handshake() {
            self.shard.on_handshake(self.now, conn, step.run());
        }
        self.shard.commit(&mut Vec::new());
    }

    /// What the socket is given, `most` bytes at a time, until nothing waits.
    fn given(&mut self, conn: ConnId, most: usize) -> Vec<u8> {
        let mut given = Vec::new();
        while self.shard.take_dirty().is_some() {}
        loop {
            let bytes: Vec<u8> = match self.shard.output(self.now, conn) {
                None => break,
                Some(Output::Plain(outbox)) => outbox.pieces(1000).flatten().copied().collect(),
                Some(Output::Sealed(bytes)) => {
                    assert!(bytes.len() <= SEAL_BYTES + SEAL_BYTES / 8, "{}", bytes.len());
                    bytes.to_vec()
                }
            };
            let count = bytes.len().min(most);
            given.extend_from_slice(&bytes[..count]);
            self.shard.on_written(self.now, conn, count);
        }
        self.shard.flushed();
        given
    }

    /// A client whose handshake is over.
    fn sealed_client(&mut self) -> (ConnId, ToyClient) {
        let (conn, mut toy) = (self.open(), ToyClient::new(0x5a));
        self.given(conn, usize::MAX);
        self.sends(conn, &toy.hello());
        let (plain, answer) = toy.take(&self.given(conn, usize::MAX));
        assert!(plain.is_empty() && toy.is_open());
        self.sends(conn, &answer);
        (conn, toy)
    }

    fn heard(&mut self, conn: ConnId, toy: &mut ToyClient) -> String {
        let given = self.given(conn, usize::MAX);
        String::from_utf8(toy.take(&given).0).unwrap()
    }

    fn why(&mut self) -> Vec<Insecure> {
        std::iter::from_fn(|| self.shard.take_event())
            .filter_map(|event| match event.what {
                What::Insecure(why) => Some(why),
                _ => None,
            })
            .collect()
    }
}

#[test]
fn info_is_in_clear_and_the_rest_is_sealed() {
    let mut scene = scene(false, First::No);
    let conn = scene.open();
    let mut toy = ToyClient::new(0x33);
    assert!(scene.given(conn, 7).starts_with(b"INFO {"));
    scene.sends(conn, &toy.hello());
    let (_, answer) = toy.take(&scene.given(conn, 1));
    scene.sends(conn, &[&answer[..], &toy.seal(CONNECT.as_bytes())].concat());
    assert_eq!(scene.given(conn, usize::MAX), b"", "nothing to say");
    scene.sends(conn, &toy.seal(b"SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n"));
    assert_eq!(scene.heard(conn, &mut toy), "MSG a 1 2\r\nhi\r\nPONG\r\n");
}

#[test]
fn bytes_come_and_go_in_any_pieces() {
    let mut scene = scene(false, First::No);
    let (conn, mut toy) = scene.sealed_client();
    let mut wire = toy.seal(format!("{CONNECT}SUB big 1\r\n").as_bytes());
    let payload = vec![b'x'; 200_000];
    let message = [b"PUB big 200000\r\n", &payload[..], b"\r\nPING\r\n"].concat();
    wire.extend(toy.seal(&message));
    let mut heard = Vec::new();
    for piece in wire.chunks(777) {
        for byte in piece.chunks(111) {
            scene.sends(conn, byte);
        }
        heard.extend(toy.take(&scene.given(conn, 1_234)).0);
    }
    let expected = [b"MSG big 1 200000\r\n", &payload[..], b"\r\nPONG\r\n"].concat();
    assert!(heard == expected, "{} of {} bytes", heard.len(), expected.len());
}

#[test]
fn a_socket_that_takes_no_more_holds_what_is_sealed_and_no_more() {
    let limits = Limits { pending: 1 << 20, ..Limits::default() };
    let mut scene = scene_with(false, First::No, limits);
    let (conn, toy) = scene.sealed_client();
    scene.sends(conn, &toy.seal(format!("{CONNECT}SUB a 1\r\n").as_bytes()));
    let publisher = scene.sealed_client();
    let message = [b"PUB a 100000\r\n", &vec![b'x'; 100_000][..], b"\r\n"].concat();
    let message = publisher.1.seal(&message);
    for _ in 0..5 {
        scene.sends(publisher.0, &message);
    }
    while scene.shard.take_dirty().is_some() {}
    let first = scene.shard.output(scene.now, conn).map(|output| match output {
        Output::Sealed(bytes) => bytes.to_vec(),
        Output::Plain(_) => panic!("it is in clear"),
    });
    let first = first.unwrap();
    scene.shard.on_written(scene.now, conn, first.len() - 1);
    scene.shard.on_blocked(scene.now, conn);
    // All of it still counts as waiting, and the deadline runs.
    assert!(scene.shard.outbox(conn).unwrap().queued() > 500_000);
    scene.wait(Duration::from_secs(9));
    assert_eq!(scene.ended(), []);
    // What is sealed is written first.
    match scene.shard.output(scene.now, conn) {
        Some(Output::Sealed(bytes)) => assert_eq!(bytes, &first[first.len() - 1..]),
        _ => panic!("nothing waits"),
    }
    scene.wait(Duration::from_secs(2));
    assert_eq!(scene.ended(), [CloseReason::SlowConsumerDeadline]);
    assert!(scene.shard.output(scene.now, conn).is_none() || scene.commands().len() == 1);
}

#[test]
fn who_does_not_begin_is_told_so() {
    let mut scene = scene(false, First::No);
    let plain = scene.open();
    scene.given(plain, usize::MAX);
    scene.sends(plain, b"CONNECT {}\r\n");
    assert_eq!(scene.given(plain, usize::MAX), REFUSED);
    assert_eq!(scene.why(), [Insecure::Plain]);
    let silent = scene.open();
    scene.given(silent, usize::MAX);
    scene.wait(TIMEOUT - Duration::from_millis(100));
    assert_eq!(scene.ended(), []);
    scene.wait(Duration::from_millis(200));
    assert_eq!(scene.given(silent, usize::MAX), REFUSED);
    assert_eq!(scene.ended(), [CloseReason::Handshake]);
}

#[test]
fn the_end_of_a_handshake_and_what_stands_behind_it_come_in_any_pieces() {
    let said = format!("{CONNECT}PING\r\nSUB a 1\r\nPUB a 2\r\nhi\r\n");
    for (size, at) in (1..12).flat_map(|size| (0..140).map(move |at| (size, at))) {
        let mut scene = scene(false, First::No);
        let (conn, mut toy) = (scene.open(), ToyClient::new(0x21));
        scene.given(conn, usize::MAX);
        scene.sends(conn, &toy.hello());
        let (_, mut last) = toy.take(&scene.given(conn, usize::MAX));
        for piece in said.as_bytes().chunks(size) {
            last.extend(toy.seal(piece));
        }
        let (head, tail) = last.split_at(at.min(last.len()));
        scene.sends(conn, head);
        scene.sends(conn, tail);
        assert_eq!(scene.heard(conn, &mut toy), "PONG\r\nMSG a 1 2\r\nhi\r\n", "{size} {at}");
    }
}

#[test]
fn one_that_stops_half_way_goes_without_a_word() {
    let mut scene = scene(false, First::No);
    let (conn, toy) = (scene.open(), ToyClient::new(1));
    scene.given(conn, usize::MAX);
    scene.sends(conn, &toy.hello()[..2]);
    scene.wait(TIMEOUT + Duration::from_millis(100));
    assert_eq!(scene.given(conn, usize::MAX), b"");
    assert_eq!(scene.why(), [Insecure::Timeout]);
}

#[test]
fn what_is_said_after_a_handshake_that_failed_is_the_alert_alone() {
    let mut scene = scene(false, First::No);
    let conn = scene.open();
    // It never read INFO, which comes first all the same.
    scene.sends(conn, b"\x16\x01\x07");
    scene.sends(conn, b"XXX");
    let given = scene.given(conn, usize::MAX);
    assert!(given.starts_with(b"INFO {") || given == b"\x16\x07\x15", "{}", given.escape_ascii());
    assert!(given.ends_with(b"\x16\x07\x15"), "{}", given.escape_ascii());
    assert_eq!(scene.why(), [Insecure::Failed("no hello".to_owned())]);
    assert!(matches!(scene.commands()[..], [Command::Finish(_)]));
}

#[test]
fn one_that_hangs_up_half_way_is_gone() {
    let mut scene = scene(false, First::No);
    for begin in [&b""[..], b"\x16", b"\x16\x01\x07"] {
        let conn = scene.open();
        scene.given(conn, usize::MAX);
        scene.shard.on_bytes(scene.now, conn, begin);
        // A step that is on its way finds nobody.
        scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
        scene.steps();
        scene.given(conn, usize::MAX);
        assert_eq!(scene.ended(), [CloseReason::Handshake]);
        scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
        let commands = scene.commands();
        assert!(commands.contains(&Command::Close(conn)), "{commands:?}");
        scene.shard.on_released(conn);
        assert_eq!(scene.shard.connections(), 0);
    }
}

#[test]
fn a_step_that_comes_back_late_meets_nobody_else() {
    let mut scene = scene(false, First::No);
    let conn = scene.open();
    scene.shard.on_bytes(scene.now, conn, b"\x16\x01\x07");
    let (of, step) = scene.shard.take_handshake().unwrap();
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ReadError);
    scene.wait(LINGER + CLOSE_FLUSH);
    scene.shard.on_released(conn);
    let next = scene.open();
    assert_eq!(next.slot(), conn.slot());
    scene.shard.on_handshake(scene.now, of, step.run());
    assert!(scene.given(next, usize::MAX).starts_with(b"INFO {"));
}

#[test]
fn who_is_read_from_too_fast_waits_while_a_step_is_done_elsewhere() {
    let mut scene = scene(false, First::No);
    let (conn, toy) = (scene.open(), ToyClient::new(9));
    scene.given(conn, usize::MAX);
    scene.sends(conn, &toy.hello());
    scene.given(conn, usize::MAX);
    // The end of the handshake, and much behind it, before anybody has looked.
    scene.shard.on_bytes(scene.now, conn, &toy.finished());
    let many = "PING\r\n".repeat(HANDSHAKE_BYTES_MAX / 6);
    let mut behind = toy.seal(CONNECT.as_bytes());
    behind.extend(toy.seal(many.as_bytes()));
    let step = scene.shard.take_handshake().unwrap();
    scene.shard.on_bytes(scene.now, conn, &behind);
    assert_eq!(scene.commands(), [Command::Pause(conn)]);
    scene.shard.on_handshake(scene.now, step.0, step.1.run());
    assert!(scene.commands().contains(&Command::Resume(conn)));
}

#[test]
fn input_of_a_handshake_is_bounded() {
    let mut scene = scene(false, First::No);
    let conn = scene.open();
    scene.given(conn, usize::MAX);
    scene.sends(conn, b"\x16\x01\x07");
    scene.given(conn, usize::MAX);
    // An empty rest keeps the toy waiting; a real one waits for the rest of a message.
    scene.sends(conn, &vec![0; HANDSHAKE_BYTES_MAX + 1]);
    assert_eq!(scene.ended(), [CloseReason::Handshake]);
}

#[test]
fn who_may_do_without_does_without() {
    let mut scene = scene(true, First::No);
    let conn = scene.open();
    assert!(scene.given(conn, usize::MAX).starts_with(b"INFO {"));
    scene.sends(conn, format!("{CONNECT}PING\r\n").as_bytes());
    assert_eq!(scene.given(conn, usize::MAX), b"PONG\r\n");
    // Silence is no handshake either.
    let silent = scene.open();
    scene.given(silent, usize::MAX);
    scene.wait(TIMEOUT + Duration::from_secs(1));
    assert_eq!(scene.ended(), []);
    scene.sends(silent, format!("{CONNECT}PING\r\n").as_bytes());
    assert_eq!(scene.given(silent, usize::MAX), b"PONG\r\n");
}

#[test]
fn info_comes_after_a_handshake_that_came_first() {
    let delay = Duration::from_millis(50);
    for first in [First::Yes, First::Within(delay)] {
        let mut scene = scene(false, first);
        let (conn, mut toy) = scene.sealed_client();
        assert!(scene.heard(conn, &mut toy).starts_with("INFO {"));
        let seen = scene.shard.sighting(conn).unwrap().keep();
        assert!(seen.secured.is_some_and(|facts| facts.first && facts.version == "toy"));
    }
    // Or before, where the client takes too long; and then it is as if it were never to come first.
    let mut scene = scene(false, First::Within(delay));
    let conn = scene.open();
    assert_eq!(scene.given(conn, usize::MAX), b"");
    scene.wait(delay + Duration::from_millis(10));
    assert!(scene.given(conn, usize::MAX).starts_with(b"INFO {"));
    let mut toy = ToyClient::new(3);
    scene.sends(conn, &toy.hello());
    let (_, answer) = toy.take(&scene.given(conn, usize::MAX));
    scene.sends(conn, &answer);
    scene.sends(conn, &toy.seal(b"PING\r\n"));
    assert_eq!(scene.heard(conn, &mut toy), "PONG\r\n");
    assert!(scene.shard.sighting(conn).unwrap().secured().is_some_and(|facts| !facts.first));
}

#[test]
fn the_end_is_told_both_ways() {
    let mut scene = scene(false, First::No);
    // Ours: the reason, then that there is no more.
    let (conn, mut toy) = scene.sealed_client();
    scene.sends(conn, &toy.seal(b"NONSENSE\r\n"));
    assert_eq!(scene.heard(conn, &mut toy), "-ERR 'Unknown Protocol Operation'\r\n");
    assert!(toy.ended);
    assert_eq!(scene.commands(), [Command::Finish(conn)]);
    // Without a reason.
    let (conn, mut toy) = scene.sealed_client();
    scene.shard.on_shutdown(scene.now);
    assert_eq!(scene.heard(conn, &mut toy), "");
    assert!(toy.ended);
    assert!(scene.commands().contains(&Command::Finish(conn)));
    // Theirs.
    let (conn, toy) = scene.sealed_client();
    let last = format!("{CONNECT}PUB a 1\r\nx\r\n");
    let last = [toy.seal(last.as_bytes()), ToyClient::end().to_vec()].concat();
    scene.ended();
    scene.sends(conn, &last);
    assert_eq!(scene.ended(), [CloseReason::ClientClosed]);
    assert!(!scene.commands().contains(&Command::Close(conn)));
    assert_eq!(scene.given(conn, usize::MAX), ToyClient::end());
    assert!(scene.commands().contains(&Command::Close(conn)));
    // Neither: something that is no record.
    let (conn, _) = scene.sealed_client();
    scene.sends(conn, b"PING\r\n");
    assert_eq!(scene.ended(), [CloseReason::ReadError]);
}

#[test]
fn what_a_client_sent_before_it_hung_up_is_carried_out() {
    let mut scene = scene(false, First::No);
    let (listener, mut ears) = scene.sealed_client();
    scene.sends(listener, &ears.seal(format!("{CONNECT}SUB a 1\r\n").as_bytes()));
    let (conn, mut toy) = (scene.open(), ToyClient::new(0x21));
    scene.given(conn, usize::MAX);
    scene.sends(conn, &toy.hello());
    let (_, mut last) = toy.take(&scene.given(conn, usize::MAX));
    last.extend(toy.seal(format!("{CONNECT}PUB a 2\r\nhi\r\n").as_bytes()));
    // All at once, while the last step of the handshake is done elsewhere.
    scene.shard.on_bytes(scene.now, conn, &last);
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
    assert_eq!(scene.ended(), []);
    scene.steps();
    assert_eq!(scene.ended(), [CloseReason::ClientClosed]);
    assert_eq!(scene.heard(listener, &mut ears), "MSG a 1 2\r\nhi\r\n");
}

#[test]
fn one_that_says_it_is_done_still_hears_what_waits_for_it() {
    let mut scene = scene(false, First::No);
    let (conn, mut toy) = scene.sealed_client();
    scene.sends(conn, &toy.seal(format!("{CONNECT}SUB a 1\r\n").as_bytes()));
    let ping = [toy.seal(b"PUB a 2\r\nhi\r\nPING\r\n"), ToyClient::end().to_vec()].concat();
    scene.sends(conn, &ping);
    // Its socket says the same once more. Only a third time is something new.
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
    assert!(scene.commands().is_empty());
    assert_eq!(scene.heard(conn, &mut toy), "MSG a 1 2\r\nhi\r\nPONG\r\n");
    assert!(toy.ended);
    assert_eq!(scene.commands(), [Command::Close(conn)]);

    let (conn, toy) = scene.sealed_client();
    let ping = [toy.seal(format!("{CONNECT}PING\r\n").as_bytes()), vec![0x15]].concat();
    scene.sends(conn, &ping);
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
    assert!(scene.commands().contains(&Command::Close(conn)));
}

#[test]
fn one_that_says_it_is_done_while_its_input_waits_still_hears_what_follows_from_it() {
    let mut scene = scene(false, First::No);
    scene.change(|options| options.authenticator = judging::slow("p"));
    let (conn, mut toy) = scene.sealed_client();
    let connect = "CONNECT {\"verbose\":false,\"user\":\"ann\",\"pass\":\"p\"}\r\nPING\r\n";
    scene.sends(conn, &[toy.seal(connect.as_bytes()), ToyClient::end().to_vec()].concat());
    scene.shard.on_hang_up(scene.now, conn, CloseReason::ClientClosed);
    assert_eq!(scene.ended(), []);
    assert_eq!(scene.finish_all(), 1);
    assert_eq!(scene.heard(conn, &mut toy), "PONG\r\n");
    assert!(toy.ended);
    assert_eq!(scene.ended(), [CloseReason::ClientClosed]);
}

/// Lets nobody in whose handshake began with others, or everybody.
struct Others(Terms, Result<(), Failure>);

impl Transports for Others {
    fn terms(&self) -> Terms {
        self.0
    }

    fn accept(&self, _: Now) -> Result<Box<dyn Transport>, Declined> {
        Err(Declined::Throttled)
    }

    fn readmits(&self, _: &Facts) -> Result<(), Failure> {
        self.1.clone()
    }
}

#[test]
fn a_handshake_that_was_under_way_at_a_reload_is_judged_by_the_new_terms() {
    for (admits, changes) in [(true, true), (false, true), (true, false)] {
        let mut scene = scene(false, First::No);
        let (conn, mut toy) = (scene.open(), ToyClient::new(0x44));
        scene.given(conn, usize::MAX);
        scene.sends(conn, &toy.hello());
        let (_, answer) = toy.take(&scene.given(conn, usize::MAX));
        let verdict = if admits { Ok(()) } else { Err(Failure("not you".to_owned())) };
        scene.change(|options| {
            options.limits.payload = 77;
            if changes {
                options.transports = Some(Arc::new(Others(terms(false, First::No), verdict)));
            }
        });
        scene.sends(conn, &[&answer[..], &toy.seal(b"PING\r\n")].concat());
        let heard = scene.heard(conn, &mut toy);
        if admits {
            assert_eq!((heard.as_str(), toy.ended), ("PONG\r\n", false));
        } else {
            assert_eq!((heard.as_str(), toy.ended), ("", true));
            assert_eq!(scene.why(), [Insecure::Stale("not you".to_owned())]);
        }
    }
}

#[test]
fn a_reload_during_a_handshake_starts_no_clock() {
    let mut scene = scene(false, First::No);
    let (conn, mut toy) = (scene.open(), ToyClient::new(0x44));
    scene.given(conn, usize::MAX);
    scene.change(|options| {
        options.authenticator = Arc::new(Shut);
        options.limits.auth_timeout = Duration::from_secs(1);
        options.limits.ping_interval = Duration::from_secs(1);
    });
    scene.wait(Duration::from_millis(1_500));
    scene.sends(conn, &toy.hello());
    let (_, answer) = toy.take(&scene.given(conn, usize::MAX));
    scene.sends(conn, &answer);
    scene.wait(Duration::from_millis(900));
    assert_eq!(scene.ended(), []);
    scene.wait(Duration::from_millis(200));
    assert_eq!(scene.ended(), [CloseReason::AuthenticationTimeout]);
    assert!(scene.heard(conn, &mut toy).ends_with("-ERR 'Authentication Timeout'\r\n"));
}

#[test]
fn one_that_waited_for_a_handshake_that_fails_is_read_from_again() {
    for refused in [false, true] {
        let mut scene = scene(false, First::No);
        let conn = scene.open();
        scene.given(conn, usize::MAX);
        scene.shard.on_bytes(scene.now, conn, b"\x16\x01\x07");
        let (of, step) = scene.shard.take_handshake().unwrap();
        assert!(step.is_first());
        scene.shard.on_bytes(scene.now, conn, &vec![0; HANDSHAKE_BYTES_MAX + 1]);
        assert_eq!(scene.commands(), [Command::Pause(conn)]);
        if refused {
            scene.shard.on_handshake(scene.now, of, step.refused());
            assert_eq!(scene.why(), [Insecure::Crowded]);
            assert_eq!(scene.shard.stats().handshakes_refused, 1);
        } else {
            // Nobody comes back in time.
            scene.wait(TIMEOUT);
        }
        assert_eq!(scene.commands().first(), Some(&Command::Resume(conn)));
    }
}

#[test]
fn who_is_one_too_many_is_told_info_only_where_that_comes_first() {
    let told = b"-ERR 'maximum connections exceeded'\r\n";
    for (first, greeted) in [(First::No, true), (First::Yes, false)] {
        let mut scene = scene(false, first);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let peer = Peer { client: ClientId::new(1), address };
        let conn = scene.shard.on_open_refused(scene.now, peer);
        let given = scene.given(conn, usize::MAX);
        assert!(given.ends_with(told) && given.starts_with(b"INFO {") == greeted);
        assert!(greeted || given == told);
        assert_eq!(scene.ended(), [CloseReason::MaxConnections]);
    }
}
