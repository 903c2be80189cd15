//! Handshakes that come before INFO.

use super::*;

#[test]
fn info_comes_after_the_handshake() {
    for program in programs() {
        for first in ["true", "\"auto\"", "\"3s\""] {
            let more = format!("handshake_first: {first}");
            let served = Served::by(&program, &more, "");
            let mut link = served.shake(served.plain(), None);
            link.0.flush().expect("a handshake");
            let info = line(&mut link.0);
            assert!(info.starts_with("INFO {") && info.contains("\"tls_required\":true"), "{info}");
            assert!(link.enters(""), "{program} {first}");
        }
    }
}

#[test]
fn who_waits_for_info_gets_it_where_that_is_allowed() {
    for program in programs() {
        let served = Served::by(&program, "handshake_first: \"auto\"", "");
        let (mut link, info) = served.client(None);
        assert!(info.contains("\"tls_required\":true"), "{program}: {info}");
        assert!(link.enters(""), "{program}");

        // Without TLS at all, where that is allowed, too.
        let more = "handshake_first: \"100ms\", timeout: 1";
        let served = Served::by(&program, more, "allow_non_tls: true");
        let (begin, mut tcp) = (Instant::now(), served.plain());
        let info = line(&mut tcp);
        assert!(begin.elapsed() > Duration::from_millis(90), "{program}: {:?}", begin.elapsed());
        assert!(info.contains("\"tls_available\":true"), "{program}: {info}");
        tcp.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("sent");
        assert_eq!(line(&mut tcp), "PONG\r\n", "{program}");
    }
}

#[test]
fn who_waits_for_info_waits_in_vain_where_it_is_not() {
    let served = Served::by(&ringbus(2), "handshake_first: true, timeout: 1", "");
    served.logs("Clients that are not using \"TLS Handshake First\" option will fail to connect");
    let begin = Instant::now();
    let told = rest(&mut served.plain());
    assert_eq!(told, "-ERR 'Secure Connection - TLS Required'\r\n");
    assert!((900..3_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    let mut tcp = served.plain();
    tcp.write_all(b"CONNECT {}\r\n").expect("sent");
    assert_eq!(rest(&mut tcp), "-ERR 'Secure Connection - TLS Required'\r\n");
}
