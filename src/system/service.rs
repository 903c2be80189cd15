//! The thread that speaks for the server.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{
    Receiver, RecvTimeoutError, Select, Sender, TryRecvError, bounded, never, unbounded,
};
use ringbus_shard::error::CloseReason;
use ringbus_shard::event::Asked;
use ringbus_shard::ids::AccountId;
use ringbus_shard::io::Control;
use ringbus_shard::options::Grant;
use tracing::{error, warn};

use crate::auth::operator::Current;
use crate::monitor::answers::{Endpoints, to_json};

use super::claims::{self, Reply};
use super::line::{Heard, Line, Request, listen};
use super::messages::{self, ServerInfo};
use super::packing::packed;
use super::reload::{self, Outcome};
use super::requests::{Answer, Desk, patterns};
use super::{Note, Noted};

/// The first announcement of figures, and the longest pause between two: each is twice the one
/// before.
const STATSZ_FIRST: Duration = Duration::from_millis(250);
const STATSZ_EVERY: Duration = Duration::from_secs(10);

/// How many clients an account has is told this long after that changed, once for all changes.
const CONNS_AFTER: Duration = Duration::from_millis(250);

/// And again after this long, changed or not.
const CONNS_EVERY: Duration = Duration::from_secs(30);

/// Notes that are told in one go, before it is the turn of others.
const NOTES_AT_ONCE: usize = 64;

/// Requests that wait to be answered, and operators who wait for a reload.
const REQUESTS_MAX: usize = 1 << 10;

/// Bytes of claims that are said in one go to another server that asks for all.
const PACK_AT_ONCE: usize = 256 << 10;

/// How long a shard may take no more of what is said in the system account, before another session
/// is opened.
const WRITE_TIME: Duration = Duration::from_secs(1);

/// The same for the answer to a client: one that does not read its answers loses them.
const ANSWER_TIME: Duration = Duration::from_millis(10);

/// A session in another account is closed if nobody asked there for this long.
const OTHERS_IDLE: Duration = Duration::from_secs(60);

/// The longest that the end of the process waits for the farewell.
const FAREWELL: Duration = Duration::from_millis(500);

/// Pause before another session is opened, after one that ended.
const REOPEN: Duration = Duration::from_secs(1);

/// What the process tells this thread.
enum Order {
    LameDuck,
    Stop,
}

/// The thread that speaks for the server.
#[derive(Debug)]
pub struct System {
    orders: Sender<Order>,
    /// Closed when it has ended.
    ended: Receiver<()>,
}

impl System {
    /// The server is about to stop taking clients.
    pub fn lame_duck(&self) {
        // If the thread has ended, nobody can be told.
        let _ = self.orders.send(Order::LameDuck);
    }

    /// The server stops: its last words are said when this returns, unless that takes too long.
    pub fn stop(self) {
        let _ = self.orders.send(Order::Stop);
        if self.ended.recv_timeout(2 * FAREWELL) == Err(RecvTimeoutError::Timeout) {
            warn!("System events: the end of this server was not announced in time");
        }
    }
}

/// Starts to speak, in the account of `grant`.
///
/// # Errors
/// If the system has no thread or no sockets to give.
pub(crate) fn start(
    grant: Grant,
    control: Control,
    endpoints: Arc<Endpoints>,
    noted: Noted,
    outcomes: Receiver<Outcome>,
    operators: Current,
) -> io::Result<System> {
    let (orders, obeyed) = unbounded();
    let (ending, ended) = bounded(0);
    let (line, heard) = open(&control, &grant, &endpoints, &operators)?;
    let now = Instant::now();
    let speaker = Speaker {
        grant,
        control,
        endpoints,
        operators,
        line,
        heard,
        noted,
        outcomes,
        seq: 0,
        others: HashMap::new(),
        reloading: Vec::new(),
        changed: BTreeSet::new(),
        changed_due: None,
        reopen_due: None,
        conns_due: now + CONNS_EVERY,
        statsz_due: now + STATSZ_FIRST,
        statsz_pause: STATSZ_FIRST,
    };
    thread::Builder::new().name("system".to_owned()).spawn(move || {
        speaker.speak(&obeyed);
        drop(ending);
    })?;
    Ok(System { orders, ended })
}

/// A session in the system account, and what is heard on it.
fn open(
    control: &Control,
    grant: &Grant,
    endpoints: &Endpoints,
    operators: &Current,
) -> io::Result<(Line, Receiver<Heard>)> {
    let stream = control.connect(grant.clone())?;
    stream.set_write_timeout(Some(WRITE_TIME))?;
    let (sender, heard) = bounded(REQUESTS_MAX);
    let ear = stream.try_clone()?;
    thread::Builder::new().name("system-ear".to_owned()).spawn(move || listen(ear, &sender))?;
    let mut line = Line::new(stream);
    let own = patterns(&endpoints.facts().identity.server_id);
    for (sid, pattern) in own.iter().enumerate() {
        line.subscribe(pattern, sid + 1);
    }
    let about_claims = operators.get().map(|operators| claims::patterns(&operators));
    for (sid, (pattern, queue)) in about_claims.into_iter().flatten().enumerate() {
        line.subscribe_in(pattern, queue, own.len() + sid + 1);
    }
    line.flush()?;
    Ok((line, heard))
}

struct Speaker {
    grant: Grant,
    control: Control,
    endpoints: Arc<Endpoints>,
    operators: Current,
    line: Line,
    heard: Receiver<Heard>,
    noted: Noted,
    outcomes: Receiver<Outcome>,
    /// Number of the latest message.
    seq: u64,
    /// Sessions in other accounts, for answers to their clients, and when they were last used.
    others: HashMap<AccountId, (Line, Instant)>,
    /// Where the outcome of a reload is waited for.
    reloading: Vec<Vec<u8>>,
    /// Accounts whose number of clients changed, and when that is to be told.
    changed: BTreeSet<Arc<str>>,
    changed_due: Option<Instant>,
    /// When another session is opened, if this one has ended.
    reopen_due: Option<Instant>,
    conns_due: Instant,
    statsz_due: Instant,
    statsz_pause: Duration,
}

impl Speaker {
    /// Whatever is done in one round is short, so that an order never waits for long.
    fn speak(mut self, orders: &Receiver<Order>) {
        loop {
            while let Ok(order) = orders.try_recv() {
                match order {
                    Order::LameDuck => self.say_of_server("LAMEDUCK"),
                    Order::Stop => return self.farewell(),
                }
            }
            let due = [self.changed_due, self.reopen_due, Some(self.statsz_due)];
            let due = due.into_iter().flatten().fold(self.conns_due, Instant::min);
            // One that waits for an order wakes up for it; it is obeyed above.
            let mut woken = Select::new();
            woken.recv(orders);
            woken.recv(&self.heard);
            woken.recv(&self.noted.told);
            woken.recv(&self.noted.asked);
            woken.recv(&self.outcomes);
            let _ = woken.ready_deadline(due);
            drop(woken);
            self.round();
            self.on_time(Instant::now());
            if self.reopen_due.is_none() && self.line.flush().is_err() {
                self.lost();
            }
        }
    }

    /// Some of everything that waits; of what clients ask the least.
    fn round(&mut self) {
        // Before requests: a reload that is asked for now is not the one that is over.
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.on_reloaded(&outcome);
        }
        match self.heard.try_recv() {
            Ok(Heard::Request(request)) => self.on_request(&request),
            Ok(Heard::Failure(text)) => error!("System events: refused: {text}"),
            Ok(Heard::Pong) | Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => self.lost(),
        }
        for _ in 0..NOTES_AT_ONCE {
            match self.noted.told.try_recv() {
                Ok(note) => self.on_note(note),
                Err(TryRecvError::Empty) => break,
                // The shards have ended; the order to stop will come.
                Err(TryRecvError::Disconnected) => {
                    self.noted.told = never();
                    self.noted.asked = never();
                }
            }
        }
        if let Ok(asked) = self.noted.asked.try_recv() {
            self.on_asked(&asked);
        }
    }

    fn server(&mut self) -> ServerInfo {
        self.seq += 1;
        ServerInfo::new(&self.endpoints.facts(), self.seq)
    }

    fn on_request(&mut self, request: &Request) {
        let server = self.server();
        let (subject, body) = (&request.subject, &request.body);
        let reply = self.operators.with(|them| claims::answer(them, &server, subject, body));
        if let Some(reply) = reply {
            return self.reply_about_claims(request, reply);
        }
        let desk = Desk { endpoints: &self.endpoints, control: &self.control, server };
        match desk.answer(request) {
            Answer::None => {}
            Answer::Now(answer) => self.reply(request, &answer),
            Answer::Reloaded => {
                if self.reloading.len() < REQUESTS_MAX {
                    self.reloading.push(request.reply.clone());
                }
                if let Err(why) = reload::ask() {
                    self.on_reloaded(&Err(why));
                }
            }
        }
    }

    /// As it is: other servers want the claims themselves.
    fn reply_about_claims(&mut self, request: &Request, reply: Reply) {
        match reply {
            Reply::One(answer) => self.line.publish(&request.reply, &answer),
            Reply::Pack(keys) => {
                let operators = self.operators.get();
                let message = |key: &String| claims::packed(operators.as_deref()?, key);
                for message in keys.iter().filter_map(message) {
                    self.line.publish(&request.reply, &message);
                    if self.line.waiting() > PACK_AT_ONCE && self.line.flush().is_err() {
                        return self.lost();
                    }
                }
                self.line.publish(&request.reply, b"");
            }
        }
    }

    fn reply(&mut self, request: &Request, answer: &[u8]) {
        match packed(request, answer) {
            Some((encoding, packed)) => {
                let header = ("Content-Encoding", encoding);
                self.line.publish_with(&request.reply, header, &packed);
            }
            None => self.line.publish(&request.reply, answer),
        }
    }

    /// The configuration was read again, for whatever reason.
    fn on_reloaded(&mut self, outcome: &Outcome) {
        for reply in std::mem::take(&mut self.reloading) {
            let server = self.server();
            let answer = match outcome {
                Ok(()) => messages::done(&server),
                Err(why) => messages::failure(&server, 500, why, false),
            };
            self.line.publish(&reply, &answer);
        }
    }

    fn on_note(&mut self, note: Note) {
        match note {
            Note::Entered(view) => {
                let server = self.server();
                let event = messages::connected(&server, &self.endpoints, &view);
                self.say_of_account(&view.account, "CONNECT", &event);
            }
            Note::Left(view, stop, reason) => {
                let server = self.server();
                let event = messages::disconnected(&server, &self.endpoints, &view, stop, reason);
                if matches!(
                    reason,
                    CloseReason::AuthenticationFailure
                        | CloseReason::ProxyNotTrusted
                        | CloseReason::ProxyRequired
                ) {
                    let id = &self.endpoints.facts().identity.server_id;
                    let subject = format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR");
                    self.line.publish(subject.as_bytes(), &event);
                }
                self.say_of_account(&view.account, "DISCONNECT", &event);
            }
        }
    }

    fn say_of_account(&mut self, account: &Arc<str>, what: &str, event: &[u8]) {
        self.line.publish(format!("$SYS.ACCOUNT.{account}.{what}").as_bytes(), event);
        self.changed.insert(Arc::clone(account));
        self.changed_due.get_or_insert_with(|| Instant::now() + CONNS_AFTER);
    }

    /// Answers a client in its own account.
    fn on_asked(&mut self, asked: &Asked) {
        let server = self.server();
        let desk = Desk { endpoints: &self.endpoints, control: &self.control, server };
        let Some(answer) = desk.answer_client(asked) else { return };
        let Asked { account, account_name, .. } = asked;
        let line = match self.others.remove(account) {
            Some((line, _)) => Ok(line),
            None => self.open_in(*account, account_name),
        };
        let said = line.and_then(|mut line| {
            line.publish(&asked.reply, &answer);
            line.flush().map(|()| line)
        });
        match said {
            Ok(line) => {
                self.others.insert(*account, (line, Instant::now()));
            }
            // A client that does not read; the next answer opens another session.
            Err(error) if is_pause(&error) => {}
            Err(error) => warn!("System events: cannot answer in account {account_name}: {error}"),
        }
    }

    fn open_in(&self, account: AccountId, name: &Arc<str>) -> io::Result<Line> {
        let grant = Grant { account, account_name: Arc::clone(name), ..Grant::default() };
        let stream = self.control.connect(grant)?;
        stream.set_write_timeout(Some(ANSWER_TIME))?;
        Ok(Line::new(stream))
    }

    fn on_time(&mut self, now: Instant) {
        if self.changed_due.is_some_and(|due| now >= due) {
            self.changed_due = None;
            let changed: Vec<String> =
                std::mem::take(&mut self.changed).iter().map(|name| name.to_string()).collect();
            self.tell_connections(true, &changed);
        }
        if self.reopen_due.is_some_and(|due| now >= due) {
            self.reopen(now);
        }
        if now >= self.conns_due {
            self.others.retain(|_, (_, used)| now.duration_since(*used) < OTHERS_IDLE);
            self.conns_due = now + CONNS_EVERY;
            self.tell_connections(false, &[]);
        }
        if now >= self.statsz_due {
            self.statsz_pause = (self.statsz_pause * 2).min(STATSZ_EVERY);
            self.statsz_due = now + self.statsz_pause;
            let server = self.server();
            if let Ok(statsz) = self.endpoints.statsz() {
                let message = messages::statsz(&server, &statsz);
                let id = &self.endpoints.facts().identity.server_id;
                self.line.publish(format!("$SYS.SERVER.{id}.STATSZ").as_bytes(), &message);
            }
        }
    }

    /// Tells how many clients these accounts have, or all that have some.
    fn tell_connections(&mut self, unused: bool, accounts: &[String]) {
        let Ok(stats) = self.endpoints.account_stats(unused, accounts) else { return };
        for stat in stats {
            let server = self.server();
            let event = messages::account_connections(&server, &stat);
            let name = stat.account();
            self.line.publish(format!("$SYS.ACCOUNT.{name}.SERVER.CONNS").as_bytes(), &event);
            // Under its name of old, too.
            self.line.publish(format!("$SYS.SERVER.ACCOUNT.{name}.CONNS").as_bytes(), &event);
        }
    }

    fn say_of_server(&mut self, what: &str) {
        let server = self.server();
        let id = &self.endpoints.facts().identity.server_id;
        self.line.publish(format!("$SYS.SERVER.{id}.{what}").as_bytes(), &to_json(&server));
    }

    /// The last words, and the certainty that they are on their way to whoever listens.
    fn farewell(mut self) {
        self.say_of_server("SHUTDOWN");
        self.line.ping();
        let end = Instant::now() + FAREWELL;
        if self.line.flush().is_err() {
            return;
        }
        while let Ok(heard) = self.heard.recv_deadline(end) {
            if heard == Heard::Pong {
                return;
            }
        }
    }

    /// The session has ended, for being slow perhaps. Another one will go on.
    fn lost(&mut self) {
        if self.reopen_due.is_some() {
            return;
        }
        warn!("System events: the session has ended; opening another");
        // Until then its subscriptions are gone, and who asks hears that nobody is there.
        self.line.close();
        self.heard = never();
        self.reopen_due = Some(Instant::now() + REOPEN);
    }

    fn reopen(&mut self, now: Instant) {
        match open(&self.control, &self.grant, &self.endpoints, &self.operators) {
            Ok((line, heard)) => {
                (self.line, self.heard, self.reopen_due) = (line, heard, None);
            }
            Err(error) => {
                error!("System events: {error}; trying again");
                self.reopen_due = Some(now + REOPEN);
            }
        }
    }
}

/// Whether a write gave up because the other end takes no more.
fn is_pause(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
