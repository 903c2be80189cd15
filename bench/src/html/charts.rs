//! Which pictures the page has, and what goes into them.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::plot::{self, Line, Plot};
use super::svg::{Svg, escape};
use super::{Report, bars};
use crate::compare::Run;
use crate::goals;
use crate::report;
use crate::scenario::{Scenario, Shape};
use crate::stats::Spread;

/// Marks of the percentile axis. It is laid out by how rare the slower messages are.
const PERCENTS: [&str; 5] = ["50", "90", "99", "99.9", "99.99"];

pub(super) fn write(page: &mut String, report: &Report<'_>) {
    let cpu: Vec<String> =
        report.scenarios.iter().filter_map(|scenario| cpu(report, scenario)).collect();
    section(
        page,
        report,
        "Server CPU",
        "Nanoseconds per message, delivery or request: median, and the range as a line. Shorter is \
         better. Every scenario has a scale of its own.",
        &cpu,
    );
    let throughput: Vec<String> = families(report.scenarios)
        .into_iter()
        .filter_map(|family| throughput(report, &family))
        .collect();
    section(
        page,
        report,
        "Throughput by size",
        "Millions per second at full speed, by bytes of payload; both axes logarithmic. The load \
         generator may be the limit: compare the cores that the server used.",
        &throughput,
    );
    let scaling: Vec<String> = report
        .scenarios
        .iter()
        .flat_map(|scenario| {
            [
                scaling(report, scenario, "what its cores could do", &goals::capacity),
                scaling(report, scenario, "as measured", &|run| run.sample.per_second),
            ]
        })
        .flatten()
        .collect();
    section(
        page,
        report,
        "Scaling over shards",
        "Millions per second by number of shards; both axes logarithmic, so twice the shards for \
         twice the rate is a line as steep as the grid. What its cores could do is the number of \
         shards by the CPU of an operation: it does not depend on whether the load generator could \
         keep all of them busy. What was measured does.",
        &scaling,
    );
    let latency: Vec<String> =
        report.scenarios.iter().filter_map(|scenario| latency(report, scenario)).collect();
    section(
        page,
        report,
        "Latency by percentile",
        "Median over the valid rounds; both axes logarithmic. Lower is better.",
        &latency,
    );
}

/// A heading with the legend and all its pictures; nothing without pictures.
fn section(page: &mut String, report: &Report<'_>, title: &str, text: &str, figures: &[String]) {
    if figures.is_empty() {
        return;
    }
    writeln!(page, "<h2>{title}</h2>\n<p>{text}</p>\n<p>").ok();
    for (idx, target) in report.targets.iter().enumerate() {
        let mut sample = Svg::new(36.0, 16.0, "");
        sample.bar(0.0, 0.0, 10.0, 16.0, &super::bar_class(idx));
        sample.line((12.0, 8.0), (36.0, 8.0), &format!("{} thick", super::line_class(idx)));
        let (sample, name) = (sample.finish(), escape(&target.name));
        write!(page, "<span class=\"key\">{sample} {name}</span>").ok();
    }
    page.push_str("</p>\n<div class=\"charts\">\n");
    for figure in figures {
        page.push_str(figure);
    }
    page.push_str("</div>\n");
}

fn with_caption(title: &str, svg: &str) -> String {
    format!("<figure><figcaption><h3>{}</h3></figcaption>\n{svg}</figure>\n", escape(title))
}

fn cpu(report: &Report<'_>, scenario: &Scenario) -> Option<String> {
    let mut unit = None;
    let mut group = bars::Group { scenario: &scenario.name, unit: "", bars: Vec::new() };
    for (idx, target) in report.targets.iter().enumerate() {
        let runs = report.runs(scenario, target);
        let Some(spread) = Spread::of(runs.iter().map(|run| run.sample.cpu_ns)) else { continue };
        unit = unit.or_else(|| runs.first().map(|run| run.sample.unit.as_str()));
        group.bars.push((idx, target.name.as_str(), spread));
    }
    group.unit = unit?;
    Some(format!("<figure>\n{}</figure>\n", bars::draw(&group)))
}

/// Scenarios at full speed that differ only in size.
struct Family<'a> {
    name: String,
    members: Vec<(usize, &'a Scenario)>,
}

/// In the order in which they first appear; one size alone is no family.
fn families(scenarios: &[Scenario]) -> Vec<Family<'_>> {
    let mut families: Vec<Family<'_>> = Vec::new();
    for scenario in scenarios {
        let (Some(size), false) = (scenario.size(), matches!(scenario.shape, Shape::Latency(_)))
        else {
            continue;
        };
        let name = scenario.name.replacen(&format!("{size}B"), "*", 1);
        match families.iter_mut().find(|family| family.name == name) {
            Some(family) => family.members.push((size, scenario)),
            None => families.push(Family { name, members: vec![(size, scenario)] }),
        }
    }
    families.retain(|family| family.members.len() > 1);
    families
}

#[expect(clippy::cast_precision_loss, reason = "sizes are at most a megabyte")]
fn throughput(report: &Report<'_>, family: &Family<'_>) -> Option<String> {
    let mut x_marks: Vec<(f64, String)> =
        family.members.iter().map(|(size, _)| (*size as f64, size_label(*size))).collect();
    x_marks.sort_by(|a, b| a.0.total_cmp(&b.0));
    let lines = (report.targets.iter().enumerate())
        .map(|(idx, target)| {
            let point = |(size, scenario): &(usize, &Scenario)| {
                let runs = report.runs(scenario, target);
                let rate = Spread::of(runs.iter().map(|run| run.sample.per_second / 1e6))?;
                Some((*size as f64, rate.median))
            };
            Line { target: idx, points: family.members.iter().filter_map(point).collect() }
        })
        .collect();
    let title = family.name.clone();
    let plot = Plot { title, x_name: "bytes of payload", y_name: "M/s", x_marks, lines };
    Some(with_caption(&plot.title, &plot::draw(&plot)?))
}

/// A line for each program that ran with several numbers of shards; nothing if none did.
fn scaling(
    report: &Report<'_>,
    scenario: &Scenario,
    what: &str,
    figure: &dyn Fn(&Run) -> f64,
) -> Option<String> {
    let mut lines: Vec<(&str, Line)> = Vec::new();
    let mut counts = BTreeSet::new();
    for (idx, target) in report.targets.iter().enumerate() {
        let Some(shards) = target.shards else { continue };
        let runs = report.runs(scenario, target);
        let Some(rate) = Spread::of(runs.iter().map(|run| figure(run) / 1e6)) else { continue };
        counts.insert(shards);
        let point = (f64::from(shards), rate.median);
        match lines.iter_mut().find(|(base, _)| *base == target.base_name()) {
            Some((_, line)) => line.points.push(point),
            None => lines.push((target.base_name(), Line { target: idx, points: vec![point] })),
        }
    }
    if counts.len() < 2 {
        return None;
    }
    let x_marks = counts.iter().map(|count| (f64::from(*count), count.to_string())).collect();
    let lines = lines.into_iter().map(|(_, line)| line).collect();
    let title = format!("{}, {what}", scenario.name);
    let plot = Plot { title, x_name: "shards", y_name: "M/s", x_marks, lines };
    Some(with_caption(&plot.title, &plot::draw(&plot)?))
}

fn size_label(size: usize) -> String {
    if size >= 1_024 && size.is_multiple_of(1_024) {
        format!("{} Ki", size / 1_024)
    } else {
        size.to_string()
    }
}

fn latency(report: &Report<'_>, scenario: &Scenario) -> Option<String> {
    let mut title = None;
    let mut lines = Vec::new();
    for (idx, target) in report.targets.iter().enumerate() {
        let runs = report.runs(scenario, target);
        let Some(first) = report::latencies(&runs).next() else { continue };
        title.get_or_insert_with(|| {
            format!("{}, {}", scenario.name, report::loop_name(first.measured))
        });
        let point = |(at, (percent, _)): (usize, &(f64, f64))| {
            let rounds = report::latencies(&runs).filter_map(|latency| latency.curve.get(at));
            Some((rarity(*percent), Spread::of(rounds.map(|(_, micros)| *micros))?.median))
        };
        let points = first.curve.iter().enumerate().filter_map(point).collect();
        lines.push(Line { target: idx, points });
    }
    let x_marks = PERCENTS
        .iter()
        .filter_map(|label| Some((rarity(label.parse().ok()?), (*label).to_owned())))
        .collect();
    let plot = Plot { title: title?, x_name: "percentile", y_name: "us", x_marks, lines };
    Some(with_caption(&plot.title, &plot::draw(&plot)?))
}

/// One message in so many is slower than this percentile.
fn rarity(percent: f64) -> f64 {
    100.0 / (100.0 - percent)
}
