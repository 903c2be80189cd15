//! Secrets that clients send, right and wrong ones, and those of the configuration: nobody else
//! ever sees them, whatever is logged or asked for.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use ringbus_test_support::{PATIENCE, Raw, nkey};

use super::Process;

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

/// All that a server shows of logins and of its configuration, checked for secrets.
fn everything(config: &str, flags: &[&str], system: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
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
    let logins = offers();
    let mut told = String::new();
    let mut open = Vec::new();
    for offer in &logins {
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
    for secret in [CANARY, SEED, "<sign"] {
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
