//! The protocol of the service manager: a socket that takes its datagrams stands for it.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use rustix::process::Signal;
use tempfile::TempDir;

use super::Process;

/// How often the server is started; more when asked for, on a machine with time for it.
const STARTS: usize = 50;

/// From the start of the process to READY, in the middle of all starts.
const START_TO_READY: Duration = Duration::from_millis(100);

/// The service manager.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, folder }
    }

    fn start(&self, flags: &[&str], watchdog_micros: Option<&str>) -> Process {
        let socket = self.folder.path().join("notify");
        let mut environment = vec![("NOTIFY_SOCKET", socket.as_path())];
        environment.extend(watchdog_micros.map(|micros| ("WATCHDOG_USEC", micros.as_ref())));
        Process::start(flags, &environment)
    }

    /// The next datagram.
    fn next(&self) -> String {
        let mut bytes = [0; 1000];
        let count = self.socket.recv(&mut bytes).expect("nothing was told");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    /// The datagrams that arrive within a time.
    fn during(&self, time: Duration) -> Vec<String> {
        let deadline = Instant::now() + time;
        let mut told = Vec::new();
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            let mut bytes = [0; 1000];
            self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).unwrap();
            if let Ok(count) = self.socket.recv(&mut bytes) {
                told.push(String::from_utf8_lossy(&bytes[..count]).into_owned());
            }
        }
        told
    }
}

#[test]
fn ready_is_told_when_clients_can_connect_and_soon() {
    let starts = std::env::var("RINGBUS_STARTS").map_or(STARTS, |text| text.parse().unwrap());
    let manager = Manager::new();
    let mut times = Vec::new();
    for _ in 0..starts {
        let begin = Instant::now();
        let mut process = manager.start(&[], None);
        let ready = manager.next();
        times.push(begin.elapsed());
        let status = ready.strip_prefix("READY=1\nSTATUS=Serving clients on ").unwrap();
        // The address comes from the datagram itself: nothing else was waited for.
        let stream = TcpStream::connect(status.trim()).expect("refused after READY");
        drop(stream);
        process.signal(Signal::INT);
        assert!(manager.next().starts_with("STOPPING=1\n"));
        assert_eq!(process.wait().code(), Some(0));
    }
    times.sort();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{starts} starts: ready after {median:?} in the middle, {slowest:?} at most");
    assert!(median <= START_TO_READY, "{times:?}");
}

#[test]
fn nothing_is_told_by_a_server_that_cannot_start() {
    let manager = Manager::new();
    let mut process = manager.start(&["-P", "/no/such/folder/pid"], None);
    assert_eq!(process.wait().code(), Some(1));
    assert_eq!(manager.during(Duration::from_millis(100)), Vec::<String>::new());
}

#[test]
fn a_reload_is_told_from_its_beginning_to_its_end() {
    let manager = Manager::new();
    let process = manager.start(&[], None);
    let ready = manager.next();
    process.signal(Signal::HUP);
    let reloading = manager.next();
    let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect(&reloading);
    assert!(time.trim().parse::<u64>().is_ok(), "{time}");
    assert_eq!(manager.next(), ready);
}

#[test]
fn the_watchdog_is_fed_by_an_idle_server_and_not_by_one_that_hangs() {
    let manager = Manager::new();
    let process = manager.start(&[], Some("400000"));
    assert!(manager.next().starts_with("READY=1\n"));
    // Four times an interval, and at least once: the machine may be busy.
    let fed = manager.during(Duration::from_secs(2));
    assert!(fed.len() >= 5 && fed.iter().all(|text| text == "WATCHDOG=1\n"), "{fed:?}");

    let shard = hang_a_shard(&process);
    // What was told before the shard hung is still on its way for half an interval.
    manager.during(Duration::from_millis(300));
    assert_eq!(manager.during(Duration::from_secs(1)), Vec::<String>::new());
    // Nobody but the debugger hears of the end of what it stopped.
    process.signal(Signal::KILL);
    while waitpid(shard, Some(WaitPidFlag::__WALL)).is_ok_and(|status| status.pid().is_some()) {}
}

/// Stops one thread of the process, as a debugger does; the others go on.
fn hang_a_shard(process: &Process) -> Pid {
    let pid = process.child.id();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let shard = tasks.flatten().find(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        name.starts_with("shard-1")
    });
    let tid = shard.expect("no thread of shard 1").file_name();
    let tid = Pid::from_raw(tid.to_str().unwrap().parse().unwrap());
    ptrace::seize(tid, ptrace::Options::empty()).unwrap();
    ptrace::interrupt(tid).unwrap();
    tid
}

#[test]
fn a_lame_duck_asks_for_the_time_it_takes() {
    let manager = Manager::new();
    let mut process = manager.start(&[], None);
    let address = manager.next();
    let address = address.rsplit(' ').next().unwrap().trim().to_owned();
    let client = TcpStream::connect(address).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    process.signal(Signal::USR2);
    let told = manager.next();
    let expected = "STOPPING=1\nEXTEND_TIMEOUT_USEC=135000000\nSTATUS=Lame duck: ";
    assert!(told.starts_with(expected), "{told}");
    drop(client);
    assert_eq!(process.wait().code(), Some(0));
}
