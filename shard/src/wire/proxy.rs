//! The PROXY protocol, versions 1 and 2: what a proxy says of the client it speaks for, ahead of
//! everything the client says.
//!
//! Bounds: a header of version 1 is a line of at most 107 bytes; of version 2, 16 bytes and up to
//! 65,535 that it declares, of which only the addresses at their head are read. Nothing is kept of
//! the rest, so a sender can make nobody hold more than [`HEAD_MAX`] bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes from which every header is known, and where its end is.
pub const HEAD_MAX: usize = 107;

/// What version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length of what follows.
const FIXED_LEN: usize = 16;

/// Source and destination of IPv4 and IPv6, each an address and a port.
const IPV4_LEN: usize = 12;
const IPV6_LEN: usize = 36;

const _: () = {
    assert!(FIXED_LEN + IPV6_LEN <= HEAD_MAX);
};

/// What the first bytes of a connection are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Read {
    /// The beginning of a header, or of nothing that is known yet.
    More,
    /// No header: the client speaks for itself.
    None,
    /// A header of `len` bytes, of which the last may not have arrived yet. Without an address, the
    /// proxy speaks for itself, as when it looks whether the server is alive.
    Header {
        /// Bytes before the first of the client.
        len: usize,
        /// Where the client comes from.
        source: Option<SocketAddr>,
    },
    /// A header that cannot be used.
    Fault(Fault),
}

/// What is wrong with a header; shown as the reference shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// It did not arrive in time.
    Timeout,
    /// It begins like version 2, and goes on otherwise.
    Signature,
    /// Version and command, which name no version 2.
    Version(u8),
    /// A command that does not exist.
    Command(u8),
    /// Something else than TCP.
    Transport,
    /// Addresses of another family.
    Family(u8),
    /// Fewer bytes than the addresses of that family (4 or 6) have.
    Short(u8, usize),
    /// A line without an end.
    Line,
    /// A line with more or fewer words.
    Words,
    /// A word that is no address.
    Address,
    /// A word that is no port: of the source, or of the destination.
    Port(&'static str),
    /// An address of IPv6 or IPv4 where the line promised the other.
    Mixed(&'static str),
    /// A protocol that is not known.
    Protocol(Box<[u8]>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let invalid = "invalid PROXY protocol header";
        let unsupported = "unsupported PROXY protocol feature";
        match self {
            Self::Timeout => f.write_str("timeout reading PROXY protocol header"),
            Self::Signature => write!(f, "{invalid}: invalid signature"),
            Self::Version(byte) => write!(f, "{invalid}: invalid version {byte:#04x}"),
            Self::Command(byte) => write!(f, "unknown PROXY protocol command: {byte:#04x}"),
            Self::Transport => write!(f, "{unsupported}: only STREAM protocol supported"),
            Self::Family(byte) => {
                write!(f, "{unsupported}: unsupported address family {byte:#04x}")
            }
            Self::Short(version, len) => {
                write!(f, "IPv{version} address data too short: {len} bytes")
            }
            Self::Line => write!(f, "{invalid}: v1 line too long"),
            Self::Words => write!(f, "{invalid}: invalid v1 format"),
            Self::Address => write!(f, "{invalid}: invalid address"),
            Self::Port(whose) => write!(f, "invalid {whose} port: expected 0 to 65535"),
            Self::Mixed(what) => write!(f, "{invalid}: {what}"),
            Self::Protocol(word) => {
                write!(f, "{invalid}: invalid protocol {}", word.escape_ascii())
            }
        }
    }
}

/// Looks at the first bytes of a connection. The same bytes and more give the same answer again,
/// once it is not [`Read::More`]; with [`HEAD_MAX`] bytes it never is.
#[must_use]
pub fn read(bytes: &[u8]) -> Read {
    if bytes.starts_with(TEXT) {
        return read_text(bytes);
    }
    // The reference tells versions apart by the first six bytes.
    let told = SIGNATURE.get(..TEXT.len()).unwrap_or_default();
    if bytes.starts_with(told) {
        return read_binary(bytes);
    }
    if TEXT.starts_with(bytes) || told.starts_with(bytes) { Read::More } else { Read::None }
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 4711 4222` and a line end.
fn read_text(bytes: &[u8]) -> Read {
    let head = bytes.get(..HEAD_MAX).unwrap_or(bytes);
    let Some(end) = memchr::memmem::find(head, b"\r\n") else {
        return if head.len() < HEAD_MAX { Read::More } else { Read::Fault(Fault::Line) };
    };
    match source_of_line(head.get(TEXT.len()..end).unwrap_or_default()) {
        Ok(source) => Read::Header { len: end + 2, source },
        Err(fault) => Read::Fault(fault),
    }
}

fn source_of_line(line: &[u8]) -> Result<Option<SocketAddr>, Fault> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let protocol = words.next().ok_or(Fault::Words)?;
    if protocol == b"UNKNOWN" {
        return Ok(None);
    }
    let [Some(source), Some(destination), Some(port), Some(other_port), None] =
        [(); 5].map(|()| words.next())
    else {
        return Err(Fault::Words);
    };
    let ip = address(source).ok_or(Fault::Address)?;
    address(destination).ok_or(Fault::Address)?;
    let port = number(port).ok_or(Fault::Port("source"))?;
    number(other_port).ok_or(Fault::Port("dest"))?;
    // As it is written: an address of IPv4 inside one of IPv6 is one of IPv6.
    let is_v6 = |word: &[u8]| word.contains(&b':');
    let (both, any) = (is_v6(source) && is_v6(destination), is_v6(source) || is_v6(destination));
    match protocol {
        b"TCP4" if any => Err(Fault::Mixed("TCP4 with IPv6 address")),
        b"TCP6" if !both => Err(Fault::Mixed("TCP6 with IPv4 address")),
        b"TCP4" | b"TCP6" => Ok(Some(SocketAddr::new(ip.to_canonical(), port))),
        _ => Err(Fault::Protocol(protocol.into())),
    }
}

fn address(word: &[u8]) -> Option<IpAddr> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

fn number(word: &[u8]) -> Option<u16> {
    let digits = word.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(word).ok().filter(|_| digits)?.parse().ok()
}

fn read_binary(bytes: &[u8]) -> Read {
    let Some(signature) = bytes.first_chunk() else { return Read::More };
    if signature != SIGNATURE {
        return Read::Fault(Fault::Signature);
    }
    let Some(fixed) = bytes.first_chunk::<FIXED_LEN>() else { return Read::More };
    let [.., version_command, family_transport, high, low] = *fixed;
    let declared = usize::from(u16::from_be_bytes([high, low]));
    let none = Read::Header { len: FIXED_LEN + declared, source: None };
    if version_command & 0xf0 != 0x20 {
        return Read::Fault(Fault::Version(version_command & 0xf0));
    }
    match version_command & 0x0f {
        // The proxy itself: whatever addresses follow mean nothing.
        0 => return none,
        1 => {}
        command => return Read::Fault(Fault::Command(command)),
    }
    if family_transport & 0x0f != 1 {
        return Read::Fault(Fault::Transport);
    }
    let (version, len) = match family_transport & 0xf0 {
        0x00 => return none,
        0x10 => (4, IPV4_LEN),
        0x20 => (6, IPV6_LEN),
        family => return Read::Fault(Fault::Family(family)),
    };
    if declared < len {
        return Read::Fault(Fault::Short(version, declared));
    }
    let Some(addresses) = bytes.get(FIXED_LEN..FIXED_LEN + len) else { return Read::More };
    Read::Header { len: FIXED_LEN + declared, source: source(addresses) }
}

/// The source at the head of a block of addresses, whose length says of which family they are.
fn source(addresses: &[u8]) -> Option<SocketAddr> {
    let (ip, port): (IpAddr, _) = if addresses.len() == IPV4_LEN {
        (Ipv4Addr::from(*addresses.first_chunk::<4>()?).into(), addresses.get(8..10)?)
    } else {
        (Ipv6Addr::from(*addresses.first_chunk::<16>()?).into(), addresses.get(32..34)?)
    };
    let port = u16::from_be_bytes(port.try_into().ok()?);
    Some(SocketAddr::new(ip.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(version_command: u8, family: u8, declared: u16, rest: &[u8]) -> Vec<u8> {
        let [high, low] = declared.to_be_bytes();
        [&SIGNATURE[..], &[version_command, family, high, low], rest].concat()
    }

    fn from(len: usize, source: &str) -> Read {
        Read::Header { len, source: Some(source.parse().unwrap()) }
    }

    fn fault(bytes: &[u8]) -> String {
        match read(bytes) {
            Read::Fault(fault) => fault.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn lines() {
        let cases: [(&str, Read); 9] = [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 4711 4222\r\nPING", from(42, "192.0.2.1:4711")),
            ("PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n", from(40, "[2001:db8::1]:1")),
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 65535 0\r\n", from(41, "192.0.2.1:65535")),
            ("PROXY  TCP4\t192.0.2.1 192.0.2.2  1 2 \r\n", from(39, "192.0.2.1:1")),
            ("PROXY UNKNOWN\r\n", Read::Header { len: 15, source: None }),
            ("PROXY UNKNOWN any thing\r\n", Read::Header { len: 25, source: None }),
            ("PROXY TCP4 192.0.2.1", Read::More),
            ("PROX", Read::More),
            ("CONNECT {}", Read::None),
        ];
        for (line, expected) in cases {
            assert_eq!(read(line.as_bytes()), expected, "{line}");
        }
        for line in ["PRO\r\n", "proxy TCP4", "PING\r\n", "\r\n\r\nPING"] {
            assert_eq!(read(line.as_bytes()), Read::None, "{line}");
        }
    }

    #[test]
    fn lines_that_are_refused() {
        let invalid = "invalid PROXY protocol header: ";
        let cases = [
            ("\r\n", "invalid v1 format"),
            ("TCP4 192.0.2.1 192.0.2.2 1\r\n", "invalid v1 format"),
            ("TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "invalid v1 format"),
            ("TCP4 192.0.2.256 192.0.2.2 1 2\r\n", "invalid address"),
            ("TCP4 192.0.2.1 localhost 1 2\r\n", "invalid address"),
            ("TCP4 ::1 192.0.2.2 1 2\r\n", "TCP4 with IPv6 address"),
            ("TCP6 ::1 192.0.2.2 1 2\r\n", "TCP6 with IPv4 address"),
            ("UDP4 192.0.2.1 192.0.2.2 1 2\r\n", "invalid protocol UDP4"),
        ];
        for (line, text) in cases {
            assert_eq!(fault(format!("PROXY {line}").as_bytes()), format!("{invalid}{text}"));
        }
        for (ports, whose) in [("65536 1", "source"), ("+1 2", "source"), ("1 -2", "dest")] {
            let line = format!("PROXY TCP4 192.0.2.1 192.0.2.2 {ports}\r\n");
            assert!(fault(line.as_bytes()).starts_with(&format!("invalid {whose} port")));
        }
        let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200], b"\r\n"].concat();
        assert_eq!(read(&long[..HEAD_MAX - 1]), Read::More);
        assert_eq!(fault(&long[..HEAD_MAX]), format!("{invalid}v1 line too long"));
        let longest = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 91], b"\r\n"].concat();
        assert_eq!(read(&longest), Read::Header { len: HEAD_MAX, source: None });
    }

    #[test]
    fn binary_headers() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x67, 0x10, 0x7e];
        let mut v6 = [0; IPV6_LEN];
        v6[15] = 1;
        v6[32] = 0x12;
        let more = [&v4[..], &[4, 0, 1, 0xff]].concat();
        let cases = [
            (header(0x21, 0x11, 12, &v4), from(28, "192.0.2.1:4711")),
            (header(0x21, 0x11, 16, &more), from(32, "192.0.2.1:4711")),
            (header(0x21, 0x11, u16::MAX, &v4), from(16 + 65535, "192.0.2.1:4711")),
            (header(0x21, 0x21, 36, &v6), from(52, "[::1]:4608")),
            (header(0x20, 0, 0, b""), Read::Header { len: 16, source: None }),
            (header(0x20, 0x31, 216, b""), Read::Header { len: 232, source: None }),
            (header(0x21, 0x01, 3, b"xyz"), Read::Header { len: 19, source: None }),
            (header(0x21, 0x11, 12, &v4[..11]), Read::More),
            (SIGNATURE[..5].to_vec(), Read::More),
            (SIGNATURE.to_vec(), Read::More),
        ];
        for (bytes, expected) in cases {
            assert_eq!(read(&bytes), expected, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn binary_headers_that_are_refused() {
        let cases = [
            (header(0x11, 0x11, 12, b""), "invalid PROXY protocol header: invalid version 0x10"),
            (header(0x22, 0x11, 12, b""), "unknown PROXY protocol command: 0x02"),
            (
                header(0x21, 0x12, 12, b""),
                "unsupported PROXY protocol feature: only STREAM protocol supported",
            ),
            (
                header(0x21, 0x31, 216, b""),
                "unsupported PROXY protocol feature: unsupported address family 0x30",
            ),
            (header(0x21, 0x11, 11, b""), "IPv4 address data too short: 11 bytes"),
            (header(0x21, 0x21, 35, b""), "IPv6 address data too short: 35 bytes"),
            (b"\r\n\r\n\0\r\nQUIZ\n".to_vec(), "invalid PROXY protocol header: invalid signature"),
        ];
        for (bytes, text) in cases {
            assert_eq!(fault(&bytes), text);
        }
    }
}
