//! Rules as they are written in a configuration file or a token, and what can be wrong with them.

#![deny(clippy::indexing_slicing)]

use std::fmt;
use std::time::Duration;

/// What a user may do, as text. The default allows everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// Subjects it may publish to.
    pub publish: Lists,
    /// Patterns it may subscribe to; each may name a queue group after a blank.
    pub subscribe: Lists,
    /// It may answer what it is sent.
    pub responses: Option<Responses>,
}

/// Two lists of patterns.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lists {
    /// What is allowed; `None` allows everything. An empty list allows nothing to be published, and
    /// everything to be subscribed to, as with nats-server.
    pub allow: Option<Vec<String>>,
    /// What is denied, whatever allows it.
    pub deny: Vec<String>,
}

/// How far a client may answer on subjects that it could not publish to otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Responses {
    /// Messages for each reply subject; `None` for as many as it likes.
    pub max: Option<u64>,
    /// How long after it was given the subject; `None` for ever.
    pub ttl: Option<Duration>,
}

impl Default for Responses {
    /// One answer within two minutes.
    fn default() -> Self {
        Self { max: Some(1), ttl: Some(Duration::from_secs(120)) }
    }
}

/// A rule that is no pattern. Shown in the words of nats-server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadRule {
    /// The list it is in: `publish allow`, … ; empty if only one text was looked at.
    list: &'static str,
    what: What,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum What {
    Subject(String),
    Queue(String),
}

impl fmt::Display for BadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.list.is_empty() {
            write!(f, "{}: ", self.list)?;
        }
        match &self.what {
            What::Subject(text) => write!(f, "subject {text:?} is not a valid subject"),
            What::Queue(text) => write!(f, "queue {text:?} is not a valid queue"),
        }
    }
}

impl std::error::Error for BadRule {}

impl Rules {
    /// Whether every text is a rule.
    pub(super) fn check(&self) -> Result<(), BadRule> {
        let lists = [
            ("publish allow", self.publish.allow.as_deref().unwrap_or_default(), false),
            ("publish deny", &self.publish.deny, false),
            ("subscribe allow", self.subscribe.allow.as_deref().unwrap_or_default(), true),
            ("subscribe deny", &self.subscribe.deny, true),
        ];
        for (list, texts, queues) in lists {
            for text in texts {
                check(text, queues).map_err(|bad| BadRule { list, ..bad })?;
            }
        }
        Ok(())
    }
}

/// Whether `text` is a pattern; with `queues`, it may name a queue group after a blank.
///
/// # Errors
/// If it is none, in the words of nats-server.
pub fn check(text: &str, queues: bool) -> Result<(), BadRule> {
    let bad = |what: What| Err(BadRule { list: "", what });
    if is_pattern(text) {
        return Ok(());
    }
    if !queues {
        return bad(What::Subject(text.to_owned()));
    }
    match split(text) {
        (Some(subject), Some(queue)) if is_pattern(subject) && is_pattern(queue) => Ok(()),
        (Some(subject), Some(queue)) if is_pattern(subject) => bad(What::Queue(queue.to_owned())),
        (Some(subject), Some(_)) => bad(What::Subject(subject.to_owned())),
        _ => bad(What::Subject(text.to_owned())),
    }
}

/// Subject and queue of a text with two words; neither if it has another number of them.
fn split(text: &str) -> (Option<&str>, Option<&str>) {
    let mut words = text.split_whitespace();
    match (words.next(), words.next(), words.next()) {
        (Some(subject), Some(queue), None) => (Some(subject), Some(queue)),
        _ => (None, None),
    }
}

/// Subject and queue of a rule that was found good.
pub(super) fn parts(text: &str) -> (&str, Option<&str>) {
    match split(text) {
        (Some(subject), queue) => (subject, queue),
        _ => (text, None),
    }
}

/// Whether a text is a pattern without blanks of any kind.
fn is_pattern(text: &str) -> bool {
    crate::subject::is_valid_pattern(text.as_bytes()) && !text.contains(char::is_whitespace)
}
