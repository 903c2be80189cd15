//! What `-v` prints.

use super::Program;

/// The version of nats-server whose behaviour this server has. Clients switch features by it.
pub const NATS_VERSION: &str = "2.15.1";

/// Suites that start a `nats-server` parse its line to the byte.
pub(super) fn text(program: &Program) -> String {
    if program.is_nats_server() {
        format!("nats-server: v{NATS_VERSION}\n")
    } else {
        let own = env!("CARGO_PKG_VERSION");
        format!("ringbus: v{own} (nats-server v{NATS_VERSION} compatible)\n")
    }
}
