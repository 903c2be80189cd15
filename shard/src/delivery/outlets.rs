//! Outlets: what delivery must know of a connection, and the bytes that wait for it.
//!
//! One per connection of the shard, in a table of its own, so that a publisher's session can be at
//! work while its message is written to all the others. An outlet is *dirty* while it has bytes the
//! driver has not tried to write since they came, and *blocked* while the socket takes none.
//!
//! Bound: `max_pending` per outlet. What would go over it is not appended; the connection is a slow
//! consumer and is listed in [`Outlets::take_overflowed`].

use crate::authorize::{Replies, Total};
use crate::clock::Now;
use crate::engine::{SHORT_SID, SpacedSid};
use crate::ids::ConnId;
use crate::limits::{CHUNK_BYTES, STALL_PERCENT, TURN_OUTPUT_BYTES, TURN_OUTPUT_BYTES_MAX};
use crate::outbox::{ChunkPool, Outbox, put};

use super::{Head, Message, SHORT_HEAD};

/// What became of one delivery.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delivered {
    /// The receiver did not want it: closed, or its own message without echo.
    No,
    /// It is in the outbox.
    Yes,
    /// It is in the outbox of a receiver that has fallen behind.
    Behind,
}

/// What the connections of one shard are sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Traffic {
    /// Messages.
    pub out_msgs: u64,
    /// Their payload bytes.
    pub out_bytes: u64,
    /// Bytes that wait to be written.
    pub pending: u64,
}

/// One connection as a receiver.
#[derive(Debug)]
pub struct Outlet {
    conn: ConnId,
    outbox: Outbox,
    /// Accepts deliveries.
    open: bool,
    dirty: bool,
    blocked: bool,
    /// Bytes of it wait outside of the outbox, sealed.
    sealed: bool,
    /// Gets its own messages back.
    pub echo: bool,
    /// Negotiated headers.
    pub headers: bool,
    /// It is the server's own: what it gets is no traffic.
    pub internal: bool,
    /// The replies that it may publish to for having been given them; `None` if none are kept.
    pub replies: Option<Box<Replies>>,
    /// Messages written into the outbox.
    pub out_msgs: u64,
    /// Their payload bytes.
    pub out_bytes: u64,
    /// Of those two, what [`Outlets::traffic`] has seen.
    counted: (u64, u64),
    /// Messages were written into the outbox since the socket last took anything.
    fed: bool,
    /// When the socket last took messages.
    active: Now,
    written: u64,
    /// What `written` must have reached, and by when; see [`Outlets::blocked`].
    deadline: Option<(u64, Now)>,
    /// A timer that will look at the deadline is armed.
    watched: bool,
}

/// The outlets of one shard.
#[derive(Debug)]
pub struct Outlets {
    table: Vec<Option<Outlet>>,
    pool: ChunkPool,
    dirty: Vec<ConnId>,
    overflowed: Vec<ConnId>,
    /// Since the last flush, work that led to no output included.
    produced: usize,
    worked: usize,
    /// What was queued and counted, and what of it has been written or thrown away.
    queued: u64,
    gone: u64,
    out_msgs: u64,
    out_bytes: u64,
    pending_max: usize,
    stall_mark: usize,
    /// Lines that were queued, if somebody wants to see them.
    traced: Option<Vec<(ConnId, String)>>,
    traced_payload_max: usize,
    /// When it is, for what is kept of messages.
    pub now: Now,
    /// Of some connection, now or before, replies are kept: else nobody needs to look.
    pub keeps_replies: bool,
    /// Bytes for the replies of all of them.
    pub replies_total: Total,
    /// The slot of who loses replies while they are too many, and down to how many bytes.
    pub(super) loser: Option<(u32, usize)>,
    /// Those that lose some after it, if they still have as much, and how often they were looked
    /// for.
    pub(super) losers: Vec<u32>,
    pub(super) much: usize,
    pub(super) looks: u64,
}

impl Outlets {
    /// No connections; each will be allowed `pending_max` waiting bytes. With `trace`, every
    /// message queued is kept as text for [`Self::take_traced`].
    #[must_use]
    pub fn new(pending_max: usize, trace: bool, traced_payload_max: usize) -> Self {
        Self {
            table: Vec::new(),
            pool: ChunkPool::default(),
            dirty: Vec::new(),
            overflowed: Vec::new(),
            produced: 0,
            worked: 0,
            queued: 0,
            gone: 0,
            out_msgs: 0,
            out_bytes: 0,
            pending_max,
            stall_mark: pending_max / 100 * STALL_PERCENT,
            traced: trace.then(Vec::new),
            traced_payload_max,
            now: Now::ZERO,
            keeps_replies: false,
            replies_total: Total::default(),
            loser: None,
            losers: Vec::new(),
            much: 0,
            looks: 0,
        }
    }

    /// From now on, what is queued is kept as text, or not.
    pub fn trace(&mut self, trace: bool, traced_payload_max: usize) {
        self.traced = trace.then(|| self.traced.take().unwrap_or_default());
        self.traced_payload_max = traced_payload_max;
    }

    /// A new connection.
    pub fn open(&mut self, conn: ConnId) {
        let slot = conn.slot() as usize;
        if self.table.len() <= slot {
            self.table.resize_with(slot + 1, || None);
        }
        if let Some(entry) = self.table.get_mut(slot) {
            debug_assert!(entry.is_none(), "a slot is used again only after it was released");
            *entry = Some(Outlet {
                conn,
                outbox: Outbox::default(),
                open: true,
                dirty: false,
                blocked: false,
                sealed: false,
                echo: true,
                headers: false,
                internal: false,
                replies: None,
                out_msgs: 0,
                out_bytes: 0,
                counted: (0, 0),
                fed: false,
                active: Now::ZERO,
                written: 0,
                deadline: None,
                watched: false,
            });
        }
    }

    /// The connection takes no more deliveries; what is queued stays, to be written.
    pub fn shut(&mut self, conn: ConnId) {
        if let Some(outlet) = self.get_mut(conn) {
            outlet.open = false;
        }
    }

    /// The connection is gone.
    pub fn release(&mut self, conn: ConnId) {
        self.discard(conn);
        if self.get(conn).is_some()
            && let Some(entry) = self.table.get_mut(conn.slot() as usize)
            && let Some(mut outlet) = entry.take()
        {
            let (msgs, bytes) = outlet.count();
            self.out_msgs += msgs;
            self.out_bytes += bytes;
        }
    }

    /// Forgets what is queued for a connection.
    pub fn discard(&mut self, conn: ConnId) {
        let pool = &mut self.pool;
        if let Some(Some(outlet)) = self.table.get_mut(conn.slot() as usize)
            && outlet.conn == conn
        {
            self.gone += outlet.outbox.queued() as u64;
            outlet.outbox.clear(pool);
            outlet.deadline = None;
        }
    }

    /// The outlet of `conn`, if it is still that connection's.
    #[must_use]
    pub fn get(&self, conn: ConnId) -> Option<&Outlet> {
        self.table.get(conn.slot() as usize)?.as_ref().filter(|outlet| outlet.conn == conn)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, conn: ConnId) -> Option<&mut Outlet> {
        let outlet = self.table.get_mut(conn.slot() as usize)?.as_mut()?;
        (outlet.conn == conn).then_some(outlet)
    }

    /// The same as [`Self::message`] for what nearly all receivers are: nothing, and nothing was
    /// done, if this is not one of those.
    #[inline(always)]
    pub fn usual_message(
        &mut self,
        slot: u32,
        sid: &SpacedSid,
        line: &UsualLine<'_>,
    ) -> Option<Delivered> {
        let (sid, sid_len) = sid.short()?;
        let outlet = self.table.get_mut(slot as usize)?.as_mut()?;
        let len = line.len + sid_len;
        let takes = outlet.open && outlet.echo && (outlet.headers || !line.headers);
        if !takes || outlet.outbox.queued() + len > self.pending_max {
            return None;
        }
        // With the slack it is longer than all that is written here.
        let mut room = outlet.outbox.room(len, USUAL_SLACK)?;
        if line.headers {
            room = put(room, b"H");
        }
        *room.first_chunk_mut()? = *line.head;
        let room = room.get_mut(line.head_len..)?;
        *room.first_chunk_mut()? = *sid;
        put(room.get_mut(sid_len..)?, line.tail);
        outlet.out_msgs += 1;
        outlet.out_bytes += line.payload_len;
        self.produced += len;
        if !outlet.dirty {
            outlet.dirty = true;
            self.dirty.push(outlet.conn);
        }
        let behind = outlet.outbox.queued() > self.stall_mark;
        Some(if behind { Delivered::Behind } else { Delivered::Yes })
    }

    /// Whether the connection in `slot` reads headers.
    #[must_use]
    pub fn takes_headers(&self, slot: u32) -> bool {
        self.table.get(slot as usize).and_then(Option::as_ref).is_some_and(|outlet| outlet.headers)
    }

    /// Whether what is queued is shown to somebody.
    #[must_use]
    pub fn is_traced(&self) -> bool {
        self.traced.is_some()
    }

    /// Writes one message for the connection in `slot`. `sid` is the receiver's own name for the
    /// subscription, with a blank behind. `publisher` is the slot the message came from, if it came
    /// from this shard.
    pub fn message(
        &mut self,
        slot: u32,
        publisher: Option<u32>,
        sid: &[u8],
        line: &Line<'_>,
    ) -> Delivered {
        let Some(Some(outlet)) = self.table.get_mut(slot as usize) else { return Delivered::No };
        if !outlet.open || (!outlet.echo && publisher == Some(slot)) {
            return Delivered::No;
        }
        let (tail, payload_len, headers) = line.shape(outlet.headers);
        let len = usize::from(headers) + line.head.len() + sid.len() + tail.len();
        if outlet.outbox.queued() + len > self.pending_max {
            outlet.open = false;
            self.overflowed.push(outlet.conn);
            return Delivered::No;
        }
        let verb: &[u8] = if headers { b"H" } else { b"" };
        outlet.outbox.append(&[verb, line.head, sid, tail], &mut self.pool);
        if let Some(traced) = &mut self.traced {
            let texts = line.trace(headers, sid, tail, self.traced_payload_max);
            traced.extend(texts.map(|text| (outlet.conn, text)));
        }
        outlet.out_msgs += 1;
        outlet.out_bytes += payload_len as u64;
        self.produced += len;
        if !outlet.dirty {
            outlet.dirty = true;
            self.dirty.push(outlet.conn);
        }
        if outlet.outbox.queued() > self.stall_mark { Delivered::Behind } else { Delivered::Yes }
    }

    /// What the connection in `slot` was given to answer on.
    pub(super) fn replies_of(&mut self, slot: u32) -> Option<&mut Replies> {
        self.table.get_mut(slot as usize)?.as_mut()?.replies.as_deref_mut()
    }

    /// Slots there are, taken or not.
    pub(super) fn slots(&self) -> usize {
        self.table.len()
    }

    /// Queues bytes that are not a message: INFO, PONG, `+OK`, `-ERR`.
    pub fn control(&mut self, conn: ConnId, bytes: &[u8]) {
        let Some(Some(outlet)) = self.table.get_mut(conn.slot() as usize) else { return };
        if outlet.conn != conn || !outlet.open {
            return;
        }
        if outlet.outbox.queued() + bytes.len() > self.pending_max {
            outlet.open = false;
            self.overflowed.push(conn);
            return;
        }
        outlet.outbox.push(bytes, &mut self.pool);
        self.produced += bytes.len();
        if !outlet.dirty {
            outlet.dirty = true;
            self.dirty.push(conn);
        }
    }

    /// What was queued and not yet shown, as text.
    pub fn take_traced(&mut self) -> Vec<(ConnId, String)> {
        self.traced.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Connections that went over `max_pending` since the last call.
    pub fn take_overflowed(&mut self) -> Option<ConnId> {
        self.overflowed.pop()
    }

    /// The next connection with bytes to write, if its socket is not known to be full.
    pub fn take_dirty(&mut self) -> Option<ConnId> {
        while let Some(conn) = self.dirty.pop() {
            let Some(outlet) = self.get_mut(conn) else { continue };
            outlet.dirty = false;
            let waits = !outlet.blocked && (outlet.sealed || !outlet.outbox.is_empty());
            let (msgs, bytes) = outlet.count();
            self.out_msgs += msgs;
            self.out_bytes += bytes;
            if waits {
                return Some(conn);
            }
        }
        None
    }

    /// Whether there are no connections.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.iter().all(Option::is_none)
    }

    /// Whether [`Self::take_dirty`] may have something.
    #[must_use]
    pub fn any_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether it is time to write before more is queued: what was queued must still be in the
    /// cache, but each socket should get enough at once to be worth its system call.
    #[inline]
    #[must_use]
    pub fn is_due(&self) -> bool {
        let worthwhile = self.dirty.len() * CHUNK_BYTES;
        self.produced >= worthwhile.clamp(TURN_OUTPUT_BYTES, TURN_OUTPUT_BYTES_MAX)
    }

    /// Something was done that takes as long as so many bytes of output: a turn ends by it too, or
    /// requests that nobody wants could fill one that never ends.
    pub(crate) fn worked(&mut self, bytes: usize) {
        self.produced += bytes;
        self.worked += bytes;
    }

    /// The driver has tried to write everything that was dirty.
    pub fn flushed(&mut self) {
        self.queued += (self.produced - self.worked) as u64;
        self.produced = 0;
        self.worked = 0;
    }

    /// What all connections were sent since the beginning, as far as it was offered to sockets, and
    /// what waits for them now. Counted per flush, not per message.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let queued = self.queued + (self.produced - self.worked) as u64;
        Traffic {
            out_msgs: self.out_msgs,
            out_bytes: self.out_bytes,
            pending: queued.saturating_sub(self.gone),
        }
    }

    /// The socket took `count` bytes. True if nothing waits any more.
    pub fn wrote(&mut self, now: Now, conn: ConnId, count: usize) -> bool {
        let pool = &mut self.pool;
        let Some(Some(outlet)) = self.table.get_mut(conn.slot() as usize) else { return false };
        if outlet.conn != conn {
            return false;
        }
        // Sealed bytes may be written after what they stand for was forgotten.
        let count = count.min(outlet.outbox.queued());
        outlet.outbox.advance(count, pool);
        self.gone += count as u64;
        if std::mem::take(&mut outlet.fed) {
            outlet.active = now;
        }
        outlet.written += count as u64;
        if outlet.deadline.is_some_and(|(mark, _)| outlet.written >= mark) {
            outlet.deadline = None;
        }
        outlet.outbox.is_empty()
    }

    /// The socket took no more: all that waits now must be gone by `deadline`. True if a timer has
    /// to be armed for that; one that is armed for an earlier deadline will do.
    pub fn blocked(&mut self, conn: ConnId, deadline: Now) -> bool {
        let Some(outlet) = self.get_mut(conn) else { return false };
        outlet.blocked = true;
        if outlet.deadline.is_none() {
            outlet.deadline = Some((outlet.written + outlet.outbox.queued() as u64, deadline));
        }
        !std::mem::replace(&mut outlet.watched, true)
    }

    /// The timer that [`Self::blocked`] asked for went off. Returns the deadline that runs now: the
    /// timer must be armed again for it, unless it has passed.
    pub fn look_at_deadline(&mut self, conn: ConnId) -> Option<Now> {
        let outlet = self.get_mut(conn)?;
        let deadline = outlet.deadline();
        outlet.watched = deadline.is_some();
        deadline
    }

    /// The socket may take bytes again.
    pub fn writable(&mut self, conn: ConnId) {
        let Some(outlet) = self.get_mut(conn) else { return };
        outlet.blocked = false;
        if !outlet.dirty && (outlet.sealed || !outlet.outbox.is_empty()) {
            outlet.dirty = true;
            self.dirty.push(conn);
        }
    }

    /// Bytes of the connection wait outside of the outbox, or do not any more.
    pub fn sealed(&mut self, conn: ConnId, waits: bool) {
        let Some(outlet) = self.get_mut(conn) else { return };
        outlet.sealed = waits;
        if waits && !outlet.dirty {
            outlet.dirty = true;
            self.dirty.push(conn);
        }
    }
}

impl Outlet {
    /// Whose outlet this is.
    #[must_use]
    pub fn conn(&self) -> ConnId {
        self.conn
    }

    /// Messages and bytes since the last call that count as traffic.
    fn count(&mut self) -> (u64, u64) {
        let now = (self.out_msgs, self.out_bytes);
        let (msgs, bytes) = std::mem::replace(&mut self.counted, now);
        let new = (now.0 - msgs, now.1 - bytes);
        self.fed |= new.0 > 0;
        if self.internal { (0, 0) } else { new }
    }

    /// When its socket last took messages; the beginning if it never did.
    #[must_use]
    pub fn active(&self) -> Now {
        self.active
    }

    /// Bytes of it wait outside of the outbox, or do not any more; whoever says so is about to
    /// write them.
    pub(crate) fn set_sealed(&mut self, waits: bool) {
        self.sealed = waits;
    }

    /// Whether bytes came that nobody has tried to write.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The bytes that wait.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// When the bytes that could not be written must be gone; `None` if the socket keeps up.
    #[must_use]
    pub fn deadline(&self) -> Option<Now> {
        self.deadline.map(|(_, at)| at)
    }
}

/// One message as all its receivers see it that take headers, if it has any, but for their names
/// for the subscription.
#[derive(Clone, Copy, Debug)]
pub struct UsualLine<'a> {
    head: &'a [u8; SHORT_HEAD],
    head_len: usize,
    tail: &'a [u8],
    payload_len: u64,
    headers: bool,
    /// Of all but the name.
    len: usize,
}

/// How far beyond a frame its head or the name behind it may be written.
const USUAL_SLACK: usize = SHORT_HEAD + SHORT_SID;

impl<'a> UsualLine<'a> {
    /// Nothing if the message is on a long subject.
    #[inline]
    #[must_use]
    pub fn new(head: Head<'a>, message: &Message<'a>) -> Option<Self> {
        let (head, head_len) = (head.short?, head.text.len());
        let (tail, payload_len) = (message.tail, message.payload.len() as u64);
        let headers = message.header_len > 0;
        let len = usize::from(headers) + head_len + tail.len();
        Some(Self { head, head_len, tail, payload_len, headers, len })
    }
}

/// One message as all its receivers see it, but for their names for the subscription.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// `MSG <subject> `.
    pub head: &'a [u8],
    /// What follows, for a receiver that takes headers.
    pub tail: &'a [u8],
    /// Bytes of the payload, headers included.
    pub payload_len: usize,
    /// Bytes of the header block; zero if there is none.
    pub header_len: usize,
    /// What follows, for a receiver that takes none.
    pub stripped: &'a [u8],
}

impl<'a> Line<'a> {
    /// The line and the payload as log lines show them.
    #[cold]
    fn trace(
        &self,
        headers: bool,
        sid: &[u8],
        tail: &[u8],
        payload_max: usize,
    ) -> impl Iterator<Item = String> + use<> {
        let end = memchr::memchr(b'\n', tail).map_or(tail.len(), |at| at + 1);
        let (line, payload) = tail.split_at(end);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let verb = if headers { "H" } else { "" };
        let line = format!("[{verb}{}{}{}]", text(self.head), text(sid), text(line).trim_end());
        let payload = payload.strip_suffix(b"\r\n").unwrap_or(payload);
        let shown = text(payload.get(..payload_max).unwrap_or(payload));
        let dots = if shown.len() < payload.len() { "..." } else { "" };
        let payload = (!payload.is_empty()).then(|| format!("MSG_PAYLOAD: [{shown:?}{dots}]"));
        std::iter::once(line).chain(payload)
    }

    /// Tail, payload length and whether the verb is HMSG, for a receiver that takes headers or not.
    #[inline]
    fn shape(&self, takes_headers: bool) -> (&'a [u8], usize, bool) {
        if self.header_len == 0 {
            (self.tail, self.payload_len, false)
        } else if takes_headers {
            (self.tail, self.payload_len, true)
        } else {
            (self.stripped, self.payload_len - self.header_len, false)
        }
    }
}
