//! Memo: the last subject of one source of messages, and who wanted it.
//!
//! Publishers stay on a subject for many messages. Comparing one subject with the last one costs
//! less than any hash; what is remembered is valid while the index has not changed. It is held
//! weakly: thousands of publishers that fell silent must not keep outdated match sets alive.

use std::rc::{Rc, Weak};

use crate::ids::AccountId;
use crate::interest::{Interest, MatchSet};

const VERB: &[u8] = b"MSG ";

/// The last subject matched, as the head of a delivery, and its match set.
#[derive(Debug, Default)]
pub struct Memo {
    /// `MSG <subject> `; empty before the first message.
    head: Vec<u8>,
    known: Option<Known>,
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
        self.known = Some(Known { account, epoch, set: Rc::downgrade(&set) });
        set
    }

    /// `MSG <subject> ` of the subject looked up last.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The subject looked up last; empty before the first.
    #[inline]
    #[must_use]
    pub fn subject(&self) -> &[u8] {
        self.head.get(VERB.len()..self.head.len().saturating_sub(1)).unwrap_or_default()
    }
}
