//! Answers in fewer bytes, for those who ask for that.

use std::io::Write;

use super::line::Request;

/// The answer in the encoding that the request wishes for, if it does.
pub(super) fn packed(request: &Request, answer: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let wished = request.header("Accept-Encoding")?.to_ascii_lowercase();
    // Packing to memory cannot fail; if it did, the answer would go as it is.
    if wished.contains("snappy") {
        let mut packer = snap::write::FrameEncoder::new(Vec::new());
        packer.write_all(answer).ok()?;
        return Some(("snappy", packer.into_inner().ok()?));
    }
    if wished.contains("gzip") {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(answer).ok()?;
        return Some(("gzip", packer.finish().ok()?));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn answers_are_packed_as_it_is_wished_for() {
        let request = |wish: &str| Request {
            headers: format!("NATS/1.0\r\nAccept-Encoding: {wish}\r\n\r\n"),
            ..Request::default()
        };
        let answer = b"hello hello hello hello".repeat(50);
        assert_eq!(packed(&Request::default(), &answer), None);
        assert_eq!(packed(&request("br"), &answer), None);
        let (encoding, bytes) = packed(&request("Snappy"), &answer).unwrap();
        let mut unpacked = Vec::new();
        snap::read::FrameDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!((encoding, &unpacked), ("snappy", &answer));
        let (encoding, bytes) = packed(&request("gzip, deflate"), &answer).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!((encoding, &unpacked), ("gzip", &answer));
    }
}
