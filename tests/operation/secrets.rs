//! Secrets that clients send, right and wrong ones, and those of the configuration: nobody else
//! ever sees them, whatever is logged or asked for.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use ringbus::auth::jwt::UserClaims;
use ringbus::auth::jwt::account::ExternalAuthorization;
use ringbus::auth::jwt::key::Role;
use ringbus_test_support::tls::Authority;
use ringbus_test_support::{PATIENCE, Raw, nkey};
use tempfile::TempDir;

use super::Process;
use super::operators::{account, account_claims, key, operator_claims, system};

/// In every secret that is no key.
const CANARY: &str = "canary";

const SEED: &str = "SUAMX7SLAPHXB7Z57KQF4TVZAYLWKDOHUUTJ4GS6ZE72IW7EYLZDM2YVN4";
const KEY: &str = "UBINYEGO2GOZFFKLRPD53UCERVVKIIQBBW3RYEWX274ERT6CMFSZOW6M";

/// Of `canary-hashed`; the text of it is a secret as well.
const HASH: &str = "$2a$04$canarycanarycanarycanun0a6ywppi2APBpnmnFLcjlV2ScofIUy";

/// Advisories 2026-05 (a password taken for a JWT, and shown) and 2026-14 (arguments of the process
/// in a page), and CVE-2026-33216, CVE-2026-33247.
#[test]
fn advisories_2026_05_and_2026_14_secrets_appear_nowhere() {
    let users = format!(
        "accounts {{
           $SYS {{ users: [ {{ user: sys, password: sys }} ] }}
           A {{ users: [
             {{ user: ann, password: canary-plain }}
             {{ user: bob, password: \"{HASH}\" }}
             {{ nkey: {KEY} }}
           ] }}
         }}
         http: \"127.0.0.1:-1\""
    );
    let seen = everything(&users, &[], Some(r#""user":"sys","pass":"sys""#));
    assert!(seen.contains("authentication error - User \"ann\""), "{seen}");
    assert!(seen.contains(&format!("authentication error - Nkey \"{KEY}\"")));
    assert!(seen.contains("authentication error - User \"nobody\""));
    assert!(seen.contains("$SYS.ACCOUNT.A.CONNECT") && seen.contains("\"user\":\"ann\""));

    let token = "http: \"127.0.0.1:-1\"\nauthorization { token: canary-token }";
    let seen = everything(token, &[], None);
    assert!(seen.contains("authentication error - Token \"[REDACTED]\""), "{seen}");

    let flags = ["--user", "ann", "--pass", "canary-plain"];
    let seen = everything("http: \"127.0.0.1:-1\"", &flags, None);
    assert!(seen.contains("authentication error - User \"ann\""), "{seen}");
}

/// What proves something in operator mode and over TLS: claims of those who need no key,
/// signatures, passwords that a service is asked about, the key of a certificate.
#[test]
fn secrets_of_claims_certificates_and_services_appear_nowhere() {
    let folder = TempDir::new().unwrap();
    Authority::new().issue(folder.path(), "server");
    let certificate = std::fs::read_to_string(folder.path().join("server.key")).unwrap();
    let [bearer, own] = [key(Role::User, 7).public(), KEY.to_owned()].map(|user| {
        let mut claims = UserClaims::new(&user);
        claims.body.limits.bearer = user != KEY;
        claims.sign(&account())
    });
    let claims = account_claims(&account(), 1, |claims| {
        claims.body.authorization =
            ExternalAuthorization { auth_users: vec![KEY.to_owned()], ..Default::default() };
    });
    let config = format!(
        "authorization {{ timeout: 0.5 }}
         operator: {operator}
         resolver: MEMORY
         resolver_preload: {{
           {name}: {claims}
           {system_name}: {system_claims}
         }}
         tls {{ cert_file: server.pem, key_file: server.key }}
         allow_non_tls: true
         http: \"127.0.0.1:-1\"",
        operator = operator_claims(),
        name = account().public(),
        system_name = system().public(),
        system_claims = account_claims(&system(), 1, |_| {}),
    );
    let logins = [
        format!(r#""jwt":"{bearer}","user":"ann","pass":"canary-asked""#),
        format!(r#""jwt":"{bearer}","auth_token":"canary-asked""#),
        format!(r#""jwt":"{own}","sig":"<sign {SEED}>""#),
        format!(r#""jwt":"{own}","sig":"canary-sig""#),
        format!(r#""jwt":"{own}canary","sig":"<sign {SEED}>""#),
        format!(r#""jwt":"{SEED}""#),
    ];
    let signature = |jwt: &str| jwt.rsplit('.').next().unwrap().to_owned();
    let line = certificate.lines().nth(1).unwrap().to_owned();
    let secrets = [signature(&bearer), signature(&own), line];
    let seen = everything_of(folder, &config, &[], None, &logins, &secrets);
    assert!(seen.contains("PONG"), "{seen}");
    assert!(seen.contains("Authorization Violation"), "{seen}");
}

/// All that a server shows of logins and of its configuration, checked for secrets.
fn everything(config: &str, flags: &[&str], system: Option<&str>) -> String {
    let folder = TempDir::new().unwrap();
    everything_of(folder, config, flags, system, &offers(), &[])
}

/// The same, with other files beside the configuration, other clients, and more that is secret.
fn everything_of(
    folder: TempDir,
    config: &str,
    flags: &[&str],
    system: Option<&str>,
    logins: &[String],
    secrets: &[String],
) -> String {
    std::fs::write(folder.path().join("server.conf"), config).unwrap();
    let all = [&["-c", "server.conf", "-DVV"], flags].concat();
    let process = Process::start_in(folder, &all, &[]);
    let server = process.address();
    let mut watcher = system.map(|who| {
        let options = format!("{{\"verbose\":false,\"pedantic\":false,{who}}}");
        let mut raw = Raw::client(server, &options).unwrap();
        raw.send(b"SUB $SYS.> 1\r\n").unwrap();
        raw.sync().unwrap();
        raw
    });
    let mut told = String::new();
    let mut open = Vec::new();
    for offer in logins {
        let mut raw = Raw::connect(server).unwrap();
        let info = raw.line().unwrap();
        let (_, nonce) = info.split_once("\"nonce\":\"").unwrap_or_default();
        let offer = nkey::fill_in(offer, nonce.split('"').next().unwrap_or_default()).unwrap();
        raw.send(format!("CONNECT {{\"verbose\":false,{offer}}}\r\nPING\r\n").as_bytes()).unwrap();
        told.push_str(&raw.line().unwrap_or_default());
        open.push(raw);
    }
    let mut seen = told;
    for path in ["/varz", "/connz?subs=1&auth=1&state=any", "/metrics", "/accountz", "/subsz"] {
        seen.push_str(&get(&process, path));
    }
    drop(open);
    if let Some(raw) = &mut watcher {
        let deadline = Instant::now() + Duration::from_millis(500);
        while raw.more(deadline).unwrap() {}
        seen.push_str(&String::from_utf8_lossy(raw.pending()));
    }
    let dump = Command::new(env!("CARGO_BIN_EXE_ringbus"))
        .current_dir(process.folder.path())
        .args(["-c", "server.conf", "--dump-config"])
        .args(flags)
        .output()
        .unwrap();
    seen.push_str(&String::from_utf8_lossy(&dump.stdout));
    seen.push_str(&String::from_utf8_lossy(&dump.stderr));
    process.wait_for("stderr", "Client connection closed");
    seen.push_str(&process.text("stderr"));
    let secrets = secrets.iter().map(String::as_str);
    for secret in [CANARY, SEED, "<sign"].into_iter().chain(secrets) {
        let found = seen.lines().find(|line| line.contains(secret));
        assert_eq!(found, None, "{secret} is shown");
    }
    assert!(seen.contains("[REDACTED]"), "{seen}");
    seen
}

/// What clients say in CONNECT: right and wrong, in every place a secret can be in.
fn offers() -> Vec<String> {
    [
        r#""user":"ann","pass":"canary-plain""#,
        r#""user":"ann","pass":"canary-wrong""#,
        r#""user":"bob","pass":"canary-hashed""#,
        r#""user":"bob","pass":"canary-wrong""#,
        r#""user":"nobody","pass":"canary-wrong","jwt":"canary.jwt.text""#,
        r#""auth_token":"canary-token""#,
        r#""auth_token":"canary-wrong""#,
        r#""jwt":"canary.jwt.text","sig":"canary-sig","proxy_sig":"canary-proxy""#,
        r#""pass":"eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.canary.x""#,
        &format!(r#""nkey":"{KEY}","sig":"<sign {SEED}>""#),
        &format!(r#""nkey":"{KEY}","sig":"canary-sig""#),
        r#""user":"ann","pass":"canary-plain","name":5"#,
        r#""user":"ann","pass":"canary-plain""#,
    ]
    .map(str::to_owned)
    .into()
}

fn get(process: &Process, path: &str) -> String {
    let line = process.wait_for("stderr", "Starting http monitor on ");
    let address: SocketAddr = line.rsplit(' ').next().unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
