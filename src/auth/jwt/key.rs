//! Keys in the text form of nkeys: a letter for who has it, 32 bytes, a checksum, in base 32.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// Who has a key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// `A…`
    Account,
    /// `C…`
    Cluster,
    /// `X…`, for encryption
    Curve,
    /// `O…`
    Operator,
    /// `N…`
    Server,
    /// `U…`
    User,
}

const SEED: u8 = 18 << 3;

impl Role {
    const ALL: [Self; 6] =
        [Self::Account, Self::Cluster, Self::Curve, Self::Operator, Self::Server, Self::User];

    const fn prefix(self) -> u8 {
        match self {
            Self::Account => 0,
            Self::Cluster => 2 << 3,
            Self::Curve => 23 << 3,
            Self::Operator => 14 << 3,
            Self::Server => 13 << 3,
            Self::User => 20 << 3,
        }
    }

    fn of(prefix: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.prefix() == prefix)
    }

    /// Whether `text` is a public key of such a holder.
    #[must_use]
    pub fn has(self, text: &str) -> bool {
        PublicKey::parse(text).is_some_and(|key| key.role == self)
    }
}

/// A public key.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct PublicKey {
    /// Who has it.
    pub role: Role,
    bytes: [u8; 32],
}

impl PublicKey {
    /// Reads the text form; nothing if it is not exactly that.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // 35 bytes in base 32.
        if text.len() != 56 {
            return None;
        }
        let raw = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
        let (bytes, sum) = raw.split_last_chunk::<2>()?;
        if crc16(bytes).to_le_bytes() != *sum {
            return None;
        }
        let (prefix, bytes) = bytes.split_first()?;
        Some(Self { role: Role::of(*prefix)?, bytes: bytes.try_into().ok()? })
    }

    /// Whether `signature` is one of `message` by who has the other half.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.bytes) else { return false };
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.role != Role::Curve && key.verify_strict(message, &signature).is_ok()
    }
}

/// Both halves of a key that signs.
pub struct KeyPair {
    role: Role,
    key: SigningKey,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &self.public()).finish_non_exhaustive()
    }
}

impl KeyPair {
    /// The pair that follows from these bytes.
    #[must_use]
    pub fn new(role: Role, seed: &[u8; 32]) -> Self {
        Self { role, key: SigningKey::from_bytes(seed) }
    }

    /// Reads the text form of a seed, `S…`.
    #[must_use]
    pub fn from_seed(text: &str) -> Option<Self> {
        let raw = Zeroizing::new(BASE32_NOPAD.decode(text.as_bytes()).ok()?);
        let (bytes, sum) = raw.split_last_chunk::<2>()?;
        if crc16(bytes).to_le_bytes() != *sum {
            return None;
        }
        let (&[first, second], seed) = bytes.split_first_chunk::<2>()?;
        if first & 0xf8 != SEED {
            return None;
        }
        let role = Role::of((first & 7) << 5 | (second & 0xf8) >> 3)?;
        Some(Self::new(role, seed.try_into().ok()?))
    }

    /// The text form of the half that everybody may know.
    #[must_use]
    pub fn public(&self) -> String {
        let mut bytes = Vec::with_capacity(35);
        bytes.push(self.role.prefix());
        bytes.extend_from_slice(self.key.verifying_key().as_bytes());
        bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
        BASE32_NOPAD.encode(&bytes)
    }

    /// Who has it.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

/// CRC-16 with polynomial 0x1021 and start value 0 (XMODEM).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
        })
    })
}
