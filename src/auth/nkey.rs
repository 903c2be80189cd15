//! Keys in the text form of nkeys: a letter for who has it, 32 bytes, a checksum, in base 32.
//!
//! Text and signatures come from peers: every length is checked before anything is done with them.

use std::fmt;

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
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

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// A public key. No secret.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct PublicKey {
    /// Who has it.
    pub role: Role,
    bytes: [u8; 32],
}

impl PublicKey {
    /// The key that consists of these bytes.
    #[must_use]
    pub const fn new(role: Role, bytes: [u8; 32]) -> Self {
        Self { role, bytes }
    }

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

    /// The key itself.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Whether `signature` is one of `message` by who has the other half. Never for a key that
    /// everybody could sign for, such as one of zeros.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let Ok(key) = VerifyingKey::from_bytes(&self.bytes) else { return false };
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        self.role != Role::Curve && key.verify_strict(message, &signature).is_ok()
    }
}

/// The text form.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&text(self.role, &self.bytes))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
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

    /// A new pair.
    ///
    /// # Errors
    ///
    /// Returns the system's error if it has no random numbers to give.
    pub fn generate(role: Role) -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        Ok(Self::new(role, &seed))
    }

    /// Reads the text form of a seed, `S…`.
    #[must_use]
    pub fn from_seed(text: &str) -> Option<Self> {
        let (role, seed) = seed(text)?;
        Some(Self::new(role, &seed))
    }

    /// The text form of the half that everybody may know.
    #[must_use]
    pub fn public(&self) -> String {
        text(self.role, self.key.verifying_key().as_bytes())
    }

    /// Who has it.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(message).to_bytes()
    }
}

/// Reads the text form of a seed, `S…`: whose it is, and what it says.
pub(super) fn seed(text: &str) -> Option<(Role, Zeroizing<[u8; 32]>)> {
    // 36 bytes in base 32.
    if text.len() != 58 {
        return None;
    }
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
    Some((role, Zeroizing::new(seed.try_into().ok()?)))
}

/// Reads a signature: in base 64 for URLs without padding, or in the usual one with it.
#[must_use]
pub fn signature(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    if text.len() > 2 * SIGNATURE_BYTES {
        return None;
    }
    let text = text.as_bytes();
    let bytes = BASE64URL_NOPAD.decode(text).or_else(|_| BASE64.decode(text)).ok()?;
    bytes.try_into().ok()
}

fn text(role: Role, key: &[u8; 32]) -> String {
    let mut bytes = Vec::with_capacity(35);
    bytes.push(role.prefix());
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

/// What the fuzzer does with a file of bytes: as the text of a key, of a seed, and of a signature.
/// What is read can be written again, and nothing that was not signed is taken for signed.
pub fn fuzz(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(key) = PublicKey::parse(&text) {
        assert_eq!(key.to_string(), text);
        assert!(!key.verify(data, &[0; SIGNATURE_BYTES]));
    }
    if let Some(pair) = KeyPair::from_seed(&text) {
        assert!(PublicKey::parse(&text).is_none());
        let public = PublicKey::parse(&pair.public()).expect("it was just written");
        assert_eq!(public.verify(data, &pair.sign(data)), pair.role() != Role::Curve);
    }
    if let Some(signature) = signature(&text) {
        assert!(!PublicKey::new(Role::User, [7; 32]).verify(data, &signature));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Made with the program `nk`, and what it signs with that.
    const SEED: &str = "SUAMX7SLAPHXB7Z57KQF4TVZAYLWKDOHUUTJ4GS6ZE72IW7EYLZDM2YVN4";
    const PUBLIC: &str = "UBINYEGO2GOZFFKLRPD53UCERVVKIIQBBW3RYEWX274ERT6CMFSZOW6M";
    const HELLO: &str = "2d1Z7xmNrEReo5fguh5-5p_uwy5L2pblgBQOn4isAJLVjcLfJf9xFSmVzg49FC9ZBPJUi7hO-\
                         ara5xZ0hLkgDw";

    #[test]
    fn the_checksum_is_the_one_of_nkeys() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
    }

    #[test]
    fn keys_and_signatures_of_the_tools_are_read() {
        let pair = KeyPair::from_seed(SEED).unwrap();
        assert_eq!((pair.role(), &*pair.public()), (Role::User, PUBLIC));
        let public = PublicKey::parse(PUBLIC).unwrap();
        assert_eq!(public.to_string(), PUBLIC);
        let signed = signature(HELLO).unwrap();
        assert_eq!(pair.sign(b"hello"), signed);
        assert!(public.verify(b"hello", &signed) && !public.verify(b"hullo", &signed));
        let usual = BASE64.encode(&signed);
        assert_eq!(signature(&usual), Some(signed), "the usual base 64 is taken, too");
        assert!(!format!("{pair:?}").contains(SEED));
    }

    #[test]
    fn every_role_has_its_letter() {
        for (role, letter) in Role::ALL.into_iter().zip("ACXONU".chars()) {
            let key = PublicKey::new(role, [letter as u8; 32]);
            let text = key.to_string();
            assert!(text.starts_with(letter) && text.len() == 56, "{text}");
            assert_eq!(PublicKey::parse(&text), Some(key));
            assert!(Role::ALL.into_iter().all(|other| other.has(&text) == (other == role)));
        }
        assert_ne!(
            KeyPair::generate(Role::Server).unwrap().public(),
            KeyPair::generate(Role::Server).unwrap().public()
        );
    }

    #[test]
    fn what_is_no_key_is_none() {
        let typo = PUBLIC.replacen('B', "C", 1);
        let (small, long, blank) = (PUBLIC.to_lowercase(), "A".repeat(57), format!("{PUBLIC} "));
        for text in ["", "U", "UA", &typo, &small, &long, &blank, SEED] {
            assert_eq!(PublicKey::parse(text), None, "{text}");
        }
        for text in ["", "S", "SU", PUBLIC, &SEED.replacen('7', "6", 1), &format!("{SEED}A")] {
            assert!(KeyPair::from_seed(text).is_none(), "{text}");
        }
    }

    /// A key that is too short, but has a right checksum, ended the server.
    #[test]
    fn advisory_2026_23_short_keys_are_none() {
        for length in 0..40_usize {
            let mut bytes = vec![Role::User.prefix()];
            bytes.resize(1 + length, 7);
            bytes.extend_from_slice(&crc16(&bytes).to_le_bytes());
            let text = BASE32_NOPAD.encode(&bytes);
            assert_eq!(PublicKey::parse(&text).is_some(), length == 32, "{length}");
            assert_eq!(Role::User.has(&text), length == 32, "{length}");
        }
        for length in 0..100_usize {
            let text = BASE64URL_NOPAD.encode(&vec![7; length]);
            assert_eq!(signature(&text).is_some(), length == SIGNATURE_BYTES, "{length}");
        }
    }

    /// Whoever has such a key in a configuration does not let in everybody.
    #[test]
    fn weak_keys_verify_nothing() {
        let one = std::array::from_fn(|at| u8::from(at == 0));
        for key in [[0; 32], one] {
            let key = PublicKey::new(Role::User, key);
            let one = std::array::from_fn::<u8, SIGNATURE_BYTES, _>(|at| u8::from(at == 0));
            for signature in [[0; SIGNATURE_BYTES], one] {
                assert!(!key.verify(b"nonce", &signature));
            }
        }
    }

    #[test]
    fn corpus_of_nkey() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/nkey");
        let entries: Vec<_> = corpus.read_dir().expect("the corpus is there").collect();
        assert!(entries.len() >= 4, "{} files in {}", entries.len(), corpus.display());
        for entry in entries {
            let path = entry.expect("the corpus can be listed").path();
            fuzz(&std::fs::read(&path).expect("a file of the corpus can be read"));
        }
    }
}
