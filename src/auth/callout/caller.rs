//! What is known of a client that wants in, as far as a service is told.

use std::sync::Arc;

use data_encoding::BASE64;
use ringbus_shard::options::{ConnectionKind, Offer};
use ringbus_shard::transport::Facts;
use ringbus_shard::wire::secret::Secret;

use crate::auth::jwt::authorization::{ClientInformation, ClientTls, Offered};

/// A client that wants in.
pub struct Caller {
    /// The user that it named and who exists, be the password right or wrong.
    pub(super) found: Option<String>,
    /// How the log calls it.
    pub(super) shown: String,
    /// Without claims: these count in operator mode only.
    pub(super) offered: Offered,
    /// What it signed.
    nonce: Vec<u8>,
    pub(super) client: ClientInformation,
    /// That of its claims.
    key: String,
    secured: Option<Arc<Facts>>,
    /// Whether it comes through a proxy that is trusted.
    pub(super) vouched: bool,
}

/// There are secrets in it.
impl std::fmt::Debug for Caller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Caller").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A user that a client becomes which offers nothing.
#[derive(Clone, Debug)]
pub(in crate::auth) enum Presented {
    /// With this name and this password.
    Named(String, Secret),
    /// With this key.
    Keyed(String),
}

impl Caller {
    /// Whoever makes this offer. If it named no user and becomes one for that, it is taken for that
    /// user, and what that user would have said is what it said.
    pub(in crate::auth) fn new(
        offer: &Offer<'_>,
        found: Option<String>,
        presented: Option<Presented>,
        vouched: bool,
    ) -> Self {
        let connect = offer.connect;
        let mut offered = Offered {
            jwt: String::new(),
            nkey: connect.nkey.clone(),
            sig: connect.sig.expose().to_owned(),
            auth_token: connect.auth_token.expose().to_owned(),
            user: connect.user.clone(),
            pass: connect.pass.expose().to_owned(),
            name: connect.name.clone(),
            lang: connect.lang.clone(),
            version: connect.version.clone(),
            protocol: connect.protocol,
        };
        match presented {
            Some(Presented::Named(name, password)) => {
                password.expose().clone_into(&mut offered.pass);
                offered.user = name;
            }
            Some(Presented::Keyed(key)) => offered.nkey = key,
            None => {}
        }
        let address = offer.address.ip().to_canonical();
        let client = ClientInformation {
            host: address.to_string(),
            id: offer.client.get(),
            name: connect.name.clone(),
            kind: "Client".to_owned(),
            client_type: client_type(offer.kind).to_owned(),
            ..ClientInformation::default()
        };
        Self {
            found,
            shown: format!("{} - cid:{} - ", offer.address, offer.client),
            offered,
            nonce: offer.nonce.to_vec(),
            client,
            key: String::new(),
            secured: offer.secured.cloned(),
            vouched,
        }
    }

    /// The same with claims, whose key it has: what they say of it.
    pub(in crate::auth) fn with_claims(
        mut self,
        jwt: &Secret,
        key: &str,
        tags: &[String],
        name: &str,
    ) -> Self {
        jwt.expose().clone_into(&mut self.offered.jwt);
        key.clone_into(&mut self.key);
        tags.clone_into(&mut self.client.tags);
        name.clone_into(&mut self.client.name_tag);
        self
    }

    /// Who it is, as far as it said so.
    pub(in crate::auth) fn user(&self) -> String {
        let Offered { nkey, user, jwt, auth_token, .. } = &self.offered;
        if !nkey.is_empty() {
            return nkey.clone();
        }
        if !user.is_empty() {
            return user.clone();
        }
        if !jwt.is_empty() {
            return self.key.clone();
        }
        if auth_token.is_empty() { String::new() } else { "[REDACTED]".to_owned() }
    }

    /// The same, with what it signed, if it signed anything.
    pub(super) fn information(&self) -> ClientInformation {
        let signed = !self.offered.sig.is_empty();
        let nonce = || String::from_utf8_lossy(&self.nonce).into_owned();
        ClientInformation {
            user: self.user(),
            nonce: if signed { nonce() } else { String::new() },
            ..self.client.clone()
        }
    }

    /// Its TLS, if it has any. Of its certificates only its own: which of the others were needed
    /// to verify that one is not known, and a service may not take for verified what was not.
    pub(super) fn tls(&self) -> Option<ClientTls> {
        let facts = self.secured.as_ref()?;
        Some(ClientTls {
            version: facts.version.to_owned(),
            cipher: facts.cipher.clone(),
            certs: Vec::new(),
            verified_chains: facts.certificate().map(|der| vec![pem(der)]).into_iter().collect(),
        })
    }
}

const fn client_type(kind: ConnectionKind) -> &'static str {
    match kind {
        ConnectionKind::Standard | ConnectionKind::InProcess => "nats",
        ConnectionKind::Websocket => "websocket",
        ConnectionKind::Mqtt | ConnectionKind::MqttWebsocket => "mqtt",
        ConnectionKind::Leafnode | ConnectionKind::LeafnodeWebsocket => "",
    }
}

/// A certificate as text, in lines of 64 characters.
fn pem(der: &[u8]) -> String {
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    // 48 bytes are 64 characters.
    for line in der.chunks(48) {
        BASE64.encode_append(line, &mut text);
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use ringbus_shard::wire::connect::ConnectOptions;

    use super::*;

    #[test]
    fn only_the_certificate_that_was_verified_is_shown_as_such() {
        let shown = |certificates: &[&[u8]]| {
            let certificates = certificates.iter().map(|der| der.to_vec()).collect();
            let facts = Arc::new(Facts { certificates, ..Facts::default() });
            let connect = ConnectOptions::default();
            let offer = Offer { secured: Some(&facts), ..Offer::of(&connect) };
            Caller::new(&offer, None, None, false).tls().unwrap()
        };
        let own = shown(&[b"own", b"anything"]);
        assert_eq!(own.verified_chains, [[pem(b"own")]]);
        assert!(own.certs.is_empty());
        assert!(shown(&[]).verified_chains.is_empty());
    }

    #[test]
    fn certificates_are_lines_of_text() {
        let text = pem(&[0; 50]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            ["-----BEGIN CERTIFICATE-----", &"A".repeat(64), "AAA=", "-----END CERTIFICATE-----",]
        );
    }
}
