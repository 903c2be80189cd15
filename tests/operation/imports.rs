//! What accounts take from each other by their claims: pushed, used, taken back, while clients are
//! connected.

use ringbus::auth::jwt::ActivationClaims;
use ringbus::auth::jwt::mapping::Weighted;
use ringbus::auth::jwt::sharing::{Export, Import, Kind};

use ringbus::auth::jwt::AccountClaims;
use ringbus::auth::jwt::claims::now;
use ringbus::auth::jwt::key::{KeyPair, Role};
use ringbus_test_support::{PATIENCE, Raw, eventually};

use super::Process;
use super::operators::{Admin, account_claims, done, enters, heard, key, start, user_claims};

fn exporting() -> KeyPair {
    key(Role::Account, 20)
}

fn importing() -> KeyPair {
    key(Role::Account, 21)
}

/// Somebody of an account.
fn client(process: &Process, account: &KeyPair) -> Raw {
    let user = key(Role::User, 30);
    enters(process, &user_claims(&user, account, |_| {}), &user)
}

fn export(kind: Kind, subject: &str, token_req: bool) -> Option<Export> {
    Some(Export { kind: Some(kind), subject: subject.into(), token_req, ..Export::default() })
}

fn import(kind: Kind, subject: &str, local: &str, token: String) -> Option<Import> {
    Some(Import {
        kind: Some(kind),
        account: exporting().public(),
        subject: subject.into(),
        local_subject: local.into(),
        token,
        ..Import::default()
    })
}

fn activation(fill: impl FnOnce(&mut ActivationClaims)) -> String {
    let subject = importing().public();
    let mut claims = ActivationClaims { subject, ..ActivationClaims::default() };
    claims.body.import_kind = Some(Kind::Stream);
    claims.body.import_subject = "s.>".to_owned();
    fill(&mut claims);
    claims.sign_at(&exporting(), now() - 10)
}

/// Accounts in the order in which they are pushed and enter, with all that they share.
fn claims(exports: bool, change: impl FnOnce(&mut AccountClaims)) -> String {
    let account = if exports { exporting() } else { importing() };
    account_claims(&account, now(), change)
}

fn sends(from: &mut Raw, subject: &str) {
    from.send(format!("PUB {subject} 2\r\nhi\r\nPING\r\n").as_bytes()).unwrap();
    assert_eq!(heard(from).unwrap(), "PONG");
}

/// Whether a subscription has the messages of the other account.
fn is_shared(from: &mut Raw, to: &mut Raw, subject: &str, seen: &str) -> bool {
    sends(from, subject);
    to.send(b"PUB end 0\r\n\r\n").unwrap();
    let mut any = false;
    loop {
        let line = heard(to).unwrap();
        let subject = line.split(' ').nth(1).unwrap().to_owned();
        assert!(line.starts_with("MSG "), "{line}");
        to.line().unwrap();
        match &*subject {
            "end" => return any,
            other => assert_eq!(other, seen),
        }
        any = true;
    }
}

#[test]
fn streams_come_and_go_with_claims_and_tokens() {
    let process = start("{ type: full, dir: './jwt' }");
    let mut admin = Admin::new(&process);
    let imports = |token: String| {
        move |claims: &mut AccountClaims| {
            claims.body.imports = vec![import(Kind::Stream, "s.>", "in.>", token)];
        }
    };
    // The importing account is heard of first: the other one is found in the folder.
    for text in [
        claims(true, |it| it.body.exports = vec![export(Kind::Stream, "s.>", true)]),
        claims(false, imports(activation(|_| {}))),
    ] {
        assert_eq!(admin.push(&text), done("jwt updated"));
    }
    let mut reader = client(&process, &importing());
    reader.send(b"SUB in.> 1\r\nSUB end 2\r\n").unwrap();
    reader.sync().unwrap();
    let mut writer = client(&process, &exporting());
    let mut is = |expected: bool, why: &str| {
        let same = || is_shared(&mut writer, &mut reader, "s.a", "in.a") == expected;
        eventually(why, PATIENCE, same);
    };
    is(true, "a token");
    // Without a token.
    admin.push(&claims(false, imports(String::new())));
    is(false, "no token");
    // Again, and until a moment from now.
    admin.push(&claims(false, imports(activation(|it| it.expires = now() + 2))));
    is(true, "a token for two seconds");
    is(false, "it expires");
    // Taken back by the exporting account, one by one and all at once.
    admin.push(&claims(false, imports(activation(|_| {}))));
    is(true, "another token");
    for who in [importing().public(), "*".to_owned()] {
        let mut revoking = export(Kind::Stream, "s.>", true);
        revoking.as_mut().unwrap().revocations.0.insert(who, now());
        admin.push(&claims(true, |it| it.body.exports = vec![revoking]));
        is(false, "taken back");
        admin.push(&claims(true, |it| it.body.exports = vec![export(Kind::Stream, "s.>", true)]));
        is(true, "given again");
    }
    // Exported no more, then to everybody.
    admin.push(&claims(true, |_| {}));
    is(false, "not exported");
    admin.push(&claims(true, |it| it.body.exports = vec![export(Kind::Stream, "s.>", false)]));
    is(true, "exported to all");
}

#[test]
fn services_and_mappings_come_and_go_with_claims() {
    let process = start("{ type: full, dir: './jwt' }");
    let mut admin = Admin::new(&process);
    let mut asker = {
        let text = claims(false, |it| {
            it.body.imports = vec![import(Kind::Service, "v.*", "ask.*", "".into())]
        });
        admin.push(&text);
        client(&process, &importing())
    };
    asker.send(b"SUB answer 1\r\nSUB end 2\r\nSUB mapped 3\r\n").unwrap();
    asker.sync().unwrap();
    // Nobody has heard of the exporting account yet. Once it is pushed, it is what is asked for.
    admin.push(&claims(true, |it| it.body.exports = vec![export(Kind::Service, "v.*", false)]));
    let mut server = client(&process, &exporting());
    server.send(b"SUB v.x 1\r\n").unwrap();
    server.sync().unwrap();
    let mut asked = || {
        asker.send(b"PUB ask.x answer 1\r\n?\r\nPING\r\n").unwrap();
        assert_eq!(heard(&mut asker).unwrap(), "PONG");
        server.send(b"PING\r\n").unwrap();
        let line = heard(&mut server).unwrap();
        if line == "PONG" {
            return false;
        }
        let reply = line.split(' ').nth(3).unwrap().to_owned();
        assert!(line.starts_with("MSG v.x 1 ") && reply.starts_with("_R_."), "{line}");
        assert_eq!((&*server.line().unwrap(), &*heard(&mut server).unwrap()), ("?", "PONG"));
        server.send(format!("PUB {reply} 1\r\n!\r\n").as_bytes()).unwrap();
        assert_eq!(heard(&mut asker).unwrap(), "MSG answer 1 1");
        assert_eq!(asker.line().unwrap(), "!");
        true
    };
    eventually("the exporting account is found", PATIENCE, &mut asked);
    admin.push(&claims(true, |_| {}));
    eventually("not exported", PATIENCE, || !asked());
    admin.push(&claims(true, |it| it.body.exports = vec![export(Kind::Service, "v.*", false)]));
    eventually("exported again", PATIENCE, &mut asked);
    // A mapping of the importing account.
    let mut mapped = || {
        asker.send(b"PUB from 2\r\nhi\r\nPUB end 0\r\n\r\n").unwrap();
        let line = heard(&mut asker).unwrap();
        asker.line().unwrap();
        if line.starts_with("MSG end ") {
            return false;
        }
        assert_eq!(line, "MSG mapped 3 2");
        assert!(heard(&mut asker).unwrap().starts_with("MSG end "));
        asker.line().unwrap();
        true
    };
    assert!(!mapped());
    let to = Weighted { subject: "mapped".to_owned(), ..Weighted::default() };
    admin.push(&claims(false, |it| drop(it.body.mappings.insert("from".to_owned(), vec![to]))));
    eventually("a mapping", PATIENCE, &mut mapped);
    admin.push(&claims(false, |_| {}));
    eventually("no mapping", PATIENCE, || !mapped());
}
