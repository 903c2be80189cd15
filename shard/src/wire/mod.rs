//! Bytes to operations and back: the client protocol, without a connection.
//!
//! | file | what |
//! | --- | --- |
//! | [`client`] | one operation from the head of a read buffer |
//! | [`connect`] | the JSON of CONNECT, and [`secret`] for the credentials in it |
//! | [`info`] | the JSON of INFO |
//! | [`headers`] | the header block of a message |
//! | [`proxy`] | what a proxy says of the client it speaks for, ahead of all that |
//! | [`encode`] | what goes out: `+OK`, `PONG`, `-ERR`, the tail of a MSG |
//!
//! The grammar of what a client may send, all verbs in either case, `_` for one or more blanks
//! (space, tab) and `NL` for LF or CR LF:
//!
//! ```text
//! CONNECT [_] json NL               INFO [_] json NL
//! PUB _ subject [_ reply] _ size NL payload CR LF
//! HPUB _ subject [_ reply] _ header-size _ total-size NL header-block body CR LF
//! SUB _ pattern [_ queue] _ sid NL  UNSUB _ sid [_ max] NL
//! PING anything LF                  PONG anything LF
//! +OK anything LF                   -ERR _ text NL
//! ```
//!
//! JSON ends in this folder: nothing behind it sees any.

pub mod client;
pub mod connect;
pub mod encode;
pub mod headers;
pub mod info;
mod json;
pub mod proxy;
pub mod redact;
pub mod secret;

pub use json::Malformed;
