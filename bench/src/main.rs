//! Black-box load generator and comparison harness for NATS servers.

fn main() {}
