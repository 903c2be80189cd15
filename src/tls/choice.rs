//! Cipher suites and curves, by the names that Go has for them.

use rustls::crypto::{SupportedKxGroup, aws_lc_rs};
use rustls::{NamedGroup, SupportedCipherSuite};

/// Suites, the best first.
#[derive(Clone, Debug, Default)]
pub struct Suites(pub(super) Vec<SupportedCipherSuite>);

/// Groups for the exchange of keys, the best first.
#[derive(Clone, Debug, Default)]
pub struct Curves(pub(super) Vec<&'static dyn SupportedKxGroup>);

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Known<T> {
    /// This.
    Here(T),
    /// Something sound that only nats-server has.
    Elsewhere,
    /// Something that nats-server has for those who allow what is insecure.
    Insecure,
    /// Nothing.
    Nowhere,
}

/// What Go has and counts as sound, and rustls has not.
const SUITES_OF_GO: [&str; 4] = [
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
];

const INSECURE_SUITES_OF_GO: [&str; 12] = [
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

const CURVES: [(&str, NamedGroup); 5] = [
    ("X25519MLKEM768", NamedGroup::X25519MLKEM768),
    ("SecP256r1MLKEM768", NamedGroup::secp256r1MLKEM768),
    ("X25519", NamedGroup::X25519),
    ("CurveP256", NamedGroup::secp256r1),
    ("CurveP384", NamedGroup::secp384r1),
];

const CURVES_OF_GO: [&str; 2] = ["CurveP521", "SecP384r1MLKEM1024"];

/// The cipher suite of this name.
#[must_use]
pub fn suite(name: &str) -> Known<SupportedCipherSuite> {
    // Those of TLS 1.3 have a prefix of their own here.
    let has_name = |suite: &&SupportedCipherSuite| {
        let own = suite.suite().as_str().unwrap_or_default();
        own.strip_prefix("TLS13_").or_else(|| own.strip_prefix("TLS_")) == name.strip_prefix("TLS_")
    };
    match aws_lc_rs::ALL_CIPHER_SUITES.iter().find(has_name) {
        Some(suite) => Known::Here(*suite),
        None if SUITES_OF_GO.contains(&name) => Known::Elsewhere,
        None if INSECURE_SUITES_OF_GO.contains(&name) => Known::Insecure,
        None => Known::Nowhere,
    }
}

/// The curve of this name.
#[must_use]
pub fn curve(name: &str) -> Known<&'static dyn SupportedKxGroup> {
    let group = CURVES.iter().find(|(known, _)| *known == name).map(|(_, group)| *group);
    match aws_lc_rs::ALL_KX_GROUPS.iter().find(|offered| Some(offered.name()) == group) {
        Some(offered) => Known::Here(*offered),
        None if CURVES_OF_GO.contains(&name) => Known::Elsewhere,
        None => Known::Nowhere,
    }
}

impl Suites {
    /// These, and all of TLS 1.3, which Go does not let anybody choose.
    #[must_use]
    pub fn chosen(chosen: &[SupportedCipherSuite]) -> Self {
        let all = aws_lc_rs::ALL_CIPHER_SUITES.iter();
        Self(
            all.filter(|suite| suite.tls13().is_some() || chosen.contains(suite))
                .copied()
                .collect(),
        )
    }
}

impl Curves {
    /// These.
    #[must_use]
    pub const fn chosen(chosen: Vec<&'static dyn SupportedKxGroup>) -> Self {
        Self(chosen)
    }
}
