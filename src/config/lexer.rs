//! Text to scalars: strings, numbers, booleans, variables, with their positions.
//!
//! A bare word is a boolean, a number or a variable if it looks like one, and else a string; what
//! looks like a number at first may turn out to be an address (`127.0.0.1:4222`) or a duration
//! (`10s`). Structure (keys, maps, lists) is the parser's business.
//!
//! Invariant: the cursor stands on a character boundary and never goes back.

use std::sync::Arc;

use super::problem::{Problem, Spot};
use super::units;
use super::value::Value;

/// A value that needs no structure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Value(Value),
    /// `$NAME`, without the sign.
    Variable(String),
}

/// A position in a text.
pub(super) struct Cursor<'a> {
    rest: &'a str,
    spot: Spot,
    /// For text that is not in a file, such as an environment variable: everything in it is said
    /// to stand where it is used.
    pinned: bool,
}

/// A tab or a blank: what may stand between the parts of one line.
const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t')
}

/// The end of a line.
pub(super) const fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// What ends a bare word.
const fn ends_word(c: char) -> bool {
    is_blank(c) || is_line_end(c) || matches!(c, ',' | ';' | ']' | '}')
}

impl<'a> Cursor<'a> {
    /// At the begin of the text of `file`.
    pub(super) const fn new(text: &'a str, file: Arc<str>) -> Self {
        Self { rest: text, spot: Spot { file, line: 1, column: 1 }, pinned: false }
    }

    /// At the begin of a text that is used at `spot`.
    pub(super) const fn pinned(text: &'a str, spot: Spot) -> Self {
        Self { rest: text, spot, pinned: true }
    }

    /// Where a text ends that is the begin of `file`.
    pub(super) fn behind(text: &str, file: Arc<str>) -> Spot {
        let mut cursor = Cursor::new(text, file);
        while cursor.bump().is_some() {}
        cursor.spot
    }

    pub(super) fn spot(&self) -> Spot {
        self.spot.clone()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// The character behind the next one.
    fn peek_second(&self) -> Option<char> {
        self.rest.chars().nth(1)
    }

    pub(super) fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        match c {
            _ if self.pinned => {}
            '\n' => {
                self.spot.line = self.spot.line.saturating_add(1);
                self.spot.column = 1;
            }
            c => {
                let width = u32::try_from(c.len_utf8()).unwrap_or(1);
                self.spot.column = self.spot.column.saturating_add(width);
            }
        }
        Some(c)
    }

    /// Takes the next character if it is `wanted`.
    pub(super) fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.bump();
        }
        found
    }

    /// Takes characters as long as they are wanted.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let start = self.rest;
        while self.peek().is_some_and(&wanted) {
            self.bump();
        }
        self.since(start)
    }

    /// The text from `start`, an earlier rest, to here.
    fn since(&self, start: &'a str) -> &'a str {
        start.get(..start.len().saturating_sub(self.rest.len())).unwrap_or_default()
    }

    pub(super) fn skip_blanks(&mut self) {
        self.take_while(is_blank);
    }

    pub(super) fn skip_whitespace(&mut self) {
        self.take_while(char::is_whitespace);
    }

    /// Takes a comment up to the end of its line, if one begins here.
    pub(super) fn eat_comment(&mut self) -> bool {
        let begins =
            self.peek() == Some('#') || (self.peek(), self.peek_second()) == (Some('/'), Some('/'));
        if begins {
            self.take_while(|c| !is_line_end(c));
        }
        begins
    }

    pub(super) fn skip_whitespace_and_comments(&mut self) {
        loop {
            self.skip_whitespace();
            if !self.eat_comment() {
                return;
            }
        }
    }

    /// What stands here, for a sentence.
    pub(super) fn seen(&self) -> String {
        match self.peek() {
            None => "the end of the file".to_owned(),
            Some(c) if is_line_end(c) => "the end of the line".to_owned(),
            Some(c) => format!("{c:?}"),
        }
    }

    /// The problem that something here is wrong.
    pub(super) fn fault<T>(&self, text: impl Into<String>) -> Result<T, Problem> {
        Err(Problem { at: Some(self.spot()), text: text.into() })
    }

    /// Everything up to `quote`, which is taken too; nothing in it has a meaning.
    pub(super) fn raw_until(&mut self, quote: char, what: &str) -> Result<String, Problem> {
        let opened = self.spot();
        let text = self.take_while(|c| c != quote);
        if self.eat(quote) {
            return Ok(text.to_owned());
        }
        Err(Problem { at: Some(opened), text: format!("{what} is not closed with {quote}") })
    }

    /// A scalar. The first character decides, except that an unexpected end is an empty string.
    pub(super) fn scalar(&mut self) -> Result<Scalar, Problem> {
        match self.peek() {
            Some('\'') => {
                self.bump();
                self.raw_until('\'', "this string").map(Value::Text)
            }
            Some('"') => self.double_quoted().map(Value::Text),
            Some('(') => self.block().map(Value::Text),
            Some('-') => self.negative(),
            Some('.') => self.fault("a number begins with a digit, not with '.'"),
            Some(c) if c.is_ascii_digit() => self.number(),
            _ => return self.bare(),
        }
        .map(Scalar::Value)
    }

    fn double_quoted(&mut self) -> Result<String, Problem> {
        let opened = self.spot();
        self.bump();
        let mut bytes = Vec::new();
        loop {
            match self.bump() {
                Some('"') => return utf8(bytes, &opened),
                Some('\\') => bytes.push(self.escape()?),
                Some(c) => push(&mut bytes, c),
                None => {
                    let text = "this string is not closed with \"".to_owned();
                    return Err(Problem { at: Some(opened), text });
                }
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Result<u8, Problem> {
        let byte = match self.peek() {
            Some('t') => b'\t',
            Some('n') => b'\n',
            Some('r') => b'\r',
            Some('"') => b'"',
            Some('\\') => b'\\',
            Some('x') => {
                self.bump();
                let mut digit = || {
                    let digit = self.peek().and_then(|c| c.to_digit(16));
                    match digit.and_then(|digit| u8::try_from(digit).ok()) {
                        Some(digit) => {
                            self.bump();
                            Ok(digit)
                        }
                        None => self.fault("\\x takes two hexadecimal digits"),
                    }
                };
                return Ok(digit()? << 4 | digit()?);
            }
            _ => {
                return self.fault(format!(
                    "there is no escape \\ with {}: only \\xHH, \\t, \\n, \\r, \\\" and \\\\",
                    self.seen()
                ));
            }
        };
        self.bump();
        Ok(byte)
    }

    /// `(`, lines, and `)` alone on a line.
    fn block(&mut self) -> Result<String, Problem> {
        let opened = self.spot();
        self.bump();
        let start = self.rest;
        let mut before = '(';
        loop {
            let text = self.since(start);
            match self.bump() {
                Some(')') if before == '\n' && self.peek().is_none_or(is_line_end) => {
                    return Ok(text.to_owned());
                }
                Some(c) => before = c,
                None => {
                    let text = "this block is not closed with ')' alone on a line".to_owned();
                    return Err(Problem { at: Some(opened), text });
                }
            }
        }
    }

    fn negative(&mut self) -> Result<Value, Problem> {
        let (at, start) = (self.spot(), self.rest);
        self.bump();
        if !self.peek().is_some_and(|c| c.is_ascii_digit()) {
            return self.fault(format!("'-' is followed by a digit, not by {}", self.seen()));
        }
        self.take_while(|c| c.is_ascii_digit());
        match self.peek() {
            Some('.') => self.with_fraction(start, &at),
            Some(c) if units::is_prefix(c) => self.with_unit(start, &at),
            _ => integer(self.since(start), &at),
        }
    }

    /// What begins with a digit: an integer, a float, a time, or after all a word.
    fn number(&mut self) -> Result<Value, Problem> {
        let (at, start) = (self.spot(), self.rest);
        let digits = self.take_while(|c| c.is_ascii_digit()).len();
        match self.peek() {
            Some('.') => self.with_fraction(start, &at),
            Some('-') if digits == 4 => self.time(start, &at),
            Some('-') => self.fault("a point of time is written 2026-01-31T12:00:00Z"),
            Some(c) if units::is_prefix(c) => self.with_unit(start, &at),
            Some(c) if !ends_word(c) => self.word(start, &at).map(Value::Text),
            _ => integer(self.since(start), &at),
        }
    }

    /// An integer with a unit, unless more follows: `5m` is a number, `5ms` a word.
    fn with_unit(&mut self, start: &'a str, at: &Spot) -> Result<Value, Problem> {
        self.bump();
        self.take_while(|c| matches!(c, 'b' | 'B' | 'i' | 'I'));
        if self.peek().is_none_or(|c| ends_word(c) || c.is_ascii_digit()) {
            integer(self.since(start), at)
        } else {
            self.word(start, at).map(Value::Text)
        }
    }

    /// A float from its point on, unless a second point follows: then it is an address.
    fn with_fraction(&mut self, start: &'a str, at: &Spot) -> Result<Value, Problem> {
        self.bump();
        if self.take_while(|c| c.is_ascii_digit()).is_empty() {
            return self.fault(format!("a digit is missing behind '.', found {}", self.seen()));
        }
        if self.peek() != Some('.') {
            return float(self.since(start), at);
        }
        self.take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':' | '-'));
        Ok(Value::Text(self.since(start).to_owned()))
    }

    fn time(&mut self, start: &'a str, at: &Spot) -> Result<Value, Problem> {
        const BEHIND_THE_YEAR: &str = "-00-00T00:00:00Z";
        for expected in BEHIND_THE_YEAR.chars() {
            let fits = match expected {
                '0' => self.peek().is_some_and(|c| c.is_ascii_digit()),
                other => self.peek() == Some(other),
            };
            if !fits {
                return self.fault("a point of time is written 2026-01-31T12:00:00Z");
            }
            self.bump();
        }
        let text = self.since(start);
        match text.parse::<jiff::Timestamp>() {
            Ok(_) => Ok(Value::Time(text.to_owned())),
            Err(_) => Err(Problem {
                at: Some(at.clone()),
                text: format!("there is no such point of time as {text}"),
            }),
        }
    }

    /// A bare word from `start` on, of which some was taken already.
    fn word(&mut self, start: &'a str, at: &Spot) -> Result<String, Problem> {
        let mut bytes = self.since(start).as_bytes().to_vec();
        self.word_into(&mut bytes)?;
        utf8(bytes, at)
    }

    /// Returns whether the word had an escape or was ended by a single quote: such a word is a
    /// string whatever it looks like.
    fn word_into(&mut self, bytes: &mut Vec<u8>) -> Result<bool, Problem> {
        let mut escaped = false;
        while let Some(c) = self.peek().filter(|c| !ends_word(*c)) {
            self.bump();
            match c {
                '\\' => {
                    bytes.push(self.escape()?);
                    escaped = true;
                }
                '\'' => return Ok(true),
                c => push(bytes, c),
            }
        }
        Ok(escaped)
    }

    fn bare(&mut self) -> Result<Scalar, Problem> {
        let at = self.spot();
        let mut bytes = Vec::new();
        let is_string = self.word_into(&mut bytes)?;
        let word = utf8(bytes, &at)?;
        if !is_string {
            match word.to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" => return Ok(Scalar::Value(Value::Bool(true))),
                "false" | "off" | "no" => return Ok(Scalar::Value(Value::Bool(false))),
                _ => {}
            }
            if let Some(name) = word.strip_prefix('$') {
                return Ok(Scalar::Variable(name.to_owned()));
            }
        }
        Ok(Scalar::Value(Value::Text(word)))
    }
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn utf8(bytes: Vec<u8>, at: &Spot) -> Result<String, Problem> {
    let text = "the bytes of this string are not valid UTF-8".to_owned();
    String::from_utf8(bytes).map_err(|_| Problem { at: Some(at.clone()), text })
}

fn integer(text: &str, at: &Spot) -> Result<Value, Problem> {
    units::integer(text).map(Value::Integer).map_err(|text| Problem { at: Some(at.clone()), text })
}

fn float(text: &str, at: &Spot) -> Result<Value, Problem> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Value::Float(number)),
        _ => {
            let text = "the number is too large".to_owned();
            Err(Problem { at: Some(at.clone()), text })
        }
    }
}
