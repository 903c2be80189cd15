//! Answers on their way between accounts: what was asked from another account, and who waits.
//!
//! A request that crosses into another account bears a reply subject of its own there,
//! `_R_.<server and shard>.<token>`: it leads back to the requester's shard, where the token says
//! whose answer it is. A token is known to those only who got the request.
//!
//! Bounds: [`ANSWERS_BYTES_MAX`] for a shard and [`ANSWERS_ACCOUNT_BYTES_MAX`] for the requests of
//! one account, counted as [`Pending::bytes`]. Over a bound, the request that waits longest is
//! forgotten: the account's own, or if it has none, one of the account that has most.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ahash::RandomState;
use smallvec::SmallVec;

use crate::account::ResponseType;
use crate::clock::Now;
use crate::ids::{AccountId, ConnId, ShardId};
use crate::limits::{ANSWERS_ACCOUNT_BYTES_MAX, ANSWERS_BYTES_MAX};

/// Before the name of a shard.
const PREFIX: &[u8] = b"_R_.";

/// Characters for a server and for a shard of it.
const SERVER_LEN: usize = 4;
const SHARD_LEN: usize = 2;

/// `_R_.<name>.`
const HEAD_LEN: usize = PREFIX.len() + SERVER_LEN + SHARD_LEN + 1;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A reply subject made here.
pub type ReplyName = SmallVec<[u8; 32]>;

/// Who waits for the answer to one request.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The account where it is answered.
    pub account: AccountId,
    /// The account where the answer is awaited.
    pub to_account: AccountId,
    /// The reply subject there.
    pub to: SmallVec<[u8; 64]>,
    /// Who asked, if a client of this shard did, and on which subject.
    pub requester: Option<(ConnId, SmallVec<[u8; 32]>)>,
    /// How it is answered.
    pub response: ResponseType,
    /// How long an answer may take.
    pub threshold: Duration,
}

impl Pending {
    /// What it counts against the bounds: itself, its place in tables, and names that do not fit.
    fn bytes(&self) -> usize {
        const PLACES: usize = 64;
        let names = self.to.len() + self.requester.as_ref().map_or(0, |(_, name)| name.len());
        size_of::<Self>() + PLACES + names
    }
}

#[derive(Debug)]
struct Held {
    pending: Pending,
    /// When it was asked, or last answered.
    since: Now,
}

/// Requests of one account with the same threshold, in the order in which they are due. Those that
/// were answered stay until they come to the head, or are more than half.
type Queue = VecDeque<(Now, u64)>;

/// The requests of one shard that wait for answers from other accounts.
#[derive(Debug)]
pub struct Answers {
    head: [u8; HEAD_LEN],
    shards: usize,
    held: HashMap<u64, Held, RandomState>,
    queues: HashMap<(AccountId, Duration), Queue, RandomState>,
    bytes: HashMap<AccountId, usize, RandomState>,
    total: usize,
    /// Nothing in the queues is due before.
    first_due: Option<Now>,
    asked: u64,
    /// Forgotten for want of room.
    dropped: u64,
    hasher: RandomState,
}

/// Where the answer on some subject leads.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lead {
    /// It is none.
    Nowhere,
    /// To a request of this shard.
    Here(u64),
    /// To another shard.
    There(ShardId),
}

impl Lead {
    /// The other shard that it leads to.
    #[must_use]
    pub const fn elsewhere(self) -> Option<ShardId> {
        match self {
            Self::There(shard) => Some(shard),
            Self::Nowhere | Self::Here(_) => None,
        }
    }
}

impl Answers {
    /// Nothing asked yet. `server` tells servers apart; `hasher` keeps tokens from being guessed.
    pub fn new(server: &str, me: ShardId, shards: usize, hasher: RandomState) -> Self {
        let mut head = [b'0'; HEAD_LEN];
        let name = server.bytes().filter(u8::is_ascii_alphanumeric).take(SERVER_LEN);
        let digit = |number: usize| DIGITS.get(number % DIGITS.len()).copied().unwrap_or(b'0');
        let number = me.index();
        let of_shard = [digit(number / DIGITS.len()), digit(number)];
        let server_at = PREFIX.len();
        for (place, byte) in head.iter_mut().zip(PREFIX) {
            *place = *byte;
        }
        for (place, byte) in head.iter_mut().skip(server_at).zip(name) {
            *place = byte;
        }
        for (place, byte) in head.iter_mut().skip(server_at + SERVER_LEN).zip(of_shard) {
            *place = byte;
        }
        if let Some(last) = head.last_mut() {
            *last = b'.';
        }
        let table = || HashMap::with_hasher(hasher.clone());
        Self {
            head,
            shards,
            held: table(),
            queues: HashMap::with_hasher(hasher.clone()),
            bytes: HashMap::with_hasher(hasher.clone()),
            total: 0,
            first_due: None,
            asked: 0,
            dropped: 0,
            hasher,
        }
    }

    /// How many requests wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Requests that were forgotten for want of room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Waits for an answer: returns its token, and the subject it will come on.
    pub fn ask(&mut self, now: Now, pending: Pending) -> (u64, ReplyName) {
        self.asked += 1;
        let mut token = self.hasher.hash_one(self.asked);
        while self.held.contains_key(&token) {
            self.asked += 1;
            token = self.hasher.hash_one(self.asked);
        }
        let (account, bytes) = (pending.to_account, pending.bytes());
        self.make_room(account, bytes);
        let key = (account, pending.threshold);
        let due = now.after(pending.threshold);
        self.queues.entry(key).or_default().push_back((due, token));
        self.first_due = Some(self.first_due.map_or(due, |first| first.min(due)));
        self.tidy(key);
        *self.bytes.entry(account).or_default() += bytes;
        self.total += bytes;
        self.held.insert(token, Held { pending, since: now });
        let mut reply = ReplyName::from_slice(&self.head);
        let mut rest = token;
        while rest > 0 || reply.len() == HEAD_LEN {
            let digit = usize::try_from(rest % DIGITS.len() as u64).unwrap_or(0);
            reply.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
            rest /= DIGITS.len() as u64;
        }
        (token, reply)
    }

    /// Where a message on `subject` leads, if it is an answer.
    #[must_use]
    pub fn lead(&self, account: AccountId, subject: &[u8]) -> Lead {
        if let Some(token) = subject.strip_prefix(&self.head) {
            let token = parse(token).filter(|token| self.get(account, *token).is_some());
            return token.map_or(Lead::Nowhere, Lead::Here);
        }
        let own_server = self.head.get(..PREFIX.len() + SERVER_LEN).unwrap_or_default();
        let shard = subject.strip_prefix(own_server).and_then(|rest| match rest {
            [high, low, b'.', ..] => Some((digit(*high)? * DIGITS.len()) + digit(*low)?),
            _ => None,
        });
        let shard =
            shard.filter(|shard| *shard < self.shards).and_then(|it| u16::try_from(it).ok());
        shard.map_or(Lead::Nowhere, |shard| Lead::There(ShardId::new(shard)))
    }

    /// The request of this shard that has that reply subject, in whichever account.
    #[must_use]
    pub fn find(&self, subject: &[u8]) -> Option<u64> {
        let token = parse(subject.strip_prefix(&self.head)?)?;
        self.held.contains_key(&token).then_some(token)
    }

    /// What waits for the answer `token`, if that is answered in `account`.
    #[must_use]
    pub fn get(&self, account: AccountId, token: u64) -> Option<&Pending> {
        let held = self.held.get(&token)?;
        (held.pending.account == account).then_some(&held.pending)
    }

    /// Another answer may follow: it has its whole time again.
    pub fn touch(&mut self, now: Now, token: u64) {
        if let Some(held) = self.held.get_mut(&token) {
            held.since = now;
        }
    }

    /// No answer is awaited any more.
    pub fn remove(&mut self, token: u64) -> Option<Pending> {
        let Held { pending, .. } = self.held.remove(&token)?;
        let bytes = pending.bytes();
        self.total = self.total.saturating_sub(bytes);
        if let Some(sum) = self.bytes.get_mut(&pending.to_account) {
            *sum = sum.saturating_sub(bytes);
            if *sum == 0 {
                self.bytes.remove(&pending.to_account);
            }
        }
        Some(pending)
    }

    /// Forgets what has waited too long.
    pub fn expire(&mut self, now: Now) {
        let keys: Vec<(AccountId, Duration)> = self.queues.keys().copied().collect();
        for key in keys {
            while let Some(&(due, token)) = self.queues.get(&key).and_then(VecDeque::front) {
                if due > now {
                    break;
                }
                if let Some(queue) = self.queues.get_mut(&key) {
                    queue.pop_front();
                }
                let again = self.held.get(&token).map(|held| held.since.after(key.1));
                match again {
                    // Answered in the meantime, and more is to come.
                    Some(again) if again > now => {
                        if let Some(queue) = self.queues.get_mut(&key) {
                            queue.push_back((again, token));
                        }
                    }
                    _ => {
                        self.remove(token);
                    }
                }
            }
            self.tidy(key);
        }
        let fronts = self.queues.values().filter_map(VecDeque::front);
        self.first_due = fronts.map(|(due, _)| *due).min();
    }

    /// When something may have waited too long.
    #[must_use]
    pub fn next_due(&self) -> Option<Now> {
        self.first_due
    }

    fn make_room(&mut self, account: AccountId, bytes: usize) {
        let own = |answers: &Self| answers.bytes.get(&account).copied().unwrap_or(0);
        while own(self) > 0 && own(self) + bytes > ANSWERS_ACCOUNT_BYTES_MAX {
            self.forget_oldest(account);
        }
        while self.total > 0 && self.total + bytes > ANSWERS_BYTES_MAX {
            let most = self.bytes.iter().max_by_key(|(id, sum)| (**sum, **id)).map(|(id, _)| *id);
            let whose = if own(self) > 0 { Some(account) } else { most };
            match whose {
                Some(whose) => self.forget_oldest(whose),
                None => return,
            }
        }
    }

    /// Forgets the request of that account that is due first.
    fn forget_oldest(&mut self, account: AccountId) {
        let own = self.queues.iter_mut().filter(|((owner, _), _)| *owner == account);
        let oldest = own.filter_map(|(_, queue)| {
            while queue.front().is_some_and(|(_, token)| !self.held.contains_key(token)) {
                queue.pop_front();
            }
            let front = *queue.front()?;
            Some((front, queue))
        });
        if let Some(((_, token), queue)) = oldest.min_by_key(|(front, _)| *front) {
            queue.pop_front();
            self.remove(token);
            self.dropped += 1;
        } else {
            // Nothing is left of it; its sum is wrong only if we are.
            debug_assert!(false, "an account without requests has bytes");
            self.total -= self.bytes.remove(&account).unwrap_or(0).min(self.total);
        }
    }

    /// Takes those that were answered out of a queue that mostly has such. Amortised constant.
    fn tidy(&mut self, key: (AccountId, Duration)) {
        const KEPT: usize = 64;
        let Some(queue) = self.queues.get_mut(&key) else { return };
        if queue.len() > 2 * self.held.len() + KEPT {
            queue.retain(|(_, token)| self.held.contains_key(token));
            queue.shrink_to(2 * queue.len() + KEPT);
        }
        if queue.is_empty() {
            self.queues.remove(&key);
        }
    }
}

/// Whether a subject may be that of an answer, of whichever server.
#[must_use]
pub fn is_answer(subject: &[u8]) -> bool {
    subject.starts_with(PREFIX)
}

fn digit(byte: u8) -> Option<usize> {
    DIGITS.iter().position(|digit| *digit == byte)
}

/// The number that was written with the last digit last in weight.
fn parse(token: &[u8]) -> Option<u64> {
    const TOKEN_LEN_MAX: usize = 11;
    if token.is_empty() || token.len() > TOKEN_LEN_MAX {
        return None;
    }
    token.iter().rev().try_fold(0_u64, |number, byte| {
        number.checked_mul(DIGITS.len() as u64)?.checked_add(digit(*byte)? as u64)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const B: AccountId = AccountId::new(3);

    fn answers() -> Answers {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        Answers::new("NABCDEF", ShardId::new(63), 64, hasher)
    }

    fn pending(to_account: AccountId, seconds: u64) -> Pending {
        Pending {
            account: AccountId::new(2),
            to_account,
            to: SmallVec::from_slice(b"_INBOX.x"),
            requester: None,
            response: ResponseType::Singleton,
            threshold: Duration::from_secs(seconds),
        }
    }

    fn at(seconds: u64) -> Now {
        Now::ZERO.after(Duration::from_secs(seconds))
    }

    #[test]
    fn a_name_leads_back_to_its_shard_and_request() {
        let mut answers = answers();
        let (token, name) = answers.ask(Now::ZERO, pending(B, 1));
        assert!(name.starts_with(b"_R_.NABC11.") && is_answer(&name), "{name:?}");
        assert_eq!(answers.lead(AccountId::new(2), &name), Lead::Here(token));
        assert_eq!(answers.lead(B, &name), Lead::Nowhere, "it is answered in another account");
        for (subject, lead) in [
            (&b"_R_.NABC0z.abc"[..], Lead::There(ShardId::new(61))),
            (b"_R_.NABC12.abc", Lead::Nowhere),
            (b"_R_.NABC11.", Lead::Nowhere),
            (b"_R_.NABC11.zzzzzzzzzzzzzzzzz", Lead::Nowhere),
            (b"_R_.NABC11.zzzzzzzzzzz", Lead::Nowhere),
            (b"_R_.NABC1-.x", Lead::Nowhere),
            (b"_R_.OABC00.x", Lead::Nowhere),
            (b"_R_.NABC", Lead::Nowhere),
            (b"_R_.", Lead::Nowhere),
        ] {
            assert_eq!(
                answers.lead(AccountId::new(2), subject),
                lead,
                "{}",
                subject.escape_ascii()
            );
        }
        assert!(answers.remove(token).is_some() && answers.is_empty());
        assert_eq!(answers.lead(AccountId::new(2), &name), Lead::Nowhere);
    }

    #[test]
    fn what_waits_too_long_is_forgotten_and_what_is_answered_has_its_time_again() {
        let mut answers = answers();
        let (short, _) = answers.ask(at(0), pending(B, 1));
        let (long, _) = answers.ask(at(0), pending(B, 5));
        let (kept, _) = answers.ask(at(0), pending(B, 5));
        assert_eq!(answers.next_due(), Some(at(1)));
        answers.expire(at(1));
        assert!(answers.remove(short).is_none());
        answers.touch(at(3), kept);
        answers.expire(at(5));
        assert!(answers.remove(long).is_none());
        assert_eq!((answers.len(), answers.next_due()), (1, Some(at(8))));
        answers.expire(at(8));
        assert!(answers.is_empty() && answers.next_due().is_none());
    }

    #[test]
    fn an_account_that_asks_too_much_loses_its_own_requests() {
        let mut answers = answers();
        let (other, _) = answers.ask(at(0), pending(AccountId::new(9), 100));
        let (first, _) = answers.ask(at(0), pending(B, 100));
        let each = pending(B, 100).bytes();
        for _ in 0..ANSWERS_ACCOUNT_BYTES_MAX / each + 10 {
            answers.ask(at(1), pending(B, 100));
        }
        assert!(answers.bytes[&B] <= ANSWERS_ACCOUNT_BYTES_MAX);
        assert!(answers.dropped() > 0);
        assert!(answers.remove(first).is_none() && answers.remove(other).is_some());
    }

    #[test]
    fn all_together_stay_within_the_bound() {
        let mut answers = answers();
        let each = pending(B, 100).bytes();
        for account in 0..8 {
            for _ in 0..ANSWERS_ACCOUNT_BYTES_MAX / each {
                answers.ask(at(1), pending(AccountId::new(account), 100));
            }
        }
        assert!(answers.total <= ANSWERS_BYTES_MAX);
        assert_eq!(answers.total, answers.bytes.values().sum::<usize>());
        answers.ask(at(1), pending(AccountId::new(100), 100));
        assert!(answers.bytes.contains_key(&AccountId::new(100)));
    }

    #[test]
    fn what_is_answered_at_once_leaves_nothing_behind() {
        let mut answers = answers();
        for _ in 0..100_000 {
            let (token, _) = answers.ask(at(1), pending(B, 100));
            assert!(answers.remove(token).is_some());
        }
        assert!(answers.queues.values().all(|queue| queue.len() < 200));
        assert_eq!((answers.total, answers.bytes.len()), (0, 0));
    }
}
