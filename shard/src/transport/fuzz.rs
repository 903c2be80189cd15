//! What the fuzzer does with the first bytes of a client: whether they begin a handshake does not
//! depend on the pieces in which they come.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Now;
use crate::engine::{Command, Shard};
use crate::event::What;
use crate::ids::{ClientId, ConnId};
use crate::limits::{HANDSHAKE_BYTES_MAX, Limits};
use crate::mesh::mesh;
use crate::options::{Open, Options};
use crate::session::Peer;
use crate::wire::info::Info;

use super::sniff::{Language, record, sniff as language};
use super::toy::Toys;
use super::{First, Output, Terms};

/// More than fits into a header, and more than any record.
const RECORD_MAX: usize = 5 + (16 << 10) + 2048;

/// First bytes of a client, after one that chooses on what terms it is served and one that chooses
/// the pieces.
///
/// # Panics
/// If something does not hold.
pub fn sniff(data: &[u8]) {
    let Some((&[choices, seed], input)) = data.split_first_chunk::<2>() else { return };
    if input.len() > HANDSHAKE_BYTES_MAX {
        return;
    }
    check_need(input);
    let first = match choices & 6 {
        0 => First::No,
        2 => First::Yes,
        _ => First::Within(Duration::from_millis(50)),
    };
    let terms = Terms { optional: choices & 1 == 1, first, timeout: Duration::from_secs(2) };
    let whole = Seen::of(terms, [input].into_iter());
    let mut rng = fastrand::Rng::with_seed(u64::from(seed));
    let mut pieces = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let (piece, left) = rest.split_at(rng.usize(1..=rest.len().min(24)));
        pieces.push(piece);
        rest = left;
    }
    let seen = Seen::of(terms, pieces.into_iter());
    assert_eq!(seen.why, whole.why);
    // What is broken is let go of with what waits for it, and a session that waits for the rest of
    // an operation looks at it no earlier: one may have said more than the other, but nothing else.
    let agree = |one: &[u8], other: &[u8]| one.starts_with(other) || other.starts_with(one);
    assert!(agree(&seen.clear, &whole.clear), "{seen:?} {whole:?}");
    assert!(agree(&seen.sealed, &whole.sealed), "{seen:?} {whole:?}");
    let is_broken = whole.commands.iter().any(|command| matches!(command, Command::Close(_)));
    if !is_broken && (&seen.clear, &seen.sealed) == (&whole.clear, &whole.sealed) {
        assert_eq!(seen.commands, whole.commands);
    }
    if language(input) == Some(Language::Plain) {
        let refused = !terms.optional || first != First::No;
        assert_eq!(whole.why.is_empty(), !refused, "{whole:?}");
    }
}

/// Whoever waits for as much as a record needs waits once, and never for more than a record.
fn check_need(input: &[u8]) {
    let needs = (0..=input.len()).map(|len| record(&input[..len]));
    let mut known = None;
    for (len, need) in needs.enumerate() {
        assert!((5..=RECORD_MAX).contains(&need));
        if len >= 5 {
            assert_eq!(*known.get_or_insert(need), need);
        }
    }
}

/// What is seen of a connection.
#[derive(Debug, Default, Eq, PartialEq)]
struct Seen {
    clear: Vec<u8>,
    sealed: Vec<u8>,
    why: Vec<String>,
    commands: Vec<Command>,
}

impl Seen {
    fn of<'a>(terms: Terms, pieces: impl Iterator<Item = &'a [u8]>) -> Self {
        let options = Options {
            info: Info { headers: true, ..Info::default() },
            limits: Limits::default(),
            authenticator: Arc::new(Open),
            accounts: Arc::default(),
            transports: Toys::shared(terms),
            trace: false,
            traced_payload_max: 0,
        };
        let endpoint = mesh(1).pop().expect("there is one");
        let mut shard = Shard::new(Arc::new(options), endpoint, Now::ZERO, 7);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let conn = shard.on_open(Now::ZERO, Peer { client: ClientId::new(1), address });
        let mut seen = Self::default();
        seen.look(&mut shard, conn);
        for piece in pieces {
            shard.on_bytes(Now::ZERO, conn, piece);
            while let Some((conn, step)) = shard.take_handshake() {
                shard.on_handshake(Now::ZERO, conn, step.run());
            }
            shard.commit(&mut Vec::new());
            seen.look(&mut shard, conn);
        }
        while shard.on_turn(Now::ZERO) {}
        seen.look(&mut shard, conn);
        seen.sealed = joined(&seen.sealed);
        seen
    }

    /// Takes what is to be written and done.
    fn look(&mut self, shard: &mut Shard, conn: ConnId) {
        while shard.take_dirty().is_some() {}
        loop {
            let count = match shard.output(Now::ZERO, conn) {
                None => break,
                Some(Output::Plain(outbox)) => {
                    self.clear.extend(outbox.pieces(1000).flatten());
                    outbox.pieces(1000).map(<[u8]>::len).sum()
                }
                Some(Output::Sealed(bytes)) => {
                    self.sealed.extend_from_slice(bytes);
                    bytes.len()
                }
            };
            shard.on_written(Now::ZERO, conn, count);
        }
        shard.flushed();
        while let Some(event) = shard.take_event() {
            if let What::Insecure(why) = event.what {
                self.why.push(format!("{why:?}"));
            }
        }
        self.commands.extend(std::iter::from_fn(|| shard.take_command()));
    }
}

/// What a server with a toy said, without the heads of its records: where one ends and the next
/// begins depends on when it was written.
fn joined(mut said: &[u8]) -> Vec<u8> {
    let mut joined = Vec::new();
    while let Some(&kind) = said.first() {
        let (from, len) = match (kind, said) {
            (0x17, &[_, high, low, ..]) => (3, 3 + usize::from(u16::from_be_bytes([high, low]))),
            (0x16, _) => (0, 2),
            _ => (0, 1),
        };
        joined.extend_from_slice(&said[from..len]);
        said = &said[len..];
    }
    joined
}
