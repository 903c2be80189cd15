//! One token of a destination: itself, a wildcard of the source, or a function of some.
//!
//! What is taken for a function, and which letters may be capitals, is what nats-server takes: the
//! call may stand anywhere between the braces, and whatever else is there does not count.

use memchr::memmem;

use super::error::{Reason, TransformError};

/// What a token of the destination asks for. Wildcards are counted from 1; one that is not positive
/// stands for the first token of the source, wildcard or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Call<'a> {
    /// Itself.
    Literal,
    /// What a wildcard stands for.
    Wildcard(i64),
    /// The number of a partition: of how many, by which wildcards; by the whole subject if by none.
    Partition(i32, Vec<i64>),
    /// A wildcard cut up or shortened.
    Cut(Cut, i64, i32),
    /// A wildcard taken apart at a delimiter.
    Split(i64, &'a [u8]),
    /// A number below this.
    Random(i32),
}

/// How a token is cut up or shortened, by a number of bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Cut {
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Left,
    Right,
}

/// Functions that cut, in the order in which they are looked for.
const CUTS: [(&[u8], Cut); 6] = [
    (b"SplitFromLeft", Cut::SplitFromLeft),
    (b"SplitFromRight", Cut::SplitFromRight),
    (b"SliceFromLeft", Cut::SliceFromLeft),
    (b"SliceFromRight", Cut::SliceFromRight),
    (b"Right", Cut::Right),
    (b"Left", Cut::Left),
];

/// The others. A capital stands for either case, any other letter for itself.
const WILDCARD: &[u8] = b"Wildcard";
const PARTITION: &[u8] = b"Partition";
const SPLIT: &[u8] = b"Split";
const RANDOM: &[u8] = b"Random";

impl<'a> Call<'a> {
    /// What `token` asks for.
    pub(super) fn read(token: &'a [u8]) -> Result<Self, TransformError> {
        if let [b'$', number @ ..] = token {
            // Much else begins with `$`.
            return Ok(integer(number).map_or(Call::Literal, Call::Wildcard));
        }
        if !looks_like_function(token) {
            return Ok(Call::Literal);
        }
        let wrong = |reason| TransformError::at(reason, token);
        let number = |text| integer(trim(text)).ok_or_else(|| wrong(Reason::WrongArgument));
        let bounded = |text| {
            let within = |number: &i64| *number <= i64::from(i32::MAX);
            integer(trim(text))
                .filter(within)
                .map(wrapped)
                .ok_or_else(|| wrong(Reason::WrongArgument))
        };
        if let Some(text) = arguments(token, WILDCARD) {
            return match &*split_arguments(text) {
                [[]] => Err(wrong(Reason::TooFewArguments)),
                [one] => number(one).map(Call::Wildcard),
                _ => Err(wrong(Reason::TooManyArguments)),
            };
        }
        if let Some(text) = arguments(token, PARTITION) {
            let all = split_arguments(text);
            let mut all = all.into_iter();
            let count = bounded(all.next().unwrap_or_default())?;
            return Ok(Call::Partition(count, all.map(number).collect::<Result<_, _>>()?));
        }
        for (name, cut) in CUTS {
            if let Some(text) = arguments(token, name) {
                let [which, size] = two(text).map_err(wrong)?;
                let which = number(which)?;
                let size =
                    i32::try_from(number(size)?).map_err(|_| wrong(Reason::WrongArgument))?;
                return Ok(Call::Cut(cut, which, size));
            }
        }
        if let Some(text) = arguments(token, SPLIT) {
            let [which, delimiter] = two(text).map_err(wrong)?;
            let which = number(which)?;
            if delimiter.contains(&b' ') {
                return Err(wrong(Reason::WrongArgument));
            }
            return Ok(Call::Split(which, delimiter));
        }
        if let Some(text) = arguments(token, RANDOM) {
            return match &*split_arguments(text) {
                [one] => bounded(one).map(Call::Random),
                _ => Err(wrong(Reason::TooFewArguments)),
            };
        }
        Err(wrong(Reason::UnknownFunction))
    }
}

/// Whether a token has the braces of a function with something in them.
pub(super) fn looks_like_function(token: &[u8]) -> bool {
    token.len() > 4 && token.starts_with(b"{{") && token.ends_with(b"}}")
}

/// Whether a token calls one of the functions.
pub(super) fn calls_any(token: &[u8]) -> bool {
    let cuts = CUTS.iter().map(|(name, _)| *name);
    let mut names = cuts.chain([WILDCARD, PARTITION, SPLIT, RANDOM]);
    names.any(|name| arguments(token, name).is_some())
}

/// Which wildcard of the source a token stands for: what a way back can be made from.
pub(super) fn place_holder(token: &[u8]) -> Option<i64> {
    match Call::read(token) {
        Ok(Call::Wildcard(which)) if which > 0 => Some(which),
        _ => None,
    }
}

/// What stands in the brackets of the first call of `name`: up to the last bracket that can close
/// it.
fn arguments<'a>(token: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut starts = memmem::find_iter(token, b"{{");
    starts.find_map(|start| {
        let call = skip_blanks(token.get(start + 2..)?);
        let (called, rest) = call.split_at_checked(name.len())?;
        let same = |(byte, name): (&u8, &u8)| byte == name || *byte == name.to_ascii_lowercase();
        if !called.iter().zip(name).all(same) {
            return None;
        }
        let text = skip_blanks(rest).strip_prefix(b"(")?;
        let line = text.split(|byte| *byte == b'\n').next()?;
        let mut ends = memchr::memrchr_iter(b')', line);
        let closes = |end: &usize| {
            text.get(end + 1..).is_some_and(|after| skip_blanks(after).starts_with(b"}}"))
        };
        text.get(..ends.find(closes)?)
    })
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c');
    let count = text.iter().take_while(|byte| is_blank(byte)).count();
    text.get(count..).unwrap_or_default()
}

/// Arguments between commas, without the blanks behind the commas.
fn split_arguments(text: &[u8]) -> Vec<&[u8]> {
    let mut parts = text.split(|byte| *byte == b',');
    parts.next().into_iter().chain(parts.map(skip_blanks)).collect()
}

fn two(text: &[u8]) -> Result<[&[u8]; 2], Reason> {
    let all = split_arguments(text);
    if all.len() < 2 {
        return Err(Reason::TooFewArguments);
    }
    <[&[u8]; 2]>::try_from(all).map_err(|_| Reason::TooManyArguments)
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] | [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Numbers below the smallest of 32 bits lose their upper half, as they do in nats-server.
#[expect(clippy::cast_possible_truncation, reason = "that is the point")]
const fn wrapped(number: i64) -> i32 {
    number as i32
}
