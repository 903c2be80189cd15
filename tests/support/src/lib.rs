//! What the black-box tests share: starting a server, talking to it in raw lines, transcripts.
//!
//! Nothing here knows how ringbus works inside: a test that passes against ringbus can be run
//! against a nats-server, which is how the expectations were found to be right.

mod eventually;
mod process;
mod raw;
mod server;
pub mod nkey;
pub mod tls;
pub mod transcript;

pub use eventually::eventually;
pub use process::{raise_open_files, resident_bytes};
pub use raw::{PATIENCE, Raw};
pub use server::{Program, Server};
