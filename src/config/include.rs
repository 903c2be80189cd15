//! What a configuration may look at besides its own text: other files, and the environment.
//!
//! Behind a trait, so that the whole reading of a configuration is a pure function in tests and
//! under the fuzzer.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Files and variables.
pub trait Surroundings {
    /// The bytes of a file.
    ///
    /// # Errors
    /// Returns the system's error.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
}

/// Those of the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

impl Surroundings for System {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn variable(&self, name: &str) -> Option<String> {
        // The standard library asserts these of a name.
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var(name).ok()
    }
}

/// Where an included file is: always under the directory of the file that includes it, as with
/// nats-server, even if the name begins with a slash. `.` and `..` are resolved by name.
pub(super) fn resolve(including: &Path, name: &str) -> PathBuf {
    let dir = including.parent().unwrap_or_else(|| Path::new(""));
    clean(&dir.join(name.trim_start_matches('/')))
}

/// The shortest path with the same meaning, if no directory is a symbolic link.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match cleaned.components().next_back() {
                Some(Component::Normal(_)) => {
                    cleaned.pop();
                }
                Some(Component::RootDir) => {}
                _ => cleaned.push(".."),
            },
            other => cleaned.push(other),
        }
    }
    if cleaned.as_os_str().is_empty() { PathBuf::from(".") } else { cleaned }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn includes_are_found_beside_the_including_file() {
        for (including, name, expected) in [
            ("a.conf", "b.conf", "b.conf"),
            ("conf/a.conf", "b.conf", "conf/b.conf"),
            ("conf/a.conf", "./b.conf", "conf/b.conf"),
            ("conf/a.conf", "../b.conf", "b.conf"),
            ("conf/a.conf", "../../b.conf", "../b.conf"),
            ("/etc/nats/a.conf", "users/b.conf", "/etc/nats/users/b.conf"),
            ("/etc/nats/a.conf", "/b.conf", "/etc/nats/b.conf"),
            ("/a.conf", "../b.conf", "/b.conf"),
            ("a.conf", "", "."),
        ] {
            assert_eq!(resolve(Path::new(including), name), Path::new(expected), "{including}");
        }
    }

    #[test]
    fn names_that_cannot_be_variables_have_no_value() {
        for name in ["", "=", "A=B", "A\0"] {
            assert_eq!(System.variable(name), None);
        }
        assert!(System.variable("PATH").is_some());
    }
}
