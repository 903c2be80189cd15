//! The bytes of one connection, plain or over TLS.
//!
//! Everything has an end: a read waits as long as the socket was told to, a write and a handshake
//! have a deadline however slowly the peer takes part.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use rustls::ServerConnection;

use crate::tls;

/// One write to the socket takes at most this.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// Bytes taken from the socket at a time.
const CHUNK: usize = 4096;

/// How requests begin that come without TLS, as Go tells them from garbage.
const PLAIN: [&[u8; 5]; 5] = [b"GET /", b"HEAD ", b"POST ", b"PUT /", b"OPTIO"];

/// What they are told.
const NOT_TLS: &[u8] =
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";

/// A connection that can be read and written.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<Secure>),
}

pub(super) struct Secure {
    tcp: TcpStream,
    tls: ServerConnection,
}

impl Stream {
    /// A connection that was accepted, after the handshake if there is one.
    ///
    /// An error says why there is no connection.
    pub(super) fn open(tcp: TcpStream, tls: Option<(tls::Server, Duration)>) -> Result<Self, Shut> {
        // Without these it works too.
        let _ = tcp.set_nodelay(true);
        let _ = tcp.set_write_timeout(Some(WRITE_TIME));
        let Some((server, most)) = tls else { return Ok(Self::Plain(tcp)) };
        let deadline = Instant::now() + most;
        let tls = server.accept().map_err(|error| Shut::Failed(error.to_string()))?;
        let mut secure = Secure { tcp, tls };
        secure.shake_hands(deadline)?;
        Ok(Self::Tls(Box::new(secure)))
    }

    /// What has arrived. Nothing in time, or nothing that is for the reader, is `WouldBlock` or
    /// `TimedOut`.
    pub(super) fn read(&mut self, into: &mut [u8], wait: Duration) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => {
                tcp.set_read_timeout(Some(wait))?;
                tcp.read(into)
            }
            Self::Tls(secure) => secure.read(into, wait),
        }
    }

    /// All of `bytes`, before the deadline.
    pub(super) fn write(&mut self, mut bytes: &[u8], deadline: Instant) -> io::Result<()> {
        while !bytes.is_empty() {
            let count = match self {
                Self::Plain(tcp) => {
                    let piece = bytes.get(..bytes.len().min(256 << 10)).unwrap_or_default();
                    some(tcp.write(piece))?
                }
                Self::Tls(secure) => {
                    let count = some(secure.tls.writer().write(bytes))?;
                    secure.send(deadline)?;
                    count
                }
            };
            bytes = bytes.get(count..).unwrap_or_default();
            if Instant::now() > deadline && !bytes.is_empty() {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    /// Nothing more will be written. Takes what the client still sends, which would otherwise take
    /// the last response from it.
    pub(super) fn close(mut self, wait: Duration) {
        let tcp = match &mut self {
            Self::Plain(tcp) => tcp,
            Self::Tls(secure) => {
                secure.tls.send_close_notify();
                // Whoever does not take it finds the connection closed.
                let _ = secure.send(Instant::now() + wait);
                &mut secure.tcp
            }
        };
        drain(tcp, wait);
    }
}

impl Secure {
    fn shake_hands(&mut self, deadline: Instant) -> Result<(), Shut> {
        let mut begin = Vec::new();
        let mut chunk = [0; CHUNK];
        while self.tls.is_handshaking() {
            self.send(deadline)?;
            if !self.tls.is_handshaking() {
                break;
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(Shut::Failed("it took too long".to_owned()));
            }
            // The system knows no wait of nothing.
            self.tcp.set_read_timeout(Some(rest.max(Duration::from_millis(1))))?;
            let count = match self.tcp.read(&mut chunk) {
                Ok(0) if begin.is_empty() => return Err(Shut::Unused),
                Ok(0) => return Err(Shut::Failed("EOF".to_owned())),
                Ok(count) => count,
                Err(error) if is_pause(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            let arrived = chunk.get(..count).unwrap_or_default();
            let missing = PLAIN[0].len().saturating_sub(begin.len());
            begin.extend_from_slice(arrived.get(..missing.min(count)).unwrap_or_default());
            if PLAIN.iter().any(|plain| begin == *plain) {
                let _ = self.tcp.write_all(NOT_TLS);
                drain(&mut self.tcp, Duration::from_millis(500));
                return Err(Shut::Failed(
                    "client sent an HTTP request to an HTTPS server".to_owned(),
                ));
            }
            self.take(arrived, deadline)?;
        }
        self.send(deadline)?;
        Ok(())
    }

    fn read(&mut self, into: &mut [u8], wait: Duration) -> io::Result<usize> {
        match self.tls.reader().read(into) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => return other,
        }
        self.tcp.set_read_timeout(Some(wait))?;
        let mut chunk = [0; CHUNK];
        let count = self.tcp.read(&mut chunk)?;
        if count == 0 {
            return Ok(0);
        }
        self.take(chunk.get(..count).unwrap_or_default(), Instant::now() + WRITE_TIME)?;
        // Some records are for nobody but TLS: a peer that sends only such has sent nothing.
        self.tls.reader().read(into)
    }

    /// Gives bytes of the peer to TLS, and the peer what follows from them.
    fn take(&mut self, mut arrived: &[u8], deadline: Instant) -> io::Result<()> {
        while !arrived.is_empty() {
            some(self.tls.read_tls(&mut arrived))?;
            if let Err(error) = self.tls.process_new_packets() {
                // The peer is told, if it listens.
                let _ = self.send(deadline);
                drain(&mut self.tcp, Duration::from_millis(50));
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
        }
        self.send(deadline)
    }

    fn send(&mut self, deadline: Instant) -> io::Result<()> {
        while self.tls.wants_write() {
            some(self.tls.write_tls(&mut self.tcp))?;
            if self.tls.wants_write() && Instant::now() > deadline {
                return Err(ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }
}

/// Why a connection never came to be.
#[derive(Debug)]
pub(super) enum Shut {
    /// Somebody looked whether the port is open.
    Unused,
    /// This.
    Failed(String),
}

impl From<io::Error> for Shut {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Ends the writing side and takes once what the peer still sends.
pub(super) fn drain(tcp: &mut TcpStream, wait: Duration) {
    let _ = tcp.shutdown(Shutdown::Write);
    let _ = tcp.set_read_timeout(Some(wait));
    let _ = tcp.read(&mut [0; CHUNK]);
}

/// A count that is not zero: nothing taken is the end.
fn some(count: io::Result<usize>) -> io::Result<usize> {
    count.and_then(|count| if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(count) })
}

/// Whether this is no error but a while in which nothing came.
pub(super) fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
