//! What accounts may take from each other, and until when.

use std::collections::HashSet;

use super::super::registry::{Registry, Rules};
use super::super::resolver::Resolver;
use super::*;
use crate::auth::accounts::{Accounts, SYSTEM};
use crate::auth::jwt::AccountClaims;
use crate::auth::jwt::key::{KeyPair, Role};
use crate::auth::jwt::mapping::Weighted;
use crate::auth::jwt::sharing::Latency as ClaimedLatency;

const NOW: i64 = 1_000_000;

fn account(byte: u8) -> KeyPair {
    KeyPair::new(Role::Account, &[byte; 32])
}

/// The signing key of that account.
fn signer(byte: u8) -> KeyPair {
    KeyPair::new(Role::Account, &[byte + 100; 32])
}

fn key(byte: u8) -> String {
    account(byte).public()
}

fn registry() -> Registry {
    let trusted = HashSet::from([KeyPair::new(Role::Operator, &[1; 32]).public()]);
    let rules = Rules { trusted, ..Rules::default() };
    Registry::new(rules, Arc::new(Resolver::memory()), &Accounts::new(SYSTEM))
}

/// Claims about an account come into force.
fn enter(registry: &Registry, byte: u8, fill: impl FnOnce(&mut AccountClaims)) {
    let mut claims = AccountClaims::new(&key(byte));
    claims.body.signing_keys.0.insert(signer(byte).public(), None);
    fill(&mut claims);
    let text = claims.sign_at(&KeyPair::new(Role::Operator, &[1; 32]), NOW);
    registry.update(&key(byte), &text).unwrap();
}

fn export(kind: Kind, subject: &str, token_req: bool) -> Export {
    Export { kind: Some(kind), subject: subject.to_owned(), token_req, ..Export::default() }
}

fn import(kind: Kind, from: u8, subject: &str) -> Import {
    Import { kind: Some(kind), account: key(from), subject: subject.into(), ..Import::default() }
}

/// A token for account 2 to have `a.>` of account 1.
fn token(fill: impl FnOnce(&mut ActivationClaims), key_pair: &KeyPair) -> String {
    let mut claims = ActivationClaims { subject: key(2), ..ActivationClaims::default() };
    claims.body.import_subject = "a.>".to_owned();
    claims.body.import_kind = Some(Kind::Stream);
    fill(&mut claims);
    claims.sign_at(key_pair, NOW - 10)
}

fn compiled(registry: &Registry) -> Shared {
    compile(&registry.all(), NOW)
}

/// What an account takes: from which account, what, and as what.
fn taken(registry: &Registry, shared: &Shared, byte: u8) -> Vec<(u8, String, String)> {
    let id = |byte| registry.get(&key(byte)).map(|known| known.account.id);
    let Some(imports) = id(byte).and_then(|id| shared.terms.imports(id)) else { return Vec::new() };
    let text = |subject: &[u8]| String::from_utf8_lossy(subject).into_owned();
    let from = |account| (1..9).find(|byte| id(*byte) == Some(account)).unwrap();
    let streams = imports.streams.iter().map(|it| (it.account, &it.from, &it.to));
    let services = imports.services.iter().map(|it| (it.account, &it.to, &it.from));
    streams.chain(services).map(|(it, of, to)| (from(it), text(of), text(to))).collect()
}

fn one(subject: &str, local: &str) -> Vec<(u8, String, String)> {
    vec![(1, subject.to_owned(), local.to_owned())]
}

#[test]
fn what_is_public_is_taken_in_any_order_of_arrival() {
    for kind in [Kind::Stream, Kind::Service] {
        let exporting = |registry: &Registry| {
            enter(registry, 1, |it| it.body.exports = vec![Some(export(kind, "a.*", false))]);
        };
        let importing = |registry: &Registry| {
            let import = Import { local_subject: "b.$1".into(), ..import(kind, 1, "a.*") };
            enter(registry, 2, |it| it.body.imports = vec![Some(import)]);
        };
        let one = one("a.*", "b.*");
        let early = registry();
        exporting(&early);
        importing(&early);
        assert_eq!(taken(&early, &compiled(&early), 2), one, "{kind}");
        let late = registry();
        importing(&late);
        let shared = compiled(&late);
        assert!(taken(&late, &shared, 2).is_empty());
        assert_eq!(shared.notes[0].missing, Some(key(1)));
        exporting(&late);
        let shared = compiled(&late);
        assert_eq!((taken(&late, &shared, 2), shared.notes.len()), (one, 0), "{kind}");
        late.remove(&key(1));
        assert!(taken(&late, &compiled(&late), 2).is_empty(), "{kind}");
    }
}

#[test]
fn subjects_are_renamed_as_claims_say() {
    for (kind, subject, to, local, expected) in [
        (Kind::Stream, "a.>", "", "", ("a.>", "a.>")),
        (Kind::Stream, "a.>", "p", "", ("a.>", "p.a.>")),
        (Kind::Stream, "a.*.c", "", "x.$1", ("a.*.c", "x.*")),
        (Kind::Service, "a.x", "", "", ("a.x", "a.x")),
        // The old way: the subject is that of the importing account.
        (Kind::Service, "mine", "a.x", "", ("a.x", "mine")),
        (Kind::Service, "a.x", "", "mine", ("a.x", "mine")),
    ] {
        let registry = registry();
        enter(&registry, 1, |it| it.body.exports = vec![Some(export(kind, "a.>", false))]);
        let import =
            Import { to: to.into(), local_subject: local.into(), ..import(kind, 1, subject) };
        enter(&registry, 2, |it| it.body.imports = vec![Some(import)]);
        let shared = compiled(&registry);
        assert_eq!(taken(&registry, &shared, 2), one(expected.0, expected.1), "{subject} {to}");
    }
}

/// Such claims do not come into force, but what is looked at does not depend on that.
#[test]
fn a_token_is_for_the_subject_that_is_taken() {
    let token = |named: &str| {
        let fill = |it: &mut ActivationClaims| {
            it.body.import_subject = named.to_owned();
            it.body.import_kind = Some(Kind::Service);
        };
        token(fill, &account(1))
    };
    for (named, expected) in [("a.open", vec![]), ("a.taken", one("a.taken", "mine"))] {
        let registry = registry();
        let export = export(Kind::Service, "a.*", true);
        enter(&registry, 1, |it| it.body.exports = vec![Some(export)]);
        let mut claims = AccountClaims::new(&key(2));
        claims.body.imports = vec![Some(Import {
            to: "a.open".to_owned(),
            local_subject: "mine".to_owned(),
            token: token(named),
            ..import(Kind::Service, 1, "a.taken")
        })];
        registry.enter(claims, "", None).unwrap();
        assert_eq!(taken(&registry, &compiled(&registry), 2), expected, "{named}");
    }
}

/// A registry with a private stream that account 2 takes by this token.
fn by_token(revoke: &[(String, i64)], text: &str, subject: &str) -> Registry {
    let registry = registry();
    let mut export = export(Kind::Stream, "a.>", true);
    export.revocations.0.extend(revoke.iter().cloned());
    enter(&registry, 1, |it| it.body.exports = vec![Some(export)]);
    let import = Import { token: text.to_owned(), ..import(Kind::Stream, 1, subject) };
    let mut claims = AccountClaims::new(&key(2));
    claims.body.imports = vec![Some(import)];
    let text = claims.sign_at(&KeyPair::new(Role::Operator, &[1; 32]), NOW);
    // Claims that are wrong in themselves do not even come into force.
    let _ = registry.update(&key(2), &text);
    registry
}

fn is_taken(registry: &Registry) -> bool {
    !taken(registry, &compiled(registry), 2).is_empty()
}

#[test]
fn a_token_lets_whom_it_is_about() {
    let by = |fill: fn(&mut ActivationClaims), signer: &KeyPair| {
        is_taken(&by_token(&[], &token(fill, signer), "a.>"))
    };
    assert!(by(|_| {}, &account(1)));
    assert!(by(|it| it.body.issuer_account = key(1), &signer(1)));
    assert!(!is_taken(&by_token(&[], "", "a.>")), "no token");
    assert!(!by(|it| it.body.issuer_account = key(1), &signer(3)), "another's signing key");
    assert!(!by(|_| {}, &signer(1)), "a signing key that does not say whose");
    // A public export does not ask for one.
    let registry = registry();
    enter(&registry, 1, |it| it.body.exports = vec![Some(export(Kind::Stream, "a.>", false))]);
    enter(&registry, 2, |it| it.body.imports = vec![Some(import(Kind::Stream, 1, "a.b"))]);
    assert!(is_taken(&registry));
}

/// CVE-2020-26892: tokens that had expired or were taken back went on to count.
#[test]
fn cve_2020_26892_a_token_that_expired_or_was_taken_back_is_none() {
    let until = |expires| token(|it| it.expires = expires, &account(1));
    assert!(!is_taken(&by_token(&[], &until(NOW), "a.>")));
    let registry = by_token(&[], &until(NOW + 1), "a.>");
    let shared = compiled(&registry);
    assert_eq!((taken(&registry, &shared, 2).len(), shared.next), (1, Some(NOW + 1)));
    let shared = compile(&registry.all(), NOW + 1);
    assert_eq!((taken(&registry, &shared, 2).len(), shared.next), (0, None));
    // It may begin to hold.
    let later = by_token(&[], &token(|it| it.not_before = NOW + 5, &account(1)), "a.>");
    assert_eq!((is_taken(&later), compiled(&later).next), (false, Some(NOW + 5)));
    assert!(!taken(&later, &compile(&later.all(), NOW + 5), 2).is_empty());
    // Issued at NOW - 10.
    for (who, second, counts) in [
        (key(2), NOW - 11, true),
        (key(2), NOW - 10, false),
        ("*".to_owned(), NOW - 10, false),
        ("*".to_owned(), NOW - 11, true),
        (key(3), NOW, true),
    ] {
        let registry = by_token(&[(who.clone(), second)], &token(|_| {}, &account(1)), "a.>");
        assert_eq!(is_taken(&registry), counts, "{who} {second}");
    }
}

/// CVE-2021-3127: a token for somebody or something else was as good as any.
#[test]
fn cve_2021_3127_a_token_is_for_one_account_and_what_it_names() {
    type Fill = fn(&mut ActivationClaims);
    for (what, fill) in [
        ("account", (|it| it.subject = key(3)) as Fill),
        ("kind", |it| it.body.import_kind = Some(Kind::Service)),
        ("subject", |it| it.body.import_subject = "b.>".to_owned()),
        ("narrower", |it| it.body.import_subject = "a.b".to_owned()),
        // The reference takes this for wide enough.
        ("one token", |it| it.body.import_subject = "a.*".to_owned()),
        ("exporter", |it| it.body.issuer_account = key(3)),
    ] {
        for signer in [account(1), signer(1)] {
            assert!(!is_taken(&by_token(&[], &token(fill, &signer), "a.>")), "{what}");
        }
    }
    // Somebody else's signature.
    assert!(!is_taken(&by_token(&[], &token(|_| {}, &account(3)), "a.>")));
    let narrow = token(|it| it.body.import_subject = "a.b".to_owned(), &account(1));
    assert!(is_taken(&by_token(&[], &narrow, "a.b")));
}

#[test]
fn the_name_of_an_account_in_its_place_is_enough() {
    let registry = registry();
    let export = Export { account_token_position: 2, ..export(Kind::Service, "a.*", false) };
    enter(&registry, 1, |it| it.body.exports = vec![Some(export)]);
    for (byte, named, expected) in [(2, 2, 1), (3, 2, 0)] {
        let subject = format!("a.{}", key(named));
        let import = import(Kind::Service, 1, &subject);
        enter(&registry, byte, |it| it.body.imports = vec![Some(import)]);
        assert_eq!(taken(&registry, &compiled(&registry), byte).len(), expected, "{byte}");
    }
}

#[test]
fn who_closes_a_circle_is_refused() {
    let registry = registry();
    let both = |from| {
        move |it: &mut AccountClaims| {
            it.body.exports = vec![Some(export(Kind::Stream, "a.>", false))];
            it.body.imports = vec![Some(import(Kind::Stream, from, "a.>"))];
        }
    };
    let counts = |registry: &Registry| {
        let shared = compiled(registry);
        assert!(shared.notes[0].text.ends_with("import forms a cycle"), "{:?}", shared.notes);
        [1, 2].map(|byte| taken(registry, &shared, byte).len())
    };
    enter(&registry, 1, both(2));
    enter(&registry, 2, both(1));
    assert_eq!(counts(&registry), [1, 0]);
    // Claims that come anew come last.
    enter(&registry, 1, |it| {
        both(2)(it);
        it.name = "again".to_owned();
    });
    assert_eq!(counts(&registry), [0, 1]);
}

#[test]
fn responses_and_mappings_are_those_of_the_claims() {
    let registry = registry();
    enter(&registry, 1, |it| {
        let more = Export {
            response_type: "Singleton".to_owned(),
            service_latency: Some(ClaimedLatency { sampling: 30, results: "lat".to_owned() }),
            response_threshold: 5_000_000_000,
            ..export(Kind::Service, "a", false)
        };
        it.body.exports = vec![Some(more)];
        let way = |subject: &str, weight| Weighted {
            subject: subject.to_owned(),
            weight,
            ..Weighted::default()
        };
        it.body.mappings.insert("m.*".to_owned(), vec![way("n.$1", 30), way("o.$1", 70)]);
        it.body.mappings.insert("bad.*".to_owned(), vec![way("n.$2", 100)]);
    });
    let shared = compiled(&registry);
    let terms = shared.terms.get(registry.get(&key(1)).unwrap().account.id).unwrap();
    let service = &terms.exports.services()[0];
    assert_eq!(service.response, ResponseType::Singleton);
    let latency = service.latency.as_ref().unwrap();
    assert_eq!((latency.sampling, &*latency.subject), (Sampling::Percent(30), &b"lat"[..]));
    assert_eq!(service.threshold, Duration::from_secs(5));
    let mappings = terms.mappings.as_ref().unwrap();
    assert_eq!(mappings.iter().count(), 1);
    assert_eq!(mappings.iter().next().unwrap().ways().count(), 2);
    let text = &shared.notes[0].text;
    assert!(text.starts_with("Error adding subject mapping \"bad.*\" for account ["), "{text}");
}
