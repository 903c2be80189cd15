//! Asking the judge who a client is, and waiting where that takes long.
//!
//! A verdict that is not there at once halts the session before the operation that asked for it,
//! CONNECT or whatever came without one; when it is there, the operation is carried out again and
//! finds it. A client that is connected already and is judged again halts where it is. So nothing
//! that was sent later is carried out before, however long it takes.
//!
//! Bounds: one trial per session, and for each kind of effort as many per shard as it says
//! ([`Effort::most`]); questions of one account as many as there are places left. One that finds no
//! room is kept by its session, and begins when there is some: what was found out before it is not
//! found out again. The time to authenticate runs on while a client waits, unless somebody is asked
//! who has a time of his own; one that has gone costs no more than its place in the queue.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use crate::clock::Now;
use crate::engine::Exchange;
use crate::ids::{AccountId, ConnId};
use crate::options::{ConnectionKind, Effort, Grant, Job, Nonce, Offer, Refusal, Review, Verdict};

use super::client::{ClientSession, Flow, Halt, Phase};

/// What came of it.
pub(super) type Judged = Result<Box<Grant>, Refusal>;

/// How far a session is with its judge.
#[derive(Debug, Default)]
pub(super) struct Judgement {
    state: State,
    /// Trials so far: a verdict counts only if it is that of the last one.
    number: u32,
    /// It is about a client that is connected already.
    again: bool,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing was asked.
    #[default]
    None,
    /// It is to be found out so, once there is room for it.
    Parked(Job),
    /// The verdict will come. Whoever finds nobody left to hold this need not look for it.
    Awaited(#[expect(dead_code, reason = "only whether it is there counts")] Arc<()>, Effort),
    /// It is there, and somebody has to act on it.
    Reached(Judged),
}

impl Judgement {
    /// Whether somebody else sees to it that the verdict comes in time.
    pub(super) fn is_asked_for(&self) -> bool {
        matches!(self.state, State::Awaited(_, Effort::Ask(_)))
    }

    /// Whether an operation is carried out again because of it.
    pub(super) fn is_repeated(&self) -> bool {
        matches!(self.state, State::Parked(_) | State::Reached(_))
    }
}

/// Which trial.
#[derive(Clone, Copy, Debug)]
pub struct TrialId {
    /// Whose it is.
    pub conn: ConnId,
    /// Which of those of that connection.
    number: u32,
    /// What it takes.
    pub effort: Effort,
}

/// Something to be found out on another thread.
#[derive(Debug)]
pub struct Trial {
    /// Which.
    pub id: TrialId,
    job: Job,
    alive: Weak<()>,
}

impl Trial {
    /// Runs it, and gives what came of it to `take`. If nobody waits for it any more that is a
    /// refusal at once.
    pub fn run(self, take: impl FnOnce(Verdict) + Send + 'static) {
        if self.alive.strong_count() > 0 {
            self.job.run(take);
        } else {
            take(Verdict::Refused(Refusal::Credentials));
        }
    }
}

/// The trials of a shard.
#[derive(Debug, Default)]
pub(crate) struct Trials {
    /// Those that nobody has taken yet.
    pub(crate) queue: VecDeque<Trial>,
    /// Those that have no verdict yet, by effort.
    open: [usize; Effort::KINDS],
    /// Those of them for which a service is asked, by its account; none that is zero.
    asks: HashMap<AccountId, usize>,
    /// Sessions whose trial cannot begin yet.
    pub(crate) waiting: Waiting,
}

impl Trials {
    /// One more, if it may be.
    fn begin(&mut self, effort: Effort) -> bool {
        let room = self.has_room(effort);
        if room {
            self.open[effort.index()] += 1;
            if let Effort::Ask(account) = effort {
                *self.asks.entry(account).or_default() += 1;
            }
        }
        room
    }

    /// One has its verdict.
    pub(crate) fn end(&mut self, effort: Effort) {
        let open = &mut self.open[effort.index()];
        *open = open.saturating_sub(1);
        if let Effort::Ask(account) = effort
            && let Entry::Occupied(mut asks) = self.asks.entry(account)
        {
            *asks.get_mut() -= 1;
            if *asks.get() == 0 {
                asks.remove();
            }
        }
    }

    /// Whether there may be one more.
    pub(crate) fn has_room(&self, effort: Effort) -> bool {
        let left = effort.most().saturating_sub(self.open[effort.index()]);
        match effort {
            Effort::Ask(account) => {
                self.asks.get(&account).is_none_or(|&own| own < left) && left > 0
            }
            Effort::Hash | Effort::Signature | Effort::Wait => left > 0,
        }
    }

    /// Who is next where there may be one more now that one of this kind has ended.
    pub(crate) fn next_waiting(&mut self, ended: Effort) -> Option<ConnId> {
        if !matches!(ended, Effort::Ask(_)) {
            return self.has_room(ended).then(|| self.waiting.queue(ended).pop_front())?;
        }
        // A place that is free is free for all accounts: each in its turn.
        for _ in 0..self.waiting.turns.len() {
            let account = self.waiting.turns.pop_front()?;
            let room = self.has_room(Effort::Ask(account));
            let queue = self.waiting.asks.entry(account).or_default();
            let next = if room { queue.pop_front() } else { None };
            if queue.is_empty() {
                self.waiting.asks.remove(&account);
            } else {
                self.waiting.turns.push_back(account);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// How many have no verdict yet.
    pub(crate) fn open(&self) -> usize {
        self.open.iter().sum()
    }
}

/// Sessions whose trial cannot begin yet, by what it takes. Who has gone meanwhile is still here.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    kinds: [VecDeque<ConnId>; Effort::KINDS],
    /// Those for whom a service is to be asked, by its account; no queue is empty.
    asks: HashMap<AccountId, VecDeque<ConnId>>,
    /// The accounts of these, each once, in the order of their turns.
    turns: VecDeque<AccountId>,
}

impl Waiting {
    fn queue(&mut self, effort: Effort) -> &mut VecDeque<ConnId> {
        let Effort::Ask(account) = effort else { return &mut self.kinds[effort.index()] };
        self.asks.entry(account).or_insert_with(|| {
            self.turns.push_back(account);
            VecDeque::new()
        })
    }

    /// One more.
    pub(crate) fn push(&mut self, effort: Effort, conn: ConnId) {
        self.queue(effort).push_back(conn);
    }
}

/// What a grant stands on may have changed since it was given on another thread.
fn still_holds(grant: Box<Grant>) -> Judged {
    match grant.standing.as_ref().map(|standing| standing.review()) {
        None | Some(Review::Holds) => Ok(grant),
        Some(Review::Changed(changed)) => Ok(changed),
        Some(Review::Over(_)) => Err(Refusal::Credentials),
    }
}

impl ClientSession {
    /// Asks who this client is, or takes the answer that was waited for.
    ///
    /// # Errors
    ///
    /// With the reason to halt, if the answer is not there yet.
    pub(super) fn judge(&mut self, exchange: &mut Exchange) -> Result<Judged, Halt> {
        match std::mem::take(&mut self.judgement.state) {
            State::Reached(judged) => return Ok(judged.and_then(still_holds)),
            awaited @ State::Awaited(..) => {
                self.judgement.state = awaited;
                return Err(Halt::Judged);
            }
            State::Parked(job) => return Err(self.begin_trial(exchange, job)),
            State::None => {}
        }
        let offer = Offer {
            connect: &self.connect,
            nonce: self.nonce.as_ref().map_or(&[], Nonce::bytes),
            client: self.peer.client,
            address: self.peer.address,
            kind: ConnectionKind::Standard,
            secured: self.secured.as_ref(),
            proof: self.grant.proof.as_ref().filter(|_| self.judgement.again),
            proxy: self.grant.proxy.as_ref().filter(|_| self.judgement.again),
        };
        match exchange.options.authenticator.judge(&offer) {
            Verdict::Admitted(grant) => Ok(Ok(grant)),
            Verdict::Refused(why) => Ok(Err(why)),
            Verdict::Later(job) => Err(self.begin_trial(exchange, job)),
        }
    }

    /// Has something found out, now or when there is room for it; why the session halts.
    fn begin_trial(&mut self, exchange: &mut Exchange, job: Job) -> Halt {
        let effort = job.effort();
        if !exchange.trials.begin(effort) {
            self.judgement.state = State::Parked(job);
            return Halt::Judges(effort);
        }
        let awaited = Arc::new(());
        let alive = Arc::downgrade(&awaited);
        self.judgement.state = State::Awaited(awaited, effort);
        self.judgement.number = self.judgement.number.wrapping_add(1);
        let id = TrialId { conn: self.conn, number: self.judgement.number, effort };
        exchange.trials.queue.push_back(Trial { id, job, alive });
        Halt::Judged
    }

    /// The verdict of a trial. One that was about another offer, or of another judge, is nothing.
    pub fn on_judged(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        trial: TrialId,
        verdict: Verdict,
    ) -> Flow {
        let Judgement { state, number, .. } = &mut self.judgement;
        if trial.number != *number || !matches!(state, State::Awaited(..)) {
            return Flow::Next;
        }
        *state = match verdict {
            Verdict::Admitted(grant) => State::Reached(Ok(grant)),
            Verdict::Refused(why) => State::Reached(Err(why)),
            Verdict::Later(job) => return self.go_on_with(exchange, job),
        };
        match self.go_on_judging(exchange, now) {
            Flow::Next if self.halt == Some(Halt::Judged) => self.resume(exchange, now),
            flow => flow,
        }
    }

    /// A trial found that there is more to find out.
    fn go_on_with(&mut self, exchange: &mut Exchange, job: Job) -> Flow {
        let halt = self.begin_trial(exchange, job);
        self.halt_for_judge(halt);
        Flow::Retry(halt)
    }

    /// It waits for its judge now, for that. If it waits for something else already, it goes on
    /// waiting for that as well.
    fn halt_for_judge(&mut self, halt: Halt) {
        if matches!(self.halt, None | Some(Halt::Judged | Halt::Judges(_))) {
            self.halt = Some(halt);
        }
    }

    /// A trial has ended: there is room for another.
    pub fn on_trial_room(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        match self.go_on_judging(exchange, now) {
            Flow::Next if matches!(self.halt, Some(Halt::Judges(_))) => self.resume(exchange, now),
            flow => flow,
        }
    }

    /// Other rules hold: whatever the old ones said or would have said is nothing.
    pub(super) fn other_judge(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        self.judgement.state = State::None;
        let waits = matches!(self.halt, Some(Halt::Judged | Halt::Judges(_)));
        if self.phase == Phase::Connected && (self.judgement.again || !waits) {
            self.judgement.again = true;
        }
        match self.go_on_judging(exchange, now) {
            Flow::Next if self.halt == Some(Halt::Judged) => self.resume(exchange, now),
            flow => flow,
        }
    }

    /// Judges a client again, if that is what is being done.
    pub(super) fn go_on_judging(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        if !self.judgement.again {
            return Flow::Next;
        }
        match self.judge(exchange) {
            Ok(judged) => {
                self.judgement.again = false;
                self.stay(exchange, now, judged)
            }
            Err(halt) => {
                self.halt_for_judge(halt);
                Flow::Retry(halt)
            }
        }
    }
}
