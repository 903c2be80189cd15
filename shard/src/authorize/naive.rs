//! Authorization written to be obviously right, however slow, as the measure of the real one: each
//! rule is looked at on its own, each time.

use super::Rules;
use crate::subject::naive::matches;

/// Subject and queue of a rule.
fn rule(text: &str) -> (&[u8], Option<&[u8]>) {
    let words: Vec<&str> = text.split_whitespace().collect();
    (words[0].as_bytes(), words.get(1).map(|queue| queue.as_bytes()))
}

/// Of the rules that match, whether one names no queue, and the queues that the others name.
fn found<'r>(rules: &'r [String], subject: &[u8]) -> (bool, Vec<&'r [u8]>) {
    let matching = rules.iter().map(|text| rule(text)).filter(|(rule, _)| matches(rule, subject));
    let (named, plain): (Vec<_>, Vec<_>) = matching.partition(|(_, queue)| queue.is_some());
    (!plain.is_empty(), named.into_iter().filter_map(|(_, queue)| queue).collect())
}

/// Whether a rule names the queue: as it is, or with wildcards that take in what the queue does.
pub(crate) fn names(rule: &[u8], queue: &[u8]) -> bool {
    fn takes_in(rule: &[&[u8]], queue: &[&[u8]]) -> bool {
        match (rule, queue) {
            ([], []) => true,
            ([b">", ..], [_, ..]) => true,
            (_, [b"" | b">", ..]) => false,
            ([b"*", rule @ ..], [_, queue @ ..]) => takes_in(rule, queue),
            ([first, rule @ ..], [token, queue @ ..]) => first == token && takes_in(rule, queue),
            _ => false,
        }
    }
    let split = |text| <[u8]>::split(text, |byte| *byte == b'.').collect::<Vec<_>>();
    let rule_tokens = split(rule);
    let wild = rule_tokens.iter().any(|token| matches!(*token, b"*" | b">"));
    rule == queue || (wild && takes_in(&rule_tokens, &split(queue)))
}

/// Whether the rules allow publishing.
pub(crate) fn may_publish(rules: &Rules, subject: &[u8]) -> bool {
    let any = |rules: &[String]| rules.iter().any(|rule| matches(rule.as_bytes(), subject));
    let allowed = match &rules.publish.allow {
        Some(allow) => any(allow),
        None => rules.responses.is_none(),
    };
    allowed && !any(&rules.publish.deny)
}

/// Whether a SUB is accepted.
pub(crate) fn may_subscribe(rules: &Rules, pattern: &[u8], queue: Option<&[u8]>) -> bool {
    let allow = rules.subscribe.allow.as_deref().unwrap_or_default();
    let (plain, queues) = found(allow, pattern);
    let allowed = match queue {
        _ if allow.is_empty() => true,
        Some(queue) if !queues.is_empty() => queues.iter().any(|rule| names(rule, queue)),
        _ => plain,
    };
    allowed && !is_denied(rules, pattern, queue)
}

/// Whether an accepted subscription may have a message.
pub(crate) fn may_deliver(
    rules: &Rules,
    pattern: &[u8],
    queue: Option<&[u8]>,
    subject: &[u8],
) -> bool {
    !is_denied(rules, subject, queue) && is_within(rules, pattern, queue, subject)
}

fn is_denied(rules: &Rules, subject: &[u8], queue: Option<&[u8]>) -> bool {
    let (plain, queues) = found(&rules.subscribe.deny, subject);
    plain || queue.is_some_and(|queue| queues.iter().any(|rule| names(rule, queue)))
}

/// Nobody is given what no rule allows. A rule that takes in all of the pattern allows whatever the
/// pattern matches; else the subject itself must match one.
fn is_within(rules: &Rules, pattern: &[u8], queue: Option<&[u8]>, subject: &[u8]) -> bool {
    let allow = rules.subscribe.allow.as_deref().unwrap_or_default();
    allow.is_empty()
        || allow.iter().map(|text| rule(text)).any(|(rule, named)| {
            let counts = match (named, queue) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(named), Some(queue)) => names(named, queue),
            };
            // A pattern is taken in as a queue is; a literal rule takes in only itself.
            counts && (names(rule, pattern) || matches(rule, subject))
        })
}
