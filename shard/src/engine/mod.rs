//! The parts of a shard together.

mod timers;
pub use timers::{TimerKind, Timers};
