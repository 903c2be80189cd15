//! Clients over TLS behind a proxy that says where they come from.

use super::*;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.9 4711 4222\r\n";

/// The binary form of the same.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c".to_vec();
    header.extend([192, 0, 2, 7, 198, 51, 100, 9]);
    header.extend(4711_u16.to_be_bytes());
    header.extend(4222_u16.to_be_bytes());
    header
}

#[test]
fn what_the_proxy_says_comes_before_the_handshake() {
    for program in programs() {
        for first in [false, true] {
            let more = if first { "verify: true, handshake_first: true" } else { "verify: true" };
            let served = Served::by(&program, more, "proxy_protocol: true");
            for header in [V1.to_vec(), v2()] {
                let mut tcp = served.plain();
                tcp.write_all(&header).expect("sent");
                if !first {
                    let info = line(&mut tcp);
                    assert!(!info.contains("127.0.0.1\",\"tls"), "{program}: {info}");
                }
                let own = served.authority.identity(|_| {});
                let mut link = served.shake(tcp, Some(own));
                assert!(link.enters(""), "{program} {first}: {}", served.server.log());
            }
            if program.has_shards() {
                served.logs("192.0.2.7:4711 - cid:");
            }
        }
    }
}

#[test]
fn a_header_and_a_hello_in_any_pieces() {
    let served = Served::by(&ringbus(2), "handshake_first: true", "proxy_protocol: true");
    for size in [1, 3, 7, 40, 4_000] {
        let tcp = served.plain();
        let twin = tcp.try_clone().expect("a socket");
        let mut link = served.shake(tcp, None);
        // The header and the first flight in pieces that know nothing of either.
        let mut flight = v2();
        link.0.conn.write_tls(&mut flight).expect("a hello");
        for piece in flight.chunks(size) {
            (&twin).write_all(piece).expect("sent");
        }
        assert!(link.enters(""), "{size}: {}", served.server.log());
    }
}

#[test]
fn one_without_a_header_comes_from_where_it_is() {
    let served = Served::by(&ringbus(1), "handshake_first: true", "proxy_protocol: true");
    let mut link = served.shake(served.plain(), None);
    assert!(link.enters(""));
    served.logs("127.0.0.1:");
}
