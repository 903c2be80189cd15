//! Writing: what waits for a connection into its socket.
//!
//! The socket is tried at once, without the ring: a socket with room takes bytes in one system
//! call. Only one that has none is watched by the ring.

use std::io::IoSlice;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};
use smallvec::SmallVec;

use crate::transport::Output;

/// Pieces handed to one system call.
const PIECES: usize = 16;

/// How a write ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Written {
    /// The socket took so many bytes, all that it was offered.
    All(usize),
    /// It took so many, and takes no more for now.
    Some(usize),
    /// It is broken.
    Failed,
}

/// Offers a socket the oldest bytes that wait for it.
pub(super) fn write(socket: impl AsFd, output: Output<'_>) -> Written {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let (offered, sent) = match output {
        Output::Sealed(piece) => (piece.len(), send(socket, piece, flags)),
        Output::Plain(outbox) if outbox.is_one_piece() => {
            let piece = outbox.pieces(1).next().unwrap_or_default();
            (piece.len(), send(socket, piece, flags))
        }
        Output::Plain(outbox) => {
            let pieces: SmallVec<[IoSlice<'_>; PIECES]> =
                outbox.pieces(PIECES).map(IoSlice::new).collect();
            let offered = pieces.iter().map(|piece| piece.len()).sum();
            (offered, sendmsg(socket, &pieces, &mut SendAncillaryBuffer::default(), flags))
        }
    };
    match sent {
        Ok(count) if count == offered => Written::All(count),
        Ok(count) => Written::Some(count),
        Err(Errno::AGAIN | Errno::NOBUFS) => Written::Some(0),
        Err(Errno::INTR) => Written::All(0),
        Err(_) => Written::Failed,
    }
}
