//! The writers against small fixed inputs.

use super::plot::{Line, Plot};
use super::*;
use crate::affinity::Placement;
use crate::goals::Outcome;
use crate::host::Host;
use crate::load::{Kept, Latency, Loop, Sample};
use crate::report::TargetFacts;
use crate::scenario::{Beside, Load, OpenLoop, Requests, Shape};
use crate::stats::Spread;

const NASTY: &str = "<b>\"x\" & 'y'</b>";
const NASTY_ESCAPED: &str = "&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;&lt;/b&gt;";

fn target(name: &str) -> Target {
    format!("{name}=/bin/sh").parse().unwrap()
}

fn setting(targets: &[Target]) -> Setting {
    let fact = |target: &Target| TargetFacts {
        name: target.name.clone(),
        binary: "/bin/x".to_owned(),
        flags: NASTY.to_owned(),
        version: "v1".to_owned(),
        runtime: "go1".to_owned(),
    };
    Setting {
        note: "a note".to_owned(),
        driver: "raw sockets".to_owned(),
        placement: Placement::Apart,
        host: Host {
            date: "2026-01-01T00:00:00Z".to_owned(),
            command: format!("ringbus-bench run --target {NASTY}"),
            kernel: "6.18".to_owned(),
            cpu: "CPU".to_owned(),
            cpus: 2,
            virtual_machine: true,
            governor: "unknown".to_owned(),
            clocksource: "tsc".to_owned(),
            load_average: "0".to_owned(),
            memory_mib: 1,
            open_files: "1".to_owned(),
            mitigations: "on".to_owned(),
        },
        server_cpus: "0".to_owned(),
        client_cpus: "1".to_owned(),
        warm_up_seconds: 0.5,
        steady_seconds: 2.0,
        rounds: 2,
        targets: targets.iter().map(fact).collect(),
    }
}

fn scenario(name: &str, size: usize) -> Scenario {
    let open = OpenLoop { subscribers: 1, size, load: Load::PerSecond(1) };
    let (shape, beside) = (Shape::Latency(open), Beside::default());
    Scenario { name: name.to_owned(), shape, beside, setup: None }
}

fn request(size: usize) -> Scenario {
    let shape = Shape::Request(Requests { requesters: 1, responders: 1, size });
    Scenario { name: format!("rr-{size}B"), shape, beside: Beside::default(), setup: None }
}

fn run(scenario: &Scenario, target: &Target, cpu_ns: f64, invalid: Option<&str>) -> Run {
    let latency = Latency {
        measured: Loop::Open,
        count: 100,
        p50_us: 10.0,
        p90_us: 20.0,
        p99_us: 30.0,
        p999_us: 40.0,
        p9999_us: 50.0,
        max_us: 60.0,
        curve: vec![(50.0, 10.0), (99.0, 30.0), (99.99, 50.0)],
        schedule: Some(Kept {
            per_second: 1.0,
            peak_per_second: None,
            late_p99_us: 3.0,
            late_max_us: 4.0,
            behind_max_us: 5.0,
            invalid: invalid.map(str::to_owned),
        }),
    };
    let sample = Sample {
        unit: "delivery".to_owned(),
        operations: 1,
        seconds: 1.0,
        cpu_ns,
        per_second: 1e6,
        published_per_second: None,
        cores_used: 0.5,
        cores_wanted: 0.25,
        sleeps_per_1000: 0.0,
        preemptions_per_1000: 0.0,
        syscalls_per_1000: Some(2.0),
        messages_per_read: None,
        client_cores_used: 0.5,
        rss_bytes: 1 << 20,
        bytes_per_connection: None,
        churn_per_second: None,
        stalled_replaced: None,
        scrape_max_ms: None,
        scrapes: None,
        latency: Some(latency),
        reduced: None,
    };
    let (scenario, target) = (scenario.name.clone(), target.name.clone());
    Run { scenario, target, shards: None, round: 0, sample }
}

fn written(scenarios: &[Scenario], targets: &[Target], comparison: &Comparison) -> String {
    let setting = &setting(targets);
    page(&Report { setting, scenarios, targets, comparison, verdicts: &[verdict()] })
}

fn verdict() -> Verdict {
    Verdict {
        row: NASTY.to_owned(),
        target: "a".to_owned(),
        figure: "CPU ns".to_owned(),
        wanted: "at most 1".to_owned(),
        outcome: Outcome::Missed(2.0),
    }
}

/// Every element that is opened is closed, in order. Only for pages without text that looks like
/// an element, which escaping has to ensure.
fn assert_balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split([' ', '\n']).next().unwrap_or_default();
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed in the wrong place");
        } else if !tag.ends_with('/') && !["!DOCTYPE", "meta"].contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "still open: {open:?}");
}

#[test]
fn names_are_text_and_nothing_else() {
    assert_eq!(escape(NASTY), NASTY_ESCAPED);
    assert_eq!(escape("a\u{0}b\u{1b}"), "a\u{fffd}b\u{fffd}");
    let (scenario, target) = (scenario(NASTY, 16), target(NASTY));
    let void = VoidRun {
        scenario: NASTY.to_owned(),
        target: NASTY.to_owned(),
        shards: None,
        round: 0,
        failure: NASTY.to_owned(),
    };
    let runs =
        vec![run(&scenario, &target, 10.0, None), run(&scenario, &target, 12.0, Some(NASTY))];
    let page = written(&[scenario], &[target], &Comparison { runs, void: vec![void] });
    assert!(!page.contains("<b>") && !page.contains("\"x\""), "{page}");
    // Command, flags, failed run, tables with their note, legends and charts.
    assert!(page.matches("&lt;b&gt;&quot;x&quot;").count() >= 10, "{page}");
    assert_balanced(&page);
}

#[test]
fn page_needs_nothing_else_and_is_always_the_same() {
    let scenarios = [scenario("open", 16), request(16), request(1_024)];
    let targets = [target("a"), target("b")];
    let runs: Vec<Run> = (scenarios.iter())
        .flat_map(|scenario| targets.iter().map(move |target| (scenario, target)))
        .map(|(scenario, target)| run(scenario, target, 10.0, None))
        .collect();
    let comparison = Comparison { runs, void: Vec::new() };
    let page = written(&scenarios, &targets, &comparison);
    assert_eq!(page, written(&scenarios, &targets, &comparison));
    for foreign in ["http", "src=", "href", "url(", "@import", "<script"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for wanted in [
        "width=device-width",
        "prefers-color-scheme: dark",
        "Linux 6.18",
        "2 x CPU, virtual machine",
        "<h2>Results</h2>",
        "<td>10.00 <small>[10.00-10.00]</small></td><td>delivery</td>",
        "<td>1.00 <small>[1.00-1.00]</small></td>",
        "<h2>Latency</h2>",
        "<h2>Figures to reach</h2>",
        "<td>2.00</td><td class=\"bad\">MISSED</td>",
        "<td>open loop</td><td>1 of 1</td>",
        "<td>60.0 <small>[60.0-60.0]</small></td><td>3.00 <small>[3.00-3.00]</small></td>",
        "<h2>Server CPU</h2>",
        "<h2>Throughput by size</h2>",
        "<h3>rr-*</h3>",
        "<h2>Latency by percentile</h2>",
        "<h3>open, open loop</h3>",
    ] {
        assert!(page.contains(wanted), "{wanted} is missing in {page}");
    }
    assert_balanced(&page);
}

#[test]
fn scaling_is_drawn_if_there_is_more_than_one_number_of_shards() {
    let (scenario, base) = (request(16), target("ringbus"));
    let targets = base.with_shards(&[1, 2], None);
    let runs: Vec<Run> = (targets.iter())
        .map(|target| Run { shards: target.shards, ..run(&scenario, target, 10.0, None) })
        .collect();
    let comparison = Comparison { runs, void: Vec::new() };
    let page = written(std::slice::from_ref(&scenario), &targets, &comparison);
    assert!(page.contains("<h3>rr-16B, what its cores could do</h3>"), "{page}");
    assert!(page.contains("<h3>rr-16B, as measured</h3>"), "{page}");
    let page = written(&[scenario], &targets[..1], &comparison);
    assert!(!page.contains("Scaling over shards"), "{page}");
    assert_balanced(&page);
}

#[test]
fn invalid_latencies_and_missing_rounds_are_said_and_not_shown() {
    let (scenarios, targets) = ([scenario("open", 16)], [target("a"), target("b")]);
    let runs = vec![run(&scenarios[0], &targets[0], 10.0, Some("rate not held"))];
    let page = written(&scenarios, &targets, &Comparison { runs, void: Vec::new() });
    assert!(
        page.contains("<td class=\"bad\">0 of 1</td>") && page.contains(">rate not held<"),
        "{page}"
    );
    assert!(page.contains("no good round"), "{page}");
    assert!(!page.contains("<polyline") && !page.contains("[30.0-30.0]"), "{page}");
    assert_balanced(&page);
}

#[test]
fn bars_are_drawn_to_scale() {
    let spread = |median, min, max| Spread { median, min, max };
    let group = bars::Group {
        scenario: "pub-16B",
        unit: "message",
        bars: vec![
            (0, "ringbus", spread(20.0, 18.0, 22.0)),
            (1, "nats-server-2.9.10", spread(38.0, 36.0, 40.0)),
        ],
    };
    let wanted = r#"<svg viewBox="0 0 400 58" role="img" aria-label="server CPU of pub-16B">
<text x="0" y="14" text-anchor="start" class="name">pub-16B, ns per message</text>
<text x="86" y="31" text-anchor="end" class="label">ringbus</text>
<rect x="92" y="20" width="95" height="13" class="b0"/>
<line x1="177.5" y1="26.5" x2="196.5" y2="26.5" class="range"/>
<text x="202.5" y="31" text-anchor="start" class="label">20.00</text>
<text x="86" y="50" text-anchor="end" class="label">nats-server-…</text>
<rect x="92" y="39" width="180.5" height="13" class="b1"/>
<line x1="263" y1="45.5" x2="282" y2="45.5" class="range"/>
<text x="288" y="50" text-anchor="start" class="label">38.00</text>
</svg>
"#;
    assert_eq!(bars::draw(&group), wanted);
}

#[test]
fn lines_are_drawn_on_logarithmic_axes() {
    let plot = Plot {
        title: "t".to_owned(),
        x_name: "x",
        y_name: "y",
        x_marks: vec![(1.0, "1".to_owned()), (100.0, "100".to_owned())],
        lines: vec![Line { target: 7, points: vec![(100.0, 100.0), (10.0, 10.0), (1.0, 1.0)] }],
    };
    let svg = plot::draw(&plot).unwrap();
    // Equal factors are equal distances, whatever the order of the points.
    assert!(svg.contains(r#"<polyline points="46,212 212,112 378,12" class="l1"/>"#), "{svg}");
    assert!(svg.contains(r#"text-anchor="end" class="label">100</text>"#), "{svg}");
}
