//! The server against clients that are slow, greedy, or no HTTP clients at all.

use std::io::Read;
use std::net::Ipv4Addr;

use super::*;

/// Answers with the path; with very much of it for `/large`.
struct Echo;

impl Answer for Echo {
    fn answer(&self, request: &Request) -> Response {
        if request.path == "/large" {
            return Response::of("text/plain", vec![b'x'; 8 << 20]);
        }
        Response::text(200, &request.path)
    }
}

struct Fixture {
    server: Server,
    address: SocketAddr,
}

fn fixture() -> Fixture {
    fixture_with(None)
}

fn fixture_with(tls: Option<tls::Shared>) -> Fixture {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    Fixture { server: Server::start(listener, tls, Box::new(Echo)).unwrap(), address }
}

impl Fixture {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Everything that comes back until the server hangs up.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // A server that has refused already need not take the rest.
        let _ = stream.write_all(bytes);
        rest(stream)
    }
}

fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let fixture = fixture();
    let answers = fixture.send(
        b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nHEAD /bcd HTTP/1.1\r\nHost: h\r\n\r\n\
          GET http://h/%65?x HTTP/1.1\r\nhost: h\r\nConnection: close\r\n\r\nGET /never",
    );
    let heads = answers.matches("HTTP/1.1 200 OK\r\n").count();
    assert_eq!(heads, 3, "{answers}");
    assert!(answers.contains("\r\n\r\n/aHTTP/1.1 "), "{answers}");
    assert!(answers.contains("Content-Length: 4\r\n\r\nHTTP/1.1"), "HEAD has no body: {answers}");
    assert!(answers.ends_with("Connection: close\r\n\r\n/e"), "{answers}");
    fixture.server.stop();
}

#[test]
fn what_is_no_request_is_refused_with_a_reason() {
    let fixture = fixture();
    let long_line = [b"GET /", vec![b'a'; 20_000].as_slice(), b" HTTP/1.1\r\n\r\n"].concat();
    let long_header = [b"GET / HTTP/1.1\r\nHost: h\r\nX: ", vec![b'a'; 20_000].as_slice()].concat();
    let many = format!("GET / HTTP/1.1\r\nHost: h\r\n{}\r\n", "A: b\r\n".repeat(100));
    let cases: [(&[u8], &str); 11] = [
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx", "405 Method Not Allowed"),
        (b"DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", "405 Method Not Allowed"),
        (b"GET / HTTP/1.1\r\n\r\n", "400 Bad Request"),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", "505 "),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400 Bad Request"),
        (b"CONNECT {\"verbose\":false}\r\nPING\r\n", "400 Bad Request"),
        (b"GET nowhere HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        (b"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400 Bad Request"),
        (&long_line, "414 URI Too Long"),
        (&long_header, "431 Request Header Fields Too Large"),
        (many.as_bytes(), "431 Request Header Fields Too Large"),
    ];
    for (bytes, status) in cases {
        let answer = fixture.send(bytes);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown:?}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{shown:?}: {answer}");
        assert!(!answer.ends_with("\r\n\r\n"), "no reason for {shown:?}: {answer}");
    }
    fixture.server.stop();
}

#[test]
fn a_head_that_trickles_in_is_cut_off() {
    let fixture = fixture();
    let mut stream = fixture.connect();
    let begin = Instant::now();
    let mut trickle = stream.try_clone().unwrap();
    let writer = thread::spawn(move || {
        for byte in b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ".iter().chain(&[b'a'; 1000]) {
            if trickle.write_all(&[*byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_millis(100));
        }
    });
    let mut head = [0; 20];
    stream.read_exact(&mut head).unwrap();
    let took = begin.elapsed();
    assert!(head.starts_with(b"HTTP/1.1 408 Request"), "{}", head.escape_ascii());
    assert!(took >= HEAD_TIME && took < HEAD_TIME * 2, "{took:?}");
    drop(stream);
    writer.join().unwrap();
    fixture.server.stop();
}

#[test]
fn connections_over_the_bound_are_told_so_and_leave_room_when_they_go() {
    let fixture = fixture();
    let busy: Vec<TcpStream> = (0..CONNECTIONS_MAX)
        .map(|_| {
            let mut stream = fixture.connect();
            stream.write_all(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\nGET /slow").unwrap();
            stream.read_exact(&mut [0; 15]).unwrap();
            stream
        })
        .collect();
    let answer = rest(fixture.connect());
    assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable"), "{answer}");
    drop(busy);
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let answer = fixture.send(b"GET /y HTTP/1.0\r\n\r\n");
        if answer.ends_with("/y") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
        thread::sleep(Duration::from_millis(20));
    }
    fixture.server.stop();
}

#[test]
fn idle_connections_make_room_when_it_gets_scarce() {
    let fixture = fixture();
    let idle: Vec<TcpStream> = (0..CONNECTIONS_MAX).map(|_| fixture.connect()).collect();
    let deadline = Instant::now() + Duration::from_secs(5);
    while !fixture.send(b"GET /y HTTP/1.0\r\n\r\n").ends_with("/y") {
        assert!(Instant::now() < deadline, "idle connections hold every place");
        thread::sleep(Duration::from_millis(50));
    }
    drop(idle);
    fixture.server.stop();
}

#[test]
fn a_large_response_arrives_whole() {
    let fixture = fixture();
    let answer = fixture.send(b"GET /large HTTP/1.0\r\n\r\n");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(body.len(), 8 << 20);
    fixture.server.stop();
}

/// A server and a client over TLS that know each other.
fn over_tls() -> (Fixture, rustls::StreamOwned<rustls::ClientConnection, TcpStream>) {
    use crate::tls::{Offer, pem};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = ("a.pem".as_ref(), "a.key".as_ref());
    let chain = pem::chain(cert, made.cert.pem().as_bytes()).unwrap();
    let secret = pem::key(key, made.signing_key.serialize_pem().as_bytes()).unwrap();
    let certificates = vec![pem::pair((cert, chain), (key, secret)).unwrap()];
    let timeout = Duration::from_secs(2);
    let offer = Offer { certificates, timeout, ..Offer::default() };
    let shared = tls::Shared::new(tls::Server::new(offer).unwrap());
    let fixture = fixture_with(Some(shared));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let tcp = fixture.connect();
    (fixture, rustls::StreamOwned::new(client, tcp))
}

#[test]
fn a_large_response_arrives_whole_over_tls_however_it_is_taken() {
    let (fixture, mut client) = over_tls();
    client.write_all(b"GET /large HTTP/1.0\r\n\r\n").unwrap();
    let (mut answer, mut chunk) = (Vec::new(), vec![0; 100_000]);
    loop {
        let count = client.read(&mut chunk).unwrap();
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..count]);
        if answer.len() % 7 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(answer.len() - end, 8 << 20);
    fixture.server.stop();
}

#[test]
fn keys_may_change_in_the_middle_of_a_request() {
    let (fixture, mut client) = over_tls();
    for piece in [&b"GET /a"[..], b" HTTP/1.1\r\n", b"Host: h\r\nConnection: close\r\n\r\n"] {
        client.write_all(piece).unwrap();
        client.conn.refresh_traffic_keys().unwrap();
        client.flush().unwrap();
    }
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n/a"), "{answer}");
    fixture.server.stop();
}

#[test]
fn media_types_are_weighed() {
    let likes = |accept: &str, kind: &str| {
        Request { accept: accept.to_owned(), ..Request::default() }.likes(kind)
    };
    assert_eq!(likes("text/html,*/*;q=0.1", "text/html"), 1000);
    assert_eq!(likes("text/html,*/*;q=0.1", "application/json"), 100);
    assert_eq!(likes("text/*;q=0.5", "text/html"), 500);
    assert_eq!(likes("text/html;q=0", "text/html"), 0);
    assert_eq!(likes("", "text/html"), 0);
    assert_eq!(likes("text/html;q=NaN", "text/html"), 0);
}

#[test]
fn random_bytes_never_get_further_than_a_refusal() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let good = b"GET /connz?limit=1&offset=%41 HTTP/1.1\r\nHost: h\r\nAccept: a/b;q=0.1\r\n\r\n";
    for _ in 0..20_000 {
        let mut bytes = good.to_vec();
        for _ in 0..=random() % 4 {
            let at = usize::try_from(random()).unwrap_or(0) % bytes.len();
            bytes[at] = u8::try_from(random() & 0xff).unwrap();
        }
        bytes.truncate(usize::try_from(random()).unwrap_or(0) % (bytes.len() + 1));
        match parse(&bytes) {
            Parsed::Request { len, request, .. } => {
                assert!(len <= bytes.len());
                let _ = request.likes("text/html");
            }
            Parsed::More => {}
            Parsed::Refused(response) => assert!(response.status >= 400),
        }
    }
}
