//! Which cores the process may use, and which shard gets which.
//!
//! Two things limit a process: the cores it may be scheduled on (affinity, cpuset) and the time it
//! may use on them (the cgroup's CPU quota). More shards than the quota pays for would be throttled
//! in the middle of their work, all at once, so the quota is rounded down.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// What the host grants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Cores {
    /// Cores the process may be scheduled on, in ascending order, at least one.
    pub allowed: Vec<usize>,
    /// Time on them that the cgroup grants, if it limits it.
    pub quota: Option<Quota>,
}

/// CPU time per period, in microseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quota {
    /// Time granted.
    pub micros: u64,
    /// Per this time.
    pub period: u64,
}

impl Quota {
    /// Full cores that it pays for, at least one.
    #[must_use]
    pub fn cores(self) -> usize {
        usize::try_from(self.micros / self.period.max(1)).unwrap_or(usize::MAX).max(1)
    }

    /// Text of cgroup v2's `cpu.max`: `200000 100000` or `max 100000`.
    #[must_use]
    pub fn from_v2(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let micros = words.next()?.parse().ok()?;
        let period = words.next().map_or(Some(100_000), |period| period.parse().ok())?;
        (period > 0).then_some(Self { micros, period })
    }

    /// Texts of cgroup v1's `cpu.cfs_quota_us` (-1 is no limit) and `cpu.cfs_period_us`.
    #[must_use]
    pub fn from_v1(quota: &str, period: &str) -> Option<Self> {
        let micros = quota.trim().parse().ok()?;
        let period = period.trim().parse().ok()?;
        (period > 0).then_some(Self { micros, period })
    }

    fn tighter(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let share = |quota: &Self| u128::from(quota.micros) * 1_000_000 / u128::from(quota.period);
        a.into_iter().chain(b).min_by_key(share)
    }
}

impl Cores {
    /// Asks the kernel.
    #[must_use]
    pub fn of_this_process() -> Self {
        let ids = core_affinity::get_core_ids().unwrap_or_default();
        let mut allowed: Vec<usize> = ids.into_iter().map(|core| core.id).collect();
        if allowed.is_empty() {
            allowed.push(0);
        }
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { allowed, quota: quota_of(Path::new("/sys/fs/cgroup"), &membership) }
    }

    /// Shards to run when the operator did not say how many.
    #[must_use]
    pub fn usable(&self) -> usize {
        self.quota.map_or(usize::MAX, Quota::cores).min(self.allowed.len())
    }

    /// The core of each of `shards` shards. More shards than cores share cores in turn.
    #[must_use]
    pub fn place(&self, shards: usize) -> Vec<usize> {
        self.allowed.iter().copied().cycle().take(shards).collect()
    }
}

/// The tightest quota on the way from the process's cgroup up to the root, in either version of the
/// hierarchy. `membership` is the text of `/proc/self/cgroup`; inside a container it may name a
/// path that is not mounted there, then the mounted root is the container's own group.
fn quota_of(mount: &Path, membership: &str) -> Option<Quota> {
    let mut tightest = None;
    for line in membership.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let v2 = controllers.is_empty();
        let roots: &[&str] = match controllers {
            "" => &["", "unified"],
            list if list.split(',').any(|name| name == "cpu") => &["cpu", "cpu,cpuacct"],
            _ => continue,
        };
        for root in roots.iter().map(|root| mount.join(root)) {
            for group in up_to(&root, path) {
                let read = |file: &str| fs::read_to_string(group.join(file)).ok();
                let quota = if v2 {
                    read("cpu.max").and_then(|text| Quota::from_v2(&text))
                } else {
                    read("cpu.cfs_quota_us")
                        .zip(read("cpu.cfs_period_us"))
                        .and_then(|(quota, period)| Quota::from_v1(&quota, &period))
                };
                tightest = Quota::tighter(tightest, quota);
            }
        }
    }
    tightest
}

/// `root/a/b`, `root/a`, `root` for the path `/a/b`. A path that climbs out of the mount, as a
/// process moved between namespaces sees it, counts as the root.
fn up_to(root: &Path, path: &str) -> Vec<PathBuf> {
    let parts: Vec<_> = Path::new(path)
        .components()
        .filter_map(|part| if let Component::Normal(name) = part { Some(name) } else { None })
        .collect();
    let parts = if path.contains("..") { &[] } else { parts.as_slice() };
    (0..=parts.len())
        .rev()
        .map(|depth| parts.iter().take(depth).fold(root.to_owned(), |p, n| p.join(n)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_are_read_and_rounded_down() {
        let cases = [
            ("max 100000\n", None),
            ("200000 100000\n", Some(2)),
            ("250000 100000", Some(2)),
            ("50000 100000", Some(1)),
            ("300000", Some(3)),
            ("100000 0", None),
            ("", None),
            ("x y", None),
        ];
        for (text, cores) in cases {
            assert_eq!(Quota::from_v2(text).map(Quota::cores), cores, "{text:?}");
        }
        assert_eq!(Quota::from_v1("-1\n", "100000\n"), None);
        assert_eq!(Quota::from_v1("150000\n", "50000\n").map(Quota::cores), Some(3));
    }

    #[test]
    fn the_tightest_group_on_the_way_up_counts() {
        let mount = tempfile::tempdir().unwrap();
        let group = mount.path().join("a/b");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.max"), "max 100000").unwrap();
        assert_eq!(quota_of(mount.path(), "0::/a/b\n"), None);
        fs::write(mount.path().join("a/cpu.max"), "150000 100000").unwrap();
        fs::write(mount.path().join("cpu.max"), "400000 100000").unwrap();
        let quota = Quota { micros: 150_000, period: 100_000 };
        assert_eq!(quota_of(mount.path(), "0::/a/b\n"), Some(quota));
        let root = Quota { micros: 400_000, period: 100_000 };
        assert_eq!(quota_of(mount.path(), "0::/../other\n"), Some(root));
        assert_eq!(quota_of(mount.path(), "0::/not/mounted/here\n"), Some(root));
    }

    #[test]
    fn the_first_hierarchy_is_read_too() {
        let mount = tempfile::tempdir().unwrap();
        let group = mount.path().join("cpu,cpuacct/docker/x");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cpu.cfs_quota_us"), "300000\n").unwrap();
        fs::write(group.join("cpu.cfs_period_us"), "100000\n").unwrap();
        let membership = "9:name=systemd:/\n3:cpuset:/\n2:cpu,cpuacct:/docker/x\n0::/\n";
        let quota = quota_of(mount.path(), membership);
        assert_eq!(quota, Some(Quota { micros: 300_000, period: 100_000 }));
    }

    #[test]
    fn shards_get_cores_in_turn() {
        let mut cores = Cores { allowed: vec![2, 5, 7], quota: None };
        assert_eq!(cores.usable(), 3);
        assert_eq!(cores.place(2), [2, 5]);
        assert_eq!(cores.place(5), [2, 5, 7, 2, 5]);
        cores.quota = Some(Quota { micros: 200_000, period: 100_000 });
        assert_eq!(cores.usable(), 2);
        cores.quota = Some(Quota { micros: 900_000, period: 100_000 });
        assert_eq!(cores.usable(), 3);
    }

    #[test]
    fn this_process_may_use_a_core() {
        let cores = Cores::of_this_process();
        assert!(cores.usable() >= 1);
        assert!(cores.usable() <= cores.allowed.len());
    }
}
