//! Asking the judge who a client is, and waiting where that takes long.
//!
//! A verdict that is not there at once halts the session before the operation that asked for it,
//! CONNECT or whatever came without one; when it is there, the operation is carried out again and
//! finds it. A client that is connected already and is judged again halts where it is. So nothing
//! that was sent later is carried out before, however long it takes.
//!
//! Bounds: one trial per session, [`TRIALS_MAX`] per shard. The time to authenticate runs on while
//! a client waits for a thread, and one that has gone costs no more than its place in the queue. A
//! verdict that comes from elsewhere holds no thread and no place here: how many of those there may
//! be, and how long they may take, is for whoever waits for them.

use std::sync::{Arc, Weak};

use crate::clock::Now;
use crate::engine::Exchange;
use crate::ids::ConnId;
use crate::limits::TRIALS_MAX;
use crate::options::{
    ConnectionKind, Grant, Job, Nonce, Offer, Outcome, Refusal, Review, Told, Verdict,
};

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
    /// The verdict will come.
    Awaited(Awaited),
    /// It is there, and somebody has to act on it.
    Reached(Judged),
}

/// How a verdict is waited for.
#[derive(Debug)]
struct Awaited {
    /// Whoever finds nobody left to hold this need not look for it.
    #[expect(dead_code, reason = "only whether it is there counts")]
    alive: Arc<()>,
    /// It comes from elsewhere, in a time that is not this session's matter.
    elsewhere: bool,
}

impl Judgement {
    /// Whether somebody else sees to it that the verdict comes in time.
    pub(super) fn is_elsewhere(&self) -> bool {
        matches!(self.state, State::Awaited(Awaited { elsewhere: true, .. }))
    }

    /// Whether an operation is carried out again because of it.
    pub(super) fn is_reached(&self) -> bool {
        matches!(self.state, State::Reached(_))
    }
}

/// Something to be found out on another thread.
#[derive(Debug)]
pub struct Trial {
    /// Whose it is.
    pub conn: ConnId,
    /// Which of those of that connection.
    pub number: u32,
    job: Job,
    alive: Weak<()>,
}

impl Trial {
    /// Whether it takes little of a core.
    #[must_use]
    pub const fn is_light(&self) -> bool {
        self.job.is_light()
    }

    /// Runs it, and tells `tell` what comes of it. If nobody waits for it any more that is a
    /// refusal at once.
    pub fn run(self, mut tell: impl FnMut(Told) + Send + 'static) {
        if self.alive.strong_count() > 0 {
            self.job.run(tell);
        } else {
            tell(Told::now(Err(Refusal::Credentials)));
        }
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
            awaited @ State::Awaited(_) => {
                self.judgement.state = awaited;
                return Err(Halt::Judged);
            }
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
            Verdict::Later(_) if exchange.trials_open >= TRIALS_MAX => Err(Halt::Judges),
            Verdict::Later(job) => {
                exchange.trials_open += 1;
                let held = Arc::new(());
                let alive = Arc::downgrade(&held);
                self.judgement.state = State::Awaited(Awaited { alive: held, elsewhere: false });
                self.judgement.number = self.judgement.number.wrapping_add(1);
                let number = self.judgement.number;
                exchange.trials.push_back(Trial { conn: self.conn, number, job, alive });
                Err(Halt::Judged)
            }
        }
    }

    /// The verdict of a trial comes from elsewhere.
    pub fn on_waiting(&mut self, trial: u32) {
        let Judgement { state, number, .. } = &mut self.judgement;
        if let State::Awaited(awaited) = state
            && trial == *number
        {
            awaited.elsewhere = true;
        }
    }

    /// The verdict of a trial. One that was about another offer, or of another judge, is nothing.
    pub fn on_judged(
        &mut self,
        exchange: &mut Exchange,
        now: Now,
        number: u32,
        outcome: Outcome,
    ) -> Flow {
        let Judgement { state, number: last, .. } = &mut self.judgement;
        if number != *last || !matches!(state, State::Awaited(_)) {
            return Flow::Next;
        }
        *state = State::Reached(outcome.map(Box::new));
        match self.go_on_judging(exchange, now) {
            Flow::Next if self.halt == Some(Halt::Judged) => self.resume(exchange, now),
            flow => flow,
        }
    }

    /// A trial has ended: there is room for another.
    pub fn on_trial_room(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        match self.go_on_judging(exchange, now) {
            Flow::Next if self.halt == Some(Halt::Judges) => self.resume(exchange, now),
            flow => flow,
        }
    }

    /// Other rules hold: whatever the old ones said or would have said is nothing.
    pub(super) fn other_judge(&mut self, exchange: &mut Exchange, now: Now) -> Flow {
        self.judgement.state = State::None;
        let waits = matches!(self.halt, Some(Halt::Judged | Halt::Judges));
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
                // If it waits for something else already, it goes on waiting for that as well.
                self.halt.get_or_insert(halt);
                Flow::Retry(halt)
            }
        }
    }
}
