//! The same in operator mode: the claims of an account name its service.

use ringbus::auth::jwt::account::ExternalAuthorization;
use ringbus::auth::jwt::claims::now;
use ringbus::auth::jwt::signers::Scope;
use ringbus::auth::jwt::{AccountClaims, OperatorClaims, UserClaims};
use ringbus::auth::nkey::{KeyPair, Role};
use ringbus::auth::xkey::CurveKey;
use ringbus_test_support::Server;

use super::{Asked, Service, each, enters, eventually_logs, is_refused, service_xkey, user_info};

fn key(role: Role, byte: u8) -> KeyPair {
    KeyPair::new(role, &[byte; 32])
}

/// Accounts: of the service, others that it may and may not let users into.
const SYS: u8 = 10;
const AUTH: u8 = 11;
const APP: u8 = 12;
const OTHER: u8 = 13;
/// Signing keys of `APP`: one that signs for anybody, one that signs for a role.
const SIGNER: u8 = 14;
const ROLE: u8 = 15;

fn account(byte: u8) -> KeyPair {
    key(Role::Account, byte)
}

fn account_claims(byte: u8, change: impl FnOnce(&mut AccountClaims)) -> String {
    let mut claims = AccountClaims::new(&account(byte).public());
    change(&mut claims);
    claims.sign(&key(Role::Operator, 1))
}

/// Claims of a user who needs no key.
fn bearer(byte: u8, account_byte: u8, change: impl FnOnce(&mut UserClaims)) -> String {
    let mut claims = UserClaims::new(&key(Role::User, byte).public());
    claims.body.limits.bearer = true;
    change(&mut claims);
    // The same text whenever it is made.
    claims.sign_at(&account(account_byte), 1)
}

/// That of the service, and that of clients that have nothing better.
fn service_user() -> String {
    bearer(1, AUTH, |_| {})
}

fn sentinel() -> String {
    bearer(2, AUTH, |claims| {
        "guest".clone_into(&mut claims.name);
        claims.body.generic.tags.push("a:b".to_owned());
        claims.body.limits.publish.deny.push(">".to_owned());
    })
}

fn config(allowed: &[&str], xkey: Option<&CurveKey>) -> String {
    let mut operator = OperatorClaims::new(&key(Role::Operator, 1).public());
    operator.body.system_account = account(SYS).public();
    let operator = operator.sign(&key(Role::Operator, 1));
    let auth = account_claims(AUTH, |claims| {
        claims.body.authorization = ExternalAuthorization {
            auth_users: vec![key(Role::User, 1).public()],
            allowed_accounts: allowed.iter().map(|&name| name.to_owned()).collect(),
            xkey: xkey.map(|key| key.public().to_string()).unwrap_or_default(),
        };
    });
    let app = account_claims(APP, |claims| {
        let keys = &mut claims.body.signing_keys.0;
        keys.insert(account(SIGNER).public(), None);
        let (kind, key) = ("user_scope".to_owned(), account(ROLE).public());
        let mut role = Scope { kind, key, ..Scope::default() };
        role.template.subs = -1;
        role.template.publish.allow.push("role.{{name()}}".to_owned());
        keys.insert(account(ROLE).public(), Some(Box::new(role)));
    });
    let preload = [(SYS, account_claims(SYS, |_| {})), (AUTH, auth), (APP, app)];
    let other = (OTHER, account_claims(OTHER, |_| {}));
    let preload: String = preload
        .iter()
        .chain([&other])
        .map(|(byte, jwt)| format!("{}: {jwt}\n", account(*byte).public()))
        .collect();
    format!(
        "server_name: here\nauthorization {{ timeout: 1.5 }}\noperator: {operator}\n\
         resolver: MEMORY\nresolver_preload: {{\n{preload}}}\n"
    )
}

fn service(
    server: &Server,
    xkey: Option<CurveKey>,
    answer: impl Fn(&Asked) -> Option<Vec<u8>> + Send + 'static,
) -> Service {
    let connect = format!("{{\"verbose\":false,\"headers\":true,\"jwt\":\"{}\"}}", service_user());
    Service::start_with(server, &connect, xkey, answer)
}

/// What somebody says who has nothing but the claims for that.
fn guest(user: &str) -> String {
    format!("\"jwt\":\"{}\",\"user\":\"{user}\",\"pass\":\"secret\"", sentinel())
}

/// An answer that lets the user into an account, signed as its name says.
fn answer(asked: &Asked) -> Vec<u8> {
    let mut claims = asked.user_claims("");
    let app = account(APP).public();
    let signer = match asked.user() {
        "own" | "response-account" | "response-signer" => AUTH,
        "app" => APP,
        "other" => OTHER,
        "signer" | "expired" => SIGNER,
        "role" => ROLE,
        "stranger" => 99,
        name => panic!("{name}"),
    };
    if [SIGNER, ROLE, 99].contains(&signer) {
        claims.body.issuer_account = app;
    }
    if signer == ROLE {
        claims.body.limits = Default::default();
    } else {
        let allowed = ["allowed", "$SYS.REQ.USER.INFO"].map(str::to_owned);
        claims.body.limits.publish.allow.extend(allowed);
    }
    if asked.user() == "expired" {
        claims.expires = now() - 5;
    }
    let jwt = claims.sign(&account(signer));
    let by = if asked.user() == "response-signer" { OTHER } else { AUTH };
    asked.answer_by(&account(by), |claims| {
        claims.body.jwt = jwt;
        if asked.user() == "response-account" {
            claims.body.issuer_account = account(OTHER).public();
        }
    })
}

#[test]
fn the_service_of_an_account_decides_about_its_users() {
    let app = account(APP).public();
    each(&config(&[&app], None), |server, _| {
        let service = service(server, None, |asked| Some(answer(asked)));
        for (user, account_byte) in [("own", AUTH), ("app", APP), ("signer", APP)] {
            let mut raw = enters(server, &guest(user));
            let asked = service.next();
            let info = user_info(&mut raw);
            assert_eq!(info["user"], user);
            assert_eq!(info["account"], account(account_byte).public(), "{user}");
            let claims = &asked.claims;
            assert_eq!(claims.subject, account(AUTH).public());
            let client = &claims.body.client_info;
            assert_eq!((&*client.user, &*client.name_tag), (user, "guest"));
            assert_eq!(client.tags, ["a:b"]);
            assert_eq!(claims.body.connect_opts.jwt, sentinel());
            raw.send(b"PUB allowed 1\r\nx\r\n").unwrap();
            raw.sync().unwrap();
            raw.send(b"PUB other 1\r\nx\r\n").unwrap();
            assert!(raw.line().unwrap().starts_with("-ERR 'Permissions Violation"), "{user}");
        }
        let mut raw = enters(server, &guest("role"));
        raw.send(b"PUB role.role 1\r\nx\r\n").unwrap();
        raw.sync().unwrap();
        raw.send(b"PUB allowed 1\r\nx\r\n").unwrap();
        assert!(raw.line().unwrap().starts_with("-ERR 'Permissions Violation"));
        let known_as = "is not known";
        for (user, why) in [
            ("other", "not permitted as valid account option for auth callout for account"),
            ("stranger", known_as),
            ("expired", "Error validating user JWT: claim is expired"),
            ("response-account", "is not the callout account"),
            ("response-signer", "Auth callout signing key is unknown"),
        ] {
            is_refused(server, &guest(user));
            eventually_logs(server, why);
        }
        assert!(!server.log().contains("secret"), "{}", server.log());
        // Claims that do not hold are refused without a question; so is who brings none.
        while service.asked.try_recv().is_ok() {}
        let expired = bearer(3, AUTH, |claims| claims.expires = now() - 5);
        is_refused(server, &format!("\"jwt\":\"{expired}\""));
        is_refused(server, "\"user\":\"own\"");
        assert!(service.asked.try_recv().is_err());
        // Accounts without a service are let alone.
        let user = bearer(4, APP, |_| {});
        enters(server, &format!("\"jwt\":\"{user}\""));
        assert!(service.asked.try_recv().is_err());
        // The service itself is not asked about, and may not ask.
        let mut raw = enters(server, &format!("\"jwt\":\"{}\"", service_user()));
        raw.send(b"PUB $SYS.REQ.USER.AUTH 1\r\nx\r\n").unwrap();
        assert!(raw.line().unwrap().starts_with("-ERR 'Permissions Violation"));
    });
}

#[test]
fn a_service_may_be_allowed_every_account_and_asked_in_secret() {
    each(&config(&["*"], Some(&service_xkey())), |server, _| {
        let service = service(server, Some(service_xkey()), |asked| Some(answer(asked)));
        let mut raw = enters(server, &guest("other"));
        assert_eq!(user_info(&mut raw)["account"], account(OTHER).public());
        let asked = service.next();
        assert_eq!(asked.xkey.as_deref(), Some(&*asked.claims.body.server_id.xkey));
        // Whoever can seal an answer is the service, whatever key signs it.
        enters(server, &guest("response-signer"));
        is_refused(server, &guest("stranger"));
    });
}

#[test]
fn who_brings_no_claims_may_have_those_for_guests() {
    let config = format!("{}default_sentinel: {}\n", config(&[], None), sentinel());
    each(&config, |server, _| {
        let service = service(server, None, |asked| Some(answer(asked)));
        enters(server, "\"user\":\"own\",\"pass\":\"p\"");
        assert_eq!(service.next().claims.body.connect_opts.jwt, sentinel());
    });
}
