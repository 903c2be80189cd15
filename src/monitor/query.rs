//! The part of a URL behind the question mark: options by name, read the way Go reads them, refused
//! in its words. Tools that send nonsense are told so in the sentence they know.

#![deny(clippy::indexing_slicing)]

use super::endpoints::Refusal;

/// Options of one request. Of a repeated one the first counts, as with nats-server.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Query(Vec<(String, String)>);

/// An option that cannot be read: what the client is told with status 400.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadQuery(pub String);

impl Query {
    /// Reads what stands behind the question mark. What is not well-formed is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Some((decode(name, true)?, decode(value, true)?))
        };
        let parts = text.split('&').filter(|part| !part.is_empty() && !part.contains(';'));
        Self(parts.filter_map(pair).collect())
    }

    /// These options.
    #[must_use]
    pub fn of(pairs: Vec<(String, String)>) -> Self {
        Self(pairs)
    }

    /// This option has this value now.
    pub fn set(&mut self, name: &str, value: &str) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
    }

    /// The value of an option; empty if it was not given.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// A yes or no; no if it was not given.
    ///
    /// # Errors
    /// If it is neither.
    pub fn switch(&self, name: &str) -> Result<bool, BadQuery> {
        match self.text(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            other => Err(bad("boolean", name, "ParseBool", other, "invalid syntax")),
        }
    }

    /// A whole number; zero if it was not given.
    ///
    /// # Errors
    /// If it is none, or one of more than 64 bits.
    pub fn integer(&self, name: &str) -> Result<i64, BadQuery> {
        let text = self.text(name);
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        number(text, digits, || text.parse().ok())
            .map_err(|why| bad("int", name, "Atoi", text, why))
    }

    /// A whole number that is not negative; zero if it was not given.
    ///
    /// # Errors
    /// If it is none, or one of more than 64 bits.
    pub fn unsigned(&self, name: &str) -> Result<u64, BadQuery> {
        let text = self.text(name);
        number(text, text, || text.parse().ok())
            .map_err(|why| bad("uint64", name, "ParseUint", text, why))
    }

    /// Whether subscriptions are to be listed, and whether with details.
    ///
    /// # Errors
    /// If it is neither yes, nor no, nor `detail`.
    pub fn subscriptions(&self) -> Result<Subscriptions, BadQuery> {
        if self.text("subs").eq_ignore_ascii_case("detail") {
            return Ok(Subscriptions::Details);
        }
        let listed = self.switch("subs")?;
        Ok(if listed { Subscriptions::Patterns } else { Subscriptions::No })
    }
}

/// How much is wanted of subscriptions.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Subscriptions {
    /// Their number.
    #[default]
    No,
    /// What they match.
    Patterns,
    /// Everything.
    Details,
}

fn number<T: Default>(
    text: &str,
    digits: &str,
    parse: impl FnOnce() -> Option<T>,
) -> Result<T, &'static str> {
    if text.is_empty() {
        return Ok(T::default());
    }
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("invalid syntax");
    }
    parse().ok_or("value out of range")
}

fn bad(kind: &str, name: &str, function: &str, text: &str, why: &str) -> BadQuery {
    // A client that sends megabytes of nonsense does not get them back.
    let shown: String = text.chars().take(256).collect();
    BadQuery(format!(
        "Error decoding {kind} for '{name}': strconv.{function}: parsing {shown:?}: {why}"
    ))
}

/// Undoes percent encoding; `None` if that is broken. In a query, a plus is a blank.
#[must_use]
pub(super) fn decode(text: &str, query: bool) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' if query => b' ',
            b'%' => {
                let high = char::from(bytes.next()?).to_digit(16)?;
                let low = char::from(bytes.next()?).to_digit(16)?;
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}

/// Which connections are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum State {
    Open,
    Closed,
    All,
}

impl State {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        match text.to_lowercase().as_str() {
            "" | "open" => Ok(Self::Open),
            "closed" => Ok(Self::Closed),
            "any" | "all" => Ok(Self::All),
            _ => {
                let shown: String = text.chars().take(256).collect();
                Err(Refusal::Bad(format!("Error decoding state for {shown}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: std::fmt::Debug>(outcome: Result<T, BadQuery>) -> String {
        outcome.unwrap_err().0
    }

    #[test]
    fn options_are_read_as_go_reads_them() {
        let query = Query::parse("a=1&b=x%20y+z&a=2&&c&d=%zz&e=%41;f&g=%e4");
        assert_eq!((query.text("a"), query.text("b"), query.text("c")), ("1", "x y z", ""));
        assert_eq!((query.text("d"), query.text("e"), query.text("g")), ("", "", "\u{fffd}"));
        assert_eq!(query.switch("a"), Ok(true));
        assert_eq!(query.switch("c"), Ok(false));
        let numbers = Query::parse("a=-5&b=%2B7&c=9223372036854775807&d=18446744073709551615");
        assert_eq!((numbers.integer("a"), numbers.integer("b")), (Ok(-5), Ok(7)));
        assert_eq!((numbers.integer("c"), numbers.unsigned("d")), (Ok(i64::MAX), Ok(u64::MAX)));
        assert_eq!(numbers.integer("z"), Ok(0));
    }

    #[test]
    fn nonsense_is_refused_in_the_words_of_go() {
        let query = Query::parse("a=x&b=99999999999999999999&c=-1&d=-");
        let text = "Error decoding int for 'a': strconv.Atoi: parsing \"x\": invalid syntax";
        assert_eq!(error(query.integer("a")), text);
        let text = "Error decoding int for 'b': strconv.Atoi: parsing \"99999999999999999999\": \
                    value out of range";
        assert_eq!(error(query.integer("b")), text);
        let text =
            "Error decoding uint64 for 'c': strconv.ParseUint: parsing \"-1\": invalid syntax";
        assert_eq!(error(query.unsigned("c")), text);
        let text =
            "Error decoding boolean for 'a': strconv.ParseBool: parsing \"x\": invalid syntax";
        assert_eq!(error(query.switch("a")), text);
        assert!(query.integer("d").is_err());
    }

    #[test]
    fn subscriptions_come_in_two_depths() {
        let wanted = |text| Query::parse(text).subscriptions();
        assert_eq!(wanted("subs=DETAIL"), Ok(Subscriptions::Details));
        assert_eq!(wanted("subs=1"), Ok(Subscriptions::Patterns));
        assert_eq!(wanted(""), Ok(Subscriptions::No));
        assert!(wanted("subs=details").is_err());
    }
}
