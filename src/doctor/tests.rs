//! The judgements, with every cause simulated.

use nix::errno::Errno;
use ringbus_shard::io::probe::{Refusal, Stage};

use super::*;
use crate::cores::{Cores, Quota};

impl Host {
    /// A host with nothing to complain about.
    pub(crate) fn good() -> Self {
        Self {
            kernel: "6.8.0-40-generic".to_owned(),
            ring: Ok(()),
            ring_disabled: Some(0),
            memlock: Limit { soft: u64::MAX, hard: u64::MAX },
            files: Limit { soft: 1024, hard: 524_288 },
            cores: Cores { allowed: vec![0, 1, 2, 3], quota: None },
            somaxconn: 4096,
            shards: 4,
        }
    }
}

fn finding(host: &Host, subject: &str) -> Finding {
    let found = examine(host).into_iter().find(|finding| finding.subject == subject);
    found.expect("there is a check of that name")
}

fn verdict(change: impl FnOnce(&mut Host), subject: &str) -> (Verdict, String) {
    let mut host = Host::good();
    change(&mut host);
    let finding = finding(&host, subject);
    assert_eq!(finding.remedy.is_empty(), finding.verdict == Verdict::Good, "{finding}");
    (finding.verdict, finding.remedy)
}

#[test]
fn a_good_host_passes() {
    let findings = examine(&Host::good());
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Good), "{findings:?}");
    assert_eq!(refusal(&findings), None);
    let (text, passed) = report(&findings);
    assert!(passed);
    assert!(
        text.starts_with("OK    kernel      Linux 6.8.0-40-generic (needed: Linux 6.1"),
        "{text}"
    );
    assert_eq!(text.lines().count(), findings.len());
}

#[test]
fn kernels_are_compared_by_number() {
    let cases = [
        ("6.1.0-18-amd64", Verdict::Good),
        ("6.18.44", Verdict::Good),
        ("7.0-rc1", Verdict::Good),
        ("10.0.1", Verdict::Good),
        ("6.0.19", Verdict::Fail),
        ("5.15.0-119-generic", Verdict::Fail),
        ("", Verdict::Warn),
        ("custom", Verdict::Warn),
    ];
    for (release, expected) in cases {
        let (verdict, _) = verdict(|host| host.kernel = release.to_owned(), "kernel");
        assert_eq!(verdict, expected, "{release}");
    }
}

#[test]
fn each_reason_against_a_ring_has_its_remedy() {
    let cases = [
        (Errno::EPERM, Some(2), "kernel.io_uring_disabled is 2"),
        (Errno::EPERM, Some(1), "kernel.io_uring_group"),
        (Errno::EPERM, Some(0), "seccomp"),
        (Errno::EPERM, None, "seccomp"),
        (Errno::EACCES, Some(0), "security module"),
        (Errno::ENOSYS, None, "CONFIG_IO_URING"),
        (Errno::ENOMEM, Some(0), "LimitMEMLOCK"),
        (Errno::EINVAL, Some(0), "Linux 6.1"),
        (Errno::EMFILE, Some(0), "LimitNOFILE"),
        (Errno::EIO, Some(0), "linux-only.md"),
    ];
    for (errno, disabled, expected) in cases {
        let refusal = Refusal { stage: Stage::Setup, errno: errno as i32 };
        let change = |host: &mut Host| {
            host.ring = Err(refusal);
            host.ring_disabled = disabled;
        };
        let (verdict, remedy) = verdict(change, "io_uring");
        assert_eq!(verdict, Verdict::Fail);
        assert!(remedy.contains(expected), "{errno}: {remedy}");
    }
}

#[test]
fn the_refusal_is_one_line_with_cause_and_remedy() {
    let mut host = Host::good();
    host.ring = Err(Refusal { stage: Stage::Setup, errno: Errno::EPERM as i32 });
    host.ring_disabled = Some(2);
    let expected = "this host cannot run the server: io_uring: a ring cannot be set up: Operation \
                    not permitted (EPERM); needed: a ring with deferred task work, buffer rings \
                    and multishot receive. kernel.io_uring_disabled is 2: run 'sysctl -w \
                    kernel.io_uring_disabled=0' on the host.";
    assert_eq!(refusal(&examine(&host)).as_deref(), Some(expected));
    let (text, passed) = report(&examine(&host));
    assert!(!passed);
    assert!(text.contains("\nFAIL  io_uring    a ring cannot be set up"), "{text}");
}

#[test]
fn limits_warn_before_they_fail() {
    let memlock = |soft| verdict(|host| host.memlock = Limit { soft, hard: soft }, "memlock").0;
    assert_eq!(memlock(64 << 10), Verdict::Fail);
    assert_eq!(memlock((512 << 10) - 1), Verdict::Fail);
    assert_eq!(memlock(512 << 10), Verdict::Warn);
    assert_eq!(memlock(2 << 20), Verdict::Good);
    let files = |hard| verdict(|host| host.files = Limit { soft: 64, hard }, "open files").0;
    assert_eq!(files(100), Verdict::Fail);
    assert_eq!(files(1024), Verdict::Warn);
    assert_eq!(files(65_536), Verdict::Warn);
    assert_eq!(files(100_000), Verdict::Good);
    let backlog = |somaxconn| verdict(|host| host.somaxconn = somaxconn, "backlog").0;
    assert_eq!(backlog(128), Verdict::Warn);
    assert_eq!(backlog(8192), Verdict::Good);
}

#[test]
fn cores_and_quota_are_weighed_against_shards() {
    let (verdict_of_few, remedy) = verdict(|host| host.shards = 9, "cores");
    assert_eq!(verdict_of_few, Verdict::Warn);
    assert_eq!(remedy, "Give it more cores, or start it with --shards 4.");
    let quota = |micros, shards| {
        let mut host = Host::good();
        host.cores.quota = Some(Quota { micros, period: 100_000 });
        host.shards = shards;
        finding(&host, "cores")
    };
    assert_eq!(quota(50_000, 1).verdict, Verdict::Warn);
    let two = quota(250_000, 2);
    assert_eq!(two.verdict, Verdict::Good);
    assert_eq!(two.seen, "4 cores allowed, a CPU quota of 2.50 cores, 2 shards");
}
