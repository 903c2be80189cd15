//! Go's way of writing flags, rewritten into clap's.
//!
//! Go knows no difference between one dash and two, takes values as `-x v` and `-x=v`, gives a
//! switch a value only after `=`, never bundles letters (`-DV` is a flag of its own), ends the
//! flags at the first word, and lets the last of several repetitions win. Each flag becomes
//! `--long-name=value`, which clap can read in one way only.

use std::any::TypeId;
use std::collections::HashMap;
use std::ffi::OsString;

use clap::{Arg, Command};

/// A command line taken apart.
#[derive(Debug, Default)]
pub(super) struct Typed {
    /// The flags in clap's form.
    pub(super) clap_argv: Vec<String>,
    /// The first word that is no flag.
    pub(super) word: Option<String>,
    /// Long name to the spelling last used for it, so that errors name what the operator wrote.
    spellings: HashMap<String, String>,
}

impl Typed {
    /// How the flag was written that clap calls `--name <value>`.
    pub(super) fn as_typed(&self, clap_name: &str) -> String {
        let long = clap_name.trim_start_matches('-').split([' ', '=']).next().unwrap_or_default();
        self.spellings.get(long).cloned().unwrap_or_else(|| format!("--{long}"))
    }
}

/// Rewrites `argv` (without the program's name) for `command`.
pub(super) fn rewrite(command: &Command, argv: &[OsString]) -> Result<Typed, String> {
    let mut typed = Typed::default();
    let mut words = argv.iter();
    while let Some(word) = words.next() {
        let word = utf8(word)?;
        let Some(flag) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
            typed.word = Some(word.to_owned());
            return Ok(typed);
        };
        if flag == "-" {
            typed.word = words.next().map(|word| utf8(word).map(str::to_owned)).transpose()?;
            return Ok(typed);
        }
        let flag = flag.strip_prefix('-').unwrap_or(flag);
        if flag.starts_with(['-', '=']) {
            return Err(format!("bad flag syntax: {word}"));
        }
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        let arg =
            find(command, name).ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
        let value = match value {
            Some(value) => value,
            None if is_switch(arg) => "true".to_owned(),
            None => {
                let value =
                    words.next().ok_or_else(|| format!("flag needs an argument: -{name}"))?;
                utf8(value)?.to_owned()
            }
        };
        if is_switch(arg) && boolean(&value).is_none() {
            return Err(format!("invalid boolean value {value:?} for -{name}: use true or false"));
        }
        let long = arg.get_long().unwrap_or(name);
        typed.spellings.insert(long.to_owned(), format!("-{name}"));
        typed.clap_argv.push(format!("--{long}={value}"));
    }
    Ok(typed)
}

fn utf8(word: &OsString) -> Result<&str, String> {
    word.to_str().ok_or_else(|| format!("argument {word:?} is not valid UTF-8"))
}

/// Every name a flag answers to: its letter first, then the long ones.
pub(super) fn names(arg: &Arg) -> Vec<String> {
    let short = arg.get_short().map(String::from);
    let aliases = arg.get_all_aliases().unwrap_or_default();
    let long = arg.get_long().into_iter().chain(aliases).map(str::to_owned);
    let mut names: Vec<String> = short.into_iter().chain(long).collect();
    names.sort_by_key(|name| !is_letters(name));
    names
}

/// Whether a name is written with one dash in the help: `-p`, `-ms`, `-DVV`.
pub(super) fn is_letters(name: &str) -> bool {
    name.len() <= 2 || name.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn find<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| names(arg).iter().any(|known| known == name))
}

/// Whether a flag may stand without a value.
pub(super) fn is_switch(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

/// A truth value in the spellings that Go reads.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A whole number in the spellings that Go reads: `4222`, `-1`, `0x107e`, `0o10176`, `4_222`.
pub(super) fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.strip_prefix('-')?),
        b'+' => (false, text.strip_prefix('+')?),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixes = [("0x", 16), ("0o", 8), ("0b", 2)];
    let (radix, digits) = prefixes
        .iter()
        .find_map(|(prefix, radix)| Some((*radix, lower.strip_prefix(prefix)?)))
        .or_else(|| Some((8, lower.strip_prefix('0').filter(|rest| !rest.is_empty())?)))
        .unwrap_or((10, &lower));
    let digits = digits.replace('_', "");
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i64::from_str_radix(&digits, radix).ok()?;
    Some(if negative { -number } else { number })
}
