//! The twin of `io`: whole shards in one thread, under a clock and sockets that a seed decides
//! about.
//!
//! A run is a pure function of its seed: nothing here reads a clock, a file or the environment.
//! What cannot happen here and can in production is only what the processor reorders: that is for
//! loom, in `mesh`.
//!
//! | file | what |
//! | --- | --- |
//! | `net.rs` | sockets: bytes each way, and ends that close |
//! | `driver.rs` | one shard's turn, step by step, as `io`'s driver does it |
//! | `world.rs` | all shards, sockets and the clock; what must hold of them at any time |
//! | `client.rs` | a client: what it asked for, and a reader of what it gets |
//! | `shadow.rs`, `deeds.rs`, `copies.rs` | what must come of what they do, in all accounts |
//! | `seen.rs` | how much of that was checked |
//! | `workload.rs` | what clients do, in proportions that a seed decides about |
//! | `simulation.rs` | the loop: somebody does something, then everything is checked |
//! | `causality.rs` | one rule by itself: who knows of a subscription can count on it |
//! | `tenants.rs` | accounts that share streams and services at random |
//! | `isolation.rs` | another rule: accounts have nothing to do with each other beyond that |
//! | `oracle` | who gets what, against a judge that is slow and obviously right |
//! | `fuzz.rs` | arbitrary calls of two shards |

pub mod fuzz;

#[cfg(test)]
mod causality;
#[cfg(test)]
mod client;
#[cfg(test)]
mod copies;
#[cfg(test)]
mod deeds;
#[cfg(test)]
mod driver;
#[cfg(test)]
mod isolation;
#[cfg(test)]
mod net;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod regressions;
#[cfg(test)]
mod seen;
#[cfg(test)]
mod shadow;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tenants;
#[cfg(test)]
mod workload;
#[cfg(test)]
mod world;
