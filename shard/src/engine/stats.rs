//! What a shard counts. Plain numbers, summed up when somebody asks.

/// Counters of one shard since it started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Messages published by this shard's connections.
    pub in_msgs: u64,
    /// Their payload bytes.
    pub in_bytes: u64,
    /// Connections accepted.
    pub opened: u64,
    /// Connections that ended, those on their way out included.
    pub closed: u64,
    /// Connections closed because more than `max_pending` waited for them.
    pub slow_pending: u64,
    /// Connections closed because their socket took too long.
    pub slow_deadline: u64,
    /// Connections closed because they left PINGs unanswered.
    pub stale: u64,
    /// Times a publisher was paused because everybody it reached had fallen behind.
    pub stalls: u64,
    /// Times a publisher was paused because a lane to another shard was full.
    pub lane_waits: u64,
    /// Handshakes that were refused because more waited than could be answered in time.
    pub handshakes_refused: u64,
    /// Messages sent on to another shard because the queue members here were gone.
    pub sent_on: u64,
}
