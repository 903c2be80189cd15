//! Frames of the message lane and their bytes: what one shard tells another about messages.
//!
//! A frame is a fixed head, then subject, names of queue groups, then the message's tail. The tail
//! already holds reply and payload (see [`Message`]), so the head only says where: nothing is
//! copied twice on the way in, and nothing at all on the way out, where a frame borrows from its
//! batch.
//!
//! Batches come from this process, so a corrupt one is our own bug: debug builds stop there,
//! release builds leave the rest of the batch. No batch makes the decoder panic by itself.
#![deny(clippy::indexing_slicing)]

use std::time::Duration;

use crate::delivery::Message;
use crate::ids::{AccountId, ConnId, ShardId};

/// A message for another shard, as borrowed pieces. `G` yields the names of the queue groups: any
/// iterator for the sender, [`GroupNames`] for the receiver (which may send it on as it is).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MessageFrame<'a, G = GroupNames<'a>> {
    /// The message itself.
    pub message: Message<'a>,
    /// Deliver to the plain subscriptions of that shard.
    pub plain: bool,
    /// Queue groups for which that shard was picked: one member of each gets the message.
    pub groups: G,
    /// Who published it.
    pub origin: Origin,
}

/// Where a message came from, and what the publisher's shard wants to know about its fate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Origin {
    /// The publisher's shard.
    pub shard: ShardId,
    /// The publisher's connection on that shard, which can be answered and paused.
    pub conn: ConnId,
    /// This frame is the only place that the message went to. Only then is it known there whether
    /// anybody got it at all: a request that went to several shards, whose responders have all left
    /// before it came, is not answered.
    pub sole: bool,
    /// The publisher wants to be told (503) if nobody is left to receive it.
    pub no_responders: bool,
    /// How often it was sent on because the picked queue members were gone.
    pub hops: u8,
}

/// What one shard tells another on the message lane.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame<'a> {
    /// A message to deliver. Sent by the publisher's shard, or by one whose members were gone.
    Message(MessageFrame<'a>),
    /// Nobody received a request: to the publisher's shard, which answers 503.
    NoResponders {
        /// The requester's connection there.
        conn: ConnId,
        /// Where the requester waits for answers.
        reply: &'a [u8],
        /// What it asked.
        subject: &'a [u8],
    },
    /// Every receiver of that publisher's message here is over its mark: to the publisher's shard,
    /// which pauses it briefly.
    Stalled {
        /// The publisher's connection there.
        conn: ConnId,
    },
    /// Who sends the answer that follows this: to the shard of whoever asked, which measures it.
    Responder {
        /// The subject of that answer.
        reply: &'a [u8],
        /// Who it is, as JSON.
        about: &'a [u8],
        /// How long a round trip to it takes.
        round_trip: Duration,
    },
}

/// Names of queue groups inside a frame.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct GroupNames<'a> {
    /// Names one after the other, each behind its length.
    bytes: &'a [u8],
}

impl<'a> Iterator for GroupNames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (len, rest) = self.bytes.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        self.bytes = rest;
        Some(name)
    }
}

/// Appends the name of a group in the form that [`GroupNames::new`] reads.
pub fn encode_group(name: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&len32(name.len()).to_le_bytes());
    out.extend_from_slice(name);
}

impl<'a> GroupNames<'a> {
    /// The names that [`encode_group`] wrote to `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Whether no name is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Bytes before the name of a group.
const GROUP_HEAD: usize = size_of::<u32>();

/// Numbers of 32 bits in a head.
const HEAD_WORDS: usize = 11;

/// Bytes of a head.
pub(super) const HEAD: usize = HEAD_WORDS * size_of::<u32>();

const KIND_MESSAGE: u8 = 0;
const KIND_NO_RESPONDERS: u8 = 1;
const KIND_STALLED: u8 = 2;
const KIND_RESPONDER: u8 = 3;

const FLAG_PLAIN: u8 = 1;
const FLAG_SOLE: u8 = 2;
const FLAG_NO_RESPONDERS: u8 = 4;
const FLAG_IMPORTED: u8 = 8;

/// The head of every kind of frame, in the order of its bytes; what a kind does not need is zero.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Head {
    /// The whole frame with this head.
    len: u32,
    /// Kind, flags, hops, and a byte that is zero.
    tags: [u8; 4],
    conn: u64,
    account: u32,
    shard: u16,
    subject: u32,
    groups: u32,
    reply: u32,
    header: u32,
    payload: u32,
}

impl Head {
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two halves are taken apart")]
    fn append_to(self, out: &mut Vec<u8>) {
        let words: [u32; HEAD_WORDS] = [
            self.len,
            u32::from_le_bytes(self.tags),
            self.conn as u32,
            (self.conn >> 32) as u32,
            self.account,
            u32::from(self.shard),
            self.subject,
            self.groups,
            self.reply,
            self.header,
            self.payload,
        ];
        out.extend_from_slice(words.map(u32::to_le_bytes).as_flattened());
    }

    /// The head at the beginning of `bytes`.
    #[inline]
    fn read(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.first_chunk::<HEAD>()?.as_chunks();
        let [len, tags, low, high, account, shard, subject, groups, reply, header, payload] =
            *<&[[u8; 4]; HEAD_WORDS]>::try_from(words).ok()?;
        Some(Self {
            len: u32::from_le_bytes(len),
            tags,
            conn: u64::from(u32::from_le_bytes(high)) << 32 | u64::from(u32::from_le_bytes(low)),
            account: u32::from_le_bytes(account),
            shard: u16::from_le_bytes([shard[0], shard[1]]),
            subject: u32::from_le_bytes(subject),
            groups: u32::from_le_bytes(groups),
            reply: u32::from_le_bytes(reply),
            header: u32::from_le_bytes(header),
            payload: u32::from_le_bytes(payload),
        })
    }
}

/// A length as a head carries it. A payload has at most nine digits and a control line is far
/// shorter, so every length of a legal message fits.
#[inline]
fn len32(len: usize) -> u32 {
    debug_assert!(u32::try_from(len).is_ok(), "a frame is shorter than 4 GiB");
    u32::try_from(len).unwrap_or(u32::MAX)
}

impl<'g, G> MessageFrame<'_, G>
where
    G: IntoIterator<Item = &'g [u8]> + Clone,
{
    /// Bytes of this frame in a batch.
    #[inline]
    pub(super) fn encoded_len(&self) -> usize {
        HEAD + self.message.subject.len() + self.groups_len() + self.message.tail.len()
    }

    #[inline]
    fn groups_len(&self) -> usize {
        self.groups.clone().into_iter().map(|name| GROUP_HEAD + name.len()).sum()
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.plain, FLAG_PLAIN)
            | flag(self.origin.sole, FLAG_SOLE)
            | flag(self.origin.no_responders, FLAG_NO_RESPONDERS)
            | flag(self.message.imported, FLAG_IMPORTED)
    }
}

/// Appends a message frame to a batch.
#[inline]
pub fn encode_message<'g, G>(frame: &MessageFrame<'_, G>, out: &mut Vec<u8>)
where
    G: IntoIterator<Item = &'g [u8]> + Clone,
{
    let Message { account, subject, reply, header_len, payload, tail, .. } = frame.message;
    debug_assert!(tail.starts_with(reply), "the tail begins with the reply");
    debug_assert!(
        tail.strip_suffix(b"\r\n").is_some_and(|tail| tail.ends_with(payload)),
        "the tail ends with the payload"
    );
    let len = frame.encoded_len();
    out.reserve(len);
    let head = Head {
        len: len32(len),
        tags: [KIND_MESSAGE, frame.flags(), frame.origin.hops, 0],
        conn: frame.origin.conn.to_bits(),
        account: account.get(),
        shard: frame.origin.shard.get(),
        subject: len32(subject.len()),
        groups: len32(frame.groups_len()),
        reply: len32(reply.len()),
        header: len32(header_len),
        payload: len32(payload.len()),
    };
    head.append_to(out);
    out.extend_from_slice(subject);
    for name in frame.groups.clone() {
        encode_group(name, out);
    }
    out.extend_from_slice(tail);
}

/// Appends a frame of any kind to a batch.
pub fn encode(frame: &Frame<'_>, out: &mut Vec<u8>) {
    match frame {
        Frame::Message(message) => encode_message(message, out),
        Frame::NoResponders { conn, reply, subject } => {
            let head = Head {
                len: len32(HEAD + subject.len() + reply.len()),
                tags: [KIND_NO_RESPONDERS, 0, 0, 0],
                conn: conn.to_bits(),
                subject: len32(subject.len()),
                ..Head::default()
            };
            head.append_to(out);
            out.extend_from_slice(subject);
            out.extend_from_slice(reply);
        }
        Frame::Responder { reply, about, round_trip } => {
            let head = Head {
                len: len32(HEAD + reply.len() + about.len()),
                tags: [KIND_RESPONDER, 0, 0, 0],
                // A time stands where others have a connection.
                conn: u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX),
                subject: len32(reply.len()),
                ..Head::default()
            };
            head.append_to(out);
            out.extend_from_slice(reply);
            out.extend_from_slice(about);
        }
        Frame::Stalled { conn } => {
            let head = Head {
                len: len32(HEAD),
                tags: [KIND_STALLED, 0, 0, 0],
                conn: conn.to_bits(),
                ..Head::default()
            };
            head.append_to(out);
        }
    }
}

/// Bytes that [`encode`] appends.
pub fn encoded_len(frame: &Frame<'_>) -> usize {
    match frame {
        Frame::Message(message) => message.encoded_len(),
        Frame::NoResponders { reply, subject, .. } => HEAD + subject.len() + reply.len(),
        Frame::Responder { reply, about, .. } => HEAD + reply.len() + about.len(),
        Frame::Stalled { .. } => HEAD,
    }
}

/// The frames of a batch, in order.
#[must_use]
pub fn decode(batch: &[u8]) -> Frames<'_> {
    Frames { rest: batch }
}

/// Iterator over the frames of a batch; what it yields borrows from the batch.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    rest: &'a [u8],
}

impl Frames<'_> {
    /// Bytes of the frames that are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Whether no frame is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Frame<'a>;

    #[inline]
    fn next(&mut self) -> Option<Frame<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let split = split_frame(self.rest);
        debug_assert!(split.is_some(), "a batch consists of whole frames");
        let (frame, rest) =
            split.map_or((None, [].as_slice()), |(frame, rest)| (Some(frame), rest));
        self.rest = rest;
        frame
    }
}

/// The frame at the beginning of `bytes`, and what comes after it. None if there is no frame.
#[inline]
pub(super) fn split_frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let head = Head::read(bytes)?;
    let (frame, rest) = bytes.split_at_checked(head.len as usize)?;
    let (subject, body) = frame.get(HEAD..)?.split_at_checked(head.subject as usize)?;
    let [kind, flags, hops, _] = head.tags;
    let conn = ConnId::from_bits(head.conn);
    let frame = match kind {
        KIND_MESSAGE => {
            let (groups, tail) = body.split_at_checked(head.groups as usize)?;
            let end = tail.len().checked_sub(b"\r\n".len())?;
            let payload = tail.get(end.checked_sub(head.payload as usize)?..end)?;
            let message = Message {
                account: AccountId::new(head.account),
                imported: flags & FLAG_IMPORTED != 0,
                subject,
                reply: tail.get(..head.reply as usize)?,
                header_len: head.header as usize,
                payload,
                tail,
            };
            Frame::Message(MessageFrame {
                message,
                plain: flags & FLAG_PLAIN != 0,
                groups: GroupNames { bytes: groups },
                origin: Origin {
                    shard: ShardId::new(head.shard),
                    conn,
                    sole: flags & FLAG_SOLE != 0,
                    no_responders: flags & FLAG_NO_RESPONDERS != 0,
                    hops,
                },
            })
        }
        KIND_NO_RESPONDERS => Frame::NoResponders { conn, reply: body, subject },
        KIND_STALLED => Frame::Stalled { conn },
        KIND_RESPONDER => {
            let round_trip = Duration::from_nanos(head.conn);
            Frame::Responder { reply: subject, about: body, round_trip }
        }
        _ => return None,
    };
    Some((frame, rest))
}
