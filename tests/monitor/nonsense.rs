//! Requests that make no sense, answered in the words of the reference; and none of them felt by
//! the clients.

use super::*;

const CASES: [(&str, u16, &str); 22] = [
    ("/nope", 404, "404 page not found\n"),
    ("/varz/", 404, "404 page not found\n"),
    ("/raftz", 404, "No Raft nodes registered"),
    ("/connz?sort=zz", 400, "invalid sorting option: zz"),
    ("/connz?sort=stop", 400, "sort by stop only valid on closed connections"),
    ("/connz?sort=reason&state=all", 400, "sort by reason only valid on closed connections"),
    ("/connz?state=foo", 400, "Error decoding state for foo"),
    (
        "/connz?limit=x",
        400,
        "Error decoding int for 'limit': strconv.Atoi: parsing \"x\": invalid syntax",
    ),
    (
        "/connz?offset=99999999999999999999",
        400,
        "Error decoding int for 'offset': strconv.Atoi: parsing \"99999999999999999999\": \
         value out of range",
    ),
    (
        "/connz?cid=-1",
        400,
        "Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax",
    ),
    (
        "/connz?auth=maybe",
        400,
        "Error decoding boolean for 'auth': strconv.ParseBool: parsing \"maybe\": invalid syntax",
    ),
    ("/subsz?test=..", 400, "invalid test subject, must be valid publish subject: .."),
    ("/subsz?test=a.*", 400, "invalid test subject, must be valid publish subject: a.*"),
    ("/accountz?acc=zz", 400, "Account zz does not exist"),
    (
        "/routez?subs=x",
        400,
        "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"x\": invalid syntax",
    ),
    (
        "/leafz?subs=detail",
        400,
        "Error decoding boolean for 'subs': strconv.ParseBool: parsing \"detail\": invalid syntax",
    ),
    (
        "/gatewayz?accs=x",
        400,
        "Error decoding boolean for 'accs': strconv.ParseBool: parsing \"x\": invalid syntax",
    ),
    (
        "/jsz?limit=1.5",
        400,
        "Error decoding int for 'limit': strconv.Atoi: parsing \"1.5\": invalid syntax",
    ),
    ("/jsz?leader-only=1", 400, "filtered response: not leader"),
    (
        "/accstatz?unused=2",
        400,
        "Error decoding boolean for 'unused': strconv.ParseBool: parsing \"2\": invalid syntax",
    ),
    (
        "/healthz?stream=x",
        400,
        "{\"status\":\"error\",\"error\":\"\\\"account\\\" must not be empty when checking \
         stream health\"}",
    ),
    (
        "/healthz?details=1&consumer=x",
        400,
        "{\"status\":\"error\",\"errors\":[{\"type\":\"BAD_REQUEST\",\
         \"error\":\"\\\"stream\\\" must not be empty when checking consumer health\"}]}",
    ),
];

fn check(program: &Program) {
    let server = program.start(&["-m", "-1"]).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring listens");
    for (path, status, body) in CASES {
        let answer = get(monitor, path);
        assert_eq!((answer.status, answer.body.as_str()), (status, body), "{program}: {path}");
    }
}

#[test]
fn nonsense_is_refused_in_the_words_of_the_reference() {
    check(&ringbus(2));
}

#[test]
fn those_words_are_the_words_of_the_reference() {
    if let Some(reference) = Program::reference() {
        check(&reference);
    }
}

#[test]
fn greedy_and_silent_http_clients_are_not_felt_by_others() {
    let server = ringbus(2).start(&["-m", "-1"]).expect("the server starts");
    let monitor = server.monitoring().expect("monitoring listens");
    let mut client = Raw::client(server.address(), "{\"verbose\":false}").expect("it connects");
    let mut held = Vec::new();
    for index in 0..200_usize {
        let Ok(mut stream) = TcpStream::connect(monitor) else { continue };
        let begin: &[u8] = match index % 4 {
            0 => b"",
            1 => b"GET /connz?limit=1000000&subs=1 HTTP/1.1\r\nHost: h\r\n\r\n",
            2 => b"GET /varz HTTP/1.1\r\nX: ",
            _ => b"\0\0\0\0",
        };
        // Those over the bound are gone already.
        let _ = stream.write_all(begin);
        held.push(stream);
        client.sync().expect("clients are served");
    }
    drop(held);
    eventually("monitoring answers again", Duration::from_secs(10), || {
        let mut stream = TcpStream::connect(monitor).expect("monitoring listens");
        let mut answer = String::new();
        // One that comes too early is turned away, perhaps before it has asked.
        let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
        answer.starts_with("HTTP/1.1 200")
    });
}
