//! The life of the process with a data plane that only accepts and closes.

use std::fs;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;

use ringbus_shard::limits::Limits;
use ringbus_shard::options::Authenticator as _;

use super::closing::Closing;
use super::*;
use crate::auth;
use crate::data_plane::StartError;

/// Starts the real process around [`Closing`] and lets a script of signals drive it.
struct Rehearsal {
    dir: tempfile::TempDir,
    flags: Vec<String>,
    program: Program,
    lame_duck: Option<Timing>,
    fence: Option<Raised>,
}

impl Rehearsal {
    fn new(name: &str, flags: &[&str]) -> Self {
        let program = Program::from_argv0(Some(&OsString::from(format!("/usr/sbin/{name}"))));
        let dir = tempfile::tempdir().unwrap();
        let common = ["-a", "127.0.0.1", "-p", "-1", "--shards", "1", "-T=false"];
        let flags = common.iter().chain(flags).map(|flag| (*flag).to_owned()).collect();
        Self { dir, flags, program, lame_duck: None, fence: None }
    }

    /// What the flags come to with a log in our directory.
    fn plan(&self) -> Plan {
        let log = ["-l".into(), self.dir.path().join("log").into_os_string()];
        let argv: Vec<OsString> = self.flags.iter().map(OsString::from).chain(log).collect();
        let flags = match cli::parse(&self.program, &argv) {
            Ok(Invocation::Serve(flags)) => *flags,
            other => panic!("{other:?}"),
        };
        let Loaded { settings, problems } = config::load(&flags, &config::System).unwrap();
        let notes = problems.notes.iter().map(ToString::to_string).collect();
        Plan { lame_duck: self.lame_duck, ..Plan::new(settings, notes, &flags) }
    }

    /// Runs to the end; gives the outcome and the log, the process ID cut off its lines.
    fn run(
        &self,
        plane: &dyn DataPlane,
        mut next: impl FnMut(&Path) -> Trapped,
    ) -> (Result<(), String>, Vec<String>) {
        let path = self.dir.path().join("log");
        let plan = self.plan();
        let log = open_log(&self.program, &plan.settings).unwrap();
        let host = Host { shards: plan.shards.unwrap(), ..Host::good() };
        let server = Server {
            program: &self.program,
            plan,
            host,
            log: &log,
            plane,
            fence: self.fence.clone(),
            service: Service::from_env(),
            accounts: Accounts::new(auth::SYSTEM),
            desk: Desk::default(),
            inherited: None,
        };
        let outcome = tracing::subscriber::with_default(log.clone(), || {
            server.live(&mut |rest| {
                log.flush();
                // Time passes for a lame duck; every other wait is for a signal.
                match rest {
                    Some(rest) => {
                        std::thread::sleep(rest);
                        None
                    }
                    None => Some(next(&path)),
                }
            })
        });
        log.flush();
        let pid = format!("[{}] ", std::process::id());
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().map(|line| line.strip_prefix(&pid).unwrap().to_owned());
        (outcome, lines.collect())
    }
}

const TERMINATED: Trapped = (Request::Terminate, "terminated");

fn address(log: &Path) -> SocketAddr {
    let text = fs::read_to_string(log).unwrap();
    let line = text.lines().find(|line| line.contains("Listening for client")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_lines_are_those_of_nats_server() {
    let rehearsal = Rehearsal::new("nats-server", &["-n", "one"]);
    let (outcome, lines) = rehearsal.run(&Closing, |log| {
        let mut stream = TcpStream::connect(address(log)).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        TERMINATED
    });
    assert_eq!(outcome, Ok(()));
    let own = env!("CARGO_PKG_VERSION");
    let expected = [
        "[INF] Starting nats-server",
        "[INF]   Version:  2.15.1",
        "[INF]   Git:      [",
        "[INF]   Name:     one",
        "[INF]   ID:       N",
        &format!("[INF]   Ringbus:  {own}"),
        "[INF]   Shards:   1 (cores ",
        "[INF] Listening for client connections on 127.0.0.1:",
        "[INF] Server is ready",
        "[INF] Trapped \"terminated\" signal",
        "[INF] Initiating Shutdown...",
        "[INF] Server Exiting..",
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line} is not {expected}");
    }
}

#[test]
fn by_its_own_name_it_says_what_it_is_compatible_with() {
    let (outcome, lines) = Rehearsal::new("ringbus", &[]).run(&Closing, |_| TERMINATED);
    assert_eq!(outcome, Ok(()));
    assert_eq!(lines[0], "[INF] Starting ringbus");
    assert_eq!(lines[1], format!("[INF]   Version:  {}", env!("CARGO_PKG_VERSION")));
    assert_eq!(lines[5], "[INF]   nats-server compatible: 2.15.1");
}

#[test]
fn files_appear_with_the_server_and_the_ports_file_goes_with_it() {
    let mut rehearsal = Rehearsal::new("nats-server", &[]);
    let dir = rehearsal.dir.path().to_owned();
    let pid_file = dir.join("pid");
    let in_dir = ["--ports_file_dir", dir.to_str().unwrap(), "-P", pid_file.to_str().unwrap()];
    rehearsal.flags.extend(in_dir.map(str::to_owned));
    let pid = std::process::id();
    let ports = dir.join(format!("nats-server_{pid}.ports"));
    let (outcome, lines) = rehearsal.run(&Closing, |log| {
        let expected = format!(r#"{{"nats":["nats://{}"]}}"#, address(log));
        assert_eq!(fs::read_to_string(&ports).unwrap(), expected);
        TERMINATED
    });
    assert_eq!(outcome, Ok(()));
    assert!(!lines.iter().any(|line| line.contains("[ERR]")), "{lines:?}");
    assert!(!ports.exists());
    assert_eq!(fs::read_to_string(pid_file).unwrap(), pid.to_string());
}

#[test]
fn monitoring_listens_before_clients_can_and_ends_with_the_server() {
    let mut rehearsal = Rehearsal::new("nats-server", &["-m", "-1"]);
    let dir = rehearsal.dir.path().to_owned();
    rehearsal.flags.extend(["--ports_file_dir", dir.to_str().unwrap()].map(str::to_owned));
    let ports = dir.join(format!("nats-server_{}.ports", std::process::id()));
    let mut monitor = None;
    let (outcome, lines) = rehearsal.run(&Closing, |log| {
        let text = fs::read_to_string(log).unwrap();
        let line = text.lines().find(|line| line.contains("Starting http monitor on ")).unwrap();
        let at: SocketAddr = line.rsplit(' ').next().unwrap().parse().unwrap();
        let expected =
            format!(r#"{{"nats":["nats://{}"],"monitoring":["http://{at}"]}}"#, address(log));
        assert_eq!(fs::read_to_string(&ports).unwrap(), expected);
        let mut stream = TcpStream::connect(at).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("{\"status\":\"ok\"}"), "{answer}");
        monitor = Some(at);
        TERMINATED
    });
    assert_eq!(outcome, Ok(()));
    let place = |text: &str| lines.iter().position(|line| line.contains(text)).unwrap();
    assert!(place("Starting http monitor on 127.0.0.1:") < place("Listening for client"));
    assert!(TcpStream::connect(monitor.unwrap()).is_err());
}

#[test]
fn a_host_without_landlock_is_one_line() {
    let mut rehearsal = Rehearsal::new("ringbus", &[]);
    for (fence, expected) in [
        (
            Raised::Not("no such thing".to_owned()),
            "[WRN] Landlock: the process can write any file that its user can: no such thing",
        ),
        (
            Raised::Around(vec!["/a".into(), "/b".into()]),
            "[INF] Landlock: of all files, the process can write /a, /b",
        ),
        (Raised::Around(Vec::new()), "[INF] Landlock: of all files, the process can write nothing"),
    ] {
        rehearsal.fence = Some(fence);
        let (outcome, lines) = rehearsal.run(&Closing, |_| TERMINATED);
        assert_eq!(outcome, Ok(()));
        let told: Vec<&String> = lines.iter().filter(|line| line.contains("Landlock")).collect();
        assert_eq!(told.last(), Some(&&expected.to_owned()));
    }
}

#[test]
fn signals_are_obeyed_in_order() {
    let mut script = [
        (Request::ReopenLog, "user defined signal 1"),
        (Request::Reload, "hangup"),
        (Request::LameDuck, "user defined signal 2"),
    ]
    .into_iter();
    let rehearsal = Rehearsal::new("ringbus", &[]);
    let (outcome, lines) = rehearsal.run(&Closing, |_| script.next().unwrap());
    assert_eq!(outcome, Ok(()));
    let ready = lines.iter().position(|line| line == "[INF] Server is ready").unwrap();
    let expected = [
        "[INF] Trapped \"user defined signal 1\" signal",
        "[INF] File log re-opened",
        "[INF] Trapped \"hangup\" signal",
        "[ERR] Failed to reload server configuration: can only reload config when a file is \
         provided using -c or --config",
        "[INF] Trapped \"user defined signal 2\" signal",
        "[INF] Entering lame duck mode, stop accepting new clients",
        "[INF] Initiating Shutdown...",
        "[INF] Server Exiting..",
    ];
    assert_eq!(lines[ready + 1..], expected);
}

#[test]
fn what_prevents_a_start_is_said_in_one_line() {
    let unused = |_: &Path| panic!("the server does not live");
    let occupied = listen::listen(&Endpoint { host: "127.0.0.1".to_owned(), port: 0 }).unwrap();
    let port = occupied.local_addr().unwrap().port();
    let (outcome, _) = Rehearsal::new("ringbus", &["-p", &port.to_string()]).run(&Closing, unused);
    let text = format!("\"listen tcp 127.0.0.1:{port}: bind: address already in use\"");
    assert!(outcome.unwrap_err().contains(&text));

    let (outcome, _) = Rehearsal::new("ringbus", &["-m", &port.to_string()]).run(&Closing, unused);
    let text = format!(
        "Can't start monitoring: can't listen to the monitor port: listen tcp 127.0.0.1:{port}: \
         bind: address already in use (choose another port with -m)"
    );
    assert_eq!(outcome, Err(text));

    let (outcome, _) = Rehearsal::new("ringbus", &["-P", "/no/such/pid"]).run(&Closing, unused);
    let text = "Could not write pidfile: open /no/such/pid: no such file or directory";
    assert_eq!(outcome, Err(text.to_owned()));

    let advertise = ["--client_advertise", "foo:bar"];
    let (outcome, _) = Rehearsal::new("ringbus", &advertise).run(&Closing, unused);
    let text = "Error setting server INFO with ClientAdvertise value of foo:bar, \
                err=\"bar\" is not a port";
    assert_eq!(outcome, Err(text.to_owned()));
}

/// Keeps what it was started with, and says that it cannot.
#[derive(Default)]
struct Refusing(Mutex<Option<StartOptions>>);

impl DataPlane for Refusing {
    fn start(&self, options: StartOptions) -> Result<Box<dyn Running>, StartError> {
        *self.0.lock().unwrap() = Some(options);
        Err(StartError("no ring".to_owned()))
    }
}

#[test]
fn the_data_plane_gets_what_the_flags_say() {
    let flags = [
        "--client_advertise",
        "broker.example:80",
        "--auth",
        "t0ken",
        "--spin",
        "20",
        "-DV",
        "--max_traced_msg_len",
        "64",
        "--shards=3",
        "-n",
        "one",
    ];
    let plane = Refusing::default();
    let (outcome, _) = Rehearsal::new("ringbus", &flags).run(&plane, |_| TERMINATED);
    assert_eq!(outcome, Err("Can't start the shards: no ring".to_owned()));
    let StartOptions { cores, spin, terms, .. } = plane.0.into_inner().unwrap().unwrap();
    assert_eq!(cores.len(), 3);
    assert_eq!(spin.as_micros(), 20);
    assert_eq!(terms.traced_len_max, Some(64));
    assert!(terms.verbosity.debug && terms.verbosity.trace);
    assert!(terms.auth.required());
    assert_eq!(terms.identity.server_name, "one");
    assert_eq!((terms.identity.host.as_str(), terms.identity.port), ("broker.example", 80));
    assert_eq!(terms.limits, Limits::default());
}

#[test]
fn a_host_that_lacks_something_is_refused_before_anything_is_touched() {
    let rehearsal = Rehearsal::new("ringbus", &[]);
    let plan = rehearsal.plan();
    let log = open_log(&rehearsal.program, &plan.settings).unwrap();
    let host = Host { kernel: "5.15.0".to_owned(), ..Host::good() };
    let server = Server {
        program: &rehearsal.program,
        plan,
        host,
        log: &log,
        plane: &Closing,
        fence: None,
        service: Service::from_env(),
        accounts: Accounts::new(auth::SYSTEM),
        desk: Desk::default(),
        inherited: None,
    };
    let why = server.live(&mut |_| Some(TERMINATED)).unwrap_err();
    let expected = "this host cannot run the server: kernel: Linux 5.15.0; needed: Linux 6.1 or \
                    newer. Install a newer kernel";
    assert!(why.starts_with(expected), "{why}");
}

/// Connects, and tells what it was sent after the greeting, and how long it lasted.
fn client(address: SocketAddr) -> std::thread::JoinHandle<(String, Duration)> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"CONNECT {\"protocol\":1,\"verbose\":false}\r\nPING\r\n").unwrap();
    let mut text = String::new();
    while !text.contains("connect_info") {
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        assert_ne!(count, 0, "{text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    std::thread::spawn(move || {
        let (begin, mut text) = (Instant::now(), String::new());
        stream.read_to_string(&mut text).unwrap();
        (text, begin.elapsed())
    })
}

#[test]
fn a_lame_duck_lets_clients_go_one_after_the_other() {
    let (grace, duration) = (Duration::from_millis(300), Duration::from_millis(900));
    let mut rehearsal = Rehearsal::new("ringbus", &["--shards", "2"]);
    rehearsal.lame_duck = Some(Timing { grace, duration });
    let (mut clients, mut refused) = (Vec::new(), None);
    let (outcome, lines) = rehearsal.run(&crate::data_plane::Shards, |log| {
        let address = address(log);
        clients = (0..6).map(|_| client(address)).collect();
        refused = Some(std::thread::spawn(move || {
            std::thread::sleep(grace / 2);
            TcpStream::connect(address).map(drop).map_err(|error| error.kind())
        }));
        (Request::LameDuck, "user defined signal 2")
    });
    assert_eq!(outcome, Ok(()));
    assert_eq!(refused.unwrap().join().unwrap(), Err(io::ErrorKind::ConnectionRefused));
    let mut ends: Vec<Duration> = clients
        .into_iter()
        .map(|client| {
            let (text, end) = client.join().unwrap();
            assert!(text.contains("\"ldm\":true"), "{text}");
            assert_eq!(text.matches("INFO").count(), 1, "{text}");
            end
        })
        .collect();
    ends.sort();
    assert!(ends[0] >= grace - Duration::from_millis(50), "{ends:?}");
    assert!(ends[5] - ends[0] >= (duration - grace) / 2, "{ends:?}");
    let ready = lines.iter().position(|line| line == "[INF] Server is ready").unwrap();
    let expected = [
        "[INF] Trapped \"user defined signal 2\" signal",
        "[INF] Entering lame duck mode, stop accepting new clients",
        "[INF] Closing existing clients",
        "[INF] Initiating Shutdown...",
        "[INF] Server Exiting..",
    ];
    assert_eq!(lines[ready + 1..], expected);
}
