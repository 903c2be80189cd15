//! What goes out to a client, except INFO. Everything is appended to a buffer of the caller.

/// `+OK`.
pub const OK: &[u8] = b"+OK\r\n";

/// PING.
pub const PING: &[u8] = b"PING\r\n";

/// PONG.
pub const PONG: &[u8] = b"PONG\r\n";

/// Appends `-ERR` with `text` in quotes. The text is made by us; bytes of a peer in it are escaped
/// already ([`crate::error::Quoted`]).
pub fn err(out: &mut Vec<u8>, text: &str) {
    debug_assert!(!text.contains(['\r', '\n']), "a line end in the text of -ERR: {text:?}");
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"'\r\n");
}

/// Appends a size in decimal.
pub fn decimal(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends the tail of a message: `[reply ][header_len ]payload_len CR LF payload CR LF`, where
/// `payload` begins with `header_len` bytes of headers.
pub fn tail(out: &mut Vec<u8>, reply: &[u8], header_len: usize, payload: &[u8]) {
    out.reserve(tail_len_max(reply, payload));
    tail_head(out, reply, header_len, payload.len());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

/// The part of [`tail`] before the payload.
pub fn tail_head(out: &mut Vec<u8>, reply: &[u8], header_len: usize, payload_len: usize) {
    if !reply.is_empty() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    if header_len > 0 {
        decimal(out, header_len);
        out.push(b' ');
    }
    decimal(out, payload_len);
    out.extend_from_slice(b"\r\n");
}

/// Appends the tail of a message for a receiver that reads no headers: that of a MSG with the body
/// alone.
pub fn stripped_tail(out: &mut Vec<u8>, reply: &[u8], header_len: usize, payload: &[u8]) {
    tail(out, reply, 0, payload.get(header_len..).unwrap_or_default());
}

/// Room for a tail: two sizes with the blank between them, and two line ends.
const fn tail_len_max(reply: &[u8], payload: &[u8]) -> usize {
    const DIGITS_MAX: usize = 20;
    reply.len() + 1 + 2 * DIGITS_MAX + 1 + payload.len() + 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("the tests write text")
    }

    #[test]
    fn single_lines() {
        assert_eq!(written(|out| err(out, "Stale Connection")), "-ERR 'Stale Connection'\r\n");
    }

    #[test]
    fn sizes() {
        for (number, expected) in [(0, "0"), (7, "7"), (1_048_576, "1048576")] {
            assert_eq!(written(|out| decimal(out, number)), expected);
        }
    }

    #[test]
    fn tails() {
        assert_eq!(written(|out| tail(out, b"", 0, b"")), "0\r\n\r\n");
        assert_eq!(written(|out| tail(out, b"", 0, b"ok")), "2\r\nok\r\n");
        assert_eq!(written(|out| tail(out, b"r", 3, b"hdrok")), "r 3 5\r\nhdrok\r\n");
        assert_eq!(written(|out| stripped_tail(out, b"r", 3, b"hdrok")), "r 2\r\nok\r\n");
        assert_eq!(written(|out| stripped_tail(out, b"", 9, b"hdrok")), "0\r\n\r\n");
    }
}
