//! Checks what a receiver gets, message by message, while the load is running.
//!
//! A fast server that loses or reorders is not fast, so every frame is compared: control line,
//! stamp, sequence per publisher, line end, and on every 1024th message the whole payload. The
//! layout is known in advance, so a good frame costs a few comparisons at fixed offsets (see the
//! speed test); whatever does not fit takes the slow path, which knows PING, PONG, INFO, +OK and
//! -ERR and fails on all else.
#![deny(clippy::indexing_slicing)]

use std::fmt;

use crate::wire::{self, DIGITS, FrameShape, Numbering, STAMP_LEN};

/// Messages between two comparisons of the whole payload; a power of two.
const PAYLOAD_CHECK_EVERY: u64 = 1_024;
/// Longest control line a server may send us (INFO is the long one).
const LINE_LEN_MAX: usize = 64 * 1_024;

/// The run is void: the server lost, repeated, reordered, damaged or refused something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckFailure(pub(crate) String);

impl fmt::Display for CheckFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CheckFailure {}

/// Which sequences of one publisher a receiver must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each one, in order.
    Gapless,
    /// A share of them, in order: a member of a queue group.
    Rising,
}

/// A checked message.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(crate) publisher: u16,
    pub(crate) seq: u64,
    pub(crate) payload: &'a [u8],
}

/// Everything one receiver has to remember.
#[derive(Debug)]
pub(crate) struct Checker {
    shape: FrameShape,
    order: Order,
    first_publisher: u16,
    /// Per publisher the next sequence (`Gapless`) or the lowest still allowed one (`Rising`).
    next: Vec<u64>,
    /// Per publisher the sum of all sequences seen: tells a repeat from a loss over a whole group.
    sums: Vec<u64>,
    /// Good messages so far.
    received: u64,
    /// How often bytes came.
    reads: u64,
    /// PINGs that wait for an answer.
    pings: u32,
    /// PONGs seen.
    pongs: u64,
}

impl Checker {
    /// Expects frames of this shape from `publishers` publishers counted from `first_publisher`.
    pub(crate) fn new(
        shape: FrameShape,
        order: Order,
        first_publisher: u16,
        publishers: usize,
    ) -> Self {
        Self {
            shape,
            order,
            first_publisher,
            next: vec![0; publishers],
            sums: vec![0; publishers],
            received: 0,
            reads: 0,
            pings: 0,
            pongs: 0,
        }
    }

    /// Good messages so far.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// How often bytes came so far.
    pub(crate) fn reads(&self) -> u64 {
        self.reads
    }

    /// Per publisher, the wrapping sum of the sequences seen.
    pub(crate) fn sums(&self) -> &[u64] {
        &self.sums
    }

    /// PINGs that arrived since the last call; each wants a PONG.
    pub(crate) fn take_pings(&mut self) -> u32 {
        std::mem::take(&mut self.pings)
    }

    /// PONGs seen so far.
    pub(crate) fn pongs(&self) -> u64 {
        self.pongs
    }

    /// Eats whole frames and returns how many bytes that were; the rest is the start of the next.
    pub(crate) fn consume(
        &mut self,
        bytes: &[u8],
        mut on_message: impl FnMut(Message<'_>),
    ) -> Result<usize, CheckFailure> {
        self.reads += 1;
        let mut rest = bytes;
        loop {
            if let Some((publisher, seq, payload, tail)) = self.split_frame(rest) {
                self.admit(publisher, seq, payload)?;
                on_message(Message { publisher, seq, payload });
                rest = tail;
            } else {
                let eaten = self.control_line(rest)?;
                if eaten == 0 {
                    return Ok(bytes.len() - rest.len());
                }
                rest = rest.get(eaten..).unwrap_or_default();
            }
        }
    }

    /// One frame exactly as expected, or nothing.
    #[inline]
    fn split_frame<'a>(&self, bytes: &'a [u8]) -> Option<(u16, u64, &'a [u8], &'a [u8])> {
        let shape = &self.shape;
        let rest = bytes.strip_prefix(shape.prefix.as_slice())?;
        let (digits, rest) = match shape.numbering {
            Numbering::None => (None, rest),
            _ => rest.split_at_checked(DIGITS).map(|(digits, rest)| (Some(digits), rest))?,
        };
        let rest = rest.strip_prefix(shape.suffix.as_slice())?;
        let (payload, rest) = rest.split_at_checked(shape.size)?;
        let tail = rest.strip_prefix(b"\r\n")?;
        let (seq, stamp_tail) = stamp(payload)?;
        let publisher = wire::publisher_of(stamp_tail)?;
        if let Some(digits) = digits
            && wire::read_digits(digits) != shape.numbering.number(publisher, seq)
        {
            return None;
        }
        Some((publisher, seq, payload, tail))
    }

    /// Counts a frame if it is the one that had to come.
    #[inline]
    fn admit(&mut self, publisher: u16, seq: u64, payload: &[u8]) -> Result<(), CheckFailure> {
        let idx = usize::from(publisher.wrapping_sub(self.first_publisher));
        let Some(next) = self.next.get_mut(idx) else {
            return Err(CheckFailure(format!("message of a publisher {publisher} never started")));
        };
        let good = match self.order {
            Order::Gapless => seq == *next,
            Order::Rising => seq >= *next,
        };
        if !good {
            return Err(CheckFailure(format!(
                "publisher {publisher}: expected sequence {next}, saw {seq} (after {} messages)",
                self.received
            )));
        }
        *next = seq + 1;
        if let Some(sum) = self.sums.get_mut(idx) {
            *sum = sum.wrapping_add(seq);
        }
        self.received += 1;
        if self.received.is_multiple_of(PAYLOAD_CHECK_EVERY) && !filled(payload) {
            return Err(CheckFailure(format!(
                "publisher {publisher}: payload of sequence {seq} is damaged"
            )));
        }
        Ok(())
    }

    /// Takes what is not a message of ours; 0 means that more bytes are needed.
    #[cold]
    fn control_line(&mut self, bytes: &[u8]) -> Result<usize, CheckFailure> {
        if bytes.starts_with(b"MSG ") && bytes.len() < self.shape.frame_len() {
            return Ok(0);
        }
        let Some(end) = bytes.iter().take(LINE_LEN_MAX).position(|byte| *byte == b'\n') else {
            return if bytes.len() < LINE_LEN_MAX {
                Ok(0)
            } else {
                Err(CheckFailure("a line without end".to_owned()))
            };
        };
        let line = bytes.get(..=end).unwrap_or_default();
        match line {
            b"PING\r\n" => self.pings += 1,
            b"PONG\r\n" => self.pongs += 1,
            b"+OK\r\n" => {}
            _ if line.starts_with(b"INFO ") => {}
            _ => return Err(unexpected(line, &self.shape)),
        }
        Ok(line.len())
    }
}

/// Sequence and second half of the stamp.
#[inline]
fn stamp(payload: &[u8]) -> Option<(u64, u64)> {
    let (seq, rest) = payload.split_first_chunk::<8>()?;
    let (tail, _) = rest.split_first_chunk::<8>()?;
    Some((u64::from_le_bytes(*seq), u64::from_le_bytes(*tail)))
}

/// True if everything behind the stamp is as it was sent.
fn filled(payload: &[u8]) -> bool {
    payload.iter().enumerate().skip(STAMP_LEN).all(|(idx, byte)| *byte == wire::fill_byte(idx))
}

/// Says what came instead of a frame.
fn unexpected(line: &[u8], shape: &FrameShape) -> CheckFailure {
    let seen = String::from_utf8_lossy(line);
    let prefix = String::from_utf8_lossy(&shape.prefix);
    let suffix = String::from_utf8_lossy(&shape.suffix);
    CheckFailure(format!("expected {prefix:?}..{suffix:?} and a stamp, saw {:?}", seen.trim_end()))
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "these bytes are our own")]
mod tests {
    use rustix::time::{ClockId, clock_gettime};

    use super::*;
    use crate::wire::FrameBatch;

    fn shape(numbering: Numbering, size: usize) -> FrameShape {
        FrameShape::new("MSG foo", numbering, " 1", size)
    }

    fn frames(publisher: u16, first: u64, count: usize) -> Vec<u8> {
        let shape = shape(Numbering::None, 64);
        let mut batch = FrameBatch::new(shape.clone(), publisher, shape.frame_len() * count);
        batch.stamp(first);
        batch.bytes().to_vec()
    }

    fn checker(order: Order) -> Checker {
        Checker::new(shape(Numbering::None, 64), order, 0, 2)
    }

    #[test]
    fn frames_split_at_every_byte_are_counted() {
        let mut stream = b"INFO {}\r\nPING\r\n".to_vec();
        stream.extend(frames(0, 0, 3));
        stream.extend(b"PONG\r\n");
        for cut in 0..stream.len() {
            let mut checker = checker(Order::Gapless);
            let eaten = checker.consume(&stream[..cut], |_| {}).unwrap();
            checker.consume(&stream[eaten..], |_| {}).unwrap();
            assert_eq!((checker.received(), checker.take_pings(), checker.pongs), (3, 1, 1));
        }
    }

    #[test]
    fn loss_repetition_and_reordering_fail() {
        for (first, second) in [(0, 2), (0, 0), (1, 0)] {
            let mut stream = frames(0, first, 1);
            stream.extend(frames(0, second, 1));
            let failure = checker(Order::Gapless).consume(&stream, |_| {}).unwrap_err();
            assert!(failure.0.contains("expected sequence"), "{failure}");
        }
    }

    #[test]
    fn publishers_are_counted_apart() {
        let mut stream = frames(0, 0, 2);
        stream.extend(frames(1, 0, 1));
        stream.extend(frames(0, 2, 1));
        let mut checker = checker(Order::Gapless);
        checker.consume(&stream, |_| {}).unwrap();
        assert_eq!(checker.next, [3, 1]);
        let failure = checker.consume(&frames(2, 0, 1), |_| {}).unwrap_err();
        assert!(failure.0.contains("publisher 2"), "{failure}");
    }

    #[test]
    fn queue_member_may_skip_but_not_go_back() {
        let mut checker = checker(Order::Rising);
        checker.consume(&frames(0, 5, 1), |_| {}).unwrap();
        checker.consume(&frames(0, 9, 1), |_| {}).unwrap();
        assert_eq!(checker.sums()[0], 14);
        checker.consume(&frames(0, 7, 1), |_| {}).unwrap_err();
    }

    #[test]
    fn errors_foreign_frames_and_damage_fail() {
        for bytes in [&b"-ERR 'Slow Consumer'\r\n"[..], b"MSG bar 1 2\r\nhi\r\n", b"what\r\n"] {
            let mut stream = bytes.to_vec();
            stream.extend([b' '; 128]);
            checker(Order::Gapless).consume(&stream, |_| {}).unwrap_err();
        }
        let mut stream = frames(0, 0, 1_024);
        let len = stream.len();
        stream[len - 10] ^= 1;
        let failure = checker(Order::Gapless).consume(&stream, |_| {}).unwrap_err();
        assert!(failure.0.contains("damaged"), "{failure}");
    }

    #[test]
    fn subject_must_belong_to_the_message() {
        let shape = FrameShape::new("MSG foo.", Numbering::Cycle(100), " 1", 16);
        let mut batch = FrameBatch::new(shape.clone(), 0, 4_096);
        batch.stamp(0);
        let mut checker = Checker::new(shape.clone(), Order::Gapless, 0, 1);
        checker.consume(batch.bytes(), |_| {}).unwrap();
        assert_eq!(checker.received(), batch.frames());
        let mut stream = batch.bytes()[..shape.frame_len()].to_vec();
        stream[13] = b'7';
        Checker::new(shape, Order::Gapless, 0, 1).consume(&stream, |_| {}).unwrap_err();
    }

    /// CPU time, because other tests run beside this one.
    fn thread_cpu_ns() -> i128 {
        let now = clock_gettime(ClockId::ThreadCPUTime);
        i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
    }

    /// Not a benchmark: only catches a checker that has become the bottleneck by a wide margin.
    #[test]
    fn checker_keeps_up() {
        let shape = shape(Numbering::None, 16);
        let mut batch = FrameBatch::new(shape.clone(), 0, 64 * 1_024);
        let mut checker = Checker::new(shape, Order::Gapless, 0, 1);
        let started = thread_cpu_ns();
        while checker.received() < 1_000_000 {
            batch.stamp(checker.received());
            checker.consume(batch.bytes(), |_| {}).unwrap();
        }
        let ns = (thread_cpu_ns() - started) / i128::from(checker.received());
        println!("{ns} ns per message");
        assert!(ns < if cfg!(debug_assertions) { 2_000 } else { 50 }, "{ns} ns per message");
    }
}
