//! What the tree must look like and no compiler checks: sizes, headers, what may be named where,
//! and that the documents name what exists.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;

/// Where `unsafe` may stand: the ring between shards, and memory and requests shared with the
/// kernel. The allocation test counts through a global allocator, which cannot be made otherwise;
/// this file names the word.
const UNSAFE: [&str; 6] = [
    "shard/src/mesh/ring.rs",
    "shard/src/io/buf.rs",
    "shard/src/io/probe.rs",
    "shard/src/io/socket_ring.rs",
    "shard/tests/allocation.rs",
    "tests/tidy.rs",
];

/// What only `shard/src/io` may name in the data plane: the rest is pure.
const IMPURE: [&str; 10] = [
    "glommio",
    "io_uring",
    "rustix",
    "std::fs",
    "std::thread",
    "std::net::Tcp",
    "Instant::now",
    "SystemTime",
    "fastrand::u64(",
    "Rng::new()",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Files that git knows, or would.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    let text = String::from_utf8(listed.stdout).expect("file names are text");
    let mut files: Vec<String> =
        text.lines().filter(|file| root().join(file).is_file()).map(str::to_owned).collect();
    files.sort();
    assert!(files.len() > 100, "git listed only {} files", files.len());
    files
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect(file)
}

fn rust_files() -> Vec<String> {
    files().into_iter().filter(|file| file.ends_with(".rs")).collect()
}

/// Fails with every finding, not only the first.
fn check(what: &str, findings: Vec<String>) {
    assert!(findings.is_empty(), "{what}:\n  {}", findings.join("\n  "));
}

#[test]
fn files_are_short_narrow_and_say_what_they_are() {
    let mut findings = Vec::new();
    for file in rust_files() {
        let text = read(&file);
        let lines = text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{file}: {lines} lines, at most {LINES_MAX}"));
        }
        if !text.starts_with("//!") && !text.starts_with("#![no_main]") {
            findings.push(format!("{file}: does not begin with what it is (//!)"));
        }
        for (number, line) in text.lines().enumerate() {
            // Rows of a table cannot be broken.
            if line.chars().count() > COLUMNS_MAX && !line.starts_with("//! |") {
                findings.push(format!("{file}:{}: over {COLUMNS_MAX} columns", number + 1));
            }
        }
    }
    check("files", findings);
}

#[test]
fn nothing_is_left_over() {
    let words = ["FIX".to_owned() + "ME", "TO".to_owned() + "DO", "#[ig".to_owned() + "nore"];
    let mut findings = Vec::new();
    for file in rust_files() {
        for (number, line) in read(&file).lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                findings.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    check("left over", findings);
}

#[test]
fn unsafe_code_is_where_it_may_be() {
    let mut findings = Vec::new();
    for file in rust_files().iter().filter(|file| !UNSAFE.contains(&file.as_str())) {
        for (number, line) in read(file).lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            if ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| code.contains(word)) {
                findings.push(format!("{file}:{}", number + 1));
            }
        }
    }
    check("unsafe", findings);
}

#[test]
fn the_data_plane_is_pure_but_for_io() {
    let mut findings = Vec::new();
    for file in rust_files() {
        if !file.starts_with("shard/src/") || file.starts_with("shard/src/io/") {
            continue;
        }
        let text = read(&file);
        let tests = text.find("mod tests {").unwrap_or(text.len());
        let is_test = file.ends_with("tests.rs") || file.contains("/tests/");
        for (number, line) in text[..tests].lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for word in IMPURE.iter().filter(|word| !is_test && code.contains(**word)) {
                findings.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    check("outside of io", findings);
}

/// The words in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn the_path_of_a_message_exists() {
    let map = read("shard/src/lib.rs");
    let rows: Vec<&str> = map.lines().filter(|line| line.starts_with("//! | ")).collect();
    let mut steps = 0;
    for row in rows {
        let mut names = quoted(row);
        let (Some(file), Some(function)) = (names.next(), names.next()) else { continue };
        if !file.ends_with(".rs") {
            continue;
        }
        steps += 1;
        let declared = format!("fn {function}");
        assert!(read(file).contains(&declared), "{file} has no `{declared}`: {row}");
    }
    assert!(steps >= 12, "the path has {steps} steps only");
}

#[test]
fn the_documents_name_what_exists() {
    let mut findings = Vec::new();
    for document in ["README.md", "linux-only.md"] {
        let text = read(document);
        for name in quoted(&text) {
            let path = name.split_whitespace().next().unwrap_or_default();
            let top = ["shard/", "src/", "bench/", "tests/", "scripts/"];
            if top.iter().any(|top| path.starts_with(top))
                && !Path::new(&root().join(path)).exists()
            {
                findings.push(format!("{document}: {path}"));
            }
        }
    }
    check("named and not there", findings);
}

#[test]
fn scripts_say_how_they_are_used_and_stop_at_errors() {
    let mut findings = Vec::new();
    for file in files().iter().filter(|file| file.starts_with("scripts/") && file.ends_with(".sh"))
    {
        let text = read(file);
        let mut lines = text.lines();
        if !lines.next().is_some_and(|line| line.starts_with("#!")) {
            findings.push(format!("{file}: no interpreter"));
        }
        if !lines.next().is_some_and(|line| line.starts_with("# ")) {
            findings.push(format!("{file}: does not say what it does"));
        }
        if !text.contains("set -euo pipefail") {
            findings.push(format!("{file}: goes on after errors"));
        }
    }
    check("scripts", findings);
}

#[test]
fn every_fuzz_target_has_a_corpus_and_is_declared() {
    let manifest = read("tests/fuzz/Cargo.toml");
    let mut targets = 0;
    for file in files() {
        let Some(name) =
            file.strip_prefix("tests/fuzz/fuzz_targets/").and_then(|name| name.strip_suffix(".rs"))
        else {
            continue;
        };
        targets += 1;
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not declared");
        let corpus = root().join("tests/fuzz/corpus").join(name);
        let inputs = fs::read_dir(&corpus).map(Iterator::count).unwrap_or_default();
        assert!(inputs > 0, "{} is empty", corpus.display());
    }
    assert!(targets >= 5, "{targets} targets only");
}

#[test]
fn the_top_level_is_what_it_is() {
    let allowed = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "linux-only.md",
        "src",
        "shard",
        "bench",
        "scripts",
        "tests",
    ];
    let mut findings: Vec<String> = files()
        .iter()
        .filter_map(|file| file.split('/').next())
        .filter(|entry| !entry.starts_with('.') && !allowed.contains(entry))
        .map(str::to_owned)
        .collect();
    findings.dedup();
    check("top level", findings);
}
