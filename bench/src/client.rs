//! The smallest client that a NATS server accepts: a socket and the handshake.
//!
//! Client libraries cap at a few million messages per second and would measure themselves, so the
//! roles in `load` write frames and read bytes themselves. After the handshake the socket does not
//! block.
#![deny(clippy::indexing_slicing)]

use std::cell::RefCell;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustls::ClientConfig;

use crate::check::CheckFailure;
use crate::scenario::{Login, Setup};
use crate::tls::{self, Session};

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a full socket may stay full before the server counts as stuck.
const STUCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Bound on what a server says before its first PONG.
const GREETING_LEN_MAX: usize = 64 * 1_024;

/// Where clients enter, and what they say first.
#[derive(Clone)]
pub(crate) struct Door {
    addr: SocketAddr,
    hello: String,
    /// How TLS is spoken, if it is.
    tls: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl Door {
    /// Clients log in as `login` and speak TLS as the set-up says.
    pub(crate) fn new(
        addr: SocketAddr,
        setup: Option<&Setup>,
        login: Option<&Login>,
    ) -> Result<Self> {
        let tls = setup.filter(|setup| setup.tls).map(|_| tls::client_config()).transpose()?;
        let login = login.map_or_else(String::new, |Login { user, password }| {
            format!(",\"user\":\"{user}\",\"pass\":\"{password}\"")
        });
        let hello = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"tls_required\":{},\
             \"name\":\"ringbus-bench\",\"lang\":\"raw\",\"version\":\"1\",\
             \"protocol\":1{login}}}\r\nPING\r\n",
            tls.is_some()
        );
        Ok(Self { addr, hello, tls })
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// What a non-blocking read or write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    Bytes(usize),
    /// Nothing now; wait for the socket.
    Later,
}

/// A connection past its handshake.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    tls: Option<RefCell<Session>>,
}

impl Client {
    /// Connects, sends CONNECT and `then` (for example SUB lines), and waits until the server has
    /// taken all of it.
    pub(crate) fn connect(door: &Door, then: &str) -> Result<Self> {
        let Door { addr, hello, tls } = door;
        let stream = TcpStream::connect(addr)
            .map_err(|error| CheckFailure(format!("cannot connect to {addr}: {error}")))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(HANDSHAKE_TIMEOUT))?;
        let mut client = Self { stream, tls: None };
        client.expect(b"INFO ")?;
        if let Some(config) = tls {
            let session = Session::open(config, &client.stream)
                .map_err(|error| CheckFailure(format!("TLS handshake: {error:#}")))?;
            client.tls = Some(RefCell::new(session));
        }
        client.write_all(hello.as_bytes())?;
        client.expect(b"PONG\r\n")?;
        if !then.is_empty() {
            client.write_all(format!("{then}PING\r\n").as_bytes())?;
            client.expect(b"PONG\r\n")?;
        }
        client.stream.set_nonblocking(true)?;
        Ok(client)
    }

    /// The same while messages may come already: does not wait until `then` has been taken.
    pub(crate) fn connect_amid(door: &Door, then: &str) -> Result<Self> {
        let client = Self::connect(door, "")?;
        client.write_all(then.as_bytes())?;
        Ok(client)
    }

    /// Reads whole lines until one is `wanted`, or starts with it. A server may say more around it:
    /// INFO again after the first PONG.
    fn expect(&mut self, wanted: &[u8]) -> Result<()> {
        let mut seen = Vec::new();
        let mut chunk = [0u8; 4_096];
        let found = |seen: &[u8]| {
            seen.ends_with(b"\n")
                && seen.split_inclusive(|byte| *byte == b'\n').any(|line| line.starts_with(wanted))
        };
        while !found(&seen) {
            let len = match self.read_some(&mut chunk) {
                // A record that was no data. A plain socket times out and is given up.
                Err(error) if self.tls.is_some() && later(&error).is_some() => continue,
                read => read.unwrap_or(0),
            };
            seen.extend_from_slice(chunk.get(..len).unwrap_or_default());
            if len == 0 || seen.starts_with(b"-ERR") || seen.len() > GREETING_LEN_MAX {
                let (wanted, seen) =
                    (String::from_utf8_lossy(wanted), String::from_utf8_lossy(&seen));
                let text = format!("handshake: expected {wanted:?}, saw {seen:?} and no more");
                return Err(CheckFailure(text).into());
            }
        }
        Ok(())
    }

    fn read_some(&self, buf: &mut [u8]) -> std::io::Result<usize> {
        match &self.tls {
            None => (&self.stream).read(buf),
            Some(tls) => tls.borrow_mut().read(&self.stream, buf),
        }
    }

    /// Reads what is there.
    pub(crate) fn read(&self, buf: &mut [u8]) -> Result<Moved> {
        match self.read_some(buf) {
            Ok(0) => Err(CheckFailure("server closed the connection".to_owned()).into()),
            Ok(len) => Ok(Moved::Bytes(len)),
            Err(error) => later(&error).ok_or_else(|| lost(&error)),
        }
    }

    /// Writes what the socket takes. If that is nothing now, the same bytes have to come again.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<Moved> {
        let written = match &self.tls {
            None => (&self.stream).write(bytes),
            Some(tls) => tls.borrow_mut().write(&self.stream, bytes),
        };
        match written {
            Ok(len) => Ok(Moved::Bytes(len)),
            Err(error) => later(&error).ok_or_else(|| lost(&error)),
        }
    }

    /// Writes everything, waiting while the socket is full. Only for roles whose reading does not
    /// depend on this write.
    pub(crate) fn write_all(&self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            match self.write(bytes)? {
                Moved::Bytes(len) => bytes = bytes.get(len..).unwrap_or_default(),
                Moved::Later => {
                    if !wait(&[self], PollFlags::OUT, STUCK_TIMEOUT)? {
                        let text = format!("server took no bytes for {STUCK_TIMEOUT:?}");
                        return Err(CheckFailure(text).into());
                    }
                }
            }
        }
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Waits until one of the sockets is ready; false if the time is up.
pub(crate) fn wait(clients: &[&Client], flags: PollFlags, timeout: Duration) -> Result<bool> {
    let mut fds: Vec<PollFd<'_>> =
        clients.iter().map(|client| PollFd::new(*client, flags)).collect();
    let timeout = Timespec::try_from(timeout).context("timeout")?;
    match poll(&mut fds, Some(&timeout)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(true),
        Err(error) => Err(error).context("poll"),
    }
}

fn later(error: &std::io::Error) -> Option<Moved> {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted).then_some(Moved::Later)
}

fn lost(error: &std::io::Error) -> anyhow::Error {
    CheckFailure(format!("connection lost: {error}")).into()
}
