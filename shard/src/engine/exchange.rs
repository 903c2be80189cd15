//! The exchange: what all connections of one shard have between them.
//!
//! A session at work borrows it whole; its own state stands apart, so that both can change. Only
//! what belongs to several connections at once is here: who wants what, where it goes, what is due.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use crate::authorize::Guard;
use crate::clock::Now;
use crate::delivery::identity::Described;
use crate::delivery::{Answers, Outlets};
use crate::error::CloseReason;
use crate::event::{Event, What};
use crate::ids::{AccountId, ConnId, ShardId, SubId};
use crate::interest::{Interest, LocalTarget, Want};
use crate::limits::OVERDUE_MAX;
use crate::options::Options;
use crate::session::{ClientSession, Trials};

use super::history::ClosedView;
use super::peers::Peers;
use super::stats::Stats;
use super::subscriptions::{Kin, Shadow, Subscription, Subscriptions};
use super::tally::Tallies;
use super::timers::{TimerKind, Timers};
use super::view::Sighting;

/// Requests that waited too long are looked for at most this often.
const ANSWERS_LOOK: Duration = Duration::from_millis(100);

/// What is due for no connection bears this.
const NOBODY: ConnId = ConnId::new(u32::MAX, u32::MAX);

/// Everything of a shard but its sessions.
pub struct Exchange {
    /// What the process was told, at its start or since.
    pub options: Arc<Options>,
    /// Who wants what, on every shard.
    pub interest: Interest,
    /// The subscriptions of this shard.
    pub subscriptions: Subscriptions,
    /// The connections of this shard as receivers.
    pub outlets: Outlets,
    /// The other shards.
    pub peers: Peers,
    /// What is due.
    pub timers: Timers,
    /// What happened.
    pub events: VecDeque<Event>,
    /// What was counted.
    pub stats: Stats,
    /// What was counted of clients that have gone.
    pub tallies: Tallies,
    /// Chooses queue members, spreads timers.
    pub rng: fastrand::Rng,
    /// For the tables of sessions.
    pub hasher: RandomState,
    /// What is to be found out on other threads.
    pub(crate) trials: Trials,
    /// Subscriptions that have had all they asked for.
    pub(crate) expired: Vec<SubId>,
    /// Requests to other accounts that wait for answers.
    pub answers: Answers,
    /// When a timer looks at them next; timers that fire before are left-overs.
    answers_look: Option<Now>,
    /// Somebody who awaited some of them may have gone.
    pub(crate) answers_lost: bool,
    /// Who answers the next answer, if that is measured, and its token.
    pub(crate) responder: Option<(u64, Rc<Described>)>,
    /// Time since 1970 when the clock began.
    pub(crate) wall: Duration,
    /// Holds one message in another form while it is delivered.
    pub(crate) scratch: Vec<u8>,
    /// The same for its head, and for what goes into another account.
    pub(crate) renamed: Vec<u8>,
    pub(crate) answer_head: Vec<u8>,
    pub(crate) answer_tail: Vec<u8>,
    /// The remote publisher that was last reported as having only receivers that fell behind.
    pub(crate) last_stalled: Option<(ShardId, ConnId)>,
    /// Sessions wait for the control lanes: whoever else wants to change interest waits behind
    /// them, or a few that always have more would keep them waiting for ever.
    pub(crate) control_is_kept: bool,
    /// The account of each connection, by slot.
    accounts: Vec<Option<(ConnId, AccountId)>>,
}

impl Exchange {
    /// A shard with nobody connected. `seed` decides every choice it makes at random.
    #[must_use]
    pub fn new(options: Arc<Options>, peers: Peers, now: Now, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let hasher = RandomState::with_seeds(rng.u64(..), rng.u64(..), rng.u64(..), rng.u64(..));
        let tokens = RandomState::with_seeds(rng.u64(..), rng.u64(..), rng.u64(..), rng.u64(..));
        let answers = Answers::new(&options.info.server_id, peers.me(), peers.shards(), tokens);
        Self {
            interest: Interest::new(peers.me(), rng.u64(..)),
            subscriptions: Subscriptions::default(),
            outlets: Outlets::new(
                options.limits.pending,
                options.trace,
                options.traced_payload_max,
            ),
            peers,
            timers: Timers::new(now),
            events: VecDeque::new(),
            stats: Stats::default(),
            tallies: Tallies::default(),
            rng,
            hasher,
            trials: Trials::default(),
            expired: Vec::new(),
            answers,
            answers_look: None,
            answers_lost: false,
            responder: None,
            wall: Duration::ZERO,
            scratch: Vec::new(),
            renamed: Vec::new(),
            answer_head: Vec::new(),
            answer_tail: Vec::new(),
            last_stalled: None,
            control_is_kept: false,
            accounts: Vec::new(),
            options,
        }
    }

    /// Whether a session may change interest now, or has to wait for its turn.
    pub fn may_change_interest(&mut self) -> bool {
        !self.control_is_kept && self.peers.can_broadcast()
    }

    /// The same for a subscription to `pattern` in `account`: it may have shadows, each of which is
    /// told too.
    pub fn may_subscribe(&mut self, account: AccountId, pattern: &[u8]) -> bool {
        let Some(imports) = self.options.accounts.imports(account) else { return true };
        let streams = imports.streams.iter();
        let shadows = streams.filter(|stream| stream.shadow(pattern).is_some()).count();
        self.peers.can_broadcast_all(1 + shadows)
    }

    /// Adds a subscription of this shard with its shadows in other accounts, and tells the others.
    pub fn subscribe(&mut self, subscription: Subscription) -> SubId {
        let sub = self.insert(subscription);
        self.cast_shadows(sub);
        sub
    }

    /// Gives a subscription the shadows that it has by the terms of its account; those it had are
    /// gone.
    pub(crate) fn cast_shadows(&mut self, sub: SubId) {
        let Some(own) = self.subscriptions.get(sub) else { return };
        let old: Vec<SubId> = own.shadows().to_vec();
        let accounts = Arc::clone(&self.options.accounts);
        let imports = accounts.imports(own.account).filter(|it| !it.streams.is_empty());
        let mut shadows = Vec::new();
        for (place, stream) in imports.iter().flat_map(|it| it.streams.iter().enumerate()) {
            let Some(own) = self.subscriptions.get(sub) else { break };
            let (Some(pattern), Some(imports)) = (stream.shadow(&own.pattern), imports) else {
                continue;
            };
            let shadow = Shadow { of: sub, imports: Arc::clone(imports), place };
            let shadow = Subscription {
                conn: own.conn,
                sid: own.sid.clone(),
                delivered: 0,
                max: 0,
                account: stream.account,
                pattern: pattern.into(),
                queue: own.queue.clone(),
                guard: None,
                kin: Some(Box::new(Kin::Shadow(shadow))),
            };
            shadows.push(self.insert(shadow));
        }
        // The new ones first: interest in a pattern that stays does not end in between.
        for shadow in old {
            self.take_out(shadow);
        }
        if let Some(own) = self.subscriptions.get_mut(sub) {
            let any = !shadows.is_empty();
            own.kin = any.then(|| Box::new(Kin::Shadows(shadows.into())));
        }
    }

    fn insert(&mut self, subscription: Subscription) -> SubId {
        let sub = self.subscriptions.insert(subscription);
        self.register(sub);
        sub
    }

    /// A subscription is from now on kept from other messages than before, or from none. Whoever
    /// knows of it goes on knowing of it.
    pub fn guard(&mut self, id: SubId, guard: Option<Arc<Guard>>) {
        let Some(subscription) = self.subscriptions.get_mut(id) else { return };
        let old = std::mem::replace(&mut subscription.guard, guard);
        self.register(id);
        let Some(subscription) = self.subscriptions.get(id) else { return };
        let want = Want { queue: subscription.queue.as_deref(), guard: old.as_ref() };
        let target = LocalTarget { conn: subscription.conn.slot(), sub: id };
        let (account, pattern) = (subscription.account, &subscription.pattern);
        if let Some(delta) = self.interest.remove(account, pattern, want, target) {
            self.peers.broadcast(delta);
        }
    }

    /// Enters a subscription into the index.
    fn register(&mut self, id: SubId) {
        let Some(subscription) = self.subscriptions.get(id) else { return };
        let target = LocalTarget { conn: subscription.conn.slot(), sub: id };
        let (account, pattern) = (subscription.account, &subscription.pattern);
        let delta = self.interest.insert(account, pattern, subscription.want(), target);
        if let Some(delta) = delta {
            self.peers.broadcast(delta);
        }
    }

    /// Ends a subscription of this shard and its shadows, and tells the others.
    pub fn unsubscribe(&mut self, id: SubId) {
        let kin = self.subscriptions.get_mut(id).and_then(|own| own.kin.take());
        if let Some(Kin::Shadows(shadows)) = kin.as_deref() {
            for shadow in shadows {
                self.take_out(*shadow);
            }
        }
        self.take_out(id);
    }

    /// Sees to it that requests to other accounts do not wait for ever.
    pub(crate) fn arm_answers(&mut self, now: Now) {
        let Some(due) = self.answers.next_due() else { return };
        if self.answers_look.is_none_or(|look| due < look) {
            // Not for each of them: they may be many, and answered soon.
            self.look_at_answers(due.max(now.after(ANSWERS_LOOK)));
        }
    }

    /// The same, a moment from now.
    pub(crate) fn look_for_answers(&mut self, now: Now) {
        self.look_at_answers(now.after(ANSWERS_LOOK));
    }

    /// Has a timer look at them then, unless one does before.
    fn look_at_answers(&mut self, at: Now) {
        if self.answers_look.is_none_or(|look| at < look) {
            self.timers.arm(at, NOBODY, TimerKind::Answers);
            self.answers_look = Some(at);
        }
    }

    /// Forgets requests to other accounts that have waited too long.
    pub(crate) fn expire_answers(&mut self, now: Now) {
        if self.answers_look.is_none_or(|look| now < look) {
            return;
        }
        self.answers_look = None;
        if std::mem::take(&mut self.answers_lost) {
            self.abandon_all(now);
        }
        for _ in 0..OVERDUE_MAX {
            let Some(pending) = self.answers.expire(now) else { return self.arm_answers(now) };
            self.overdue(now, &pending);
        }
        self.look_at_answers(now);
    }

    fn take_out(&mut self, id: SubId) {
        let Some(subscription) = self.subscriptions.get(id) else { return };
        let target = LocalTarget { conn: subscription.conn.slot(), sub: id };
        let delta = self.interest.remove(
            subscription.account,
            &subscription.pattern,
            subscription.want(),
            target,
        );
        if let Some(delta) = delta {
            self.peers.broadcast(delta);
        }
        let removed = self.subscriptions.remove(id);
        if let Some(subscription) = removed.filter(|_| self.answers.measured() > 0) {
            self.abandon(self.outlets.now, subscription.account, &subscription.pattern);
        }
    }

    /// A client goes: its figures stay, and whoever watches is told.
    pub(crate) fn keep(&mut self, session: &ClientSession, closed: &ClosedView) {
        let seen = Sighting::new(session, self.outlets.get(session.conn()));
        let slow = matches!(
            closed.reason,
            CloseReason::SlowConsumerPending | CloseReason::SlowConsumerDeadline
        );
        self.tallies.keep(session.account(), &seen, slow);
        let view = Box::new(closed.connection.clone());
        session.report(self, What::Left(view, closed.stop, closed.reason));
    }

    /// The subject space of a connection was decided.
    pub(crate) fn set_account(&mut self, conn: ConnId, account: AccountId) {
        let slot = conn.slot() as usize;
        if self.accounts.len() <= slot {
            self.accounts.resize(slot + 1, None);
        }
        if let Some(entry) = self.accounts.get_mut(slot) {
            *entry = Some((conn, account));
        }
    }

    /// The subject space of a connection of this shard.
    #[must_use]
    pub fn account_of(&self, conn: ConnId) -> Option<AccountId> {
        let (owner, account) = (*self.accounts.get(conn.slot() as usize)?)?;
        (owner == conn).then_some(account)
    }
}
