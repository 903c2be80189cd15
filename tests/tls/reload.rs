//! Another certificate, or another rule, while clients are connected.

use rustix::process::{Pid, Signal, kill_process};

use super::*;

fn reload(served: &Served, more: &str, top: &str) {
    fs::write(served.folder.path().join("conf"), config(served.folder.path(), more, top))
        .expect("written");
    let before = served.server.log().matches("Reloaded server configuration").count();
    let pid = Pid::from_raw(i32::try_from(served.server.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::HUP).expect("it runs");
    let deadline = Instant::now() + PATIENCE;
    while served.server.log().matches("Reloaded server configuration").count() == before {
        assert!(Instant::now() < deadline, "{}", served.server.log());
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_renewed_certificate_is_shown_to_those_who_come_and_drops_nobody() {
    for program in programs() {
        let served = Served::by(&program, "", "");
        let (mut old, _) = served.client(None);
        assert!(old.enters(""));
        let first = old.certificate();
        let renewed = served.authority.issue(served.folder.path(), "server");
        reload(&served, "", "");
        let (mut new, _) = served.client(None);
        assert!(new.enters("") && new.certificate() == renewed && first != renewed, "{program}");
        old.says("PING\r\n");
        assert_eq!(line(&mut old.0), "PONG\r\n", "{program}");
    }
}

#[test]
fn certificates_are_renewed_again_and_again_while_clients_come_and_talk() {
    let served = Served::by(&ringbus(2), "", "");
    let (mut old, _) = served.client(None);
    assert!(old.enters(""));
    std::thread::scope(|scope| {
        let coming: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..30 {
                        assert!(served.client(None).0.enters(""));
                    }
                })
            })
            .collect();
        for _ in 0..5 {
            served.authority.issue(served.folder.path(), "server");
            reload(&served, "", "");
            old.says("PING\r\n");
            assert_eq!(line(&mut old.0), "PONG\r\n");
        }
        for coming in coming {
            coming.join().expect("all of them enter");
        }
    });
}

#[test]
fn who_comes_after_the_reload_finds_the_new_rule() {
    for program in programs() {
        let served = Served::by(&program, "", "");
        let (mut old, _) = served.client(None);
        assert!(old.enters(""));
        reload(&served, "verify: true", "");
        assert!(!served.client(None).0.enters(""), "{program}");
        let own = served.authority.identity(|_| {});
        assert!(served.client(Some(own)).0.enters(""), "{program}");
        old.says("PING\r\n");
        assert_eq!(line(&mut old.0), "PONG\r\n", "{program}: it was let in before");
    }
}

#[test]
fn whose_key_is_not_on_the_list_any_more_is_let_go() {
    for program in programs() {
        let served = Served::by(&program, "verify: true", "");
        let (mut old, _) = served.client(Some(served.authority.identity(|_| {})));
        assert!(old.enters(""), "{program}");
        let pin = "0".repeat(64);
        reload(&served, &format!("verify: true, pinned_certs: [ \"{pin}\" ]"), "");
        rest(&mut old.0);
        served.logs("Client connection closed: TLS Handshake Failure");
    }
}

#[test]
fn tls_is_switched_off_and_on() {
    let served = Served::by(&ringbus(2), "", "");
    let (mut old, _) = served.client(None);
    assert!(old.enters(""));
    let conf = served.folder.path().join("conf");
    let with = fs::read_to_string(&conf).expect("a file");
    fs::write(&conf, "debug: true\n").expect("written");
    let pid = Pid::from_raw(i32::try_from(served.server.pid()).expect("a pid")).expect("a pid");
    kill_process(pid, Signal::HUP).expect("it runs");
    served.logs("Reloaded: tls = disabled");
    let mut tcp = served.plain();
    assert!(!line(&mut tcp).contains("tls_required"));
    tcp.write_all(b"CONNECT {\"verbose\":false}\r\nPING\r\n").expect("sent");
    assert_eq!(line(&mut tcp), "PONG\r\n");
    fs::write(&conf, with).expect("written");
    kill_process(pid, Signal::HUP).expect("it runs");
    served.logs("Reloaded: tls = enabled");
    assert!(served.client(None).0.enters(""));
    old.says("PING\r\n");
    assert_eq!(line(&mut old.0), "PONG\r\n");
    tcp.write_all(b"PING\r\n").expect("sent");
    assert_eq!(line(&mut tcp), "PONG\r\n", "who came without stays");
}
