//! Reading the configuration again, with real files, signals and clients.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ringbus_test_support::{PATIENCE, Raw, eventually, nkey};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{CLIENT, Process};

/// How often the configuration is read under load.
const RELOADS: usize = 1_000;

/// Two users: ann and another.
fn users(other: &str, password: &str) -> String {
    format!(
        "authorization {{ users: [ {{user: ann, password: a}}, \
         {{user: {other}, password: {password}}} ] }}"
    )
}

fn start(config: &str, flags: &[&str]) -> Process {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("conf"), config).unwrap();
    let all: Vec<&str> = ["-c", "conf"].iter().chain(flags).copied().collect();
    Process::start_in(folder, &all, &[])
}

/// How often the log says that.
fn said(process: &Process, text: &str) -> usize {
    process.text("stderr").matches(text).count()
}

impl Process {
    /// Another configuration; returns when it is in force.
    fn reload(&self, config: &str) {
        self.reload_until(config, "Reloaded server configuration (sha256:");
    }

    /// Another configuration; returns when it was refused.
    fn reload_fails(&self, config: &str) {
        self.reload_until(config, "Failed to reload server configuration: ");
    }

    fn reload_until(&self, config: &str, text: &str) {
        fs::write(self.path("conf"), config).unwrap();
        let before = said(self, text);
        self.signal(Signal::HUP);
        eventually(text, PATIENCE, || said(self, text) > before);
    }
}

fn client(process: &Process, user: &str, password: &str) -> Raw {
    let options = CLIENT.replace('}', &format!(r#","user":"{user}","pass":"{password}"}}"#));
    let mut raw = Raw::client(process.address(), &options).unwrap();
    assert!(raw.line().unwrap().contains("\"connect_info\":true"));
    raw
}

fn clients(process: &Process, count: usize) -> Vec<Raw> {
    (0..count).map(|_| client(process, "ann", "a")).collect()
}

/// Whether the server has closed this connection, and what it said before.
fn end_of(client: &mut Raw) -> Option<String> {
    let deadline = Instant::now() + PATIENCE;
    while client.more(deadline).unwrap() {}
    client.ended().then(|| String::from_utf8_lossy(client.pending()).into_owned())
}

#[test]
fn a_limit_holds_for_all_connections_on_all_shards() {
    for shards in ["2", "4"] {
        let process = start("max_payload: 100", &["--shards", shards, "-m", "-1"]);
        let mut old = clients(&process, 8);
        process.reload(
            "max_payload: 10, max_control_line: 600, ping_interval: \"90s\", server_tags: [new]",
        );
        process.wait_for("stderr", "Reloaded: max_payload = 10");
        process.wait_for("stderr", "Reloaded: max_control_line = 600");
        process.wait_for("stderr", "Reloaded: ping_interval = 1m30s");
        let shown = varz(&process);
        assert!(shown.contains("\"max_payload\": 10,"), "{shown}");
        assert!(shown.contains("\"tags\": [\n    \"new\"\n  ]"), "{shown}");
        let mut new = Raw::connect(process.address()).unwrap();
        assert!(new.line().unwrap().contains("\"max_payload\":10,"));
        for client in &mut old {
            client.sync().unwrap();
            client.send(b"PUB a 11\r\n01234567890\r\n").unwrap();
            let told = end_of(client).unwrap();
            assert_eq!(told, "-ERR 'Maximum Payload Violation'\r\n");
        }
    }
}

#[test]
fn clients_of_a_proxy_go_when_it_is_trusted_no_more() {
    const KEPT: &str = "UBINYEGO2GOZFFKLRPD53UCERVVKIIQBBW3RYEWX274ERT6CMFSZOW6M";
    const SEED_OF_KEPT: &str = "SUAMX7SLAPHXB7Z57KQF4TVZAYLWKDOHUUTJ4GS6ZE72IW7EYLZDM2YVN4";
    const GONE: &str = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";
    const SEED_OF_GONE: &str = "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y";
    let trusted = |keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|key| format!("{{ key: {key} }}")).collect();
        format!("proxies {{ trusted: [ {} ] }}", keys.join(", "))
    };
    let process = start(&trusted(&[KEPT, GONE]), &["-m", "-1"]);
    let through = |seed: Option<&str>| {
        let mut raw = Raw::connect(process.address()).unwrap();
        let info = raw.line().unwrap();
        let nonce = info.split("\"nonce\":\"").nth(1).unwrap().split('"').next().unwrap();
        let signed =
            seed.map_or_else(String::new, |seed| format!(",\"proxy_sig\":\"<sign {seed}>\""));
        let options = CLIENT.replace('}', &format!("{signed}}}"));
        let options = nkey::fill_in(&options, nonce).unwrap();
        raw.send(format!("CONNECT {options}\r\nPING\r\n").as_bytes()).unwrap();
        assert_eq!(raw.line().unwrap(), "PONG");
        assert!(raw.line().unwrap().contains("\"connect_info\":true"));
        raw
    };
    let mut stays = [through(Some(SEED_OF_KEPT)), through(None)];
    let mut goes = through(Some(SEED_OF_GONE));
    let shown = get(&process, "/connz");
    for key in [KEPT, GONE] {
        let proxy = format!("\"proxy\": {{\n        \"key\": \"{key}\"\n      }}");
        assert_eq!(shown.matches(&proxy).count(), 1, "{shown}");
    }
    assert!(varz(&process).contains(&format!("\"key\": \"{GONE}\"")));
    process.reload(&trusted(&[KEPT]));
    process
        .wait_for("stderr", &format!("Reloaded: proxies trusted keys [\"{GONE}\"] were removed"));
    assert_eq!(end_of(&mut goes).unwrap(), "-ERR 'Authorization Violation'\r\n");
    for client in &mut stays {
        client.sync().unwrap();
    }
    assert!(get(&process, "/connz?state=closed").contains("\"reason\": \"Proxy Not Trusted\""));
    process.reload("debug: false");
    process
        .wait_for("stderr", &format!("Reloaded: proxies trusted keys [\"{KEPT}\"] were removed"));
    assert_eq!(end_of(&mut stays[0]).unwrap(), "-ERR 'Authorization Violation'\r\n");
    stays[1].sync().unwrap();
    assert!(!varz(&process).contains("\"proxies\""));
}

#[test]
fn mappings_change_for_those_who_are_connected() {
    for shards in ["1", "2"] {
        let process = start("mappings { a: b }", &["--shards", shards, "-m", "-1"]);
        let mut all: Vec<Raw> =
            (0..4).map(|_| Raw::client(process.address(), CLIENT).unwrap()).collect();
        for client in &mut all {
            assert!(client.line().unwrap().contains("\"connect_info\":true"));
        }
        let mut seen = |expected: &str| {
            for client in &mut all {
                client.send(b"SUB > 1\r\nPUB a 1\r\nx\r\nUNSUB 1\r\n").unwrap();
                assert_eq!(client.line().unwrap(), format!("MSG {expected} 1 1"));
                assert_eq!(client.line().unwrap(), "x");
                client.sync().unwrap();
            }
        };
        seen("b");
        process.reload("mappings { a: c, d: [ {dest: e, weight: 30} ] }");
        process.wait_for("stderr", "Reloaded: accounts");
        seen("c");
        let shown = get(&process, "/accountz?acc=$G");
        let ways =
            ["\"subject\": \"e\",", "\"weight\": 30", "\"subject\": \"d\",", "\"weight\": 100"];
        for way in ways {
            assert!(shown.contains(way), "{way}: {shown}");
        }
        process.reload("debug: false");
        seen("a");
        assert!(!get(&process, "/accountz?acc=$G").contains("mappings"));
    }
}

#[test]
fn what_accounts_share_changes_for_those_who_are_connected() {
    let config = |exports: &str, imports: &str| {
        format!(
            "accounts {{ A {{ users: [ {{user: ann, password: a}} ], exports: [ {exports} ] }}, \
             B {{ users: [ {{user: bob, password: b}} ], imports: [ {imports} ] }} }}"
        )
    };
    let stream = |to: &str| {
        config("{stream: s}", &format!("{{stream: {{account: A, subject: s}}, to: {to}}}"))
    };
    for shards in ["1", "2"] {
        let process = start(&stream("one"), &["--shards", shards, "-m", "-1"]);
        let (mut ann, mut bob) = (client(&process, "ann", "a"), client(&process, "bob", "b"));
        bob.send(b"SUB one 1\r\nSUB two 2\r\nSUB inbox 3\r\n").unwrap();
        ann.send(b"SUB v 1\r\n").unwrap();
        bob.sync().unwrap();
        ann.send(b"PUB s 1\r\nx\r\n").unwrap();
        assert_eq!((&*bob.line().unwrap(), &*bob.line().unwrap()), ("MSG one 1 1", "x"));
        process.reload(&stream("two"));
        process.wait_for("stderr", "Reloaded: accounts");
        ann.send(b"PUB s 1\r\ny\r\n").unwrap();
        assert_eq!((&*bob.line().unwrap(), &*bob.line().unwrap()), ("MSG two 2 1", "y"));
        process.reload_fails(&config("", "{stream: {account: A, subject: s}}"));
        process.reload(&config("{service: v}", "{service: {account: A, subject: v}, to: w}"));
        bob.send(b"PUB w inbox 1\r\nz\r\n").unwrap();
        let asked = ann.line().unwrap();
        assert!(asked.contains("MSG v 1 _R_."), "{asked}");
        ann.send(b"PUB s 1\r\nx\r\n").unwrap();
        bob.sync().unwrap();
        let shown = get(&process, "/accountz?acc=B");
        for part in ["\"subject\": \"v\"", "\"account\": \"A\"", "\"local_subject\": \"w\""] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(get(&process, "/accountz?acc=A").contains("\"response_type\": \"Singleton\""));
    }
}

#[test]
fn a_user_that_is_removed_or_changed_is_closed_and_others_stay() {
    let process = start(&users("bob", "b"), &[]);
    let mut anns: Vec<Raw> = (0..4).map(|_| client(&process, "ann", "a")).collect();
    let mut bobs: Vec<Raw> = (0..4).map(|_| client(&process, "bob", "b")).collect();
    process
        .reload("authorization { users: [ {user: ann, password: a}, {user: bob, password: x} ] }");
    for bob in &mut bobs {
        assert_eq!(end_of(bob).unwrap(), "-ERR 'Authorization Violation'\r\n");
    }
    let mut bob = client(&process, "bob", "x");
    process
        .reload("authorization { users: [ {user: ann, password: a}, {user: eve, password: e} ] }");
    process.wait_for("stderr", "Reloaded: authorization users");
    assert_eq!(end_of(&mut bob).unwrap(), "");
    client(&process, "eve", "e").sync().unwrap();
    for ann in &mut anns {
        ann.sync().unwrap();
    }
}

#[test]
fn users_of_accounts_that_move_or_go_are_closed_and_others_stay() {
    let config = |first: &str, users: &str, second: &str| {
        format!(
            "accounts {{ {first} {{ users: [ {{user: ann, password: a}}{users} ] }}, \
             {second} {{ users: [ {{user: eve, password: e}} ] }} }}"
        )
    };
    let bob = ", {user: bob, password: b}";
    let process = start(&config("A", bob, "B"), &["--shards", "2"]);
    let mut anns: Vec<Raw> = (0..4).map(|_| client(&process, "ann", "a")).collect();
    let mut bob = client(&process, "bob", "b");
    let mut eve = client(&process, "eve", "e");
    process.reload(&config("A", "", "C"));
    process.wait_for("stderr", "Reloaded: accounts");
    process.wait_for("stderr", "Reloaded: authorization users");
    for client in [&mut bob, &mut eve] {
        assert_eq!(end_of(client).unwrap(), "");
    }
    let mut eve = client(&process, "eve", "e");
    // They share no subject in spite of the numbers of accounts that came and went.
    eve.send(b"SUB > 1\r\n").unwrap();
    eve.sync().unwrap();
    for ann in &mut anns {
        ann.send(b"PUB a 1\r\nx\r\n").unwrap();
        ann.sync().unwrap();
    }
    eve.sync().unwrap();
    process.reload_fails("accounts [ C ], system_account: C");
    anns[0].sync().unwrap();
}

#[test]
fn who_came_without_credentials_goes_with_the_user_it_became() {
    let users = "accounts { A { users: [ {user: ann, password: a} ";
    let process = start(&format!("{users}, {{user: bob}} ] }} }}\nno_auth_user: bob"), &[]);
    let mut guest = client(&process, "", "");
    let mut ann = client(&process, "ann", "a");
    process.reload(&format!("{users} ] }} }}"));
    assert_eq!(end_of(&mut guest).unwrap(), "");
    ann.sync().unwrap();
}

#[test]
fn guests_beside_the_system_account_outlive_its_users() {
    let config = |user: &str| format!("accounts {{ $SYS {{ users: [ {{user: {user}}} ] }} }}");
    let process = start(&config("ops"), &[]);
    let (mut guest, mut ops) = (client(&process, "", ""), client(&process, "ops", ""));
    process.reload(&config("root"));
    assert_eq!(end_of(&mut ops).unwrap(), "");
    guest.sync().unwrap();
    process.reload("debug: false");
    guest.sync().unwrap();
}

#[test]
fn connections_beyond_a_new_maximum_are_closed() {
    let process = start("", &["--shards", "4"]);
    let mut all = clients(&process, 9);
    process.reload("max_connections: 3");
    process.wait_for("stderr", "Closed 6 connections to fall within max_connections");
    let mut stayed = 0;
    for client in &mut all {
        match client.sync() {
            Ok(()) => stayed += 1,
            Err(error) => assert!(error.to_string().contains("maximum connections"), "{error}"),
        }
    }
    assert_eq!(stayed, 3);
    let address = process.address();
    let refused = || {
        let mut raw = Raw::connect(address).unwrap();
        raw.line().unwrap();
        raw.line().unwrap_or_default()
    };
    assert_eq!(refused(), "-ERR 'maximum connections exceeded'");
    process.reload("max_connections: 30");
    client(&process, "", "").sync().unwrap();
}

#[test]
fn a_bad_file_or_a_change_that_cannot_be_made_leaves_everything_as_it_was() {
    let process = start("max_payload: 100", &[]);
    let mut client = client(&process, "", "");
    let fails = |config: &str, lines: &[&str]| {
        let before = process.text("stderr").len();
        process.reload_fails(config);
        for line in lines {
            eventually(line, PATIENCE, || process.text("stderr")[before..].contains(line));
        }
        let log = process.text("stderr")[before..].to_owned();
        let failed = log.matches("Failed to reload server configuration: ").count();
        assert_eq!(failed, lines.len(), "{log}");
        assert!(!log.contains("Reloaded"), "{log}");
    };
    let failed = "Failed to reload server configuration: ";
    fails(
        "max_payload: 10\nmax_paylod: 5\nping_max: x",
        &[&format!("{failed}conf:2:1: unknown field \"max_paylod\""), "conf:3:"],
    );
    fails(
        "max_payload: 10, server_name: other, max_pending: 1000000",
        &[
            &format!(
                "{failed}config reload not supported for server_name: old=\"\", new=\"other\""
            ),
            &format!("{failed}config reload not supported for max_pending: old=67108864"),
        ],
    );
    fails("log_file: \"/no/such/log\"", &["error opening file: open /no/such/log: "]);
    fails("client_advertise: \"a:b\"", &["invalid ClientAdvertise value of a:b, err="]);
    fs::remove_file(process.path("conf")).unwrap();
    process.signal(Signal::HUP);
    process.wait_for("stderr", &format!("{failed}open conf: no such file or directory"));
    client.send(&[b"SUB a 1\r\nPUB a 100\r\n", &[b'x'; 100][..], b"\r\n"].concat()).unwrap();
    assert_eq!(client.line().unwrap(), "MSG a 1 100");
}

#[test]
fn the_log_moves_and_says_more() {
    let process = start("log_file: \"one\"", &[]);
    process.wait_for("one", "Server is ready");
    fs::write(process.path("conf"), "log_file: \"two\", debug: true, logtime: false").unwrap();
    let order = format!("reload={}", process.child.id());
    let told = Command::new(env!("CARGO_BIN_EXE_ringbus")).args(["--signal", &order]).status();
    assert!(told.unwrap().success());
    process.wait_for("one", "[INF] Reloaded: log_file = two");
    process.wait_for("one", "[INF] Reloaded: debug = true");
    let last = process.wait_for("two", "Reloaded server configuration (sha256:");
    assert_eq!(last.split(' ').nth(1), Some("[INF]"), "no time: {last}");
    let address = process.wait_for("one", "Listening for client connections on ");
    let address = address.rsplit(' ').next().unwrap().parse().unwrap();
    drop(Raw::client(address, CLIENT).unwrap());
    process.wait_for("two", "[DBG] 127.0.0.1:");
}

/// A syslog; what it was told comes out of the function.
fn syslog() -> (String, impl FnMut() -> String) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let url = format!("udp://{}", receiver.local_addr().unwrap());
    let next = move || {
        let mut bytes = [0; 2000];
        let count = receiver.recv(&mut bytes).expect("the syslog is told nothing");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    (url, next)
}

#[test]
fn the_log_moves_to_a_syslog_and_on_and_back() {
    let ((first, mut told_first), (second, mut told_second)) = (syslog(), syslog());
    let process = start("", &[]);
    process.address();
    let reload = |config: &str| {
        fs::write(process.path("conf"), config).unwrap();
        process.signal(Signal::HUP);
    };
    reload(&format!("remote_syslog: \"{first}\""));
    process.wait_for("stderr", &format!("[INF] Reloaded: remote_syslog = {first}"));
    let line = told_first();
    assert!(line.contains(": Reloaded server configuration (sha256:"), "{line}");
    // Only what comes after the change is for the new place, and only that.
    assert_eq!(said(&process, "Reloaded server configuration"), 0);
    reload(&format!("remote_syslog: \"{second}\""));
    assert!(told_first().contains("Trapped \"hangup\" signal"));
    assert!(told_first().ends_with(&format!(": Reloaded: remote_syslog = {second}\n")));
    assert!(told_second().contains(": Reloaded server configuration (sha256:"));
    // Where it goes is not there: the log stays where it is, and so does everything else.
    reload("remote_syslog: \"unix:///no/such\", max_payload: 10");
    assert!(told_second().contains("Trapped \"hangup\" signal"));
    let line = told_second();
    assert!(line.contains("Failed to reload server configuration: error connecting to"), "{line}");
    assert!(line.contains("dial unix /no/such: connect: no such file or directory"), "{line}");
    let mut client = client(&process, "", "");
    client.send(b"PUB a 11\r\n01234567890\r\n").unwrap();
    client.sync().unwrap();
    reload("");
    assert!(told_second().contains("Trapped \"hangup\" signal"));
    process.wait_for("stderr", "[INF] Reloaded server configuration (sha256:");
}

#[test]
fn a_log_file_gets_other_bounds() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    fs::write(folder.path().join("conf"), "log_file: \"logs/log\", trace: true").unwrap();
    let process = Process::start_in(folder, &["-c", "conf"], &[]);
    process.wait_for("logs/log", "Server is ready");
    let address = process.wait_for("logs/log", "Listening for client connections on ");
    let address = address.rsplit(' ').next().unwrap().parse().unwrap();
    let mut client = Raw::client(address, CLIENT).unwrap();
    assert!(client.line().unwrap().contains("\"connect_info\":true"));
    let mut fill = || {
        for _ in 0..100 {
            client.send(b"PUB a 1\r\nx\r\n").unwrap();
        }
        client.sync().unwrap();
    };
    let files = || fs::read_dir(process.path("logs")).unwrap().count();
    fill();
    assert_eq!(files(), 1);
    let config = "log_file: \"logs/log\", trace: true, logfile_size_limit: 4000";
    fs::write(process.path("conf"), config).unwrap();
    process.signal(Signal::HUP);
    // The file is too large already, and what is written next is a new one.
    eventually("the file is put aside", PATIENCE, || files() == 2);
    process.wait_for("logs/log", "Reloaded server configuration (sha256:");
    fill();
    eventually("files are put aside", PATIENCE, || files() > 3);
    fs::write(process.path("conf"), format!("{config}, logfile_max_num: 2")).unwrap();
    process.signal(Signal::HUP);
    eventually("it is in force", PATIENCE, || {
        fill();
        files() == 2
    });
}

#[test]
fn a_log_beyond_the_fence_is_refused_and_the_fence_is_named() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::create_dir(folder.path().join("out")).unwrap();
    fs::write(folder.path().join("conf"), "pid_file: \"in/pid\"").unwrap();
    let process = Process::start_in(folder, &["-c", "conf"], &[]);
    process.address();
    if said(&process, "Landlock: of all files, the process can write in") == 0 {
        // This kernel has no fence to name.
        process.wait_for("stderr", "[WRN] Landlock: ");
        return;
    }
    let way_out = "(Landlock: of all files, the process can write in; restart the server to write \
                   elsewhere)";
    process.reload_fails("pid_file: \"in/pid\", log_file: \"out/log\", max_payload: 10");
    let failed = "Failed to reload server configuration: error opening file: open out/log: ";
    let line = process.wait_for("stderr", failed);
    assert!(line.ends_with(&format!("{failed}permission denied {way_out}")), "{line}");
    assert_eq!(said(&process, "Reloaded"), 0);
    assert!(!process.path("out/log").exists());

    process.reload("pid_file: \"out/pid\"");
    let line = process.wait_for("stderr", "[ERR] Failed to write pidfile: open out/pid: ");
    assert!(line.ends_with(way_out), "{line}");

    fs::write(process.path("conf"), "log_file: \"in/log\"").unwrap();
    process.signal(Signal::HUP);
    process.wait_for("in/log", "Reloaded server configuration (sha256:");
}

#[test]
fn files_are_written_where_they_are_wanted_now() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("ports")).unwrap();
    fs::write(folder.path().join("conf"), "pid_file: \"a.pid\"\nports_file_dir: \".\"").unwrap();
    let process = Process::start_in(folder, &["-c", "conf", "--no-landlock"], &[]);
    process.address();
    let pid = process.child.id();
    let ports = format!("ringbus_{pid}.ports");
    let first = process.text(&ports);
    assert!(first.contains("nats://127.0.0.1:"), "{first}");
    process.reload("pid_file: \"b.pid\"\nports_file_dir: \"ports\"");
    assert_eq!(process.text("b.pid"), pid.to_string());
    assert_eq!(process.text(&format!("ports/{ports}")), first);
    assert!(!process.path(&ports).exists());
}

#[test]
fn many_reloads_under_load_lose_nothing_and_end_the_same_everywhere() {
    for shards in ["2", "4"] {
        let process = start(&config(0), &["--shards", shards]);
        let mut subscribers = clients(&process, 8);
        for subscriber in &mut subscribers {
            subscriber.send(b"SUB load 1\r\n").unwrap();
            subscriber.sync().unwrap();
        }
        let mut publisher = client(&process, "ann", "a");
        let ends = AtomicBool::new(false);
        thread::scope(|scope| {
            let sent = scope.spawn(|| publish(&mut publisher, &ends));
            let readers: Vec<_> =
                subscribers.iter_mut().map(|raw| scope.spawn(|| count(raw))).collect();
            for turn in 1..=RELOADS / 2 {
                process.reload(&config(turn));
            }
            ends.store(true, Ordering::Relaxed);
            let sent = sent.join().unwrap();
            assert!(sent > RELOADS);
            for reader in readers {
                assert_eq!(reader.join().unwrap(), sent);
            }
        });
        for subscriber in &mut subscribers {
            // The last configuration holds, whatever shard this connection is on.
            subscriber.send(b"PUB a 150\r\n").unwrap();
            let told = end_of(subscriber).unwrap();
            assert!(told.ends_with("-ERR 'Maximum Payload Violation'\r\n"), "{told}");
        }
        assert_eq!(said(&process, "Failed to reload"), 0);
    }
}

/// Bounds change with every turn, and so does one of two users; the last turn is even.
fn config(turn: usize) -> String {
    let (payload, other) = if turn.is_multiple_of(2) { (100, "bob") } else { (200, "eve") };
    let interval = 60 + turn;
    format!(
        "max_payload: {payload}, ping_interval: \"{interval}s\", authorization {{ users: [ \
         {{user: ann, password: a}}, {{user: {other}, password: b}} ] }}"
    )
}

/// Publishes numbers until it is told to end; returns how many.
fn publish(raw: &mut Raw, ends: &AtomicBool) -> usize {
    let mut sent = 0;
    while !ends.load(Ordering::Relaxed) {
        for _ in 0..20 {
            let number = sent.to_string();
            let message = format!("PUB load {}\r\n{number}\r\n", number.len());
            raw.send(message.as_bytes()).unwrap();
            sent += 1;
        }
        thread::sleep(Duration::from_millis(1));
    }
    raw.send(b"PUB load 3\r\nend\r\n").unwrap();
    sent
}

/// Counts the numbers that arrive, which must be in order.
fn count(raw: &mut Raw) -> usize {
    let mut received = 0;
    loop {
        let line = raw.line().unwrap();
        if line == "PING" {
            raw.send(b"PONG\r\n").unwrap();
            continue;
        }
        assert!(line.starts_with("MSG load 1 "), "{line}");
        let body = raw.line().unwrap();
        if body == "end" {
            return received;
        }
        assert_eq!(body, received.to_string());
        received += 1;
    }
}

/// What monitoring says.
fn varz(process: &Process) -> String {
    get(process, "/varz")
}

fn get(process: &Process, path: &str) -> String {
    let line = process.wait_for("stderr", "Starting http monitor on ");
    let mut stream = TcpStream::connect(line.rsplit(' ').next().unwrap()).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
