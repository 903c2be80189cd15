//! The table of what was counted before, and what may become of it.
//!
//! One line per scenario: its name and the instructions per message. The first line says which
//! compiler and which processor's features they are for: another compiler inlines other things,
//! and `memchr` and `memcpy` choose by processor. Elsewhere the figures are compared all the same,
//! with a wider tolerance.

use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::callgrind::Counts;

/// By how much a figure may grow where the table was made. Counts of one program differ by less
/// than 0.1 %; what is left is for the inliner, which decides anew when something else in the crate
/// has changed.
const TOLERANCE: f64 = 0.03;

/// The same with another compiler or processor.
const TOLERANCE_ELSEWHERE: f64 = 0.15;

/// What the first line begins with.
const HOST: &str = "# counted with ";

/// Figures, and for what compiler and processor they are.
pub(crate) struct Table {
    pub(crate) host: String,
    pub(crate) counts: Counts,
}

impl Table {
    pub(crate) fn read(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let host = lines.next().and_then(|line| line.strip_prefix(HOST));
        let host = host.with_context(|| format!("line 1 does not begin with {HOST:?}"))?;
        let mut counts = Counts::new();
        for (number, line) in (2..).zip(lines).filter(|(_, line)| !line.starts_with('#')) {
            let parts = line.split_once(' ').and_then(|(name, count)| {
                let count: f64 = count.trim().parse().ok()?;
                (count > 0.0).then(|| (name.to_owned(), count))
            });
            let Some((name, count)) = parts else {
                bail!("line {number} is not a name and a count: {line}");
            };
            counts.insert(name, count);
        }
        Ok(Self { host: host.to_owned(), counts })
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HOST}{}", self.host)?;
        writeln!(f, "# instructions per message; written by scripts/instructions.sh --record")?;
        for (name, count) in &self.counts {
            writeln!(f, "{name:<32} {count:>10.1}")?;
        }
        Ok(())
    }
}

/// What a comparison found.
pub(crate) struct Report {
    pub(crate) text: String,
    pub(crate) regressed: bool,
}

/// Compares what was counted here with what was recorded; of the latter, what has `only` in its
/// name.
pub(crate) fn compare(recorded: &Table, here: &Table, only: &str) -> Report {
    let alike = recorded.host == here.host;
    let tolerance = if alike { TOLERANCE } else { TOLERANCE_ELSEWHERE };
    let mut text = String::new();
    let mut say = |line: String| text.extend([line.as_str(), "\n"]);
    if !alike {
        say(format!("recorded with {}, here {}: up to", recorded.host, here.host));
        say(format!("{:.0} % more is taken for the difference", 100.0 * tolerance));
    }
    let mut regressed = false;
    for (name, now) in &here.counts {
        let Some(then) = recorded.counts.get(name) else {
            say(format!("{name:<32} {now:>10.1}  NEW: record it"));
            regressed = true;
            continue;
        };
        let change = now / then - 1.0;
        let verdict = if change > tolerance {
            regressed = true;
            "  MORE"
        } else if change < -tolerance {
            "  less: record it"
        } else {
            ""
        };
        let percent = 100.0 * change;
        say(format!("{name:<32} {now:>10.1} of {then:>10.1} {percent:>+6.1} %{verdict}"));
    }
    for name in recorded.counts.keys().filter(|name| name.contains(only)) {
        if !here.counts.contains_key(name) {
            say(format!("{name:<32} GONE: it is in the table and is not counted any more"));
            regressed = true;
        }
    }
    Report { text, regressed }
}

/// The compiler that is on `PATH`, and what the processor has that matters here.
pub(crate) fn host() -> String {
    let version = Command::new("rustc").arg("--version").output().ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = version.unwrap_or_default();
    let release = version.split_whitespace().nth(1).unwrap_or("unknown");
    format!("rustc {release}, {}{}", std::env::consts::ARCH, features())
}

#[cfg(target_arch = "x86_64")]
fn features() -> &'static str {
    if std::arch::is_x86_feature_detected!("avx2") { " with avx2" } else { "" }
}

#[cfg(not(target_arch = "x86_64"))]
fn features() -> &'static str {
    ""
}

#[cfg(test)]
mod tests {
    use super::{Table, compare};

    fn table(text: &str) -> Table {
        Table::read(text).expect("a table")
    }

    const RECORDED: &str = "# counted with rustc 1, x\n# note\nparse 100.0\nmatch 50\n";

    #[test]
    fn what_is_written_can_be_read() {
        let written = table(RECORDED).to_string();
        assert_eq!(table(&written).to_string(), written);
        assert!(Table::read("parse 1").is_err());
        assert!(Table::read("# counted with rustc 1, x\nparse\n").is_err());
        assert!(Table::read("# counted with rustc 1, x\nparse -1\n").is_err());
    }

    #[test]
    fn only_more_than_the_tolerance_fails() {
        let recorded = table(RECORDED);
        let cases = [
            ("rustc 1, x", "parse 102.9\nmatch 50", false),
            ("rustc 1, x", "parse 103.1\nmatch 50", true),
            ("rustc 1, x", "parse 20\nmatch 50", false),
            ("rustc 2, x", "parse 114\nmatch 50", false),
            ("rustc 2, x", "parse 116\nmatch 50", true),
            ("rustc 1, x", "parse 100", true),
            ("rustc 1, x", "parse 100\nmatch 50\nring 1", true),
        ];
        for (host, counts, regressed) in cases {
            let here = table(&format!("# counted with {host}\n{counts}\n"));
            let report = compare(&recorded, &here, "");
            assert_eq!(report.regressed, regressed, "{host}: {counts}\n{}", report.text);
        }
    }

    #[test]
    fn what_was_left_out_is_not_missed() {
        let here = table("# counted with rustc 1, x\nparse 100\n");
        assert!(!compare(&table(RECORDED), &here, "parse").regressed);
    }
}
