//! Keys for encryption, and what is sealed with them: boxes of NaCl in the form of nkeys, which is
//! `xkv1`, 24 bytes that no other box had, and the box.
//!
//! A public key with which everybody would agree on the same secret, such as one of zeros, opens
//! and seals nothing.

use std::fmt;

use crypto_box::aead::{Aead as _, Nonce};
use crypto_box::{SalsaBox, SecretKey};
use curve25519_dalek::MontgomeryPoint;
use zeroize::Zeroizing;

use super::nkey::{self, PublicKey, Role};

const VERSION: &[u8] = b"xkv1";

/// Bytes that make a box different from all others.
const NONCE_BYTES: usize = 24;

/// Bytes that a sealed text is longer than the text.
pub const OVERHEAD_BYTES: usize = VERSION.len() + NONCE_BYTES + 16;

/// Both halves of a key that encrypts.
pub struct CurveKey {
    secret: SecretKey,
    public: PublicKey,
}

/// Why a text cannot be read or sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sealed {
    /// Too short for anything to be in it.
    Short,
    /// Sealed in another way.
    Version,
    /// Not by who should have sealed it, not for this key, or not as it was sealed.
    Wrong,
    /// No key to seal for.
    Key,
    /// The system has no random numbers to give.
    Random,
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Short => "nkeys: encrypted input is not valid",
            Self::Version => "nkeys: encrypted input wrong version",
            Self::Wrong => "nkeys: could not decrypt input",
            Self::Key => "nkeys: not a valid recipient public curve key",
            Self::Random => "no random numbers",
        })
    }
}

impl fmt::Debug for CurveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurveKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl CurveKey {
    /// The pair that follows from these bytes.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        let secret = SecretKey::from_bytes(*seed);
        let public = PublicKey::new(Role::Curve, *secret.public_key().as_bytes());
        Self { secret, public }
    }

    /// A new pair.
    ///
    /// # Errors
    ///
    /// Returns the system's error if it has no random numbers to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice())?;
        Ok(Self::new(&seed))
    }

    /// Reads the text form of a seed, `SX…`.
    #[must_use]
    pub fn from_seed(text: &str) -> Option<Self> {
        let (role, seed) = nkey::seed(text)?;
        (role == Role::Curve).then(|| Self::new(&seed))
    }

    /// The half that everybody may know.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Seals a text for who has the other half of that key.
    ///
    /// # Errors
    /// Returns why it cannot be sealed.
    pub fn seal(&self, text: &[u8], to: &PublicKey) -> Result<Vec<u8>, Sealed> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| Sealed::Random)?;
        self.seal_with(text, to, nonce)
    }

    fn seal_with(
        &self,
        text: &[u8],
        to: &PublicKey,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, Sealed> {
        let sealed = self.shared(to).ok_or(Sealed::Key)?;
        let sealed = sealed.encrypt(&Nonce::<SalsaBox>::from(nonce), text);
        let sealed = sealed.map_err(|_| Sealed::Key)?;
        Ok([VERSION, &nonce, &sealed].concat())
    }

    /// Opens what the holder of that key sealed.
    ///
    /// # Errors
    /// Returns why it cannot be opened.
    pub fn open(&self, sealed: &[u8], from: &PublicKey) -> Result<Vec<u8>, Sealed> {
        let (version, rest) = sealed.split_first_chunk::<4>().ok_or(Sealed::Short)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(Sealed::Short)?;
        if sealed.is_empty() {
            return Err(Sealed::Short);
        }
        if version != VERSION {
            return Err(Sealed::Version);
        }
        let shared = self.shared(from).ok_or(Sealed::Wrong)?;
        shared.decrypt(&Nonce::<SalsaBox>::from(*nonce), sealed).map_err(|_| Sealed::Wrong)
    }

    fn shared(&self, other: &PublicKey) -> Option<SalsaBox> {
        is_usable(other)
            .then(|| SalsaBox::new(&crypto_box::PublicKey::from(*other.bytes()), &self.secret))
    }
}

/// Whether a key is one for encryption, and one with which not everybody agrees on the same secret.
#[must_use]
pub fn is_usable(key: &PublicKey) -> bool {
    // Points of small order come to nothing when they are multiplied by any secret.
    let product = MontgomeryPoint(*key.bytes()).mul_clamped([0xa5; 32]);
    key.role == Role::Curve && product.0 != [0; 32]
}

/// What the fuzzer does with a file of bytes: opens it, and opens what it sealed.
pub fn fuzz(data: &[u8]) {
    let (ours, theirs) = (CurveKey::new(&[1; 32]), CurveKey::new(&[2; 32]));
    assert!(ours.open(data, theirs.public()).is_err(), "nobody sealed it");
    let (head, rest) = data.split_at(data.len().min(32));
    if let Ok(bytes) = <[u8; 32]>::try_from(head) {
        // A foreign key, which may be any point.
        let key = PublicKey::new(Role::Curve, bytes);
        let sealed = ours.seal(rest, &key);
        assert_eq!(sealed.is_ok(), is_usable(&key));
        if let Ok(sealed) = sealed {
            assert_eq!(ours.open(&sealed, &key).as_deref(), Ok(rest), "the secret is the same");
        }
    }
    let sealed = ours.seal(data, theirs.public()).expect("a usual key");
    assert_eq!(sealed.len(), data.len() + OVERHEAD_BYTES);
    assert_eq!(theirs.open(&sealed, ours.public()).as_deref(), Ok(data));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(seed: u8) -> CurveKey {
        CurveKey::new(&[seed; 32])
    }

    #[test]
    fn only_who_it_is_for_can_open_it() {
        let (ours, theirs, others) = (pair(1), pair(2), pair(3));
        let text = b"eyJ0eXAi";
        let sealed = ours.seal(text, theirs.public()).unwrap();
        assert_eq!(sealed.len(), text.len() + OVERHEAD_BYTES);
        assert_eq!(theirs.open(&sealed, ours.public()).as_deref(), Ok(&text[..]));
        assert_eq!(others.open(&sealed, ours.public()), Err(Sealed::Wrong));
        assert_eq!(theirs.open(&sealed, others.public()), Err(Sealed::Wrong));
        for place in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[place] ^= 1;
            let why = if place < 4 { Sealed::Version } else { Sealed::Wrong };
            assert_eq!(theirs.open(&broken, ours.public()), Err(why), "{place}");
            let cut = theirs.open(&sealed[..place], ours.public());
            let why = if place <= 28 { Sealed::Short } else { Sealed::Wrong };
            assert_eq!(cut, Err(why), "{place}");
        }
        // The same text is never sealed in the same way.
        assert_ne!(sealed, ours.seal(text, theirs.public()).unwrap());
        let empty = ours.seal(b"", theirs.public()).unwrap();
        assert_eq!(theirs.open(&empty, ours.public()).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn cve_2023_46129_no_key_is_all_zeros() {
        // Keys that agree on the same secret with everybody: zeros are one of them.
        let low = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ];
        for text in low {
            let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
            let key = PublicKey::new(Role::Curve, bytes.try_into().unwrap());
            assert!(!is_usable(&key), "{text}");
            assert_eq!(pair(1).seal(b"x", &key), Err(Sealed::Key));
            assert_eq!(pair(1).open(&[b'x'; 60], &key), Err(Sealed::Version));
        }
        for _ in 0..8 {
            let key = CurveKey::generate().unwrap();
            assert!(is_usable(key.public()));
            assert_ne!(key.public().bytes(), CurveKey::generate().unwrap().public().bytes());
        }
        // Nor does what was copied forget the secret: a seed comes back as the same key.
        assert!(!is_usable(&PublicKey::new(Role::User, *pair(1).public().bytes())));
    }

    /// Made with the Go library of nkeys.
    #[test]
    fn keys_and_boxes_are_those_of_nkeys() {
        let seeds = [
            "SXAACAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAN4QM",
            "SXAAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAQCAIBAEAT5QQ",
        ];
        let public = [
            "XCSOBEUSWZI4E6FZO4WFNH27VG5RHWIGWRVLNDE57HOCWRAJ7CRATSUK",
            "XDHI2OWRZS3DH3D3ODAXQFFFY5XM2AUWQUCQ2NCHIW5ALBYOLB6VSWAL",
        ];
        let [one, two] = seeds.map(|seed| CurveKey::from_seed(seed).unwrap());
        assert_eq!([&one, &two].map(|key| key.public().to_string()), public);
        let sealed = one.seal_with(b"hello", two.public(), [9; 24]).unwrap();
        let expected = "786b7631090909090909090909090909090909090909090909090909\
                        61b9dc12ca9321c00a6822a775821a296468a4ffba";
        assert_eq!(data_encoding::HEXLOWER.encode(&sealed), expected);
        assert_eq!(two.open(&sealed, one.public()).unwrap(), b"hello");
        // A seed that signs is none that encrypts.
        let signing = "SUAGNCNGSSEUHW4AVSCZCLBMHWK2XVLX4VQ2S4QZ2GD3AZVZBPFN65AQ4Y";
        assert!(CurveKey::from_seed(signing).is_none());
    }

    #[test]
    fn secrets_do_not_show() {
        let shown = format!("{:?}", pair(7));
        assert!(
            shown.contains(&pair(7).public().to_string()) && !shown.contains("7, 7"),
            "{shown}"
        );
    }
}
