//! The server as it speaks of itself: events in the system account, and answers to requests.

use std::collections::{BTreeSet, VecDeque};
use std::fs;

use ringbus_test_support::Raw;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CLIENT, Process};

const CONFIG: &str = "server_name: here, server_tags: [eu]
accounts {
  $SYS { users: [{user: admin, password: p}] }
  A { users: [{user: ann, password: a}] }
  B { users: [{user: bob, password: b}] }
  PING { users: [{user: pat, password: p}] }
}";

fn start(flags: &[&str]) -> Process {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("conf"), CONFIG).unwrap();
    let all: Vec<&str> = ["-c", "conf"].iter().chain(flags).copied().collect();
    Process::start_in(folder, &all, &[])
}

/// A client that reads messages and makes requests.
struct Client {
    raw: Raw,
    /// Requests and subscriptions made.
    asked: usize,
    /// Events that came before an answer.
    events: VecDeque<(String, String)>,
}

impl Client {
    fn new(process: &Process, user: &str, password: &str) -> Self {
        let rest = format!(r#","no_responders":true,"user":"{user}","pass":"{password}"}}"#);
        let mut raw = Raw::client(process.address(), &CLIENT.replace('}', &rest)).unwrap();
        assert!(raw.line().unwrap().contains("\"connect_info\":true"));
        raw.send(b"SUB answers.* answer\r\n").unwrap();
        raw.sync().unwrap();
        Self { raw, asked: 0, events: VecDeque::new() }
    }

    fn admin(process: &Process) -> Self {
        Self::new(process, "admin", "p")
    }

    fn subscribe(&mut self, pattern: &str) {
        self.asked += 1;
        let text = format!("SUB {pattern} event{}\r\n", self.asked);
        self.raw.send(text.as_bytes()).unwrap();
        self.raw.sync().unwrap();
    }

    /// The next message: the name of the subscription, the subject, the payload. Of a message
    /// without payload, the first line of its headers.
    fn message(&mut self) -> (String, String, String) {
        loop {
            let line = self.raw.line().unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            let (subject, sid) = match words.as_slice() {
                ["MSG" | "HMSG", subject, sid, ..] => (subject.to_string(), sid.to_string()),
                _ => continue,
            };
            return (sid, subject, self.raw.line().unwrap());
        }
    }

    fn ask(&mut self, subject: &str, body: &str) {
        self.asked += 1;
        let length = body.len();
        let text = format!("PUB {subject} answers.{} {length}\r\n{body}\r\n", self.asked);
        self.raw.send(text.as_bytes()).unwrap();
    }

    /// What somebody answers.
    fn request(&mut self, subject: &str, body: &str) -> String {
        self.ask(subject, body);
        loop {
            let (sid, subject, payload) = self.message();
            if sid == "answer" {
                assert_eq!(subject, format!("answers.{}", self.asked));
                return payload;
            }
            self.events.push_back((subject, payload));
        }
    }

    fn json(&mut self, subject: &str, body: &str) -> Value {
        let text = self.request(subject, body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{subject}: {error}: {text}"))
    }

    /// The next event whose subject ends like this; those before it are left out.
    fn event(&mut self, end: &str) -> (String, Value) {
        loop {
            let (subject, payload) = self.events.pop_front().unwrap_or_else(|| {
                let (sid, subject, payload) = self.message();
                assert!(sid.starts_with("event"), "{sid}");
                (subject, payload)
            });
            if subject.ends_with(end) {
                return (subject, serde_json::from_str(&payload).unwrap());
            }
        }
    }
}

fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn id(admin: &mut Client) -> String {
    let idz = admin.json("$SYS.REQ.SERVER.PING.IDZ", "");
    assert_eq!(fields(&idz), BTreeSet::from(["host", "id", "name"]));
    idz["id"].as_str().unwrap().to_owned()
}

#[test]
fn every_kind_of_figures_can_be_asked_for() {
    let process = start(&[]);
    let mut admin = Client::admin(&process);
    let id = id(&mut admin);
    let server = ["feature_flags", "flags", "host", "id", "jetstream", "name", "seq", "tags"];
    let server: BTreeSet<&str> = server.into_iter().chain(["time", "ver"]).collect();
    let ping = admin.json("$SYS.REQ.SERVER.PING", "");
    assert_eq!(fields(&ping["server"]), server);
    assert_eq!(ping["statsz"]["connections"], 1);
    assert_eq!(ping["statsz"]["active_accounts"], 1);
    for (kind, field) in [
        ("VARZ", "server_id"),
        ("SUBSZ", "num_subscriptions"),
        ("CONNZ", "connections"),
        ("ROUTEZ", "num_routes"),
        ("GATEWAYZ", "outbound_gateways"),
        ("LEAFZ", "leafnodes"),
        ("ACCOUNTZ", "system_account"),
        ("JSZ", "disabled"),
        ("HEALTHZ", "status_code"),
        ("EXPVARZ", "memstats"),
        ("PROFILEZ", "error"),
    ] {
        for subject in
            [format!("$SYS.REQ.SERVER.{id}.{kind}"), format!("$SYS.REQ.SERVER.PING.{kind}")]
        {
            let answer = admin.json(&subject, "{}");
            assert_eq!(answer["server"]["name"], "here", "{subject}");
            assert!(!answer["data"][field].is_null(), "{subject}: {answer}");
        }
    }
    // What is meant for others, or does not exist, is not answered: the next answer is another's.
    for (kind, body) in [
        ("STATSZ", r#"{"server_name":"there"}"#),
        ("VARZ", r#"{"tags":["us"]}"#),
        ("VARZ", r#"{"cluster":"c"}"#),
        ("VARZ", r#"{"server_name":"her","exact_match":true}"#),
        ("NOPE", ""),
    ] {
        admin.ask(&format!("$SYS.REQ.SERVER.PING.{kind}"), body);
    }
    let named = r#"{"server_name":"her","tags":["EU"]}"#;
    assert_eq!(admin.json("$SYS.REQ.SERVER.PING.VARZ", named)["data"]["server_name"], "here");
    assert_eq!(admin.request("$SYS.REQ.SERVER.other.VARZ", ""), "NATS/1.0 503");
}

#[test]
fn options_mean_what_they_mean_in_a_url() {
    let process = start(&[]);
    let mut admin = Client::admin(&process);
    let mut ann = Client::new(&process, "ann", "a");
    ann.subscribe("foo.>");
    let connz = admin.json(
        "$SYS.REQ.SERVER.PING.CONNZ",
        r#"{"acc":"A","auth":true,"subscriptions_detail":true,"sort":"subs","state":2}"#,
    );
    let connections = connz["data"]["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 1, "{connz}");
    assert_eq!(connections[0]["authorized_user"], "ann");
    assert_eq!(connections[0]["account"], "A");
    assert_eq!(connections[0]["subscriptions_list_detail"].as_array().unwrap().len(), 2);
    let info = admin.json("$SYS.REQ.ACCOUNT.A.INFO", "");
    assert_eq!(info["data"]["client_connections"], 1);
    assert_eq!(info["data"]["subscriptions"], 2);
    let subsz = admin.json("$SYS.REQ.ACCOUNT.A.SUBSZ", "");
    assert_eq!(subsz["data"]["total"], 2);
    assert_eq!(subsz["data"]["subscriptions_list"][0]["account"], "A");
    assert_eq!(admin.request("$SYS.REQ.ACCOUNT.NSUBS", r#"{"acc":"A","subject":"foo.x"}"#), "1");
    let all = admin.json("$SYS.REQ.ACCOUNT.PING.STATZ", "");
    let names = |answer: &Value| -> Vec<String> {
        let list = answer["data"]["account_statz"].as_array().unwrap();
        list.iter().map(|stat| stat["acc"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&all), ["$SYS", "A"]);
    let some = r#"{"accounts":["B"],"include_unused":true}"#;
    assert_eq!(names(&admin.json("$SYS.REQ.ACCOUNT.PING.STATZ", some)), ["B"]);

    for (subject, expected) in
        [("foo.*", ["ann"].as_slice()), ("foo.x", &["ann"]), ("none", &[]), (">", &["ann"])]
    {
        let wish = format!(r#"{{"acc":"A","auth":true,"filter_subject":"{subject}"}}"#);
        let found = admin.json("$SYS.REQ.SERVER.PING.CONNZ", &wish);
        let list = found["data"]["connections"].as_array().unwrap();
        let users: Vec<_> = list.iter().map(|it| it["authorized_user"].as_str().unwrap()).collect();
        assert_eq!(users, expected, "{subject}");
    }
    let bad = admin.json("$SYS.REQ.SERVER.PING.CONNZ", r#"{"filter_subject":"foo.x"}"#);
    let why = "filter by subject only valid with account filtering";
    assert_eq!(bad["error"], json!({"code": 500, "description": why}));
    let bad = admin.json("$SYS.REQ.SERVER.PING.CONNZ", r#"{"limit":"x"}"#);
    assert_eq!(bad["error"]["code"], 400);
    // In the system account itself, as nobody imports it here: what the admin is subscribed to.
    assert_eq!(admin.request("$SYS.DEBUG.SUBSCRIBERS", "answers.x"), "1");
    assert_eq!(admin.request("$SYS.DEBUG.SUBSCRIBERS", "answers.>"), "1");
    assert_eq!(admin.request("$SYS.DEBUG.SUBSCRIBERS", "answers.x q"), "0");

    let bad = admin.json("$SYS.REQ.SERVER.PING.CONNZ", r#"{"sort":"bad"}"#);
    let error = json!({"code": 500, "description": "invalid sorting option: bad"});
    assert_eq!((&bad["data"], &bad["error"]), (&Value::Null, &error));
    let garbage = admin.json("$SYS.REQ.SERVER.PING.CONNZ", "nonsense");
    assert_eq!((fields(&garbage).len(), &garbage["error"]["code"]), (2, &json!(400)));
    let nobody = admin.json("$SYS.REQ.ACCOUNT.C.INFO", "");
    assert_eq!(nobody["error"]["description"], "Account C does not exist");
}

#[test]
fn clients_of_any_account_ask_about_themselves_and_no_others() {
    let process = start(&[]);
    let (mut ann, mut bob) = (Client::new(&process, "ann", "a"), Client::new(&process, "bob", "b"));
    ann.subscribe("$SYS.>");
    bob.raw.sync().unwrap();
    let info = ann.json("$SYS.REQ.USER.INFO", "");
    assert_eq!(info["data"], json!({"user": "ann", "account": "A", "account_name": "A"}));
    assert_eq!(bob.json("$SYS.REQ.USER.INFO", "")["data"]["user"], "bob");
    let mut admin = Client::admin(&process);
    assert_eq!(admin.json("$SYS.REQ.USER.INFO", "")["data"]["account"], "$SYS");
    for subject in ["$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"] {
        // Whatever account it names.
        for body in ["", r#"{"acc":"B"}"#] {
            let connz = ann.json(subject, body);
            assert_eq!(connz["data"]["total"], 1, "{connz}");
            assert_eq!(connz["data"]["connections"][0]["cid"], 1);
        }
    }
    let statz = ann.json("$SYS.REQ.ACCOUNT.PING.STATZ", r#"{"accounts":["B"]}"#);
    let stats = statz["data"]["account_statz"].as_array().unwrap();
    assert_eq!((stats.len(), &stats[0]["acc"]), (1, &json!("A")));
    let mut pat = Client::new(&process, "pat", "p");
    let statz = pat.json("$SYS.REQ.ACCOUNT.PING.STATZ", "");
    let stats = statz["data"]["account_statz"].as_array().unwrap();
    assert_eq!((stats.len(), &stats[0]["acc"]), (1, &json!("PING")));
    // Everything else of the system account is another's.
    for subject in ["$SYS.REQ.SERVER.PING", "$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.ACCOUNT.A.CONNZ"]
    {
        // Ann's own subscription takes it, and nobody answers.
        assert_eq!(bob.request(subject, ""), "NATS/1.0 503");
    }
    ann.raw.sync().unwrap();
    assert_eq!(ann.raw.pending(), b"", "no event of another account");
}

#[test]
fn comings_and_goings_are_told_in_the_system_account() {
    let process = start(&[]);
    let mut admin = Client::admin(&process);
    admin.subscribe("$SYS.ACCOUNT.A.>");
    admin.subscribe("$SYS.SERVER.*.CLIENT.AUTH.ERR");
    let mut ann = Client::new(&process, "ann", "a");
    let (subject, event) = admin.event(".CONNECT");
    assert_eq!(subject, "$SYS.ACCOUNT.A.CONNECT");
    let kinds = ["client", "id", "server", "timestamp", "type"];
    assert_eq!(fields(&event), BTreeSet::from(kinds));
    assert_eq!(event["type"], "io.nats.server.advisory.v1.client_connect");
    let client = &event["client"];
    assert_eq!(
        (&client["acc"], &client["user"], &client["id"]),
        (&json!("A"), &json!("ann"), &json!(2))
    );
    let (_, event) = admin.event(".SERVER.CONNS");
    assert_eq!((&event["acc"], &event["conns"]), (&json!("A"), &json!(1)));
    ann.raw.send(b"PUB x 3\r\nabc\r\n").unwrap();
    ann.raw.sync().unwrap();

    // Sent away by an operator.
    let kick = format!("$SYS.REQ.SERVER.{}.KICK", id(&mut admin));
    let kick = admin.json(&kick, r#"{"cid":2}"#);
    assert!(kick["error"].is_null(), "{kick}");
    let (_, event) = admin.event(".DISCONNECT");
    assert_eq!(event["reason"], "Kicked");
    assert_eq!(event["received"], json!({"msgs": 1, "bytes": 3}));
    assert!(event["client"]["stop"].is_string());
    let (_, event) = admin.event(".SERVER.CONNS");
    assert_eq!(event["conns"], 0);
    assert!(ann.raw.line().is_err(), "it was closed");

    let refused = CLIENT.replace('}', r#","user":"ann","pass":"wrong"}"#);
    assert!(Raw::client(process.address(), &refused).is_err());
    let (_, event) = admin.event(".CLIENT.AUTH.ERR");
    assert_eq!(
        (&event["reason"], &event["client"]["user"]),
        (&json!("Authentication Failure"), &json!("ann"))
    );
    assert!(!process.text("stderr").contains("wrong"));
}

#[test]
fn operators_act_on_single_clients_and_on_the_configuration() {
    let process = start(&[]);
    let mut admin = Client::admin(&process);
    let mut ann = Client::new(&process, "ann", "a");
    let order = format!("$SYS.REQ.SERVER.{}.", id(&mut admin));
    let order = |what: &str| format!("{order}{what}");
    let told = admin.json(&order("LDM"), r#"{"cid":2}"#);
    assert!(told["error"].is_null(), "{told}");
    assert!(ann.raw.line().unwrap().contains("\"ldm\":true"));
    for (what, why) in [("LDM", "no such client id"), ("KICK", "no such client or leafnode id")] {
        let failed = admin.json(&order(what), r#"{"cid":99}"#);
        assert_eq!(failed["error"], json!({"code": 500, "description": why}));
        assert_eq!(admin.json(&order(what), "?")["error"]["code"], 400);
    }
    assert!(admin.json(&order("RELOAD"), "")["error"].is_null());
    process.wait_for("stderr", "Reloaded server configuration");
    fs::write(process.path("conf"), "max_payload: many").unwrap();
    let failed = admin.json(&order("RELOAD"), "");
    assert!(failed["error"]["description"].as_str().unwrap().contains("max_payload"), "{failed}");
}

#[test]
fn the_end_is_announced() {
    let mut process = start(&[]);
    let mut admin = Client::admin(&process);
    admin.subscribe("$SYS.SERVER.*.*");
    let (_, statsz) = admin.event(".STATSZ");
    assert_eq!(statsz["statsz"]["connections"], 1);
    process.signal(Signal::USR2);
    let (_, server) = admin.event(".LAMEDUCK");
    assert_eq!(server["name"], "here");
    process.signal(Signal::INT);
    let (subject, server) = admin.event(".SHUTDOWN");
    assert_eq!(subject, format!("$SYS.SERVER.{}.SHUTDOWN", server["id"].as_str().unwrap()));
    drop(admin);
    assert_eq!(process.wait().code(), Some(0));
}
