//! The `ringbus` binary; called `nats-server`, it answers to that name.

use std::process::ExitCode;

fn main() -> ExitCode {
    ringbus::boot::run(std::env::args_os(), &ringbus::data_plane::Shards)
}
