//! The data plane of ringbus: what one core runs, from the first byte of a publish to the last byte
//! of its deliveries.

pub mod clock;
pub mod delivery;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod ids;
pub mod limits;
pub mod subject;
pub mod wire;
