//! Signing as a client with a key does.

use data_encoding::{BASE32_NOPAD, BASE64, BASE64URL_NOPAD};
use ed25519_dalek::{Signer as _, SigningKey};

/// The signature of `nonce` by the key of a seed, `S…`, as bytes.
///
/// # Errors
/// If that is no seed.
pub fn sign(seed: &str, nonce: &str) -> Result<[u8; 64], String> {
    let raw = BASE32_NOPAD.decode(seed.as_bytes()).map_err(|e| format!("{seed}: {e}"))?;
    let key: [u8; 32] =
        raw.get(2..34).and_then(|key| key.try_into().ok()).ok_or("a seed has 36 bytes")?;
    Ok(SigningKey::from_bytes(&key).sign(nonce.as_bytes()).to_bytes())
}

/// Replaces `<sign SEED>` by the signature of `nonce` in base 64 for URLs, `<sign64 SEED>` by that
/// in the usual one.
///
/// # Errors
/// If something else stands there.
pub fn fill_in(json: &str, nonce: &str) -> Result<String, String> {
    let Some((before, rest)) = json.split_once("<sign") else { return Ok(json.to_owned()) };
    let (order, after) = rest.split_once('>').ok_or("<sign SEED>")?;
    let (usual, seed) = match order.split_once(' ') {
        Some(("", seed)) => (false, seed),
        Some(("64", seed)) => (true, seed),
        _ => return Err(format!("<sign SEED> or <sign64 SEED>, not {order}")),
    };
    let signature = sign(seed, nonce)?;
    let text = if usual { BASE64.encode(&signature) } else { BASE64URL_NOPAD.encode(&signature) };
    Ok(format!("{before}{text}{after}"))
}
