//! The server as a client of itself: it tells the system account what happens, and answers the
//! requests of operators there (`$SYS.>`).
//!
//! | file | what |
//! | --- | --- |
//! | [`service`] | the thread that does it |
//! | [`line`] | the client protocol over a pair of sockets |
//! | [`requests`] | from a request to its answer |
//! | [`claims`] | claims about accounts |
//! | [`callout`] | questions to services that decide who may connect |
//! | [`options`] | what a request asks for, and of which servers |
//! | [`messages`] | the JSON of events and answers |
//! | [`packing`] | answers in fewer bytes |
//! | [`reload`] | requests to read the configuration again |
//!
//! All of it is away from the shards: they hand over notes and wait for nobody, and figures come
//! through the door that monitoring uses. In the system account the server subscribes like any
//! client; what clients of other accounts may ask arrives as a note, and is answered in theirs.

pub(crate) mod callout;
mod claims;
mod line;
mod messages;
mod options;
mod packing;
mod reload;
mod requests;
mod service;

use crossbeam_channel::{Receiver, Sender, bounded};
use ringbus_shard::clock::Now;
use ringbus_shard::engine::ConnectionView;
use ringbus_shard::error::CloseReason;
use ringbus_shard::event::Asked;

pub use reload::Reload;
pub use service::System;
pub(crate) use service::start;

/// Notes that wait to be told.
const NOTES_MAX: usize = 16 << 10;

/// Questions of clients that wait for an answer.
const ASKED_MAX: usize = 1 << 10;

/// What a shard has to tell.
#[derive(Clone, Debug)]
pub enum Note {
    /// A client is connected, or in another account.
    Entered(Box<ConnectionView>),
    /// It is not any more: since when, and why.
    Left(Box<ConnectionView>, Now, CloseReason),
}

/// Where shards leave what they have to tell. What clients ask has a queue of its own, so that no
/// client can keep anything from being told.
#[derive(Clone, Debug)]
pub struct Notes {
    /// What happens to clients.
    pub told: Sender<Note>,
    /// What clients ask.
    pub asked: Sender<Box<Asked>>,
}

/// The other end of [`Notes`].
#[derive(Debug)]
pub struct Noted {
    told: Receiver<Note>,
    asked: Receiver<Box<Asked>>,
}

/// Both ends.
#[must_use]
pub fn notes() -> (Notes, Noted) {
    let ((told, is_told), (asked, is_asked)) = (bounded(NOTES_MAX), bounded(ASKED_MAX));
    (Notes { told, asked }, Noted { told: is_told, asked: is_asked })
}
