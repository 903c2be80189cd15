//! Bytes to a request. Whatever is not one is refused with a status and a reason.

#![deny(clippy::indexing_slicing)]

use std::net::SocketAddr;

use super::super::query::{Query, decode};
use super::response::Response;

/// Longest head: request line and headers.
pub const HEAD_BYTES_MAX: usize = 16 << 10;

/// Longest request line.
const LINE_BYTES_MAX: usize = 8 << 10;

/// Most header lines.
const HEADERS_MAX: usize = 64;

/// What was asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Request {
    /// Path, decoded.
    pub path: String,
    /// What stands behind the question mark.
    pub query: Query,
    /// Only the head of the response is wanted.
    pub head: bool,
    /// The media types that the client takes, as it wrote them.
    pub accept: String,
    /// Who asks, if that is known.
    pub peer: Option<SocketAddr>,
}

/// What some bytes are.
#[derive(Debug)]
pub enum Parsed {
    /// A request, its length, and whether another may follow on the connection.
    #[expect(missing_docs, reason = "said above")]
    Request { request: Request, len: usize, keep: bool },
    /// The beginning of one.
    More,
    /// None: the connection ends with this response.
    Refused(Response),
}

/// Reads the request that `bytes` begin with.
#[must_use]
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let refused = |status, why: &str| Parsed::Refused(Response::text(status, why));
    let len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => {
            let line = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
            return if line > LINE_BYTES_MAX {
                refused(414, "request line too long\n")
            } else if bytes.len() >= HEAD_BYTES_MAX {
                refused(431, "request header fields too large\n")
            } else {
                Parsed::More
            };
        }
        Err(httparse::Error::TooManyHeaders) => {
            return refused(431, "too many request header fields\n");
        }
        Err(httparse::Error::Version) => return refused(505, "HTTP version not supported\n"),
        Err(error) => return refused(400, &format!("bad request: {error}\n")),
    };
    let (Some(method), Some(target), Some(minor)) = (head.method, head.path, head.version) else {
        return Parsed::More;
    };
    if !matches!(method, "GET" | "HEAD") {
        let response = Response::text(405, "use GET or HEAD\n").with("Allow", "GET, HEAD");
        return Parsed::Refused(response);
    }
    let value = |name: &str| {
        let header = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        header.map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    if minor >= 1 && value("host").is_none() {
        return refused(400, "missing required Host header\n");
    }
    let Some((path, query)) = split(target) else { return refused(400, "bad request target\n") };
    let wishes = value("connection").unwrap_or_default().to_ascii_lowercase();
    let wishes = |wish: &str| wishes.split(',').any(|word| word.trim() == wish);
    // What follows a body cannot be told from the body: nobody here reads any.
    let body = value("transfer-encoding").is_some()
        || value("content-length").is_some_and(|length| length.trim() != "0");
    let keep = !body && !wishes("close") && (minor >= 1 || wishes("keep-alive"));
    let accept = value("accept").unwrap_or_default();
    let request = Request { path, query, head: method == "HEAD", accept, peer: None };
    Parsed::Request { request, len, keep }
}

/// Path and query of a request target, which may be a whole URL.
fn split(target: &str) -> Option<(String, Query)> {
    let after_scheme = target.strip_prefix("http://").or_else(|| target.strip_prefix("https://"));
    let target = match after_scheme {
        Some(rest) => rest.find('/').map_or("/", |at| rest.get(at..).unwrap_or_default()),
        None => target,
    };
    if !target.starts_with('/') {
        return None;
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some((decode(path, false)?, Query::parse(query)))
}

impl Request {
    /// How much the client likes a media type, from 0 to 1000.
    #[must_use]
    pub fn likes(&self, media_type: &str) -> u32 {
        let family = media_type.split('/').next().unwrap_or_default();
        let mut best = (0, 0);
        for part in self.accept.split(',') {
            let mut words = part.split(';').map(str::trim);
            let kind = words.next().unwrap_or_default();
            let exactness = match kind {
                "*/*" => 1,
                kind if kind.eq_ignore_ascii_case(media_type) => 3,
                kind if kind.strip_suffix("/*") == Some(family) => 2,
                _ => continue,
            };
            let weight = words.find_map(|word| word.strip_prefix("q=")).map_or(1000, thousandths);
            best = best.max((exactness, weight));
        }
        best.1
    }
}

/// A weight such as `0.75`.
fn thousandths(text: &str) -> u32 {
    let weight: f64 = text.trim().parse().unwrap_or(0.0);
    let whole = (weight.clamp(0.0, 1.0) * 1000.0).round();
    (0..=1000).find(|n| f64::from(*n) >= whole).unwrap_or(0)
}
