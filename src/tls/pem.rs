//! PEM files to certificates and keys.
//!
//! Errors are those of Go with the file behind them. They name what kinds of blocks were found, and
//! show nothing of what is in one.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};

/// What every problem of a pair begins with.
pub const PAIR: &str = "error parsing X509 certificate/key pair";

/// Kinds of blocks that are named in an error.
const KINDS_MAX: usize = 8;

/// The certificates of a file, that of the server first.
///
/// # Errors
/// Returns why there is none, and the file.
pub fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let why = match found {
        Ok(chain) if !chain.is_empty() => return Ok(chain),
        Ok(_) => missing("certificate", "find \"CERTIFICATE\" PEM block", text),
        Err(_) => "malformed PEM block in certificate input".to_owned(),
    };
    Err(format!("tls: {why} ({})", path.display()))
}

/// The first private key of a file.
///
/// # Errors
/// Returns why there is none, and the file.
pub fn key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    let kinds = kinds(text);
    let why = match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => return Ok(key),
        Err(_) if kinds.iter().any(|kind| kind == "ENCRYPTED PRIVATE KEY") => {
            "the key is encrypted: expected one without a password".to_owned()
        }
        Err(_) if kinds.iter().any(|kind| kind.ends_with("PRIVATE KEY")) => {
            "malformed PEM block in key input".to_owned()
        }
        Err(_) if kinds.first().is_some_and(|kind| kind == "CERTIFICATE") => {
            "found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        Err(_) => missing("key", "find PEM block with type ending in \"PRIVATE KEY\"", text),
    };
    Err(format!("tls: {why} ({})", path.display()))
}

/// A chain and the key of its first certificate.
///
/// # Errors
/// Returns why they do not go together.
pub fn pair(
    (cert_file, chain): (&Path, Vec<CertificateDer<'static>>),
    (key_file, key): (&Path, PrivateKeyDer<'static>),
) -> Result<Arc<CertifiedKey>, String> {
    let (cert_path, key_path) = (cert_file.display(), key_file.display());
    if let Some(leaf) = chain.first()
        && let Err(error) = rustls::server::ParsedCertificate::try_from(leaf)
    {
        return Err(format!("x509: malformed certificate: {error} ({cert_path})"));
    }
    let provider = aws_lc_rs::default_provider();
    let signing = provider.key_provider.load_private_key(key).map_err(|_| {
        format!(
            "tls: failed to parse private key ({key_path}): expected an RSA, ECDSA (P-256, P-384) \
             or Ed25519 key"
        )
    })?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        // A kind of key that does not tell its public part.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
            Ok(Arc::new(certified))
        }
        Err(_) => {
            Err(format!("tls: private key does not match public key ({key_path}, {cert_path})"))
        }
    }
}

/// The certificates of authorities in a file.
///
/// # Errors
/// Returns that there is none.
pub fn authorities(path: &Path, text: &[u8]) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_slice_iter(text).flatten();
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err(format!("failed to parse root ca certificate ({})", path.display())),
        _ => Ok(Arc::new(roots)),
    }
}

/// Why there is no block of the right kind.
fn missing(input: &str, what: &str, text: &[u8]) -> String {
    let kinds = kinds(text);
    if kinds.is_empty() {
        return format!("failed to find any PEM data in {input} input");
    }
    let kinds = kinds.join(" ");
    format!(
        "failed to {what} in {input} input after skipping PEM blocks of the following types: \
         [{kinds}]"
    )
}

/// What kinds of blocks there are: words in capitals, and nothing else that stands there.
fn kinds(text: &[u8]) -> Vec<String> {
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let labels = lines
        .filter_map(|line| line.strip_prefix(b"-----BEGIN ")?.strip_suffix(b"-----"))
        .filter(|label| label.len() <= 32)
        .filter(|label| label.iter().all(|c| c.is_ascii_uppercase() || *c == b' ' || *c == b'0'));
    labels.take(KINDS_MAX).map(|label| String::from_utf8_lossy(label).into_owned()).collect()
}
