//! A client's certificate, as `/connz` shows it.

use data_encoding::HEXLOWER;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::tls::{certificate, clients};

/// What tells it from others.
#[derive(Clone, Debug, Serialize)]
pub(super) struct PeerCert {
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    spki_sha256: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cert_sha256: String,
}

impl PeerCert {
    /// Of a certificate in DER.
    pub(super) fn of(der: &[u8]) -> Self {
        let key = clients::pin(der).map(|pin| HEXLOWER.encode(&pin));
        Self {
            subject: certificate::subject(der).unwrap_or_default(),
            spki_sha256: key.unwrap_or_default(),
            cert_sha256: HEXLOWER.encode(&Sha256::digest(der)),
        }
    }
}
