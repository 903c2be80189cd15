//! Certificates made here, and what is made of them.

#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::*;

/// A certificate of this name, and its key.
fn made(name: &str, key: &KeyPair, years: std::ops::Range<i32>) -> Arc<CertifiedKey> {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 12, 31);
    let certificate = params.self_signed(key).unwrap().pem();
    let chain = pem::chain(Path::new("a.pem"), certificate.as_bytes()).unwrap();
    let secret = pem::key(Path::new("a.key"), key.serialize_pem().as_bytes()).unwrap();
    pem::pair((Path::new("a.pem"), chain), (Path::new("a.key"), secret)).unwrap()
}

pub(super) fn offer(names: &[&str]) -> Offer {
    let certificates = names.iter().map(|name| {
        let key = KeyPair::generate().unwrap();
        made(name, &key, 2020..2090)
    });
    Offer { certificates: certificates.collect(), ..Offer::default() }
}

/// Somebody who trusts all of these certificates.
pub(super) fn roots(offer: &Offer) -> rustls::RootCertStore {
    let mut store = rustls::RootCertStore::empty();
    let all = offer.certificates.iter().map(|certified| certified.cert[0].clone());
    store.add_parsable_certificates(all);
    store
}

/// The name in the certificate that a client is shown who asks for this name and trusts `roots`.
fn shown(server: &Server, roots: &[&CertificateDer<'static>], name: &str) -> String {
    let mut store = rustls::RootCertStore::empty();
    store.add_parsable_certificates(roots.iter().copied().cloned());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(store)
        .with_no_client_auth();
    let asked = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = rustls::ClientConnection::new(Arc::new(config), asked).unwrap();
    let mut conn = server.accept().unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    conn.read_tls(&mut wire.as_slice()).unwrap();
    conn.process_new_packets().unwrap();
    let mut back = Vec::new();
    while conn.wants_write() {
        conn.write_tls(&mut back).unwrap();
    }
    client.read_tls(&mut back.as_slice()).unwrap();
    match client.process_new_packets() {
        Ok(_) => name.to_owned(),
        Err(rustls::Error::InvalidCertificate(
            rustls::CertificateError::NotValidForNameContext { presented, .. },
        )) => presented.concat(),
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn the_time_of_expiry_is_read_in_both_forms() {
    let key = KeyPair::generate().unwrap();
    for (year, text) in [(2049, "2049-12-31T00:00:00Z"), (2050, "2050-12-31T00:00:00Z")] {
        let certificates = vec![made("a", &key, 1999..year)];
        let server = Server::new(Offer { certificates, ..Offer::default() }).unwrap();
        assert_eq!(server.not_after.unwrap().to_string(), text);
    }
    let der = made("a", &key, 2020..2030).cert[0].clone();
    for len in 0..der.len() {
        assert_eq!(expiry::not_after(&der[..len]), None);
        let mut broken = der.to_vec();
        broken[len] ^= 0xff;
        let _ = expiry::not_after(&broken);
    }
}

#[test]
fn two_servers_are_the_same_if_clients_see_no_difference() {
    let key = KeyPair::generate().unwrap();
    let certificates = vec![made("a", &key, 2020..2030)];
    let one = Offer { certificates, ..Offer::default() };
    let server = |offer: &Offer| Server::new(offer.clone()).unwrap();
    assert!(server(&one).same(&server(&one)));
    for other in [
        offer(&["a"]),
        Offer { oldest: Oldest::Tls13, ..one.clone() },
        Offer { timeout: Duration::from_secs(1), ..one.clone() },
        Offer { suites: Some(Suites::chosen(&[])), ..one.clone() },
        Offer { curves: Some(Curves::chosen(vec![aws_lc_rs::kx_group::X25519])), ..one.clone() },
    ] {
        assert!(!server(&one).same(&server(&other)));
    }
}

#[test]
fn the_certificate_is_the_one_with_the_name_else_the_first() {
    let offer = offer(&["a.test", "b.test"]);
    let server = Server::new(offer.clone()).unwrap();
    let roots: Vec<_> = offer.certificates.iter().map(|certified| &certified.cert[0]).collect();
    for (name, expected) in
        [("a.test", "a.test"), ("b.test", "b.test"), ("c.test", "a.test"), ("127.0.0.1", "a.test")]
    {
        let shown = shown(&server, &roots, name);
        assert!(shown.contains(expected), "{name}: {shown}");
    }
}

#[test]
fn no_key_is_shown() {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let certificates = vec![made("a", &key, 2020..2030)];
    let server = Server::new(Offer { certificates, ..Offer::default() }).unwrap();
    assert_eq!(
        format!("{:?}", Shared::new(server)),
        "Shared(RwLock { data: Server { not_after: Some(2030-12-31T00:00:00Z), .. }, \
         poisoned: false, .. })"
    );
    // What is wrong with a file is said without what is in it.
    let secret = key.serialize_pem();
    for text in [&secret[..70], &secret.replace("\n", "!\n"), &secret.replace("PRIVATE", "X")] {
        let why = pem::key(Path::new("a.key"), text.as_bytes()).unwrap_err();
        assert!(why.len() < 160 && !why.contains(&secret[30..40]), "{why}");
    }
    let garbage = PrivateKeyDer::from_pem_slice(
        b"-----BEGIN PRIVATE KEY-----\nQUJD\n-----END PRIVATE KEY-----\n",
    );
    let chain = offer(&["a"]).certificates[0].cert.clone();
    let pair = pem::pair((Path::new("a.pem"), chain), (Path::new("a.key"), garbage.unwrap()));
    assert!(pair.unwrap_err().starts_with("tls: failed to parse private key (a.key): expected "));
}

#[test]
fn names_of_go_are_known() {
    let offered = aws_lc_rs::ALL_CIPHER_SUITES.iter().filter_map(|suite| suite.suite().as_str());
    for name in offered.map(|name| name.replace("TLS13_", "TLS_")) {
        assert!(matches!(choice::suite(&name), choice::Known::Here(_)), "{name}");
    }
    for name in ["", "TLS_", "tls_aes_128_gcm_sha256", "AES_128_GCM_SHA256", "TLS13_AES_128"] {
        assert!(matches!(choice::suite(name), choice::Known::Nowhere), "{name}");
    }
    for name in ["X25519MLKEM768", "SecP256r1MLKEM768", "X25519", "CurveP256", "CurveP384"] {
        assert!(matches!(choice::curve(name), choice::Known::Here(_)), "{name}");
    }
    assert!(matches!(choice::curve("CurveP521"), choice::Known::Elsewhere));
    assert!(matches!(choice::curve("secp256r1"), choice::Known::Nowhere));
}
