//! Flags of nats-server whose feature is not in this release.
//!
//! They are read like any other flag and then refused with the reason, because a server that
//! silently drops `-js` or `--cluster` does harm. Values that ask for nothing (`-js=false`,
//! `--routes=`) pass, as they do with nats-server.

use clap::{Arg, ArgMatches};

use super::go_style::{self, Typed};

/// What a flag's value looks like.
#[derive(Clone, Copy)]
enum Value {
    Switch,
    Number(&'static str),
    Text(&'static str),
}

/// The feature a flag belongs to, and what the operator can do without it.
struct Feature {
    what: &'static str,
    remedy: &'static str,
    flags: &'static [(&'static str, &'static [&'static str], Value)],
}

const FEATURES: &[Feature] = &[
    Feature {
        what: "JetStream is not part of this release",
        remedy: "Start without it.",
        flags: &[("jetstream", &["js"], Value::Switch), ("store_dir", &["sd"], Value::Text("dir"))],
    },
    Feature {
        what: "clustering is not part of this release",
        remedy: "Start it as a single server.",
        flags: &[
            ("routes", &[], Value::Text("urls")),
            ("cluster", &["cluster_listen"], Value::Text("url")),
            ("cluster_name", &[], Value::Text("name")),
            ("cluster_advertise", &[], Value::Text("url")),
            ("no_advertise", &[], Value::Switch),
            ("connect_retries", &[], Value::Number("count")),
        ],
    },
    Feature {
        what: "there is no Go profiler in this server",
        remedy: "Use perf.",
        flags: &[("profile", &[], Value::Number("port"))],
    },
];

/// Heading of these flags in the help.
pub(super) const HEADING: &str = "Known, but refused by this release";

/// The flags, for clap.
pub(super) fn args() -> impl Iterator<Item = Arg> {
    FEATURES.iter().flat_map(|feature| {
        feature.flags.iter().map(|(name, aliases, value)| {
            let arg = Arg::new(*name).help(feature.what).help_heading(HEADING).long(*name);
            let arg = aliases.iter().fold(arg, |arg, alias| arg.alias(*alias));
            match value {
                Value::Switch => arg
                    .value_parser(|text: &str| go_style::boolean(text).ok_or("use true or false")),
                Value::Number(name) => arg.value_name(*name).value_parser(|text: &str| {
                    go_style::integer(text).ok_or("it must be a whole number")
                }),
                Value::Text(name) => arg.value_name(*name),
            }
        })
    })
}

/// Refuses the first of these flags that asks for something.
pub(super) fn refuse(matches: &ArgMatches, typed: &Typed) -> Result<(), String> {
    for feature in FEATURES {
        for (name, _, value) in feature.flags {
            let wanted = match value {
                Value::Switch => matches.get_one(name).is_some_and(|on: &bool| *on),
                Value::Number(_) => matches.get_one(name).is_some_and(|number: &i64| *number != 0),
                Value::Text(_) => {
                    matches.get_one(name).is_some_and(|text: &String| !text.is_empty())
                }
            };
            if wanted {
                let (flag, what, remedy) = (typed.as_typed(name), feature.what, feature.remedy);
                return Err(format!("{flag} is not supported yet: {what}. {remedy}"));
            }
        }
    }
    Ok(())
}
