//! The fence of Landlock, from outside and from inside, by plain calls and through io_uring.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use glommio::LocalExecutorBuilder;
use glommio::io::OpenOptions;
use ringbus::fence::{self, Raised, Writable};
use ringbus_test_support::{PATIENCE, eventually};
use rustix::process::Signal;

use super::Process;

/// Creates a file through io_uring, as the shards would.
fn create_through_io_uring(path: &Path) -> Result<(), ErrorKind> {
    let executor = LocalExecutorBuilder::default().make().unwrap();
    let created = executor.run(async move {
        let file = OpenOptions::new().write(true).create_new(true).buffered_open(path).await?;
        file.close().await
    });
    created.map_err(|error| std::io::Error::from(error).kind())
}

#[test]
fn io_uring_does_not_get_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    assert_eq!(create_through_io_uring(&outside.join("before")), Ok(()));
    // In a thread of its own, which is thrown away with its fence.
    let fenced = std::thread::spawn(move || {
        let log = Some(inside.join("log"));
        let raised = fence::raise(&Writable { log, ..Writable::default() });
        assert_eq!(raised, Raised::Around(vec![inside.clone()]));
        assert_eq!(create_through_io_uring(&inside.join("log")), Ok(()));
        assert_eq!(fs::write(inside.join("plain"), "x").map_err(|e| e.kind()), Ok(()));
        let denied = Err(ErrorKind::PermissionDenied);
        assert_eq!(create_through_io_uring(&outside.join("ring")), denied);
        assert_eq!(fs::write(outside.join("plain"), "x").map_err(|e| e.kind()), denied);
        assert_eq!(fs::read_dir(outside).unwrap().count(), 1);
    });
    fenced.join().unwrap();
}

/// Lets a server open its log again after somebody made the name a link to a file elsewhere.
fn reopen_through_a_link(flags: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("logs")).unwrap();
    let flags = [&["-l", "logs/log"], flags].concat();
    let process = Process::start_in(folder, &flags, &[]);
    process.wait_for("logs/log", "Server is ready");
    let elsewhere = process.path("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    fs::rename(process.path("logs/log"), process.path("logs/old")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, process.path("logs/log")).unwrap();
    process.signal(Signal::USR1);
    let told = || process.text("elsewhere") + &process.text("logs/old");
    eventually("the log is opened again", PATIENCE, || told().contains("re-opened"));
    (process.text("logs/old"), process.text("elsewhere"))
}

#[test]
fn the_process_is_inside_unless_it_is_told_not_to() {
    let (old, elsewhere) = reopen_through_a_link(&[]);
    assert!(old.contains("[INF] Landlock: of all files, the process can write logs"), "{old}");
    assert!(old.contains("[ERR] File log not re-opened: permission denied"), "{old}");
    assert_eq!(elsewhere, "");
    let (old, elsewhere) = reopen_through_a_link(&["--no-landlock"]);
    assert!(!old.contains("Landlock"), "{old}");
    assert!(elsewhere.contains("[INF] File log re-opened"), "{elsewhere}");
}
