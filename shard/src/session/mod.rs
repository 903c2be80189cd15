//! One client connection as a state machine: bytes in, operations carried out.
//!
//! | file | what |
//! | --- | --- |
//! | [`client`] | the loop over operations, one arm each |
//! | [`internal`] | sessions of the server itself |
//! | [`handshake`] | INFO, CONNECT, who the client is |
//! | [`allowance`] | what the client may have, and its place in its account |
//! | [`judgement`] | asking the judge, and waiting for a verdict |
//! | [`stretch`] | PUB and HPUB as nearly all of them are, many in a row |
//! | [`publish`] | any PUB and HPUB up to the door of `delivery` |
//! | [`ask`] | requests to the server that any client may make |
//! | [`subscribe`] | SUB and UNSUB |
//! | [`permit`] | what the client may do, and what becomes of its subscriptions when that changes |
//! | [`keepalive`] | PING, PONG, round trip, stale connections |
//! | [`trace`] | operations as log lines |
//!
//! A session never touches a socket, and never another session: what it does to others goes
//! through the [`Exchange`](crate::engine::Exchange) of its shard.

mod allowance;
mod ask;
mod carry;
pub mod client;
mod handshake;
mod internal;
mod judgement;
mod standing;
mod stretch;
mod keepalive;
mod permit;
mod publish;
mod subscribe;
mod trace;

pub use client::{ClientSession, Flow, Halt, Peer};
pub(crate) use judgement::Trials;
pub use judgement::{Trial, TrialId};
