//! The few frames a load generator needs, prebuilt.
//!
//! Every message carries its publisher and its sequence in the first 16 bytes of the payload, so
//! that a receiver can tell loss, repetition and reordering apart. All frames of one stream have
//! the same length: the publisher patches numbers into a ready buffer, and the checker compares at
//! fixed offsets. That keeps the generator an order of magnitude cheaper than the server under
//! test.

/// Bytes of payload that hold sequence, publisher and mark; also the smallest payload we send.
pub(crate) const STAMP_LEN: usize = 16;
/// Width of the number in numbered subjects: `foo.000042`.
pub(crate) const DIGITS: usize = 6;
/// Fills the stamp behind the publisher id; a foreign or shifted payload does not have it.
const MARK: [u8; 6] = *b"stamp:";
/// Coprime to every subject count used, so all subjects take turns but neighbours are far apart.
const SUBJECT_STEP: u64 = 7_919;

/// What the number in a frame's subject says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// There is none: one fixed subject.
    None,
    /// The subject cycles through this many, decided by the sequence.
    Cycle(u64),
    /// The id of the publisher (or requester), one subject each.
    Publisher,
}

impl Numbering {
    /// The number that belongs to a message, if its subject has one.
    pub(crate) fn number(self, publisher: u16, seq: u64) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Cycle(subjects) => Some(seq.wrapping_mul(SUBJECT_STEP) % subjects),
            Self::Publisher => Some(u64::from(publisher)),
        }
    }
}

/// A frame of constant length: `prefix [digits] suffix payload CRLF`.
#[derive(Clone, Debug)]
pub(crate) struct FrameShape {
    pub(crate) prefix: Vec<u8>,
    pub(crate) numbering: Numbering,
    pub(crate) suffix: Vec<u8>,
    pub(crate) size: usize,
}

impl FrameShape {
    /// The text around the number is given without the size, which ends every control line.
    pub(crate) fn new(prefix: &str, numbering: Numbering, middle: &str, size: usize) -> Self {
        assert!(size >= STAMP_LEN, "a payload must have room for the stamp");
        let suffix = format!("{middle} {size}\r\n").into_bytes();
        Self { prefix: prefix.as_bytes().to_vec(), numbering, suffix, size }
    }

    /// Where the payload starts.
    pub(crate) fn payload_at(&self) -> usize {
        let digits = if self.numbering == Numbering::None { 0 } else { DIGITS };
        self.prefix.len() + digits + self.suffix.len()
    }

    /// Length of a whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        self.payload_at() + self.size + 2
    }
}

/// The byte that fills the payload behind the stamp at this offset.
pub(crate) fn fill_byte(offset: usize) -> u8 {
    b'a' + u8::try_from(offset % 23).unwrap_or(0)
}

/// The second half of the stamp, as the number a checker compares with.
pub(crate) fn stamp_tail(publisher: u16) -> u64 {
    let mut tail = [0u8; 8];
    tail[..2].copy_from_slice(&publisher.to_le_bytes());
    tail[2..].copy_from_slice(&MARK);
    u64::from_le_bytes(tail)
}

/// The publisher named in the second half of a stamp, or nothing if it is not one of ours.
pub(crate) fn publisher_of(tail: u64) -> Option<u16> {
    let publisher = u16::try_from(tail & 0xffff).ok()?;
    (stamp_tail(publisher) == tail).then_some(publisher)
}

/// Frames of one publisher, ready to be written again and again with new numbers.
#[derive(Debug)]
pub(crate) struct FrameBatch {
    shape: FrameShape,
    publisher: u16,
    bytes: Vec<u8>,
}

impl FrameBatch {
    /// Fills about `batch_bytes` with frames, at least one.
    pub(crate) fn new(shape: FrameShape, publisher: u16, batch_bytes: usize) -> Self {
        let mut frame = shape.prefix.clone();
        if shape.numbering != Numbering::None {
            frame.extend_from_slice(&[b'0'; DIGITS]);
        }
        frame.extend_from_slice(&shape.suffix);
        frame.extend_from_slice(&0u64.to_le_bytes());
        frame.extend_from_slice(&stamp_tail(publisher).to_le_bytes());
        frame.extend((STAMP_LEN..shape.size).map(fill_byte));
        frame.extend_from_slice(b"\r\n");
        debug_assert_eq!(frame.len(), shape.frame_len());
        let bytes = frame.repeat((batch_bytes / frame.len()).max(1));
        Self { shape, publisher, bytes }
    }

    /// How many messages one batch holds.
    pub(crate) fn frames(&self) -> u64 {
        (self.bytes.len() / self.shape.frame_len()) as u64
    }

    /// Numbers the frames from `first` on.
    pub(crate) fn stamp(&mut self, first: u64) {
        self.stamp_some(first, usize::MAX);
    }

    /// Numbers only the first `count` frames, at most all; returns how many bytes they are.
    pub(crate) fn stamp_some(&mut self, first: u64, count: usize) -> usize {
        let digits_at = self.shape.prefix.len();
        let payload_at = self.shape.payload_at();
        let frame_len = self.shape.frame_len();
        let len = self.bytes.len().min(count.saturating_mul(frame_len));
        for (seq, frame) in (first..).zip(self.bytes[..len].chunks_exact_mut(frame_len)) {
            frame[payload_at..payload_at + 8].copy_from_slice(&seq.to_le_bytes());
            if let Some(number) = self.shape.numbering.number(self.publisher, seq) {
                write_digits(&mut frame[digits_at..digits_at + DIGITS], number);
            }
        }
        len
    }

    /// What goes to the socket.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Writes a number, padded with zeros.
fn write_digits(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

/// A number as it stands in a subject.
pub(crate) fn digits(number: u64) -> [u8; DIGITS] {
    let mut digits = [0u8; DIGITS];
    write_digits(&mut digits, number);
    digits
}

/// Reads what `write_digits` wrote.
pub(crate) fn read_digits(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_is_numbered_in_place() {
        let shape = FrameShape::new("PUB foo.", Numbering::Cycle(100), "", 16);
        let mut batch = FrameBatch::new(shape.clone(), 3, 100);
        assert_eq!(batch.frames(), 2);
        batch.stamp(1);
        let second = &batch.bytes()[shape.frame_len()..];
        assert!(second.starts_with(b"PUB foo.000038 16\r\n"));
        assert_eq!(second[19..27], 2u64.to_le_bytes());
        assert!(second.ends_with(b"\r\n"));
    }

    #[test]
    fn part_of_a_batch_is_numbered_alone() {
        let shape = FrameShape::new("PUB foo", Numbering::None, "", 16);
        let mut batch = FrameBatch::new(shape.clone(), 0, shape.frame_len() * 3);
        assert_eq!(batch.stamp_some(7, 2), shape.frame_len() * 2);
        let seq_of = |batch: &FrameBatch, frame: usize| {
            batch.bytes()[shape.frame_len() * frame + shape.payload_at()]
        };
        assert_eq!([0, 1, 2].map(|frame| seq_of(&batch, frame)), [7, 8, 0]);
        assert_eq!(batch.stamp_some(9, 100), batch.bytes().len());
        assert_eq!([0, 1, 2].map(|frame| seq_of(&batch, frame)), [9, 10, 11]);
    }

    #[test]
    fn stamps_name_their_publisher_and_nothing_else_does() {
        assert_eq!(publisher_of(stamp_tail(1999)), Some(1999));
        assert_eq!(publisher_of(0), None);
    }

    #[test]
    fn digits_survive_the_round_trip() {
        let mut digits = [0u8; DIGITS];
        write_digits(&mut digits, 90_210);
        assert_eq!(&digits, b"090210");
        assert_eq!(read_digits(&digits), Some(90_210));
        assert_eq!(read_digits(b"0a"), None);
    }

    #[test]
    fn every_subject_takes_its_turn() {
        for subjects in [1u64, 100, 1_000, 100_000] {
            let mut seen = vec![false; usize::try_from(subjects).unwrap()];
            for seq in 0..subjects {
                let number = Numbering::Cycle(subjects).number(0, seq).unwrap();
                seen[usize::try_from(number).unwrap()] = true;
            }
            assert!(seen.into_iter().all(|turn| turn), "{subjects} subjects");
        }
    }
}
