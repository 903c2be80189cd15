//! Nothing that must stay secret is on any page.

use super::*;

const PAGES: [&str; 24] = [
    "/",
    "/ui.js",
    "/varz",
    "/connz?auth=1&subs=detail",
    "/connz?state=all&auth=1&subs=detail",
    "/connz?auth=1&user=c4nary-pass",
    "/subsz?subs=1",
    "/routez",
    "/leafz",
    "/gatewayz",
    "/accountz",
    "/accountz?acc=$G",
    "/accstatz?unused=1",
    "/jsz?accounts=1&streams=1&config=1",
    "/healthz?details=1",
    "/ipqueuesz?all=1",
    "/raftz",
    "/stacksz",
    "/debug/vars",
    "/shardz",
    "/metrics",
    "/favicon.svg",
    "/ui.css",
    "/nope",
];

fn check(flags: &[&str], connect: &str) {
    let flags: Vec<&str> = ["-m", "-1", "-DV"].iter().chain(flags).copied().collect();
    let server = ringbus(2).start(&flags).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring listens");
    let _stays = Raw::client(server.address(), connect).expect("a client connects");
    drop(Raw::client(server.address(), connect).expect("another connects, and leaves"));
    // One that is turned away leaves a trace, too.
    let wrong = connect.replace("c4nary", "wr0ng-c4nary");
    assert!(Raw::client(server.address(), &wrong).is_err());
    eventually("both ended", Duration::from_secs(5), || {
        json(monitor, "/connz?state=closed")["total"] == 2
    });
    for path in PAGES {
        let answer = get(monitor, path);
        let shown = format!("{}\n{}", answer.head, answer.body);
        assert!(!shown.contains("c4nary"), "{path} shows a secret:\n{shown}");
    }
    assert!(!server.log().contains("c4nary"), "the log shows a secret:\n{}", server.log());
}

#[test]
fn passwords_are_on_no_page() {
    let connect = concat!(
        r#"{"verbose":false,"user":"ann","pass":"c4nary-pass","auth_token":"c4nary-token","#,
        r#""jwt":"c4nary-jwt","sig":"c4nary-sig"}"#
    );
    check(&["--user", "ann", "--pass", "c4nary-pass"], connect);
}

#[test]
fn tokens_are_on_no_page() {
    check(&["--auth", "c4nary-token"], r#"{"verbose":false,"auth_token":"c4nary-token"}"#);
}
