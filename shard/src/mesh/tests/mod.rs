//! What the mesh promises, tested on one thread and on two. Every interleaving of the parts that
//! need it is tried in `models.rs`.

mod frame;
mod lane;
mod wiring;

use super::{GroupNames, MessageFrame, Origin};
use crate::delivery::Message;
use crate::ids::{AccountId, ConnId, ShardId};

/// The tail of a message without reply and header block.
fn tail(payload: &[u8]) -> Vec<u8> {
    [format!("{}\r\n", payload.len()).as_bytes(), payload, b"\r\n"].concat()
}

/// A plain message with that tail.
fn message(tail: &[u8], payload_len: usize) -> MessageFrame<'_> {
    let end = tail.len() - 2;
    MessageFrame {
        message: Message {
            account: AccountId::GLOBAL,
            subject: b"orders.new",
            reply: b"",
            imported: false,
            header_len: 0,
            payload: &tail[end - payload_len..end],
            tail,
        },
        plain: true,
        groups: GroupNames::default(),
        origin: Origin {
            shard: ShardId::FIRST,
            conn: ConnId::new(1, 1),
            sole: false,
            no_responders: false,
            hops: 0,
        },
    }
}
