//! The report: one file that needs nothing else, for a phone as for a screen, light or dark.
//!
//! It says where the figures come from before it shows any: host, servers, the command to repeat
//! it. Then the table, and pictures of the same figures.

mod bars;
mod charts;
mod plot;
mod svg;
mod table;
#[cfg(test)]
mod tests;

use std::fmt::Write;

use crate::compare::{Comparison, Run, VoidRun};
use crate::goals::Verdict;
use crate::report::{self, Setting, TargetFacts};
use crate::scenario::Scenario;
use crate::target::Target;
use svg::escape;

const STYLE: &str = include_str!("style.css");
/// Colours in the style sheet; further targets begin again.
const COLOURS: usize = 6;
/// Everything the page shows.
pub(crate) struct Report<'a> {
    pub(crate) setting: &'a Setting,
    pub(crate) scenarios: &'a [Scenario],
    pub(crate) targets: &'a [Target],
    pub(crate) comparison: &'a Comparison,
    pub(crate) verdicts: &'a [Verdict],
}

impl Report<'_> {
    /// The good runs of a target, in the order of rounds.
    fn runs(&self, scenario: &Scenario, target: &Target) -> Vec<&Run> {
        report::runs_of(self.comparison, &scenario.name, &target.name)
    }
}

pub(crate) fn page(report: &Report<'_>) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>NATS servers compared</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <h1>NATS servers compared</h1>\n"
    );
    write_facts(&mut page, report.setting);
    write_void(&mut page, &report.comparison.void);
    table::write(&mut page, report);
    table::write_goals(&mut page, report.verdicts);
    charts::write(&mut page, report);
    page.push_str("</body>\n</html>\n");
    page
}

fn write_facts(page: &mut String, setting: &Setting) {
    let host = &setting.host;
    let machine = if host.virtual_machine { ", virtual machine" } else { "" };
    let mut facts = vec![
        ("date".to_owned(), host.date.clone()),
        ("machine".to_owned(), format!("{} x {}{machine}", host.cpus, host.cpu)),
        ("kernel".to_owned(), format!("Linux {}", host.kernel)),
        (
            "host".to_owned(),
            format!(
                "governor {}, clocksource {}, load {} at the start, {} MiB of memory, \
                 {} open files allowed",
                host.governor,
                host.clocksource,
                host.load_average,
                host.memory_mib,
                host.open_files
            ),
        ),
        ("load".to_owned(), setting.driver.clone()),
        ("mitigations".to_owned(), host.mitigations.clone()),
        (
            "placement".to_owned(),
            format!(
                "server on CPU {}, clients on CPU {}",
                setting.server_cpus, setting.client_cpus
            ),
        ),
        (
            "rounds".to_owned(),
            format!(
                "{} of {} s after {} s of warm-up, targets in turn",
                setting.rounds, setting.steady_seconds, setting.warm_up_seconds
            ),
        ),
    ];
    for target in &setting.targets {
        let TargetFacts { version, runtime, binary, flags, .. } = target;
        let text = format!("{version}, {runtime} ({binary} {flags})");
        facts.push((target.name.clone(), text));
    }
    if !setting.note.is_empty() {
        facts.push(("note".to_owned(), setting.note.clone()));
    }
    page.push_str("<table class=\"facts\">\n");
    for (name, text) in facts {
        writeln!(page, "<tr><th>{}</th><td>{}</td></tr>", escape(&name), escape(&text)).ok();
    }
    page.push_str("</table>\n<p>To repeat it:</p>\n");
    writeln!(page, "<pre>{}</pre>", escape(&host.command)).ok();
}

fn write_void(page: &mut String, void: &[VoidRun]) {
    if void.is_empty() {
        return;
    }
    page.push_str("<h2 class=\"bad\">Runs that failed their check</h2>\n<ul>\n");
    for VoidRun { scenario, target, round, failure, .. } in void {
        let text = format!("{scenario}, {target}, round {}: {failure}", round + 1);
        writeln!(page, "<li class=\"bad\">{}</li>", escape(&text)).ok();
    }
    page.push_str("</ul>\n");
}

/// How the bars of a target look.
fn bar_class(target: usize) -> String {
    format!("b{}", target % COLOURS)
}

/// How the lines of a target look.
fn line_class(target: usize) -> String {
    format!("l{}", target % COLOURS)
}
