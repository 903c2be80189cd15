//! Two configurations, and what leads from one to the other.

use super::super::reload::{FIXED, ReloadStep, diff};
use super::*;

fn settings(config: &str) -> Settings {
    outcome(config).unwrap_or_else(|problems| panic!("{config}: {problems}")).settings
}

fn steps(old: &str, new: &str) -> Vec<ReloadStep> {
    diff(&settings(old), &settings(new)).unwrap_or_else(|refused| panic!("{refused}"))
}

const NONE: &str = "port: 4222";

#[test]
fn nothing_changes_if_the_values_stay() {
    assert!(steps(NONE, "{ port = 4222, debug: off }").is_empty());
    assert!(steps(NONE, "port: 0\nmax_payload: 1MB\nwrite_deadline: \"10s\"").is_empty());
}

#[test]
fn what_needs_a_restart_is_refused_with_every_such_key() {
    for (key, new, text) in [
        ("server_name", "one", r#"old="", new="one""#),
        ("host", "127.0.0.1", r#"old="0.0.0.0", new="127.0.0.1""#),
        ("port", "4333", "old=4222, new=4333"),
        ("max_pending", "2MB", "old=67108864, new=2097152"),
        ("max_subs", "5", "old=0, new=5"),
        ("max_sub_tokens", "5", "old=none, new=5"),
        ("no_header_support", "true", "old=false, new=true"),
        ("proxy_protocol", "true", "old=false, new=true"),
        ("lame_duck_duration", "\"1m\"", r#"old="2m", new="1m""#),
        ("lame_duck_grace_period", "\"1s\"", r#"old="10s", new="1s""#),
    ] {
        let refused = diff(&settings(NONE), &settings(&format!("{key}: {new}"))).unwrap_err();
        let refused = refused.to_string();
        assert!(refused.starts_with("config reload not supported for "), "{refused}");
        assert!(refused.ends_with(text), "{refused}");
    }
    let both = diff(&settings(NONE), &settings("port: 5, host: a, debug: true")).unwrap_err();
    assert_eq!(
        both.to_string(),
        "config reload not supported for host: old=\"0.0.0.0\", new=\"a\"\n\
         config reload not supported for port: old=4222, new=5"
    );
    assert!(steps(NONE, "port: -1").is_empty());
}

#[test]
fn every_key_that_is_fixed_exists() {
    let texts = settings(NONE).texts();
    for key in FIXED {
        assert!(texts.contains_key(key), "{key}");
    }
}

#[test]
fn each_change_becomes_its_step() {
    let one = |new: &str| {
        let mut steps = steps(NONE, new);
        assert_eq!(steps.len(), 1, "{new}: {steps:?}");
        steps.remove(0)
    };
    for config in [
        "log_file: \"/a\"",
        "log_size_limit: 5000",
        "logfile_max_num: 3",
        "syslog: true",
        "remote_syslog: \"udp://a:5\"",
        "logtime: false",
        "logtime_utc: true",
    ] {
        assert!(matches!(one(config), ReloadStep::LogSink(_)), "{config}");
    }
    for config in ["debug: true", "trace: true", "trace_verbose: true"] {
        assert!(matches!(one(config), ReloadStep::Verbosity(_)), "{config}");
    }
    assert!(matches!(one("max_traced_msg_len: 5"), ReloadStep::TracedLength(Some(5))));
    for config in [
        "max_control_line: 2kb",
        "max_payload: 2mb",
        "max_connections: 5",
        "ping_interval: \"5s\"",
        "ping_max: 5",
        "write_deadline: \"5s\"",
        "no_fast_producer_stall: true",
        "authorization { timeout: 5 }",
    ] {
        assert!(matches!(one(config), ReloadStep::Limits(_)), "{config}");
    }
    let advertised = one("client_advertise: \"a:5\"");
    assert!(matches!(advertised, ReloadStep::ClientAdvertise(Some(to)) if to == "a:5"));
    assert!(matches!(one("pid_file: \"/a\""), ReloadStep::PidFile(Some(_))));
    assert!(matches!(one("ports_file_dir: \"/a\""), ReloadStep::PortsFileDir(Some(_))));
    assert!(matches!(one("server_tags: [ a ]"), ReloadStep::Tags(tags) if tags == ["a"]));
    assert!(matches!(one("server_metadata { a: b }"), ReloadStep::Metadata(map) if map.len() == 1));
}

#[test]
fn other_credentials_are_another_judge() {
    let ann = "authorization { user: ann, password: a }";
    let ann_anew = "authorization { user: ann, password: b }";
    let token = "authorization { token: t }";
    let two = "authorization { users: [ {user: ann, password: a}, {user: bob, password: b} ] }";
    let account = "accounts { A { users: [ {user: cat, password: c} ] } }";
    let other = "accounts { B { users: [ {user: cat, password: c} ] } }";
    let names = "accounts [ A, B ]";
    let mapped = "mappings { foo: bar }";
    let mapped_in_account = "accounts { A { mappings: { foo: bar } } }";
    let system = "accounts { $SYS { users: [ {user: cat, password: c} ] } }";
    let no_guests = "accounts { $SYS { users: [ {user: cat, password: c} ] } }, authorization {}";
    let all = [
        NONE,
        ann,
        ann_anew,
        token,
        two,
        account,
        other,
        names,
        system,
        no_guests,
        mapped,
        mapped_in_account,
    ];
    for (old, new) in all.iter().flat_map(|old| all.iter().map(move |new| (old, new))) {
        let steps = steps(old, new);
        let judged_anew = matches!(&*steps, [ReloadStep::Auth]);
        assert!(if old == new { steps.is_empty() } else { judged_anew }, "{old} to {new}");
    }
}

#[test]
fn the_user_of_those_who_offer_nothing_goes_only_with_its_account() {
    let users = "accounts { A { users: [ {user: ann}, {user: bob} ] } }";
    let with = |config: &str, user: &str| settings(&format!("{config}, no_auth_user: {user}"));
    let refused = |old: &Settings, new: &Settings| diff(old, new).unwrap_err().to_string();
    let prefix = "config reload not supported for no_auth_user: ";
    let (ann, bob, nobody) = (with(users, "ann"), with(users, "bob"), settings(users));
    assert_eq!(refused(&ann, &bob), format!("{prefix}old=\"ann\", new=\"bob\""));
    assert_eq!(refused(&ann, &nobody), format!("{prefix}old=\"ann\", new=\"\""));
    assert_eq!(refused(&nobody, &ann), format!("{prefix}old=\"\", new=\"ann\""));
    let gone = settings("accounts { A { users: [ {user: bob} ] } }");
    assert!(matches!(&*diff(&ann, &gone).unwrap(), [ReloadStep::Auth]));
}

#[test]
fn the_system_account_keeps_its_name() {
    let refused = |old, new| diff(&settings(old), &settings(new)).unwrap_err().to_string();
    let (ops, usual) = ("accounts [ OPS ], system: OPS", "accounts [ OPS ]");
    let prefix = "config reload not supported for system_account: ";
    assert_eq!(refused(usual, ops), format!("{prefix}old=\"$SYS\", new=\"OPS\""));
    assert_eq!(refused(ops, usual), format!("{prefix}old=\"OPS\", new=\"$SYS\""));
    let named = "accounts { $SYS {} }, system_account: \"$SYS\"";
    assert!(steps(named, "accounts { $SYS {} }").is_empty(), "that is its name anyway");
}

#[test]
fn whoever_asks_over_tls_is_shown_what_is_new() {
    let tls = |more: &str| {
        format!(
            "authorization {{ timeout: 5 }}\n\
             tls {{ cert_file: \"server.pem\", key_file: \"server.key\" {more} }}"
        )
    };
    assert!(steps(&tls(""), &tls(", timeout: \"2s\", verify: false")).is_empty());
    for more in [
        ", timeout: 1",
        ", min_version: \"1.3\"",
        ", curve_preferences: [ CurveP256 ]",
        ", verify: true, ca_file: \"server.pem\"",
        ", handshake_first: \"300ms\"",
        ", pinned_certs: [ \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF\" ]",
    ] {
        let steps = steps(&tls(""), &tls(more));
        assert!(matches!(&*steps, [ReloadStep::Tls]), "{more}");
    }
    let none = "authorization { timeout: 5 }";
    assert!(matches!(&*steps(none, &tls("")), [ReloadStep::Tls]));
    assert!(matches!(&*steps(&tls(""), none), [ReloadStep::Tls]));
    let refused =
        |old: &str, new: &str| diff(&settings(old), &settings(new)).unwrap_err().to_string();
    let https = format!("https: 8443\n{}", tls(""));
    assert!(refused(&tls(""), &https).contains("https_port: old=0, new=8443"));
    let rate = refused(&tls(""), &tls(", connection_rate_limit: 5"));
    assert!(rate.contains("tls.connection_rate_limit: old=0, new=5"), "{rate}");
    let plain = format!("allow_non_tls: true\n{}", tls(""));
    assert!(refused(&tls(""), &plain).contains("allow_non_tls: old=false, new=true"));
}

#[test]
fn a_client_has_longer_for_its_password_if_a_handshake_comes_first() {
    let timeout = |text: &str| settings(text).auth.timeout.as_millis();
    let tls = "tls { cert_file: \"server.pem\", key_file: \"server.key\", timeout: 1.5 }";
    assert_eq!(timeout(""), 2_000);
    assert_eq!(timeout(tls), 2_500);
    assert_eq!(timeout(&format!("authorization {{ timeout: 4 }}\n{tls}")), 4_000);
}
