//! Scenario files to typed scenarios.
//!
//! A file holds one family: its kind and any number of matrices. In a matrix every key may be one
//! value or a list; all combinations are built and named by the template, where `{key}` stands for
//! the value. The files are part of the program, so a binary carried to another machine measures
//! the same thing; `--scenario-dir` adds files of one's own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::wire::STAMP_LEN;

/// The built-in families, in the order of `list`.
const BUILT_IN: [(&str, &str); 10] = [
    ("publish.toml", include_str!("../scenarios/publish.toml")),
    ("fan_out.toml", include_str!("../scenarios/fan_out.toml")),
    ("many_publishers.toml", include_str!("../scenarios/many_publishers.toml")),
    ("unbatched.toml", include_str!("../scenarios/unbatched.toml")),
    ("queue_group.toml", include_str!("../scenarios/queue_group.toml")),
    ("subjects.toml", include_str!("../scenarios/subjects.toml")),
    ("churn.toml", include_str!("../scenarios/churn.toml")),
    ("request.toml", include_str!("../scenarios/request.toml")),
    ("latency.toml", include_str!("../scenarios/latency.toml")),
    ("idle.toml", include_str!("../scenarios/idle.toml")),
];
/// Bound on publishers and requesters: their ids are two bytes and six digits.
const CLIENTS_MAX: usize = 50_000;
const SIZE_MAX: usize = 1_024 * 1_024;
/// Messages per second that a schedule may ask for.
const RATE_MAX: u64 = 1_000_000_000;

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) shape: Shape,
}

/// What the clients do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Stream(Stream),
    Latency(OpenLoop),
    Request { requesters: usize, responders: usize, size: usize },
    Idle { connections: usize },
}

/// Publishers at full speed, subscribers that check everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    pub(crate) size: usize,
    pub(crate) delivery: Delivery,
    /// 1 is a literal subject; more are published in turn and received by a wildcard.
    pub(crate) subjects: u64,
    pub(crate) batched: bool,
    /// SUB and UNSUB per second on a connection of its own.
    pub(crate) churn_per_second: u64,
}

/// One publisher that follows a schedule whatever the server does, subscribers that take the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenLoop {
    pub(crate) subscribers: usize,
    pub(crate) size: usize,
    pub(crate) load: Load,
}

/// How many messages are due per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// Of what the same server takes from a publisher at full speed just before.
    PercentOfPeak(u64),
    PerSecond(u64),
}

/// Who gets a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Delivery {
    /// Every subscriber.
    #[default]
    All,
    /// One member of the queue group that all subscribers form.
    Queue,
    /// Publisher n has a subject and a subscriber of its own.
    Pairs,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Stream,
    Latency,
    Request,
    Idle,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    kind: Kind,
    matrix: Vec<Matrix>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Matrix {
    name: String,
    #[serde(default)]
    delivery: Delivery,
    #[serde(default = "yes")]
    batched: bool,
    #[serde(default)]
    publishers: Values,
    #[serde(default)]
    subscribers: Values,
    #[serde(default)]
    size: Values,
    #[serde(default)]
    subjects: Values,
    #[serde(default)]
    churn_per_second: Values,
    #[serde(default)]
    percent: Values,
    #[serde(default)]
    rate: Values,
    #[serde(default)]
    requesters: Values,
    #[serde(default)]
    responders: Values,
    #[serde(default)]
    connections: Values,
}

fn yes() -> bool {
    true
}

/// One value or a list of them; a missing key is the default of that key.
#[derive(Clone, Default, Deserialize)]
#[serde(untagged)]
enum Values {
    #[default]
    Missing,
    One(u64),
    Many(Vec<u64>),
}

impl Scenario {
    /// Bytes of a payload, if there is one.
    pub(crate) fn size(&self) -> Option<usize> {
        match &self.shape {
            Shape::Stream(Stream { size, .. })
            | Shape::Latency(OpenLoop { size, .. })
            | Shape::Request { size, .. } => Some(*size),
            Shape::Idle { .. } => None,
        }
    }
}

impl Values {
    fn or(&self, default: u64) -> Vec<u64> {
        match self {
            Self::Missing => vec![default],
            Self::One(value) => vec![*value],
            Self::Many(values) => values.clone(),
        }
    }
}

/// One combination of a matrix: its keys with their values.
type Combination = Vec<(&'static str, u64)>;

/// Built-in scenarios and those of a directory, filtered by name patterns, in file order.
pub(crate) fn load(extra: Option<&Path>, patterns: &[String]) -> Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for (file, text) in BUILT_IN {
        all.extend(parse(text).with_context(|| format!("scenario file {file}"))?);
    }
    if let Some(dir) = extra {
        let entries = fs::read_dir(dir).with_context(|| format!("{}", dir.display()))?;
        let mut paths =
            entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
        paths.sort();
        for path in paths {
            let at = || format!("scenario file {}", path.display());
            all.extend(parse(&fs::read_to_string(&path).with_context(at)?).with_context(at)?);
        }
    }
    for pattern in patterns {
        ensure!(
            all.iter().any(|scenario| name_matches(pattern, &scenario.name)),
            "no scenario is named {pattern:?}; `ringbus-bench list` prints all names"
        );
    }
    all.retain(|scenario| {
        patterns.is_empty() || patterns.iter().any(|pattern| name_matches(pattern, &scenario.name))
    });
    Ok(all)
}

/// All scenarios of one file.
fn parse(text: &str) -> Result<Vec<Scenario>> {
    let family: Family = toml::from_str(text)?;
    let mut scenarios = Vec::new();
    for matrix in &family.matrix {
        for combination in combinations(matrix) {
            scenarios.push(build(family.kind, matrix, &combination)?);
        }
    }
    Ok(scenarios)
}

fn combinations(matrix: &Matrix) -> Vec<Combination> {
    let axes: [(&'static str, Vec<u64>); 10] = [
        ("publishers", matrix.publishers.or(1)),
        ("subscribers", matrix.subscribers.or(1)),
        ("subjects", matrix.subjects.or(1)),
        ("churn_per_second", matrix.churn_per_second.or(0)),
        ("percent", matrix.percent.or(0)),
        ("rate", matrix.rate.or(0)),
        ("requesters", matrix.requesters.or(1)),
        ("responders", matrix.responders.or(1)),
        ("connections", matrix.connections.or(1)),
        ("size", matrix.size.or(STAMP_LEN as u64)),
    ];
    let mut all: Vec<Combination> = vec![Vec::new()];
    for (key, values) in axes {
        all = all
            .into_iter()
            .flat_map(|head| {
                values.iter().map(move |value| {
                    let mut combination = head.clone();
                    combination.push((key, *value));
                    combination
                })
            })
            .collect();
    }
    all
}

fn build(kind: Kind, matrix: &Matrix, combination: &Combination) -> Result<Scenario> {
    let mut name = matrix.name.clone();
    for (key, value) in combination {
        name = name.replace(&format!("{{{key}}}"), &short(*value));
    }
    ensure!(!name.contains('{'), "{name}: unknown key in the name template");
    let value = |wanted: &str| {
        combination.iter().find(|(key, _)| *key == wanted).map_or(0, |(_, value)| *value)
    };
    let count = |wanted: &str| usize::try_from(value(wanted)).unwrap_or(usize::MAX);
    let size = count("size");
    ensure!((STAMP_LEN..=SIZE_MAX).contains(&size), "{name}: size is {STAMP_LEN} to {SIZE_MAX}");
    for key in ["publishers", "subscribers", "requesters", "responders", "connections"] {
        ensure!(count(key) <= CLIENTS_MAX, "{name}: at most {CLIENTS_MAX} {key}");
    }
    let shape = match kind {
        Kind::Idle => Shape::Idle { connections: count("connections").max(1) },
        Kind::Request => Shape::Request {
            requesters: count("requesters").max(1),
            responders: count("responders").max(1),
            size,
        },
        Kind::Latency => Shape::Latency(OpenLoop {
            subscribers: count("subscribers").max(1),
            size,
            load: load_of(&name, value("percent"), value("rate"))?,
        }),
        Kind::Stream => Shape::Stream(Stream {
            publishers: count("publishers").max(1),
            subscribers: count("subscribers"),
            size,
            delivery: matrix.delivery,
            subjects: value("subjects").clamp(1, 1_000_000),
            batched: matrix.batched,
            churn_per_second: value("churn_per_second"),
        }),
    };
    if let Shape::Stream(stream) = &shape
        && stream.delivery == Delivery::Pairs
        && (stream.subscribers != stream.publishers || stream.subjects != 1)
    {
        bail!("{name}: pairs need as many subscribers as publishers and one subject each");
    }
    Ok(Scenario { name, shape })
}

/// A schedule has one of the two; 0 stands for a missing key.
fn load_of(name: &str, percent: u64, rate: u64) -> Result<Load> {
    match (percent, rate) {
        (1..=100, 0) => Ok(Load::PercentOfPeak(percent)),
        (0, 1..=RATE_MAX) => Ok(Load::PerSecond(rate)),
        _ => bail!("{name}: valid is either percent from 1 to 100 or rate from 1 to {RATE_MAX}"),
    }
}

/// 100000 is `100k` in a name, but 1024 stays as it is.
fn short(value: u64) -> String {
    if value >= 10_000 && value.is_multiple_of(1_000) {
        format!("{}k", value / 1_000)
    } else {
        value.to_string()
    }
}

/// `*` stands for any run of characters.
fn name_matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|end| name_matches(tail, end)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn built_in_files_are_all_there_and_good() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let on_disk: BTreeSet<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let built_in = BUILT_IN.iter().map(|(file, _)| (*file).to_owned()).collect();
        assert_eq!(on_disk, built_in);
        let names: Vec<String> =
            load(None, &[]).unwrap().into_iter().map(|scenario| scenario.name).collect();
        let unique: BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), names.len(), "two scenarios share a name");
        for wanted in [
            "pub-16B",
            "1to1-16B",
            "1to1-16B-unbatched",
            "32to1-16B-unbatched",
            "1to10-16B",
            "1to50-64B",
            "4to4-128B",
            "4to1-128B",
            "queue4-16B",
            "reqrep-1-16B",
            "reqrep-2000-16B",
            "wild-100k-128B",
            "1to1-16B-churn",
            "idle-10k",
            "open-1to1-16B-10pct",
            "open-1to1-1024B-50pct",
            "open-1to10-16B-80pct",
            "open-1to1-16B-100k",
        ] {
            assert!(unique.contains(&wanted.to_owned()), "{wanted} is missing");
        }
    }

    #[test]
    fn matrix_expands_to_all_combinations() {
        let text = "kind = \"stream\"\n[[matrix]]\nname = \"{publishers}x{size}\"\n\
                    publishers = [1, 2]\nsize = [16, 128]\n";
        let names: Vec<String> =
            parse(text).unwrap().into_iter().map(|scenario| scenario.name).collect();
        assert_eq!(names, ["1x16", "1x128", "2x16", "2x128"]);
    }

    #[test]
    fn bad_files_are_refused() {
        for text in [
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\nsize = 8\n",
            "kind = \"stream\"\n[[matrix]]\nname = \"{what}\"\n",
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\nbatch = true\n",
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\ndelivery = \"pairs\"\nsubscribers = 3\n",
            "kind = \"latency\"\n[[matrix]]\nname = \"x\"\n",
            "kind = \"latency\"\n[[matrix]]\nname = \"x\"\npercent = 101\n",
            "kind = \"latency\"\n[[matrix]]\nname = \"x\"\npercent = 10\nrate = 10\n",
            "kind = \"what\"\nmatrix = []\n",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn patterns_select_by_name() {
        assert!(name_matches("1to1-*B", "1to1-16B"));
        assert!(!name_matches("1to1-*B", "1to1-16B-churn"));
        assert!(name_matches("*churn", "1to1-16B-churn"));
        let one = load(None, &["1to1-16B".to_owned()]).unwrap();
        assert_eq!(one.len(), 1);
        assert!(load(None, &["nothing*".to_owned()]).is_err());
    }
}
