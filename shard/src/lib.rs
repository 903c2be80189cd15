//! The data plane of ringbus: what one core runs, from the first byte of a publish to the last byte
//! of its deliveries.

pub mod clock;
pub mod delivery;
pub mod error;
pub mod ids;
pub mod io;
pub mod limits;
