//! Operator mode from outside: keys, claims and signatures over the wire, a folder of claims, and
//! operators who send, take back and delete claims while the server runs.

use std::fs;
use std::time::Duration;

use ringbus::auth::jwt::claims::now;
use ringbus::auth::jwt::key::{KeyPair, Role};
use ringbus::auth::jwt::limits::Permission;
use ringbus::auth::jwt::signers::Scope;
use ringbus::auth::jwt::{AccountClaims, OperatorClaims, UserClaims, revoked, token};
use ringbus_test_support::{PATIENCE, Raw, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Process;

pub(super) fn key(role: Role, byte: u8) -> KeyPair {
    KeyPair::new(role, &[byte; 32])
}

fn operator() -> KeyPair {
    key(Role::Operator, 1)
}

pub(super) fn system() -> KeyPair {
    key(Role::Account, 2)
}

pub(super) fn account() -> KeyPair {
    key(Role::Account, 3)
}

pub(super) fn operator_claims() -> String {
    let mut claims = OperatorClaims::new(&operator().public());
    claims.body.system_account = system().public();
    claims.sign(&operator())
}

/// Claims about an account, changed in some way, issued at some second.
pub(super) fn account_claims(
    account: &KeyPair,
    issued: i64,
    change: impl FnOnce(&mut AccountClaims),
) -> String {
    let mut claims = AccountClaims::new(&account.public());
    change(&mut claims);
    claims.sign_at(&operator(), issued)
}

pub(super) fn user_claims(
    user: &KeyPair,
    signer: &KeyPair,
    change: impl FnOnce(&mut UserClaims),
) -> String {
    let mut claims = UserClaims::new(&user.public());
    change(&mut claims);
    claims.sign(signer)
}

/// A server with a folder of claims.
pub(super) fn start(resolver: &str) -> Process {
    let folder = TempDir::new().unwrap();
    let operator = operator_claims();
    let head = "server_name: here\nauthorization { timeout: 20 }";
    let config = format!("{head}\noperator: {operator}\nresolver: {resolver}\n");
    fs::write(folder.path().join("conf"), config).unwrap();
    fs::write(folder.path().join("operator.jwt"), operator).unwrap();
    Process::start_in(folder, &["-c", "conf", "-D"], &[])
}

/// A client that proves that it has the key of its claims, and whatever it hears to its CONNECT.
pub(super) fn offer(process: &Process, jwt: &str, user: &KeyPair) -> (Raw, String) {
    let mut raw = Raw::connect(process.address()).unwrap();
    let info = raw.line().unwrap();
    let info: Value = serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap();
    assert_eq!(info["auth_required"], true);
    let nonce = info["nonce"].as_str().unwrap();
    assert_eq!(nonce.len(), 15);
    let sig = data_encoding::BASE64URL_NOPAD.encode(&user.sign(nonce.as_bytes()));
    let connect = json!({"verbose": false, "protocol": 0, "jwt": jwt, "sig": sig});
    raw.send(format!("CONNECT {connect}\r\nPING\r\n").as_bytes()).unwrap();
    let answer = heard(&mut raw).unwrap();
    (raw, answer)
}

pub(super) fn enters(process: &Process, jwt: &str, user: &KeyPair) -> Raw {
    let (raw, heard) = offer(process, jwt, user);
    assert_eq!(heard, "PONG", "{}", process.text("stderr"));
    raw
}

fn is_refused(process: &Process, jwt: &str, user: &KeyPair) {
    let (_, heard) = offer(process, jwt, user);
    assert_eq!(heard, "-ERR 'Authorization Violation'", "{}", process.text("stderr"));
}

/// The next line that is no PING.
pub(super) fn heard(raw: &mut Raw) -> std::io::Result<String> {
    loop {
        let line = raw.line()?;
        if line != "PING" {
            return Ok(line);
        }
    }
}

/// Who speaks for the operator.
pub(super) struct Admin {
    raw: Raw,
}

impl Admin {
    pub(super) fn new(process: &Process) -> Self {
        let user = key(Role::User, 9);
        let mut raw = enters(process, &user_claims(&user, &system(), |_| {}), &user);
        raw.send(b"SUB answers 1\r\n").unwrap();
        raw.sync().unwrap();
        Self { raw }
    }

    /// The payload of the next message.
    fn message(&mut self) -> String {
        let line = heard(&mut self.raw).unwrap();
        assert!(line.starts_with("MSG answers 1 "), "{line}");
        self.raw.line().unwrap()
    }

    fn ask(&mut self, subject: &str, body: &str) -> String {
        let text = format!("PUB {subject} answers {}\r\n{body}\r\n", body.len());
        self.raw.send(text.as_bytes()).unwrap();
        self.message()
    }

    /// The same, and what it says of the outcome.
    fn asks(&mut self, subject: &str, body: &str) -> (i64, String) {
        let answer: Value = serde_json::from_str(&self.ask(subject, body)).unwrap();
        assert_eq!(answer["server"]["name"], "here", "{answer}");
        let (data, text) = match answer.get("data") {
            Some(data) => (data.clone(), data["message"].clone()),
            None => (answer["error"].clone(), answer["error"]["description"].clone()),
        };
        (data["code"].as_i64().unwrap(), text.as_str().unwrap().to_owned())
    }

    pub(super) fn push(&mut self, claims: &str) -> (i64, String) {
        self.asks("$SYS.REQ.CLAIMS.UPDATE", claims)
    }
}

pub(super) fn done(text: &str) -> (i64, String) {
    (200, text.to_owned())
}

const FULL: &str = "{ type: full, dir: \"jwt\", allow_delete: true }";

#[test]
fn claims_are_pushed_taken_back_and_deleted() {
    let process = start(FULL);
    let (user, other) = (key(Role::User, 4), key(Role::User, 5));
    let (jwt, other_jwt) =
        (user_claims(&user, &account(), |_| {}), user_claims(&other, &account(), |_| {}));
    is_refused(&process, &jwt, &user);

    // Nobody has signed the system account yet: it is there all the same, to be sent its claims.
    let mut admin = Admin::new(&process);
    let system_jwt = account_claims(&system(), now(), |_| {});
    assert_eq!(admin.push(&system_jwt), done("jwt updated"));
    let public = account().public();
    let text = account_claims(&account(), now(), |_| {});
    let subject = format!("$SYS.REQ.ACCOUNT.{public}.CLAIMS.UPDATE");
    assert_eq!(admin.asks(&subject, &text), done("jwt updated"));
    let (mut client, mut friend) =
        (enters(&process, &jwt, &user), enters(&process, &other_jwt, &other));
    client.send(b"SUB foo 1\r\n").unwrap();
    client.sync().unwrap();
    friend.send(b"PUB foo 2\r\nhi\r\n").unwrap();
    assert_eq!(heard(&mut client).unwrap(), "MSG foo 1 2");
    assert_eq!(heard(&mut client).unwrap(), "hi");

    let list: Value = serde_json::from_str(&admin.ask("$SYS.REQ.CLAIMS.LIST", "")).unwrap();
    let mut keys = [public.clone(), system().public()];
    keys.sort();
    assert_eq!(list["data"], json!(keys));
    let lookup = format!("$SYS.REQ.ACCOUNT.{public}.CLAIMS.LOOKUP");
    assert_eq!(admin.ask(&lookup, ""), text);
    let nobody = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP", key(Role::Account, 99).public());
    assert_eq!(admin.ask(&nobody, ""), "");
    let mut pack = vec![admin.ask("$SYS.REQ.CLAIMS.PACK", "")];
    pack.extend([admin.message(), admin.message()]);
    let expected = keys.each_ref().map(|key| {
        let claims = if *key == public { &text } else { &system_jwt };
        format!("{key}|{claims}")
    });
    assert_eq!(pack[..2], expected);
    assert_eq!(pack[2], "");

    // One user is taken back, the other stays.
    let revoking = account_claims(&account(), now() + 1, |claims| {
        claims.body.revocations.0.insert(user.public(), now());
    });
    assert_eq!(admin.push(&revoking), done("jwt updated"));
    assert_eq!(heard(&mut client).unwrap(), "-ERR 'User Authentication Revoked'");
    is_refused(&process, &jwt, &user);
    friend.sync().unwrap();

    // Everybody is.
    let revoking = account_claims(&account(), now() + 2, |claims| {
        claims.body.revocations.0.insert(revoked::EVERYBODY.into(), now());
    });
    assert_eq!(admin.push(&revoking), done("jwt updated"));
    assert_eq!(heard(&mut friend).unwrap(), "-ERR 'User Authentication Revoked'");
    let text = account_claims(&account(), now() + 3, |_| {});
    assert_eq!(admin.push(&text), done("jwt updated"));
    let mut client = enters(&process, &jwt, &user);

    // The account goes, and comes back.
    let delete = |signer: &KeyPair| {
        let claims = json!({
            "iss": signer.public(), "sub": signer.public(),
            "nats": {"accounts": [public], "type": "generic", "version": 2},
        });
        token::seal(claims.to_string().as_bytes(), signer)
    };
    let (code, why) = admin.asks("$SYS.REQ.CLAIMS.DELETE", &delete(&key(Role::Operator, 66)));
    assert!(code == 500 && why.ends_with("failed - not trusted"), "{why}");
    let deleted = admin.asks("$SYS.REQ.CLAIMS.DELETE", &delete(&operator()));
    assert_eq!(deleted, done("deleted 1 accounts"));
    assert_eq!(heard(&mut client).unwrap(), "-ERR 'Account Authentication Expired'");
    is_refused(&process, &jwt, &user);
    assert!(process.path(&format!("jwt/{public}.jwt.deleted")).exists());
    assert_eq!(admin.push(&text), done("jwt updated"));
    enters(&process, &jwt, &user);
    let log = process.text("stderr");
    for secret in [&jwt, &other_jwt, &text] {
        assert!(!log.contains(secret.as_str()), "claims are in the log");
    }
}

#[test]
fn nobody_else_can_push() {
    let process = start(FULL);
    let mut admin = Admin::new(&process);
    let evil = key(Role::Operator, 66);
    let mut claims = AccountClaims::new(&account().public());
    let (code, why) = admin.push(&claims.sign(&evil));
    assert_eq!((code, &*why), (500, "jwt update resulted in error - account validation failed"));
    // An account that signs itself.
    let (code, _) = admin.push(&claims.sign(&account()));
    assert_eq!(code, 500);
    let (code, why) = admin.push("nonsense");
    assert_eq!((code, &*why), (500, "jwt update resulted in error - expected 3 chunks"));
    let text = account_claims(&account(), now(), |_| {});
    let subject = format!("$SYS.REQ.ACCOUNT.{}.CLAIMS.UPDATE", system().public());
    let (code, why) = admin.asks(&subject, &text);
    let expected = "jwt update resulted in error - subject does not match jwt content";
    assert_eq!((code, &*why), (500, expected));
    let broken = account_claims(&account(), now(), |claims| {
        claims.body.signing_keys.0.insert("nonsense".into(), None);
    });
    let (code, why) = admin.push(&broken);
    assert!(code == 500 && why.starts_with("jwt validation failed - validation errors:"), "{why}");
    // Somebody who is in no system account is not even heard.
    assert_eq!(admin.push(&text), done("jwt updated"));
    let user = key(Role::User, 4);
    let mut client = enters(&process, &user_claims(&user, &account(), |_| {}), &user);
    client.send(b"SUB answers 1\r\nPUB $SYS.REQ.CLAIMS.LIST answers 0\r\n\r\n").unwrap();
    client.sync().unwrap();
    assert_eq!(fs::read_dir(process.path("jwt")).unwrap().count(), 1);
}

#[test]
fn time_ends_users_and_accounts() {
    let process = start(FULL);
    let mut admin = Admin::new(&process);
    let until = now() + 3;
    let text = account_claims(&account(), now(), |claims| claims.expires = until);
    assert_eq!(admin.push(&text), done("jwt updated"));
    let (user, brief) = (key(Role::User, 4), key(Role::User, 5));
    let (jwt, brief_jwt) = (
        user_claims(&user, &account(), |_| {}),
        user_claims(&brief, &account(), |claims| claims.expires = now() + 1),
    );
    let mut client = enters(&process, &jwt, &user);
    let mut ends = enters(&process, &brief_jwt, &brief);
    assert_eq!(heard(&mut ends).unwrap(), "-ERR 'User Authentication Expired'");
    assert_eq!(heard(&mut client).unwrap(), "-ERR 'Account Authentication Expired'");
    assert!(now() >= until, "too early");
    is_refused(&process, &jwt, &user);
    let text = account_claims(&account(), now() + 1, |_| {});
    assert_eq!(admin.push(&text), done("jwt updated"));
    enters(&process, &jwt, &user);
    eventually("it is refused", PATIENCE, || now() > until);
    is_refused(&process, &brief_jwt, &brief);
}

#[test]
fn signing_keys_come_and_go() {
    let process = start(FULL);
    let mut admin = Admin::new(&process);
    let signer = key(Role::Account, 7);
    let role = |allowed: &str| Scope {
        kind: "user_scope".into(),
        key: key(Role::Account, 7).public(),
        role: "reader".into(),
        template: ringbus::auth::jwt::limits::UserLimits {
            publish: Permission { allow: vec![allowed.into()], deny: Vec::new() },
            ..ringbus::auth::jwt::limits::UserLimits::unlimited()
        },
        description: String::new(),
    };
    let with = |scope: Option<Scope>, issued: i64| {
        account_claims(&account(), issued, |claims| {
            let scope = scope.map(Box::new);
            claims.body.signing_keys.0.insert(key(Role::Account, 7).public(), scope);
        })
    };
    assert_eq!(admin.push(&with(Some(role("a.{{name()}}")), now())), done("jwt updated"));
    let user = key(Role::User, 4);
    let jwt = user_claims(&user, &signer, |claims| {
        claims.body = Default::default();
        claims.name = "joe".into();
        claims.body.issuer_account = account().public();
    });
    let mut client = enters(&process, &jwt, &user);
    client.send(b"PUB a.joe 0\r\n\r\nPUB a.eve 0\r\n\r\n").unwrap();
    assert_eq!(
        heard(&mut client).unwrap(),
        "-ERR 'Permissions Violation for Publish to \"a.eve\"'"
    );

    // Another role: who has the old one comes back for the new one.
    assert_eq!(admin.push(&with(Some(role("b")), now() + 1)), done("jwt updated"));
    assert!(heard(&mut client).is_err(), "it is let go without a word");
    let mut client = enters(&process, &jwt, &user);
    client.send(b"PUB a.joe 0\r\n\r\n").unwrap();
    assert_eq!(
        heard(&mut client).unwrap(),
        "-ERR 'Permissions Violation for Publish to \"a.joe\"'"
    );

    assert_eq!(admin.push(&account_claims(&account(), now() + 2, |_| {})), done("jwt updated"));
    assert!(heard(&mut client).is_err());
    is_refused(&process, &jwt, &user);
}

#[test]
fn a_reload_and_a_restart_keep_what_was_pushed() {
    let process = start(FULL);
    let mut admin = Admin::new(&process);
    assert_eq!(admin.push(&account_claims(&account(), now(), |_| {})), done("jwt updated"));
    let user = key(Role::User, 4);
    let jwt = user_claims(&user, &account(), |_| {});
    let mut client = enters(&process, &jwt, &user);
    let conf = process.path("conf");
    let text = fs::read_to_string(&conf).unwrap();
    fs::write(&conf, format!("{text}\nresolver_pinned_accounts: {}\n", system().public())).unwrap();
    process.signal(Signal::HUP);
    eventually("the client is let go", PATIENCE, || client.sync().is_err());
    is_refused(&process, &jwt, &user);
    Admin::new(&process);
    fs::write(&conf, text.replace("here", "there")).unwrap();
    process.signal(Signal::HUP);
    let refused = "config reload not supported for server_name";
    eventually("the reload is refused", PATIENCE, || process.text("stderr").contains(refused));
    fs::write(&conf, text).unwrap();
    process.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(10));
    eventually("it may enter again", PATIENCE, || offer(&process, &jwt, &user).1 == "PONG");
}

#[test]
fn a_cache_takes_only_what_it_knows() {
    let process = start("{ type: cache, dir: \"jwt\", ttl: \"1h\" }");
    let mut admin = Admin::new(&process);
    let text = account_claims(&account(), now(), |_| {});
    assert_eq!(admin.push(&text), done("jwt update cache skipped"));
    let text = account_claims(&system(), now(), |_| {});
    assert_eq!(admin.push(&text), done("jwt updated cache"));
}
