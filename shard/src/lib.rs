//! The data plane of ringbus: what one core runs, from the first byte of a publish to the last byte
//! of its deliveries.
//!
//! A *shard* is everything one core owns: its connections, a full replica of the subscription
//! index, the bytes waiting for its clients. It is pure: [`io`] drives it with sockets, a clock and
//! other shards; [`sim`] drives the same code with a seed. Shards share nothing and talk only over
//! the [`mesh`].
//!
//! The path of a message, each step one function:
//!
//! | step | file | function |
//! | --- | --- | --- |
//! | 1 bytes arrive | `shard/src/io/driver.rs` | `on_receive` |
//! | 2 hand to the pure side | `shard/src/engine/shard/mod.rs` | `on_bytes` |
//! | 3 the connection's session, and what it could not finish before | `shard/src/session/client.rs` | `on_bytes` |
//! | 4 publishes in a row, which nearly all input is: they go on at step 7 | `shard/src/session/stretch.rs` | `stretch` |
//! | 4b anything else, cut into operations | `shard/src/wire/client/mod.rs` | `parse` |
//! | 5 one `match` over operations | `shard/src/session/client.rs` | `on_op` |
//! | 6 limits, reserved names, verbose | `shard/src/session/publish.rs` | `publish` |
//! | 7 who wants it: the last answer, or the index | `shard/src/delivery/memo.rs` | `look_up` |
//! | 8 subject to match set | `shard/src/interest/mod.rs` | `matches` |
//! | 9 everybody in the set | `shard/src/delivery/publish.rs` | `publish` |
//! | 10 into the outboxes of this shard | `shard/src/delivery/fanout.rs` | `to_all` |
//! | 11 one member per queue group | `shard/src/delivery/publish.rs` | `one_of_group` |
//! | 12 to the lanes of other shards | `shard/src/engine/peers.rs` | `send` |
//! | 13 nobody there | `shard/src/delivery/publish.rs` | `no_responders` |
//! | 14 show the other shards, then write | `shard/src/io/driver.rs` | `flush` |
//! | 15 into the socket | `shard/src/io/flush.rs` | `write` |
//!
//! On another shard a message enters at `shard/src/delivery/arrival.rs`, `arrive`, and goes on at
//! step 7. Modules in reading order:

pub mod ids;
pub mod limits;
pub mod clock;
pub mod error;
pub mod event;
pub mod options;

pub mod wire;
pub mod subject;
pub mod account;
pub mod authorize;
pub mod interest;
pub mod session;
pub mod delivery;
pub mod outbox;
pub mod transport;
pub mod mesh;
pub mod engine;
pub mod io;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(any(test, fuzzing))]
pub mod sim;
