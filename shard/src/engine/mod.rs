//! The parts of a shard together.
//!
//! | file | what |
//! | --- | --- |
//! | [`shard`](Shard) | events in, work to do out |
//! | [`exchange`](Exchange) | what all connections of a shard have between them |
//! | [`peers`](Peers) | the other shards: lanes, and what waits for room on them |
//! | [`subscriptions`](Subscriptions) | the table of this shard's subscriptions |
//! | [`timers`](Timers) | what is due, to the next 4 ms |
//! | [`command`](Command) | what the driver must do to sockets |
//! | [`stats`](Stats), [`tally`](Tally) | what is counted, of the shard and of each account |
//! | [`view`](Sighting), [`history`](History) | connections as an operator sees them, and those that ended |

mod command;
#[cfg(test)]
mod departures;
mod exchange;
mod history;
mod peers;
mod shard;
mod stats;
mod subscriptions;
mod tally;
#[cfg(test)]
mod tests;
mod timers;
mod view;

pub use command::Command;
pub use exchange::Exchange;
pub use history::{ClosedView, History};
pub use peers::{Peers, Taken};
pub use shard::{Shard, Treated, Treatment};
pub use stats::Stats;
pub use subscriptions::{Kin, SHORT_SID, Shadow, SpacedSid, Subscription, Subscriptions};
pub use tally::{Tallies, Tally};
pub use timers::{TimerKind, Timers};
pub use view::{ConnectionView, Sighting, SubscriptionView};
