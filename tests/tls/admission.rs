//! Who gets in: by speaking TLS at all, in time, and not too many at once.

use super::*;

#[test]
fn who_does_not_speak_tls_is_told_so() {
    let served = Served::by(&ringbus(2), "timeout: 1", "");
    for begin in ["CONNECT {}\r\nPING\r\n", "PING\r\n", "GET / HTTP/1.0\r\n\r\n"] {
        let mut tcp = served.plain();
        let info = line(&mut tcp);
        assert!(info.contains("\"tls_required\":true"), "{info}");
        assert!(!info.contains("\"tls_available\""), "{info}");
        tcp.write_all(begin.as_bytes()).expect("sent");
        assert_eq!(rest(&mut tcp), "-ERR 'Secure Connection - TLS Required'\r\n", "{begin}");
    }
    // The same for one that says nothing, when its time is over.
    let begin = Instant::now();
    let told = rest(&mut served.plain());
    assert!(told.ends_with("-ERR 'Secure Connection - TLS Required'\r\n"), "{told}");
    assert!((900..3_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    served.logs("TLS handshake error: tls: first record does not look like a TLS handshake");
    served.logs("Client connection closed: TLS Handshake Failure");
}

#[test]
fn a_handshake_that_is_not_over_in_time_is_cut_off_while_others_are_served() {
    for program in programs() {
        let served = Served::by(&program, "timeout: 1", "");
        let address = served.address();
        let hello: &[u8] = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
        let slow: Vec<_> = (0..10)
            .map(|index| {
                std::thread::spawn(move || {
                    let (begin, mut tcp) =
                        (Instant::now(), TcpStream::connect(address).expect("it listens"));
                    tcp.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout");
                    line(&mut tcp);
                    // Byte by byte, or nothing after the first.
                    for byte in hello.iter().chain([b'a'; 400].iter()) {
                        if index % 2 == 0 && tcp.write_all(&[*byte]).is_err() {
                            break;
                        }
                        match tcp.read(&mut [0; 64]) {
                            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                            _ => break,
                        }
                    }
                    begin.elapsed()
                })
            })
            .collect();
        for _ in 0..5 {
            assert!(served.client(None).0.enters(""), "{program}");
        }
        for slow in slow {
            let took = slow.join().expect("it ended").as_millis();
            assert!((900..3_000).contains(&took), "{program}: {took} ms");
        }
        served.logs("Client connection closed: TLS Handshake Failure");
    }
}

#[test]
fn what_is_no_handshake_ends_its_own_connection_and_no_other() {
    let served = Served::by(&ringbus(2), "timeout: 2", "");
    let (mut other, _) = served.client(None);
    assert!(other.enters(""));
    let garbage: [&[u8]; 6] = [
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff\x01\x00\x00\x00",
        b"\x16\x03\x03\x00\x04\x0b\x00\x00\x00",
        b"\x16\x00\x00\x00\x01\x01",
        &[0x16; 70_000],
    ];
    for bytes in garbage {
        let mut tcp = served.plain();
        line(&mut tcp);
        // It may be over before all of it was sent.
        let _ = tcp.write_all(bytes);
        let (begin, _) = (Instant::now(), rest(&mut tcp));
        assert!(begin.elapsed() < PATIENCE);
        other.says("PING\r\n");
        assert_eq!(line(&mut other.0), "PONG\r\n");
    }
    // A message of a handshake that is never finished, after one that was: while it is written to.
    let log = served.server.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn who_may_do_without_does_without() {
    for program in programs() {
        let served = Served::by(&program, "", "allow_non_tls: true");
        let mut tcp = served.plain();
        let info = line(&mut tcp);
        assert!(info.contains("\"tls_available\":true"), "{program}: {info}");
        assert!(!info.contains("\"tls_required\""), "{program}: {info}");
        tcp.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("sent");
        assert_eq!(line(&mut tcp), "PONG\r\n", "{program}");
        assert!(served.client(None).0.enters(""), "{program}");
    }
}

#[test]
fn too_many_handshakes_within_a_second_are_put_off() {
    let served = Served::by(&ringbus(2), "connection_rate_limit: 3", "");
    let mut refused = 0;
    for _ in 0..10 {
        let mut tcp = served.plain();
        line(&mut tcp);
        let mut link = served.shake(tcp, None);
        refused += u64::from(!link.enters(""));
    }
    assert!((4..=7).contains(&refused), "{refused}");
    served.logs("connections due to TLS rate limiting");
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(served.client(None).0.enters(""));
}

#[test]
fn a_password_is_asked_for_after_the_handshake() {
    for program in programs() {
        let top = "authorization { user: ann, password: pass, timeout: 1 }";
        let served = Served::by(&program, "", top);
        let ann = ",\"user\":\"ann\",\"pass\":\"pass\"";
        assert!(served.client(None).0.enters(ann), "{program}");
        assert!(!served.client(None).0.enters(",\"user\":\"bob\""), "{program}");
        // Silence is told over TLS, too.
        let (mut silent, _) = served.client(None);
        let _ = silent.0.conn.complete_io(&mut silent.0.sock);
        assert!(rest(&mut silent.0).contains("-ERR 'Authentication Timeout'"), "{program}");
    }
}
