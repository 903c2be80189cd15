//! A session of the server itself: it speaks the client protocol from a thread of this process, in
//! an account that it was given, and publishes what clients may not.
//!
//! It is none of the clients: not counted, not listed, not pinged, not judged, not reported.

use crate::clock::Now;
use crate::engine::Exchange;
use crate::ids::{ClientId, ConnId};
use crate::limits::{INTERNAL_LINE_MAX, INTERNAL_PAYLOAD_MAX};
use crate::options::Grant;

use super::client::{ClientSession, Peer, Phase};

impl ClientSession {
    /// A session of the server, connected from the first byte on.
    pub fn open_internal(exchange: &mut Exchange, now: Now, conn: ConnId, grant: Grant) -> Self {
        let nowhere = ([0, 0, 0, 0], 0).into();
        let peer = Peer { client: ClientId::new(0), address: nowhere };
        let mut session = Self::new(exchange, now, conn, peer);
        exchange.set_account(conn, grant.account);
        session.internal = true;
        // What clients publish is mapped; the server means what it says.
        session.mappings = None;
        session.imports = None;
        session.grant = grant;
        session.phase = Phase::Connected;
        session.connect.verbose = false;
        session.parse_limits.headers = true;
        // What bounds clients does not bound the server.
        session.parse_limits.payload = INTERNAL_PAYLOAD_MAX;
        session.parse_limits.control_line = INTERNAL_LINE_MAX;
        if let Some(outlet) = exchange.outlets.get_mut(conn) {
            outlet.headers = true;
            outlet.echo = false;
            outlet.internal = true;
        }
        session
    }

    /// Whether this is a session of the server itself.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.internal
    }
}
