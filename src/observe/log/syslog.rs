//! The syslog of this host or another, in the form that nats-server (that is, Go) writes: to a
//! local socket with a short time, to others with the time of RFC 3339 and the name of this host.
//!
//! A connection that breaks is made anew, once a line: a line that cannot be sent is lost.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::format::{Line, append_escaped};
use super::sink::hostname;
use crate::listen::reason;

/// Where a host has its syslog.
const LOCAL: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];

/// The facilities that nats-server uses: daemon here, the default (kernel) elsewhere.
const FACILITY_LOCAL: u8 = 3 << 3;
const FACILITY_REMOTE: u8 = 0;

/// Longest wait for a syslog that is reached over TCP.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where it is.
enum Address {
    Local(Vec<PathBuf>),
    Udp(String),
    Tcp(String),
    Unix(PathBuf),
}

/// An open way there.
enum Connection {
    Datagram(UnixDatagram),
    Stream(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

/// A syslog.
pub(super) struct Syslog {
    address: Address,
    connection: Option<Connection>,
    tag: String,
    host: String,
    zone: TimeZone,
}

impl Syslog {
    /// That of this host.
    ///
    /// # Errors
    /// Returns the line to print if there is none.
    pub(super) fn local(tag: &str) -> Result<Self, String> {
        Self::local_at(LOCAL.iter().map(PathBuf::from).collect(), tag)
    }

    fn local_at(paths: Vec<PathBuf>, tag: &str) -> Result<Self, String> {
        Self::open(Address::Local(paths), tag)
    }

    /// The one that a URL names.
    ///
    /// # Errors
    /// Returns the line to print if the URL names none, or it cannot be reached.
    pub(super) fn remote(url: &str, tag: &str) -> Result<Self, String> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let host = || rest.split('/').next().unwrap_or_default().to_owned();
        let address = match scheme {
            "udp" => Address::Udp(host()),
            "tcp" => Address::Tcp(host()),
            "unix" => Address::Unix(PathBuf::from(rest)),
            _ => {
                return Err(format!(
                    "error invalid network type: {scheme:?} (give udp://host:port, \
                     tcp://host:port or unix:///path)"
                ));
            }
        };
        Self::open(address, tag)
    }

    fn open(address: Address, tag: &str) -> Result<Self, String> {
        let connection = address.connect().map_err(|error| {
            let cause = reason(&error);
            let text = match &address {
                Address::Local(_) => "Unix syslog delivery error".to_owned(),
                Address::Udp(host) => format!("dial udp {host}: {cause}"),
                Address::Tcp(host) => format!("dial tcp {host}: connect: {cause}"),
                Address::Unix(path) => format!("dial unix {}: connect: {cause}", path.display()),
            };
            format!("error connecting to syslog: {text:?}")
        })?;
        let (tag, host) = (tag.to_owned(), hostname());
        Ok(Self { address, connection: Some(connection), tag, host, zone: TimeZone::system() })
    }

    /// Sends a line.
    pub(super) fn put(&mut self, line: &Line) {
        let message = self.message(line);
        if self.connection.as_mut().is_some_and(|open| open.send(&message).is_ok()) {
            return;
        }
        self.connection = self.address.connect().ok();
        if let Some(open) = &mut self.connection {
            // There is nowhere left to report that the log cannot be written.
            let _ = open.send(&message);
        }
    }

    fn message(&self, line: &Line) -> String {
        let time = line.at.to_zoned(self.zone.clone());
        let severity = line.label.syslog_severity();
        let (tag, pid) = (&self.tag, std::process::id());
        let mut message = String::with_capacity(64 + line.text.len());
        // Writing to a String cannot fail.
        let _ = match self.address {
            Address::Local(_) | Address::Unix(_) => {
                let facility = match self.address {
                    Address::Local(_) => FACILITY_LOCAL,
                    _ => FACILITY_REMOTE,
                };
                let (priority, time) = (facility | severity, time.strftime("%b %e %H:%M:%S"));
                write!(message, "<{priority}>{time} {tag}[{pid}]: ")
            }
            Address::Udp(_) | Address::Tcp(_) => {
                let zone = if time.offset().is_zero() { "Z".to_owned() } else { offset(&time) };
                let (priority, host) = (FACILITY_REMOTE | severity, &self.host);
                let time = time.strftime("%Y-%m-%dT%H:%M:%S");
                write!(message, "<{priority}>{time}{zone} {host} {tag}[{pid}]: ")
            }
        };
        append_escaped(&line.text, &mut message);
        message.push('\n');
        message
    }
}

fn offset(time: &jiff::Zoned) -> String {
    time.strftime("%:z").to_string()
}

impl Address {
    fn connect(&self) -> io::Result<Connection> {
        match self {
            Self::Local(paths) => {
                let found = paths.iter().find_map(|path| connect_local(path).ok());
                found.ok_or_else(|| io::ErrorKind::NotFound.into())
            }
            Self::Udp(host) => {
                let to = resolve(host)?;
                let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(any)?;
                socket.connect(to)?;
                Ok(Connection::Udp(socket))
            }
            Self::Tcp(host) => {
                let stream = TcpStream::connect_timeout(&resolve(host)?, PATIENCE)?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Connection::Tcp(stream))
            }
            Self::Unix(path) => connect_stream(path),
        }
    }
}

fn connect_local(path: &Path) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    match socket.connect(path) {
        Ok(()) => Ok(Connection::Datagram(socket)),
        Err(_) => connect_stream(path),
    }
}

fn connect_stream(path: &Path) -> io::Result<Connection> {
    let stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(Connection::Stream(stream))
}

fn resolve(host: &str) -> io::Result<std::net::SocketAddr> {
    host.to_socket_addrs()?.next().ok_or_else(|| io::ErrorKind::NotFound.into())
}

impl Connection {
    fn send(&mut self, message: &str) -> io::Result<()> {
        let bytes = message.as_bytes();
        match self {
            Self::Datagram(socket) => socket.send(bytes).map(drop),
            Self::Udp(socket) => socket.send(bytes).map(drop),
            Self::Stream(stream) => stream.write_all(bytes),
            Self::Tcp(stream) => stream.write_all(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;

    use jiff::Timestamp;

    use super::super::format::Label;
    use super::*;

    fn line(label: Label, text: &str) -> Line {
        let at = Timestamp::from_microsecond(1_795_160_368_731_234).unwrap();
        Line { at, label, text: text.to_owned() }
    }

    fn in_utc(mut syslog: Syslog) -> Syslog {
        syslog.zone = TimeZone::UTC;
        syslog
    }

    #[test]
    fn local_lines_have_the_short_time_and_come_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let paths = vec![dir.path().join("none"), path.clone()];
        let mut syslog = in_utc(Syslog::local_at(paths, "nats-server").unwrap());
        let pid = std::process::id();
        let mut received = |receiver: &UnixDatagram, label, text: &str| {
            syslog.put(&line(label, text));
            let mut bytes = [0; 500];
            let count = receiver.recv(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes[..count]).into_owned()
        };
        let expected = format!("<29>Nov 20 07:39:28 nats-server[{pid}]: a\\nb\n");
        assert_eq!(received(&receiver, Label::Information, "a\nb"), expected);
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        let receiver = UnixDatagram::bind(&path).unwrap();
        let expected = format!("<27>Nov 20 07:39:28 nats-server[{pid}]: c\n");
        assert_eq!(received(&receiver, Label::Error, "c"), expected);
    }

    #[test]
    fn remote_lines_carry_the_host() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let url = format!("udp://{}", receiver.local_addr().unwrap());
        let mut syslog = in_utc(Syslog::remote(&url, "ringbus").unwrap());
        let (pid, host) = (std::process::id(), hostname());
        for (label, severity) in [
            (Label::Information, 5),
            (Label::Warning, 4),
            (Label::Error, 3),
            (Label::Fatal, 2),
            (Label::Debug, 7),
            (Label::Trace, 5),
        ] {
            syslog.put(&line(label, "x"));
            let mut bytes = [0; 500];
            let count = receiver.recv(&mut bytes).unwrap();
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let expected = format!("<{severity}>2026-11-20T07:39:28Z {host} ringbus[{pid}]: x\n");
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn streams_end_each_line() {
        let receiver = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("tcp://{}", receiver.local_addr().unwrap());
        let mut syslog = Syslog::remote(&url, "ringbus").unwrap();
        syslog.put(&line(Label::Information, "one"));
        syslog.put(&line(Label::Information, "two"));
        drop(syslog);
        let mut text = String::new();
        receiver.accept().unwrap().0.read_to_string(&mut text).unwrap();
        let ends: Vec<&str> = text.lines().filter_map(|line| line.rsplit(' ').next()).collect();
        assert_eq!(ends, ["one", "two"]);
    }

    #[test]
    fn what_cannot_be_reached_is_named() {
        let error = |url| Syslog::remote(url, "x").err().unwrap();
        assert!(error("foo://x").starts_with("error invalid network type: \"foo\""));
        assert!(error("nope").starts_with("error invalid network type: \"\""));
        let expected = "error connecting to syslog: \
                        \"dial unix /no/such: connect: no such file or directory\"";
        assert_eq!(error("unix:///no/such"), expected);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let expected = format!(
            "error connecting to syslog: \"dial tcp {closed}: connect: connection refused\""
        );
        assert_eq!(error(&format!("tcp://{closed}")), expected);
        let nowhere = Syslog::local_at(vec![PathBuf::from("/no/such")], "x").err().unwrap();
        assert_eq!(nowhere, "error connecting to syslog: \"Unix syslog delivery error\"");
    }
}
