//! The sockets of one shard, by the slot of their connection.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{Shutdown, shutdown};

use crate::clock::Now;
use crate::ids::ConnId;
use crate::limits::GATHER_REST;

use super::gather::Gather;
use super::socket_ring::{SocketRing, Token};

/// One socket, and what the ring does for it.
#[derive(Debug)]
struct Socket {
    conn: ConnId,
    fd: OwnedFd,
    /// It counts among the connections of its shard.
    counted: bool,
    /// The shard wants to hear from it.
    wanted: bool,
    /// The ring receives from it, or will from the end of this turn on.
    receiving: bool,
    /// It brought something since the ring began to receive from it.
    fed: bool,
    /// It is left alone until then, and read from afterwards.
    resting: Option<Now>,
    gather: Gather,
}

/// The sockets of one shard.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    table: Vec<Option<Socket>>,
    /// Closed while the ring had requests that the kernel has not seen. A request names its socket
    /// by number, and the number of a closed one is given out again at once, perhaps to a
    /// connection of another shard, whose bytes would then be received here.
    departed: Vec<OwnedFd>,
    /// Those that are left alone, and until when. All rests are equally long, so the first ends
    /// first.
    resting: VecDeque<(Now, ConnId)>,
    /// Those that the ring has stopped receiving from although they are wanted: those that brought
    /// nothing, and those that did. The first wait for buffers that others took, so they come first
    /// when all are asked again: one that never runs dry takes all there are.
    stopped: [Vec<ConnId>; 2],
}

impl Sockets {
    /// A new socket; receiving begins. It is `counted` unless it was one too many.
    pub(super) fn open(&mut self, ring: &mut SocketRing, conn: ConnId, fd: OwnedFd, counted: bool) {
        let slot = conn.slot() as usize;
        if self.table.len() <= slot {
            self.table.resize_with(slot + 1, || None);
        }
        ring.receive(fd.as_fd(), conn);
        if let Some(entry) = self.table.get_mut(slot) {
            *entry = Some(Socket {
                conn,
                fd,
                counted,
                wanted: true,
                receiving: true,
                fed: false,
                resting: None,
                gather: Gather::default(),
            });
        }
    }

    fn get_mut(&mut self, conn: ConnId) -> Option<&mut Socket> {
        self.table.get_mut(conn.slot() as usize)?.as_mut().filter(|socket| socket.conn == conn)
    }

    /// The connection that a token which came back is for, if it still has its socket.
    pub(super) fn owner(&self, token: ConnId) -> Option<ConnId> {
        let socket = self.table.get(token.slot() as usize)?.as_ref()?;
        Token::is_for(token, socket.conn).then_some(socket.conn)
    }

    /// The socket of a connection.
    pub(super) fn fd(&self, conn: ConnId) -> Option<BorrowedFd<'_>> {
        let socket = self.table.get(conn.slot() as usize)?.as_ref()?;
        (socket.conn == conn).then(|| socket.fd.as_fd())
    }

    /// Reads no more for now.
    pub(super) fn pause(&mut self, ring: &mut SocketRing, conn: ConnId) {
        let Some(socket) = self.get_mut(conn) else { return };
        socket.wanted = false;
        socket.resting = None;
        if socket.receiving {
            ring.cancel_receive(conn);
        }
    }

    /// The ring brought so many bytes, and goes on receiving.
    pub(super) fn heard(&mut self, ring: &mut SocketRing, now: Now, conn: ConnId, bytes: usize) {
        let Some(socket) = self.get_mut(conn).filter(|socket| socket.receiving) else { return };
        socket.fed = true;
        if !socket.wanted || socket.resting.is_some() {
            // A receive that has more to do at the moment when it is to be cancelled is not found,
            // and goes on.
            ring.cancel_receive(conn);
        } else if let Some(rest) = socket.gather.came(now, bytes) {
            let until = now.after(rest);
            socket.resting = Some(until);
            ring.cancel_receive(conn);
            self.resting.push_back((until, conn));
        }
    }

    /// The next socket that has been left alone for long enough, to be read from.
    pub(super) fn rested(&mut self, ring: &mut SocketRing, now: Now) -> Option<ConnId> {
        while let Some(&(until, conn)) = self.resting.front()
            && until <= now
        {
            self.resting.pop_front();
            // One that was paused meanwhile is not left alone any more, or again.
            let resting = self.get_mut(conn).filter(|socket| socket.resting == Some(until));
            let Some(socket) = resting else { continue };
            if !socket.receiving {
                return Some(conn);
            }
            // What the ring has received is still to come, and comes first. A receive that was busy
            // when it was to be cancelled goes on.
            ring.cancel_receive(conn);
            let until = now.after(GATHER_REST);
            socket.resting = Some(until);
            self.resting.push_back((until, conn));
        }
        None
    }

    /// How long until a socket has been left alone for long enough.
    pub(super) fn rest(&self, now: Now) -> Option<Duration> {
        self.resting.front().map(|(until, _)| until.since(now))
    }

    /// A socket that was left alone brought so many bytes. It is left alone again, or the ring
    /// receives from it again.
    pub(super) fn gathered(&mut self, now: Now, conn: ConnId, bytes: usize) {
        let Some(socket) = self.get_mut(conn) else { return };
        socket.resting = socket.gather.came(now, bytes).map(|rest| now.after(rest));
        match socket.resting {
            Some(until) => self.resting.push_back((until, conn)),
            None => self.stopped(conn),
        }
    }

    /// Reads again.
    pub(super) fn resume(&mut self, ring: &mut SocketRing, conn: ConnId) {
        let Some(socket) = self.get_mut(conn) else { return };
        socket.wanted = true;
        if !socket.receiving && socket.resting.is_none() {
            socket.receiving = true;
            ring.receive(socket.fd.as_fd(), conn);
        }
    }

    /// The ring has stopped receiving; it begins again at the end of the turn, if the shard still
    /// wants to hear then.
    pub(super) fn stopped(&mut self, conn: ConnId) {
        let Some(socket) = self.get_mut(conn) else { return };
        let was_fed = std::mem::take(&mut socket.fed);
        socket.receiving = socket.wanted && socket.resting.is_none();
        if socket.receiving {
            let [starved, fed] = &mut self.stopped;
            if was_fed { fed.push(conn) } else { starved.push(conn) }
        }
    }

    /// The ring receives again from those that it stopped receiving from.
    pub(super) fn begin_again(&mut self, ring: &mut SocketRing) {
        let mut stopped = std::mem::take(&mut self.stopped);
        for conn in stopped.iter_mut().flat_map(|list| list.drain(..)) {
            let Some(socket) = self.get_mut(conn) else { continue };
            socket.receiving = socket.wanted && socket.resting.is_none();
            if socket.receiving {
                ring.receive(socket.fd.as_fd(), conn);
            }
        }
        self.stopped = stopped;
    }

    /// The ring has stopped receiving for good: the peer hung up.
    pub(super) fn ended(&mut self, conn: ConnId) {
        if let Some(socket) = self.get_mut(conn) {
            // Nothing will come any more, so there is nothing to arm: as if it always were.
            socket.receiving = true;
            socket.resting = None;
        }
    }

    /// Tells the peer that nothing more will come.
    pub(super) fn finish(&mut self, conn: ConnId) {
        if let Some(fd) = self.fd(conn) {
            // A socket that is gone already needs no farewell.
            let _ = shutdown(fd, Shutdown::Write);
        }
    }

    /// Lets go of a socket. What the ring still does for it holds it open until that has ended,
    /// so it is shut down first. Returns whether it was counted.
    pub(super) fn close(&mut self, ring: &mut SocketRing, conn: ConnId) -> bool {
        let Some(entry) = self.table.get_mut(conn.slot() as usize) else { return false };
        let Some(socket) = entry.take_if(|socket| socket.conn == conn) else { return false };
        // One that is not connected any more is what is wanted.
        let _ = shutdown(&socket.fd, Shutdown::Both);
        if !ring.is_submitted() {
            self.departed.push(socket.fd);
        }
        socket.counted
    }

    /// The kernel was given all requests: it looks up no number of a closed socket any more.
    pub(super) fn submitted(&mut self, ring: &mut SocketRing) {
        if !self.departed.is_empty() && ring.is_submitted() {
            self.departed.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::super::buf::{BUFFER_BYTES, BUFFERS};
    use super::super::socket_ring::Outcome;
    use super::*;

    #[test]
    fn a_paused_socket_is_soon_not_received_from_however_much_its_peer_sends() {
        let conn = ConnId::new(0, 0);
        let mut ring = SocketRing::new().unwrap();
        let mut sockets = Sockets::default();
        let (mut client, server) = UnixStream::pair().unwrap();
        let flood = std::thread::spawn(move || while client.write_all(&[0; 1 << 16]).is_ok() {});
        sockets.open(&mut ring, conn, server.into(), true);
        let at_once = usize::from(BUFFERS) * BUFFER_BYTES as usize;
        for _ in 0..20 {
            let (mut received, mut stopped, mut completions) = (0, false, Vec::new());
            while !stopped {
                ring.poll().unwrap();
                ring.collect(&mut completions, 256);
                for completion in completions.drain(..) {
                    if completion.token != Token::Receive(conn) {
                        continue;
                    }
                    if let Outcome::Data(piece) = completion.outcome {
                        received += ring.bytes(piece).len();
                        ring.release(piece);
                        sockets.heard(&mut ring, Now::ZERO, conn, 1 << 16);
                    }
                    if !completion.more {
                        sockets.stopped(conn);
                        sockets.begin_again(&mut ring);
                        stopped = sockets.get_mut(conn).is_some_and(|socket| !socket.receiving);
                    }
                }
                if received > 0 && sockets.get_mut(conn).is_some_and(|socket| socket.wanted) {
                    sockets.pause(&mut ring, conn);
                }
                assert!(received <= 8 * at_once, "{received} bytes came");
            }
            sockets.resume(&mut ring, conn);
        }
        sockets.close(&mut ring, conn);
        ring.poll().unwrap();
        sockets.submitted(&mut ring);
        flood.join().unwrap();
    }

    #[test]
    fn a_request_never_meets_another_socket_under_the_number_of_its_own() {
        let conn = ConnId::new(3, 5);
        let mut ring = SocketRing::new().unwrap();
        let mut sockets = Sockets::default();
        let (mut client, server) = UnixStream::pair().unwrap();
        let number = server.as_raw_fd();
        sockets.open(&mut ring, conn, server.into(), true);
        sockets.close(&mut ring, conn);
        assert!(sockets.fd(conn).is_none());

        let (mut other, theirs) = UnixStream::pair().unwrap();
        let theirs = rustix::io::fcntl_dupfd_cloexec(theirs, number).unwrap();
        let mut theirs = UnixStream::from(theirs);
        other.write_all(b"for somebody else").unwrap();
        ring.poll().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let mut bytes = [0; 32];
        assert_eq!(theirs.read(&mut bytes).unwrap(), 17);

        sockets.submitted(&mut ring);
        assert!(sockets.departed.is_empty());
        assert_eq!(client.read(&mut bytes).unwrap(), 0);
    }
}
