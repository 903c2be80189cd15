//! Which CPUs the server and the clients may use.
//!
//! The harness pins itself to the client CPUs before it starts any thread, so all of them inherit
//! that set. A server is spawned while the calling thread wears the server's set: the child has it
//! from its first instruction, which matters to runtimes that count their CPUs at start.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

/// A list like `0,2-4`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CpuList(Vec<usize>);

impl CpuList {
    /// How many CPUs are in it.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// At most the first `count` CPUs.
    pub(crate) fn first(&self, count: usize) -> Self {
        Self(self.0.iter().copied().take(count).collect())
    }

    /// The first CPU, and the others; with a single CPU both are that one.
    pub(crate) fn split_first(&self) -> (Self, Self) {
        match self.0.split_first() {
            Some((first, [])) => (Self(vec![*first]), Self(vec![*first])),
            Some((first, others)) => (Self(vec![*first]), Self(others.to_vec())),
            None => (self.clone(), self.clone()),
        }
    }

    /// Pins the calling thread and what it starts later.
    pub(crate) fn pin_current_thread(&self) -> Result<()> {
        let mut set = CpuSet::new();
        for cpu in &self.0 {
            set.set(*cpu);
        }
        sched_setaffinity(None, &set).with_context(|| format!("cannot pin to CPUs {self}"))
    }
}

impl FromStr for CpuList {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || format!("bad CPU list {text:?}; valid is for example 0,2-4");
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: usize = first.parse().with_context(bad)?;
            let last: usize = last.parse().with_context(bad)?;
            ensure!(first <= last && last < CpuSet::MAX_CPU, bad());
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&names.join(","))
    }
}

/// Where servers and clients run, seen from each other: who wakes whom across CPUs decides much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Placement {
    /// On different CPUs.
    #[serde(rename = "apart")]
    Apart,
    /// All on the same single one.
    #[serde(rename = "one core")]
    OneCore,
    /// Some CPUs have both.
    #[serde(rename = "shared")]
    Shared,
    /// Where the scheduler puts them.
    #[serde(rename = "free")]
    Free,
}

/// Server CPUs and client CPUs, or nothing if the scheduler decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pinning {
    pub(crate) server: Option<CpuList>,
    pub(crate) clients: Option<CpuList>,
}

impl Pinning {
    pub(crate) fn placement(&self) -> Placement {
        let (Some(server), Some(clients)) = (&self.server, &self.clients) else {
            return Placement::Free;
        };
        if server.0.iter().all(|cpu| !clients.0.contains(cpu)) {
            Placement::Apart
        } else if server.count() == 1 && server == clients {
            Placement::OneCore
        } else {
            Placement::Shared
        }
    }

    /// Threads worth starting for one role.
    pub(crate) fn client_threads(&self) -> usize {
        self.clients.as_ref().map_or_else(|| usable_cpus().count(), CpuList::count)
    }

    /// Puts the calling thread, and all it will start, on the client CPUs.
    pub(crate) fn enter_clients(&self) -> Result<()> {
        self.clients.as_ref().map_or(Ok(()), CpuList::pin_current_thread)
    }

    /// Runs `spawn` on the server's CPUs, or on others if this server has some of its own.
    pub(crate) fn on_server_cpus<T>(
        &self,
        own: Option<&CpuList>,
        spawn: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let Some(server) = own.or(self.server.as_ref()) else { return spawn() };
        let before = sched_getaffinity(None).context("cannot read the CPU affinity")?;
        server.pin_current_thread()?;
        let spawned = spawn();
        sched_setaffinity(None, &before).context("cannot restore the CPU affinity")?;
        spawned
    }
}

/// The CPUs this process may use.
pub(crate) fn usable_cpus() -> CpuList {
    let cpus = sched_getaffinity(None)
        .map(|set| (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect())
        .unwrap_or_default();
    CpuList(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placement_tells_who_shares_what() {
        let placement = |server: &str, clients: &str| {
            let [server, clients] = [server, clients].map(|list| list.parse().ok());
            Pinning { server, clients }.placement()
        };
        assert_eq!(placement("0", "1-3"), Placement::Apart);
        assert_eq!(placement("0", "0"), Placement::OneCore);
        assert_eq!(placement("0,1", "0,1"), Placement::Shared);
        assert_eq!(Pinning::default().placement(), Placement::Free);
    }

    #[test]
    fn lists_are_read() {
        assert_eq!("0,2-4".parse::<CpuList>().unwrap().to_string(), "0,2,3,4");
        for bad in ["", "a", "3-1", "0,", "99999"] {
            assert!(bad.parse::<CpuList>().is_err(), "{bad:?}");
        }
    }
}
