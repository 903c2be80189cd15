//! The server as a client of itself: it tells the system account what happens, and answers the
//! requests of operators there (`$SYS.>`).
//!
//! | file | what |
//! | --- | --- |
//! | [`service`] | the thread that does it |
//! | [`line`] | the client protocol over a pair of sockets |
//! | [`requests`] | from a request to its answer |
//! | [`options`] | what a request asks for, and of which servers |
//! | [`messages`] | the JSON of events and answers |
//!
//! All of it is away from the shards: they hand over notes and wait for nobody, and figures come
//! through the door that monitoring uses. In the system account the server subscribes like any
//! client; what clients of other accounts may ask arrives as a note, and is answered in theirs.

mod line;
mod messages;
mod options;
mod requests;
mod service;

use ringbus_shard::clock::Now;
use ringbus_shard::engine::ConnectionView;
use ringbus_shard::error::CloseReason;
use ringbus_shard::event::Asked;

pub(crate) use service::start;
pub use service::{Reload, System};

/// Notes that wait to be told.
pub const NOTES_MAX: usize = 16 << 10;

/// What a shard has to tell.
#[derive(Clone, Debug)]
pub enum Note {
    /// A client is connected.
    Entered(Box<ConnectionView>),
    /// It is not any more: since when, and why.
    Left(Box<ConnectionView>, Now, CloseReason),
    /// A client asks for something.
    Asked(Box<Asked>),
}
