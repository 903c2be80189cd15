//! Who this server is: what INFO, the log and monitoring say about it.
//!
//! The ID is the public half of a fresh Ed25519 key in nkey text form, as with nats-server, so that
//! clients and tools which check its shape accept it, and the server signs with it what it asks.

use crate::auth::nkey::{KeyPair, Role};
use crate::cli::NATS_VERSION;

/// What INFO says about this server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// 56 characters beginning with `N`, new with each start.
    pub server_id: String,
    /// The operator's name for it, or the ID.
    pub server_name: String,
    /// The version of nats-server whose behaviour this server has.
    pub version: String,
    /// The source it was built from, if the build was told.
    pub git_commit: Option<String>,
    /// nats-server puts its Go version here.
    pub go: String,
    /// Host that clients are told: the listen address or what the operator advertises.
    pub host: String,
    /// Port that clients are told.
    pub port: u16,
}

impl Identity {
    /// A new identity. Host, port and URLs are known once the listener is.
    ///
    /// # Errors
    /// Returns the system's error if it has no random numbers to give.
    pub fn new(name: Option<&str>) -> Result<Self, getrandom::Error> {
        Ok(Self::of(&KeyPair::generate(Role::Server)?, name))
    }

    /// The identity of the server that signs with this key.
    #[must_use]
    pub fn of(key: &KeyPair, name: Option<&str>) -> Self {
        let server_id = key.public();
        let server_name = name.filter(|name| !name.is_empty()).unwrap_or(&server_id).to_owned();
        Self {
            server_id,
            server_name,
            version: NATS_VERSION.to_owned(),
            git_commit: option_env!("RINGBUS_GIT_COMMIT").map(str::to_owned),
            go: "rust".to_owned(),
            host: String::new(),
            port: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::nkey::PublicKey;

    #[test]
    fn an_id_has_the_shape_of_a_server_key() {
        // Taken from a log of nats-server 2.15.1.
        let known = "NACHHV7YDWA7WFDQMD42T43TOIL7YX3W2BTWIUQC5JLCDORWPQYQDUH6";
        assert_eq!(PublicKey::parse(known).unwrap().role, Role::Server);

        let identity = Identity::new(None).unwrap();
        assert_eq!(identity.server_id.len(), 56);
        assert!(identity.server_id.starts_with('N'));
        assert_eq!(identity.server_name, identity.server_id);
        assert_ne!(identity.server_id, Identity::new(None).unwrap().server_id);
        assert_eq!(Identity::new(Some("a")).unwrap().server_name, "a");
    }
}
