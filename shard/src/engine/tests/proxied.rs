//! Connections through a proxy: whatever pieces its bytes come in, and when they do not come.

use super::*;
use crate::limits::PROXY_TIMEOUT;

fn proxied() -> Scene {
    Scene::new(Limits { proxied: Some(PROXY_TIMEOUT), ..Limits::default() })
}

const HEADER: &str = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 4222\r\n";
const SAID: &str = "CONNECT {\"verbose\":false,\"protocol\":1}\r\nPING\r\n";

/// The address by which the server knows a client.
fn address(scene: &Scene, conn: ConnId) -> String {
    scene.shard.sighting(conn).unwrap().keep().address.to_string()
}

#[test]
fn pieces_make_no_difference() {
    let binary = [
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x10".as_slice(),
        &[192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x67, 0x10, 0x7e, 4, 0, 1, 0xff],
    ]
    .concat();
    for header in [HEADER.as_bytes(), &binary] {
        let input = [header, SAID.as_bytes()].concat();
        for size in 1..=input.len() {
            let mut scene = proxied();
            let conn = scene.open();
            let greeting = scene.hears(conn);
            assert!(!greeting.contains("client_ip"), "{greeting}");
            for piece in input.chunks(size) {
                scene.shard.on_bytes(scene.now, conn, piece);
            }
            let said = scene.hears(conn);
            assert!(said.starts_with("PONG\r\nINFO"), "{size}: {said}");
            assert!(said.contains("\"client_ip\":\"192.0.2.7\""), "{said}");
            assert_eq!(address(&scene, conn), "192.0.2.7:4711");
        }
    }
}

#[test]
fn without_a_header_it_is_the_client_that_speaks() {
    for size in 1..=SAID.len() {
        let mut scene = proxied();
        let conn = scene.open();
        scene.hears(conn);
        for piece in SAID.as_bytes().chunks(size) {
            scene.shard.on_bytes(scene.now, conn, piece);
        }
        assert!(scene.hears(conn).starts_with("PONG\r\nINFO"), "{size}");
        assert_eq!(address(&scene, conn), "127.0.0.1:4000");
    }
}

fn closed_for(scene: &mut Scene) -> (Vec<String>, Option<CloseReason>) {
    let (mut faults, mut reason) = (Vec::new(), None);
    while let Some(event) = scene.shard.take_event() {
        match event.what {
            What::ProxyFault(fault) => faults.push(fault.to_string()),
            What::Closed(why) => reason = Some(why),
            _ => {}
        }
    }
    (faults, reason)
}

#[test]
fn a_proxy_that_says_too_little_is_let_go() {
    let declared = "\r\n\r\n\0\r\nQUIT\n\u{20}\0\u{7f}\u{7f}";
    for said in ["", "PROXY TCP4 ", declared] {
        let mut scene = proxied();
        let conn = scene.open();
        scene.hears(conn);
        scene.says(conn, said);
        scene.wait(PROXY_TIMEOUT - Duration::from_millis(10));
        assert_eq!(closed_for(&mut scene), (Vec::new(), None), "{said:?}");
        scene.wait(Duration::from_millis(20));
        let expected = vec!["timeout reading PROXY protocol header".to_owned()];
        assert_eq!(closed_for(&mut scene), (expected, Some(CloseReason::ProtocolViolation)));
        assert_eq!(scene.hears(conn), "", "without a word");
    }
}

#[test]
fn what_cannot_be_read_is_told_to_the_operator_alone() {
    let mut scene = proxied();
    let conn = scene.open();
    scene.hears(conn);
    scene.says(conn, "PROXY TCP5 192.0.2.7 198.51.100.1 4711 4222\r\nPING\r\n");
    let expected = vec!["invalid PROXY protocol header: invalid protocol TCP5".to_owned()];
    assert_eq!(closed_for(&mut scene), (expected, Some(CloseReason::ProtocolViolation)));
    scene.says(conn, "PING\r\n");
    assert_eq!(scene.hears(conn), "");
    scene.wait(PROXY_TIMEOUT * 2);
    assert_eq!(closed_for(&mut scene), (Vec::new(), None), "once is enough");
}

#[test]
fn a_seat_forgets_the_proxy_of_who_sat_there_before() {
    let mut scene = proxied();
    let first = scene.open();
    scene.says(first, "PROXY TCP4 19");
    scene.shard.on_hang_up(scene.now, first, CloseReason::ReadError);
    assert!(matches!(scene.shard.take_command(), Some(Command::Close(_))));
    scene.shard.on_released(first);
    let second = scene.open();
    assert_eq!(first.slot(), second.slot());
    scene.hears(second);
    scene.says(second, &format!("{HEADER}{SAID}"));
    assert!(scene.hears(second).starts_with("PONG"));
    assert_eq!(address(&scene, second), "192.0.2.7:4711");
    scene.wait(PROXY_TIMEOUT * 2);
    assert_eq!(closed_for(&mut scene).0, Vec::<String>::new());
}
