//! Every transcript of `tests/golden` as a test of its own: against ringbus with one, two and four
//! shards, and against a nats-server where one is at hand (`NATS_SERVER_BIN`, or a recent one on
//! the `PATH`). A difference between the two is a finding about one of them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use ringbus_test_support::Program;
use ringbus_test_support::transcript::Transcript;

const SHARDS: [usize; 3] = [1, 2, 4];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Most of a transcript is waiting, so more of them run at a time than there are cores.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    let reference = Program::reference();
    let mut trials = Vec::new();
    for path in files() {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for shards in SHARDS {
            let program = Program::ringbus(env!("CARGO_BIN_EXE_ringbus"), shards);
            let is_reference = !program.has_shards();
            // A nats-server standing in for ringbus has no shards: once is enough.
            if !is_reference || shards == 1 {
                trials.push(trial(&name, &path, program, is_reference));
            }
        }
        if let Some(program) = reference.clone() {
            trials.push(trial(&name, &path, program, true));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, path: &Path, program: Program, is_reference: bool) -> Trial {
    let path = path.to_owned();
    Trial::test(format!("{name}::{program}"), move || {
        let played = Transcript::load(&path).and_then(|t| t.play(&program, is_reference));
        played.map_err(Failed::from)
    })
}

fn files() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(&folder).expect("tests/golden is there");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("tests/golden can be read").path())
        .filter(|path| path.extension().is_some_and(|x| x == "txt"))
        .collect();
    assert!(!files.is_empty(), "no transcripts in {}", folder.display());
    files.sort();
    files
}
