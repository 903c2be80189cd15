//! JWTs that the library of NATS made, that are forged, old or nonsense.
//!
//! `made_by_go.json` comes from `nats-io/jwt/v2` 2.8.2. The keys follow from seeds of 32 equal
//! bytes: 1 the operator, 2 its signing key, 3 the account, 4 and 5 its signing keys (5 with a
//! scope), 6 another account, 7 the user, 8 a server.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::key::{KeyPair, PublicKey, Role};
use super::sharing::Kind;
use super::template::{self, Person};
use super::token::{TEXT_MAX, open, seal};
use super::*;

const MADE: &str = include_str!("made_by_go.json");

fn made(name: &str) -> String {
    let all: Value = serde_json::from_str(MADE).unwrap();
    all[name].as_str().unwrap().to_owned()
}

fn key(role: Role, byte: u8) -> KeyPair {
    KeyPair::new(role, &[byte; 32])
}

#[test]
fn an_operator_is_read() {
    let operator = OperatorClaims::decode(&made("operator")).unwrap();
    let (own, signing) = (key(Role::Operator, 1).public(), key(Role::Operator, 2).public());
    assert_eq!((&operator.subject, &operator.issuer, &*operator.name), (&own, &own, "O"));
    assert_eq!(operator.trusted().collect::<Vec<_>>(), [&own, &signing]);
    assert_eq!(operator.body.system_account, key(Role::Account, 6).public());
    assert_eq!(operator::server_version(&operator.body.assert_server_version), Ok([2, 10, 0]));
    assert_eq!(operator.body.generic.tags, ["ops"]);
    assert!(!operator.issues(claims::now()).block());

    let mut strict = operator;
    strict.body.strict_signing_key_usage = true;
    assert_eq!(strict.trusted().collect::<Vec<_>>(), [&signing]);
}

#[test]
fn an_account_is_read() {
    let account = AccountClaims::decode(&made("account")).unwrap();
    assert_eq!(account.subject, key(Role::Account, 3).public());
    assert_eq!(account.issuer, key(Role::Operator, 2).public());
    assert_eq!(account.issues(claims::now()).to_string(), "[]");
    let body = &account.body;
    assert_eq!((body.limits.connections, body.limits.subs, body.limits.payload), (5, 7, 1024));
    assert!(body.limits.wildcard_exports && body.limits.has_jetstream());
    assert!(body.signing_keys.0[&key(Role::Account, 4).public()].is_none());
    let scope = body.signing_keys.0[&key(Role::Account, 5).public()].as_ref().unwrap();
    assert_eq!((&*scope.role, scope.template.payload, scope.template.subs), ("worker", 100, -1));
    let user = key(Role::User, 7).public();
    assert!(body.revocations.cover(&user, 1000) && !body.revocations.cover(&user, 1001));
    assert!(body.revocations.cover("other", 500) && !body.revocations.cover("other", 501));
    assert_eq!(body.default_permissions.publish.deny, ["secret.>"]);
    let responses = body.default_permissions.responses.as_ref().unwrap();
    assert_eq!((responses.count_max, responses.expires), (3, 1_000_000_000));
    let exports: Vec<_> = body.exports.iter().flatten().collect();
    assert_eq!(exports.len(), 2);
    let stream = exports.iter().find(|it| it.kind == Some(Kind::Stream)).unwrap();
    assert_eq!((&*stream.subject, stream.account_token_position), ("events.*", 2));
    let service = exports.iter().find(|it| it.kind == Some(Kind::Service)).unwrap();
    assert_eq!(service.service_latency.as_ref().unwrap().sampling, 0);
    assert_eq!(body.imports.iter().flatten().count(), 2);
    assert_eq!(body.mappings["a.*"].iter().map(mapping::Weighted::percent).sum::<u8>(), 100);
    assert!(body.authorization.is_enabled());
    assert_eq!(body.trace.as_ref().unwrap().sampling, 50);
}

#[test]
fn a_user_is_read() {
    let user = UserClaims::decode(&made("user")).unwrap();
    assert_eq!(user.account(), key(Role::Account, 3).public());
    assert_eq!(user.issuer, key(Role::Account, 4).public());
    let limits = &user.body.limits;
    assert!(limits.bearer && limits.subs == 10 && limits.payload == -1);
    assert_eq!(limits.src, ["127.0.0.1/8", "::1/128"]);
    assert_eq!((&*limits.times[0].start, &*limits.locale), ("08:00:00", "Europe/Berlin"));
    assert_eq!(limits.subscribe.allow, ["foo", "work q"]);
    assert!(!user.issues(1000).block() && !user.issues(4_102_444_800).block());
    assert_eq!(user.issues(999).to_string(), "[claim is not yet valid]");
    assert_eq!(user.issues(4_102_444_801).to_string(), "[claim is expired]");
}

#[test]
fn a_role_is_filled_in() {
    let user = UserClaims::decode(&made("scoped_user")).unwrap();
    assert!(user.has_no_limits());
    let account = AccountClaims::decode(&made("account")).unwrap();
    let scope = account.body.signing_keys.0[&user.issuer].as_ref().unwrap();
    let person = Person {
        name: &user.name,
        subject: &user.subject,
        tags: &user.body.generic.tags,
        account_name: &account.name,
        account_subject: user.account(),
        account_tags: &account.body.generic.tags,
    };
    let limits = template::apply(&scope.template, person).unwrap();
    assert_eq!(limits.publish.allow, ["u.joe.>", "t.red", "t.blue"]);
    assert_eq!(limits.subscribe.allow, [format!("{}.A", user.subject)]);
    assert_eq!(limits.allowed_connection_types, ["STANDARD"]);
}

#[test]
fn the_rest_is_read() {
    let token = ActivationClaims::decode(&made("activation")).unwrap();
    assert_eq!(token.body.import_kind, Some(Kind::Stream));
    assert_eq!((&*token.body.import_subject, token.issues(1).block()), ("private.>", false));
    let request = AuthorizationRequestClaims::decode(&made("authorization_request")).unwrap();
    assert_eq!(request.body.connect_opts.pass, "p");
    assert!(!format!("{request:?}").contains("\"p\""), "a password is shown");
    assert!(!request.issues(1).block());
    let answer = AuthorizationResponseClaims::decode(&made("authorization_response")).unwrap();
    assert!(!answer.issues(1).block() && !answer.body.jwt.is_empty());
    let refusal = AuthorizationResponseClaims::decode(&made("authorization_refusal")).unwrap();
    assert!(!refusal.issues(1).block() && refusal.body.error == "no");
    let generic = GenericClaims::decode(&made("generic")).unwrap();
    assert_eq!(generic.issuer, generic.subject);
    assert_eq!(generic.data["accounts"], json!([key(Role::Account, 3).public()]));
    let creds = made("creds");
    assert_eq!(decorated::jwt(&creds), made("user"));
    assert_eq!(decorated::key_pair(&creds).unwrap().public(), key(Role::User, 7).public());
}

/// What is read can be written and is then the same, but for who signed it and when.
#[test]
fn what_is_written_is_read_again() {
    let mut account = AccountClaims::decode(&made("account")).unwrap();
    let text = account.sign(&key(Role::Operator, 1));
    assert_eq!(AccountClaims::decode(&text).unwrap(), account);
    let mut user = UserClaims::decode(&made("user")).unwrap();
    let text = user.sign_at(&key(Role::Account, 3), 77);
    let again = UserClaims::decode(&text).unwrap();
    assert_eq!((&again, again.issued), (&user, 77));
    // The form is the one of the reference, key for key.
    let parts = |text: &str| -> Value {
        let claims = BASE64URL_NOPAD.decode(text.split('.').nth(1).unwrap().as_bytes()).unwrap();
        serde_json::from_slice(&claims).unwrap()
    };
    let mut operator = OperatorClaims::decode(&made("operator")).unwrap();
    let (mut ours, mut theirs) =
        (parts(&operator.sign(&key(Role::Operator, 1))), parts(&made("operator")));
    for claims in [&mut ours, &mut theirs] {
        claims.as_object_mut().unwrap().retain(|key, _| !["iat", "jti"].contains(&&**key));
    }
    assert_eq!(ours, theirs);
}

#[test]
fn kinds_are_not_confused() {
    let wrong = |name: &str| UserClaims::decode(&made(name)).unwrap_err().to_string();
    for name in ["account", "operator", "activation", "authorization_request", "generic"] {
        assert_eq!(wrong(name), "not user claim", "{name}");
    }
    assert_eq!(AccountClaims::decode(&made("user")).unwrap_err().to_string(), "not account claim");
}

#[test]
fn forged_claims_are_refused() {
    let user = made("user");
    let parts: Vec<&str> = user.split('.').collect();
    let [header, claims, signature] = parts.as_slice() else { panic!("{user}") };
    let changed = {
        let mut json: Value =
            serde_json::from_slice(&BASE64URL_NOPAD.decode(claims.as_bytes()).unwrap()).unwrap();
        json["name"] = "eve".into();
        BASE64URL_NOPAD.encode(json.to_string().as_bytes())
    };
    let none = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"none"}"#);
    let other = BASE64URL_NOPAD.encode(br#"{"typ":"JOT","alg":"ed25519-nkey"}"#);
    let failed = "claim failed V2 signature verification";
    for (text, expected) in [
        (format!("{header}.{changed}.{signature}"), failed),
        (format!("{header}.{claims}."), failed),
        (format!("{header}.{claims}.AAAA"), failed),
        (format!("{none}.{claims}."), "unexpected \"none\" algorithm"),
        (format!("{other}.{claims}.{signature}"), "not supported type \"JOT\""),
        (format!("{header}.{claims}"), "expected 3 chunks"),
        (format!("{user}."), "expected 3 chunks"),
        (String::new(), "expected 3 chunks"),
        (format!("{header}.{claims}.{signature}="), "illegal base64 data"),
        (format!("!.{claims}.{signature}"), "illegal base64 data"),
    ] {
        assert_eq!(open(&text).unwrap_err().to_string(), expected, "{text}");
    }
    assert!(open(&format!("{user}\n")).is_ok(), "files end in a line end");
}

#[test]
fn only_those_who_may_sign_do() {
    let sign = |issuer: &KeyPair, kind: &str| {
        let claims =
            json!({"iss": issuer.public(), "sub": "x", "nats": {"type": kind, "version": 2}});
        seal(claims.to_string().as_bytes(), issuer)
    };
    let reason = "unable to validate expected prefixes";
    for role in [Role::User, Role::Operator, Role::Server] {
        let text = sign(&key(role, 9), "user");
        assert_eq!(UserClaims::decode(&text).unwrap_err().to_string(), reason, "{role:?}");
    }
    let text = sign(&key(Role::User, 9), "account");
    assert_eq!(AccountClaims::decode(&text).unwrap_err().to_string(), reason);
    let text = sign(&key(Role::Account, 9), "operator");
    assert_eq!(OperatorClaims::decode(&text).unwrap_err().to_string(), reason);
    // Signed by one key in the name of another.
    let claims =
        json!({"iss": key(Role::Account, 8).public(), "nats": {"type": "user", "version": 2}});
    let text = seal(claims.to_string().as_bytes(), &key(Role::Account, 9));
    assert!(matches!(UserClaims::decode(&text), Err(Fault::Signature(2))));
}

#[test]
fn versions_are_told_apart() {
    let account = key(Role::Account, 3);
    let at = |version: Value| {
        let claims = json!({"iss": account.public(), "nats": {"type": "user", "version": version}});
        UserClaims::decode(&seal(claims.to_string().as_bytes(), &account))
    };
    assert!(at(json!(2)).is_ok());
    assert_eq!(at(json!(3)).unwrap_err(), Fault::Newer);
    // Older ones sign the claims alone.
    assert!(matches!(at(json!(1)), Err(Fault::Signature(1))));

    // Version 1: the type is at the top, and the header is not signed.
    let old = |claims: Value| {
        let header = BASE64URL_NOPAD.encode(br#"{"typ":"jwt","alg":"ed25519"}"#);
        let claims = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
        let signature = BASE64URL_NOPAD.encode(&account.sign(claims.as_bytes()));
        format!("{header}.{claims}.{signature}")
    };
    let user = UserClaims::decode(&old(json!({
        "iss": account.public(), "sub": "U", "type": "user", "tags": ["a"],
        "issuer_account": "A",
        "nats": {"pub": {"allow": ["x"]}, "max": 3, "src": "1.2.3.4/8, ::/0"},
    })))
    .unwrap();
    assert_eq!((user.body.generic.version, &*user.body.generic.kind), (1, "user"));
    assert_eq!((user.account(), user.body.limits.subs), ("A", -1));
    assert_eq!(user.body.limits.src, ["1.2.3.4/8", "::/0"]);
    let token = ActivationClaims::decode(&old(json!({
        "iss": account.public(), "type": "activation", "nats": {"type": "service", "subject": "q"},
    })))
    .unwrap();
    assert_eq!(token.body.import_kind, Some(Kind::Service));
}

#[test]
fn null_is_absent() {
    let account = key(Role::Account, 3);
    let claims = json!({
        "iss": account.public(), "exp": null, "name": null,
        "nats": {"type": "user", "version": 2, "pub": null, "tags": null, "src": null},
    });
    let user = UserClaims::decode(&seal(claims.to_string().as_bytes(), &account)).unwrap();
    assert_eq!((user.expires, user.body.generic.tags.len()), (0, 0));
}

#[test]
fn what_blocks_an_account_is_told() {
    let subject = key(Role::Account, 3).public();
    let found = |change: fn(&mut account::Account)| {
        let mut claims = AccountClaims::new(&subject);
        change(&mut claims.body);
        claims.issues(1).errors().to_vec()
    };
    assert!(found(|_| {}).is_empty());
    let export = sharing::Export {
        subject: "a.*".into(),
        kind: Some(Kind::Stream),
        ..sharing::Export::default()
    };
    let limited = found(|body| body.limits = limits::AccountLimits::default());
    assert!(limited.is_empty(), "{limited:?}");
    let mut claims = AccountClaims::new(&subject);
    claims.body.exports = vec![Some(export)];
    claims.body.limits.exports = 1;
    claims.body.limits.wildcard_exports = false;
    assert_eq!(
        claims.issues(1).errors(),
        ["the account contains wildcard exports that are not allowed by the operator"]
    );
    claims.body.limits.exports = 0;
    assert_eq!(claims.issues(1).errors().len(), 2);
    let keys = found(|body| {
        body.signing_keys.0.insert("nonsense".into(), None);
    });
    assert_eq!(keys, ["\"nonsense\" is not a valid account signing key"]);
    let mapped = found(|body| {
        let target = mapping::Weighted { subject: "b".into(), weight: 60, cluster: String::new() };
        body.mappings.insert("a".into(), vec![target.clone(), target]);
    });
    assert_eq!(mapped, ["Mapping \"a\" exceeds 100% among all of it's weighted to mappings"]);
}

/// CVE-2020-26521: nil where something was expected ended the process.
#[test]
fn cve_2020_26521_null_in_claims() {
    let (operator, subject) = (key(Role::Operator, 1), key(Role::Account, 3).public());
    let claims = json!({
        "iss": operator.public(), "sub": subject,
        "nats": {"type": "account", "version": 2, "imports": [null], "exports": [null],
                 "limits": {"imports": -1, "exports": -1}},
    });
    let account = AccountClaims::decode(&seal(claims.to_string().as_bytes(), &operator)).unwrap();
    assert_eq!(
        account.issues(1).errors(),
        ["null import is not allowed", "null export is not allowed"]
    );
    for body in ["null", "[]", "1", "{\"nats\":null}", "{\"nats\":[]}", "{\"iss\":null}"] {
        let _ = AccountClaims::decode(&seal(body.as_bytes(), &operator)).unwrap_err();
    }
}

/// CVE-2021-3127: an import without a good token was warned of, not refused.
#[test]
fn cve_2021_3127_import_tokens_are_checked() {
    let (own, other) = (key(Role::Account, 3), key(Role::Account, 6));
    let mut token = ActivationClaims { subject: own.public(), ..ActivationClaims::default() };
    token.body.import_subject = "private.>".into();
    token.body.import_kind = Some(Kind::Stream);
    let issues = |token: &str, change: fn(&mut sharing::Import)| {
        let mut import = sharing::Import {
            subject: "private.a".into(),
            account: other.public(),
            token: token.to_owned(),
            kind: Some(Kind::Stream),
            ..sharing::Import::default()
        };
        change(&mut import);
        let mut claims = AccountClaims::new(&own.public());
        claims.body.imports = vec![Some(import)];
        claims.issues(1)
    };
    let good = token.sign(&other);
    assert!(!issues(&good, |_| {}).block());
    assert!(issues("nonsense", |_| {}).block_ever(), "not a token");
    assert!(issues(&token.sign(&own), |_| {}).block_ever(), "signed by the importer itself");
    assert!(issues(&good, |import| import.subject = "other".into()).block_ever(), "more than that");
    assert!(issues(&good, |import| import.kind = Some(Kind::Service)).block_ever(), "another kind");
    token.subject = other.public();
    assert!(issues(&token.sign(&other), |_| {}).block_ever(), "for somebody else");
}

/// CVE-2020-26892: claims that had expired were believed.
#[test]
fn cve_2020_26892_expiry_counts() {
    let mut user = UserClaims::new(&key(Role::User, 7).public());
    user.expires = 100;
    let text = user.sign(&key(Role::Account, 3));
    let user = UserClaims::decode(&text).unwrap();
    assert!(!user.issues(100).block() && user.issues(101).block());
}

/// Advisory 2026-23: a short key ended the process in the verification of a signature.
#[test]
fn advisory_2026_23_short_keys_are_no_keys() {
    let crc = |bytes: &[u8]| {
        bytes.iter().fold(0_u16, |crc, byte| {
            (0..8).fold(crc ^ u16::from(*byte) << 8, |crc: u16, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            })
        })
    };
    for len in [0, 1, 2, 16, 31, 33, 64] {
        for prefix in [0_u8, 20 << 3, 14 << 3] {
            let mut raw = vec![prefix];
            raw.resize(1 + len, 7);
            raw.extend_from_slice(&crc(&raw).to_le_bytes());
            let text = data_encoding::BASE32_NOPAD.encode(&raw);
            assert!(PublicKey::parse(&text).is_none(), "{len} bytes");
            let claims = json!({"iss": text, "nats": {"type": "user", "version": 2}});
            let token = seal(claims.to_string().as_bytes(), &key(Role::Account, 3));
            assert!(matches!(UserClaims::decode(&token), Err(Fault::Signature(2))));
        }
    }
    for text in ["", "U", "UA", "S", "SU", "SUA"] {
        assert!(PublicKey::parse(text).is_none() && KeyPair::from_seed(text).is_none());
    }
}

#[test]
fn sizes_are_bounded() {
    let long = "a".repeat(TEXT_MAX + 1);
    assert_eq!(open(&long).unwrap_err(), Fault::TooLarge(TEXT_MAX + 1));
    let operator = key(Role::Operator, 1);
    let imports: Vec<Value> = (0..=account::SHARED_MAX).map(|_| json!({})).collect();
    let claims = json!({
        "iss": operator.public(), "nats": {"type": "account", "version": 2, "imports": imports},
    });
    let text = seal(claims.to_string().as_bytes(), &operator);
    assert_eq!(AccountClaims::decode(&text).unwrap_err().to_string(), "more than 4096 imports");
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(matches!(open(&seal(deep.as_bytes(), &operator)), Err(Fault::Json(_))));
}

#[test]
fn keys_and_seeds_are_those_of_nkeys() {
    let seed = "SUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM";
    let pair = KeyPair::from_seed(seed).unwrap();
    let public = PublicKey::parse(&pair.public()).unwrap();
    assert!(public.verify(b"nonce", &pair.sign(b"nonce")));
    assert!(!public.verify(b"other", &pair.sign(b"nonce")));
    assert!(!format!("{pair:?}").contains(seed) && format!("{pair:?}").contains(&pair.public()));
    // A letter changed breaks the checksum.
    assert!(KeyPair::from_seed(&seed.replace("PNV2", "PNV3")).is_none());
}
