//! A server of claims, which is asked over HTTP: its address with the public key of an account
//! behind it.
//!
//! One connection for each question, closed by the answer; an account is asked for when the first
//! of its users connects, and then when its claims have expired.

#![deny(clippy::indexing_slicing)]

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use ringbus_shard::wire::secret::Secret;

use super::Missing;
use crate::auth::jwt::token::TEXT_MAX;

/// How long an answer may take, from the first byte of the question to the last of the answer.
const TIME: Duration = Duration::from_millis(1900);

/// Longest head of an answer.
const HEAD_MAX: usize = 16 << 10;

const HEADERS_MAX: usize = 64;

/// A server of claims.
#[derive(Clone, Eq, PartialEq)]
pub struct Remote {
    /// Host and port.
    authority: String,
    /// With a slash at both ends.
    path: String,
    /// User and password as they are sent; empty if there are none.
    credentials: Secret,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Remote {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl Remote {
    /// Reads an address.
    ///
    /// # Errors
    /// Returns why it is none that can be asked.
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(if url.starts_with("https://") {
                "a resolver over HTTPS is not supported yet"
            } else {
                "the address of a resolver begins with http://"
            });
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, host) = match authority.rsplit_once('@') {
            Some((credentials, host)) => (BASE64.encode(credentials.as_bytes()), host),
            None => (String::new(), authority),
        };
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if host.is_empty() || !is_plain(rest) || path.contains(['?', '#']) {
            return Err("the address of a resolver has a host and a path");
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { host.to_owned() } else { format!("{host}:80") };
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/".to_owned() } else { format!("/{path}/") };
        Ok(Self { authority, path, credentials: credentials.into() })
    }

    /// The claims about an account.
    ///
    /// # Errors
    /// Returns why there are none.
    pub fn fetch(&self, key: &str) -> Result<String, Missing> {
        self.ask(key)
            .map_err(|why| Missing::Failed(format!("could not fetch <\"{self}{key}\">: {why}")))
    }

    fn ask(&self, key: &str) -> Result<String, String> {
        let end = Instant::now() + TIME;
        let text = |error: io::Error| error.to_string();
        let mut stream = self.connect(end).map_err(text)?;
        // In version 1.0 an answer ends with its connection, and is never in chunks.
        let Self { authority, path, credentials } = self;
        let mut question = format!("GET {path}{key} HTTP/1.0\r\nHost: {authority}\r\n");
        question.push_str("User-Agent: ringbus\r\nAccept: */*\r\n");
        if !credentials.is_empty() {
            question.push_str("Authorization: Basic ");
            question.push_str(credentials.expose());
            question.push_str("\r\n");
        }
        question.push_str("\r\n");
        stream.write_all(question.as_bytes()).map_err(text)?;
        let mut answer = Vec::new();
        let mut piece = [0; 16 << 10];
        loop {
            stream.set_read_timeout(Some(rest(end).map_err(text)?)).map_err(text)?;
            let len = stream.read(&mut piece).map_err(text)?;
            if len == 0 {
                break;
            }
            answer.extend_from_slice(piece.get(..len).unwrap_or_default());
            if answer.len() > HEAD_MAX + TEXT_MAX {
                return Err("the answer is too long".to_owned());
            }
        }
        body(&answer)
    }

    fn connect(&self, end: Instant) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in self.authority.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, rest(end)?) {
                Ok(stream) => {
                    stream.set_write_timeout(Some(rest(end)?))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn rest(end: Instant) -> io::Result<Duration> {
    let rest = end.saturating_duration_since(Instant::now());
    if rest.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(rest) }
}

/// What an answer has behind its head, if it says that all is well.
fn body(answer: &[u8]) -> Result<String, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let head = match response.parse(answer) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_MAX => len,
        Ok(_) => return Err("unexpected end of the answer".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    if response.code != Some(200) {
        let (code, reason) = (response.code.unwrap_or_default(), response.reason.unwrap_or(""));
        return Err(format!("{code} {reason}"));
    }
    let body = answer.get(head..).unwrap_or_default();
    let length = response.headers.iter().find(|it| it.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|it| str::from_utf8(it.value).ok()?.trim().parse::<usize>().ok());
    if length.is_some_and(|length| length != body.len()) {
        return Err("unexpected end of the answer".to_owned());
    }
    String::from_utf8(body.to_vec()).map_err(|_| "the answer is no text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn addresses_are_read() {
        for (url, shown) in [
            ("http://localhost:9090/jwt/v1/accounts/", "http://localhost:9090/jwt/v1/accounts/"),
            ("http://a/b", "http://a:80/b/"),
            ("http://a", "http://a:80/"),
            ("http://ann:secret@[::1]:1/x", "http://[::1]:1/x/"),
        ] {
            let remote = Remote::parse(url).unwrap();
            assert_eq!((remote.to_string(), format!("{remote:?}")), (shown.into(), shown.into()));
        }
        for url in [
            "",
            "a",
            "https://a/",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a/\r\nX",
            "http://a/?b",
        ] {
            assert!(Remote::parse(url).is_err(), "{url}");
        }
    }

    /// What is fetched from a server that answers this, and what it was asked.
    fn answered(answer: &'static [u8]) -> (Result<String, Missing>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut question = [0; 1024];
            let len = stream.read(&mut question).unwrap();
            stream.write_all(answer).unwrap();
            String::from_utf8_lossy(question.get(..len).unwrap()).into_owned()
        });
        let remote = Remote::parse(&format!("http://ann:p@127.0.0.1:{port}/v1/")).unwrap();
        (remote.fetch("AKEY"), server.join().unwrap())
    }

    #[test]
    fn claims_are_fetched() {
        let (fetched, question) = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\neyJ");
        assert_eq!(fetched.as_deref(), Ok("eyJ"));
        assert!(question.starts_with("GET /v1/AKEY HTTP/1.0\r\nHost: 127.0.0.1:"), "{question}");
        assert!(question.contains("\r\nAuthorization: Basic YW5uOnA=\r\n"), "{question}");
    }

    #[test]
    fn other_answers_are_none() {
        let broken: [(&[u8], &str); 5] = [
            (b"HTTP/1.1 404 Not Found\r\n\r\nno", "404 Not Found"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\neyJ", "unexpected end"),
            (b"HTTP/1.1 200 OK\r\n", "unexpected end"),
            (b"", "unexpected end"),
            (b"nonsense\r\n\r\n", "invalid"),
        ];
        for (answer, why) in broken {
            let Err(Missing::Failed(text)) = answered(answer).0 else { panic!("{why}") };
            assert!(text.contains(why) && text.contains("/v1/AKEY"), "{text}");
            assert!(!text.contains("ann"), "{text}");
        }
    }
}
