//! Clients that need a certificate.

use rcgen::date_time_ymd;

use super::*;

#[test]
fn a_certificate_of_the_right_authority_is_needed() {
    for program in programs() {
        let served = Served::by(&program, "verify: true", "");
        let (mut link, info) = served.client(Some(served.authority.identity(|_| {})));
        assert!(info.contains("\"tls_verify\":true"), "{info}");
        assert!(link.enters(""), "{program}");

        assert!(!served.client(None).0.enters(""), "{program}: without");
        served.logs("TLS handshake error: tls: client didn't provide a certificate");

        let stranger = Authority::new().identity(|_| {});
        assert!(!served.client(Some(stranger)).0.enters(""), "{program}: of another authority");
        served.logs("x509: certificate signed by unknown authority");

        let expired = served.authority.identity(|params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        });
        assert!(!served.client(Some(expired)).0.enters(""), "{program}: expired");
        served.logs("x509: certificate has expired or is not yet valid");
        served.logs("Client connection closed: TLS Handshake Failure");
    }
}

#[test]
fn without_verify_nobody_is_asked() {
    let served = Served::by(&ringbus(1), "", "");
    let (mut link, info) = served.client(None);
    assert!(link.enters("") && !info.contains("tls_verify"), "{info}");
}

#[test]
fn only_certificates_whose_key_is_on_the_list() {
    for program in programs() {
        let known = KeyPair::generate().expect("a key");
        let pin = {
            use rcgen::PublicKeyData as _;
            use sha2::Digest as _;
            let digest = sha2::Sha256::digest(known.subject_public_key_info());
            digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        let more = format!("verify: true, pinned_certs: [ \"{pin}\" ]");
        let served = Served::by(&program, &more, "");
        let params = CertificateParams::new(Vec::new()).expect("no names");
        let certificate = params.signed_by(&known, &served.authority.0).expect("a certificate");
        let key = PrivateKeyDer::try_from(known.serialize_der()).expect("a key");
        let listed = (certificate.der().clone(), key);
        assert!(served.client(Some(listed)).0.enters(""), "{program}");
        let other = served.authority.identity(|_| {});
        assert!(!served.client(Some(other)).0.enters(""), "{program}");
        served.logs("TLS handshake error: certificate not pinned");
    }
}
