//! The figures of the terminal's table, in two: what servers spend, and how long messages take.

use std::fmt::Write;

use super::Report;
use super::svg::escape;
use crate::compare::Run;
use crate::goals::{Outcome, Verdict};
use crate::load::{Kept, Latency, Sample};
use crate::report::{self, significant};
use crate::stats::Spread;

const COST: [&str; 12] = [
    "scenario",
    "target",
    "server CPU ns",
    "per",
    "ratio",
    "M/s",
    "cores + wait",
    "sleeps + preempted, per 1000",
    "system calls, per 1000",
    "messages per read",
    "RSS MiB",
    "besides",
];
const COST_LEGEND: &str = "Median of the rounds with [lowest-highest]. CPU is the server's own, \
    from the scheduler's statistics; ratio is the CPU of the first target by that of this one, per \
    round, so less than 1 is good for the first. Cores: used, and wanted while others had \
    them. System calls are counted in a window of their own, where the kernel allows it; one \
    io_uring_enter is one. Messages per read: what one read of a subscriber brought.";
const LATENCY: [&str; 13] = [
    "scenario",
    "target",
    "loop",
    "valid rounds",
    "due M/s",
    "p50 us",
    "p90",
    "p99",
    "p99.9",
    "p99.99",
    "max",
    "sender p99",
    "besides",
];
const LATENCY_LEGEND: &str = "Open loop: from when a message was due on a fixed schedule until it \
    was received, sent late or not. Closed loop: from when a request left until its reply came, \
    which says nothing about a fixed load. Only valid rounds are shown: in the others the rate was \
    not held, or the sender was late by itself. Due is the rate of the schedule, in messages. \
    Sender is how late the load generator was by itself: the part of the latency for which no \
    server is to blame.";

pub(super) fn write(page: &mut String, report: &Report<'_>) {
    write_table(page, report, ("Results", COST_LEGEND), &COST, |idx, base, runs| {
        cost_row((idx > 0).then_some(base), runs)
    });
    if report.comparison.runs.iter().any(|run| run.sample.latency.is_some()) {
        write_table(page, report, ("Latency", LATENCY_LEGEND), &LATENCY, |_, _, runs| {
            runs.iter().any(|run| run.sample.latency.is_some()).then(|| latency_row(runs))?
        });
    }
}

/// Which goals were reached; nothing if none can be judged by these results.
pub(super) fn write_goals(page: &mut String, verdicts: &[Verdict]) {
    if verdicts.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Figures to reach</h2>\n<p>Against the best of the other servers in this run.</p>\n\
         <div class=\"wide\">\n<table class=\"figures\">\n<thead><tr><th>goal</th><th>target</th>\
         <th>figure</th><th>wanted</th><th>seen</th><th></th></tr></thead>\n<tbody>\n",
    );
    for Verdict { row, target, figure, wanted, outcome } in verdicts {
        let (word, seen) = outcome.cells();
        page.push_str("<tr>");
        for text in [row, target, figure, wanted, &seen] {
            write!(page, "<td>{}</td>", escape(text)).ok();
        }
        let class = if matches!(outcome, Outcome::Missed(_)) { " class=\"bad\"" } else { "" };
        writeln!(page, "<td{class}>{word}</td></tr>").ok();
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

/// All scenarios for which `row` has cells; it gets the position of the target, the runs of the
/// first target and its own.
fn write_table(
    page: &mut String,
    report: &Report<'_>,
    (title, legend): (&str, &str),
    heads: &[&str],
    row: impl Fn(usize, &[&Run], &[&Run]) -> Option<String>,
) {
    write!(page, "<h2>{title}</h2>\n<p>{legend}</p>\n<div class=\"wide\">\n").ok();
    page.push_str("<table class=\"figures\">\n<thead><tr>");
    for head in heads {
        write!(page, "<th>{head}</th>").ok();
    }
    page.push_str("</tr></thead>\n");
    for scenario in report.scenarios {
        let mut base = None;
        let mut rows = String::new();
        for (idx, target) in report.targets.iter().enumerate() {
            let runs = report.runs(scenario, target);
            let base = base.get_or_insert_with(|| runs.clone());
            let Some(cells) = row(idx, base, &runs) else { continue };
            let name = if rows.is_empty() { escape(&scenario.name) } else { String::new() };
            let target = escape(&target.name);
            writeln!(rows, "<tr><td>{name}</td><td>{target}</td>{cells}</tr>").ok();
        }
        if !rows.is_empty() {
            write!(page, "<tbody>\n{rows}</tbody>\n").ok();
        }
    }
    page.push_str("</table>\n</div>\n");
}

fn cost_row(base: Option<&[&Run]>, runs: &[&Run]) -> Option<String> {
    let mut row = String::new();
    let Some(first) = runs.first() else {
        let columns = COST.len() - 2;
        write!(row, "<td class=\"bad\" colspan=\"{columns}\">no good round</td>").ok();
        return Some(row);
    };
    let of =
        |figure: &dyn Fn(&Sample) -> f64| Spread::of(runs.iter().map(|run| figure(&run.sample)));
    write_figure(&mut row, of(&|sample| sample.cpu_ns), 4);
    write!(row, "<td>{}</td>", escape(&first.sample.unit)).ok();
    write_figure(&mut row, base.and_then(|base| report::ratios(base, runs)), 3);
    write_figure(&mut row, of(&|sample| sample.per_second / 1e6), 4);
    let cores = [of(&|sample| sample.cores_used), of(&|sample| sample.cores_wanted)];
    let [used, wanted] = cores.map(report::median);
    write!(row, "<td>{used:.2} + {wanted:.2}</td>").ok();
    let switches =
        [of(&|sample| sample.sleeps_per_1000), of(&|sample| sample.preemptions_per_1000)];
    let [sleeps, preempted] = switches.map(report::median);
    write!(row, "<td>{sleeps:.2} + {preempted:.2}</td>").ok();
    let optional = |figure: fn(&Sample) -> Option<f64>| {
        Spread::of(runs.iter().filter_map(|run| figure(&run.sample)))
    };
    write_figure(&mut row, optional(|sample| sample.syscalls_per_1000), 3);
    write_figure(&mut row, optional(|sample| sample.messages_per_read), 3);
    write_figure(&mut row, of(&|sample| report::bytes_to_mib(sample.rss_bytes)), 3);
    write!(row, "<td>{}</td>", escape(&report::notes(runs).join(", "))).ok();
    Some(row)
}

fn latency_row(runs: &[&Run]) -> Option<String> {
    let mut row = String::new();
    let all = || runs.iter().filter_map(|run| run.sample.latency.as_ref());
    write!(row, "<td>{}</td>", report::loop_name(all().next()?.measured)).ok();
    let invalid = report::invalid(runs);
    let valid = runs.len() - invalid.map_or(0, |(rounds, _)| rounds);
    let class = if invalid.is_some() { " class=\"bad\"" } else { "" };
    write!(row, "<td{class}>{valid} of {}</td>", runs.len()).ok();
    let due = all().filter_map(|latency| latency.schedule.as_ref());
    write_figure(&mut row, Spread::of(due.map(|kept| kept.per_second / 1e6)), 3);
    let part = |figure: fn(&Latency) -> f64| Spread::of(report::latencies(runs).map(figure));
    write_figure(&mut row, part(|latency| latency.p50_us), 3);
    write_figure(&mut row, part(|latency| latency.p90_us), 3);
    write_figure(&mut row, part(|latency| latency.p99_us), 3);
    write_figure(&mut row, part(|latency| latency.p999_us), 3);
    write_figure(&mut row, part(|latency| latency.p9999_us), 3);
    write_figure(&mut row, part(|latency| latency.max_us), 3);
    let kept = |figure: fn(&Kept) -> f64| {
        Spread::of(report::latencies(runs).filter_map(|all| all.schedule.as_ref().map(figure)))
    };
    write_figure(&mut row, kept(|kept| kept.late_p99_us), 3);
    let reason = invalid.map_or_else(String::new, |(_, reason)| escape(reason));
    write!(row, "<td class=\"bad\">{reason}</td>").ok();
    Some(row)
}

/// A cell with a median and its range, or an empty one.
fn write_figure(row: &mut String, spread: Option<Spread>, digits: usize) {
    let Some(Spread { median, min, max }) = spread else {
        row.push_str("<td></td>");
        return;
    };
    let [median, min, max] = [median, min, max].map(|value| significant(value, digits));
    write!(row, "<td>{median} <small>[{min}-{max}]</small></td>").ok();
}
