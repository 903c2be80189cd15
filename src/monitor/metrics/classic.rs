//! From OpenMetrics to the text format 0.0.4: there a counter is named with its `_total` in the
//! comments too, what is unknown is untyped, there is no unit, and no end mark.

use std::fmt::Write as _;

pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    // HELP comes before TYPE, which tells whether the name changes.
    let mut help: Option<(&str, &str)> = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        let comment = words.next() == Some("#");
        let (kind, name, rest) = (words.next(), words.next(), words.next());
        // Writing to a String cannot fail.
        match (comment.then_some(kind).flatten(), name, rest) {
            (Some("HELP"), Some(name), text) => help = Some((name, text.unwrap_or_default())),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let kind = if kind == "unknown" { "untyped" } else { kind };
                let total = if kind == "counter" { "_total" } else { "" };
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                    let _ = writeln!(out, "# HELP {name}{total} {text}");
                }
                let _ = writeln!(out, "# TYPE {name}{total} {kind}");
            }
            (Some(_), ..) => {}
            (None, ..) => {
                let _ = writeln!(out, "{line}");
            }
        }
    }
    out
}
