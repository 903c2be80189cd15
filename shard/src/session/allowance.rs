//! What a client may have: by the rules of its user, of its account and of the server, whichever is
//! narrowest; and its place among the clients of its account.

use crate::account::{Allowance, Place};
use crate::engine::Exchange;
use crate::error::Violation;

use super::client::{ClientSession, Flow};

/// What holds for one client.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    /// Subscriptions that it may have.
    pub(super) subscriptions: Option<usize>,
    /// Its place among the clients of its account, if those are bounded.
    place: Option<Place>,
}

impl ClientSession {
    /// Takes a place in its account, and what it may have there.
    ///
    /// # Errors
    ///
    /// With what follows, if it cannot stay.
    pub(super) fn take_place(&mut self, exchange: &mut Exchange) -> Result<(), Flow> {
        let held = self.allowed.place.take();
        let terms = exchange.options.accounts.places(self.grant.account);
        if let Some(places) = terms.or(self.grant.places.as_ref()) {
            let Some(place) = places.keep(held) else {
                return Err(self.violated(exchange, Violation::MaxAccountConnections));
            };
            self.allowed.place = Some(place);
        }
        self.take_allowance(exchange);
        // Who may have none cannot be served; who has exactly as many as allowed can.
        let most = self.allowed.subscriptions;
        if most.is_some_and(|most| most == 0 || self.subscriptions.len() > most) {
            let _ = self.violated(exchange, Violation::MaxSubscriptions);
            return Err(Flow::Close(crate::error::CloseReason::MaxSubscriptions));
        }
        Ok(())
    }

    /// The bounds of a client of which it may not be known yet who it is.
    pub(super) fn take_allowance(&mut self, exchange: &Exchange) {
        let limits = &exchange.options.limits;
        let server =
            Allowance { subscriptions: limits.subscriptions, payload: Some(limits.payload) };
        let account = exchange.options.accounts.allowance(self.grant.account);
        let all = server.and(account).and(self.grant.allowance);
        self.allowed.subscriptions = all.subscriptions;
        self.parse_limits.payload = all.payload.unwrap_or(limits.payload);
    }

    /// It is no client of its account any more.
    pub(super) fn give_place_back(&mut self) {
        self.allowed = Allowed::default();
    }
}
