//! The `ringbus` binary; called `nats-server`, it answers to that name.

use std::process::ExitCode;

/// Gives the memory of closed connections back to the system, which glibc's allocator does not, and
/// has no lock that shards could meet at.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ringbus::boot::run(std::env::args_os(), &ringbus::data_plane::Shards)
}
