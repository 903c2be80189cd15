//! From a match set to outboxes, rings and answers.

mod message;

pub use message::Message;
