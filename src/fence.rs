//! The fence around the process: with Landlock, it can write only its own files from here on,
//! whatever a bug or an attacker makes it try.
//!
//! Unlike a filter of system calls, Landlock also holds for what is asked of the kernel through
//! io_uring. Reading is not restricted. Threads inherit the fence of the one that starts them: it
//! must be raised before the first of them is.
//!
//! Because a file is created, moved and removed in its folder, it is the folder that is open to
//! the process: give the log and the pid file folders of their own.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};

/// What the process goes on writing.
#[derive(Clone, Debug, Default)]
pub struct Writable {
    /// The log file, its folder with it: it is opened again and put aside there.
    pub log: Option<PathBuf>,
    /// The pid file, its folder with it.
    pub pid: Option<PathBuf>,
    /// The folder of the ports file.
    pub ports: Option<PathBuf>,
    /// The folder of claims about accounts.
    pub jwts: Option<PathBuf>,
}

/// How it went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Raised {
    /// Nothing but what is beneath these can be written; `/dev/null` goes without saying.
    Around(Vec<PathBuf>),
    /// There is no fence, because of this.
    Not(String),
}

impl Raised {
    /// What can be written, for a sentence; `None` without a fence.
    #[must_use]
    pub fn inside(&self) -> Option<String> {
        let Self::Around(places) = self else { return None };
        let list: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
        Some(if list.is_empty() { "nothing".to_owned() } else { list.join(", ") })
    }

    /// Whether this is in the way of writing a file, which may be one that has to be made. Only for
    /// saying why it was denied: the kernel decides.
    #[must_use]
    pub fn keeps_out(&self, file: &Path) -> bool {
        let Self::Around(places) = self else { return false };
        let Ok(real) = file.canonicalize().or_else(|_| folder(file).canonicalize()) else {
            return false;
        };
        let inside = |place: &PathBuf| place.canonicalize().is_ok_and(|at| real.starts_with(at));
        !places.iter().any(inside)
    }
}

/// Where a file is, or is to be.
fn folder(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Keeps this thread, and those it starts, from writing anything else. Never to be taken back.
#[must_use]
pub fn raise(writable: &Writable) -> Raised {
    let places = places(writable);
    match restrict(&places) {
        Ok(RulesetStatus::NotEnforced) => {
            Raised::Not("this kernel does not offer Landlock".to_owned())
        }
        Ok(_) => Raised::Around(places.into_iter().skip(1).map(|(path, _)| path).collect()),
        Err(error) => Raised::Not(error.to_string()),
    }
}

/// Rights to make, write and remove plain files.
fn files() -> BitFlags<AccessFs> {
    AccessFs::WriteFile | AccessFs::Truncate | AccessFs::MakeReg | AccessFs::RemoveFile
}

fn places(writable: &Writable) -> Vec<(PathBuf, BitFlags<AccessFs>)> {
    let write = AccessFs::WriteFile | AccessFs::Truncate;
    let mut places = vec![(PathBuf::from("/dev/null"), write)];
    for file in [&writable.log, &writable.pid].into_iter().flatten() {
        // A device, a pipe, or a link to a file elsewhere: only that.
        let target = file.canonicalize().ok();
        let special = target.as_ref().is_some_and(|target| !target.is_file());
        if !special {
            places.push((folder(file).to_owned(), files()));
        }
        places.extend(target.map(|target| (target, write)));
    }
    let folders = writable.ports.iter().chain(&writable.jwts);
    places.extend(folders.map(|folder| (folder.clone(), files())));
    places
}

fn restrict(places: &[(PathBuf, BitFlags<AccessFs>)]) -> Result<RulesetStatus, RulesetError> {
    // What a kernel does not know cannot be forbidden by it: as much as it can is.
    let mut rules: RulesetCreated = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_write(ABI::V5))?
        .create()?;
    for (path, access) in places {
        // What does not exist cannot be written; whoever tries will say so.
        if let Ok(open) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(open, *access))?;
        }
    }
    Ok(rules.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;

    /// Runs in a thread of its own, which is thrown away with its fence.
    fn fenced<T: Send + 'static>(
        writable: Writable,
        act: impl FnOnce(Raised) -> T + Send + 'static,
    ) -> T {
        std::thread::spawn(move || act(raise(&writable))).join().unwrap()
    }

    #[test]
    fn files_live_inside_and_nowhere_else() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("out"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("old"), "old").unwrap();
        let writable = Writable { log: Some(inside.join("log")), ..Writable::default() };
        fenced(writable, move |raised| {
            assert_eq!(raised.inside(), Some(inside.display().to_string()));
            let log = inside.join("log");
            fs::write(&log, "1").unwrap();
            fs::rename(&log, inside.join("log.1")).unwrap();
            fs::remove_file(inside.join("log.1")).unwrap();
            fs::write("/dev/null", "x").unwrap();
            for there in [&log, &inside.join("new"), &inside] {
                assert!(!raised.keeps_out(there), "{}", there.display());
            }
            // One that is not there, in a folder that is not there either: that is another matter.
            assert!(!raised.keeps_out(&outside.join("no/such")));
            assert!(raised.keeps_out(&outside.join("new")) && raised.keeps_out(&outside));
            let denied = |outcome: std::io::Result<()>| {
                assert_eq!(outcome.map_err(|e| e.kind()), Err(ErrorKind::PermissionDenied));
            };
            denied(fs::write(outside.join("new"), "x"));
            denied(fs::write(outside.join("old"), "x"));
            denied(fs::remove_file(outside.join("old")));
            denied(fs::create_dir(inside.join("dir")));
            denied(std::os::unix::fs::symlink("/", inside.join("link")));
            assert_eq!(fs::read_to_string(outside.join("old")).unwrap(), "old");
        });
    }

    #[test]
    fn a_log_that_is_a_link_opens_its_target_and_a_device_not_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, target) = (dir.path().join("in"), dir.path().join("target"));
        fs::create_dir(&inside).unwrap();
        fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, inside.join("log")).unwrap();
        let writable = Writable {
            log: Some(inside.join("log")),
            pid: Some("/dev/null".into()),
            ..Writable::default()
        };
        fenced(writable, move |raised| {
            let Raised::Around(places) = &raised else { panic!("{raised:?}") };
            assert!(!places.contains(&PathBuf::from("/dev")), "{places:?}");
            fs::write(inside.join("log"), "x").unwrap();
            assert!(!raised.keeps_out(&inside.join("log")));
            assert!(fs::write(dir.path().join("other"), "x").is_err());
        });
    }
}
