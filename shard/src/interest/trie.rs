//! Patterns with wildcards: one trie of tokens per account, all in one arena.
//!
//! ```text
//! orders.*.new   orders.>        root -orders-> node -*-> node -new-> node (leaf)
//!                                                 |
//!                                                 +- rest (leaf)
//! ```
//!
//! Literal edges of all nodes live in one hash table keyed by parent and token: a node with one
//! child costs no map of its own, and a node with a million children is no special case. `*` and a
//! final `>` are fields of the node, never keys, so a subject spelled `foo.*` cannot take them for
//! its tokens.
//!
//! Invariant: every node but a root has a child, a leaf or a rest; a root too, between edits. What
//! an edit leaves empty is freed before it returns.

use std::num::NonZeroU32;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use smallvec::{SmallVec, smallvec};

use crate::ids::AccountId;

use super::delta::{Change, Effect, Want};
use super::hashing::Hashing;
use super::leaf::Leaf;
use super::shrink;
use super::token::{Tokens, tokens};

/// Position in the arena. Position 0 holds a node that is never used, so that an absent child is
/// free.
type NodeId = NonZeroU32;

/// What matches one subject: nearly always few.
pub(super) type Found<'t> = SmallVec<[&'t Leaf; 8]>;

#[derive(Debug, Default)]
struct Node {
    /// Child for the token `*`.
    star: Option<NodeId>,
    /// Children in the table of edges.
    literals: u32,
    /// Who wants the pattern that ends here.
    leaf: Option<Box<Leaf>>,
    /// Who wants the pattern that ends with `>` after this node.
    rest: Option<Box<Leaf>>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.star.is_none() && self.literals == 0 && self.leaf.is_none() && self.rest.is_none()
    }
}

/// A literal token that leads from one node to another.
#[derive(Debug)]
struct Edge {
    hash: u64,
    parent: NodeId,
    child: NodeId,
    token: Box<[u8]>,
}

/// How an edit came to a node, so that it can undo the way.
#[derive(Debug)]
enum Step<'p> {
    Star { parent: NodeId },
    Literal { parent: NodeId, token: &'p [u8] },
}

/// The wildcard patterns of all accounts.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Positions in `nodes` that are to be used again.
    free: Vec<NodeId>,
    edges: HashTable<Edge>,
    /// Root of each account that has a wildcard pattern.
    roots: Vec<Option<NodeId>>,
    patterns: usize,
}

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![Node::default()],
            free: Vec::new(),
            edges: HashTable::new(),
            roots: Vec::new(),
            patterns: 0,
        }
    }
}

impl Trie {
    pub(super) fn len(&self) -> usize {
        self.patterns
    }

    /// Nodes in use, roots included.
    pub(super) fn nodes(&self) -> usize {
        self.nodes.len() - 1 - self.free.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.nodes.capacity() + self.edges.capacity()
    }

    /// Adds every leaf of `account` that matches `subject` to `found`.
    pub(super) fn find<'t>(
        &'t self,
        hashing: &Hashing,
        account: AccountId,
        subject: &Tokens<'_>,
        found: &mut Found<'t>,
    ) {
        let Some(Some(root)) = self.roots.get(account.index()) else { return };
        // The nodes still to be visited, not a recursion: a subject may have thousands of tokens.
        let mut open: SmallVec<[(NodeId, usize); 16]> = smallvec![(*root, 0)];
        while let Some((id, depth)) = open.pop() {
            let node = self.node(id);
            let Some(token) = subject.get(depth) else {
                found.extend(node.leaf.as_deref());
                continue;
            };
            found.extend(node.rest.as_deref());
            if let Some(child) = node.star {
                open.push((child, depth + 1));
            }
            if node.literals > 0
                && let Some(child) = self.child(hashing, id, token)
            {
                open.push((child, depth + 1));
            }
        }
    }

    /// Applies `change`; a pattern that nobody wants any more is gone afterwards.
    pub(super) fn apply(
        &mut self,
        hashing: &Hashing,
        account: AccountId,
        pattern: &[u8],
        want: Want<'_>,
        change: Change,
    ) -> Effect {
        let root = self.root(account);
        let mut steps: SmallVec<[Step<'_>; 16]> = SmallVec::new();
        let mut at = root;
        let mut rest = false;
        for token in tokens(pattern) {
            at = match token {
                b"*" => {
                    steps.push(Step::Star { parent: at });
                    self.grow_star(at)
                }
                b">" => {
                    rest = true;
                    break;
                }
                token => {
                    steps.push(Step::Literal { parent: at, token });
                    self.grow_literal(hashing, at, token)
                }
            };
        }
        let node = self.node_mut(at);
        let place = if rest { &mut node.rest } else { &mut node.leaf };
        let known = place.is_some();
        let leaf = place.get_or_insert_default();
        let effect = leaf.apply(want, change);
        let wanted = !leaf.is_empty();
        if !wanted {
            *place = None;
        }
        self.patterns = self.patterns + usize::from(wanted) - usize::from(known);
        self.prune(hashing, at, &steps);
        if self.node(root).is_empty() {
            self.release(root);
            self.set_root(account, None);
        }
        effect
    }

    /// Frees `at` and its ancestors below the root as far as they are empty.
    fn prune(&mut self, hashing: &Hashing, mut at: NodeId, steps: &[Step<'_>]) {
        for step in steps.iter().rev() {
            if !self.node(at).is_empty() {
                return;
            }
            self.release(at);
            at = match *step {
                Step::Star { parent } => {
                    self.node_mut(parent).star = None;
                    parent
                }
                Step::Literal { parent, token } => {
                    self.cut(hashing, parent, token);
                    parent
                }
            };
        }
    }

    fn child(&self, hashing: &Hashing, parent: NodeId, token: &[u8]) -> Option<NodeId> {
        let hash = hashing.edge(parent.get(), token);
        let edge = self.edges.find(hash, |edge| edge.is(hash, parent, token))?;
        Some(edge.child)
    }

    fn grow_star(&mut self, parent: NodeId) -> NodeId {
        if let Some(child) = self.node(parent).star {
            return child;
        }
        let child = self.allocate();
        self.node_mut(parent).star = Some(child);
        child
    }

    fn grow_literal(&mut self, hashing: &Hashing, parent: NodeId, token: &[u8]) -> NodeId {
        if let Some(child) = self.child(hashing, parent, token) {
            return child;
        }
        let hash = hashing.edge(parent.get(), token);
        let child = self.allocate();
        let edge = Edge { hash, parent, child, token: Box::from(token) };
        self.edges.insert_unique(hash, edge, |edge| edge.hash);
        self.node_mut(parent).literals += 1;
        child
    }

    fn cut(&mut self, hashing: &Hashing, parent: NodeId, token: &[u8]) {
        let hash = hashing.edge(parent.get(), token);
        let same = |edge: &Edge| edge.is(hash, parent, token);
        if let Entry::Occupied(edge) = self.edges.entry(hash, same, |edge| edge.hash) {
            edge.remove();
            self.node_mut(parent).literals -= 1;
            shrink(&mut self.edges, |edge| edge.hash);
        }
    }

    fn allocate(&mut self) -> NodeId {
        if let Some(id) = self.free.pop() {
            return id;
        }
        self.nodes.push(Node::default());
        // Four billion nodes are more than any machine holds; the arena would be out of memory
        // first.
        u32::try_from(self.nodes.len() - 1).ok().and_then(NodeId::new).expect("nodes fit in u32")
    }

    fn release(&mut self, id: NodeId) {
        debug_assert!(self.node(id).is_empty(), "only empty nodes are freed");
        if self.free.len() + 2 == self.nodes.len() {
            // The last node in use: give the memory back, so that a peak does not stay for ever.
            self.nodes.truncate(1);
            self.nodes.shrink_to_fit();
            self.free = Vec::new();
        } else {
            self.free.push(id);
        }
    }

    fn root(&mut self, account: AccountId) -> NodeId {
        if let Some(Some(root)) = self.roots.get(account.index()) {
            return *root;
        }
        let root = self.allocate();
        self.set_root(account, Some(root));
        root
    }

    fn set_root(&mut self, account: AccountId, root: Option<NodeId>) {
        if self.roots.len() <= account.index() {
            self.roots.resize(account.index() + 1, None);
        }
        self.roots[account.index()] = root;
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.get() as usize]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.get() as usize]
    }
}

impl Edge {
    fn is(&self, hash: u64, parent: NodeId, token: &[u8]) -> bool {
        self.hash == hash && self.parent == parent && *self.token == *token
    }
}
