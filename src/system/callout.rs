//! Questions to services that decide who may connect, in the accounts of these services.
//!
//! Each such account has a clerk: a thread with a session there, and a table of the questions that
//! are open. So an account whose service hangs, or whose clients are many, keeps nobody waiting in
//! another. A clerk is there from the first question on, and goes when there was none for a while.
//!
//! Bounds: [`CLERKS_MAX`] accounts at a time, [`OPEN_MAX`] questions of each. One beyond that is
//! refused at once. Answers come to subjects that nobody can guess, each for one question; the
//! first counts.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError, TrySendError, bounded, never};
use data_encoding::BASE32_NOPAD;
use ringbus_shard::ids::AccountId;
use ringbus_shard::io::Control;
use ringbus_shard::options::Grant;
use tracing::{debug, warn};

use super::line::{Heard, Line, Request, listen};
use crate::auth::Account;
use crate::auth::callout::{Courier, Echo, Question, SUBJECT};

/// Accounts in which questions are asked, at a time.
const CLERKS_MAX: usize = 64;

/// Questions that are open in one of them. Each holds a client, which holds what it sent: at most
/// a control line and `UNJUDGED_BYTES`.
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

type Clerks = Arc<Mutex<HashMap<AccountId, Sender<Question>>>>;

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

fn lock(clerks: &Clerks) -> MutexGuard<'_, HashMap<AccountId, Sender<Question>>> {
    clerks.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Courier for Carrier {
    fn carry(&self, question: Question) {
        let account = question.account.clone();
        let mut clerks = lock(&self.clerks);
        let sent = match clerks.get(&account.id) {
            Some(clerk) => clerk.try_send(question),
            None => Err(TrySendError::Disconnected(question)),
        };
        let (question, why) = match sent {
            Ok(()) => return,
            Err(TrySendError::Full(question)) => (question, FULL),
            // None is there, or it ended in a way it should not.
            Err(TrySendError::Disconnected(question)) => {
                clerks.remove(&account.id);
                if clerks.len() < CLERKS_MAX {
                    match self.hire(&account) {
                        Ok(clerk) => {
                            let sent = clerk.try_send(question);
                            clerks.insert(account.id, clerk);
                            match sent {
                                Ok(()) => return,
                                Err(error) => (error.into_inner(), FULL),
                            }
                        }
                        Err(error) => {
                            warn!("Auth callout: {error}");
                            (question, "no thread for it")
                        }
                    }
                } else {
                    (question, "too many accounts ask")
                }
            }
        };
        drop(clerks);
        (question.then)(Echo::NotAsked(why));
    }
}

impl Carrier {
    fn hire(&self, account: &Account) -> io::Result<Sender<Question>> {
        let (sender, questions) = bounded(OPEN_MAX);
        let clerk = Clerk {
            account: account.clone(),
            control: self.control.clone(),
            clerks: Arc::clone(&self.clerks),
            questions,
            session: None,
            table: Table::default(),
        };
        thread::Builder::new().name("callout".to_owned()).spawn(move || clerk.work())?;
        Ok(sender)
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
    questions: Receiver<Question>,
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
            woken.recv(&self.questions);
            woken.recv(heard);
            let _ = woken.ready_deadline(due);
            drop(woken);
            self.ask();
            self.hear();
            let now = Instant::now();
            for then in self.table.late(now) {
                then(Echo::Late);
            }
            if !self.table.is_empty() {
                idle_since = now;
            } else if now.duration_since(idle_since) >= IDLE && self.leave() {
                return;
            }
        }
    }

    /// Goes, unless a question arrived meanwhile.
    fn leave(&mut self) -> bool {
        let mut clerks = lock(&self.clerks);
        let leaves = self.questions.is_empty();
        if leaves {
            clerks.remove(&self.account.id);
            if let Some(session) = &mut self.session {
                session.line.close();
            }
        }
        leaves
    }

    fn ask(&mut self) {
        for _ in 0..ASKED_AT_ONCE {
            let Ok(question) = self.questions.try_recv() else { break };
            if let Err((then, why)) = self.say(question) {
                then(Echo::NotAsked(why));
            }
        }
        if let Some(session) = &mut self.session
            && session.line.flush().is_err()
        {
            self.lost();
        }
    }

    fn say(&mut self, question: Question) -> Result<(), (Then, &'static str)> {
        let Question { payload, xkey, patience, then, .. } = question;
        if self.table.is_full() {
            return Err((then, FULL));
        }
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
        self.table.enter(token, Instant::now() + patience, then);
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

    #[test]
    fn a_question_is_answered_once_or_is_late() {
        let (tell, told) = crossbeam_channel::unbounded();
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
