//! Frames against an owned copy of themselves: what goes in comes out, damage does no harm.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::frame::{HEAD, decode, encode, encode_message, encoded_len, split_frame};
use super::super::{Frame, MessageFrame, Origin};
use crate::delivery::Message;
use crate::ids::{AccountId, ConnId, ShardId};

/// A frame that owns its bytes.
#[derive(Clone, Debug)]
enum Owned {
    Message {
        subject: Vec<u8>,
        reply: Vec<u8>,
        header: Option<Vec<u8>>,
        body: Vec<u8>,
        plain: bool,
        groups: Vec<Vec<u8>>,
        origin: Origin,
    },
    NoResponders {
        conn: u64,
        reply: Vec<u8>,
        subject: Vec<u8>,
    },
    Stalled {
        conn: u64,
    },
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    vec(b'!'..b'~', 1..20)
}

fn origin() -> impl Strategy<Value = Origin> {
    (any::<u16>(), any::<u64>(), any::<[bool; 2]>(), any::<u8>()).prop_map(
        |(shard, conn, [sole, no_responders], hops)| Origin {
            shard: ShardId::new(shard),
            conn: ConnId::from_bits(conn),
            sole,
            no_responders,
            hops,
        },
    )
}

fn frame() -> impl Strategy<Value = Owned> {
    let reply = prop_oneof![Just(Vec::new()), word()];
    let bytes = || vec(any::<u8>(), 0..100);
    let header = prop::option::of(bytes());
    let message = (word(), reply, header, bytes(), any::<bool>(), vec(word(), 0..4), origin())
        .prop_map(|(subject, reply, header, body, plain, groups, origin)| Owned::Message {
            subject,
            reply,
            header,
            body,
            plain,
            groups,
            origin,
        });
    prop_oneof![
        4 => message,
        1 => (any::<u64>(), word(), word()).prop_map(|(conn, reply, subject)| {
            Owned::NoResponders { conn, reply, subject }
        }),
        1 => any::<u64>().prop_map(|conn| Owned::Stalled { conn }),
    ]
}

/// What goes out behind `MSG <subject> <sid> `, and how many of its last bytes are payload.
fn tail(reply: &[u8], header: Option<&[u8]>, body: &[u8]) -> (Vec<u8>, usize) {
    let payload = [header.unwrap_or_default(), body].concat();
    let mut tail = reply.to_vec();
    if !reply.is_empty() {
        tail.push(b' ');
    }
    if let Some(header) = header {
        tail.extend_from_slice(format!("{} ", header.len()).as_bytes());
    }
    tail.extend_from_slice(format!("{}\r\n", payload.len()).as_bytes());
    tail.extend_from_slice(&payload);
    tail.extend_from_slice(b"\r\n");
    (tail, payload.len())
}

fn encode_owned(owned: &Owned, out: &mut Vec<u8>) {
    match owned {
        Owned::Message { subject, reply, header, body, plain, groups, origin } => {
            let (tail, payload_len) = tail(reply, header.as_deref(), body);
            let message = Message {
                account: AccountId::new(u32::from(origin.hops)),
                subject,
                reply,
                imported: false,
                header_len: header.as_ref().map_or(0, Vec::len),
                payload: &tail[tail.len() - 2 - payload_len..tail.len() - 2],
                tail: &tail,
            };
            let groups = groups.iter().map(Vec::as_slice);
            let frame = MessageFrame { message, plain: *plain, groups, origin: *origin };
            let before = out.len();
            encode_message(&frame, out);
            assert_eq!(out.len() - before, frame.encoded_len());
        }
        Owned::NoResponders { conn, reply, subject } => {
            let conn = ConnId::from_bits(*conn);
            encode(&Frame::NoResponders { conn, reply, subject }, out);
        }
        Owned::Stalled { conn } => {
            encode(&Frame::Stalled { conn: ConnId::from_bits(*conn) }, out);
        }
    }
}

fn assert_same(found: Frame<'_>, sent: &Owned) {
    match (found, sent) {
        (
            Frame::Message(found),
            Owned::Message { subject, reply, header, body, plain, groups, origin },
        ) => {
            let message = found.message;
            assert_eq!(message.account.get(), u32::from(origin.hops));
            assert_eq!((message.subject, message.reply), (&subject[..], &reply[..]));
            let header = header.as_deref();
            assert_eq!(message.header_len, header.map_or(0, <[u8]>::len));
            assert_eq!(message.payload, [header.unwrap_or_default(), body].concat());
            assert_eq!(message.tail, tail(reply, header, body).0);
            assert_eq!((found.plain, found.origin), (*plain, *origin));
            assert_eq!(found.groups.collect::<Vec<_>>(), *groups);
            assert_eq!(found.groups.is_empty(), groups.is_empty());
        }
        (
            Frame::NoResponders { conn, reply, subject },
            Owned::NoResponders { conn: to, reply: inbox, subject: asked },
        ) => {
            assert_eq!((conn.to_bits(), reply, subject), (*to, &inbox[..], &asked[..]));
        }
        (Frame::Stalled { conn }, Owned::Stalled { conn: sent }) => {
            assert_eq!(conn.to_bits(), *sent);
        }
        (found, sent) => panic!("{sent:?} became {found:?}"),
    }
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded_and_can_be_sent_on(sent in vec(frame(), 0..8)) {
        let mut batch = Vec::new();
        sent.iter().for_each(|frame| encode_owned(frame, &mut batch));
        prop_assert_eq!(decode(&batch).count(), sent.len());
        decode(&batch).zip(&sent).for_each(|(found, sent)| assert_same(found, sent));
        let mut again = Vec::new();
        for frame in decode(&batch) {
            let before = again.len();
            encode(&frame, &mut again);
            prop_assert_eq!(again.len() - before, encoded_len(&frame));
        }
        prop_assert_eq!(again, batch);
    }

    #[test]
    fn damaged_frames_are_left_alone(
        sent in frame(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = Vec::new();
        encode_owned(&sent, &mut bytes);
        let end = cut.index(bytes.len());
        prop_assert!(split_frame(&bytes[..end]).is_none());
        for (place, value) in damage {
            let place = place.index(HEAD);
            bytes[place] = value;
        }
        if let Some((Frame::Message(frame), _)) = split_frame(&bytes) {
            prop_assert!(frame.groups.map(<[u8]>::len).sum::<usize>() <= bytes.len());
        }
    }
}
