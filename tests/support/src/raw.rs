//! A client that knows bytes and deadlines, and nothing of the protocol but where a line ends.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// How long an answer may take before it counts as missing.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// One connection. Reading never waits beyond a deadline.
pub struct Raw {
    stream: TcpStream,
    /// Received and not taken yet.
    received: Vec<u8>,
    ended: bool,
}

impl Raw {
    /// Connects, and reads nothing.
    ///
    /// # Errors
    /// If nobody listens.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE)?)
    }

    /// Takes over a connected socket.
    ///
    /// # Errors
    /// If the socket refuses its options.
    pub fn over(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new(), ended: false })
    }

    /// Connects as a client does: INFO read, `options` sent as CONNECT, a first round trip made.
    ///
    /// # Errors
    /// If the server does not answer as it should.
    pub fn client(address: SocketAddr, options: &str) -> io::Result<Self> {
        let mut raw = Self::connect(address)?;
        let info = raw.line()?;
        if !info.starts_with("INFO {") {
            return Err(io::Error::other(format!("expected INFO, got {info}")));
        }
        raw.send(format!("CONNECT {options}\r\n").as_bytes())?;
        raw.sync()?;
        Ok(raw)
    }

    /// The socket, for what this type does not offer.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// If the peer is gone or takes nothing for [`PATIENCE`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// PING, and nothing but PONG back.
    ///
    /// # Errors
    /// If something else comes, or nothing.
    pub fn sync(&mut self) -> io::Result<()> {
        self.send(b"PING\r\n")?;
        let line = self.line()?;
        if line == "PONG" { Ok(()) } else { Err(io::Error::other(format!("no PONG: {line}"))) }
    }

    /// Takes one line, without its end.
    ///
    /// # Errors
    /// If none is complete within [`PATIENCE`], or the connection ends.
    pub fn line(&mut self) -> io::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(end) = self.received.iter().position(|&b| b == b'\n') {
                let mut line: Vec<u8> = self.received.drain(..=end).collect();
                line.truncate(line.len() - 1);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            self.more_or_error(deadline)?;
        }
    }

    /// Takes exactly this many bytes.
    ///
    /// # Errors
    /// If they do not come within [`PATIENCE`], or the connection ends.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        while self.received.len() < count {
            self.more_or_error(deadline)?;
        }
        Ok(self.received.drain(..count).collect())
    }

    /// What was received and not taken.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.received
    }

    /// Forgets the first `count` received bytes.
    pub fn skip(&mut self, count: usize) {
        self.received.drain(..count.min(self.received.len()));
    }

    /// Whether the server has closed the connection. What came before is still pending.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Waits for more bytes. `false` if none came before the deadline, or the connection ended.
    ///
    /// # Errors
    /// If the socket fails other than by being reset, which counts as its end.
    pub fn more(&mut self, deadline: Instant) -> io::Result<bool> {
        let mut chunk = [0; 64 << 10];
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() || self.ended {
            return Ok(false);
        }
        self.stream.set_read_timeout(Some(left))?;
        match self.stream.read(&mut chunk) {
            Ok(0) => self.ended = true,
            Ok(n) => self.received.extend(chunk.get(..n).unwrap_or_default()),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return Ok(false);
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::ConnectionReset => self.ended = true,
            Err(e) => return Err(e),
        }
        Ok(!self.ended)
    }

    fn more_or_error(&mut self, deadline: Instant) -> io::Result<()> {
        if self.more(deadline)? {
            return Ok(());
        }
        let what = if self.ended { ErrorKind::UnexpectedEof } else { ErrorKind::TimedOut };
        let start = self.received.get(..100).unwrap_or(&self.received).escape_ascii();
        let count = self.received.len();
        Err(io::Error::new(what, format!("{what} with {count} bytes received: {start}")))
    }
}
