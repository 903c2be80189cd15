//! The only code that knows the kernel: rings, sockets, timers, threads.

pub mod probe;
