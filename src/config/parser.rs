//! Text to a tree of values: the grammar of NATS configuration files.
//!
//! Keys and values are separated by `=`, `:` or white space, entries by line ends, `,` or `;`. The
//! whole may stand in braces, which makes JSON a special case. `$name` is a key seen before, in the
//! innermost map that has it, or else an environment variable, whose text is read by the same
//! grammar. `include` merges the keys of another file, which sees none of the variables here.
//!
//! A break of the grammar ends the file it is in. A variable without value or a file that cannot
//! be read does not, so that all of them are reported in one run.
//!
//! Invariant: depth, number of values and chains of files and variables are bounded, so that no
//! input takes the stack or the memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::include::{self, Surroundings};
use super::lexer::{Cursor, Scalar, is_line_end};
use super::problem::{Problem, Report, Spot};
use super::value::{Entry, Item, Map, Value};

/// Maps and lists inside each other.
const DEPTH_MAX: usize = 100;
const TOO_DEEP: &str = "more than 100 maps and lists are nested";

/// Files that include each other, variables that refer to each other.
const CHAIN_MAX: usize = 20;

/// Values of a configuration, repeated uses of a variable counted. The fuzzer soon finds out that
/// every line can double them, and then does little else if there may be many.
const VALUES_MAX: usize = if cfg!(fuzzing) { 10_000 } else { 1_000_000 };
const TOO_MANY: &str = "the configuration has too many values";

/// Included files and environment variables read in all.
const TEXTS_MAX: usize = 1000;

/// A variable that begins like this is a password hash that somebody forgot to quote.
const BCRYPT: &str = "2a$";

/// Reads `text`, the content of `file`. What is wrong is in the report; what can be understood is
/// in the map.
pub(super) fn parse(file: &Path, text: &[u8], world: &dyn Surroundings, report: &Report) -> Map {
    let mut shared = Shared {
        world,
        report,
        files: vec![include::clean(file)],
        variables: Vec::new(),
        values_left: VALUES_MAX,
        texts_left: TEXTS_MAX,
        depth: 0,
    };
    let name: Arc<str> = file.to_string_lossy().into();
    parse_file(&mut shared, name, text)
}

/// What the parsers of a file, of its includes and of its variables have in common.
struct Shared<'w> {
    world: &'w dyn Surroundings,
    report: &'w Report,
    /// The files being read, outermost first.
    files: Vec<PathBuf>,
    /// The environment variables being read, outermost first.
    variables: Vec<String>,
    values_left: usize,
    texts_left: usize,
    /// Maps and lists around this place.
    depth: usize,
}

impl Shared<'_> {
    /// Takes `count` from the number of values there may be, if so many are left.
    fn count_values(&mut self, count: usize) -> bool {
        let left = self.values_left.checked_sub(count);
        self.values_left = left.unwrap_or(self.values_left);
        left.is_some()
    }
}

fn parse_file(shared: &mut Shared<'_>, name: Arc<str>, text: &[u8]) -> Map {
    let start = Spot { file: Arc::clone(&name), line: 1, column: 1 };
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let valid = text.get(..error.valid_up_to()).unwrap_or_default();
            let valid = std::str::from_utf8(valid).unwrap_or_default();
            let at = Cursor::behind(valid, name);
            shared.report.error(&at, "the file is not valid UTF-8 from here on");
            return Map::default();
        }
    };
    if text.starts_with('\u{feff}') {
        let problem = "the file begins with a byte-order mark: save it as UTF-8 without one";
        shared.report.error(&start, problem);
        return Map::default();
    }
    if let Some(before) = text.split('\0').next().filter(|before| before.len() < text.len()) {
        let at = Cursor::behind(before, name);
        shared.report.error(&at, "the file has a zero byte here");
        return Map::default();
    }
    let mut parser = Parser {
        cursor: Cursor::new(text, name),
        shared,
        open: vec![Map::default()],
        prefix: String::new(),
    };
    let outcome = parser.document();
    parser.close(outcome)
}

struct Parser<'a, 's, 'w> {
    cursor: Cursor<'a>,
    shared: &'s mut Shared<'w>,
    /// The maps around this place, outermost first; never empty.
    open: Vec<Map>,
    /// What to say before a problem: inside a variable, which one.
    prefix: String,
}

/// What followed an entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum After {
    Next,
    Close,
}

impl Parser<'_, '_, '_> {
    /// Reports how the reading ended and gives what was read.
    fn close(mut self, outcome: Result<(), Problem>) -> Map {
        if let Err(Problem { at: Some(at), text }) = outcome {
            self.error(&at, text);
        }
        self.open.drain(..).next().unwrap_or_default()
    }

    fn error(&self, at: &Spot, text: impl AsRef<str>) {
        self.shared.report.error(at, format!("{}{}", self.prefix, text.as_ref()));
    }

    fn document(&mut self) -> Result<(), Problem> {
        loop {
            self.cursor.skip_whitespace_and_comments();
            match self.cursor.peek() {
                None => return Ok(()),
                Some('/') => return self.cursor.fault("a comment begins with '#' or '//'"),
                Some('{') => self.braces()?,
                Some(_) => {
                    if self.entry(false)? {
                        self.after_top_entry()?;
                    }
                }
            }
        }
    }

    /// What stands behind an entry outside of all braces.
    fn after_top_entry(&mut self) -> Result<(), Problem> {
        self.cursor.skip_blanks();
        if self.cursor.eat_comment() {
            return Ok(());
        }
        match self.cursor.peek() {
            None => Ok(()),
            Some(c) if is_line_end(c) || matches!(c, ';' | ',' | '}') => {
                self.cursor.bump();
                Ok(())
            }
            Some(_) => {
                let seen = self.cursor.seen();
                self.cursor.fault(format!("the value ended before {seen}: quote it"))
            }
        }
    }

    /// The entries inside braces that belong to no key. The end of the file closes them too, as
    /// with nats-server, but that is noted.
    fn braces(&mut self) -> Result<(), Problem> {
        let opened = self.cursor.spot();
        self.cursor.bump();
        let mut depth = 1;
        while depth > 0 {
            self.cursor.skip_whitespace_and_comments();
            match self.cursor.peek() {
                None => {
                    self.shared.report.note(&opened, "this '{' is never closed");
                    return Ok(());
                }
                Some('/') => return self.cursor.fault("a comment begins with '#' or '//'"),
                Some('{') => {
                    self.cursor.bump();
                    depth += 1;
                    continue;
                }
                Some('}') => {}
                Some(_) => {
                    if !self.entry(false)? || self.after_entry("braces")? == After::Next {
                        continue;
                    }
                }
            }
            depth = self.close_braces(depth)?;
        }
        Ok(())
    }

    /// From a `}` to what comes behind it, and the number of braces still open there.
    fn close_braces(&mut self, mut depth: usize) -> Result<usize, Problem> {
        loop {
            if self.cursor.eat('}') {
                depth -= 1;
                if depth == 0 {
                    return Ok(0);
                }
            }
            self.cursor.take_while(|c| is_line_end(c) || matches!(c, ' ' | '\t'));
            if self.cursor.eat_comment() || self.cursor.eat(',') || self.cursor.eat(';') {
                return Ok(depth);
            }
            if self.cursor.peek() != Some('}') {
                let seen = self.cursor.seen();
                return self.cursor.fault(format!("expected '}}', found {seen}"));
            }
        }
    }

    /// What stands behind an entry inside braces. A `}` is not taken.
    fn after_entry(&mut self, what: &str) -> Result<After, Problem> {
        loop {
            self.cursor.skip_blanks();
            if self.cursor.eat_comment() {
                continue;
            }
            return match self.cursor.peek() {
                Some('}') => Ok(After::Close),
                Some(c) if is_line_end(c) || matches!(c, ';' | ',') => {
                    self.cursor.bump();
                    Ok(After::Next)
                }
                _ => {
                    let seen = self.cursor.seen();
                    self.cursor.fault(format!(
                        "expected a line end, ',' or '}}' behind a value of these {what}, \
                         found {seen}"
                    ))
                }
            };
        }
    }

    /// A key with its value, or an include. False if there was only the `}` that may end a file.
    fn entry(&mut self, in_map: bool) -> Result<bool, Problem> {
        let quote = match self.cursor.peek() {
            Some('=' | ':') => {
                let seen = self.cursor.seen();
                return self.cursor.fault(format!("expected a key, found {seen}"));
            }
            Some(']') if in_map => return self.cursor.fault("expected a key or '}', found ']'"),
            Some(quote @ ('"' | '\'')) => Some(quote),
            _ => None,
        };
        let mut at = self.cursor.spot();
        let key = if let Some(quote) = quote {
            self.cursor.bump();
            at = self.cursor.spot();
            self.cursor.raw_until(quote, "this key")?
        } else {
            let key = self.cursor.take_while(|c| !c.is_whitespace() && c != '=' && c != ':');
            let spaced = self.cursor.peek().is_some_and(char::is_whitespace);
            if spaced && key.eq_ignore_ascii_case("include") {
                return self.include(&at).map(|()| true);
            }
            key.to_owned()
        };
        self.cursor.skip_whitespace();
        let separated = self.cursor.eat('=') || self.cursor.eat(':');
        if in_map {
            self.cursor.skip_whitespace();
        } else {
            self.cursor.skip_blanks();
        }
        match self.cursor.peek() {
            None if key == "}" && !separated => return Ok(false),
            None if !separated || in_map => return self.without_value(&key, &at),
            Some(c) if is_line_end(c) => return self.without_value(&key, &at),
            Some('}' | ',') if in_map => return self.without_value(&key, &at),
            _ => {}
        }
        let value = self.value()?;
        self.set(Entry { key, at, value, is_variable: false });
        Ok(true)
    }

    fn without_value<T>(&self, key: &str, at: &Spot) -> Result<T, Problem> {
        Err(Problem { at: Some(at.clone()), text: format!("key {key:?} has no value") })
    }

    fn set(&mut self, entry: Entry) {
        let at = entry.at.clone();
        let replaced = self.open.last_mut().and_then(|map| map.insert(entry));
        if let Some(Entry { key, at: first, .. }) = replaced {
            let text = format!("key {key:?} replaces the one at {first}");
            self.shared.report.note(&at, text);
        }
    }

    /// A value; blanks before it were skipped.
    fn value(&mut self) -> Result<Value, Problem> {
        if !self.shared.count_values(1) {
            return self.cursor.fault(TOO_MANY);
        }
        let value = match self.cursor.peek() {
            Some('{') => self.nested(Self::map)?,
            Some('[') => self.nested(Self::list)?,
            _ => {
                let at = self.cursor.spot();
                match self.cursor.scalar()? {
                    Scalar::Value(value) => value,
                    Scalar::Variable(name) => self.variable(&name, &at)?,
                }
            }
        };
        Ok(value)
    }

    /// Takes one from the number of texts there may be.
    fn count_text(&mut self) -> Result<(), Problem> {
        match self.shared.texts_left.checked_sub(1) {
            Some(left) => self.shared.texts_left = left,
            None => return self.cursor.fault("too many files and variables are read"),
        }
        Ok(())
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self, Spot) -> Result<Value, Problem>,
    ) -> Result<Value, Problem> {
        if self.shared.depth == DEPTH_MAX {
            return self.cursor.fault(TOO_DEEP);
        }
        let opened = self.cursor.spot();
        self.cursor.bump();
        self.shared.depth += 1;
        let value = read(self, opened);
        self.shared.depth -= 1;
        value
    }

    fn map(&mut self, opened: Spot) -> Result<Value, Problem> {
        self.open.push(Map::default());
        loop {
            self.cursor.skip_whitespace_and_comments();
            match self.cursor.peek() {
                Some('}') => break,
                None => return unclosed(opened, '{', '}'),
                Some(_) => {}
            }
            self.entry(true)?;
            if self.after_entry("braces")? == After::Close {
                break;
            }
        }
        self.cursor.bump();
        // The document itself is below the map just pushed.
        Ok(Value::Map(self.open.pop().unwrap_or_default()))
    }

    fn list(&mut self, opened: Spot) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            self.cursor.skip_whitespace_and_comments();
            match self.cursor.peek() {
                Some(']') => break,
                None => return unclosed(opened, '[', ']'),
                Some(',') => return self.cursor.fault("expected a value or ']', found ','"),
                Some(_) => {}
            }
            let at = self.cursor.spot();
            let value = self.value()?;
            items.push(Item { at, value });
            self.cursor.skip_blanks();
            while self.cursor.eat_comment() {}
            match self.cursor.peek() {
                Some(']') => break,
                None => return unclosed(opened, '[', ']'),
                Some(c) if is_line_end(c) || c == ',' => {
                    self.cursor.bump();
                }
                Some(_) => {
                    let seen = self.cursor.seen();
                    return self.cursor.fault(format!("expected ',' or ']', found {seen}"));
                }
            }
        }
        self.cursor.bump();
        Ok(Value::List(items))
    }

    /// What `$name` stands for.
    fn variable(&mut self, name: &str, at: &Spot) -> Result<Value, Problem> {
        if name.starts_with(BCRYPT) {
            return Ok(Value::Text(format!("${name}")));
        }
        let known = self.open.iter_mut().rev().find_map(|map| map.get_mut(name));
        if let Some(entry) = known {
            entry.is_variable = true;
            // Before it is copied: it may be as large as all that is there already.
            if !self.shared.count_values(entry.value.size()) {
                return self.cursor.fault(TOO_MANY);
            }
            if self.shared.depth + entry.value.depth() > DEPTH_MAX {
                return self.cursor.fault(TOO_DEEP);
            }
            return Ok(entry.value.clone());
        }
        if self.shared.variables.iter().any(|open| open == name) {
            self.error(at, format!("variable ${name} refers to itself"));
        } else if self.shared.variables.len() == CHAIN_MAX {
            self.error(at, format!("more than {CHAIN_MAX} variables refer to each other"));
        } else if let Some(text) = self.shared.world.variable(name) {
            self.count_text()?;
            return Ok(self.environment(name, &text, at));
        } else {
            self.error(
                at,
                format!("variable ${name} is neither a key before this nor in the environment"),
            );
        }
        Ok(Value::Unresolved)
    }

    /// The value that the text of an environment variable has.
    fn environment(&mut self, name: &str, text: &str, at: &Spot) -> Value {
        /// The text is read as if it stood behind this key.
        const KEY: &str = "value";
        self.shared.variables.push(name.to_owned());
        let assignment = format!("{KEY}={text}");
        let mut parser = Parser {
            cursor: Cursor::pinned(&assignment, at.clone()),
            shared: &mut *self.shared,
            open: vec![Map::default()],
            prefix: format!("{}in ${name}: ", self.prefix),
        };
        let outcome = parser.document();
        let failed = outcome.is_err();
        let mut map = parser.close(outcome);
        self.shared.variables.pop();
        match map.get_mut(KEY) {
            Some(entry) if !failed => std::mem::replace(&mut entry.value, Value::Unresolved),
            _ => Value::Unresolved,
        }
    }

    /// The keys of another file; the word `include` was taken.
    fn include(&mut self, at: &Spot) -> Result<(), Problem> {
        self.cursor.skip_blanks();
        let name = self.include_name()?;
        let including = self.shared.files.last().map_or_else(|| Path::new(""), PathBuf::as_path);
        let path = include::resolve(including, &name);
        if self.shared.files.contains(&path) {
            self.error(at, format!("file {} includes itself", path.display()));
            return Ok(());
        }
        if self.shared.files.len() == CHAIN_MAX {
            self.error(at, format!("more than {CHAIN_MAX} files include each other"));
            return Ok(());
        }
        self.count_text()?;
        let text = match self.shared.world.read(&path) {
            Ok(text) => text,
            Err(error) => {
                let cause = super::reason(&path, &error);
                self.error(at, format!("error parsing include file '{name}', {cause}"));
                return Ok(());
            }
        };
        let file: Arc<str> = path.to_string_lossy().into();
        self.shared.files.push(path);
        let included = parse_file(self.shared, file, &text);
        self.shared.files.pop();
        for entry in included.into_entries() {
            self.set(entry);
        }
        Ok(())
    }

    fn include_name(&mut self) -> Result<String, Problem> {
        match self.cursor.peek() {
            Some(quote @ ('"' | '\'')) => {
                self.cursor.bump();
                self.cursor.raw_until(quote, "the name of this file")
            }
            Some(c)
                if is_line_end(c) || matches!(c, '[' | '{' | '(' | '-' | '\\') || is_digit(c) =>
            {
                let seen = self.cursor.seen();
                self.cursor.fault(format!("expected the name of a file, found {seen}: quote it"))
            }
            _ => {
                let ends = |c| is_line_end(c) || matches!(c, ' ' | '\t' | ';' | '}' | '\'');
                let name = self.cursor.take_while(|c| !ends(c)).to_owned();
                self.cursor.eat('\'');
                Ok(name)
            }
        }
    }
}

const fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

fn unclosed<T>(opened: Spot, open: char, close: char) -> Result<T, Problem> {
    Err(Problem { at: Some(opened), text: format!("this {open:?} is not closed with {close:?}") })
}
