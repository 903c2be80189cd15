//! Sessions of the server itself, and what it does to single clients.

use crate::clock::Now;
use crate::error::CloseReason;
use crate::ids::{ClientId, ConnId};
use crate::options::Grant;
use crate::session::ClientSession;

use super::Shard;

/// What an operator does to one client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Treatment {
    /// Its connection is closed.
    Kick,
    /// It is told that this server is about to stop taking clients.
    LameDuck,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Treated {
    /// It was done.
    Done,
    /// The client would not understand.
    Unable,
    /// There is no such client here.
    Unknown,
}

impl Shard {
    /// The server opened a session of its own.
    pub fn on_open_internal(&mut self, now: Now, grant: Grant) -> ConnId {
        let conn = self
            .seat_down(|exchange, conn| ClientSession::open_internal(exchange, now, conn, grant));
        self.internal.push(conn);
        conn
    }

    /// An operator wants something done to a client.
    pub fn on_treat(&mut self, now: Now, client: ClientId, treatment: Treatment) -> Treated {
        let mut open = self.seats.iter().filter(|seat| seat.open_client().is_some());
        let seat =
            open.find(|seat| seat.session.as_ref().is_some_and(|it| it.peer().client == client));
        let Some(session) = seat.and_then(|seat| seat.session.as_deref()) else {
            return Treated::Unknown;
        };
        match treatment {
            Treatment::Kick => {
                let conn = session.conn();
                self.close(now, conn, CloseReason::Kicked);
            }
            Treatment::LameDuck if !session.can_move() => return Treated::Unable,
            Treatment::LameDuck => session.lame_duck(&mut self.exchange),
        }
        Treated::Done
    }

    /// Whether a connection is one of the server itself.
    #[must_use]
    pub fn is_internal(&self, conn: ConnId) -> bool {
        self.internal.contains(&conn)
    }

    /// Subscriptions of clients: all but those that the server itself holds.
    #[must_use]
    pub fn subscriptions(&self) -> usize {
        let sessions = self.internal.iter().filter_map(|conn| self.seat(*conn)?.session.as_ref());
        let own: usize = sessions.map(|session| session.subscription_count()).sum();
        self.exchange.subscriptions.len() - own
    }
}
