//! The twin of `io`'s driver: the same turn in the same order, one step at a time, so that other
//! shards can run between any two of its steps, as they do on cores of their own.

use std::collections::{BTreeMap, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, mpsc};

use fastrand::Rng;

use crate::clock::Now;
use crate::engine::{Command, Shard};
use crate::error::CloseReason;
use crate::event::{Event, What};
use crate::ids::{ClientId, ConnId, ShardId};
use crate::options::{Options, Verdict};
use crate::session::{Peer, Trial};
use crate::transport::{Handshake, Output};

use super::net::{ClientEnd, ServerEnd, Socket, Written};

/// Written to one socket in one visit; small, so that the bound is reached.
const VISIT_BYTES: usize = 16 << 10;

/// Pieces of an outbox that are written at once; few, so that there are more.
const PIECES: usize = 2;

/// The next step of a turn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Collect,
    MeshBatches,
    MeshDeltas,
    Input,
    Batches,
    Time,
    Turn,
    Welcome,
    Commit,
    Write,
    Command,
    Sleep,
}

/// What a turn has found.
#[derive(Debug)]
enum Input {
    Bytes(ConnId, Vec<u8>),
    HungUp(ConnId, CloseReason),
    Writable(ConnId),
}

/// The socket of a connection, and what the driver does for it.
#[derive(Debug)]
struct Link {
    conn: ConnId,
    socket: usize,
    /// The shard wants to hear from it.
    reading: bool,
    /// It is told when the socket takes bytes again.
    watching: bool,
    /// The client's hang-up was seen.
    ended: bool,
    /// Since when the socket did not take everything.
    behind_since: Option<Now>,
}

/// Whether a driver sleeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rest {
    Awake,
    Asleep { until: Option<Now> },
}

/// What all drivers of a world have in common.
pub(super) struct Surroundings<'a> {
    pub(super) now: Now,
    pub(super) rng: &'a mut Rng,
    pub(super) sockets: &'a mut [Socket],
    /// Take and write as much as there is.
    pub(super) eager: bool,
    /// Shards to be woken.
    pub(super) wake: &'a mut Vec<ShardId>,
    /// What shards reported.
    pub(super) events: &'a mut Vec<Event>,
}

/// Drives one shard.
pub(super) struct Driver {
    pub(super) shard: Shard,
    stage: Stage,
    rest: Rest,
    /// Somebody wrote to the eventfd.
    woken: bool,
    busy: bool,
    links: BTreeMap<u32, Link>,
    newcomers: VecDeque<usize>,
    inputs: VecDeque<Input>,
    /// Connections that have had their share of a visit and have more.
    unfinished: Vec<ConnId>,
    /// What helper threads are about to find out.
    trials: Vec<Trial>,
    /// Steps of handshakes that are done elsewhere.
    steps: Vec<(ConnId, Handshake)>,
    /// Options that hold from the next turn on.
    options: Option<Arc<Options>>,
    /// Connections closed for a write deadline, and for how long they had not kept up.
    pub(super) deadlines: Vec<(usize, std::time::Duration)>,
}

impl Driver {
    pub(super) fn new(shard: Shard) -> Self {
        Self {
            shard,
            stage: Stage::Collect,
            rest: Rest::Awake,
            woken: false,
            busy: false,
            links: BTreeMap::new(),
            newcomers: VecDeque::new(),
            inputs: VecDeque::new(),
            unfinished: Vec::new(),
            trials: Vec::new(),
            steps: Vec::new(),
            options: None,
            deadlines: Vec::new(),
        }
    }

    /// A socket was handed over.
    pub(super) fn welcome(&mut self, socket: usize) {
        self.newcomers.push_back(socket);
    }

    /// Other options were given.
    pub(super) fn reload(&mut self, options: &Arc<Options>) {
        self.options = Some(Arc::clone(options));
    }

    /// Another shard wakes this one.
    pub(super) fn wake(&mut self) {
        self.woken = true;
    }

    /// Whether the shard stands between two turns.
    pub(super) fn is_between_turns(&self) -> bool {
        self.stage == Stage::Collect
    }

    /// Whether the shard sleeps and nothing is there to wake it.
    pub(super) fn is_idle(&self, now: Now, sockets: &[Socket]) -> bool {
        match self.rest {
            Rest::Awake => false,
            Rest::Asleep { until } => {
                !self.woken && until.is_none_or(|until| now < until) && !self.has_input(sockets)
            }
        }
    }

    fn has_input(&self, sockets: &[Socket]) -> bool {
        let found = |link: &Link| {
            sockets.get(link.socket).is_some_and(|socket| {
                (link.reading && !link.ended && socket.has_input())
                    || (link.watching && socket.is_writable())
            })
        };
        let given = self.options.is_some() || !self.trials.is_empty() || !self.steps.is_empty();
        given || !self.newcomers.is_empty() || self.links.values().any(found)
    }

    /// Connections of this shard, by their sockets.
    pub(super) fn connections(&self) -> impl Iterator<Item = (usize, ConnId)> {
        self.links.values().map(|link| (link.socket, link.conn))
    }

    /// Nothing is read from this socket any more; that it failed shows when it is written to.
    pub(super) fn ignore(&mut self, socket: usize) {
        let links = self.links.values_mut().filter(|link| link.socket == socket);
        links.for_each(|link| link.ended = true);
    }

    /// One step of a turn. Nothing happens if the shard sleeps.
    pub(super) fn step(&mut self, around: &mut Surroundings<'_>) {
        if self.is_idle(around.now, around.sockets) {
            return;
        }
        self.stage = match self.stage {
            Stage::Collect => {
                if self.rest != Rest::Awake {
                    self.rest = Rest::Awake;
                    self.shard.awake();
                }
                self.woken = false;
                self.collect(around);
                Stage::MeshBatches
            }
            Stage::MeshBatches => {
                self.shard.on_mesh_batches();
                Stage::MeshDeltas
            }
            Stage::MeshDeltas => {
                self.shard.on_mesh_deltas();
                Stage::Input
            }
            Stage::Input => match self.inputs.pop_front() {
                Some(input) => {
                    self.on_input(around, input);
                    Stage::Input
                }
                None => Stage::Batches,
            },
            Stage::Batches => {
                self.shard.on_batches(around.now);
                Stage::Time
            }
            Stage::Time => {
                self.shard.on_time(around.now);
                Stage::Turn
            }
            Stage::Turn => {
                self.busy = self.shard.on_turn(around.now);
                Stage::Welcome
            }
            Stage::Welcome => {
                self.admit(around);
                self.obey(around);
                Stage::Commit
            }
            Stage::Commit => {
                self.shard.commit(around.wake);
                Stage::Write
            }
            Stage::Write => match self.shard.take_dirty() {
                Some(conn) => {
                    self.visit(around, conn);
                    Stage::Write
                }
                None => {
                    self.flushed();
                    Stage::Command
                }
            },
            Stage::Command => {
                self.command(around);
                Stage::Sleep
            }
            Stage::Sleep => {
                self.sleep(around);
                Stage::Collect
            }
        };
    }

    /// Takes some of what the sockets have.
    fn collect(&mut self, around: &mut Surroundings<'_>) {
        let mut links: Vec<&mut Link> = self.links.values_mut().collect();
        around.rng.shuffle(&mut links);
        for link in links {
            let Some(socket) = around.sockets.get_mut(link.socket) else { continue };
            if !around.eager && around.rng.u8(..4) == 0 {
                continue;
            }
            if link.watching && socket.is_writable() {
                link.watching = false;
                self.inputs.push_back(Input::Writable(link.conn));
            }
            while link.reading && !link.ended && socket.has_input() {
                let most = match around.rng.u8(..4) {
                    0 => around.rng.usize(1..=4),
                    1 => around.rng.usize(1..=64),
                    _ => 16 << 10,
                };
                let bytes = socket.receive(most);
                if bytes.is_empty() {
                    link.ended = true;
                    let reason = match socket.client {
                        ClientEnd::Reset if around.rng.bool() => CloseReason::ReadError,
                        _ => CloseReason::ClientClosed,
                    };
                    self.inputs.push_back(Input::HungUp(link.conn, reason));
                } else {
                    self.inputs.push_back(Input::Bytes(link.conn, bytes));
                }
                if !around.eager && around.rng.bool() {
                    break;
                }
            }
        }
    }

    fn on_input(&mut self, around: &mut Surroundings<'_>, input: Input) {
        match input {
            Input::Bytes(conn, bytes) => {
                self.shard.on_bytes(around.now, conn, &bytes);
                if self.shard.output_is_due() {
                    self.shard.commit(around.wake);
                    while let Some(conn) = self.shard.take_dirty() {
                        self.visit(around, conn);
                    }
                    self.flushed();
                }
            }
            Input::HungUp(conn, reason) => self.shard.on_hang_up(around.now, conn, reason),
            Input::Writable(conn) => self.shard.on_writable(conn),
        }
    }

    fn admit(&mut self, around: &Surroundings<'_>) {
        while let Some(socket) = self.newcomers.pop_front() {
            let client = ClientId::new(socket as u64 + 1);
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let conn = self.shard.on_open(around.now, Peer { client, address });
            let link = Link {
                conn,
                socket,
                reading: true,
                watching: false,
                ended: false,
                behind_since: None,
            };
            self.links.insert(conn.slot(), link);
        }
    }

    /// Takes the orders of the process; helper threads answer in any order, now or later.
    fn obey(&mut self, around: &mut Surroundings<'_>) {
        if let Some(options) = self.options.take() {
            self.shard.on_options(around.now, options);
        }
        around.rng.shuffle(&mut self.trials);
        while !self.trials.is_empty() && (around.eager || around.rng.u8(..4) == 0) {
            let Some(trial) = self.trials.pop() else { return };
            let id = trial.id;
            let verdict = find_out(trial);
            self.shard.on_judged(around.now, id, verdict);
        }
        around.rng.shuffle(&mut self.steps);
        while !self.steps.is_empty() && (around.eager || around.rng.u8(..4) == 0) {
            let Some((conn, step)) = self.steps.pop() else { return };
            self.shard.on_handshake(around.now, conn, step.run());
        }
        self.busy |= self.shard.any_ready();
    }

    /// Writes what waits for one connection.
    fn visit(&mut self, around: &mut Surroundings<'_>, conn: ConnId) {
        let Some(link) = self.links.get_mut(&conn.slot()).filter(|link| link.conn == conn) else {
            return;
        };
        let Some(socket) = around.sockets.get_mut(link.socket) else { return };
        let mut total = 0;
        loop {
            let Some(output) = self.shard.output(around.now, conn) else {
                link.behind_since = None;
                return;
            };
            let bytes: Vec<u8> = match output {
                Output::Plain(outbox) => outbox.pieces(PIECES).flatten().copied().collect(),
                Output::Sealed(bytes) => bytes.to_vec(),
            };
            match socket.write(&bytes, around.eager, around.rng) {
                Written::All(count) => {
                    total += count;
                    self.shard.on_written(around.now, conn, count);
                    if total >= VISIT_BYTES {
                        self.unfinished.push(conn);
                        return;
                    }
                }
                Written::Some(count) => {
                    self.shard.on_written(around.now, conn, count);
                    self.shard.on_blocked(around.now, conn);
                    link.behind_since.get_or_insert(around.now);
                    link.watching = true;
                    return;
                }
                Written::Failed => {
                    let reason = if around.rng.bool() {
                        CloseReason::ClientClosed
                    } else {
                        CloseReason::WriteError
                    };
                    self.shard.on_hang_up(around.now, conn, reason);
                    return;
                }
            }
        }
    }

    /// Every dirty connection was visited.
    fn flushed(&mut self) {
        for conn in self.unfinished.drain(..) {
            self.shard.on_writable(conn);
        }
        self.shard.flushed();
    }

    fn command(&mut self, around: &mut Surroundings<'_>) {
        while let Some(trial) = self.shard.take_trial() {
            self.trials.push(trial);
        }
        while let Some(event) = self.shard.take_event() {
            if event.what == What::Closed(CloseReason::SlowConsumerDeadline) {
                self.note_deadline(around.now, &event);
            }
            around.events.push(event);
        }
        self.steps.extend(std::iter::from_fn(|| self.shard.take_handshake()));
        while let Some(command) = self.shard.take_command() {
            let (Command::Pause(conn)
            | Command::Resume(conn)
            | Command::Finish(conn)
            | Command::Close(conn)) = command;
            let Some(link) = self.links.get_mut(&conn.slot()).filter(|link| link.conn == conn)
            else {
                panic!("{command:?} for a connection that has no socket");
            };
            let Some(socket) = around.sockets.get_mut(link.socket) else { continue };
            match command {
                Command::Pause(_) => link.reading = false,
                Command::Resume(_) => link.reading = true,
                Command::Finish(_) => socket.server = ServerEnd::Finished,
                Command::Close(_) => {
                    socket.server = ServerEnd::Closed;
                    self.links.remove(&conn.slot());
                    self.shard.on_released(conn);
                }
            }
        }
    }

    /// Whether nobody's verdict is awaited.
    pub(super) fn has_judged(&self) -> bool {
        self.trials.is_empty() && self.shard.trials() == 0
    }

    fn note_deadline(&mut self, now: Now, event: &Event) {
        let socket = usize::try_from(event.client.id.get() - 1).unwrap_or(usize::MAX);
        let since = self.links.values().find(|link| link.socket == socket);
        let since = since.and_then(|link| link.behind_since).unwrap_or(now);
        self.deadlines.push((socket, now.since(since)));
    }

    fn sleep(&mut self, around: &Surroundings<'_>) {
        let busy = std::mem::take(&mut self.busy) || self.shard.any_dirty();
        if busy || self.has_input(around.sockets) {
            return;
        }
        let until = self.shard.next_deadline(around.now).map(|wait| around.now.after(wait));
        if self.shard.may_sleep() {
            self.rest = Rest::Asleep { until };
        }
    }
}

/// What a helper thread says.
pub(super) fn find_out(trial: Trial) -> Verdict {
    let (tell, told) = mpsc::channel();
    trial.run(move |verdict| tell.send(verdict).expect("somebody waits"));
    told.recv().expect("every trial has an answer")
}
