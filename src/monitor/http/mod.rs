//! A small HTTP/1.1 server for GET and HEAD, on plain threads: one that accepts and one for each
//! connection. Nothing here runs on a shard. The threads are as important as any other: were they
//! less so, a shard could wait for one that holds a lock of the allocator and is not let run.
//!
//! | file | what |
//! | --- | --- |
//! | [`request`] | bytes to a request, or the status that refuses them |
//! | [`response`] | a response to bytes |
//! | `stream` | those bytes, plain or over TLS |
//!
//! Bounds: connections, bytes of a head, header lines, time for a handshake, for a head, for a
//! write, and without a request; the latter is shorter the fuller the server is. A connection over
//! the bound is answered 503, or closed where an answer would need a handshake.

pub mod request;
pub mod response;
mod stream;

use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tracing::error;

use crate::tls;

use request::{HEAD_BYTES_MAX, Parsed, Request, parse};
use response::Response;
use stream::{Shut, Stream, drain, is_pause};

/// Connections at once.
const CONNECTIONS_MAX: usize = 64;

/// From the first byte of a head to its last; no handshake may take longer either.
const HEAD_TIME: Duration = Duration::from_secs(5);

/// For one response, however slowly it is taken.
const RESPONSE_TIME: Duration = Duration::from_secs(60);

/// Without a request: while there is room for others, and while it gets scarce.
const IDLE_TIME: Duration = Duration::from_secs(75);
const IDLE_TIME_SCARCE: Duration = Duration::from_secs(1);

/// How often a connection that waits looks around.
const LOOK: Duration = Duration::from_millis(500);

/// How long a connection over the bound is given to send its request, which nobody reads.
const REFUSAL: Duration = Duration::from_millis(20);

/// Handshakes that failed are told of no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Threads here need little.
const STACK_BYTES: usize = 512 << 10;

/// Answers requests. Called on the thread of a connection.
pub trait Answer: Send + Sync + 'static {
    /// The response to this request.
    fn answer(&self, request: &Request) -> Response;
}

impl<T: Answer> Answer for Arc<T> {
    fn answer(&self, request: &Request) -> Response {
        (**self).answer(request)
    }
}

/// What the threads of a server share.
struct Shared {
    answers: Box<dyn Answer>,
    /// What is shown in a handshake; nothing where there is none.
    tls: Option<tls::Shared>,
    /// When the last failure of one was told.
    told: Mutex<Option<Instant>>,
    open: AtomicUsize,
    ends: AtomicBool,
}

/// A server that runs. Dropping it leaves it running; see [`Server::stop`].
pub struct Server {
    listener: Arc<TcpListener>,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

impl Server {
    /// Serves what connects to `listener`.
    ///
    /// # Errors
    /// Returns the system's error if it has no thread to give.
    pub fn start(
        listener: TcpListener,
        tls: Option<tls::Shared>,
        answers: Box<dyn Answer>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            answers,
            tls,
            told: Mutex::new(None),
            open: AtomicUsize::new(0),
            ends: AtomicBool::new(false),
        });
        let listener = Arc::new(listener);
        let (ours, theirs) = (Arc::clone(&listener), Arc::clone(&shared));
        let acceptor = thread::Builder::new()
            .name("monitor".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || accept(&ours, &theirs))?;
        Ok(Self { listener, shared, acceptor })
    }

    /// Takes no more connections. Responses that are being written are finished if the process
    /// lives on for long enough.
    pub fn stop(self) {
        self.shared.ends.store(true, Ordering::Release);
        // Ends the wait of the accepting thread.
        let _ = SockRef::from(&*self.listener).shutdown(std::net::Shutdown::Both);
        // A panic of that thread was already printed.
        let _ = self.acceptor.join();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while !shared.ends.load(Ordering::Acquire) {
        let Ok((stream, peer)) = listener.accept() else {
            // No files left, most likely: trying again at once would only burn the core.
            thread::sleep(Duration::from_millis(50));
            continue;
        };
        let seat = Seat::take(shared);
        if seat.taken > CONNECTIONS_MAX {
            if shared.tls.is_none() {
                refuse(stream);
            }
            continue;
        }
        let spawned = thread::Builder::new()
            .name("monitor-conn".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(stream, peer, seat));
        // Without a thread the connection is dropped, and its client tries again.
        drop(spawned);
    }
}

/// Room for one connection, given back when it ends.
struct Seat {
    shared: Arc<Shared>,
    taken: usize,
}

impl Seat {
    fn take(shared: &Arc<Shared>) -> Self {
        let taken = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        Self { shared: Arc::clone(shared), taken }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn refuse(mut stream: TcpStream) {
    let response = Response::text(503, "too many connections to the monitoring port\n");
    let mut bytes = response.head(false, response.body.len());
    bytes.extend_from_slice(&response.body);
    let _ = stream.set_nonblocking(true);
    // Whoever does not read this finds the connection closed.
    let _ = stream.write_all(&bytes);
    let _ = stream.set_nonblocking(false);
    // A request that nobody has read would take the answer with it.
    drain(&mut stream, REFUSAL);
}

/// On the thread of a connection: to its end.
fn serve(stream: TcpStream, peer: SocketAddr, seat: Seat) {
    let shared = Arc::clone(&seat.shared);
    let tls = shared.tls.as_ref().map(|tls| {
        let server = tls.get();
        let most = server.timeout.min(HEAD_TIME);
        (server, most)
    });
    match Stream::open(stream, tls) {
        Ok(stream) => Connection { stream, peer, seat, input: Vec::new() }.serve(),
        Err(Shut::Unused) => {}
        Err(Shut::Failed(why)) => shared.tell(peer, &why),
    }
}

impl Shared {
    /// A flood of them is one line a second.
    fn tell(&self, peer: SocketAddr, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|at| at.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            error!("monitoring: TLS handshake error from {peer}: {why}");
        }
    }
}

/// One connection, on its own thread.
struct Connection {
    stream: Stream,
    peer: SocketAddr,
    seat: Seat,
    /// Received and not answered.
    input: Vec<u8>,
}

impl Connection {
    fn serve(mut self) {
        // Every end is an end: there is nobody to tell.
        while let Ok(true) = self.exchange() {}
        self.stream.close(LOOK);
    }

    /// One request and its response. True if another may follow.
    fn exchange(&mut self) -> io::Result<bool> {
        let mut begun = (!self.input.is_empty()).then(Instant::now);
        let waits = Instant::now();
        loop {
            match parse(&self.input) {
                Parsed::Request { mut request, len, keep } => {
                    request.peer = Some(self.peer);
                    self.input.drain(..len.min(self.input.len()));
                    let keep = keep && !self.seat.shared.ends.load(Ordering::Acquire);
                    let response = self.seat.shared.answers.answer(&request);
                    self.write(&response, keep, request.head)?;
                    return Ok(keep);
                }
                Parsed::Refused(response) => {
                    self.write(&response, false, false)?;
                    return Ok(false);
                }
                Parsed::More => {}
            }
            let (since, limit) =
                begun.map_or_else(|| (waits, self.idle_time()), |at| (at, HEAD_TIME));
            let ends = self.seat.shared.ends.load(Ordering::Acquire);
            if since.elapsed() >= limit || (ends && begun.is_none()) {
                if begun.is_some() {
                    self.write(&Response::text(408, "request took too long\n"), false, false)?;
                }
                return Ok(false);
            }
            if self.receive()? {
                begun.get_or_insert_with(Instant::now);
            }
        }
    }

    fn idle_time(&self) -> Duration {
        let open = self.seat.shared.open.load(Ordering::Relaxed);
        if open > CONNECTIONS_MAX / 2 { IDLE_TIME_SCARCE } else { IDLE_TIME }
    }

    /// Takes what has arrived, at most what a head may have. False if nothing came for a while.
    fn receive(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 4096];
        let most = HEAD_BYTES_MAX.saturating_sub(self.input.len()).clamp(1, chunk.len());
        match self.stream.read(chunk.get_mut(..most).unwrap_or_default(), LOOK) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.input.extend_from_slice(chunk.get(..count).unwrap_or_default());
                Ok(true)
            }
            Err(error) if is_pause(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, response: &Response, keep: bool, head_only: bool) -> io::Result<()> {
        let deadline = Instant::now() + RESPONSE_TIME;
        let mut first = response.head(keep, response.body.len());
        let mut rest: &[u8] = if head_only { &[] } else { &response.body };
        // A small body goes with its head.
        if rest.len() <= 4096 {
            first.extend_from_slice(rest);
            rest = &[];
        }
        self.stream.write(&first, deadline)?;
        self.stream.write(rest, deadline)
    }
}

#[cfg(test)]
mod tests;
