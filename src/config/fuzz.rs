//! What the fuzzer does with a file of bytes. It panics if something does not hold.
//!
//! Here, and not in the fuzz package, so that `cargo test` runs it over the corpus.

use std::io;
use std::path::Path;

use super::include::Surroundings;
use super::problem::Report;
use super::{Flags, digest, parser, read};

/// Files and variables that are all the input itself: the worst surroundings there are.
struct Echo<'a>(&'a [u8]);

impl Surroundings for Echo<'_> {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.to_vec())
    }

    fn variable(&self, _: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.0).into_owned())
    }
}

/// A configuration. Reading ends, twice the same, and every problem has a place in some file.
pub fn config(data: &[u8]) {
    let (file, world) = (Path::new("fuzz.conf"), Echo(data));
    let first = Report::default();
    let map = parser::parse(file, data, &world, &first);
    let again = Report::default();
    assert_eq!(map, parser::parse(file, data, &world, &again));
    assert_eq!(digest::digest(&map).len(), "sha256:".len() + 64);
    let (first, again) = (first.into_problems(), again.into_problems());
    assert_eq!(first, again);
    for problem in first.errors.iter().chain(&first.warnings).chain(&first.notes) {
        let at = problem.at.as_ref().expect("the parser knows where it is");
        assert!(at.line >= 1 && at.column >= 1, "{problem}");
    }
    match read(file, data, &Flags::default(), &world) {
        Ok(loaded) => assert!(!loaded.settings.dump().is_empty()),
        Err(problems) => assert!(!problems.errors.is_empty()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn corpus_of_config() {
        let corpus =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus/config");
        let entries: Vec<_> = corpus.read_dir().expect("the corpus is there").collect();
        assert!(entries.len() >= 5, "{} files in {}", entries.len(), corpus.display());
        for entry in entries {
            let path = entry.expect("the corpus can be listed").path();
            super::config(&std::fs::read(&path).expect("a file of the corpus can be read"));
        }
    }
}
