//! What the kernel knows of this process: memory, processor time, threads.

use std::fmt::Write as _;
use std::fs;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use serde_json::{Value, json};

use super::http::response::Response;

/// Shortest time between two measurements of processor use.
const SAMPLE: Duration = Duration::from_millis(900);

/// Resident bytes; zero where there is no `/proc`.
pub(super) fn resident_bytes() -> u64 {
    status("VmRSS:")
}

fn status(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let kib: Option<u64> = line.split_whitespace().next().and_then(|word| word.parse().ok());
    kib.unwrap_or_default() * 1024
}

/// Processor time of this process so far.
pub(super) fn processor_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let spent = |time: nix::sys::time::TimeVal| {
        Duration::from_secs(time.tv_sec().try_into().unwrap_or_default())
            + Duration::from_micros(time.tv_usec().try_into().unwrap_or_default())
    };
    spent(usage.user_time()) + spent(usage.system_time())
}

/// Open files; `None` where there is no `/proc`. Listing them takes a microsecond each, so a kernel
/// that tells their number as the size of the folder (6.2 and newer) is asked for that.
pub(super) fn open_files() -> Option<usize> {
    let folder = "/proc/self/fd";
    match fs::metadata(folder).ok()?.len() {
        0 => fs::read_dir(folder).ok().map(Iterator::count),
        files => usize::try_from(files).ok(),
    }
}

/// Files that may be open at once.
pub(super) fn files_max() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// How busy the process was lately.
#[derive(Debug, Default)]
pub(super) struct Processor {
    last: Mutex<Option<Sample>>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    spent: Duration,
    percent: f64,
}

impl Processor {
    /// Percent of one core, between the last two times that this was asked.
    pub(super) fn percent(&self) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (at, spent) = (Instant::now(), processor_time());
        let percent = match *last {
            Some(sample) if at - sample.at < SAMPLE => return sample.percent,
            Some(sample) => {
                let share = spent.saturating_sub(sample.spent).as_secs_f64()
                    / (at - sample.at).as_secs_f64();
                (share * 1000.0).round() / 10.0
            }
            None => 0.0,
        };
        *last = Some(Sample { at, spent, percent });
        percent
    }
}

/// The threads of the process and what they do, for people: what `/stacksz` is asked for when a
/// server seems to hang. There are no stacks to show without stopping the threads.
pub(super) fn threads() -> String {
    let mut text = String::from("thread           state  processor ticks  waits in\n");
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    for path in tasks.map(|task| task.path()) {
        let read = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        let (name, stat, wait) = (read("comm"), read("stat"), read("wchan"));
        // Behind the name, which may hold blanks: state is the first word, times are 12 and 13.
        let words: Vec<&str> =
            stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ').collect();
        let word = |at: usize| words.get(at).copied().unwrap_or("-");
        let ticks: u64 = [11, 12].iter().filter_map(|at| word(*at).parse::<u64>().ok()).sum();
        let wait = if wait.trim().is_empty() || wait.trim() == "0" { "-" } else { wait.trim() };
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{:16} {:6} {ticks:15}  {wait}", name.trim(), word(0));
    }
    text
}

/// What tools expect of a Go process, as far as it means something here. The command line may hold
/// secrets, so only its first word is shown.
pub(super) fn variables(program: &str) -> Value {
    let (resident, reserved) = (resident_bytes(), status("VmSize:"));
    json!({
        "cmdline": [program],
        "memstats": {
            "Alloc": resident,
            "Sys": reserved,
            "HeapAlloc": status("RssAnon:"),
            "HeapSys": status("VmData:"),
            "StackSys": status("VmStk:"),
            "NumGC": 0,
        },
    })
}

/// The same over HTTP.
pub(super) fn vars(program: &str) -> Response {
    let body = super::json::pretty(&variables(program), "");
    Response::of("application/json; charset=utf-8", body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_knows_this_process() {
        assert!(resident_bytes() > 1 << 20);
        assert!(open_files().is_some_and(|files| files >= 3));
        assert!(threads().lines().count() >= 2);
    }

    #[test]
    fn processor_use_is_measured_between_two_questions() {
        let processor = Processor::default();
        assert!(processor.percent().abs() < f64::EPSILON);
        let begin = Instant::now();
        while begin.elapsed() < SAMPLE + Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        let percent = processor.percent();
        assert!(percent > 1.0, "{percent}");
        assert!((processor.percent() - percent).abs() < f64::EPSILON, "asked again at once");
    }

    #[test]
    fn arguments_are_not_shown() {
        let shown = String::from_utf8(vars("ringbus").body.into_owned()).unwrap();
        assert!(shown.contains("\"ringbus\""));
        let others = std::env::args().skip(1).filter(|word| word.len() > 3);
        for word in others {
            assert!(!shown.contains(&word), "{word}");
        }
    }
}
