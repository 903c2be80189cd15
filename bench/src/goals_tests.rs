//! Goals against small results.
#![expect(clippy::indexing_slicing, reason = "these lists are our own")]

use super::*;
use crate::compare::VoidRun;
use crate::load::Sample;
use crate::scenario;

fn run(scenario: &str, target: &str, shards: Option<u32>, round: u32, cpu_ns: f64) -> Run {
    let sample = Sample { cpu_ns, per_second: 1e9 / cpu_ns, ..Sample::default() };
    Run { scenario: scenario.to_owned(), target: target.to_owned(), shards, round, sample }
}

fn comparison(runs: Vec<Run>) -> Comparison {
    Comparison { runs, void: Vec::new() }
}

fn goals(text: &str) -> Vec<Goal> {
    parse(&format!("[[goal]]\nrow = \"r\"\nscenario = \"s\"\n{text}")).unwrap()
}

fn outcome(goal: &str, comparison: &Comparison) -> Outcome {
    let verdicts = judge_at(&goals(goal), Placement::Apart, comparison);
    assert_eq!(verdicts.len(), 1, "{verdicts:?}");
    verdicts[0].outcome.clone()
}

#[test]
fn every_goal_is_about_a_scenario_that_exists() {
    let names = scenarios(&load().unwrap());
    let found = scenario::load(None, &names).unwrap();
    assert_eq!(found.len(), names.len());
    for name in ["pub-16B", "1to1-16B-churn", "open-1to10-16B-100k-idle1000"] {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
}

#[test]
fn fastest_peer_counts_round_by_round() {
    let runs = vec![
        run("s", "ringbus", None, 0, 10.0),
        run("s", "ringbus", None, 1, 20.0),
        run("s", "slow", None, 0, 100.0),
        run("s", "slow", None, 1, 100.0),
        run("s", "fast", None, 0, 40.0),
        run("s", "fast", None, 1, 50.0),
    ];
    let results = comparison(runs);
    let peer = "figure = \"cpu_ns\"\nof = \"peer\"\nat_most = 0.3\n";
    // 0.25 and 0.4.
    assert_eq!(outcome(peer, &results), Outcome::Missed(0.325));
    let verdict = &judge_at(&goals(peer), Placement::Apart, &results)[0];
    assert_eq!(
        (verdict.figure.as_str(), verdict.wanted.as_str()),
        ("CPU ns of fast", "at most 0.3")
    );
    let every = "figure = \"per_second\"\nof = \"peer\"\nevery_round = true\nat_least = 2.6\n";
    assert_eq!(outcome(every, &results), Outcome::Missed(2.5));
    assert_eq!(outcome("figure = \"cpu_ns\"\nat_most = 15\n", &results), Outcome::Reached(15.0));
}

#[test]
fn shards_and_scenarios_are_compared_with_each_other() {
    let results = comparison(vec![
        run("s", "ringbus/1", Some(1), 0, 10.0),
        run("s", "ringbus/2", Some(2), 0, 11.0),
        run("other", "ringbus/1", Some(1), 0, 5.0),
    ]);
    let scaling = "shards = 2\nfigure = \"capacity\"\nof = { shards = 1 }\nat_least = 1.8\n";
    assert!(matches!(outcome(scaling, &results), Outcome::Reached(ratio) if ratio > 1.81));
    let other = "figure = \"cpu_ns\"\nof = { scenario = \"other\" }\nat_most = 1.9\n";
    assert_eq!(outcome(other, &results), Outcome::Missed(2.0));
}

#[test]
fn what_cannot_be_judged_is_open_or_not_mentioned() {
    let mut results = comparison(vec![run("s", "ringbus", None, 0, 10.0)]);
    let peer = "figure = \"cpu_ns\"\nof = \"peer\"\nat_most = 1\n";
    assert_eq!(outcome(peer, &results), Outcome::Open("no other server"));
    let latency = "figure = \"p99_us\"\nat_most = 1\n";
    assert_eq!(outcome(latency, &results), Outcome::Open("not measured"));
    let elsewhere = goals("figure = \"cpu_ns\"\nplacement = \"one core\"\nat_most = 1\n");
    assert!(judge_at(&elsewhere, Placement::Apart, &results).is_empty());
    assert_eq!(judge_at(&elsewhere, Placement::OneCore, &results).len(), 1);
    let nobody = comparison(vec![run("s", "nats", None, 0, 10.0)]);
    assert!(judge_at(&goals(peer), Placement::Apart, &nobody).is_empty());
    results.void.push(VoidRun {
        scenario: "s".to_owned(),
        target: "ringbus".to_owned(),
        shards: None,
        round: 1,
        failure: "loss".to_owned(),
    });
    let cpu = "figure = \"cpu_ns\"\nat_most = 10\n";
    assert_eq!(outcome(cpu, &results), Outcome::Open("a check failed"));
    let table = table(&judge_at(&goals(cpu), Placement::Apart, &results));
    assert!(table.lines().nth(1).unwrap().ends_with("open     a check failed"), "{table}");
}

#[test]
fn bad_goals_are_refused() {
    for text in [
        "figure = \"cpu_ns\"\n",
        "figure = \"cpu_ns\"\nat_most = 1\nat_least = 1\n",
        "figure = \"cpu_ns\"\nat_most = 1\nevery_round = true\n",
        "figure = \"what\"\nat_most = 1\n",
        "figure = \"cpu_ns\"\nat_most = 1\nplacement = \"home\"\n",
    ] {
        let text = format!("[[goal]]\nrow = \"r\"\nscenario = \"s\"\n{text}");
        assert!(parse(&text).is_err(), "{text}");
    }
}

#[test]
fn one_scenario_may_be_taken_off_another() {
    let results = comparison(vec![
        run("s", "ringbus", None, 0, 50.0),
        run("plain", "ringbus", None, 0, 40.0),
    ]);
    let less = "figure = \"cpu_ns\"\nless = \"plain\"\nat_most = 9\n";
    assert_eq!(outcome(less, &results), Outcome::Missed(10.0));
    let verdict = &judge_at(&goals(less), Placement::Apart, &results)[0];
    assert_eq!(verdict.figure, "CPU ns less plain");
    assert_eq!(scenarios(&goals(less)), ["plain", "s"]);
    let unknown = "figure = \"cpu_ns\"\nless = \"other\"\nat_most = 9\n";
    assert_eq!(outcome(unknown, &results), Outcome::Open("not measured"));
}
