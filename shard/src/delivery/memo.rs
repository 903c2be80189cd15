//! Memo: the last subject of one source of messages, and who wanted it.
//!
//! Publishers stay on a subject for many messages. Comparing one subject with the last one costs
//! less than any hash; what is remembered is valid while the index has not changed. It is held
//! weakly: thousands of publishers that fell silent must not keep outdated match sets alive.

use std::rc::{Rc, Weak};

use crate::ids::AccountId;
use crate::interest::{Interest, MatchSet};

use super::{Head, SHORT_HEAD};

const VERB: &[u8] = b"MSG ";

/// The last subject matched, as the head of a delivery, and its match set.
#[derive(Debug)]
pub struct Memo {
    /// `MSG <subject> `; empty before the first message.
    head: Vec<u8>,
    /// The same with something behind, if it is no longer than this.
    short: [u8; SHORT_HEAD],
    known: Option<Known>,
}

impl Default for Memo {
    fn default() -> Self {
        Self { head: Vec::new(), short: [0; SHORT_HEAD], known: None }
    }
}

#[derive(Debug)]
struct Known {
    account: AccountId,
    epoch: u64,
    set: Weak<MatchSet>,
}

impl Memo {
    /// Who wants `subject`. Afterwards [`Self::head`] is its head.
    #[inline]
    pub fn look_up(
        &mut self,
        interest: &mut Interest,
        account: AccountId,
        subject: &[u8],
    ) -> Rc<MatchSet> {
        let epoch = interest.epoch();
        if let Some(known) = &self.known
            && known.epoch == epoch
            && known.account == account
            && self.subject() == subject
            && let Some(set) = known.set.upgrade()
        {
            return set;
        }
        self.look_again(interest, account, subject, epoch)
    }

    fn look_again(
        &mut self,
        interest: &mut Interest,
        account: AccountId,
        subject: &[u8],
        epoch: u64,
    ) -> Rc<MatchSet> {
        let set = interest.matches(account, subject);
        self.head.clear();
        self.head.extend_from_slice(VERB);
        self.head.extend_from_slice(subject);
        self.head.push(b' ');
        if let Some(short) = self.short.get_mut(..self.head.len()) {
            short.copy_from_slice(&self.head);
        }
        self.known = Some(Known { account, epoch, set: Rc::downgrade(&set) });
        set
    }

    /// Memory that it takes beside itself, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.head.capacity()
    }

    /// `MSG <subject> ` of the subject looked up last.
    #[inline]
    #[must_use]
    pub fn head(&self) -> Head<'_> {
        let text = &*self.head;
        Head { text, short: (text.len() <= SHORT_HEAD).then_some(&self.short) }
    }

    /// The subject looked up last with a blank before and behind it, as PUB has it too; empty
    /// before the first.
    #[inline]
    #[must_use]
    pub fn spaced(&self) -> &[u8] {
        self.head.get(VERB.len() - 1..).unwrap_or_default()
    }

    /// The subject looked up last; empty before the first.
    #[inline]
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        self.head.get(VERB.len()..self.head.len().saturating_sub(1)).unwrap_or_default()
    }
}
