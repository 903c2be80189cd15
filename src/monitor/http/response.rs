//! A response to bytes.

use std::borrow::Cow;
use std::fmt::Write;

use jiff::Timestamp;

/// What is sent back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers besides those that every response has.
    pub headers: Vec<(&'static str, &'static str)>,
    /// Body.
    pub body: Cow<'static, [u8]>,
}

impl Response {
    /// JSON that any page may read.
    #[must_use]
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        let headers =
            vec![("Content-Type", "application/json"), ("Access-Control-Allow-Origin", "*")];
        Self { status, headers, body: body.into() }
    }

    /// A sentence.
    #[must_use]
    pub fn text(status: u16, body: &str) -> Self {
        Self::of("text/plain; charset=utf-8", body.as_bytes().to_vec()).status(status)
    }

    /// Something of another type.
    #[must_use]
    pub fn of(media_type: &'static str, body: impl Into<Cow<'static, [u8]>>) -> Self {
        Self { status: 200, headers: vec![("Content-Type", media_type)], body: body.into() }
    }

    /// The same with another status.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Status line and headers.
    #[must_use]
    pub fn head(&self, keep: bool, length: usize) -> Vec<u8> {
        let (status, reason) = (self.status, reason(self.status));
        let mut head = format!("HTTP/1.1 {status} {reason}\r\n");
        // Writing to a String cannot fail.
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if let Ok(date) = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&Timestamp::now())
        {
            let _ = write!(head, "Date: {date}\r\n");
        }
        let close = if keep { "" } else { "Connection: close\r\n" };
        let _ = write!(
            head,
            "X-Content-Type-Options: nosniff\r\nContent-Length: {length}\r\n{close}\r\n"
        );
        head.into_bytes()
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Internal Server Error",
    }
}
