//! Tables and properties of the parser. Where a table holds something odd, the reference was asked
//! over a socket and does the same.

#![expect(clippy::indexing_slicing, reason = "the bytes are those of the tests")]

use proptest::prelude::*;

use super::*;
use crate::wire::encode;

const LIMITS: ParseLimits = ParseLimits { control_line: 4096, payload: 1 << 20, headers: true };

/// The operations in `input` one after the other, and what is behind the last one.
fn parse_all(input: &[u8]) -> (Vec<ClientOp<'_>>, Parsed<'_>) {
    let (mut ops, mut rest) = (Vec::new(), input);
    loop {
        match parse(rest, &LIMITS) {
            Parsed::Op { op, len } => {
                assert!((1..=rest.len()).contains(&len), "{len} of {} bytes", rest.len());
                ops.push(op);
                rest = &rest[len..];
            }
            end => return (ops, end),
        }
    }
}

/// The one operation that `input` is.
fn only(input: &[u8]) -> ClientOp<'_> {
    match parse(input, &LIMITS) {
        Parsed::Op { op, len } if len == input.len() => op,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

fn publish<'a>(
    subject: &'a str,
    reply: &'a str,
    header_len: usize,
    payload: &'a str,
    tail: Option<&'a str>,
) -> ClientOp<'a> {
    ClientOp::Publish(Publish {
        subject: subject.as_bytes(),
        reply: reply.as_bytes(),
        header_len,
        payload: payload.as_bytes(),
        tail: tail.map(str::as_bytes),
    })
}

fn subscribe_op<'a>(subject: &'a [u8], queue: Option<&'a [u8]>, sid: &'a [u8]) -> ClientOp<'a> {
    ClientOp::Subscribe { subject, queue, sid }
}

fn unsubscribe_op(sid: &[u8], max: Option<u64>) -> ClientOp<'_> {
    ClientOp::Unsubscribe { sid, max }
}

/// Input that is one operation, with what it is.
fn operations() -> Vec<(&'static str, ClientOp<'static>)> {
    vec![
        ("PUB foo 2\r\nok\r\n", publish("foo", "", 0, "ok", Some("2\r\nok\r\n"))),
        ("PUB foo bar 2\r\nok\r\n", publish("foo", "bar", 0, "ok", Some("bar 2\r\nok\r\n"))),
        ("PUB foo 0\r\n\r\n", publish("foo", "", 0, "", Some("0\r\n\r\n"))),
        ("PUB größe.a*>..b 2\r\nok\r\n", publish("größe.a*>..b", "", 0, "ok", Some("2\r\nok\r\n"))),
        ("PUB foo 4\r\n\r\n\r\n\r\n", publish("foo", "", 0, "\r\n\r\n", Some("4\r\n\r\n\r\n\r\n"))),
        ("HPUB foo 3 5\r\nhdrok\r\n", publish("foo", "", 3, "hdrok", Some("3 5\r\nhdrok\r\n"))),
        (
            "HPUB foo bar 3 5\r\nhdrok\r\n",
            publish("foo", "bar", 3, "hdrok", Some("bar 3 5\r\nhdrok\r\n")),
        ),
        ("HPUB foo 2 2\r\nok\r\n", publish("foo", "", 2, "ok", Some("2 2\r\nok\r\n"))),
        // A header block of no bytes makes no HMSG.
        ("HPUB foo 0 2\r\nok\r\n", publish("foo", "", 0, "ok", None)),
        ("pub foo 2\r\nok\r\n", publish("foo", "", 0, "ok", None)),
        ("PuB foo 2\r\nok\r\n", publish("foo", "", 0, "ok", None)),
        ("PUB foo 2\nok\r\n", publish("foo", "", 0, "ok", None)),
        ("PUB\tfoo\t bar \t2\t\r\nok\r\n", publish("foo", "bar", 0, "ok", None)),
        ("PUB  foo 2\r\nok\r\n", publish("foo", "", 0, "ok", None)),
        ("PUB foo 2 \r\nok\r\n", publish("foo", "", 0, "ok", None)),
        ("PUB foo 000000002\r\nok\r\n", publish("foo", "", 0, "ok", None)),
        ("HPUB foo 03 05\r\nhdrok\r\n", publish("foo", "", 3, "hdrok", None)),
        ("PUB f\u{1}o 2\r\nok\r\n", publish("f\u{1}o", "", 0, "ok", None)),
        // The first byte of an argument ends no line, and a CR within costs the last byte.
        ("PUB \nfoo 2\r\nok\r\n", publish("\nfoo", "", 0, "ok", None)),
        ("PUB fo\ro 23\nok\r\n", publish("fo\ro", "", 0, "ok", None)),
        ("PUB fo\ro 2\r\nok\r\n", publish("fo\ro", "", 0, "ok", None)),
        ("SUB foo 1\r\n", subscribe_op(b"foo", None, b"1")),
        ("sub\tfoo q 1\n", subscribe_op(b"foo", Some(b"q"), b"1")),
        ("SUB foo  q\t1 \r\n", subscribe_op(b"foo", Some(b"q"), b"1")),
        ("SUB \nfoo 1\r\n", subscribe_op(b"foo", None, b"1")),
        ("SUB foo\r1\r\n", subscribe_op(b"foo", None, b"1")),
        ("SUB foo 23\rx\n", subscribe_op(b"foo", None, b"23")),
        ("SUB a\u{c}..>.\0 x-y\r\n", subscribe_op(b"a\x0c..>.\0", None, b"x-y")),
        ("UNSUB 1\r\n", unsubscribe_op(b"1", None)),
        ("unsub 1 5\r\n", unsubscribe_op(b"1", Some(5))),
        ("UNSUB 1 007 \n", unsubscribe_op(b"1", Some(7))),
        ("UNSUB 1 0\r\n", unsubscribe_op(b"1", None)),
        ("UNSUB 1 x\r\n", unsubscribe_op(b"1", None)),
        ("UNSUB 1 -5\r\n", unsubscribe_op(b"1", None)),
        ("UNSUB 1 1000000000\r\n", unsubscribe_op(b"1", None)),
        ("PING\r\n", ClientOp::Ping),
        ("ping\n", ClientOp::Ping),
        ("PINGPONG \r \r\n", ClientOp::Ping),
        ("PONG\r\n", ClientOp::Pong),
        ("Pong x\n", ClientOp::Pong),
        ("+OK\r\n", ClientOp::Ok),
        ("+okay\n", ClientOp::Ok),
        ("-ERR 'x y'\r\n", ClientOp::Err(b"'x y'")),
        ("-err \r\n", ClientOp::Err(b"\r")),
        ("CONNECT {}\r\n", ClientOp::Connect(b"{}")),
        ("connect{}\n", ClientOp::Connect(b"{}")),
        ("CONNECT \t {} \r\n", ClientOp::Connect(b"{} ")),
        ("CONNECT\n{}\r\n", ClientOp::Connect(b"\n{}")),
        ("CONNECT\r\n", ClientOp::Connect(b"\r")),
        ("INFO {}\r\n", ClientOp::Info(b"{}")),
        ("info{}\n", ClientOp::Info(b"{}")),
    ]
}

#[test]
fn one_operation_each() {
    for (input, expected) in operations() {
        assert_eq!(only(input.as_bytes()), expected, "{input:?}");
    }
}

#[test]
fn every_prefix_of_an_operation_wants_more() {
    for (input, expected) in operations() {
        let input = input.as_bytes();
        let whole = input.len();
        let line_len = match expected {
            ClientOp::Publish(publish) => whole - publish.payload.len() - 2,
            _ => whole,
        };
        for len in 0..whole {
            let need = if len < line_len { 0 } else { whole };
            let name = input[..len].escape_ascii();
            assert_eq!(parse(&input[..len], &LIMITS), Parsed::More { need }, "{name}");
        }
        let mut more = input.to_vec();
        more.extend_from_slice(b"PUB x 1\r\ny\r\n");
        assert_eq!(parse(&more, &LIMITS), Parsed::Op { op: expected, len: whole });
    }
}

#[test]
fn what_ends_a_connection() {
    let long = "x".repeat(4097);
    let long_line = format!("SUB {long}");
    let long_blanks = format!("SUB{}", " ".repeat(4097));
    let long_ping = format!("PING{long}\n");
    let cases: [(&str, Violation); 42] = [
        ("\r\n", Violation::UnknownOperation),
        (" PING\r\n", Violation::UnknownOperation),
        ("F", Violation::UnknownOperation),
        ("PX", Violation::UnknownOperation),
        ("PUX", Violation::UnknownOperation),
        ("P\n", Violation::UnknownOperation),
        ("PUBX", Violation::UnknownOperation),
        ("SUB\r", Violation::UnknownOperation),
        ("UNSUB\r\n", Violation::UnknownOperation),
        ("-ERR\r\n", Violation::UnknownOperation),
        ("+OX", Violation::UnknownOperation),
        ("MSG foo 1 2\r\n", Violation::UnknownOperation),
        ("HM", Violation::UnknownOperation),
        ("RS+", Violation::UnknownOperation),
        ("A+", Violation::UnknownOperation),
        ("LS+", Violation::UnknownOperation),
        ("PUB foo 2\r\nokX", Violation::UnknownOperation),
        ("PUB foo 2\r\nok\n", Violation::UnknownOperation),
        ("PUB foo 2\r\nok\r\r", Violation::UnknownOperation),
        ("PUB foo 0\r\nX", Violation::UnknownOperation),
        ("PUB foo\r\n", Violation::Malformed),
        ("PUB \r\n\n", Violation::Malformed),
        ("PUB a b c 2\r\n", Violation::Malformed),
        ("PUB foo +2\r\n", Violation::Malformed),
        ("PUB foo -2\r\n", Violation::Malformed),
        ("PUB foo 2x\r\n", Violation::Malformed),
        ("PUB foo 0000000002\r\n", Violation::Malformed),
        ("PUB foo 1000000000\r\n", Violation::Malformed),
        ("HPUB foo 2\r\n", Violation::Malformed),
        ("HPUB foo 3 2\r\n", Violation::Malformed),
        ("HPUB foo 9999999 9999998\r\n", Violation::Malformed),
        ("HPUB a b c 2 3\r\n", Violation::Malformed),
        ("HPUB foo x 3\r\n", Violation::Malformed),
        ("SUB foo\r\n", Violation::Malformed),
        ("SUB a b c d\r\n", Violation::Malformed),
        ("UNSUB 1 2 3\r\n", Violation::Malformed),
        ("UNSUB \r\n\n", Violation::Malformed),
        ("PUB foo 1048577\r\n", Violation::MaxPayload),
        ("HPUB foo 3 999999999\n", Violation::MaxPayload),
        (&long_line, Violation::ControlLine),
        (&long_blanks, Violation::ControlLine),
        (&long_ping, Violation::ControlLine),
    ];
    for (input, expected) in cases {
        assert_eq!(parse(input.as_bytes(), &LIMITS), Parsed::Fault(expected), "{input:?}");
    }
}

#[test]
fn the_longest_control_line() {
    let limits = ParseLimits { control_line: 9, ..LIMITS };
    for input in ["SUB 3456789 1\r\n", "SUB 3456789 1\n", "PUB 3456789 0\r\n\r\n", "PING56789\n"] {
        assert!(matches!(parse(input.as_bytes(), &limits), Parsed::Op { .. }), "{input:?}");
    }
    // The CR of CR LF is not counted, whether its LF is there yet or not.
    for input in ["SUB 3456789 1", "SUB 3456789 1\r", "SUB         ", "PING567890123"] {
        assert_eq!(parse(input.as_bytes(), &limits), Parsed::More { need: 0 }, "{input:?}");
    }
    for input in ["SUB 3456789 12", "SUB 3456789 12\r\n", "PUB 3456789 12\r\n", "PING5678901234"] {
        let fault = Parsed::Fault(Violation::ControlLine);
        assert_eq!(parse(input.as_bytes(), &limits), fault, "{input:?}");
    }
}

#[test]
fn payloads_up_to_the_limit() {
    let limits = ParseLimits { payload: 2, ..LIMITS };
    assert!(matches!(parse(b"PUB foo 2\r\nok\r\n", &limits), Parsed::Op { .. }));
    assert_eq!(parse(b"PUB foo 2\r\n", &limits), Parsed::More { need: 15 });
    for input in [&b"PUB foo 3\r\n"[..], b"pub foo 3\n", b"HPUB foo 1 3\r\n"] {
        assert_eq!(parse(input, &limits), Parsed::Fault(Violation::MaxPayload));
    }
}

#[test]
fn headers_must_have_been_agreed_on() {
    let limits = ParseLimits { headers: false, ..LIMITS };
    assert_eq!(parse(b"HPUB", &limits), Parsed::More { need: 0 });
    for input in [&b"HPUB foo 3 5\r\n"[..], b"HPUB nonsense\n", b"hpub foo 3 5\r\nhdrok\r\n"] {
        assert_eq!(parse(input, &limits), Parsed::Fault(Violation::Headers));
    }
}

#[test]
fn operations_in_a_row() {
    let (ops, end) = parse_all(b"PUB a 1\r\nx\r\nPING\r\nSUB b 1\r\nPUB c 3\r\n12");
    let expected = [
        publish("a", "", 0, "x", Some("1\r\nx\r\n")),
        ClientOp::Ping,
        subscribe_op(b"b", None, b"1"),
    ];
    assert_eq!(ops, expected);
    assert_eq!(end, Parsed::More { need: 14 });
}

#[test]
fn credentials_are_not_printed() {
    assert!(!format!("{:?}", only(b"CONNECT {\"pass\":\"hush\"}\r\n")).contains("hush"));
}

/// Bytes that look enough like operations to get far into the parser.
fn operation_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "PUB",
        "HPUB",
        "SUB",
        "UNSUB",
        "PING",
        "CONNECT",
        "-ERR",
        "+OK",
        "pub",
        "hPub",
        " ",
        " ",
        "\t",
        "\r\n",
        "\r\n",
        "\r",
        "\n",
        "0",
        "1",
        "2",
        "02",
        "10",
        "foo",
        "a.b.c.d.e.f.g",
        ">",
        "\u{1}",
        "é",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn garbage_is_survived(input in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_all(&input);
    }

    #[test]
    fn both_readers_agree(input in operation_like()) {
        check_readers_agree(&input, &LIMITS);
    }

    #[test]
    fn the_end_does_not_depend_on_where_input_was_cut(input in operation_like()) {
        let whole = parse(&input, &LIMITS);
        for len in 0..input.len() {
            match parse(&input[..len], &LIMITS) {
                Parsed::More { need } => prop_assert!(need == 0 || need > len),
                early => {
                    prop_assert_eq!(&early, &whole);
                }
            }
        }
    }

    #[test]
    fn a_publish_survives_the_trip(
        subject in "[!-~]{1,40}",
        reply in "[!-~]{0,20}",
        headers in prop::collection::vec(any::<u8>(), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let payload = [headers.as_slice(), &body].concat();
        let verb = if headers.is_empty() { "PUB" } else { "HPUB" };
        let mut input = format!("{verb} {subject} ").into_bytes();
        let tail_start = input.len();
        encode::tail(&mut input, reply.as_bytes(), headers.len(), &payload);
        let expected = ClientOp::Publish(Publish {
            subject: subject.as_bytes(),
            reply: reply.as_bytes(),
            header_len: headers.len(),
            payload: &payload,
            tail: Some(&input[tail_start..]),
        });
        prop_assert_eq!(parse(&input, &LIMITS), Parsed::Op { op: expected, len: input.len() });
    }

    #[test]
    fn a_tail_is_what_would_be_written(input in operation_like()) {
        for op in parse_all(&input).0 {
            let ClientOp::Publish(publish) = op else { continue };
            if let Some(tail) = publish.tail {
                let mut written = Vec::new();
                encode::tail(&mut written, publish.reply, publish.header_len, publish.payload);
                prop_assert_eq!(written.as_slice(), tail);
            }
        }
    }
}

/// A size that does not fit ended the process.
#[test]
fn cve_2019_13126_a_size_is_never_too_large_for_us() {
    for digits in [10, 19, 20, 40, 1000] {
        for line in [
            format!("PUB a {}\r\n", "9".repeat(digits)),
            format!("HPUB a 12 {}\r\n", "9".repeat(digits)),
            format!("HPUB a {0} {0}\r\n", "9".repeat(digits)),
            format!("UNSUB 1 {}\r\n", "9".repeat(digits)),
        ] {
            let parsed = parse(line.as_bytes(), &LIMITS);
            assert!(!matches!(parsed, Parsed::Op { op: ClientOp::Publish(_), .. }), "{parsed:?}");
        }
    }
}
