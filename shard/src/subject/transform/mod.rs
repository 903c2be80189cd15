//! Subjects made from other subjects.
//!
//! A transform leads from a source, which is a pattern, to a destination, whose tokens may name
//! what the wildcards of the source stand for, or compute something from it. It is read once; to
//! carry it out is a walk over the destination that appends to a buffer of the caller.
//!
//! | file | what |
//! | --- | --- |
//! | `function.rs` | a token of a destination, as it was written |
//! | `error.rs` | what can be wrong with it |
//!
//! Cost and bound: as many appends as the destination has tokens. What comes out is at most as long
//! as the destination, and the subject as often as the destination names tokens of it, with at most
//! a dot behind every byte.

mod error;
mod function;
#[cfg(test)]
mod tests;

use smallvec::SmallVec;

use super::tokens::{Token, tokens};
use super::{is_valid_pattern, token_count};

pub use error::{Reason, TransformError};

use function::{Call, Cut, calls_any, looks_like_function, place_holder};

/// The tokens of a subject, on the stack unless there are many.
pub type SubjectTokens<'a> = SmallVec<[&'a [u8]; 16]>;

/// How to make one subject from another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Transform {
    source: Box<[u8]>,
    destination: Box<[u8]>,
    pieces: Box<[Piece]>,
    /// The source, without a `>` at its end, has so many tokens; what follows them is appended if
    /// the destination ends in `>`.
    source_tokens: usize,
    rest: bool,
}

/// One token of the destination. Indices are those of tokens of the subject.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Literal(Box<[u8]>),
    Token(usize),
    Partition(u32, Box<[usize]>),
    Cut(Cut, usize, usize),
    Split(usize, Box<[u8]>),
    Random(u32),
}

impl Transform {
    /// From `source` (`>` if it is empty) to `destination`.
    ///
    /// # Errors
    /// Returns what is wrong with either, or that they do not fit together.
    pub fn new(source: &[u8], destination: &[u8]) -> Result<Self, TransformError> {
        Self::read(source, destination, false)
    }

    /// The same, if it also leads back: all wildcards of the source are used, and no function.
    ///
    /// # Errors
    /// Returns what [`Self::new`] returns, or that it does not lead back.
    pub fn reversible(source: &[u8], destination: &[u8]) -> Result<Self, TransformError> {
        Self::read(source, destination, true)
    }

    /// The same as [`Self::new`] for a mapping of subjects, where a destination cannot have blanks.
    ///
    /// # Errors
    /// Returns what [`Self::new`] returns, or what is wrong with a token.
    pub fn mapping(source: &[u8], destination: &[u8]) -> Result<Self, TransformError> {
        let mut ended = false;
        for token in tokens(destination) {
            if token.is_empty() || ended {
                return Err(TransformError::at(Reason::Invalid, token));
            }
            if looks_like_function(token) {
                if !calls_any(token) {
                    return Err(TransformError::at(Reason::UnknownFunction, token));
                }
            } else if Token::of(token) == Token::Rest {
                ended = true;
            } else if super::has_blank(token) {
                return Err(TransformError::at(Reason::Invalid, b""));
            }
        }
        Self::new(source, destination)
    }

    fn read(source: &[u8], destination: &[u8], back: bool) -> Result<Self, TransformError> {
        let source = if source.is_empty() { b">" } else { source };
        if !is_valid_pattern(source) || !is_valid_pattern(destination) {
            return Err(TransformError::Subject);
        }
        let of = |token| Token::of(token);
        let ends_open = |pattern| tokens(pattern).any(|token| of(token) == Token::Rest);
        let rest = ends_open(source);
        let has_own = tokens(destination).any(|token| of(token) == Token::One);
        if has_own || rest != ends_open(destination) {
            return Err(TransformError::Subject);
        }
        let places: SmallVec<[usize; 16]> = tokens(source)
            .enumerate()
            .filter_map(|(place, token)| (of(token) == Token::One).then_some(place))
            .collect();
        let builder = Builder { places: &places, literal: places.is_empty() && !rest, back };
        let mut used = 0;
        let mut pieces = Vec::new();
        for token in tokens(destination).filter(|token| of(token) != Token::Rest) {
            pieces.push(builder.piece(token, &mut used)?);
        }
        if back && used < places.len() {
            return Err(TransformError::at(Reason::WildcardLost, destination));
        }
        Ok(Self {
            source: source.into(),
            destination: destination.into(),
            pieces: pieces.into(),
            source_tokens: token_count(source) - usize::from(rest),
            rest,
        })
    }

    /// The pattern that subjects have to match.
    #[must_use]
    pub fn source(&self) -> &[u8] {
        &self.source
    }

    /// What it makes of them, as it was written.
    #[must_use]
    pub fn destination(&self) -> &[u8] {
        &self.destination
    }

    /// Whether the same subject always becomes the same.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        !self.pieces.iter().any(|piece| matches!(piece, Piece::Random(_)))
    }

    /// Appends what the subject with these `tokens` becomes, which has to match the source. Tokens
    /// that the source promises and that are not there become nothing.
    pub fn apply(&self, tokens: &[&[u8]], rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
        let token = |place: usize| tokens.get(place).copied().unwrap_or_default();
        for (index, piece) in self.pieces.iter().enumerate() {
            if index > 0 {
                out.push(b'.');
            }
            match piece {
                Piece::Literal(literal) => out.extend_from_slice(literal),
                Piece::Token(place) => out.extend_from_slice(token(*place)),
                Piece::Partition(count, by) => number(partition(*count, by, tokens), out),
                Piece::Cut(cut, place, size) => cut.apply(token(*place), *size, out),
                Piece::Split(place, delimiter) => split(token(*place), delimiter, out),
                Piece::Random(count) => {
                    // From 31 bits, as there.
                    let random = rng.u32(..) >> 1;
                    number(random.checked_rem(*count).unwrap_or(0), out);
                }
            }
        }
        if self.rest {
            for (index, token) in tokens.iter().skip(self.source_tokens).enumerate() {
                if index > 0 || !self.pieces.is_empty() {
                    out.push(b'.');
                }
                out.extend_from_slice(token);
            }
        }
    }

    /// Appends what `subject` becomes.
    pub fn apply_to(&self, subject: &[u8], rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
        let tokens: SubjectTokens<'_> = tokens(subject).collect();
        self.apply(&tokens, rng, out);
    }

    /// The way back, if there is one.
    #[must_use]
    pub fn reverse(&self) -> Option<Self> {
        let named: SmallVec<[i64; 8]> =
            tokens(&self.destination).filter_map(place_holder).collect();
        let mut own = 0;
        let mut back = Vec::new();
        for (index, token) in tokens(&self.source).enumerate() {
            if index > 0 {
                back.push(b'.');
            }
            if Token::of(token) != Token::One {
                back.extend_from_slice(token);
                continue;
            }
            own += 1;
            // The wildcard of the way back that stands where this one went.
            let place = named.iter().position(|named| *named == own)?;
            back.push(b'$');
            number(u32::try_from(place + 1).ok()?, &mut back);
        }
        Self::reversible(&as_pattern(&self.destination), &back).ok()
    }
}

/// A pattern as a destination that names its own wildcards in order: `a.*.*` becomes `a.$1.$2`.
#[must_use]
pub fn as_destination(pattern: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pattern.len() + 8);
    let mut count = 0;
    for (index, token) in tokens(pattern).enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        if Token::of(token) == Token::One {
            count += 1;
            out.push(b'$');
            number(count, &mut out);
        } else {
            out.extend_from_slice(token);
        }
    }
    out
}

/// A destination as the pattern of all that it can become, if it only names wildcards: `a.$2.$1`
/// becomes `a.*.*`.
#[must_use]
pub fn as_pattern(destination: &[u8]) -> Vec<u8> {
    let one = |token| if place_holder(token).is_some() { b"*" } else { token };
    tokens(destination).map(one).collect::<Vec<&[u8]>>().join(&b'.')
}

/// What the tokens of a destination may refer to.
struct Builder<'a> {
    /// Where the wildcards of the source are.
    places: &'a [usize],
    /// The source has none, and no `>`.
    literal: bool,
    /// It has to lead back.
    back: bool,
}

impl Builder<'_> {
    /// Reads a token; adds to `used` how many wildcards it names.
    fn piece(&self, token: &[u8], used: &mut usize) -> Result<Piece, TransformError> {
        let call = Call::read(token)?;
        let alone = matches!(call, Call::Literal | Call::Random(_) | Call::Partition(..));
        if self.literal && !alone {
            return Err(TransformError::at(Reason::OutOfRange, token));
        }
        let leads_back = matches!(call, Call::Literal | Call::Wildcard(_));
        if !self.literal && self.back && !leads_back {
            return Err(TransformError::at(Reason::NotReversible, token));
        }
        let mut place = |which: i64| {
            *used += 1;
            self.place(token, which)
        };
        Ok(match call {
            Call::Literal => Piece::Literal(token.into()),
            Call::Wildcard(which) => Piece::Token(place(which)?),
            // Negative counts are taken for large ones, as there.
            Call::Partition(count, _) if self.literal => {
                Piece::Partition(count.cast_unsigned(), Box::default())
            }
            Call::Partition(count, by) => {
                let by = by.into_iter().map(place).collect::<Result<_, _>>()?;
                Piece::Partition(count.cast_unsigned(), by)
            }
            // A size that is not positive cuts nothing.
            Call::Cut(cut, which, size) => {
                Piece::Cut(cut, place(which)?, usize::try_from(size).unwrap_or(0))
            }
            Call::Split(which, delimiter) => Piece::Split(place(which)?, delimiter.into()),
            Call::Random(count) => Piece::Random(count.unsigned_abs()),
        })
    }

    fn place(&self, token: &[u8], which: i64) -> Result<usize, TransformError> {
        let Some(index) = usize::try_from(which).ok().and_then(|which| which.checked_sub(1)) else {
            return Ok(0);
        };
        self.places.get(index).copied().ok_or_else(|| {
            let part = [token, format!(": [{which}]").as_bytes()].concat();
            TransformError::at(Reason::OutOfRange, &part)
        })
    }
}

/// Which of `count` partitions: FNV-1a over the tokens `by`, without dots; over the whole subject
/// if by none.
fn partition(count: u32, by: &[usize], tokens: &[&[u8]]) -> u32 {
    let mut hash: u32 = 2_166_136_261;
    let mut feed = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(16_777_619);
        }
    };
    for place in by {
        feed(tokens.get(*place).copied().unwrap_or_default());
    }
    if by.is_empty() {
        for (index, token) in tokens.iter().enumerate() {
            if index > 0 {
                feed(b".");
            }
            feed(token);
        }
    }
    hash.checked_rem(count).unwrap_or(0)
}

impl Cut {
    /// Appends `token` cut up by `size`; whole if there is nothing to cut off.
    fn apply(self, token: &[u8], size: usize, out: &mut Vec<u8>) {
        if size == 0 || size >= token.len() {
            out.extend_from_slice(token);
            return;
        }
        let from_right = token.len() - size;
        match self {
            Self::SplitFromLeft => dotted([token.split_at(size).0, token.split_at(size).1], out),
            Self::SplitFromRight => {
                dotted([token.split_at(from_right).0, token.split_at(from_right).1], out);
            }
            Self::SliceFromLeft => dotted(token.chunks(size), out),
            Self::SliceFromRight => {
                let (first, others) = token.split_at(token.len() % size);
                let first = (!first.is_empty()).then_some(first);
                dotted(first.into_iter().chain(others.chunks(size)), out);
            }
            Self::Left => out.extend_from_slice(token.split_at(size).0),
            Self::Right => out.extend_from_slice(token.split_at(from_right).1),
        }
    }
}

fn dotted<'a>(parts: impl IntoIterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    for (index, part) in parts.into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(part);
    }
}

/// Appends `token` with a dot for each delimiter. Several in a row make one dot, and one at either
/// end makes none; but several at the head make one, as with nats-server. An empty delimiter stands
/// between any two characters.
fn split(token: &[u8], delimiter: &[u8], out: &mut Vec<u8>) {
    let mut index = 0;
    let mut headless = false;
    let mut part = |part: &[u8]| {
        if !part.is_empty() {
            if index > 1 || (index == 1 && !headless) {
                out.push(b'.');
            }
            out.extend_from_slice(part);
        } else if index == 0 {
            headless = true;
        }
        index += 1;
    };
    if delimiter.is_empty() {
        for chunk in token.utf8_chunks() {
            let mut bytes = [0; 4];
            chunk.valid().chars().for_each(|char| part(char.encode_utf8(&mut bytes).as_bytes()));
            chunk.invalid().chunks(1).for_each(&mut part);
        }
        return;
    }
    let mut rest = token;
    while let Some(at) = memchr::memmem::find(rest, delimiter) {
        part(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + delimiter.len()..).unwrap_or_default();
    }
    part(rest);
}

fn number(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
