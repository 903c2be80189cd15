//! Judgements on what the host offers.

use nix::errno::Errno;
use ringbus_shard::io::probe::{Refusal, Stage};

use super::{Finding, Host, Limit, Verdict};
use crate::cores::Cores;

/// First kernel with all that a shard's ring uses: task work that runs when the shard asks for it
/// (6.1), receiving many times for one request (6.0), rings of buffers (5.19).
const KERNEL_MIN: (u32, u32) = (6, 1);

/// Below this the runtime does not start.
const MEMLOCK_MIN: u64 = 512 << 10;

/// Locked memory that lets a shard register its buffers.
const MEMLOCK_PER_SHARD: u64 = 512 << 10;

/// Files of the process itself and of each shard: rings, timers, event files.
const FILES_OWN: u64 = 64;
const FILES_PER_SHARD: u64 = 16;

/// Connections that are allowed by default; each is a file.
const CONNECTIONS: u64 = 65_536;

/// A shorter backlog loses connections when many clients come back at once.
const BACKLOG_WANTED: i32 = 4096;

/// Every check, in the order in which they would stop a start.
#[must_use]
pub fn examine(host: &Host) -> Vec<Finding> {
    vec![
        kernel(&host.kernel),
        ring(&host.ring, host.ring_disabled),
        memlock(host.memlock, host.shards as u64),
        files(host.files, host.shards as u64),
        cores(&host.cores, host.shards),
        backlog(host.somaxconn),
    ]
}

fn finding(subject: &'static str, verdict: Verdict, seen: String, needed: &str) -> Finding {
    Finding { subject, verdict, seen, needed: needed.to_owned(), remedy: String::new() }
}

fn kernel(release: &str) -> Finding {
    let (major, minor) = KERNEL_MIN;
    let needed = format!("Linux {major}.{minor} or newer");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let version = numbers.next().and_then(Result::ok).zip(numbers.next().and_then(Result::ok));
    let seen = if release.is_empty() { "unknown" } else { release };
    let mut finding = finding("kernel", Verdict::Good, format!("Linux {seen}"), &needed);
    match version {
        Some(version) if version >= KERNEL_MIN => {}
        Some(_) => {
            finding.verdict = Verdict::Fail;
            finding.remedy = "Install a newer kernel and boot it; in a container the host's \
                              kernel counts."
                .to_owned();
        }
        // The ring itself, which is tried next, has the last word.
        None => {
            finding.verdict = Verdict::Warn;
            finding.remedy = "The release cannot be read; io_uring below tells.".to_owned();
        }
    }
    finding
}

fn ring(outcome: &Result<(), Refusal>, disabled: Option<i32>) -> Finding {
    let needed = "a ring with deferred task work, buffer rings and multishot receive";
    let Err(Refusal { stage, errno }) = *outcome else {
        return finding("io_uring", Verdict::Good, "works".to_owned(), needed);
    };
    let errno = Errno::from_raw(errno);
    let what = match stage {
        Stage::Setup => "a ring cannot be set up",
        Stage::Buffers => "a buffer ring cannot be registered",
        Stage::Receive => "multishot receive does not work",
    };
    let mut finding =
        finding("io_uring", Verdict::Fail, format!("{what}: {} ({errno:?})", errno.desc()), needed);
    finding.remedy = match (errno, disabled) {
        (Errno::EPERM, Some(2)) => {
            "kernel.io_uring_disabled is 2: run 'sysctl -w kernel.io_uring_disabled=0' on the host."
        }
        (Errno::EPERM, Some(1)) => {
            "kernel.io_uring_disabled is 1: run 'sysctl -w kernel.io_uring_disabled=0' on the \
             host, or name a group of the server's user in kernel.io_uring_group."
        }
        (Errno::EPERM | Errno::EACCES, _) => {
            "A seccomp profile or security module forbids it, as Docker's default profile does: \
             allow io_uring_setup, io_uring_enter and io_uring_register (see linux-only.md)."
        }
        (Errno::ENOSYS, _) => {
            "The kernel is built without CONFIG_IO_URING, or a sandbox such as gVisor hides it: \
             run on a host kernel that has it."
        }
        (Errno::ENOMEM, _) => {
            "Raise the limit on locked memory: LimitMEMLOCK=64M in the unit, --ulimit memlock in \
             Docker, 'ulimit -l' in a shell."
        }
        (Errno::EINVAL, _) => "The kernel lacks it: install Linux 6.1 or newer and boot it.",
        (Errno::EMFILE | Errno::ENFILE, _) => {
            "Too few open files are allowed: raise LimitNOFILE in the unit or 'ulimit -n'."
        }
        _ => "See linux-only.md for what the host must offer.",
    }
    .to_owned();
    finding
}

fn memlock(limit: Limit, shards: u64) -> Finding {
    let wanted = MEMLOCK_MIN.max(shards * MEMLOCK_PER_SHARD);
    let needed = format!("{} KiB, better {} KiB", MEMLOCK_MIN >> 10, wanted >> 10);
    let seen = match limit.soft {
        u64::MAX => "unlimited".to_owned(),
        bytes => format!("{} KiB may be locked", bytes >> 10),
    };
    let mut finding = finding("memlock", Verdict::Good, seen, &needed);
    if limit.soft < wanted {
        finding.verdict = if limit.soft < MEMLOCK_MIN { Verdict::Fail } else { Verdict::Warn };
        finding.remedy =
            "Set LimitMEMLOCK=64M in the unit, '--ulimit memlock=67108864' in Docker, \
                          or 'memlock' in /etc/security/limits.conf."
                .to_owned();
    }
    finding
}

fn files(limit: Limit, shards: u64) -> Finding {
    let least = FILES_OWN + shards * FILES_PER_SHARD;
    let wanted = least + CONNECTIONS;
    let needed = format!("{least}, and {wanted} for {CONNECTIONS} connections");
    // The server raises the soft limit itself.
    let seen = match limit.hard {
        u64::MAX => "unlimited".to_owned(),
        count => format!("{count} allowed"),
    };
    let mut finding = finding("open files", Verdict::Good, seen, &needed);
    if limit.hard < wanted {
        finding.verdict = if limit.hard < least { Verdict::Fail } else { Verdict::Warn };
        finding.remedy = "Set LimitNOFILE=524288 in the unit, '--ulimit nofile=524288' in Docker, \
                          or 'nofile' in /etc/security/limits.conf."
            .to_owned();
    }
    finding
}

fn cores(cores: &Cores, shards: usize) -> Finding {
    let (allowed, usable) = (cores.allowed.len(), cores.usable());
    let quota = cores.quota.map_or_else(String::new, |quota| {
        let hundredths = quota.micros.saturating_mul(100) / quota.period.max(1);
        format!(", a CPU quota of {}.{:02} cores", hundredths / 100, hundredths % 100)
    });
    let plural = |count| if count == 1 { "" } else { "s" };
    let seen = format!(
        "{allowed} core{} allowed{quota}, {shards} shard{}",
        plural(allowed),
        plural(shards)
    );
    let mut finding = finding("cores", Verdict::Good, seen, "a core per shard");
    if shards > usable {
        finding.verdict = Verdict::Warn;
        finding.remedy = format!("Give it more cores, or start it with --shards {usable}.");
    } else if cores.quota.is_some_and(|quota| quota.micros < quota.period) {
        finding.verdict = Verdict::Warn;
        finding.remedy = "A shard will be stopped for a part of every period: raise the CPU quota \
                          of the container or cgroup to a full core."
            .to_owned();
    }
    finding
}

fn backlog(somaxconn: i32) -> Finding {
    let seen = format!("net.core.somaxconn is {somaxconn}");
    let needed = BACKLOG_WANTED.to_string();
    let mut finding = finding("backlog", Verdict::Good, seen, &needed);
    if somaxconn < BACKLOG_WANTED {
        finding.verdict = Verdict::Warn;
        finding.remedy = format!("Run 'sysctl -w net.core.somaxconn={BACKLOG_WANTED}'.");
    }
    finding
}
