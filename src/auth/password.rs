//! Passwords and tokens as the configuration has them: plain, or hashed with bcrypt.
//!
//! A plain one is compared in a time that depends only on what was offered. A hash takes a while,
//! so it is checked off the shards; and because that while could be measured, a refusal always
//! takes as long as the dearest hash there is, whoever was named and whatever is wrong.

use std::fmt;
use std::hint::black_box;
use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use ringbus_shard::wire::secret::Secret;

/// Bytes of a password that bcrypt looks at.
const LOOKED_AT: usize = 72;

/// Bytes of its output that a hash keeps.
const DIGEST_BYTES: usize = 23;

/// Characters of salt and digest, after `$2a$11$`.
const SALT_CHARS: usize = 22;
const HASH_CHARS: usize = 60;

/// What a client must offer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Password {
    /// This.
    Plain(Secret),
    /// What this is the hash of.
    Hashed(Hash),
    /// It looks like a hash, and is none: nothing is right.
    Broken,
}

impl Password {
    /// What somebody would say who has it, as far as that is known: of a hash it is not.
    #[must_use]
    pub fn presented(&self) -> Secret {
        match self {
            Self::Plain(plain) => plain.clone(),
            Self::Hashed(_) | Self::Broken => Secret::default(),
        }
    }

    /// What the configuration says: a text that looks like a hash is never a plain password.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        if !is_bcrypt(secret.expose()) {
            return Self::Plain(secret.clone());
        }
        Hash::parse(secret).map_or(Self::Broken, Self::Hashed)
    }

    /// How dear it is to check: the binary logarithm of rounds, if there are any.
    #[must_use]
    pub fn cost(&self) -> Option<u32> {
        match self {
            Self::Plain(_) | Self::Broken => None,
            Self::Hashed(hash) => Some(hash.cost),
        }
    }
}

/// A bcrypt hash.
#[derive(Clone, Eq, PartialEq)]
pub struct Hash {
    text: Secret,
    cost: u32,
    salt: [u8; 16],
    digest: [u8; DIGEST_BYTES],
}

impl Hash {
    fn parse(text: &Secret) -> Option<Self> {
        let (version, rest) = text.expose().get(1..)?.split_once('$')?;
        let (cost, rest) = rest.split_once('$')?;
        let cost = cost.parse().ok().filter(|cost| (4..=31).contains(cost))?;
        if text.expose().len() != HASH_CHARS || version.len() != 2 {
            return None;
        }
        let salt = ALPHABET.decode(rest.get(..SALT_CHARS)?.as_bytes()).ok()?.try_into().ok()?;
        let digest = ALPHABET.decode(rest.get(SALT_CHARS..)?.as_bytes()).ok()?.try_into().ok()?;
        Some(Self { text: text.clone(), cost, salt, digest })
    }

    /// As the configuration has it.
    #[must_use]
    pub fn text(&self) -> &Secret {
        &self.text
    }

    /// Whether it is the hash of that. Takes milliseconds to seconds.
    #[must_use]
    pub fn is_of(&self, offered: &Secret) -> bool {
        let found = work(self.cost, self.salt, offered);
        found.get(..DIGEST_BYTES).is_some_and(|found| found.ct_eq(&self.digest).into())
    }

    /// How dear it is to check.
    #[must_use]
    pub const fn cost(&self) -> u32 {
        self.cost
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash(cost {})", self.cost)
    }
}

/// The base 64 of bcrypt. What stands in the unused bits of a last character does not matter.
static ALPHABET: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = Specification::new();
    specification
        .symbols
        .push_str("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789");
    specification.check_trailing_bits = false;
    specification.encoding().expect("64 characters")
});

/// Whether nats-server would take this for a hash. Were it taken as plain text here, the hash
/// itself would open the server.
#[must_use]
pub fn is_bcrypt(secret: &str) -> bool {
    matches!(
        secret.as_bytes(),
        [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', tens, ones, b'$', ..]
            if tens.is_ascii_digit() && ones.is_ascii_digit()
    )
}

/// Works as long as checking a hash of the cost `most` does, of which the work for one of the cost
/// `spent` is done already: 2^spent + 2^spent + 2^(spent+1) + … + 2^(most-1) = 2^most.
pub fn waste(spent: Option<u32>, most: u32, offered: &Secret) {
    let salt = [0x5a; 16];
    match spent {
        None => {
            black_box(work(most, salt, offered));
        }
        Some(spent) => (spent..most).for_each(|cost| {
            black_box(work(cost, salt, offered));
        }),
    }
}

/// The text is ended by a zero byte, if there is room for that.
fn work(cost: u32, salt: [u8; 16], offered: &Secret) -> [u8; 24] {
    let text = offered.expose().as_bytes();
    let mut bytes = Zeroizing::new(Vec::with_capacity(LOOKED_AT));
    bytes.extend_from_slice(text.get(..LOOKED_AT).unwrap_or(text));
    if bytes.len() < LOOKED_AT {
        bytes.push(0);
    }
    bcrypt::bcrypt(cost, salt, &bytes)
}

/// Compares without stopping at the first difference. Only the length of what was offered, which
/// its sender knows, decides how long it takes.
pub(super) fn same(wanted: &str, offered: &str) -> Choice {
    let mut difference = Choice::from(u8::from(wanted.len() != offered.len()));
    let wanted = wanted.bytes().chain(std::iter::repeat(0));
    for (byte, wanted) in offered.bytes().zip(wanted) {
        difference |= !byte.ct_eq(&wanted);
    }
    !difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    fn hash(text: &str) -> Hash {
        match Password::new(&secret(text)) {
            Password::Hashed(hash) => hash,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Only the first 72 bytes of it count.
    const LONG: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789\
                        chars after 72 are ignored";

    /// Made with `nats server passwd`, and with `crypt` of libxcrypt.
    #[test]
    fn hashes_of_other_programs_are_understood() {
        for (text, password) in [
            (
                "$2a$04$R6IUZqbChH3zFG7N15CwL.hESsREO8Lsr71wPlOHnFmu5ZbMN8mbS",
                "a-long-enough-password1",
            ),
            ("$2a$04$abcdefghijklmnopqrstuuCFaEytnzrfaPZJKbS76hh9vqd9r8v2S", "U*U"),
            ("$2b$04$abcdefghijklmnopqrstuuCFaEytnzrfaPZJKbS76hh9vqd9r8v2S", "U*U"),
            ("$2x$04$abcdefghijklmnopqrstuuCFaEytnzrfaPZJKbS76hh9vqd9r8v2S", "U*U"),
            ("$2y$04$abcdefghijklmnopqrstuuCFaEytnzrfaPZJKbS76hh9vqd9r8v2S", "U*U"),
            // The same salt, with something in bits that do not count.
            ("$2y$04$abcdefghijklmnopqrstuvCFaEytnzrfaPZJKbS76hh9vqd9r8v2S", "U*U"),
            ("$2y$05$abcdefghijklmnopqrstuu2.dkNPyJPOiBSDBZ7jfIDDav4e/ZdDm", "größe"),
            ("$2b$04$abcdefghijklmnopqrstuuRAip/W0RPQX4QKkqYqXE3GIXWH518Sm", LONG),
            ("$2a$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq", ""),
        ] {
            assert!(hash(text).is_of(&secret(password)), "{text}");
            let other = hash(text).is_of(&secret(&format!("{password}x")));
            assert_eq!(other, password.len() > LOOKED_AT, "{text}");
            assert!(!hash(text).is_of(&secret(text)));
        }
    }

    /// A hash with a character beyond ASCII, or of another length, ended programs that used an
    /// older version of the library (RUSTSEC-2026-0199).
    #[test]
    fn what_only_looks_like_a_hash_lets_nobody_in() {
        let good = "$2a$04$......................W.s.Aq/k9XfaoYnxAWCTcvq9xSDWVVu";
        assert_eq!(good.len(), HASH_CHARS);
        for text in [
            "$2a$04$",
            "$2a$11$x",
            "$2a$99$......................W.s.Aq/k9XfaoYnxAWCTcvq9xSDWVVu",
            "$2a$03$......................W.s.Aq/k9XfaoYnxAWCTcvq9xSDWVVu",
            "$2a$04$......................W.s.Aq/k9XfaoYnxAWCTcvq9xSDWVV",
            "$2a$04$......................W.s.Aq/k9XfaoYnxAWCTcvq9xSDWVVuu",
            "$2a$04$.....................é.s.Aq/k9XfaoYnxAWCTcvq9xSDWVVu",
            "$2a$04$!.....................W.s.Aq/k9XfaoYnxAWCTcvq9xSDWVVu",
        ] {
            assert_eq!(Password::new(&secret(text)), Password::Broken, "{text}");
        }
        for plain in ["$2a$", "$2c$04$abc", "$2$04$abc", "$2a$4$abc", "x$2a$04$abc", ""] {
            assert!(matches!(Password::new(&secret(plain)), Password::Plain(_)), "{plain}");
        }
    }

    #[test]
    fn the_rest_of_the_work_makes_it_whole() {
        // In units of the cheapest hash.
        for (spent, most) in [(4, 4), (4, 5), (5, 8), (4, 11)] {
            let rest: u64 = (spent..most).map(|cost| 1_u64 << cost).sum();
            assert_eq!((1_u64 << spent) + rest, 1_u64 << most);
        }
        waste(Some(4), 6, &secret("x"));
        waste(None, 4, &secret(""));
    }

    #[test]
    fn comparing_looks_at_every_byte() {
        for (wanted, offered, equal) in [
            ("", "", true),
            ("a", "a", true),
            ("a", "", false),
            ("", "a", false),
            ("", "\0", false),
            ("abc", "abd", false),
            ("abc", "abcd", false),
            ("abcd", "abc", false),
        ] {
            assert_eq!(bool::from(same(wanted, offered)), equal, "{wanted} {offered}");
        }
    }
}
