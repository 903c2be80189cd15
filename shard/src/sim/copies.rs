//! In which accounts one publish appears, and as what: the part of the shadow that knows of
//! accounts.

use crate::account::naive::{Landing, Terms};

/// What stands for a name that the server made for an answer: no pattern and no rule here tells one
/// from the other.
const MADE: &str = "_R_.?.?";

/// A publish as it appears in one account.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    pub(super) account: usize,
    subject: String,
    /// Which of the accounts it comes to: of all who are there, one member of a group gets it.
    pub(super) landing: usize,
    /// It is a request of another account.
    pub(super) crossed: bool,
    /// It goes back to who asked.
    pub(super) answers: bool,
}

impl Copy {
    /// The subject, as far as it is known.
    pub(super) fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether it is seen under that name.
    pub(super) fn is_called(&self, name: &str) -> bool {
        if self.subject == MADE { name.starts_with("_R_.") } else { self.subject == name }
    }
}

/// Where a publish on `subject` in `account` lands: its own account first.
pub(super) fn landings(terms: &Terms, account: usize, subject: &str) -> Vec<Landing> {
    terms.landings(account, subject, &mut never)
}

/// What `subject` becomes in `account`.
pub(super) fn mapped(terms: &Terms, account: usize, subject: &str) -> Option<String> {
    terms.mapped(account, subject, &mut never)
}

fn never() -> u8 {
    unreachable!("nothing is left to chance here")
}

/// All copies of a publish.
pub(super) fn copies(terms: &Terms, landings: &[Landing]) -> Vec<Copy> {
    let mut all = Vec::new();
    for (at, landing) in landings.iter().enumerate() {
        let crossed = at > 0;
        let seen = match crossed {
            true => vec![(landing.account, landing.subject.clone())],
            false => terms.appearances(landing.account, &landing.subject),
        };
        for (account, subject) in seen {
            all.push(Copy { account, subject, landing: at, crossed, answers: false });
        }
    }
    all
}

/// Where streams would have a message if it came from no other account: a subscription there counts
/// as one that gets it while it is on its way.
pub(super) fn taken(terms: &Terms, landings: &[Landing]) -> Vec<(usize, String)> {
    let seen = |it: &Landing| terms.appearances(it.account, &it.subject).into_iter().skip(1);
    landings.iter().flat_map(seen).collect()
}

/// The copies of an answer to the request that landed `at`, on `reply` where it was made: one in
/// each account on its way back.
pub(super) fn back(terms: &Terms, landings: &[Landing], at: usize, reply: &str) -> Vec<Copy> {
    let mut all = Vec::new();
    let mut at = at;
    while let Some((before, _)) = landings[at].by {
        let account = landings[before].account;
        let to = if before == 0 { reply } else { MADE };
        let other = mapped(terms, account, to).filter(|mapped| mapped != to);
        let ends = other.is_some();
        let subject = other.unwrap_or_else(|| to.to_owned());
        let landing = landings.len() + all.len();
        all.push(Copy { account, subject, landing, crossed: false, answers: true });
        if ends {
            break;
        }
        at = before;
    }
    all
}
