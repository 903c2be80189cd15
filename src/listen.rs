//! The client listener: from a host and a port to a socket that listens, or a line that says why
//! not.
//!
//! Error texts begin as nats-server's do, because suites wait for them, and end with the remedy.
//! There is no `SO_REUSEPORT`: with it a second server on the same port would silently take half
//! of the connections instead of failing.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long a port in use is asked for again. A server that was killed leaves its listener to its
/// rings, and the kernel takes those apart a few milliseconds after the process is gone: whoever
/// starts the next one at once shall not have to start it twice.
const PATIENCE: Duration = Duration::from_millis(500);

/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(10);

/// Address of a listener as the operator gave it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Address or name.
    pub host: String,
    /// Zero lets the kernel choose.
    pub port: u16,
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&join(&self.host, self.port))
    }
}

/// `host:port`, an IPv6 address in brackets.
#[must_use]
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Why nothing listens.
#[derive(Debug)]
pub struct ListenError {
    endpoint: Endpoint,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// No such host.
    Lookup(String),
    /// The kernel refused.
    Socket(&'static str, SocketAddr, io::Error),
}

impl ListenError {
    /// What the system said, as Go puts it.
    #[must_use]
    pub fn cause(&self) -> String {
        self.parts().0
    }

    /// That, and what to do.
    fn parts(&self) -> (String, &'static str) {
        let endpoint = &self.endpoint;
        let (cause, remedy) = match &self.cause {
            Cause::Lookup(cause) => (
                format!("lookup {}: {cause}", endpoint.host),
                "give -a an address of this host or a name that resolves to one",
            ),
            Cause::Socket(call, address, error) => {
                let remedy = match error.kind() {
                    io::ErrorKind::AddrInUse => {
                        "stop the process that listens there or choose another port with -p"
                    }
                    io::ErrorKind::AddrNotAvailable => {
                        "no interface of this host has that address: choose another with -a"
                    }
                    io::ErrorKind::PermissionDenied => {
                        "ports below 1024 need CAP_NET_BIND_SERVICE: choose another with -p"
                    }
                    _ => "choose another address with -a",
                };
                // A wildcard listens through an IPv6 socket; the operator asked for the host.
                let ip = address.ip();
                let shown =
                    if ip.is_unspecified() { endpoint.to_string() } else { address.to_string() };
                (format!("{shown}: {call}: {}", reason(error)), remedy)
            }
        };
        let separator = if matches!(self.cause, Cause::Lookup(_)) { ":" } else { "" };
        (format!("listen tcp{separator} {cause}"), remedy)
    }
}

impl std::fmt::Display for ListenError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (endpoint, (cause, remedy)) = (&self.endpoint, self.parts());
        write!(f, "Error listening on port: {endpoint}, {cause:?} ({remedy})")
    }
}

impl std::error::Error for ListenError {}

/// What the kernel said, in the words and case that Go prints.
pub(crate) fn reason(error: &io::Error) -> String {
    let Some(code) = error.raw_os_error() else { return error.to_string() };
    let text = Errno::from_raw(code).desc();
    match Errno::from_raw(code) {
        Errno::EADDRNOTAVAIL => "cannot assign requested address".to_owned(),
        _ => text.to_lowercase(),
    }
}

/// Opens the listener.
///
/// # Errors
/// Returns the line to log: what was tried, what the system said, and what to do.
pub fn listen(endpoint: &Endpoint) -> Result<TcpListener, ListenError> {
    let error = |cause| ListenError { endpoint: endpoint.clone(), cause };
    let address = resolve(endpoint).map_err(|cause| error(Cause::Lookup(cause)))?;
    if !address.ip().is_unspecified() {
        return open_soon(address, false)
            .map_err(|(call, e)| error(Cause::Socket(call, address, e)));
    }
    // Either wildcard means both families, as with Go; on a host without IPv6 only the old one.
    let both = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), endpoint.port);
    match open_soon(both, true) {
        Err((_, e)) if lacks_ipv6(&e) && address.is_ipv4() => open_soon(address, false),
        outcome => outcome,
    }
    .map_err(|(call, e)| error(Cause::Socket(call, address, e)))
}

/// A name that has several addresses is listened on at its first IPv4 one, as Go does it.
fn resolve(endpoint: &Endpoint) -> Result<SocketAddr, String> {
    let host = endpoint.host.as_str();
    if let Ok(ip) = host.parse() {
        return Ok(SocketAddr::new(ip, endpoint.port));
    }
    let found: Vec<SocketAddr> = match (host, endpoint.port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => {
            return Err(error.to_string().replace("failed to lookup address information: ", ""));
        }
    };
    let first_v4 = found.iter().find(|address| address.is_ipv4());
    first_v4.or_else(|| found.first()).copied().ok_or_else(|| "no such host".to_owned())
}

/// Waits a moment for a port in use.
fn open_soon(address: SocketAddr, dual: bool) -> Result<TcpListener, (&'static str, io::Error)> {
    let mut waited = Duration::ZERO;
    loop {
        match open(address, dual) {
            Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse && waited < PATIENCE => {
                sleep(PAUSE);
                waited += PAUSE;
            }
            outcome => return outcome,
        }
    }
}

fn open(address: SocketAddr, dual: bool) -> Result<TcpListener, (&'static str, io::Error)> {
    let step = |call: &'static str| move |error: io::Error| (call, error);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))
        .map_err(step("socket"))?;
    if address.is_ipv6() {
        socket.set_only_v6(!dual).map_err(step("setsockopt"))?;
    }
    // A restarted server shall not wait until the connections of its predecessor are forgotten.
    socket.set_reuse_address(true).map_err(step("setsockopt"))?;
    socket.bind(&address.into()).map_err(step("bind"))?;
    socket.listen(BACKLOG.min(somaxconn())).map_err(step("listen"))?;
    Ok(socket.into())
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw);
    matches!(code, Some(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL | Errno::EPROTONOSUPPORT))
}

/// The kernel's own bound on a backlog.
pub(crate) fn somaxconn() -> i32 {
    let text = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    text.trim().parse().unwrap_or(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint { host: host.to_owned(), port }
    }

    #[test]
    fn a_port_in_use_is_named_with_a_remedy() {
        let first = listen(&endpoint("127.0.0.1", 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let error = listen(&endpoint("127.0.0.1", port)).unwrap_err().to_string();
        let expected = format!(
            "Error listening on port: 127.0.0.1:{port}, \
             \"listen tcp 127.0.0.1:{port}: bind: address already in use\" \
             (stop the process that listens there or choose another port with -p)"
        );
        assert_eq!(error, expected);
        let error = listen(&endpoint("0.0.0.0", port)).unwrap_err().to_string();
        let wildcard = format!("\"listen tcp 0.0.0.0:{port}: bind: address already in use\"");
        assert!(error.contains(&wildcard), "{error}");
    }

    #[test]
    fn a_port_that_is_about_to_be_free_is_waited_for() {
        let first = listen(&endpoint("127.0.0.1", 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        let predecessor = std::thread::spawn(move || {
            sleep(5 * PAUSE);
            drop(first);
        });
        assert!(listen(&endpoint("127.0.0.1", port)).is_ok());
        predecessor.join().unwrap();
    }

    #[test]
    fn foreign_addresses_and_unknown_names_are_refused() {
        let error = listen(&endpoint("192.0.2.99", 0)).unwrap_err().to_string();
        let text =
            "192.0.2.99:0, \"listen tcp 192.0.2.99:0: bind: cannot assign requested address\"";
        assert!(error.contains(text), "{error}");
        let error = listen(&endpoint("[::1]", 0)).unwrap_err().to_string();
        assert!(error.contains("\"listen tcp: lookup [::1]: "), "{error}");
    }

    #[test]
    fn the_wildcard_takes_the_old_family_too() {
        let listener = listen(&endpoint("0.0.0.0", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        TcpStream::connect(("127.0.0.1", port)).unwrap();
        listener.accept().unwrap();
    }

    #[test]
    fn addresses_are_joined_to_ports() {
        assert_eq!(join("::1", 4222), "[::1]:4222");
        assert_eq!(endpoint("0.0.0.0", 4222).to_string(), "0.0.0.0:4222");
    }
}
