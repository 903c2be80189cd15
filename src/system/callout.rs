//! Questions to services that decide who may connect, in the accounts of these services.
//!
//! Each such account has a clerk: a thread with a session there, and a table of the questions that
//! are open. So an account whose service hangs, or whose clients are many, keeps nobody waiting in
//! another. A clerk is there from the first question on, and goes when there was none for a while,
//! or when another account needs its place.
//!
//! Bounds: [`CLERKS_MAX`] accounts at a time that wait for answers; questions of one beyond that
//! are refused at once. [`OPEN_MAX`] questions of an account are open at a time, the others wait
//! for their turn: as many as shards ask ([`ASKS_OF_ONE_MAX`]). The time that a question has begins
//! when it is handed in. Answers come to subjects that nobody can guess, each for one question; the
//! first counts.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, Select, SendError, Sender, TryRecvError, TrySendError, bounded, never, unbounded,
};
use data_encoding::BASE32_NOPAD;
use ringbus_shard::ids::AccountId;
use ringbus_shard::io::Control;
use ringbus_shard::limits::ASKS_OF_ONE_MAX;
use ringbus_shard::options::Grant;
use tracing::{debug, warn};

use super::line::{Heard, Line, Request, listen};
use crate::auth::Account;
use crate::auth::callout::{Courier, Echo, Question, SUBJECT};

/// Accounts that wait for answers, at a time.
const CLERKS_MAX: usize = 64;

/// Questions that are open in one of them: what its service gets at once. Each holds a client,
/// which holds what it sent: at most a control line and `UNJUDGED_BYTES`.
const OPEN_MAX: usize = 2048;

/// Questions that are asked in one go, before answers are looked at.
const ASKED_AT_ONCE: usize = 64;

/// Answers that wait to be looked at.
const HEARD_MAX: usize = 64;

/// A clerk without a question goes after this long.
const IDLE: Duration = Duration::from_secs(60);

/// How long a shard may take nothing of what is said, before the session is given up.
const WRITE_TIME: Duration = Duration::from_secs(1);

/// Where answers go, as with nats-server, so that a service may be allowed just that.
const INBOX: &str = "$SYS._INBOX.";

/// Header with the public key of the server, on a question that is sealed.
const XKEY_HEADER: &str = "Nats-Server-Xkey";

const FULL: &str = "too many questions are open";

type Clerks = Arc<Mutex<Seats>>;

/// The way to the clerks.
pub(crate) struct Carrier {
    control: Control,
    clerks: Clerks,
}

impl Carrier {
    pub(crate) fn new(control: Control) -> Self {
        Self { control, clerks: Clerks::default() }
    }
}

fn lock(clerks: &Clerks) -> MutexGuard<'_, Seats> {
    clerks.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A question, and when it is too late for an answer.
struct Handed {
    question: Question,
    due: Instant,
}

/// The way to one clerk.
struct Seat {
    questions: Sender<Handed>,
    /// Whoever waits for an answer holds one of these too.
    held: Arc<()>,
    /// How many may wait.
    most: usize,
    /// When it was last handed a question.
    used: Instant,
}

impl Seat {
    fn new(most: usize, now: Instant) -> (Self, Receiver<Handed>) {
        let (questions, received) = unbounded();
        (Self { questions, held: Arc::default(), most, used: now }, received)
    }

    /// How many wait.
    fn waiting(&self) -> usize {
        Arc::strong_count(&self.held) - 1
    }

    fn hand(&mut self, question: Question, now: Instant) -> Result<(), TrySendError<Question>> {
        if self.waiting() >= self.most {
            return Err(TrySendError::Full(question));
        }
        let held = Arc::clone(&self.held);
        let Question { then, patience, .. } = question;
        let then = Box::new(move |echo| {
            // First, for whoever is told may hand in the next at once.
            drop(held);
            then(echo);
        });
        let due = now.checked_add(patience).unwrap_or(now);
        self.used = now;
        let handed = Handed { question: Question { then, ..question }, due };
        let sent = self.questions.send(handed);
        sent.map_err(|SendError(handed)| TrySendError::Disconnected(handed.question))
    }
}

/// The clerks that there are, by account.
#[derive(Default)]
struct Seats(HashMap<AccountId, Seat>);

impl Seats {
    /// Makes room for one more, if need be at the cost of that for which nobody has waited for
    /// longest. False if somebody waits for each.
    fn make_room(&mut self) -> bool {
        if self.0.len() < CLERKS_MAX {
            return true;
        }
        let idle = self.0.iter().filter(|(_, seat)| seat.waiting() == 0);
        let longest = idle.min_by_key(|(_, seat)| seat.used).map(|(account, _)| *account);
        longest.is_some_and(|account| self.0.remove(&account).is_some())
    }
}

impl Courier for Carrier {
    fn carry(&self, question: Question) {
        let (account, now) = (question.account.clone(), Instant::now());
        let mut clerks = lock(&self.clerks);
        let sent = match clerks.0.get_mut(&account.id) {
            Some(clerk) => clerk.hand(question, now),
            None => Err(TrySendError::Disconnected(question)),
        };
        let (question, why) = match sent {
            Ok(()) => return,
            Err(TrySendError::Full(question)) => (question, FULL),
            // None is there, or it ended in a way it should not.
            Err(TrySendError::Disconnected(question)) => {
                clerks.0.remove(&account.id);
                match self.hire(&mut clerks, &account, now) {
                    Ok(mut clerk) => {
                        let sent = clerk.hand(question, now);
                        clerks.0.insert(account.id, clerk);
                        match sent {
                            Ok(()) => return,
                            Err(error) => (error.into_inner(), FULL),
                        }
                    }
                    Err(why) => (question, why),
                }
            }
        };
        drop(clerks);
        (question.then)(Echo::NotAsked(why));
    }
}

impl Carrier {
    fn hire(
        &self,
        clerks: &mut Seats,
        account: &Account,
        now: Instant,
    ) -> Result<Seat, &'static str> {
        if !clerks.make_room() {
            return Err("too many accounts ask");
        }
        // All that shards may ask at a time.
        let (seat, questions) = Seat::new(self.control.shards() * ASKS_OF_ONE_MAX, now);
        let clerk = Clerk {
            account: account.clone(),
            control: self.control.clone(),
            clerks: Arc::clone(&self.clerks),
            seat: Arc::downgrade(&seat.held),
            questions,
            session: None,
            table: Table::default(),
        };
        let thread = thread::Builder::new().name("callout".to_owned());
        match thread.spawn(move || clerk.work()) {
            Ok(_) => Ok(seat),
            Err(error) => {
                warn!("Auth callout: {error}");
                Err("no thread for it")
            }
        }
    }
}

/// A session in the account, and what is heard on it.
struct Session {
    line: Line,
    heard: Receiver<Heard>,
    /// Answers come to subjects that begin with this.
    inbox: String,
}

impl Session {
    fn open(control: &Control, account: &Account) -> io::Result<Self> {
        let name = Arc::clone(&account.name);
        let grant = Grant { account: account.id, account_name: name, ..Grant::default() };
        let stream = control.connect(grant)?;
        stream.set_write_timeout(Some(WRITE_TIME))?;
        let (sender, heard) = bounded(HEARD_MAX);
        let ear = stream.try_clone()?;
        thread::Builder::new()
            .name("callout-ear".to_owned())
            .spawn(move || listen(ear, &sender))?;
        let inbox = format!("{INBOX}{}.", token()?);
        let mut line = Line::new(stream);
        line.subscribe(&format!("{inbox}*"), 1);
        line.flush()?;
        Ok(Self { line, heard, inbox })
    }
}

/// Something that nobody can guess.
fn token() -> io::Result<String> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(BASE32_NOPAD.encode(&bytes))
}

struct Clerk {
    account: Account,
    control: Control,
    clerks: Clerks,
    /// Nothing holds it any more once somebody else has the place.
    seat: Weak<()>,
    questions: Receiver<Handed>,
    session: Option<Session>,
    table: Table,
}

impl Clerk {
    fn work(mut self) {
        let mut idle_since = Instant::now();
        loop {
            let due = self.table.due().unwrap_or(idle_since + IDLE);
            let silent = never();
            let heard = self.session.as_ref().map_or(&silent, |session| &session.heard);
            let mut woken = Select::new();
            if !self.table.is_full() {
                woken.recv(&self.questions);
            }
            woken.recv(heard);
            let _ = woken.ready_deadline(due);
            drop(woken);
            self.hear();
            self.ask();
            let now = Instant::now();
            for then in self.table.late(now) {
                then(Echo::Late);
            }
            if !self.table.is_empty() {
                idle_since = now;
            } else if self.is_sent_away() || now.duration_since(idle_since) >= IDLE && self.leave()
            {
                if let Some(mut session) = self.session.take() {
                    session.line.close();
                }
                return;
            }
        }
    }

    /// Whether another has its place: then nobody waits, and nobody will ask.
    fn is_sent_away(&self) -> bool {
        self.seat.strong_count() == 0
    }

    /// Whether it goes: not if a question arrived meanwhile.
    fn leave(&self) -> bool {
        let mut clerks = lock(&self.clerks);
        if !self.questions.is_empty() {
            return false;
        }
        if !self.is_sent_away() {
            clerks.0.remove(&self.account.id);
        }
        true
    }

    fn ask(&mut self) {
        for _ in 0..ASKED_AT_ONCE {
            if self.table.is_full() {
                break;
            }
            let Ok(Handed { question, due }) = self.questions.try_recv() else { break };
            if due <= Instant::now() {
                (question.then)(Echo::Late);
            } else if let Err((then, why)) = self.say(question, due) {
                then(Echo::NotAsked(why));
            }
        }
        if let Some(session) = &mut self.session
            && session.line.flush().is_err()
        {
            self.lost();
        }
    }

    fn say(&mut self, question: Question, due: Instant) -> Result<(), (Then, &'static str)> {
        let Question { payload, xkey, then, .. } = question;
        if self.session.is_none() {
            match Session::open(&self.control, &self.account) {
                Ok(session) => self.session = Some(session),
                Err(error) => {
                    warn!("Auth callout in account {}: {error}", self.account.name);
                    return Err((then, "no session for it"));
                }
            }
        }
        let (Some(session), Ok(token)) = (&mut self.session, token()) else {
            return Err((then, "no random numbers"));
        };
        let reply = format!("{}{token}", session.inbox);
        let header = xkey.as_deref().map(|xkey| (XKEY_HEADER, xkey));
        session.line.request(SUBJECT, &reply, header, &payload);
        self.table.enter(token, due, then);
        Ok(())
    }

    fn hear(&mut self) {
        for _ in 0..ASKED_AT_ONCE {
            let Some(session) = &self.session else { return };
            match session.heard.try_recv() {
                Ok(Heard::Request(Request { subject, body, .. })) => {
                    let token = subject.strip_prefix(&session.inbox);
                    if let Some(then) = token.and_then(|token| self.table.take(token)) {
                        then(Echo::Answer(body));
                    }
                }
                Ok(Heard::Failure(text)) => warn!("Auth callout: refused: {text}"),
                Ok(Heard::Pong) => {}
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => return self.lost(),
            }
        }
    }

    /// The session has ended. The next question opens another; those that are open stay so for
    /// their time, as if nobody had answered.
    fn lost(&mut self) {
        debug!("Auth callout in account {}: the session has ended", self.account.name);
        if let Some(mut session) = self.session.take() {
            session.line.close();
        }
    }
}

/// Whoever waits for an answer.
type Then = Box<dyn FnOnce(Echo) + Send>;

/// The questions that are open: by what their answers are addressed to, and by when it is too late.
#[derive(Default)]
struct Table {
    open: HashMap<String, (Instant, u64, Then)>,
    times: BTreeMap<(Instant, u64), String>,
    number: u64,
}

impl Table {
    fn is_full(&self) -> bool {
        self.open.len() >= OPEN_MAX
    }

    fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// When the next is too late.
    fn due(&self) -> Option<Instant> {
        self.times.first_key_value().map(|((due, _), _)| *due)
    }

    fn enter(&mut self, token: String, due: Instant, then: Then) {
        self.number += 1;
        self.times.insert((due, self.number), token.clone());
        self.open.insert(token, (due, self.number, then));
    }

    /// Who waits for the answer that is addressed so.
    fn take(&mut self, token: &str) -> Option<Then> {
        let (due, number, then) = self.open.remove(token)?;
        self.times.remove(&(due, number));
        Some(then)
    }

    /// Those for whom it is too late.
    fn late(&mut self, now: Instant) -> Vec<Then> {
        let mut late = Vec::new();
        while let Some(first) = self.times.first_entry().filter(|first| first.key().0 <= now) {
            let token = first.remove();
            late.extend(self.open.remove(&token).map(|(_, _, then)| then));
        }
        late
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Accounts;

    #[test]
    fn a_question_is_answered_once_or_is_late() {
        let (tell, told) = unbounded();
        let then = |name: &'static str| -> Then {
            let tell = tell.clone();
            Box::new(move |outcome| {
                let answered = matches!(outcome, Echo::Answer(_));
                tell.send((name, answered)).unwrap();
            })
        };
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut table = Table::default();
        for (name, due) in [("a", 3), ("b", 1), ("c", 1), ("d", 2)] {
            table.enter(name.to_owned(), at(due), then(name));
        }
        assert_eq!(table.due(), Some(at(1)));
        assert!(table.late(start).is_empty() && table.take("e").is_none());
        table.take("c").unwrap()(Echo::Answer(Vec::new()));
        assert!(table.take("c").is_none());
        table.late(at(2)).into_iter().for_each(|then| then(Echo::Late));
        assert_eq!(table.due(), Some(at(3)));
        table.take("a").unwrap()(Echo::Answer(Vec::new()));
        assert!(table.is_empty() && table.times.is_empty());
        let told: Vec<_> = told.try_iter().collect();
        assert_eq!(told, [("c", true), ("b", false), ("d", false), ("a", true)]);
    }

    #[test]
    fn a_clerk_goes_for_another_only_if_nobody_waits_for_it() {
        let (accounts, mut now) = (Accounts::new("SYS"), Instant::now());
        let all: Vec<Account> =
            (0..=CLERKS_MAX).map(|number| accounts.enter(&number.to_string())).collect();
        let mut seats = Seats::default();
        let mut clerks: HashMap<AccountId, Receiver<Handed>> = HashMap::new();
        let mut hand = |seats: &mut Seats, clerks: &mut HashMap<_, _>, number: usize| {
            now += Duration::from_secs(1);
            let account = all[number].clone();
            let id = account.id;
            if !seats.0.contains_key(&id) {
                if !seats.make_room() {
                    return false;
                }
                let (seat, questions) = Seat::new(1, now);
                seats.0.insert(id, seat);
                clerks.insert(id, questions);
            }
            seats.0.get_mut(&id).unwrap().hand(question(account), now).is_ok()
        };
        let answer = |clerks: &HashMap<AccountId, Receiver<Handed>>, number: usize| {
            (clerks[&all[number].id].recv().unwrap().question.then)(Echo::Late);
        };
        for number in 0..CLERKS_MAX {
            assert!(hand(&mut seats, &mut clerks, number));
            assert!(!hand(&mut seats, &mut clerks, number), "one question is all");
        }
        assert!(!hand(&mut seats, &mut clerks, CLERKS_MAX), "somebody waits for each");
        for number in [7, 3] {
            answer(&clerks, number);
        }
        // The seventh was handed another question since; then nobody waits for it again.
        assert!(hand(&mut seats, &mut clerks, 7));
        answer(&clerks, 7);
        assert!(hand(&mut seats, &mut clerks, CLERKS_MAX));
        let is_there = |number: usize| seats.0.contains_key(&all[number].id);
        assert!(!is_there(3) && is_there(7) && seats.0.len() == CLERKS_MAX);
        assert!(clerks[&all[3].id].recv().is_err(), "it hears that it may go");
        for number in (0..=CLERKS_MAX).filter(|number| ![7, 3].contains(number)) {
            answer(&clerks, number);
        }
        // One account more than there are places, in turn.
        for number in (0..3).flat_map(|_| 0..=CLERKS_MAX) {
            assert!(hand(&mut seats, &mut clerks, number), "{number}");
            answer(&clerks, number);
        }
    }

    fn question(account: Account) -> Question {
        let (payload, patience) = (Vec::new(), Duration::from_secs(1));
        Question { account, payload, xkey: None, patience, then: Box::new(drop) }
    }

    #[test]
    fn the_table_has_a_bound() {
        let mut table = Table::default();
        for number in 0..OPEN_MAX {
            assert!(!table.is_full());
            table.enter(number.to_string(), Instant::now(), Box::new(|_| {}));
        }
        assert!(table.is_full());
        assert_eq!(table.late(Instant::now()).len(), OPEN_MAX);
        assert!(table.is_empty());
    }

    #[test]
    fn nobody_can_guess_where_an_answer_goes() {
        let [one, other] = [(); 2].map(|()| token().unwrap());
        assert!(one != other && one.len() == 24, "{one}");
    }
}
