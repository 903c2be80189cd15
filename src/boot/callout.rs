//! The server as one who asks a service who may connect: its keys, and what it says of itself.

use std::sync::Arc;

use ringbus_shard::io::Control;

use super::Server;
use crate::auth::jwt::authorization::ServerId;
use crate::auth::nkey::{KeyPair, Role};
use crate::auth::xkey::CurveKey;
use crate::identity::Identity;
use crate::system::callout::Carrier;

/// What this server signs and seals with, new with each start.
///
/// # Errors
/// Returns the line for the operator.
pub(super) fn keys() -> Result<(KeyPair, CurveKey), String> {
    let keys = KeyPair::generate(Role::Server).and_then(|key| Ok((key, CurveKey::generate()?)));
    keys.map_err(|error| format!("cannot make a server ID: {error}"))
}

impl Server<'_> {
    /// Has judges ask through these shards.
    pub(super) fn ask_through(
        &self,
        control: Option<Control>,
        (key, xkey): (KeyPair, CurveKey),
        identity: &Identity,
    ) {
        let Some(control) = control else { return };
        let courier = Arc::new(Carrier::new(control));
        let patience = *self.plan.settings.auth.timeout;
        self.desk.open(key, xkey, self.introduced(identity), patience, courier);
    }

    /// What the server says of itself when it asks who somebody is.
    pub(super) fn introduced(&self, identity: &Identity) -> ServerId {
        ServerId {
            name: identity.server_name.clone(),
            host: identity.host.clone(),
            id: identity.server_id.clone(),
            version: identity.version.clone(),
            tags: (*self.plan.settings.names.server_tags).clone(),
            ..ServerId::default()
        }
    }
}
