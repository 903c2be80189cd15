//! Clients whose network cuts what they say into small pieces, without regard to records: each
//! flight of a handshake, and everything behind it.

use std::io::copy;
use std::net::{Shutdown, TcpListener};
use std::thread;

use rustls::version::{TLS12, TLS13};

use super::*;

const PIECE_MAX: usize = 200;

/// Where a server can be reached through such a network. It answers in one piece.
fn in_pieces(address: SocketAddr, seed: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let relay = listener.local_addr().expect("an address");
    // Ends with the process, as those that it starts do with their connections.
    thread::spawn(move || {
        let (client, _) = listener.accept().expect("a client");
        let server = TcpStream::connect(address).expect("it listens");
        server.set_nodelay(true).expect("a socket");
        let (mut answers, mut back) = (&server, client.try_clone().expect("a socket"));
        thread::scope(|scope| {
            scope.spawn(|| cut(&client, &server, seed));
            let _ = copy(&mut answers, &mut back);
            let _ = back.shutdown(Shutdown::Both);
        });
    });
    relay
}

fn cut(mut from: &TcpStream, mut to: &TcpStream, seed: u64) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut buffer = [0; 16 << 10];
    while let Ok(count) = from.read(&mut buffer)
        && count > 0
    {
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let (piece, left) = rest.split_at(rng.usize(1..=rest.len().min(PIECE_MAX)));
            if to.write_all(piece).is_err() {
                return;
            }
            rest = left;
            // Long enough for the piece to be read alone.
            thread::sleep(Duration::from_millis(2));
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn handshakes_and_data_come_in_any_pieces() {
    for program in programs() {
        for first in [false, true] {
            let more = format!("verify: true, handshake_first: {first}");
            let served = Served::by(&program, &more, "");
            for (seed, version) in (0..4).flat_map(|seed| [(seed, &TLS12), (seed, &TLS13)]) {
                let relay = in_pieces(served.address(), seed);
                let mut tcp = TcpStream::connect(relay).expect("it listens");
                tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
                if !first {
                    assert!(line(&mut tcp).starts_with("INFO {"), "{program}");
                }
                let own = served.authority.identity(|_| {});
                let mut link = Link(served.authority.client(tcp, Some(version), Some(own)));
                let text = format!("{program} {first} {seed} {version:?}");
                assert!(link.enters(""), "{text}: {}", served.server.log());
                let payload = "x".repeat(6_000);
                link.says(&format!("SUB a 1\r\nPUB a 6000\r\n{payload}\r\nPING\r\n"));
                assert_eq!(next(&mut link), "MSG a 1 6000\r\n", "{text}");
                assert_eq!(next(&mut link), format!("{payload}\r\n"), "{text}");
                assert_eq!(next(&mut link), "PONG\r\n", "{text}");
            }
        }
    }
}

/// The next line that is neither INFO nor a PING.
fn next(link: &mut Link) -> String {
    loop {
        let text = line(&mut link.0);
        if text != "PING\r\n" && !text.starts_with("INFO {") {
            return text;
        }
    }
}
