//! Who this server is: what INFO, the log and monitoring say about it.
//!
//! The ID is the public half of a fresh Ed25519 key in nkey text form, as with nats-server, so that
//! clients and tools which check its shape accept it and the server can later sign with it.

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::SigningKey;

use crate::cli::NATS_VERSION;

/// First byte of a server's public key: it makes the text begin with `N`.
const PREFIX_SERVER: u8 = 13 << 3;

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
        let mut seed = zeroize::Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        let public = SigningKey::from_bytes(&seed).verifying_key();
        let server_id = encode(PREFIX_SERVER, public.as_bytes());
        let server_name = name.filter(|name| !name.is_empty()).unwrap_or(&server_id).to_owned();
        Ok(Self {
            server_id,
            server_name,
            version: NATS_VERSION.to_owned(),
            git_commit: option_env!("RINGBUS_GIT_COMMIT").map(str::to_owned),
            go: "rust".to_owned(),
            host: String::new(),
            port: 0,
        })
    }
}

/// nkey text form: prefix, key, CRC-16 in little endian, all in base 32.
fn encode(prefix: u8, key: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(35);
    bytes.push(prefix);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
    BASE32_NOPAD.encode(&bytes)
}

/// CRC-16 with polynomial 0x1021 and start value 0 (XMODEM).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_nkeys() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn an_id_has_the_shape_of_a_server_key() {
        // Taken from a log of nats-server 2.15.1.
        let known = "NACHHV7YDWA7WFDQMD42T43TOIL7YX3W2BTWIUQC5JLCDORWPQYQDUH6";
        let bytes = BASE32_NOPAD.decode(known.as_bytes()).unwrap();
        let key: &[u8; 32] = bytes.get(1..33).unwrap().try_into().unwrap();
        assert_eq!(encode(PREFIX_SERVER, key), known);

        let identity = Identity::new(None).unwrap();
        assert_eq!(identity.server_id.len(), 56);
        assert!(identity.server_id.starts_with('N'));
        assert_eq!(identity.server_name, identity.server_id);
        assert_ne!(identity.server_id, Identity::new(None).unwrap().server_id);
        assert_eq!(Identity::new(Some("a")).unwrap().server_name, "a");
    }
}
