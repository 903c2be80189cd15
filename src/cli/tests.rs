//! Command lines and what they mean, or the line that refuses them.

use super::*;
use crate::observe::log::LogFormat;

fn program(name: &str) -> Program {
    Program::from_argv0(Some(&OsString::from(name)))
}

fn invoke(argv: &str) -> Result<Invocation, UsageError> {
    let argv: Vec<OsString> =
        argv.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect();
    parse(&program("ringbus"), &argv)
}

fn flags(argv: &str) -> Flags {
    match invoke(argv) {
        Ok(Invocation::Serve(flags)) => *flags,
        other => panic!("{argv}: {other:?}"),
    }
}

fn refusal(argv: &str) -> String {
    match invoke(argv) {
        Err(error) => error.to_string(),
        Ok(other) => panic!("{argv}: {other:?}"),
    }
}

#[test]
fn values_follow_or_are_joined_with_one_dash_or_two() {
    for argv in
        ["-p 5", "-p=5", "--p 5", "--p=5", "-port 5", "--port=5", "-p 9 -p 5", "--port 5 --"]
    {
        assert_eq!(flags(argv).port, Some(5), "{argv}");
    }
    for (argv, port) in [
        ("-p -1", -1),
        ("-p=-1", -1),
        ("-p 0", 0),
        ("-p 0x107e", 4222),
        ("-p 4_222", 4222),
        ("-p 010", 8),
        ("-p +7", 7),
    ] {
        assert_eq!(flags(argv).port, Some(port), "{argv}");
    }
    for argv in ["-a ::1", "--addr=::1", "-net ::1", "--net ::1"] {
        assert_eq!(flags(argv).host.as_deref(), Some("::1"), "{argv}");
    }
    for argv in ["-n x", "--name=x", "-server_name x", "--server_name x"] {
        assert_eq!(flags(argv).name.as_deref(), Some("x"), "{argv}");
    }
    for (argv, port) in [("-m -1", -1), ("--http_port=8222", 8222), ("-m 0", 0)] {
        assert_eq!(flags(argv).http_port, Some(port), "{argv}");
    }
    for (argv, port) in [("-ms -1", -1), ("--https_port=8443", 8443), ("--ms 0", 0)] {
        assert_eq!(flags(argv).https_port, Some(port), "{argv}");
    }
    let joined = flags("-user=a=b --pass= -l -");
    assert_eq!(joined.user.as_deref(), Some("a=b"));
    assert_eq!(joined.pass.unwrap().expose(), "");
    assert_eq!(joined.log_file.as_deref(), Some(Path::new("-")));
    assert_eq!(flags("").port, None);
}

#[test]
fn switches_take_a_value_only_after_an_equals_sign() {
    for argv in ["-D", "--D", "-debug", "--debug=true", "-D=1", "-D=t", "-D=T", "-D=TRUE"] {
        assert_eq!(flags(argv).debug, Some(true), "{argv}");
    }
    for argv in ["-D=false", "-D=0", "-D=f", "-D=F", "-D=False", "-D -D=false"] {
        assert_eq!(flags(argv).debug, Some(false), "{argv}");
    }
    assert_eq!(flags("-T=false").logtime, Some(false));
    assert_eq!(refusal("-D true"), "ringbus: unrecognized command: \"true\"");
}

#[test]
fn combined_switches_override_their_parts() {
    let (on, off) = (Some(true), Some(false));
    let cases = [
        ("", (None, None, None)),
        ("-D", (on, None, None)),
        ("-V", (None, on, None)),
        ("-DV", (on, on, None)),
        ("-VV", (None, on, on)),
        ("-DVV", (on, on, on)),
        ("-D -V -DV=false", (off, off, None)),
        ("-DVV -VV=false", (on, off, off)),
    ];
    for (argv, expected) in cases {
        let VerbosityAsked { debug, trace, trace_verbose } = flags(argv).verbosity();
        assert_eq!((debug, trace, trace_verbose), expected, "{argv}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let port = "a port is 1 to 65535, -1 for a free one, or 0 for the default";
    let cases = [
        ("-foo", "flag provided but not defined: -foo".to_owned()),
        ("--foo=1", "flag provided but not defined: -foo".to_owned()),
        ("-pD", "flag provided but not defined: -pD".to_owned()),
        ("---D", "bad flag syntax: ---D".to_owned()),
        ("-=x", "bad flag syntax: -=x".to_owned()),
        ("-p", "flag needs an argument: -p".to_owned()),
        ("--port", "flag needs an argument: -port".to_owned()),
        ("-p x", format!("invalid value \"x\" for flag -p: {port}")),
        ("--port=70000", format!("invalid value \"70000\" for flag -port: {port}")),
        ("-p -2", format!("invalid value \"-2\" for flag -p: {port}")),
        ("-p=", format!("invalid value \"\" for flag -p: {port}")),
        ("-p 1.5", format!("invalid value \"1.5\" for flag -p: {port}")),
        ("-D=xx", "invalid boolean value \"xx\" for -D: use true or false".to_owned()),
        ("-js=maybe", "invalid boolean value \"maybe\" for -js: use true or false".to_owned()),
        (
            "-m x",
            "invalid value \"x\" for flag -m: a port is 1 to 65535, -1 for a free one, or 0 for \
             none"
                .to_owned(),
        ),
        (
            "-ms x",
            "invalid value \"x\" for flag -ms: a port is 1 to 65535, -1 for a free one, or 0 for \
             none"
                .to_owned(),
        ),
        (
            "--shards 0",
            "invalid value \"0\" for flag -shards: the number of shards is 1 to 256".to_owned(),
        ),
        (
            "--shards 257",
            "invalid value \"257\" for flag -shards: the number of shards is 1 to 256".to_owned(),
        ),
        (
            "--spin 1001",
            "invalid value \"1001\" for flag -spin: microseconds to spin are 0 to 1000".to_owned(),
        ),
        (
            "--max_traced_msg_len -1",
            "invalid value \"-1\" for flag -max_traced_msg_len: a number of bytes, or 0 for all"
                .to_owned(),
        ),
    ];
    for (argv, expected) in cases {
        let hint = "; 'ringbus -h' lists the flags";
        assert_eq!(refusal(argv), expected + hint, "{argv}");
    }
    assert_eq!(refusal("foo"), "ringbus: unrecognized command: \"foo\"");
    assert_eq!(refusal("-- -v"), "ringbus: unrecognized command: \"-v\"");
    assert_eq!(refusal("-"), "ringbus: unrecognized command: \"-\"");
    assert_eq!(
        refusal("-sl foo"),
        "ringbus: unknown signal \"foo\": use stop, quit, term, reopen, reload or ldm"
    );
    assert_eq!(refusal("-sl stop=abc"), "ringbus: invalid pid: abc");
    assert_eq!(refusal("-sl stop=0"), "ringbus: invalid pid: 0");
    assert_eq!(refusal("-sl stop=-1"), "ringbus: invalid pid: -1");
    assert_eq!(refusal("-sl stop=1=2"), "ringbus: invalid signal parameters: [2]");
    let spaced = [OsString::from("-n"), OsString::from("a b")];
    let error = parse(&program("nats-server"), &spaced).unwrap_err();
    assert_eq!(error.to_string(), "nats-server: server name cannot contain spaces");
}

#[test]
fn features_of_later_releases_are_refused_and_never_ignored() {
    let jetstream = "JetStream is not part of this release. Start without it.";
    let cases = [
        ("-js", "-js", jetstream),
        ("--jetstream", "-jetstream", jetstream),
        ("-sd=/x", "-sd", jetstream),
    ];
    for (argv, flag, why) in cases {
        let expected = format!("ringbus: {flag} is not supported yet: {why}");
        assert_eq!(refusal(argv), expected, "{argv}");
    }
    for argv in [
        "--store_dir x",
        "--routes x",
        "--cluster x",
        "--cluster_listen x",
        "--cluster_name x",
        "--no_advertise",
        "--cluster_advertise x",
        "--connect_retries 1",
        "--profile 1",
    ] {
        assert!(refusal(argv).contains(" is not supported "), "{argv}");
    }
    for argv in ["-js=false", "-ms 0", "--routes=", "--tls=false"] {
        assert_eq!(flags(argv).port, None, "{argv}");
    }
}

#[test]
fn a_log_is_text_or_json() {
    assert_eq!(flags("--log-format json").log_format, Some(LogFormat::Json));
    let refused = refusal("--log-format xml");
    assert!(refused.starts_with("invalid value \"xml\" for flag -log-format: a log is text or"));
}

#[test]
fn version_and_help_win_over_everything_that_can_be_read() {
    let own = env!("CARGO_PKG_VERSION");
    let ours = format!("ringbus: v{own} (nats-server v2.15.1 compatible)\n");
    for argv in ["-v", "--version", "version", "VERSION", "-js -v", "version foo", "-h -v"] {
        assert!(matches!(invoke(argv), Ok(Invocation::Print(text)) if text == ours), "{argv}");
    }
    let nats = parse(&program("/usr/sbin/nats-server"), &["-v".into()]);
    assert!(matches!(nats, Ok(Invocation::Print(text)) if text == "nats-server: v2.15.1\n"));
    for argv in ["-h", "--help", "help", "-D help"] {
        let start = "Usage: ringbus [options]\n";
        assert!(matches!(invoke(argv), Ok(Invocation::Print(text)) if text.starts_with(start)));
    }
    assert!(matches!(invoke("doctor"), Ok(Invocation::Doctor(None))));
    assert!(matches!(invoke("--shards 8 doctor"), Ok(Invocation::Doctor(Some(8)))));
    assert!(matches!(invoke("-v=false"), Ok(Invocation::Serve(_))));
}

#[test]
fn the_help_shows_every_name_of_every_flag() {
    let command = Flags::command().args(later::args());
    let text = help::text(&program("nats-server"), &command);
    assert!(text.starts_with("Usage: nats-server [options]\n"), "{text}");
    for arg in command.get_arguments() {
        assert!(arg.get_help().is_some(), "{}", arg.get_id());
        for name in go_style::names(arg) {
            let dashes = if go_style::is_letters(&name) { "-" } else { "--" };
            let shown = format!("{dashes}{name}");
            let words = || text.split([' ', ',', '\n']);
            assert!(words().any(|word| word == shown), "{shown} is not in\n{text}");
        }
    }
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    command.debug_assert();
}

#[test]
fn signals_go_to_a_number_or_a_pid_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    std::fs::write(&file, "1234\n").unwrap();
    let by_file = format!("ldm={}", file.display());
    assert_eq!(Order::parse(&by_file), Order::parse("ldm=1234"));
    assert_ne!(Order::parse("ldm=1234"), Order::parse("quit=1234"));
    assert!(matches!(invoke("--signal term=12"), Ok(Invocation::Signal(_))));
    // No process can have a number this high.
    let error = Order::parse("term=999999999").unwrap().send().unwrap_err();
    assert_eq!(error.to_string(), "signal \"term\" 999999999: no such process");
}
