//! The listener that the service manager opened before it started this process: systemd's socket
//! activation. While one server ends and the next begins, clients wait in its queue instead of
//! being refused.
//!
//! The environment says so: `LISTEN_PID` is the process that is meant, `LISTEN_FDS` how many
//! sockets it has, from descriptor 3 on. The socket stays the manager's: what is done to it here
//! is done to the manager's copy too.

use std::env;
use std::net::TcpListener;

use listenfd::ListenFd;
use socket2::SockRef;

/// What the operator can do about every other socket.
const REMEDY: &str =
    "give the socket unit a single ListenStream= with a port or an address, and Accept=no";

/// The listener, if there is one. Takes it out of the environment, which other threads read: to be
/// called before there are any.
///
/// # Errors
/// Returns the line to print if there are other sockets than that.
pub fn listener() -> Result<Option<TcpListener>, String> {
    let variable = |name| env::var(name).unwrap_or_default();
    if !is_passed(&variable("LISTEN_PID"), &variable("LISTEN_FDS"), std::process::id())? {
        return Ok(None);
    }
    let taken = ListenFd::from_env().take_tcp_listener(0).map_err(|error| unfit(&error))?;
    let Some(listener) = taken else { return Ok(None) };
    let socket = SockRef::from(&listener);
    match socket.is_listener() {
        Ok(true) => {}
        Ok(false) => return Err(unfit(&"it does not listen")),
        Err(error) => return Err(unfit(&error)),
    }
    // An accept of io_uring fails at once on a socket that does not block, instead of waiting.
    socket.set_nonblocking(false).map_err(|error| unfit(&error))?;
    Ok(Some(listener))
}

/// Whether a socket, and no more than one, was passed to the process `me`.
fn is_passed(pid: &str, count: &str, me: u32) -> Result<bool, String> {
    match (pid.parse() == Ok(me), count) {
        (false, _) | (true, "" | "0") => Ok(false),
        (true, "1") => Ok(true),
        (true, _) => Err(format!(
            "the service manager must pass one socket, to listen for clients, but LISTEN_FDS is \
             {count:?}: {REMEDY}"
        )),
    }
}

fn unfit(seen: &dyn std::fmt::Display) -> String {
    format!("the service manager must pass a TCP socket that listens: {seen}: {REMEDY}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_socket_for_this_very_process_counts() {
        for (pid, count) in [("", ""), ("", "1"), ("6", "1"), ("6", "9"), ("7", ""), ("7", "0")] {
            assert_eq!(is_passed(pid, count, 7), Ok(false), "{pid} {count}");
        }
        assert_eq!(is_passed("7", "1", 7), Ok(true));
        for count in ["2", "-1", "x", "4000000000"] {
            let why = is_passed("7", count, 7).unwrap_err();
            assert!(why.contains(&format!("but LISTEN_FDS is \"{count}\": give")), "{why}");
        }
    }
}
