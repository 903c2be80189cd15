//! The effective values, for an operator who asks what the server would do.
//!
//! One `key: value` a line, the origin in a comment behind it. Secrets are not in it.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::time::Duration;

use ringbus_shard::wire::secret::Secret;

use super::setting::{Origin, Setting};
use super::units;

/// Column at which origins begin, if the value leaves room.
const ORIGIN: usize = 48;

/// Lines collected so far.
#[derive(Debug, Default)]
pub(super) struct Dump {
    comment: Option<String>,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct Line {
    key: &'static str,
    value: String,
    origin: Origin,
}

impl Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(comment) = &self.comment {
            writeln!(f, "# {comment}")?;
        }
        for Line { key, value, origin } in &self.lines {
            let pair = format!("{key}: {value}");
            writeln!(f, "{pair:ORIGIN$} # {origin}")?;
        }
        Ok(())
    }
}

impl Dump {
    pub(super) fn into_texts(self) -> HashMap<&'static str, String> {
        self.lines.into_iter().map(|line| (line.key, line.value)).collect()
    }

    pub(super) fn comment(&mut self, text: &str) {
        self.comment = Some(text.to_owned());
    }

    pub(super) fn line(&mut self, key: &'static str, value: impl Display, origin: &Origin) {
        self.lines.push(Line { key, value: value.to_string(), origin: origin.clone() });
    }

    pub(super) fn plain<T: Display>(&mut self, key: &'static str, setting: &Setting<T>) {
        self.line(key, &**setting, setting.origin());
    }

    pub(super) fn text(&mut self, key: &'static str, setting: &Setting<String>) {
        self.line(key, quoted(setting), setting.origin());
    }

    pub(super) fn optional_text(&mut self, key: &'static str, setting: &Setting<Option<String>>) {
        self.line(key, quoted(setting.as_deref().unwrap_or_default()), setting.origin());
    }

    pub(super) fn optional_path(&mut self, key: &'static str, setting: &Setting<Option<PathBuf>>) {
        let path = setting.as_ref().map(|path| path.display().to_string());
        self.line(key, quoted(&path.unwrap_or_default()), setting.origin());
    }

    /// `none` is what the key would be set to for "no bound", if it can be set so.
    pub(super) fn number_or_none<T: Display>(
        &mut self,
        key: &'static str,
        setting: &Setting<Option<T>>,
        none: &str,
    ) {
        match &**setting {
            Some(number) => self.line(key, number, setting.origin()),
            None => self.line(key, none, setting.origin()),
        }
    }

    pub(super) fn duration(&mut self, key: &'static str, setting: &Setting<Duration>) {
        self.line(key, quoted(&units::written(**setting)), setting.origin());
    }

    pub(super) fn secret(&mut self, key: &'static str, setting: &Setting<Secret>) {
        let shown = if setting.is_empty() { String::new() } else { setting.to_string() };
        self.line(key, quoted(&shown), setting.origin());
    }
}

/// A text in quotes that the grammar reads back.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
