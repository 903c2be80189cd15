//! One list of rules, as a tree of tokens.
//!
//! Compiled once and never changed, so it is an arena with the literal children of a node in order:
//! small, and one search per token. What is looked up may hold wildcards; they are plain bytes
//! here, and only `*` and `>` of a rule match them.
//!
//! Cost: a look-up visits at most as many nodes as there are rules and tokens in them, whatever the
//! subject. With the few rules that users have, it is one comparison per token.

#![deny(clippy::indexing_slicing)]

use smallvec::SmallVec;

use crate::subject::{Token, has_empty_token, tokens};

use super::rules::parts;

/// Position in the arena. The root is at position 0 and nobody's child.
type NodeId = usize;

/// A node to look at, and what is left of the subject there.
type Visit<'s> = (NodeId, Option<&'s [u8]>);

/// The rules that end at one place.
#[derive(Debug, Default)]
struct End {
    /// One without a queue does.
    plain: bool,
    /// The queues of those that name one.
    queues: Vec<Box<[u8]>>,
}

impl End {
    fn is_empty(&self) -> bool {
        !self.plain && self.queues.is_empty()
    }
}

#[derive(Debug, Default)]
struct Node {
    /// Children by token, in order.
    literals: Vec<(Box<[u8]>, NodeId)>,
    star: Option<NodeId>,
    /// Rules that end here.
    here: End,
    /// Rules that end with `>` after this.
    rest: End,
}

/// A list of rules. The default matches nothing.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    nodes: Vec<Node>,
}

/// The rules that match.
#[derive(Debug, Default)]
pub(super) struct Found<'p> {
    /// One without a queue does.
    pub(super) plain: bool,
    /// The queues of those that name one.
    pub(super) queues: SmallVec<[&'p [u8]; 2]>,
}

impl Found<'_> {
    /// Whether a rule names `queue`: as it is, or with wildcards.
    pub(super) fn names(&self, queue: &[u8]) -> bool {
        self.queues.iter().any(|rule| names(rule, queue))
    }
}

/// Whether the queue of a rule is `queue`, or a pattern that covers it.
pub(super) fn names(rule: &[u8], queue: &[u8]) -> bool {
    rule == queue || (!crate::subject::is_literal(rule) && covers(rule, queue))
}

/// Whether everything that `narrow` matches is matched by `wide`. Both may hold wildcards.
fn covers(wide: &[u8], narrow: &[u8]) -> bool {
    let mut narrow = tokens(narrow);
    for token in tokens(wide) {
        let Some(other) = narrow.next() else { return false };
        match (Token::of(token), Token::of(other)) {
            (Token::Rest, _) => return true,
            (_, Token::Rest | Token::Literal([])) => return false,
            (Token::One, _) => {}
            (Token::Literal(token), Token::Literal(other)) if token == other => {}
            (Token::Literal(_), _) => return false,
        }
    }
    narrow.next().is_none()
}

impl Patterns {
    /// These rules, none of which names a queue.
    pub(super) fn new(texts: &[String]) -> Self {
        let mut patterns = Self::default();
        texts.iter().for_each(|text| patterns.insert(text.as_bytes(), None));
        patterns
    }

    /// These rules, which may name queues.
    pub(super) fn with_queues(texts: &[String]) -> Self {
        let mut patterns = Self::default();
        for (subject, queue) in texts.iter().map(|text| parts(text)) {
            patterns.insert(subject.as_bytes(), queue.map(str::as_bytes));
        }
        patterns
    }

    fn insert(&mut self, pattern: &[u8], queue: Option<&[u8]>) {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let (mut at, mut rest) = (0, false);
        for token in tokens(pattern) {
            match Token::of(token) {
                Token::Rest => rest = true,
                Token::One => at = self.star(at),
                Token::Literal(token) => at = self.literal(at, token),
            }
        }
        let Some(node) = self.nodes.get_mut(at) else { return };
        let end = if rest { &mut node.rest } else { &mut node.here };
        match queue {
            None => end.plain = true,
            Some(queue) if end.queues.iter().any(|known| **known == *queue) => {}
            Some(queue) => end.queues.push(queue.into()),
        }
    }

    fn star(&mut self, parent: NodeId) -> NodeId {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else { return parent };
        let child = *node.star.get_or_insert(next);
        self.grow(child)
    }

    fn literal(&mut self, parent: NodeId, token: &[u8]) -> NodeId {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else { return parent };
        let place = node.literals.binary_search_by(|(known, _)| (**known).cmp(token));
        let child = match place {
            Ok(place) => node.literals.get(place).map_or(next, |(_, child)| *child),
            Err(place) => {
                node.literals.insert(place, (token.into(), next));
                next
            }
        };
        self.grow(child)
    }

    fn grow(&mut self, child: NodeId) -> NodeId {
        if child == self.nodes.len() {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Whether any rule matches `subject`.
    pub(super) fn matches(&self, subject: &[u8]) -> bool {
        let mut any = false;
        self.walk(subject, |end| {
            any = !end.is_empty();
            any
        });
        any
    }

    /// The rules that match `subject`.
    pub(super) fn find(&self, subject: &[u8]) -> Found<'_> {
        let mut found = Found::default();
        self.walk(subject, |end| {
            found.plain |= end.plain;
            found.queues.extend(end.queues.iter().map(|queue| &**queue));
            false
        });
        found
    }

    /// Shows `take` the ends of all rules that match `subject`, until it has enough.
    fn walk<'p>(&'p self, subject: &[u8], mut take: impl FnMut(&'p End) -> bool) {
        if self.nodes.is_empty() || has_empty_token(subject) {
            return;
        }
        // The nodes still to be visited beside the next one, with what is left of the subject: not
        // a recursion, as a subject may have thousands of tokens.
        let mut open: SmallVec<[Visit<'_>; 8]> = SmallVec::new();
        let mut next: Option<Visit<'_>> = Some((0, Some(subject)));
        while let Some((id, left)) = next {
            let Some(node) = self.nodes.get(id) else { return };
            if take(if left.is_some() { &node.rest } else { &node.here }) {
                return;
            }
            let below = left.and_then(|left| {
                let (token, left) = split(left);
                let children = (node.child(token), node.star);
                if let (Some(_), Some(star)) = children {
                    open.push((star, left));
                }
                Some((children.0.or(children.1)?, left))
            });
            next = below.or_else(|| open.pop());
        }
    }

    /// Whether one rule that counts for `queue` matches everything that `pattern` matches.
    pub(super) fn covers(&self, pattern: &[u8], queue: Option<&[u8]>) -> bool {
        self.any(|rule, end| {
            (end.plain || queue.is_some_and(|it| end.queues.iter().any(|rule| names(rule, it))))
                && covers(rule, pattern)
        })
    }

    /// Whether there is a subject that a rule and `pattern` match.
    pub(super) fn collides(&self, pattern: &[u8]) -> bool {
        self.any(|rule, _| collide(rule, pattern))
    }

    /// Whether `is` holds for a rule. Asked once for each SUB with wildcards.
    fn any(&self, is: impl Fn(&[u8], &End) -> bool) -> bool {
        let mut open: Vec<(NodeId, Vec<u8>)> = vec![(0, Vec::new())];
        while let Some((id, path)) = open.pop() {
            let Some(node) = self.nodes.get(id) else { continue };
            let below = |token: &[u8]| {
                let dot: &[u8] = if path.is_empty() { b"" } else { b"." };
                [&path, dot, token].concat()
            };
            if (!node.here.is_empty() && is(&path, &node.here))
                || (!node.rest.is_empty() && is(&below(b">"), &node.rest))
            {
                return true;
            }
            open.extend(node.star.map(|child| (child, below(b"*"))));
            open.extend(node.literals.iter().map(|(token, child)| (*child, below(token))));
        }
        false
    }
}

impl Node {
    fn child(&self, token: &[u8]) -> Option<NodeId> {
        if self.literals.len() <= SCAN_MAX {
            let child = self.literals.iter().find(|(known, _)| **known == *token);
            return child.map(|(_, child)| *child);
        }
        let place = self.literals.binary_search_by(|(known, _)| (**known).cmp(token)).ok()?;
        self.literals.get(place).map(|(_, child)| *child)
    }
}

/// Children up to which looking at each costs less than a search: most differ in their length.
const SCAN_MAX: usize = 8;

/// The first token, and what comes behind its dot. Tokens are short: calling a search costs more
/// than looking at their bytes.
#[inline]
fn split(subject: &[u8]) -> (&[u8], Option<&[u8]>) {
    let end = subject.iter().position(|byte| *byte == b'.').unwrap_or(subject.len());
    (subject.get(..end).unwrap_or_default(), subject.get(end + 1..))
}

/// Whether two patterns match a subject in common.
fn collide(one: &[u8], other: &[u8]) -> bool {
    let (mut one, mut other) = (tokens(one), tokens(other));
    loop {
        match (one.next().map(Token::of), other.next().map(Token::of)) {
            (None, None) | (Some(Token::Rest), Some(_)) | (Some(_), Some(Token::Rest)) => {
                return true;
            }
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(Token::One), Some(_)) | (Some(_), Some(Token::One)) => {}
            (Some(one), Some(other)) if one == other => {}
            (Some(_), Some(_)) => return false,
        }
    }
}
