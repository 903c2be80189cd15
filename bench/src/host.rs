//! Facts about the machine, without which no figure means anything.

use std::fs;
use std::time::SystemTime;

use rustix::process::{Resource, getrlimit};
use serde::{Deserialize, Serialize};

/// Where and when a comparison ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Host {
    pub(crate) date: String,
    pub(crate) command: String,
    pub(crate) kernel: String,
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) virtual_machine: bool,
    pub(crate) governor: String,
    pub(crate) clocksource: String,
    pub(crate) load_average: String,
    pub(crate) memory_mib: u64,
    /// The limit of open files, ours and the servers'.
    pub(crate) open_files: String,
    /// What the kernel does against flaws of the CPU: system calls pay for it.
    pub(crate) mitigations: String,
}

impl Host {
    /// Reads everything now; what a kernel does not tell is `unknown`.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: std::env::args().map(|word| quoted(&word)).collect::<Vec<_>>().join(" "),
            kernel: line_of("/proc/sys/kernel/osrelease"),
            cpu: cpuinfo_field(&cpuinfo, "model name"),
            cpus: cpuinfo.lines().filter(|line| line.starts_with("processor")).count(),
            virtual_machine: cpuinfo_field(&cpuinfo, "flags")
                .split(' ')
                .any(|flag| flag == "hypervisor"),
            governor: line_of("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clocksource: line_of(
                "/sys/devices/system/clocksource/clocksource0/current_clocksource",
            ),
            load_average: line_of("/proc/loadavg"),
            memory_mib: memory_mib(&fs::read_to_string("/proc/meminfo").unwrap_or_default()),
            open_files: getrlimit(Resource::Nofile)
                .current
                .map_or_else(|| "unlimited".to_owned(), |files| files.to_string()),
            mitigations: mitigations(),
        }
    }
}

/// A word that a shell reads back as it was.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+./:,@%".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn line_of(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
}

fn memory_mib(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|text| text.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(0, |kib| kib / 1_024)
}

/// The flaws that something is done about, and those that nothing is done about.
fn mitigations() -> String {
    let mut found: Vec<(String, String)> = fs::read_dir("/sys/devices/system/cpu/vulnerabilities")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name, fs::read_to_string(entry.path()).ok()?))
        })
        .collect();
    found.sort();
    let having = |word: &str| -> Vec<&str> {
        let has = |(_, state): &&(String, String)| state.contains(word);
        found.iter().filter(has).map(|(name, _)| name.as_str()).collect()
    };
    let (on, off) = (having("Mitigation"), having("Vulnerable"));
    match (on.is_empty(), off.is_empty()) {
        (true, true) => "none needed, or unknown".to_owned(),
        (_, true) => format!("on for {}", on.join(", ")),
        _ => format!("on for {}; vulnerable to {}", on.join(", "), off.join(", ")),
    }
}

fn cpuinfo_field(cpuinfo: &str, name: &str) -> String {
    let value = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))
        .unwrap_or("unknown");
    value.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("ringbus=target/release/ringbus"), "ringbus=target/release/ringbus");
        assert_eq!(quoted("pub-*"), "'pub-*'");
        assert_eq!(quoted("n=/x,-m 0"), "'n=/x,-m 0'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn cpuinfo_is_read() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n";
        assert_eq!(cpuinfo_field(text, "model name"), "AMD EPYC");
        assert_eq!(cpuinfo_field(text, "bogus"), "unknown");
        assert!(!Host::read().kernel.is_empty());
    }
}
