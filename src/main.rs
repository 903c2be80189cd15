//! The `ringbus` binary.

fn main() {}
