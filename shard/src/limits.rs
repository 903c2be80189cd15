//! Every bound of the data plane, in one place, with the relations between them asserted.
//!
//! What an operator may set is in [`Limits`]; what follows from the design is a constant. Sizes
//! are bytes.

use std::time::Duration;

/// Shards of one process. A frame names a shard in 16 bits and a match set lists shards, so the
/// bound is a matter of memory: the mesh has this many rings squared.
pub const SHARDS_MAX: usize = 256;

/// Digits of a size that a peer declares. Nine digits stay below 2^30 and cannot overflow.
pub const SIZE_DIGITS_MAX: usize = 9;

/// Bytes in flight from one shard to another before publishers that need the lane are paused. One
/// frame may go over it, so that a message of any legal size can cross.
pub const LANE_BYTES_MAX: usize = 1 << 20;

/// The same for all lanes out of one shard together: with more than 16 shards each lane gets less.
pub const LANES_BYTES_MAX: usize = 16 << 20;

/// Bytes collected for another shard before they are handed over as one batch.
pub const BATCH_BYTES: usize = 64 << 10;

/// Batches in flight from one shard to another.
pub const LANE_BATCHES: usize = 64;

/// Control frames (interest deltas, new sockets) in flight from one shard to another.
pub const CONTROL_FRAMES: usize = 4096;

/// The same for all lanes out of one shard together: their slots are memory, used or not, so with
/// more than two shards each lane gets fewer.
pub const CONTROL_FRAMES_OUT: usize = 2 * CONTROL_FRAMES;

/// Fewest control frames of a lane, however many shards there are.
pub const CONTROL_FRAMES_MIN: usize = 64;

/// Bytes of frames sent on from this shard that wait for room on a lane (queue members gone while
/// the frame was on its way, answers to publishers). Beyond it frames are dropped and counted.
pub const SPILL_BYTES_MAX: usize = 16 << 20;

/// One chunk of an outbox. Large enough that a socket write moves 5 ns worth of bytes per small
/// frame, small enough that a few of them stay in the second-level cache.
pub const CHUNK_BYTES: usize = 64 << 10;

/// Chunks a shard keeps for the next connection that has something to say.
pub const CHUNK_POOL: usize = 64;

/// Output produced before it is written out, or a chunk for each connection that has some if that
/// is more: a wide fan-out should be written from the cache, but not in so small pieces that the
/// system calls cost more than the misses (1 to 50, 64 B: 58 ns per delivery with this alone, 22 ns
/// with a chunk for each).
pub const TURN_OUTPUT_BYTES: usize = 512 << 10;

/// The same, however many connections have some: memory, and the time that everybody else waits.
/// From 512 receivers on, each gets less than a chunk at once.
pub const TURN_OUTPUT_BYTES_MAX: usize = 32 << 20;

/// How long a socket is left alone whose publisher sends one message per write, so that one read
/// takes several: longer costs such a publisher latency, shorter gathers less.
pub const GATHER_REST: Duration = Duration::from_micros(250);

/// Read at once from a socket that was left alone.
pub const GATHER_BYTES: usize = 64 << 10;

/// Read from it before others get their turn; no more than may come in by the ring after a shard
/// wants to hear no more.
pub const GATHER_BYTES_MAX: usize = 1 << 20;

/// Bytes of subjects and match sets remembered per shard.
pub const MATCH_CACHE_BYTES: usize = 64 << 20;

/// Share of `max_pending` above which a receiver counts as stalled, in percent.
pub const STALL_PERCENT: usize = 75;

/// How long a publisher whose receivers are all stalled is paused per stretch of input.
pub const STALL_PAUSE: Duration = Duration::from_millis(10);

/// How long a shard's report that all receivers of a publisher there have fallen behind holds.
/// Longer than a pause, so that the publisher finds it again afterwards.
pub const STALL_REPORT: Duration = Duration::from_millis(30);

/// Bytes of the protocol that are sealed at once for a connection with a transport, and wait sealed
/// at most. Four records of TLS: enough to be worth a system call, and still in the cache.
pub const SEAL_BYTES: usize = 64 << 10;

/// Bytes of a handshake that wait for the rest of one of its messages. A client's chain of a few
/// certificates fits; what the reference allows (64 KiB a message) no client needs.
pub const HANDSHAKE_BYTES_MAX: usize = 32 << 10;

/// How long a closing connection may take to write what it still has queued.
pub const CLOSE_FLUSH: Duration = Duration::from_secs(2);

/// How long a connection that was told everything is kept for its client to hang up first.
pub const LINGER: Duration = Duration::from_millis(200);

/// Connections that ended and are remembered, by all shards together, and the bytes for that.
pub const CLOSED_CONNECTIONS_MAX: usize = 10_000;

/// See [`CLOSED_CONNECTIONS_MAX`].
pub const CLOSED_BYTES_MAX: usize = 16 << 20;

/// Subscriptions that are remembered with one of them.
pub const CLOSED_SUBSCRIPTIONS_MAX: usize = 64;

/// Clients of one shard whose password is being looked at by another thread, and as many again
/// whose signature is. The others wait for their turn, and are given up when their time to
/// authenticate is over. Each holds what its CONNECT said, at most a control line. A signature
/// takes about 50 us, a password 50 ms and more: this many keep every thread busy between two turns
/// of a shard, or for as long as any client waits.
pub const TRIALS_MAX: usize = 256;

/// Handshakes that wait for their first answer, on all shards together; who comes on top is sent
/// away. Each holds at most [`HANDSHAKE_BYTES_MAX`] of input. At a millisecond for a signature of
/// RSA this is half of the usual time for a handshake: who would wait longer would wait in vain.
pub const HANDSHAKES_WAITING_MAX: usize = 1024;

/// Clients of one shard that wait for an answer from elsewhere: they take no thread, only what
/// their CONNECT said.
pub const WAITS_MAX: usize = 1024;

/// Clients of one shard about whom a service is asked. Those of one account may be as many as there
/// are places left: so however many accounts have a service that hangs, another finds room.
pub const ASKS_MAX: usize = 4096;

/// Those of one account, if no other asks: it is one half.
pub const ASKS_OF_ONE_MAX: usize = ASKS_MAX.div_ceil(2);

/// Threads that do steps of handshakes: as many as keep a spare core or two busy.
pub const SHAKERS_MAX: usize = 4;

/// Threads that find out who clients are.
pub const JUDGES_MAX: usize = 16;

/// A client that is not let in yet and whose verdict is awaited is not read from any more once it
/// has sent this much beyond its CONNECT; what the kernel handed over before it was told so comes
/// on top, at most one read. Before its CONNECT is complete it is held to a control line, because
/// nothing but CONNECT may come first where clients must say who they are.
pub const UNJUDGED_BYTES: usize = 4 << 10;

/// Longest prefix of unreadable input shown in a log line.
pub const SNIPPET_BYTES: usize = 32;

/// Options of a request to the server that any client may make; longer ones are not answered.
pub const ASKED_BYTES_MAX: usize = 4 << 10;

/// Requests to the server that one client may make within a second; more are not answered. A client
/// asks once, when it connects.
pub const ASKED_PER_SECOND: u32 = 20;

/// Reply subjects that one client may answer on for having been given them (`allow_responses`), and
/// what is noted of them: about 40,000 requests that wait for their answer.
pub const REPLIES_BYTES_MAX: usize = 8 << 20;

/// The same for all clients of one shard together. Memory for it may be three times as much, while
/// clients that had many have few.
pub const REPLIES_SHARD_BYTES_MAX: usize = 64 << 20;

/// Longest control line of the server itself: room for any reply subject that a client may give.
pub const INTERNAL_LINE_MAX: usize = 1 << 20;

/// Largest message that the server itself publishes: a page with all connections there may be.
pub const INTERNAL_PAYLOAD_MAX: usize = 64 << 20;

/// How long a proxy may take to say for whom it speaks: as long as the reference waits in all,
/// which is 5 s for the first bytes and 5 s for the others.
pub const PROXY_TIMEOUT: Duration = Duration::from_secs(10);

/// Requests of one shard that wait for answers from other accounts, in bytes of what is kept of
/// them; see [`crate::delivery::answers`].
pub const ANSWERS_BYTES_MAX: usize = 64 << 20;

/// The same for the requests of one account.
pub const ANSWERS_ACCOUNT_BYTES_MAX: usize = 16 << 20;

/// Accounts that one message goes through by service imports, one after the other and side by side;
/// it goes no further.
pub const CROSSINGS_MAX: usize = 64;

/// What a connection may keep of where its requests go, and of what is told about it there, between
/// its turns; what is larger is worked out again. Part of what an idle connection may cost.
pub const CROSSINGS_BYTES_KEPT: usize = 3 << 10;

/// A shard's buffers for one message each keep at most this much memory.
pub const MESSAGE_BYTES_KEPT: usize = 64 << 10;

/// What a client may have told of itself to whoever measures the requests it answers, on other
/// shards, in one turn, beyond [`DESCRIBED_BYTES_FREE`] for each of its answers: those may be much
/// shorter than what it says of itself. Answers after that say nothing of it.
pub const DESCRIBED_TURN_BYTES_MAX: usize = 64 << 10;

/// What a client says of itself is seldom longer.
pub const DESCRIBED_BYTES_FREE: usize = 512;

/// Requests to other accounts whose time is up are told of in portions of so many; everybody else
/// has a turn in between.
pub const OVERDUE_MAX: usize = 256;

/// First PING of a client, ahead of the regular interval, so that its round trip is known early.
pub const FIRST_PING: Duration = Duration::from_secs(2);

/// A PING is due at least this often even if the client keeps talking, to measure the round trip.
pub const RTT_INTERVAL: Duration = Duration::from_secs(3600);

const _: () = {
    assert!(SHARDS_MAX <= u16::MAX as usize);
    assert!(BATCH_BYTES <= LANE_BYTES_MAX);
    assert!(LANE_BYTES_MAX <= LANES_BYTES_MAX);
    assert!(LANE_BATCHES.is_power_of_two());
    assert!(CONTROL_FRAMES_MIN <= CONTROL_FRAMES);
    assert!(LANE_BYTES_MAX / BATCH_BYTES <= LANE_BATCHES);
    assert!(CHUNK_BYTES <= TURN_OUTPUT_BYTES);
    assert!(TURN_OUTPUT_BYTES <= TURN_OUTPUT_BYTES_MAX);
    assert!(GATHER_BYTES <= GATHER_BYTES_MAX);
    assert!(STALL_PERCENT < 100);
    assert!(SIZE_DIGITS_MAX < 10);
    assert!(ANSWERS_ACCOUNT_BYTES_MAX <= ANSWERS_BYTES_MAX);
    assert!(REPLIES_BYTES_MAX <= REPLIES_SHARD_BYTES_MAX);
};

/// What an operator may bound. Zero never means "no limit" here: that is `None`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Longest control line of a client, its line end not counted (`max_control_line`).
    pub control_line: usize,
    /// Largest payload including headers (`max_payload`).
    pub payload: usize,
    /// Output waiting for one connection before it is a slow consumer (`max_pending`).
    pub pending: usize,
    /// Connections of the process (`max_connections`).
    pub connections: Option<usize>,
    /// Subscriptions of one connection (`max_subscriptions`).
    pub subscriptions: Option<usize>,
    /// Tokens of one subscription's pattern (`max_subscription_tokens`).
    pub subscription_tokens: Option<usize>,
    /// Silence after which a connection is pinged (`ping_interval`).
    pub ping_interval: Duration,
    /// Unanswered PINGs that end a connection (`ping_max`).
    pub pings_out: u32,
    /// A write that makes no progress for this long ends the connection (`write_deadline`).
    pub write_deadline: Duration,
    /// A client that must authenticate has this long to do so (`authorization.timeout`).
    pub auth_timeout: Duration,
    /// A proxy that speaks for a client has this long to say so (`proxy_protocol`); `None` if there
    /// are no proxies.
    pub proxied: Option<Duration>,
    /// Whether a publisher is paused while all its receivers have fallen behind; else they become
    /// slow consumers sooner (`no_fast_producer_stall`).
    pub stalls: bool,
}

impl Default for Limits {
    /// The defaults of nats-server 2.15.
    fn default() -> Self {
        Self {
            control_line: 4096,
            payload: 1 << 20,
            pending: 64 << 20,
            connections: Some(64 << 10),
            subscriptions: None,
            subscription_tokens: None,
            ping_interval: Duration::from_secs(120),
            pings_out: 2,
            write_deadline: Duration::from_secs(10),
            auth_timeout: Duration::from_secs(2),
            proxied: None,
            stalls: true,
        }
    }
}
