//! From a match set to outboxes, rings and answers.
//!
//! The steps of one message, in this order because each depends on the one before:
//!
//! | step | file |
//! | --- | --- |
//! | who wants it: the last answer, or the index | [`memo`] |
//! | is there room on the lanes it may need; if not, the publisher waits | [`publish`] |
//! | its plain subscribers here | [`fanout`] |
//! | one member of each queue group: here, or the shard where the dice fell | [`publish`] |
//! | one frame for each other shard that is to have it | [`publish`] |
//! | nobody at all: 503 to the requester | [`publish`] |
//! | on the other shard: the same again, with the choice of groups made | [`arrival`] |
//! | into other accounts, and back with the answer | [`crossing`], [`answers`], [`identity`], `told.rs` |
//! | what its receivers may answer on, if that is kept | [`outlets`], `shedding.rs` |
//! | how long that took, if somebody wants to know | [`latency`] |

pub mod answers;
pub mod arrival;
pub mod crossing;
pub mod fanout;
pub mod identity;
pub mod latency;
pub mod memo;
mod message;
pub mod outlets;
pub mod publish;
mod shedding;
mod told;

pub use answers::Answers;
pub use crossing::Crossings;
pub use fanout::{Fanout, Reach};
pub use memo::Memo;
pub use message::{Head, Message, SHORT_HEAD};
pub use outlets::{Delivered, Outlet, Outlets, Traffic};
