//! Flags over file over default.

use std::ffi::OsString;
use std::time::Duration;

use ringbus_shard::options::Authenticator as _;
use ringbus_shard::options::{Offer, Verdict};
use ringbus_shard::wire::connect::ConnectOptions;
use ringbus_shard::wire::secret::Secret;

use super::*;
use crate::auth::Accounts;
use crate::auth::callout::Desk;
use crate::cli::{self, Invocation, Program};
use crate::observe::log::Destination;

fn settings(config: &str, argv: &str) -> Settings {
    let words: Vec<OsString> = argv.split_whitespace().map(Into::into).collect();
    let Ok(Invocation::Serve(flags)) = cli::parse(&Program::from_argv0(None), &words) else {
        panic!("{argv}");
    };
    read(Path::new("a.conf"), config.as_bytes(), &flags, &world()).unwrap().settings
}

const FULL: &str = r#"
listen: "127.0.0.1:4333"
server_name: of_file
client_advertise: "of.file:1"
debug: true
trace: true
logtime: false
logtime_utc: true
log_file: "/file.log"
pid_file: "/file.pid"
ports_file_dir: "/file"
max_traced_msg_len: 10
authorization { user: ann, password: a }
"#;

#[test]
fn flags_win_over_the_file_and_say_so() {
    let argv = "-a ::1 -p 4444 -n of_flag --client_advertise of.flag:2 -D=false -V=false -T \
                --logtime_utc=false -l /flag.log -P /flag.pid --ports_file_dir /flag \
                --max_traced_msg_len 20 --log_size_limit 9 --user bob --pass b";
    let both = settings(FULL, argv).dump();
    let flags = settings("debug: true", argv).dump();
    let changed: Vec<&str> = both.lines().filter(|line| line.contains("# flag")).collect();
    let expected: Vec<&str> = flags.lines().filter(|line| line.contains("# flag")).collect();
    assert_eq!(changed, expected);
    assert_eq!(changed.len(), 15, "{changed:#?}");
    assert!(!both.lines().skip(1).any(|line| line.contains("# a.conf:")), "{both}");
}

#[test]
fn an_empty_flag_asks_for_the_default() {
    let merged = settings(FULL, "-p 0 --max_traced_msg_len 0 -a= -n= -l= -P= --ports_file_dir=");
    assert_eq!((merged.listen.host.as_str(), *merged.listen.port), ("0.0.0.0", 4222));
    assert_eq!(*merged.names.server_name, None);
    assert_eq!(*merged.log.file, None);
    assert_eq!(*merged.life.pid_file, None);
    assert_eq!(*merged.life.ports_file_dir, None);
    assert_eq!(*merged.log.traced_len_max, None);
}

#[test]
fn a_log_goes_to_one_place() {
    let file = |size_max, files_max| Destination::File { path: "f".into(), size_max, files_max };
    let remote = |url: &str| Destination::RemoteSyslog(url.to_owned());
    for (config, argv, expected) in [
        ("", "", Destination::StandardError),
        ("", "-s", Destination::Syslog),
        ("syslog: true", "", Destination::Syslog),
        ("syslog: true", "-s=false -r=", Destination::StandardError),
        ("remote_syslog: \"udp://h:514\"", "-s", remote("udp://h:514")),
        ("syslog: true", "-r tcp://h:1", remote("tcp://h:1")),
        ("syslog: true, remote_syslog: \"udp://h:514\"", "-l f", file(None, None)),
        ("log_file: f, logfile_max_num: 3", "--log_size_limit 9", file(Some(9), Some(3))),
        ("log_file: f", "--log_size_limit -1", file(None, None)),
    ] {
        assert_eq!(settings(config, argv).log.destination(), expected, "{config} {argv}");
    }
}

#[test]
fn combined_switches_win_over_the_file_too() {
    for (config, argv, expected) in [
        ("", "", (false, false, false)),
        ("debug: true", "", (true, false, false)),
        ("debug: true", "-V", (true, true, false)),
        ("debug: true", "-DV=false", (false, false, false)),
        ("trace_verbose: true", "", (false, true, true)),
        ("trace_verbose: true", "-VV=false", (false, false, false)),
        ("trace: true", "-DVV", (true, true, true)),
    ] {
        let shown = settings(config, argv).log.verbosity();
        assert_eq!((shown.debug, shown.trace, shown.trace_verbose), expected, "{config} {argv}");
    }
}

#[test]
fn limits_reach_the_shards() {
    let config = r#"
        max_control_line: 2kb, max_payload: 1mb, max_pending: 2mb, max_connections: 7
        max_subscriptions: 8, max_sub_tokens: 9, ping_interval: "10s", ping_max: 11
        write_deadline: "12s", no_fast_producer_stall: true, proxy_protocol: true
        authorization { token: t, timeout: 13 }
    "#;
    let settings = settings(config, "");
    let limits = settings.limits.limits(*settings.auth.timeout);
    let expected = ringbus_shard::limits::Limits {
        control_line: 2048,
        payload: 1 << 20,
        pending: 2 << 20,
        connections: Some(7),
        subscriptions: Some(8),
        subscription_tokens: Some(9),
        ping_interval: Duration::from_secs(10),
        pings_out: 11,
        write_deadline: Duration::from_secs(12),
        auth_timeout: Duration::from_secs(13),
        proxied: Some(ringbus_shard::limits::PROXY_TIMEOUT),
        stalls: false,
    };
    assert_eq!(limits, expected);
    assert_eq!(
        self::settings("debug: true", "").limits.limits(Duration::from_secs(2)),
        ringbus_shard::limits::Limits::default()
    );
}

#[test]
fn credentials_of_file_and_flags_are_weighed() {
    let admits = |config, argv, user: &str, pass: &str, token: &str| {
        let mut accounts = Accounts::new(crate::auth::SYSTEM);
        let auth = settings(config, argv).auth.auth(&mut accounts, &Desk::default());
        let secret = |text: &str| Secret::from(text.to_owned());
        let connect = ConnectOptions {
            user: user.to_owned(),
            pass: secret(pass),
            auth_token: secret(token),
            ..ConnectOptions::default()
        };
        matches!(auth.judge(&Offer::of(&connect)), Verdict::Admitted(_))
    };
    assert!(admits("debug: true", "", "", "", ""));
    let single = "authorization { user: ann, password: a }";
    assert!(admits(single, "--pass b", "ann", "b", ""));
    assert!(!admits(single, "--pass b", "ann", "a", ""));
    assert!(admits(single, "--auth t", "", "", "t"));
    assert!(!admits(single, "--auth t", "ann", "a", ""));
    let several = "authorization { include users.conf }";
    assert!(admits(several, "--user joe", "ann", "a", ""));
    assert!(!admits(several, "--user joe", "joe", "", ""));
    assert!(admits("authorization { users: [] }", "", "", "", ""));
    let accounts = "accounts { A { users: [ { user: ann, password: a } ] } }";
    assert!(admits(accounts, "--user joe", "ann", "a", ""));
    assert!(!admits(accounts, "--user joe", "joe", "", ""));
    assert!(admits("accounts { A {}, B { users: [] } }", "", "", "", ""));
}

#[test]
fn who_has_no_credentials_goes_where_the_configuration_says() {
    let account = |config: &str| {
        let mut accounts = Accounts::new(crate::auth::SYSTEM);
        let auth = settings(config, "").auth.auth(&mut accounts, &Desk::default());
        let connect = ConnectOptions::default();
        let Verdict::Admitted(grant) = auth.judge(&Offer::of(&connect)) else { return None };
        Some((grant.account_name.to_string(), auth.invites()))
    };
    let to = |account: &str, invited| Some((account.to_owned(), invited));
    let users = "users: [ { user: ann, password: a } ]";
    for (config, expected) in [
        ("accounts [ A, B ]".to_owned(), to("$G", true)),
        (format!("accounts {{ A {{ {users} }} }}"), None),
        (format!("accounts {{ A {{ {users} }} }}, no_auth_user: ann"), to("A", true)),
        (
            format!("accounts {{ A {{}} }}, authorization {{ {users} }}, no_auth_user: ann"),
            to("$G", true),
        ),
        // Only the system account: everybody else is a guest.
        (format!("accounts {{ $SYS {{ {users} }} }}"), to("$G", false)),
        ("accounts [ \"$SYS\" ]".to_owned(), to("$G", false)),
        (format!("accounts {{ OPS {{ {users} }} }}, system_account: OPS"), to("$G", false)),
        (format!("accounts {{ $SYS {{ {users} }} }}, authorization {{}}"), None),
        (format!("accounts {{ $SYS {{ {users} }}, A {{}} }}"), None),
        (format!("accounts {{ $SYS {{ {users} }} }}, no_auth_user: ann"), to("$SYS", true)),
    ] {
        assert_eq!(account(&config), expected, "{config}");
    }
}

#[test]
fn users_that_win_over_a_flag_are_noted() {
    let flags = Flags { user: Some("joe".to_owned()), ..Flags::default() };
    let config = b"authorization { users: [ { user: ann, password: a } ] }";
    let loaded = read(Path::new("a.conf"), config, &flags, &world()).unwrap();
    let notes: Vec<String> = loaded.problems.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["a.conf:1:17: these users win over flag --user"]);
}

#[test]
fn the_dump_shows_every_setting_and_no_secret() {
    let dump = settings("authorization { token: \"s3cr3t\" }\nmax_payload: 2mb", "-p 5").dump();
    let lines: Vec<&str> = dump.lines().collect();
    let digest = "# a.conf (sha256:";
    assert!(dump.starts_with(digest), "{dump}");
    for line in [
        "host: \"0.0.0.0\"                                  # default",
        "port: 5                                          # flag --port",
        "max_payload: 2097152                             # a.conf:2:1",
        "authorization.token: \"[REDACTED]\"                # a.conf:1:17",
        "authorization.password: \"\"                       # default",
    ] {
        assert!(lines.contains(&line), "{line} is not in\n{dump}");
    }
    assert!(!dump.contains("s3cr3t"));
    assert_eq!(lines.len(), 67, "{dump}");
}

#[test]
fn users_known_by_certificates_are_not_let_in_without_one_because_tls_is_off() {
    let text = "tls { cert_file: a, key_file: b, ca_file: c, verify_and_map: true }\n\
                authorization { users: [ { user: \"CN=bob\" } ] }";
    let settings = settings(text, "--tls=false");
    assert!(settings.tls.maps());
}

#[test]
fn files_that_say_the_same_have_the_digest_of_nats_server() {
    // Printed by nats-server 2.15.1.
    let expected = "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e";
    for config in ["port: 4222\n", "# c\nport=4222;", "{\"port\": 4222}", "port: 1\nport: 4222"] {
        assert_eq!(settings(config, "").file.unwrap().digest, expected, "{config}");
    }
    for config in ["port: 4223", "Port: 4222", "port: 4222\ndebug: false"] {
        assert_ne!(settings(config, "").file.unwrap().digest, expected, "{config}");
    }
}
