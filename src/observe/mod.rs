//! What an operator sees of the process while it runs.

pub mod log;

pub mod clients;
