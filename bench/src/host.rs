//! Facts about the machine, without which no figure means anything.

use std::fs;
use std::time::SystemTime;

use serde::Serialize;

/// Where and when a comparison ran.
#[derive(Clone, Debug, Serialize)]
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
}

impl Host {
    /// Reads everything now; what a kernel does not tell is `unknown`.
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
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
        }
    }
}

fn line_of(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().map_or_else(|| "unknown".to_owned(), |line| line.trim().to_owned())
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
    fn cpuinfo_is_read() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu hypervisor\n";
        assert_eq!(cpuinfo_field(text, "model name"), "AMD EPYC");
        assert_eq!(cpuinfo_field(text, "bogus"), "unknown");
        assert!(!Host::read().kernel.is_empty());
    }
}
