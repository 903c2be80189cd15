//! Clients that need a certificate.

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};

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
        let certificate = served.authority.certify(&known, &[], |_| {});
        let key = PrivateKeyDer::try_from(known.serialize_der()).expect("a key");
        let listed = (certificate.der().clone(), key);
        assert!(served.client(Some(listed)).0.enters(""), "{program}");
        let other = served.authority.identity(|_| {});
        assert!(!served.client(Some(other)).0.enters(""), "{program}");
        served.logs("TLS handshake error: certificate not pinned");
    }
}

/// What somebody who shows this certificate is called, if he is let in.
fn entered(served: &Served, own: Identity, connect: &str) -> Option<String> {
    let (mut link, _) = served.client(Some(own));
    link.enters(connect).then(|| {
        link.says("SUB _I 1\r\nPUB $SYS.REQ.USER.INFO _I 0\r\n\r\n");
        let mut text = line(&mut link.0);
        while !text.contains("\"user\"") {
            text = line(&mut link.0);
        }
        let answer: serde_json::Value = serde_json::from_str(text.trim()).expect("JSON");
        answer["data"]["user"].as_str().expect("a user").to_owned()
    })
}

#[test]
fn users_are_known_by_their_certificates() {
    let top = "authorization { users: [
        { user: \"ann@example.com\" }, { user: \"host.example.com\" }
        { user: \"spiffe://example.com/svc\" }, { user: \"CN=bob,OU=ops,O=acme\" }
        { user: \"CN=eve,OU=x\\\\,y\" }, { user: \"CN=pass\", password: \"secret\" }
    ] }";
    let subject = |params: &mut CertificateParams, parts: &[(DnType, &str)]| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
    };
    let (cn, ou, o) =
        (DnType::CommonName, DnType::OrganizationalUnitName, DnType::OrganizationName);
    for program in programs() {
        let served = Served::by(&program, "verify_and_map: true", top);
        let own = |change: &dyn Fn(&mut CertificateParams)| served.authority.identity(change);
        let called = |own| entered(&served, own, "");
        let email = own(&|params| {
            params.subject_alt_names =
                vec![rcgen::SanType::Rfc822Name("ann@example.com".try_into().expect("text"))];
        });
        assert_eq!(called(email).as_deref(), Some("ann@example.com"), "{program}");
        let host = own(&|params| {
            params.subject_alt_names = ["other.example.com", "host.example.com"]
                .map(|host| rcgen::SanType::DnsName(host.try_into().expect("text")))
                .into();
        });
        assert_eq!(called(host).as_deref(), Some("host.example.com"), "{program}");
        let uri = own(&|params| {
            let uri = "spiffe://example.com/svc".try_into().expect("text");
            params.subject_alt_names = vec![rcgen::SanType::URI(uri)];
        });
        assert_eq!(called(uri).as_deref(), Some("spiffe://example.com/svc"), "{program}");
        // The subject, its parts in any order.
        let parts = [(o.clone(), "acme"), (ou.clone(), "ops"), (cn.clone(), "bob")];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let parts = order.map(|index: usize| parts[index].clone());
            let bob = own(&|params| subject(params, &parts));
            assert_eq!(called(bob).as_deref(), Some("CN=bob,OU=ops,O=acme"), "{program}");
        }
        let eve = own(&|params| subject(params, &[(ou.clone(), "x,y"), (cn.clone(), "eve")]));
        assert_eq!(called(eve).as_deref(), Some("CN=eve,OU=x\\,y"), "{program}");
        // A user with a password needs that, too.
        let pass = || own(&|params| subject(params, &[(cn.clone(), "pass")]));
        assert_eq!(called(pass()), None, "{program}");
        let with = entered(&served, pass(), ",\"pass\":\"secret\"");
        assert_eq!(with.as_deref(), Some("CN=pass"), "{program}");
        // Nobody, and nobody by saying so.
        let nobody = || own(&|params| subject(params, &[(cn.clone(), "bob"), (o.clone(), "acme")]));
        assert_eq!(called(nobody()), None, "{program}");
        assert_eq!(entered(&served, nobody(), ",\"user\":\"ann@example.com\""), None, "{program}");
    }
}

/// CVE-2026-33248: values that only look like several parts let somebody in as another.
#[test]
fn cve_2026_33248_a_value_that_looks_like_several_parts_is_one() {
    let top = "authorization { users: [ { user: \"CN=admin,OU=ops\" } ] }";
    for program in programs() {
        let served = Served::by(&program, "verify_and_map: true", top);
        for (kind, value) in [
            (DnType::CommonName, "admin,OU=ops"),
            (DnType::OrganizationalUnitName, "ops,CN=admin"),
            (DnType::CommonName, "admin"),
        ] {
            let own = served.authority.identity(|params| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(kind, value);
            });
            assert_eq!(entered(&served, own, ""), None, "{program}: {value}");
        }
    }
}
