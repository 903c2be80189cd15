//! Runs this program again, under callgrind, and reads what it counted.
//!
//! Callgrind collects only inside [`measured`](crate::measured), and writes a file each time that
//! function returns: the first is the first scenario's, and so on.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use anyhow::{Context, Result, bail};

use crate::RUN;

/// How callgrind is told which function is meant.
const MEASURED: &str = "ringbus_instructions::measured";

/// Instructions per message, by scenario.
pub(crate) type Counts = BTreeMap<String, f64>;

/// Counts the scenarios whose name has `only` in it.
pub(crate) fn count(only: &str) -> Result<Counts> {
    let folder = Folder::new()?;
    let printed = run(&folder.0, only)?;
    let mut counts = Counts::new();
    for (number, line) in (1..).zip(printed.lines()) {
        let (name, messages) = line.split_once(' ').with_context(|| line.to_owned())?;
        let messages: f64 = messages.parse().with_context(|| line.to_owned())?;
        let file = folder.0.join(format!("out.{number}"));
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let instructions = total(&text).with_context(|| file.display().to_string())?;
        counts.insert(name.to_owned(), instructions / messages);
    }
    if counts.is_empty() {
        bail!("no scenario has {only:?} in its name");
    }
    Ok(counts)
}

fn run(folder: &Path, only: &str) -> Result<String> {
    let this = std::env::current_exe().context("the path of this program")?;
    let mut out = std::ffi::OsString::from("--callgrind-out-file=");
    out.push(folder.join("out"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--error-exitcode=1"])
        .arg(format!("--toggle-collect={MEASURED}"))
        .arg(format!("--dump-after={MEASURED}"))
        .arg(out)
        .arg(this)
        .args([RUN, only])
        .output()
        .context("valgrind cannot be run; `apt-get install valgrind` installs it")?;
    if !output.status.success() {
        bail!("under valgrind: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).context("what was printed under valgrind")
}

/// The instructions of one file that callgrind wrote.
fn total(text: &str) -> Result<f64> {
    let count = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let count = count.context("it has no line `totals:`")?;
    let count: f64 = count.trim().parse().with_context(|| format!("totals: {count}"))?;
    if count < 1.0 {
        bail!("nothing was counted: callgrind does not know the function {MEASURED}");
    }
    Ok(count)
}

/// A folder for what callgrind writes; removed in the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("ringbus-instructions.{}", process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn totals_are_found() {
        let text = "version: 1\ncmd: x\n\npart: 1\nevents: Ir\nfn=(1)\n1 20\n\ntotals: 12345\n";
        assert!((super::total(text).expect("it is there") - 12345.0).abs() < 0.1);
        assert!(super::total("totals: 0\n").is_err());
        assert!(super::total("events: Ir\n").is_err());
    }
}
