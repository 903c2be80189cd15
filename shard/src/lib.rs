//! The data plane of ringbus: what one core runs, from the first byte of a publish to the last byte
//! of its deliveries.

pub mod clock;
pub mod delivery;
pub mod engine;
pub mod error;
pub mod event;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod ids;
pub mod interest;
pub mod io;
pub mod limits;
pub mod mesh;
pub mod options;
pub mod outbox;
pub mod session;
#[cfg(any(test, fuzzing))]
pub mod sim;
pub mod subject;
pub mod wire;
