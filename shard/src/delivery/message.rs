//! One message on its way through a shard, borrowed from wherever its bytes arrived.

use crate::ids::AccountId;

/// A message to be matched and delivered. It borrows: from the bytes a publisher sent, or from a
/// batch that another shard sent.
///
/// What a receiver reads is `MSG <subject> <sid> ` followed by [`Message::tail`], byte for byte, so
/// a delivery is a few copies and no formatting. A canonical PUB line already holds the tail as one
/// run of bytes; anything else is rewritten once per message, not once per receiver.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Message<'a> {
    /// The subject space it was published in.
    pub account: AccountId,
    /// It came as a request or as an answer from another account: streams do not take it further.
    pub imported: bool,
    /// Where it was published.
    pub subject: &'a [u8],
    /// Where answers go; empty if none are wanted.
    pub reply: &'a [u8],
    /// Bytes of the header block at the head of `payload`; zero if the message has none.
    pub header_len: usize,
    /// Header block and body, without the final CR LF.
    pub payload: &'a [u8],
    /// `[reply ][header_len ]payload_len CR LF payload CR LF`, as it goes out.
    pub tail: &'a [u8],
}

/// The beginning of a delivery: `MSG <subject> `.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// All of it.
    pub text: &'a [u8],
    /// The same with something behind, if it is at hand and `text` is no longer. To copy all of it
    /// for each receiver costs less than to copy only what is needed.
    pub short: Option<&'a [u8; SHORT_HEAD]>,
}

/// As long as the heads of nearly all subjects.
pub const SHORT_HEAD: usize = 64;

impl<'a> From<&'a Vec<u8>> for Head<'a> {
    fn from(text: &'a Vec<u8>) -> Self {
        Self { text, short: None }
    }
}
