//! What becomes of clients after the usual judge has spoken, and of answers that were written by
//! anybody.

use super::*;
use crate::auth::accounts::Accounts;
use crate::auth::jwt::claims::now;
use crate::auth::jwt::{AuthorizationResponseClaims, UserClaims};
use crate::auth::nkey::{KeyPair, Role};
use crate::auth::xkey::CurveKey;
use response::Received;
use ringbus_shard::options::Refusal as Refused;

fn key(role: Role, seed: u8) -> KeyPair {
    KeyPair::new(role, &[seed; 32])
}

fn callout(users: &[&str], allowed: &[&str]) -> Callout {
    let accounts = Accounts::new("SYS");
    let all = ["$G", "SYS", "AUTH", "APP"].map(|name| accounts.enter(name));
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let terms = Terms {
        issuer: key(Role::Account, 1).public(),
        account: "AUTH".to_owned(),
        users: set(users),
        xkey: None,
        allowed: set(allowed),
    };
    Callout::new(terms, &all, Desk::default())
}

/// Of a user that was let into that account, or refused.
fn course(callout: &Callout, account: Option<&str>, found: Option<&str>) -> String {
    let grant = |name: &str| Grant { account_name: name.into(), ..Grant::default() };
    let outcome = account.map(grant).ok_or(Refused::Credentials);
    match callout.course(outcome, found) {
        Course::Asked => "asked".to_owned(),
        Course::Stands(Err(_)) => "refused".to_owned(),
        Course::Stands(Ok(grant)) => {
            let denied =
                grant.permissions.is_some_and(|rules| !rules.may_publish(SUBJECT.as_bytes()));
            if denied { "admitted, but may not ask" } else { "admitted" }.to_owned()
        }
    }
}

#[test]
fn who_is_asked_about() {
    type Case<'a> = (&'a [&'a str], Option<&'a str>, Option<&'a str>, &'a str);
    let guarded = "admitted, but may not ask";
    let cases: &[Case<'_>] = &[
        // A user of the service: right, wrong, in other accounts.
        (&[], Some("AUTH"), Some("auth"), guarded),
        (&[], None, Some("auth"), "refused"),
        (&[], Some("APP"), Some("auth"), "admitted"),
        (&[], Some("$G"), Some("auth"), "admitted"),
        // Everybody else, and nobody at all.
        (&[], Some("AUTH"), Some("ann"), "asked"),
        (&[], Some("APP"), Some("ann"), "asked"),
        (&[], Some("$G"), Some("ann"), "asked"),
        (&[], None, Some("ann"), "asked"),
        (&[], None, None, "asked"),
        (&[], Some("$G"), None, "asked"),
        // A name that is empty is nobody's, even on the list.
        (&[], None, Some(""), "asked"),
        // Some accounts only; the global one always.
        (&["APP"], Some("APP"), Some("ann"), "asked"),
        (&["APP"], Some("SYS"), Some("ann"), "admitted"),
        (&["APP"], Some("AUTH"), Some("ann"), "admitted"),
        (&["APP"], Some("AUTH"), Some("auth"), "admitted"),
        (&["APP"], Some("$G"), Some("ann"), "asked"),
        (&["APP"], None, Some("ann"), "asked"),
        (&["APP"], None, Some("auth"), "refused"),
    ];
    for (allowed, account, found, expected) in cases {
        let callout = callout(&["auth", ""], allowed);
        assert_eq!(
            course(&callout, *account, *found),
            *expected,
            "{allowed:?} {account:?} {found:?}"
        );
    }
}

#[test]
fn the_right_to_ask_is_taken_once_and_nothing_else_is() {
    let once = without_asking(Grant::default());
    let twice = without_asking(once.clone());
    let rules = twice.permissions.as_ref().unwrap();
    assert_eq!(rules.rules().publish.deny, [SUBJECT]);
    assert!(rules.may_publish(b"other") && !rules.may_publish(SUBJECT.as_bytes()));
    assert_eq!(once.permissions, twice.permissions);
}

/// Claims of an answer for user 2 of server 3 about a user, changed in some way.
fn answer(change: impl FnOnce(&mut UserClaims)) -> AuthorizationResponseClaims {
    let mut user = UserClaims::new(&key(Role::User, 2).public());
    "APP".clone_into(&mut user.audience);
    change(&mut user);
    let mut claims = AuthorizationResponseClaims {
        subject: key(Role::User, 2).public(),
        audience: key(Role::Server, 3).public(),
        ..AuthorizationResponseClaims::default()
    };
    claims.body.jwt = user.sign(&key(Role::Account, 1));
    claims
}

fn decide(payload: &[u8], sealed: Option<(&CurveKey, &PublicKey)>) -> Result<Grant, Refusal> {
    let (user, server) = (key(Role::User, 2).public(), key(Role::Server, 3).public());
    let received = Received { payload, user: &user, server: &server, account: "AUTH", sealed };
    callout(&["auth"], &[]).decide(received, "", &"bob".to_owned(), false)
}

#[test]
fn what_is_sealed_may_be_signed_by_anybody_and_what_is_open_may_not() {
    let (ours, theirs, others) =
        (CurveKey::new(&[4; 32]), CurveKey::new(&[5; 32]), CurveKey::new(&[6; 32]));
    let by = |seed| answer(|_| {}).sign(&key(Role::Account, seed)).into_bytes();
    let sealed = Some((&ours, theirs.public()));
    assert!(decide(&by(1), None).is_ok() && decide(&by(1), sealed).is_ok());
    assert_eq!(decide(&by(7), None).unwrap_err(), Refusal::UnknownSigner);
    assert_eq!(decide(&by(7), sealed).unwrap_err(), Refusal::UnknownSigner);
    let seal = |with: &CurveKey| with.seal(&by(7), ours.public()).unwrap();
    assert!(decide(&seal(&theirs), sealed).is_ok(), "whoever can seal it is the service");
    assert!(matches!(decide(&seal(&others), sealed), Err(Refusal::Sealed(..))));
    // What was not asked in secret is not answered so.
    assert!(matches!(decide(&seal(&theirs), None), Err(Refusal::Fault(_))));
}

#[test]
fn a_user_is_what_the_claims_say() {
    let decide = |change: &dyn Fn(&mut UserClaims)| {
        decide(answer(change).sign(&key(Role::Account, 1)).as_bytes(), None).unwrap()
    };
    let grant = decide(&|_| {});
    assert_eq!((&*grant.account_name, grant.user.as_deref()), ("APP", Some("bob")));
    assert!(!grant.renamed && grant.permissions.is_none() && grant.stays.is_none());
    assert!(grant.proof.is_none(), "it is asked about again");
    let grant = decide(&|user| {
        "joe".clone_into(&mut user.name);
        user.expires = now() + 100;
        user.body.limits.publish.allow.push("a".to_owned());
    });
    assert_eq!((grant.user.as_deref(), grant.renamed), (Some("joe"), true));
    assert!((99..=100).contains(&grant.stays.unwrap().as_secs()));
    assert!(!grant.permissions.unwrap().may_publish(b"b"));
    // Who gets into the account of the service may not ask in the name of the server.
    let grant = decide(&|user| "AUTH".clone_into(&mut user.audience));
    assert!(!grant.permissions.unwrap().may_publish(SUBJECT.as_bytes()));
}

#[test]
fn corpus() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/callout");
    let entries: Vec<_> = corpus.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(entries.len() >= 3, "{}", entries.len());
    for path in entries {
        fuzz(&std::fs::read(path).unwrap());
    }
}
