//! Values read from the host. Nothing here decides what they mean.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use nix::sys::utsname::uname;
use ringbus_shard::io::probe::{self, Refusal};

use crate::cores::Cores;
use crate::listen::somaxconn;

/// What the checks look at.
#[derive(Clone, Debug)]
pub struct Host {
    /// Release of the kernel, such as `6.8.0-40-generic`.
    pub kernel: String,
    /// Whether a ring of the kind a shard uses could be set up and used.
    pub ring: Result<(), Refusal>,
    /// `kernel.io_uring_disabled`, on kernels that have it.
    pub ring_disabled: Option<i32>,
    /// `RLIMIT_MEMLOCK` in bytes.
    pub memlock: Limit,
    /// `RLIMIT_NOFILE`.
    pub files: Limit,
    /// Cores and quota.
    pub cores: Cores,
    /// `net.core.somaxconn`.
    pub somaxconn: i32,
    /// Shards that shall run.
    pub shards: usize,
}

/// A resource limit. Unlimited is the largest number.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    /// What counts now.
    pub soft: u64,
    /// What the process may raise it to.
    pub hard: u64,
}

impl Host {
    /// Reads them all. `shards` is what the operator asked for.
    #[must_use]
    pub fn read(shards: Option<usize>) -> Self {
        let cores = Cores::of_this_process();
        let kernel = uname().ok().and_then(|name| name.release().to_str().map(str::to_owned));
        let disabled = fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok();
        Self {
            kernel: kernel.unwrap_or_default(),
            ring: probe::ring(),
            ring_disabled: disabled.and_then(|text| text.trim().parse().ok()),
            memlock: limit(Resource::RLIMIT_MEMLOCK),
            files: limit(Resource::RLIMIT_NOFILE),
            shards: shards.unwrap_or_else(|| cores.usable()),
            cores,
            somaxconn: somaxconn(),
        }
    }
}

fn limit(resource: Resource) -> Limit {
    // A limit that cannot be read does not limit: what it forbids fails by itself, and says so.
    let (soft, hard) = getrlimit(resource).unwrap_or((rlim_t::MAX, rlim_t::MAX));
    Limit { soft, hard }
}

/// Raises the soft limits on open files and locked memory to the hard ones: distributions keep the
/// soft ones low for the sake of `select`, which is not used here. A limit that cannot be raised
/// stays, and the checks judge what it is then.
pub fn raise_limits() {
    for resource in [Resource::RLIMIT_NOFILE, Resource::RLIMIT_MEMLOCK] {
        let Limit { soft, hard } = limit(resource);
        if soft < hard {
            let _ = setrlimit(resource, hard, hard);
        }
    }
}
