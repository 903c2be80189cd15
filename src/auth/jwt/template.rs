//! Permissions of a role, filled in for one of its users: `{{name()}}`, `{{subject()}}`,
//! `{{account-name()}}`, `{{account-subject()}}`, `{{tag(x)}}` and `{{account-tag(x)}}`.
//!
//! A tag may have several values; then a subject becomes as many as there are combinations. How
//! many, and of how many bytes in all, is bounded: who writes templates is not who runs the server.
//!
//! A subject that cannot be filled in is left out if it would allow something, and refuses the user
//! if it would deny something. A value that brings a wildcard or a blank along refuses the user,
//! which nats-server does not do: whoever signs users for a role must not widen the role by what he
//! calls them.

use std::collections::HashMap;
use std::fmt;

use ringbus_shard::subject;

use super::limits::{Permission, UserLimits};

/// Most subjects that a list becomes if tags are in it.
pub const EXPANSIONS_MAX: usize = 4096;

/// Most bytes of all the subjects that a list becomes.
pub const EXPANDED_BYTES_MAX: usize = 1 << 20;

/// About whom the templates are filled in.
#[derive(Clone, Copy, Debug)]
pub struct Person<'a> {
    /// Name of the user, for people.
    pub name: &'a str,
    /// Its public key.
    pub subject: &'a str,
    /// Its tags.
    pub tags: &'a [String],
    /// Name of its account, for people.
    pub account_name: &'a str,
    /// Public key of its account.
    pub account_subject: &'a str,
    /// Tags of its account.
    pub account_tags: &'a [String],
}

/// Why a template cannot be filled in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// A list would become too long.
    Limit,
    /// There is no such function.
    Operation(String),
    /// What would be denied is no subject.
    Subject,
    /// What stands for this template has a wildcard or a blank in it.
    Value(String),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit => f.write_str("a role stands for too many subjects"),
            Self::Operation(name) => {
                write!(f, "template operation in role not defined: {name:?}")
            }
            Self::Subject => f.write_str("what a role denies is no subject"),
            Self::Value(template) => write!(
                f,
                "what {{{{{template}}}}} stands for has a wildcard or a blank in it, which would \
                 change the role"
            ),
        }
    }
}

/// The limits of a role with all templates filled in.
///
/// # Errors
/// Returns why the user cannot have the role.
pub fn apply(role: &UserLimits, person: Person<'_>) -> Result<UserLimits, Unfit> {
    let mut limits = role.clone();
    for permission in [&mut limits.subscribe, &mut limits.publish] {
        let Permission { allow, deny } = permission;
        let was_restricted = !allow.is_empty();
        *allow = fill(allow, person, false)?;
        *deny = fill(deny, person, true)?;
        // Nothing is left of what was allowed: that is not everything.
        if was_restricted && allow.is_empty() && !deny.iter().any(|subject| subject == ">") {
            deny.push(">".to_owned());
        }
    }
    Ok(limits)
}

/// Fills in all templates of a list.
fn fill(list: &[String], person: Person<'_>, is_strict: bool) -> Result<Vec<String>, Unfit> {
    // A list without any is not looked at, so that queue groups can stand in it.
    if list.iter().all(|subject| next(subject).is_none()) {
        return Ok(list.to_vec());
    }
    let mut filled = Filled { subjects: Vec::new(), bytes: 0, is_strict };
    for subject in list {
        filled.add(subject, person)?;
    }
    Ok(filled.subjects)
}

struct Filled {
    subjects: Vec<String>,
    bytes: usize,
    is_strict: bool,
}

impl Filled {
    fn add(&mut self, subject: &str, person: Person<'_>) -> Result<(), Unfit> {
        let (pieces, templates) = cut(subject);
        let mut values = Vec::with_capacity(templates.len());
        let mut has_tags = false;
        for template in &templates {
            let (found, is_tag) = self.values(template, person)?;
            has_tags |= is_tag;
            values.push(found);
        }
        let limit = EXPANSIONS_MAX.saturating_sub(self.subjects.len());
        let count = values.iter().try_fold(1_usize, |count, some| count.checked_mul(some.len()));
        let count = count.filter(|count| !has_tags || *count <= limit).ok_or(Unfit::Limit)?;
        for mut index in 0..count {
            // The index is a number whose digits choose among the values of each template.
            let chosen: Vec<&str> = values
                .iter()
                .map(|some| {
                    let digit = index % some.len();
                    index /= some.len();
                    some.get(digit).copied().unwrap_or_default()
                })
                .collect();
            self.push(&pieces, &chosen)?;
        }
        Ok(())
    }

    fn push(&mut self, pieces: &[Piece<'_>], chosen: &[&str]) -> Result<(), Unfit> {
        let text = |piece: &Piece<'_>| -> usize {
            match piece {
                Piece::Text(text) => text.len(),
                Piece::Template(index) => chosen.get(*index).map_or(0, |value| value.len()),
            }
        };
        self.bytes = self.bytes.saturating_add(pieces.iter().map(text).sum());
        if self.bytes > EXPANDED_BYTES_MAX {
            return Err(Unfit::Limit);
        }
        let subject: String = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => *text,
                Piece::Template(index) => chosen.get(*index).copied().unwrap_or_default(),
            })
            .collect();
        let has_blanks = subject.contains([' ', '\t', '\n', '\r', '\x0c']);
        if !has_blanks && subject::is_valid_pattern(subject.as_bytes()) {
            self.subjects.push(subject);
            return Ok(());
        }
        if self.is_strict { Err(Unfit::Subject) } else { Ok(()) }
    }

    /// What a template can stand for, and whether it is a tag.
    fn values<'a>(
        &self,
        template: &str,
        person: Person<'a>,
    ) -> Result<(Vec<&'a str>, bool), Unfit> {
        let operation = template.trim();
        let plain = [
            ("name()", person.name),
            ("subject()", person.subject),
            ("account-name()", person.account_name),
            ("account-subject()", person.account_subject),
        ];
        if let Some((_, value)) =
            plain.iter().find(|(name, _)| operation.eq_ignore_ascii_case(name))
        {
            plain_text(operation, value)?;
            return Ok((vec![*value], false));
        }
        let begins = |name: &str| {
            operation.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name))
                && operation.ends_with(')')
        };
        let (name, tags) = match () {
            () if begins("tag(") => ("tag(", person.tags),
            () if begins("account-tag(") => ("account-tag(", person.account_tags),
            () => return Err(Unfit::Operation(operation.to_owned())),
        };
        // In capital letters the name of the function stays part of the name of the tag, which then
        // no tag has: the reference does so.
        let tag = operation.strip_prefix(name).unwrap_or(operation);
        let prefix = tag.strip_suffix(')').unwrap_or(tag).to_lowercase() + ":";
        let values: Vec<&str> =
            tags.iter().filter_map(|tag| tag.strip_prefix(prefix.as_str())).collect();
        values.iter().try_for_each(|value| plain_text(operation, value))?;
        match (values.is_empty(), self.is_strict) {
            (false, _) => Ok((values, true)),
            (true, true) => Err(Unfit::Subject),
            // No subject has a blank in it: what would be allowed is left out.
            (true, false) => Ok((vec![" "], true)),
        }
    }
}

/// A value must not mean more than itself.
fn plain_text(template: &str, value: &str) -> Result<(), Unfit> {
    let means_more = |it: char| matches!(it, '*' | '>') || it.is_whitespace() || it.is_control();
    if value.contains(means_more) { Err(Unfit::Value(template.to_owned())) } else { Ok(()) }
}

enum Piece<'a> {
    Text(&'a str),
    /// Place in the list of templates.
    Template(usize),
}

/// The text around templates, and the templates, each once: the same template stands for the same
/// everywhere in a subject.
fn cut(subject: &str) -> (Vec<Piece<'_>>, Vec<&str>) {
    let (mut pieces, mut templates) = (Vec::new(), Vec::new());
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut rest = subject;
    while let Some((before, template, after)) = next(rest) {
        pieces.push(Piece::Text(before));
        let place = *places.entry(template).or_insert_with(|| {
            templates.push(template);
            templates.len() - 1
        });
        pieces.push(Piece::Template(place));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    (pieces, templates)
}

/// The text before the first template, what is in its braces, and the text behind it.
fn next(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let start = from + text.get(from..)?.find("{{")?;
        let inner = text.get(start + 2..)?;
        let len = inner.find('}')?;
        let (template, after) = inner.split_at_checked(len)?;
        if let (false, Some(after)) = (template.is_empty(), after.strip_prefix("}}")) {
            return Some((text.get(..start)?, template, after));
        }
        from = start + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn filled(list: &[&str], tags: &[&str], is_strict: bool) -> Result<Vec<String>, Unfit> {
        let (tags, account_tags) = (texts(tags), texts(&["acc:acc1", "acc:acc2"]));
        let person = Person {
            name: "joe",
            subject: "UA",
            tags: &tags,
            account_name: "acme",
            account_subject: "AA",
            account_tags: &account_tags,
        };
        fill(&texts(list), person, is_strict)
    }

    #[test]
    fn functions_are_replaced() {
        for (subject, expected) in [
            ("u.{{name()}}", &["u.joe"][..]),
            ("{{ Subject() }}.{{subject()}}", &["UA.UA"]),
            ("{{account-name()}}.{{account-subject()}}", &["acme.AA"]),
            ("t.{{tag(pub)}}", &["t.a", "t.b"]),
            ("{{account-tag(acc)}}.>", &["acc1.>", "acc2.>"]),
            ("{{tag(pub)}}.{{tag(pub)}}", &["a.a", "b.b"]),
            ("{{tag(pub)}}.{{account-tag(acc)}}", &["a.acc1", "b.acc1", "a.acc2", "b.acc2"]),
            ("{{tag(Sub)}}", &["c"]),
            ("{{TAG(pub)}}", &[]),
            ("{{tag(none)}}", &[]),
            ("plain.{{name()}}.{", &["plain.joe.{"]),
        ] {
            let found = filled(&[subject], &["pub:a", "pub:b", "sub:c"], false).unwrap();
            assert_eq!(found, expected, "{subject}");
        }
    }

    #[test]
    fn what_cannot_be_filled_in_is_left_out_or_refused() {
        assert_eq!(filled(&["{{tag(none)}}"], &["a:b"], false), Ok(vec![]));
        assert_eq!(filled(&["{{tag(none)}}"], &["a:b"], true), Err(Unfit::Subject));
        let unknown = Err(Unfit::Operation("now()".to_owned()));
        assert_eq!(filled(&["{{now()}}"], &[], false), unknown);
    }

    #[test]
    fn a_value_does_not_widen_a_role() {
        for value in ["*", ">", "a.*", "a.>", "a*", "a b", " ", "a\tb", "a\u{a0}b", "\r\n"] {
            let tag = format!("t:{value}");
            for template in ["tag(t)", " tag(t) "] {
                let unfit = Err(Unfit::Value("tag(t)".to_owned()));
                for is_strict in [false, true] {
                    let subject = format!("x.{{{{{template}}}}}");
                    assert_eq!(filled(&[&subject], &[&tag], is_strict), unfit, "{value:?}");
                }
            }
            let role = UserLimits {
                subscribe: Permission { allow: texts(&["x.{{name()}}"]), deny: Vec::new() },
                ..UserLimits::default()
            };
            let person = Person {
                name: value,
                subject: "UA",
                tags: &[],
                account_name: "",
                account_subject: "AA",
                account_tags: &[],
            };
            let unfit = Err(Unfit::Value("name()".to_owned()));
            assert_eq!(apply(&role, person).map(drop), unfit, "{value:?}");
        }
        // Tags that no template asks for may be what they like.
        assert_eq!(filled(&["{{tag(t)}}"], &["t:a", "u:>"], false), Ok(texts(&["a"])));
    }

    #[test]
    fn a_queue_stands_only_in_a_list_without_templates() {
        assert_eq!(filled(&["a q"], &[], false), Ok(texts(&["a q"])));
        assert_eq!(filled(&["a q", "{{name()}}"], &[], false), Ok(texts(&["joe"])));
    }

    #[test]
    fn values_are_not_templates() {
        assert_eq!(
            filled(&["{{tag(a)}}.{{name()}}"], &["a:{{name()}}"], false),
            Ok(texts(&["{{name()}}.joe"]))
        );
    }

    #[test]
    fn expansions_are_bounded() {
        let tags: Vec<String> = (0..64).map(|index| format!("a:{index}")).collect();
        let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
        let two = "{{tag(a)}}.{{ tag(a) }}";
        assert_eq!(filled(&[two], &tags, false).unwrap().len(), EXPANSIONS_MAX);
        assert_eq!(filled(&[two, "{{tag(a)}}"], &tags, false), Err(Unfit::Limit));
        let many = vec!["{{tag(a)}}.{{ tag(a)}}.{{tag(a) }}"; 1];
        assert_eq!(filled(&many, &tags, false), Err(Unfit::Limit));
        let long = format!("a:{}", "x".repeat(EXPANDED_BYTES_MAX / 4));
        assert_eq!(filled(&["{{tag(a)}}"; 5], &[&long], false), Err(Unfit::Limit));
    }

    #[test]
    fn nothing_left_of_what_was_allowed_is_nothing_allowed() {
        let role = UserLimits {
            publish: Permission { allow: texts(&["{{tag(none)}}"]), deny: Vec::new() },
            ..UserLimits::default()
        };
        let person = Person {
            name: "",
            subject: "",
            tags: &[],
            account_name: "",
            account_subject: "",
            account_tags: &[],
        };
        let limits = apply(&role, person).unwrap();
        assert_eq!(limits.publish.deny, [">"]);
        assert!(limits.publish.allow.is_empty() && limits.subscribe.deny.is_empty());
    }
}
