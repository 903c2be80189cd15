//! A service that decides who may connect, against the real binary, and against nats-server where
//! there is one: what it is asked, and what becomes of its answers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "what tests read they wrote")]

mod crowd;
mod operator;

use std::fs;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use ringbus::auth::jwt::claims::now;
use ringbus::auth::jwt::limits::Permission;
use ringbus::auth::jwt::schedule::TimeRange;
use ringbus::auth::jwt::{AuthorizationRequestClaims, AuthorizationResponseClaims, UserClaims};
use ringbus::auth::nkey::{KeyPair, PublicKey, Role};
use ringbus::auth::xkey::CurveKey;
use ringbus_test_support::{Program, Raw, Server, eventually};
use tempfile::TempDir;

/// Long enough for a machine that is busy, short enough to wait for.
const TIMEOUT: &str = "1.5";

const AUTH: &str = r#"{"verbose":false,"headers":true,"user":"auth","pass":"pwd"}"#;

fn issuer() -> KeyPair {
    KeyPair::new(Role::Account, &[3; 32])
}

fn service_xkey() -> CurveKey {
    CurveKey::new(&[5; 32])
}

/// A configuration with accounts `AUTH`, `APP` and `OTHER`, and more about the service.
fn config(more: &str) -> String {
    format!(
        "server_name: here\nserver_tags: [\"a:b\", c]\nmax_payload: 4kb\n\
         accounts {{\n\
           AUTH: {{ users: [ {{ user: auth, password: pwd }}\n\
             {{ user: second, password: s }} ] }}\n\
           APP: {{ users: [ {{ user: ann, password: a }} ] }}\n\
           OTHER: {{}}\n\
           SYS: {{ users: [ {{ user: sys, password: sys }} ] }}\n\
         }}\n\
         system_account: SYS\n\
         authorization {{\n\
           timeout: {TIMEOUT}\n\
           auth_callout {{ issuer: {}, account: AUTH, auth_users: [ auth, sys ]\n{more} }}\n\
         }}\n",
        issuer().public()
    )
}

/// Every server that there is, started with this configuration.
fn each(config: &str, test: impl Fn(&Server, bool)) {
    let ours = Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), 2);
    for program in [Some(ours), Program::reference()].into_iter().flatten() {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("conf");
        fs::write(&file, config).unwrap();
        let server = program.start(&["-D", "-c", file.to_str().unwrap()]).unwrap();
        eprintln!("{program}");
        test(&server, program.has_shards());
    }
}

/// What somebody asks, as the service hears it.
#[derive(Clone, Debug)]
struct Asked {
    claims: AuthorizationRequestClaims,
    /// The header with the key of the server.
    xkey: Option<String>,
}

impl Asked {
    fn user(&self) -> &str {
        &self.claims.body.connect_opts.user
    }

    /// Claims that let the user in, into that account.
    fn user_claims(&self, account: &str) -> UserClaims {
        let mut claims = UserClaims::new(&self.claims.body.user_nkey);
        account.clone_into(&mut claims.audience);
        self.user().clone_into(&mut claims.name);
        claims
    }

    /// An answer with those claims, changed in some way.
    fn answer_with(&self, change: impl FnOnce(&mut AuthorizationResponseClaims)) -> Vec<u8> {
        self.answer_by(&issuer(), change)
    }

    /// The same, signed by somebody.
    fn answer_by(
        &self,
        by: &KeyPair,
        change: impl FnOnce(&mut AuthorizationResponseClaims),
    ) -> Vec<u8> {
        let mut claims = AuthorizationResponseClaims {
            subject: self.claims.body.user_nkey.clone(),
            audience: self.claims.body.server_id.id.clone(),
            ..AuthorizationResponseClaims::default()
        };
        change(&mut claims);
        claims.sign(by).into_bytes()
    }

    fn admit(&self, claims: &mut UserClaims) -> Vec<u8> {
        let jwt = claims.sign(&issuer());
        self.answer_with(|claims| claims.body.jwt = jwt)
    }
}

/// A service. It ends with the server.
struct Service {
    asked: Receiver<Asked>,
}

impl Service {
    /// Answers as `answer` says; not at all if that is nothing.
    fn start(server: &Server, answer: impl Fn(&Asked) -> Option<Vec<u8>> + Send + 'static) -> Self {
        Self::start_with(server, AUTH, None, answer)
    }

    fn start_with(
        server: &Server,
        connect: &str,
        xkey: Option<CurveKey>,
        answer: impl Fn(&Asked) -> Option<Vec<u8>> + Send + 'static,
    ) -> Self {
        let mut raw = Raw::client(server.address(), connect).unwrap();
        raw.send(b"SUB $SYS.REQ.USER.AUTH auth 1\r\n").unwrap();
        raw.sync().unwrap();
        let (tell, asked) = channel();
        thread::spawn(move || {
            loop {
                let Ok(line) = raw.line() else {
                    if raw.ended() {
                        return;
                    }
                    continue;
                };
                if line == "PING" {
                    raw.send(b"PONG\r\n").unwrap();
                }
                let words: Vec<&str> = line.split(' ').collect();
                let (reply, head, total) = match words.as_slice() {
                    ["MSG", _, _, reply, total] => (*reply, 0, total.parse().unwrap()),
                    ["HMSG", _, _, reply, head, total] => {
                        (*reply, head.parse().unwrap(), total.parse().unwrap())
                    }
                    _ => continue,
                };
                let message: Vec<u8> = raw.take(total + 2).unwrap();
                let headers = String::from_utf8(message[..head].to_vec()).unwrap();
                let header = headers.lines().find_map(|it| it.strip_prefix("Nats-Server-Xkey: "));
                let server_key = header.map(|text| PublicKey::parse(text).unwrap());
                let mut payload = message[head..total].to_vec();
                if let Some(xkey) = &xkey {
                    payload = xkey.open(&payload, &server_key.unwrap()).unwrap();
                }
                let text = String::from_utf8(payload).unwrap();
                let claims = AuthorizationRequestClaims::decode(&text).unwrap();
                let one = Asked { claims, xkey: header.map(str::to_owned) };
                if let Some(mut answer) = answer(&one) {
                    if let (Some(xkey), Some(to)) = (&xkey, server_key) {
                        answer = xkey.seal(&answer, &to).unwrap();
                    }
                    let line = format!("PUB {reply} {}\r\n", answer.len());
                    raw.send(&[line.as_bytes(), &answer, b"\r\n"].concat()).unwrap();
                }
                let _ = tell.send(one);
            }
        });
        Self { asked }
    }

    fn next(&self) -> Asked {
        self.asked.recv_timeout(Duration::from_secs(8)).unwrap()
    }
}

/// What a client hears that offers this.
fn offer(server: &Server, connect: &str) -> (Raw, String) {
    let mut raw = Raw::connect(server.address()).unwrap();
    raw.line().unwrap();
    let comma = if connect.is_empty() { "" } else { "," };
    let text = format!("CONNECT {{\"verbose\":false{comma}{connect}}}\r\nPING\r\n");
    raw.send(text.as_bytes()).unwrap();
    let heard = raw.line().unwrap();
    (raw, heard)
}

fn enters(server: &Server, connect: &str) -> Raw {
    let (raw, heard) = offer(server, connect);
    assert_eq!(heard, "PONG", "{connect}: {}", server.log());
    raw
}

fn is_refused(server: &Server, connect: &str) {
    let (_, heard) = offer(server, connect);
    assert_eq!(heard, "-ERR 'Authorization Violation'", "{connect}: {}", server.log());
}

fn eventually_logs(server: &Server, text: &str) {
    eventually(text, Duration::from_secs(8), || server.log().contains(text));
}

/// What the server says of the user of that client: the data of USER.INFO.
fn user_info(raw: &mut Raw) -> serde_json::Value {
    raw.send(b"SUB info 77\r\nPUB $SYS.REQ.USER.INFO info 0\r\n\r\n").unwrap();
    let line = raw.line().unwrap();
    assert!(line.starts_with("MSG info 77 ") || line.starts_with("HMSG info 77 "), "{line}");
    let total: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
    let message = raw.take(total + 2).unwrap();
    let start = message.iter().position(|byte| *byte == b'{').unwrap();
    let info: serde_json::Value = serde_json::from_slice(&message[start..total]).unwrap();
    info["data"].clone()
}

#[test]
fn the_service_decides_and_hears_who_asks() {
    each(&config(""), |server, _| {
        let service = Service::start(server, |asked| {
            Some(match asked.user() {
                "eve" => asked.answer_with(|claims| "not today".clone_into(&mut claims.body.error)),
                _ => asked.admit(&mut asked.user_claims("APP")),
            })
        });
        let start = now();
        let mut bob = enters(
            server,
            r#""user":"bob","pass":"secret","name":"it","lang":"rs","version":"1.2","jwt":"x.y.z""#,
        );
        let asked = service.next();
        assert!(asked.xkey.is_none());
        let claims = &asked.claims;
        assert_eq!(claims.issuer, claims.body.server_id.id);
        assert_eq!(claims.subject, issuer().public());
        assert_eq!(claims.audience, "nats-authorization-request");
        assert!((start..start + 8).contains(&(claims.expires - 1)), "{claims:?}");
        let id = &claims.body.server_id;
        assert_eq!((&*id.name, &*id.host, &*id.version), ("here", "127.0.0.1", "2.15.1"));
        assert!(id.cluster.is_empty() && id.xkey.is_empty());
        assert_eq!(id.tags, ["a:b", "c"]);
        let client = &claims.body.client_info;
        assert_eq!((&*client.host, &*client.user, &*client.name), ("127.0.0.1", "bob", "it"));
        assert_eq!((&*client.kind, &*client.client_type), ("Client", "nats"));
        assert!(client.id > 0 && client.nonce.is_empty() && client.tags.is_empty());
        let offered = &claims.body.connect_opts;
        assert_eq!((&*offered.user, &*offered.pass, offered.protocol), ("bob", "secret", 0));
        assert_eq!((&*offered.lang, &*offered.version, &*offered.name), ("rs", "1.2", "it"));
        assert!(offered.jwt.is_empty(), "claims count in operator mode only");
        assert!(claims.body.client_tls.is_none());
        let info = user_info(&mut bob);
        assert_eq!((&info["user"], &info["account"]), (&"bob".into(), &"APP".into()));

        // Users of the configuration are asked about too, be their password right or wrong.
        for pass in ["a", "wrong"] {
            enters(server, &format!(r#""user":"ann","pass":"{pass}""#));
            assert_eq!(service.next().claims.body.connect_opts.pass, pass);
        }
        enters(server, r#""auth_token":"t0ken""#);
        let asked = service.next();
        assert_eq!(asked.claims.body.client_info.user, "[REDACTED]");
        assert_eq!(asked.claims.body.connect_opts.auth_token, "t0ken");
        enters(server, "");
        assert_eq!(service.next().claims.body.client_info.user, "");

        is_refused(server, r#""user":"eve","pass":"secret""#);
        service.next();
        let text = "Auth callout service returned an error: not today";
        eventually_logs(server, text);
        for secret in ["secret", "t0ken", "pwd"] {
            assert!(!server.log().contains(secret), "{secret}: {}", server.log());
        }
    });
}

#[test]
fn users_of_the_service_itself_do_without_it() {
    each(&config(""), |server, _| {
        // Nobody answers, and nobody is asked.
        enters(server, r#""user":"auth","pass":"pwd""#);
        enters(server, r#""user":"sys","pass":"sys""#);
        let begun = Instant::now();
        is_refused(server, r#""user":"auth","pass":"wrong""#);
        assert!(begun.elapsed() < Duration::from_secs(1), "nobody was waited for");
        let service =
            Service::start(server, |asked| Some(asked.admit(&mut asked.user_claims("AUTH"))));
        is_refused(server, r#""user":"auth","pass":"wrong""#);
        assert!(service.asked.try_recv().is_err(), "a wrong password is not told to the service");
        // Who is in its account may not ask in the name of the server: not the service, nor others.
        let mut second = enters(server, r#""user":"second","pass":"s""#);
        let mut own = enters(server, r#""user":"auth","pass":"pwd""#);
        for raw in [&mut second, &mut own] {
            raw.send(b"PUB $SYS.REQ.USER.AUTH 2\r\nhi\r\n").unwrap();
            let expected = "-ERR 'Permissions Violation for Publish to \"$SYS.REQ.USER.AUTH\"'";
            assert_eq!(raw.line().unwrap(), expected);
            raw.send(b"PUB other 2\r\nhi\r\n").unwrap();
            raw.sync().unwrap();
        }
    });
}

#[test]
fn an_answer_must_be_one_to_the_question() {
    each(&config(""), |server, _| {
        let _service = Service::start(server, |asked| Some(wrong(asked)));
        for (user, why) in WRONG {
            is_refused(server, &format!(r#""user":"{user}""#));
            eventually_logs(server, why);
        }
        enters(server, r#""user":"right""#);
    });
}

/// What is wrong with the answer to a user of this name, and what the log says of it.
const WRONG: &[(&str, &str)] = &[
    ("empty", "Auth callout violation: \"no reason supplied\" on account \"AUTH\""),
    ("garbage", "Expected 3 chunks"),
    ("user", "Not an authorization request claim"),
    ("neither", "Authorization response had validation errors: Error or Jwt is required"),
    ("both", "Authorization response had validation errors: Only Error or Jwt can be set"),
    ("expired", "Authorization response had validation errors: claim is expired"),
    ("audience", "Authorization response had validation errors: Audience must be a server"),
    ("server", "Auth callout violation: auth callout response is not for server"),
    ("subject", "Auth callout violation: auth callout response is not for expected user"),
    ("signer", "Auth callout signing key is unknown"),
    ("inner-garbage", "Expected 3 chunks"),
    ("inner-expired", "Error validating user JWT: claim is expired"),
    ("inner-early", "Error validating user JWT: claim is not yet valid"),
    ("inner-permission", "Error validating user JWT: subject cannot be empty"),
    ("inner-source", "Error validating user JWT: invalid cidr \"here\" in user src limits"),
    ("inner-subject", "Expected authorized user of \"U"),
    ("inner-signer", "Wrong issuer for auth callout response on account \"AUTH\", expected"),
    ("inner-account", "Error non operator mode account \"AUTH\": attempted to use issuer_acc"),
    ("nowhere", "No valid account \"NOWHERE\" for auth callout response on account \"AUTH\""),
    ("no-account", "No valid account \"\" for auth callout response on account \"AUTH\""),
    ("times", "Authorized user on account \"AUTH\" outside of valid connect times"),
    ("kinds", "Authorized user on account \"AUTH\" using invalid connection type"),
    ("proxy", "Proxy connection required"),
];

fn wrong(asked: &Asked) -> Vec<u8> {
    let other = KeyPair::new(Role::Account, &[8; 32]);
    let jwt = match asked.user() {
        "inner-signer" => wrong_user(asked).sign(&other),
        "inner-garbage" => "eyJ".to_owned(),
        _ => wrong_user(asked).sign(&issuer()),
    };
    match asked.user() {
        "empty" => return Vec::new(),
        "garbage" => return b"hello".to_vec(),
        "user" => return jwt.into_bytes(),
        _ => {}
    }
    let mut answer = AuthorizationResponseClaims {
        subject: asked.claims.body.user_nkey.clone(),
        audience: asked.claims.body.server_id.id.clone(),
        ..AuthorizationResponseClaims::default()
    };
    answer.body.jwt = jwt;
    match asked.user() {
        "neither" => answer.body.jwt.clear(),
        "both" => "no".clone_into(&mut answer.body.error),
        "expired" => answer.expires = now() - 10,
        "audience" => answer.audience.clear(),
        "server" => answer.audience = KeyPair::new(Role::Server, &[8; 32]).public(),
        "subject" => answer.subject = KeyPair::new(Role::User, &[8; 32]).public(),
        _ => {}
    }
    let signer = if asked.user() == "signer" { other } else { issuer() };
    answer.sign(&signer).into_bytes()
}

fn wrong_user(asked: &Asked) -> UserClaims {
    let mut claims = asked.user_claims("APP");
    let limits = &mut claims.body.limits;
    match asked.user() {
        "inner-expired" => claims.expires = now() - 10,
        "inner-early" => claims.not_before = now() + 100,
        "inner-permission" => limits.publish.allow.push(String::new()),
        "inner-source" => limits.src.push("here".to_owned()),
        "inner-subject" => claims.subject = KeyPair::new(Role::User, &[8; 32]).public(),
        "inner-account" => claims.body.issuer_account = issuer().public(),
        "nowhere" => "NOWHERE".clone_into(&mut claims.audience),
        "no-account" => claims.audience.clear(),
        "times" => {
            // An hour that is not now.
            let hour = (now() / 3600 + 12) % 24;
            let (start, end) = (format!("{hour:02}:00:00"), format!("{hour:02}:00:01"));
            limits.times.push(TimeRange { start, end });
            "UTC".clone_into(&mut limits.locale);
        }
        "kinds" => limits.allowed_connection_types.push("PIGEON".to_owned()),
        "proxy" => limits.proxy_required = true,
        _ => {}
    }
    claims
}

#[test]
fn what_the_claims_allow_is_allowed() {
    each(&config(""), |server, _| {
        let service = Service::start(server, |asked| {
            let mut claims = asked.user_claims("APP");
            let limits = &mut claims.body.limits;
            match asked.user() {
                "rules" => {
                    limits.publish = Permission { allow: vec!["a".to_owned()], deny: Vec::new() };
                    limits.subscribe.deny.push("b".to_owned());
                }
                "bounds" => (limits.subs, limits.payload) = (1, 2),
                "kinds" => limits.allowed_connection_types.push("WEBSOCKET".to_owned()),
                "source" => limits.src.push("10.0.0.0/8".to_owned()),
                "short" => claims.expires = now() + 2,
                "" => claims.name.clear(),
                _ => {}
            }
            Some(asked.admit(&mut claims))
        });
        let mut raw = enters(server, r#""user":"rules""#);
        raw.send(b"PUB a 1\r\nx\r\n").unwrap();
        raw.sync().unwrap();
        raw.send(b"PUB b 1\r\nx\r\n").unwrap();
        assert_eq!(raw.line().unwrap(), "-ERR 'Permissions Violation for Publish to \"b\"'");
        raw.send(b"SUB b 1\r\n").unwrap();
        assert_eq!(raw.line().unwrap(), "-ERR 'Permissions Violation for Subscription to \"b\"'");
        // Bounds, kinds of connections and sources are for the service, which knows what it asks.
        let mut raw = enters(server, r#""user":"bounds""#);
        raw.send(b"SUB a 1\r\nSUB b 2\r\nPUB c 3\r\nabc\r\n").unwrap();
        raw.sync().unwrap();
        enters(server, r#""user":"kinds""#);
        enters(server, r#""user":"source""#);
        let mut raw = enters(server, r#""user":"short""#);
        assert_eq!(raw.line().unwrap(), "-ERR 'User Authentication Expired'");
        // Without a name in its claims a client keeps that which it gave itself.
        let mut raw = enters(server, r#""auth_token":"t""#);
        assert_eq!(user_info(&mut raw)["user"], "[REDACTED]");
        drop(service);
    });
}

#[test]
fn questions_and_answers_may_be_sealed() {
    let xkey = format!("xkey: {}", service_xkey().public());
    each(&config(&xkey), |server, _| {
        let service = Service::start_with(server, AUTH, Some(service_xkey()), |asked| {
            if asked.user() == "eve" {
                // Sealed by somebody else.
                return None;
            }
            Some(asked.admit(&mut asked.user_claims("APP")))
        });
        enters(server, r#""user":"bob","pass":"p""#);
        let asked = service.next();
        assert_eq!(asked.xkey.as_deref(), Some(&*asked.claims.body.server_id.xkey));
        assert!(asked.xkey.unwrap().starts_with('X'));
    });
}

#[test]
fn an_answer_in_the_open_counts_where_one_that_is_broken_does_not() {
    let xkey = format!("xkey: {}", service_xkey().public());
    each(&config(&xkey), |server, _| {
        let mut raw = Raw::client(server.address(), AUTH).unwrap();
        raw.send(b"SUB $SYS.REQ.USER.AUTH 1\r\n").unwrap();
        raw.sync().unwrap();
        let mut answers = |answer: &dyn Fn(&Asked, &PublicKey) -> Vec<u8>| {
            let mut client = Raw::connect(server.address()).unwrap();
            client.line().unwrap();
            client.send(b"CONNECT {\"verbose\":false,\"user\":\"bob\"}\r\nPING\r\n").unwrap();
            let line = loop {
                let line = raw.line().unwrap();
                if line.starts_with("HMSG") {
                    break line;
                }
            };
            let words: Vec<&str> = line.split(' ').collect();
            let (head, total): (usize, usize) =
                (words[4].parse().unwrap(), words[5].parse().unwrap());
            let message = raw.take(total + 2).unwrap();
            let headers = String::from_utf8(message[..head].to_vec()).unwrap();
            let key = headers.lines().find_map(|it| it.strip_prefix("Nats-Server-Xkey: "));
            let key = PublicKey::parse(key.unwrap()).unwrap();
            let text = service_xkey().open(&message[head..total], &key).unwrap();
            let claims =
                AuthorizationRequestClaims::decode(str::from_utf8(&text).unwrap()).unwrap();
            let answer = answer(&Asked { claims, xkey: None }, &key);
            let line = format!("PUB {} {}\r\n", words[3], answer.len());
            raw.send(&[line.as_bytes(), &answer, b"\r\n"].concat()).unwrap();
            client.line().unwrap()
        };
        let admit = |asked: &Asked| asked.admit(&mut asked.user_claims("APP"));
        assert_eq!(answers(&|asked, _| admit(asked)), "PONG");
        assert_eq!(answers(&|asked, key| service_xkey().seal(&admit(asked), key).unwrap()), "PONG");
        let violation = "-ERR 'Authorization Violation'";
        let other = CurveKey::new(&[9; 32]);
        assert_eq!(answers(&|asked, key| other.seal(&admit(asked), key).unwrap()), violation);
        let why = "Error decrypting auth callout response on account \"AUTH\"";
        eventually_logs(server, why);
        let cut = |asked: &Asked, key: &PublicKey| {
            let mut sealed = service_xkey().seal(&admit(asked), key).unwrap();
            sealed.pop();
            sealed
        };
        assert_eq!(answers(&cut), violation);
        assert_eq!(answers(&|_, _| b"xkv1".to_vec()), violation);
    });
}

#[test]
fn who_gets_no_answer_is_refused_in_time() {
    each(&config(""), |server, _| {
        let text = "Authorization callout response not received in time on account \"AUTH\"";
        // Nobody is there, or somebody who says nothing.
        for (listens, count) in [(false, 1), (true, 2)] {
            let _service = listens.then(|| Service::start(server, |_| None));
            let begun = Instant::now();
            is_refused(server, r#""user":"bob""#);
            let took = begun.elapsed();
            assert!((Duration::from_millis(1400)..Duration::from_secs(6)).contains(&took));
            eventually(text, Duration::from_secs(8), || {
                server.log().matches(text).count() >= count
            });
        }
    });
}

#[test]
fn only_accounts_that_are_left_to_it_are() {
    each(&config("allowed_accounts: [ OTHER ]"), |server, _| {
        // APP is not: the password decides.
        enters(server, r#""user":"ann","pass":"a""#);
        let service =
            Service::start(server, |asked| Some(asked.admit(&mut asked.user_claims("OTHER"))));
        enters(server, r#""user":"ann","pass":"a""#);
        assert!(service.asked.try_recv().is_err());
        // Who is wrong is nobody, and nobody is in the global account.
        enters(server, r#""user":"ann","pass":"wrong""#);
        service.next();
        // An account that is not left to the service is not protected from its users either.
        let mut own = enters(server, r#""user":"second","pass":"s""#);
        own.send(b"PUB $SYS.REQ.USER.AUTH 2\r\nhi\r\n").unwrap();
        own.sync().unwrap();
    });
}

#[test]
fn who_offers_nothing_is_asked_about_as_the_user_that_it_becomes() {
    let config = format!("no_auth_user: ann\n{}", config(""));
    each(&config, |server, _| {
        let service = Service::start(server, |asked| {
            let offered = &asked.claims.body.connect_opts;
            assert_eq!((&*offered.user, &*offered.pass), ("ann", "a"));
            Some(asked.admit(&mut asked.user_claims("APP")))
        });
        enters(server, "");
        service.next();
        // The same without CONNECT.
        let mut raw = Raw::connect(server.address()).unwrap();
        raw.line().unwrap();
        raw.sync().unwrap();
        service.next();
    });
}
