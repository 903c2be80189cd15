//! Answers on their way between accounts: what was asked from another account, and who waits.
//!
//! A request that crosses into another account bears a reply subject of its own there,
//! `_R_.<server and shard>.<token>`: it leads back to the requester's shard, where the token says
//! whose answer it is. A token is known to those only who got the request.
//!
//! Bounds: [`ANSWERS_BYTES_MAX`] for a shard and [`ANSWERS_ACCOUNT_BYTES_MAX`] for the requests of
//! one account, counted as [`Pending::bytes`]. Over the bound of an account, that one's request
//! that waits longest is forgotten; over that of the shard, one of an account that has most, so
//! that those who ask much cannot keep others from asking at all.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use ahash::RandomState;
use smallvec::SmallVec;

use crate::account::ResponseType;
use crate::clock::Now;
use crate::ids::{AccountId, ConnId, ShardId};
use crate::limits::{ANSWERS_ACCOUNT_BYTES_MAX, ANSWERS_BYTES_MAX};

use super::latency::Measured;
use super::shedding::Shares;

/// Before the name of a shard.
const PREFIX: &[u8] = b"_R_.";

/// Characters for a server and for a shard of it.
const SERVER_LEN: usize = 4;
const SHARD_LEN: usize = 2;

/// `_R_.<name>.`
const HEAD_LEN: usize = PREFIX.len() + SERVER_LEN + SHARD_LEN + 1;

/// Behind a token whose request is measured, as with nats-server: who answers says who it is.
const MEASURED: &[u8] = b".T";

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Tokens are all of one length: what is shorter, or longer, was made up.
const TOKEN_LEN: usize = 11;
const TOKEN_MIN: u64 = 62_u64.pow(10);

/// A reply subject made here.
pub type ReplyName = SmallVec<[u8; 32]>;

/// A reply subject of whoever asks.
pub type ReplyTo = SmallVec<[u8; 64]>;

/// Who waits for the answer to one request.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The account where it is answered.
    pub account: AccountId,
    /// The account where the answer is awaited.
    pub to_account: AccountId,
    /// The reply subject there.
    pub to: ReplyTo,
    /// Who asked, if a client of this shard did, and on which subject.
    pub requester: Option<(ConnId, SmallVec<[u8; 32]>)>,
    /// How it is answered.
    pub response: ResponseType,
    /// How long an answer may take.
    pub threshold: Duration,
    /// How long it takes is of interest to whoever answers.
    pub measured: Option<Rc<Measured>>,
}

impl Pending {
    /// What it counts against the bounds: itself, its place in tables, and names that do not fit.
    fn bytes(&self) -> usize {
        const PLACES: usize = 64;
        let names = self.to.len() + self.requester.as_ref().map_or(0, |(_, name)| name.len());
        let measured = self.measured.as_ref().map_or(0, |measured| measured.bytes() + PLACES);
        size_of::<Self>() + PLACES + names + measured
    }
}

#[derive(Debug)]
struct Held {
    pending: Pending,
    /// When it has waited too long, by when it was asked or last answered.
    due: Now,
}

/// Requests of one account with the same threshold, in the order in which they are due. A request
/// that has its time again is entered again; entries that mean nothing any more stay until they
/// come to the head, or are more than half.
#[derive(Debug)]
struct Queue {
    threshold: Duration,
    entries: VecDeque<(Now, u64)>,
    /// Entries whose request still waits.
    waiting: usize,
}

impl Queue {
    /// Takes out entries that mean nothing any more, if they are most of it. Amortised constant.
    fn tidy(&mut self, held: &HashMap<u64, Held, RandomState>) {
        const KEPT: usize = 64;
        if self.entries.len() > 2 * self.waiting + KEPT {
            self.entries.retain(|entry| is_waiting(held, *entry));
            self.entries.shrink_to(2 * self.waiting + KEPT);
        }
    }
}

/// Whether the request of an entry still waits, and until then.
fn is_waiting(held: &HashMap<u64, Held, RandomState>, (due, token): (Now, u64)) -> bool {
    held.get(&token).is_some_and(|held| held.due == due)
}

/// The requests of one account.
#[derive(Debug, Default)]
struct Asker {
    bytes: usize,
    /// One for each threshold: what an account imports differs little in that.
    queues: SmallVec<[Queue; 1]>,
}

impl Asker {
    fn queue(&mut self, threshold: Duration) -> Option<&mut Queue> {
        self.queues.iter_mut().find(|queue| queue.threshold == threshold)
    }
}

/// The requests of one shard that wait for answers from other accounts.
///
/// Invariants: `total` is the sum of the bytes of all askers; each queue has one look in `looks`,
/// no later than its head is due, and goes when that finds it empty.
#[derive(Debug)]
pub struct Answers {
    head: [u8; HEAD_LEN],
    shards: usize,
    held: HashMap<u64, Held, RandomState>,
    askers: HashMap<AccountId, Asker, RandomState>,
    /// When to look at which queue, the next one first.
    looks: BinaryHeap<Reverse<(Now, AccountId, Duration)>>,
    /// Requests that are measured, by where the answer is awaited.
    measured: HashMap<(AccountId, ReplyTo), u64, RandomState>,
    total: usize,
    /// The account that loses requests while all together are too many, and down to what size.
    loser: Option<(AccountId, usize)>,
    /// Accounts that lose some after it, if they still have as much.
    losers: Vec<AccountId>,
    much: usize,
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
        Self {
            head,
            shards,
            held: HashMap::with_hasher(hasher.clone()),
            askers: HashMap::with_hasher(hasher.clone()),
            looks: BinaryHeap::new(),
            measured: HashMap::with_hasher(hasher.clone()),
            total: 0,
            loser: None,
            losers: Vec::new(),
            much: 0,
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
        while token < TOKEN_MIN || self.held.contains_key(&token) {
            self.asked += 1;
            token = self.hasher.hash_one(self.asked);
        }
        let (account, bytes) = (pending.to_account, pending.bytes());
        self.make_room(account, bytes);
        let due = now.after(pending.threshold);
        self.line_up(account, pending.threshold, due, token);
        self.total += bytes;
        if let Some(asker) = self.askers.get_mut(&account) {
            asker.bytes += bytes;
        }
        // Who answers says who it is also where a request is measured on its way here.
        let marked =
            pending.measured.is_some() || (is_answer(&pending.to) && is_measured(&pending.to));
        if pending.measured.is_some() {
            self.measured.insert((account, pending.to.clone()), token);
        }
        self.held.insert(token, Held { pending, due });
        let mut reply = ReplyName::from_slice(&self.head);
        let mut rest = token;
        while rest > 0 {
            let digit = usize::try_from(rest % DIGITS.len() as u64).unwrap_or(0);
            reply.push(DIGITS.get(digit).copied().unwrap_or(b'0'));
            rest /= DIGITS.len() as u64;
        }
        if marked {
            reply.extend_from_slice(MEASURED);
        }
        (token, reply)
    }

    /// Puts a request at the end of its queue.
    fn line_up(&mut self, account: AccountId, threshold: Duration, due: Now, token: u64) {
        let asker = self.askers.entry(account).or_default();
        if let Some(queue) = asker.queue(threshold) {
            queue.entries.push_back((due, token));
            queue.waiting += 1;
            return;
        }
        let entries = VecDeque::from([(due, token)]);
        asker.queues.push(Queue { threshold, entries, waiting: 1 });
        self.looks.push(Reverse((due, account, threshold)));
    }

    /// Where a message on `subject` leads, if it is an answer.
    #[must_use]
    pub fn lead(&self, account: AccountId, subject: &[u8]) -> Lead {
        if let Some(name) = subject.strip_prefix(&self.head) {
            let token = token(name).filter(|token| self.get(account, *token).is_some());
            return token.map_or(Lead::Nowhere, Lead::Here);
        }
        let own_server = self.head.get(..PREFIX.len() + SERVER_LEN).unwrap_or_default();
        let shard = subject.strip_prefix(own_server).and_then(|rest| match rest {
            [high, low, b'.', name @ ..] => {
                token(name).and(Some((digit(*high)? * DIGITS.len()) + digit(*low)?))
            }
            _ => None,
        });
        let shard =
            shard.filter(|shard| *shard < self.shards).and_then(|it| u16::try_from(it).ok());
        shard.map_or(Lead::Nowhere, |shard| Lead::There(ShardId::new(shard)))
    }

    /// The request of this shard that has that reply subject, in whichever account.
    #[must_use]
    pub fn find(&self, subject: &[u8]) -> Option<u64> {
        let token = token(subject.strip_prefix(&self.head)?)?;
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
        let Some(held) = self.held.get_mut(&token) else { return };
        let (account, threshold) = (held.pending.to_account, held.pending.threshold);
        let due = now.after(threshold);
        if due <= held.due {
            return;
        }
        held.due = due;
        let queue = self.askers.get_mut(&account).and_then(|asker| asker.queue(threshold));
        if let Some(queue) = queue {
            queue.entries.push_back((due, token));
            queue.tidy(&self.held);
        }
    }

    /// No answer is awaited any more.
    pub fn remove(&mut self, token: u64) -> Option<Pending> {
        let Held { pending, .. } = self.held.remove(&token)?;
        let (account, bytes) = (pending.to_account, pending.bytes());
        self.total -= bytes;
        if let Some(asker) = self.askers.get_mut(&account) {
            asker.bytes -= bytes;
            if let Some(queue) = asker.queue(pending.threshold) {
                queue.waiting -= 1;
                queue.tidy(&self.held);
            }
        }
        if pending.measured.is_some() {
            let place = (account, pending.to.clone());
            if self.measured.get(&place) == Some(&token) {
                self.measured.remove(&place);
            }
        }
        Some(pending)
    }

    /// Takes out a request that has waited too long, if there is any.
    pub fn expire(&mut self, now: Now) -> Option<Pending> {
        while let Some(&Reverse((look, account, threshold))) = self.looks.peek() {
            if look > now {
                return None;
            }
            if let Some(token) = self.overdue(now, account, threshold) {
                return self.remove(token);
            }
            self.looks.pop();
            let Some(asker) = self.askers.get_mut(&account) else { continue };
            let head = asker.queue(threshold).and_then(|queue| queue.entries.front().copied());
            if let Some((due, _)) = head {
                self.looks.push(Reverse((due, account, threshold)));
                continue;
            }
            asker.queues.retain(|queue| queue.threshold != threshold);
            if asker.queues.is_empty() {
                self.askers.remove(&account);
            }
        }
        None
    }

    /// The request of that queue that has waited too long. What means nothing any more leaves the
    /// head.
    fn overdue(&mut self, now: Now, account: AccountId, threshold: Duration) -> Option<u64> {
        let queue = self.askers.get_mut(&account)?.queue(threshold)?;
        while let Some(&(due, token)) = queue.entries.front() {
            let waits = is_waiting(&self.held, (due, token));
            if waits && due > now {
                return None;
            }
            queue.entries.pop_front();
            if waits {
                return Some(token);
            }
        }
        None
    }

    /// When something may have waited too long. It may be too early, and is never too late.
    #[must_use]
    pub fn next_due(&self) -> Option<Now> {
        self.looks.peek().map(|Reverse((due, _, _))| *due)
    }

    /// How many requests are measured.
    #[must_use]
    pub fn measured(&self) -> usize {
        self.measured.len()
    }

    /// The request that is measured, and whose answer is awaited there.
    #[must_use]
    pub fn measured_for(&self, account: AccountId, to: &[u8]) -> Option<u64> {
        self.measured.get(&(account, ReplyTo::from_slice(to))).copied()
    }

    /// All requests that are measured.
    pub fn all_measured(&self) -> impl Iterator<Item = u64> {
        self.measured.values().copied()
    }

    /// Where the answer to a request is awaited.
    #[must_use]
    pub fn awaited(&self, token: u64) -> Option<(AccountId, &[u8])> {
        self.held.get(&token).map(|held| (held.pending.to_account, &*held.pending.to))
    }

    fn bytes_of(&self, account: AccountId) -> usize {
        self.askers.get(&account).map_or(0, |asker| asker.bytes)
    }

    fn make_room(&mut self, account: AccountId, bytes: usize) {
        while self.bytes_of(account) + bytes > ANSWERS_ACCOUNT_BYTES_MAX
            && self.forget_oldest(account)
        {}
        while self.total + bytes > ANSWERS_BYTES_MAX {
            let Some(loser) = self.loser() else { return };
            if !self.forget_oldest(loser) {
                return;
            }
        }
    }

    /// An account that has much, as of when that was last looked for: each of those loses half, one
    /// after the other. See [`Shares`](crate::delivery::shedding::Shares).
    fn loser(&mut self) -> Option<AccountId> {
        if let Some((account, floor)) = self.loser
            && self.bytes_of(account) > floor
        {
            return Some(account);
        }
        let account = self.next_loser().or_else(|| {
            let sizes = || self.askers.iter().map(|(account, asker)| (*account, asker.bytes));
            self.much = Shares::of(sizes().map(|(_, bytes)| bytes)).much();
            let losers = sizes().filter(|(_, bytes)| *bytes >= self.much);
            self.losers.extend(losers.map(|(account, _)| account));
            self.next_loser()
        })?;
        self.loser = Some((account, self.bytes_of(account) / 2));
        Some(account)
    }

    fn next_loser(&mut self) -> Option<AccountId> {
        while let Some(account) = self.losers.pop() {
            if self.bytes_of(account) >= self.much {
                return Some(account);
            }
        }
        None
    }

    /// Forgets the request of that account that is due first. False if there is none.
    fn forget_oldest(&mut self, account: AccountId) -> bool {
        let Some(asker) = self.askers.get_mut(&account) else { return false };
        for queue in &mut asker.queues {
            while queue.entries.front().is_some_and(|entry| !is_waiting(&self.held, *entry)) {
                queue.entries.pop_front();
            }
        }
        let heads = asker.queues.iter_mut().filter_map(|queue| {
            let head = *queue.entries.front()?;
            Some((head, queue))
        });
        let Some(((_, token), queue)) = heads.min_by_key(|(head, _)| *head) else { return false };
        queue.entries.pop_front();
        self.dropped += 1;
        self.remove(token).is_some()
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

/// Whether an answer on this subject is measured.
#[must_use]
pub fn is_measured(subject: &[u8]) -> bool {
    subject.ends_with(MEASURED)
}

/// The token at the end of a name.
fn token(name: &[u8]) -> Option<u64> {
    parse(name.strip_suffix(MEASURED).unwrap_or(name))
}

/// The number that was written with the last digit last in weight.
fn parse(token: &[u8]) -> Option<u64> {
    if token.len() != TOKEN_LEN {
        return None;
    }
    token.iter().rev().try_fold(0_u64, |number, byte| {
        number.checked_mul(DIGITS.len() as u64)?.checked_add(digit(*byte)? as u64)
    })
}

#[cfg(test)]
mod tests;
