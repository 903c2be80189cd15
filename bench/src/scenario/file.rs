//! Scenario files to typed scenarios.
//!
//! A file holds one family: its kind and any number of matrices. In a matrix every number may be
//! one value or a list; all combinations are built and named by the template, where `{key}` stands
//! for the value. A matrix may name a configuration file for the server (`config`) and the user
//! its clients log in as, and that of its responders if they are somebody else. The files are part
//! of the program, so a binary carried to another machine measures the same thing; `--scenario-dir`
//! adds files of one's own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{
    Beside, Crowd, Delivery, Load, Login, OpenLoop, Requests, Scenario, Setup, Shape, Stream,
};
use crate::wire::STAMP_LEN;

/// The built-in families, in the order of `list`.
const BUILT_IN: [(&str, &str); 13] = [
    ("publish.toml", include_str!("../../scenarios/publish.toml")),
    ("fan_out.toml", include_str!("../../scenarios/fan_out.toml")),
    ("many_publishers.toml", include_str!("../../scenarios/many_publishers.toml")),
    ("unbatched.toml", include_str!("../../scenarios/unbatched.toml")),
    ("queue_group.toml", include_str!("../../scenarios/queue_group.toml")),
    ("subjects.toml", include_str!("../../scenarios/subjects.toml")),
    ("churn.toml", include_str!("../../scenarios/churn.toml")),
    ("tls.toml", include_str!("../../scenarios/tls.toml")),
    ("secured.toml", include_str!("../../scenarios/secured.toml")),
    ("disturbed.toml", include_str!("../../scenarios/disturbed.toml")),
    ("request.toml", include_str!("../../scenarios/request.toml")),
    ("latency.toml", include_str!("../../scenarios/latency.toml")),
    ("idle.toml", include_str!("../../scenarios/idle.toml")),
];
/// Configuration files that built-in families name.
const CONFIGS: [(&str, &str); 4] = [
    ("accounts.conf", include_str!("../../scenarios/accounts.conf")),
    ("permissions.conf", include_str!("../../scenarios/permissions.conf")),
    ("imports.conf", include_str!("../../scenarios/imports.conf")),
    ("tls.conf", include_str!("../../scenarios/tls.conf")),
];
/// Bound on clients of any role: their ids are two bytes and six digits.
const CLIENTS_MAX: usize = 50_000;
const SIZE_MAX: usize = 1_024 * 1_024;
/// Messages per second that a schedule may ask for.
const RATE_MAX: u64 = 1_000_000_000;
/// Requests per second to the monitoring port.
const SCRAPES_MAX: u64 = 1_000;
/// Handshakes at the same time, each on a thread of its own.
const AT_ONCE: u64 = 64;
const AT_ONCE_MAX: usize = 1_024;

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Stream,
    Latency,
    Request,
    Crowd,
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
    percent: Values,
    #[serde(default)]
    rate: Values,
    #[serde(default)]
    requesters: Values,
    #[serde(default)]
    responders: Values,
    #[serde(default)]
    connections: Values,
    #[serde(default)]
    at_once: Values,
    #[serde(default)]
    idle: Values,
    #[serde(default)]
    stalled: Values,
    #[serde(default)]
    churn_per_second: Values,
    #[serde(default)]
    scrapes_per_second: Values,
    config: Option<String>,
    #[serde(default)]
    user: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    responder_user: String,
    #[serde(default)]
    responder_password: String,
    #[serde(default)]
    tls: bool,
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
struct Combination(Vec<(&'static str, u64)>);

impl Combination {
    fn value(&self, wanted: &str) -> u64 {
        self.0.iter().find(|(key, _)| *key == wanted).map_or(0, |(_, value)| *value)
    }

    fn count(&self, wanted: &str) -> usize {
        usize::try_from(self.value(wanted)).unwrap_or(usize::MAX)
    }
}

/// Built-in scenarios and those of a directory, filtered by name patterns, in file order.
pub(crate) fn load(extra: Option<&Path>, patterns: &[String]) -> Result<Vec<Scenario>> {
    let mut all = Vec::new();
    for (file, text) in BUILT_IN {
        all.extend(parse(text, &built_in_config).with_context(|| format!("scenario file {file}"))?);
    }
    if let Some(dir) = extra {
        let entries = fs::read_dir(dir).with_context(|| format!("{}", dir.display()))?;
        let mut paths =
            entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, std::io::Error>>()?;
        paths.retain(|path| path.extension().is_some_and(|end| end == "toml"));
        paths.sort();
        let config = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        for path in paths {
            let at = || format!("scenario file {}", path.display());
            let text = fs::read_to_string(&path).with_context(at)?;
            all.extend(parse(&text, &config).with_context(at)?);
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

fn built_in_config(name: &str) -> Result<String> {
    let found = CONFIGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| (*text).to_owned()).with_context(|| format!("no configuration {name:?}"))
}

/// All scenarios of one file.
fn parse(text: &str, config: &dyn Fn(&str) -> Result<String>) -> Result<Vec<Scenario>> {
    let family: Family = toml::from_str(text)?;
    let mut scenarios = Vec::new();
    for matrix in &family.matrix {
        let setup = setup_of(matrix, config)?;
        for combination in combinations(matrix) {
            scenarios.push(build(family.kind, matrix, &combination, setup.clone())?);
        }
    }
    Ok(scenarios)
}

fn setup_of(matrix: &Matrix, config: &dyn Fn(&str) -> Result<String>) -> Result<Option<Setup>> {
    let Matrix { name, user, password, responder_user, responder_password, tls, .. } = matrix;
    let (login, responder) =
        (login(name, user, password)?, login(name, responder_user, responder_password)?);
    let Some(file) = &matrix.config else {
        ensure!(login.is_none() && responder.is_none(), "{name}: a user needs a config");
        ensure!(!tls, "{name}: TLS needs a config");
        return Ok(None);
    };
    Ok(Some(Setup { config: config(file)?, login, responder, tls: *tls }))
}

fn login(name: &str, user: &str, password: &str) -> Result<Option<Login>> {
    // They stand in the JSON of CONNECT and on no command line but that of `nats bench`.
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    ensure!(plain(user) && plain(password), "{name}: user and password are letters and digits");
    ensure!(user.is_empty() == password.is_empty(), "{name}: a user has a password");
    let login = || Login { user: user.to_owned(), password: password.to_owned() };
    Ok((!user.is_empty()).then(login))
}

fn combinations(matrix: &Matrix) -> Vec<Combination> {
    let axes: [(&'static str, Vec<u64>); 14] = [
        ("publishers", matrix.publishers.or(1)),
        ("subscribers", matrix.subscribers.or(1)),
        ("subjects", matrix.subjects.or(1)),
        ("percent", matrix.percent.or(0)),
        ("rate", matrix.rate.or(0)),
        ("requesters", matrix.requesters.or(1)),
        ("responders", matrix.responders.or(1)),
        ("connections", matrix.connections.or(1)),
        ("at_once", matrix.at_once.or(AT_ONCE)),
        ("idle", matrix.idle.or(0)),
        ("stalled", matrix.stalled.or(0)),
        ("churn_per_second", matrix.churn_per_second.or(0)),
        ("scrapes_per_second", matrix.scrapes_per_second.or(0)),
        ("size", matrix.size.or(STAMP_LEN as u64)),
    ];
    let mut all = vec![Vec::new()];
    for (key, values) in axes {
        all = all
            .into_iter()
            .flat_map(|head: Vec<_>| {
                values.iter().map(move |value| {
                    let mut combination = head.clone();
                    combination.push((key, *value));
                    combination
                })
            })
            .collect();
    }
    all.into_iter().map(Combination).collect()
}

fn build(
    kind: Kind,
    matrix: &Matrix,
    combination: &Combination,
    setup: Option<Setup>,
) -> Result<Scenario> {
    let mut name = matrix.name.clone();
    for (key, value) in &combination.0 {
        name = name.replace(&format!("{{{key}}}"), &short(*value));
    }
    ensure!(!name.contains('{'), "{name}: unknown key in the name template");
    let (value, count) = (|key| combination.value(key), |key| combination.count(key));
    let size = count("size");
    ensure!((STAMP_LEN..=SIZE_MAX).contains(&size), "{name}: size is {STAMP_LEN} to {SIZE_MAX}");
    for key in
        ["publishers", "subscribers", "requesters", "responders", "connections", "idle", "stalled"]
    {
        ensure!(count(key) <= CLIENTS_MAX, "{name}: at most {CLIENTS_MAX} {key}");
    }
    let shape = match kind {
        Kind::Crowd => Shape::Crowd(Crowd {
            connections: count("connections").max(1),
            at_once: count("at_once").clamp(1, AT_ONCE_MAX),
        }),
        Kind::Request => Shape::Request(Requests {
            requesters: count("requesters").max(1),
            responders: count("responders").max(1),
            size,
        }),
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
        }),
    };
    let beside = Beside {
        idle: count("idle"),
        stalled: count("stalled"),
        churn_per_second: value("churn_per_second"),
        scrapes_per_second: value("scrapes_per_second"),
    };
    let scenario = Scenario { name, shape, beside, setup };
    check_relations(&scenario)?;
    Ok(scenario)
}

/// What a key alone does not tell.
fn check_relations(scenario: &Scenario) -> Result<()> {
    let Scenario { name, shape, beside, .. } = scenario;
    ensure!(beside.scrapes_per_second <= SCRAPES_MAX, "{name}: at most {SCRAPES_MAX} scrapes");
    let all_get_all = match shape {
        Shape::Stream(stream) => stream.delivery == Delivery::All && stream.subscribers > 0,
        Shape::Latency(_) => true,
        Shape::Request(_) | Shape::Crowd(_) => false,
    };
    ensure!(
        beside.stalled == 0 || all_get_all,
        "{name}: stalled subscribers need others that get the same messages"
    );
    ensure!(
        !matches!(shape, Shape::Crowd(_)) || *beside == Beside::default(),
        "{name}: nothing else goes on beside a crowd"
    );
    let responds = scenario.setup.as_ref().is_some_and(|setup| setup.responder.is_some());
    ensure!(!responds || matches!(shape, Shape::Request(_)), "{name}: nobody responds");
    if let Shape::Stream(stream) = shape
        && stream.delivery == Delivery::Pairs
        && (stream.subscribers != stream.publishers || stream.subjects != 1)
    {
        bail!("{name}: pairs need as many subscribers as publishers and one subject each");
    }
    Ok(())
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
        let built_in =
            BUILT_IN.iter().chain(&CONFIGS).map(|(file, _)| (*file).to_owned()).collect();
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
            "1to10-16B-accounts",
            "1to10-16B-permissions",
            "reqrep-16-16B-permissions",
            "reqrep-16-16B-import",
            "1to1-16B-tls",
            "1to1-16384B-tls",
            "1to10-16B-stalled",
            "1to10-16B-idle10k",
            "1to1-16B-scrape",
            "idle-10k",
            "idle-20k",
            "reqrep-50-16B",
            "reqrep-10k-16B",
            "open-1to10-16B-100k-stalled",
            "open-1to10-16B-100k-idle1000-scrape",
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
        let names: Vec<String> = parse(text, &built_in_config)
            .unwrap()
            .into_iter()
            .map(|scenario| scenario.name)
            .collect();
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
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\nconfig = \"no.conf\"\n",
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\nuser = \"u\"\n",
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\ntls = true\n",
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\nconfig = \"tls.conf\"\n\
             responder_user = \"u\"\nresponder_password = \"p\"\n",
            "kind = \"stream\"\n[[matrix]]\nname = \"x\"\nsubscribers = 0\nstalled = 1\n",
            "kind = \"crowd\"\n[[matrix]]\nname = \"x\"\nidle = 1\n",
        ] {
            assert!(parse(text, &built_in_config).is_err(), "{text}");
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
