//! The thread that speaks for the server.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, never, select, unbounded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ringbus_shard::error::CloseReason;
use ringbus_shard::event::Asked;
use ringbus_shard::ids::AccountId;
use ringbus_shard::io::Control;
use ringbus_shard::options::Grant;
use tracing::{error, warn};

use crate::monitor::answers::{Endpoints, to_json};

use super::line::{Heard, Line, Request, listen};
use super::messages::{self, ServerInfo};
use super::requests::{Desk, patterns};
use super::{NOTES_MAX, Note};

/// The first announcement of figures, and the longest pause between two: each is twice the one
/// before.
const STATSZ_FIRST: Duration = Duration::from_millis(250);
const STATSZ_EVERY: Duration = Duration::from_secs(10);

/// How many clients an account has is told this long after that changed, once for all changes.
const CONNS_AFTER: Duration = Duration::from_millis(250);

/// And again after this long, changed or not.
const CONNS_EVERY: Duration = Duration::from_secs(30);

/// Notes that are told in one go.
const NOTES_AT_ONCE: usize = 1024;

/// The longest that the end of the process waits for the farewell.
const FAREWELL: Duration = Duration::from_millis(500);

/// The longest that a request to reload waits for the outcome.
const RELOAD_PATIENCE: Duration = Duration::from_secs(10);

/// Pause before another session is opened, after one that ended.
const REOPEN: Duration = Duration::from_secs(1);

/// What came of reading the configuration again.
type Outcome = Result<(), String>;

/// Requests to read the configuration again, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Reload(Arc<Mutex<Vec<Sender<Outcome>>>>);

impl Reload {
    /// Has the configuration read again, and waits for that.
    pub(super) fn ask(&self) -> Outcome {
        let (sender, answer) = bounded(1);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        // The same way as for everybody else: the process has one that obeys signals.
        kill(Pid::this(), Signal::SIGHUP).map_err(|error| error.to_string())?;
        answer.recv_timeout(RELOAD_PATIENCE).map_err(|_| "the server is busy".to_owned())?
    }

    /// It was read again, or not.
    pub fn answer(&self, outcome: &Outcome) {
        for waiting in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // Who asked may have stopped waiting.
            let _ = waiting.send(outcome.clone());
        }
    }
}

/// What the process tells this thread.
enum Order {
    LameDuck,
    Stop,
}

/// The thread that speaks for the server.
#[derive(Debug)]
pub struct System {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl System {
    /// The server is about to stop taking clients.
    pub fn lame_duck(&self) {
        // If the thread has ended, nobody can be told.
        let _ = self.orders.send(Order::LameDuck);
    }

    /// The server stops: its last words are said when this returns.
    pub fn stop(self) {
        let _ = self.orders.send(Order::Stop);
        if self.thread.join().is_err() {
            error!("System events: the thread has failed");
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
    notes: Receiver<Note>,
    reload: &Reload,
) -> io::Result<System> {
    let (orders, obeyed) = unbounded();
    let (line, heard) = open(&control, &grant, &endpoints)?;
    let speaker = Speaker {
        grant,
        control,
        endpoints,
        reload: reload.clone(),
        line,
        heard,
        seq: 0,
        others: HashMap::new(),
        changed: BTreeSet::new(),
        changed_due: None,
        reopen_due: None,
        conns_due: Instant::now() + CONNS_EVERY,
        statsz_due: Instant::now() + STATSZ_FIRST,
        statsz_pause: STATSZ_FIRST,
    };
    let thread = thread::Builder::new()
        .name("system".to_owned())
        .spawn(move || speaker.speak(notes, &obeyed))?;
    Ok(System { orders, thread })
}

/// A session in the system account, and what is heard on it.
fn open(
    control: &Control,
    grant: &Grant,
    endpoints: &Endpoints,
) -> io::Result<(Line, Receiver<Heard>)> {
    let stream = control.connect(grant.clone())?;
    let (sender, heard) = bounded(NOTES_MAX);
    let ear = stream.try_clone()?;
    thread::Builder::new().name("system-ear".to_owned()).spawn(move || listen(ear, &sender))?;
    let mut line = Line::new(stream);
    for (sid, pattern) in patterns(&endpoints.facts().identity.server_id).iter().enumerate() {
        line.subscribe(pattern, sid + 1);
    }
    line.flush()?;
    Ok((line, heard))
}

struct Speaker {
    grant: Grant,
    control: Control,
    endpoints: Arc<Endpoints>,
    reload: Reload,
    line: Line,
    heard: Receiver<Heard>,
    /// Number of the latest message.
    seq: u64,
    /// Sessions in other accounts, for answers to their clients.
    others: HashMap<AccountId, Line>,
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
    fn speak(mut self, mut notes: Receiver<Note>, orders: &Receiver<Order>) {
        loop {
            let due = [self.changed_due, self.reopen_due, Some(self.statsz_due)];
            let due = due.into_iter().flatten().fold(self.conns_due, Instant::min);
            select! {
                recv(self.heard) -> heard => match heard {
                    Ok(Heard::Request(request)) => self.on_request(&request),
                    Ok(Heard::Pong) => {}
                    Err(_) => self.lost(),
                },
                recv(notes) -> note => match note {
                    Ok(note) => {
                        self.on_note(note);
                        for note in notes.try_iter().take(NOTES_AT_ONCE) {
                            self.on_note(note);
                        }
                    }
                    // The shards have ended; the order to stop will come.
                    Err(_) => notes = never(),
                },
                recv(orders) -> order => match order {
                    Ok(Order::LameDuck) => self.say_of_server("LAMEDUCK"),
                    Ok(Order::Stop) | Err(_) => return self.farewell(),
                },
                default(due.saturating_duration_since(Instant::now())) => {}
            }
            self.on_time(Instant::now());
            // A session that has ended is noticed by the ear.
            let _ = self.line.flush();
        }
    }

    fn server(&mut self) -> ServerInfo {
        self.seq += 1;
        ServerInfo::new(&self.endpoints.facts(), self.seq)
    }

    fn on_request(&mut self, request: &Request) {
        if request.reply.is_empty() && !is_order(&request.subject) {
            return;
        }
        let server = self.server();
        let answer = self.desk(server).answer(request);
        let Some(answer) = answer.filter(|_| !request.reply.is_empty()) else { return };
        match packed(request, &answer) {
            Some((encoding, packed)) => {
                let header = ("Content-Encoding", encoding);
                self.line.publish_with(&request.reply, header, &packed);
            }
            None => self.line.publish(&request.reply, &answer),
        }
    }

    fn desk(&self, server: ServerInfo) -> Desk<'_> {
        let Self { endpoints, control, reload, .. } = self;
        Desk { endpoints, control, reload, server }
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
                if reason == CloseReason::AuthenticationFailure {
                    let id = &self.endpoints.facts().identity.server_id;
                    let subject = format!("$SYS.SERVER.{id}.CLIENT.AUTH.ERR");
                    self.line.publish(&subject, &event);
                }
                self.say_of_account(&view.account, "DISCONNECT", &event);
            }
            Note::Asked(asked) => self.on_asked(&asked),
        }
    }

    fn say_of_account(&mut self, account: &Arc<str>, what: &str, event: &[u8]) {
        self.line.publish(&format!("$SYS.ACCOUNT.{account}.{what}"), event);
        self.changed.insert(Arc::clone(account));
        self.changed_due.get_or_insert_with(|| Instant::now() + CONNS_AFTER);
    }

    /// Answers a client in its own account.
    fn on_asked(&mut self, asked: &Asked) {
        let server = self.server();
        let Some(answer) = self.desk(server).answer_client(asked) else { return };
        let Ok(reply) = str::from_utf8(&asked.reply) else { return };
        let Asked { account, account_name, .. } = asked;
        let grant = || Grant { account: *account, account_name: account_name.clone(), user: None };
        let line = match self.others.remove(account) {
            Some(line) => Ok(line),
            None => self.control.connect(grant()).map(Line::new),
        };
        match line.and_then(|mut line| {
            line.publish(reply, &answer);
            line.flush().map(|()| line)
        }) {
            Ok(line) => {
                self.others.insert(*account, line);
            }
            // The next answer opens another session.
            Err(error) => warn!("System events: cannot answer in account {account_name}: {error}"),
        }
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
                self.line.publish(&format!("$SYS.SERVER.{id}.STATSZ"), &message);
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
            self.line.publish(&format!("$SYS.ACCOUNT.{name}.SERVER.CONNS"), &event);
            // Under its name of old, too.
            self.line.publish(&format!("$SYS.SERVER.ACCOUNT.{name}.CONNS"), &event);
        }
    }

    fn say_of_server(&mut self, what: &str) {
        let server = self.server();
        let id = &self.endpoints.facts().identity.server_id;
        self.line.publish(&format!("$SYS.SERVER.{id}.{what}"), &to_json(&server));
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
        warn!("System events: the session has ended; opening another");
        self.heard = never();
        self.reopen_due = Some(Instant::now() + REOPEN);
    }

    fn reopen(&mut self, now: Instant) {
        match open(&self.control, &self.grant, &self.endpoints) {
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

/// Whether a request is obeyed even if nobody waits for the answer.
fn is_order(subject: &str) -> bool {
    [".KICK", ".LDM", ".RELOAD"].iter().any(|order| subject.ends_with(order))
}

/// The answer in the encoding that the request wishes for, if it does.
fn packed(request: &Request, answer: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let wished = request.header("Accept-Encoding")?.to_ascii_lowercase();
    // Packing to memory cannot fail; if it did, the answer would go as it is.
    if wished.contains("snappy") {
        let mut packer = snap::write::FrameEncoder::new(Vec::new());
        packer.write_all(answer).ok()?;
        return Some(("snappy", packer.into_inner().ok()?));
    }
    if wished.contains("gzip") {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(answer).ok()?;
        return Some(("gzip", packer.finish().ok()?));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn answers_are_packed_as_it_is_wished_for() {
        let request = |wish: &str| Request {
            headers: format!("NATS/1.0\r\nAccept-Encoding: {wish}\r\n\r\n"),
            ..Request::default()
        };
        let answer = b"hello hello hello hello".repeat(50);
        assert_eq!(packed(&Request::default(), &answer), None);
        assert_eq!(packed(&request("br"), &answer), None);
        let (encoding, bytes) = packed(&request("Snappy"), &answer).unwrap();
        let mut unpacked = Vec::new();
        snap::read::FrameDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!((encoding, &unpacked), ("snappy", &answer));
        let (encoding, bytes) = packed(&request("gzip, deflate"), &answer).unwrap();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).unwrap();
        assert_eq!((encoding, &unpacked), ("gzip", &answer));
    }
}
