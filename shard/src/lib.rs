//! The data plane of ringbus: what one core runs, from the first byte of a publish to the last byte
//! of its deliveries.

pub mod clock;
pub mod delivery;
pub mod engine;
pub mod error;
pub mod event;
pub mod ids;
pub mod interest;
pub mod io;
pub mod limits;
pub mod mesh;
pub mod options;
pub mod outbox;
pub mod session;
pub mod subject;
pub mod wire;
