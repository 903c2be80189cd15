//! From a path to its answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use ringbus_shard::io::{Inspector, Stuck};
use serde::Serialize;

use super::http::Answer;
use super::http::request::Request;
use super::http::response::Response;
use super::process::Processor;
use super::query::BadQuery;
use super::time::Wall;
use super::{
    Facts, SharedFacts, absent, accounts, connz, health, json, metrics, page, process, shardz,
    subsz, varz,
};

/// Entries of one page of a list, whatever is asked for: as many as there may be connections.
pub(super) const PAGE_MAX: usize = 64 << 10;

/// Why a request has no answer.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// The client asked for something that makes no sense.
    Bad(String),
    /// A shard is in no state to tell.
    Stuck(Stuck),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bad(why) => f.write_str(why),
            Self::Stuck(stuck) => write!(f, "{stuck}"),
        }
    }
}

impl From<BadQuery> for Refusal {
    fn from(BadQuery(why): BadQuery) -> Self {
        Self::Bad(why)
    }
}

impl From<Stuck> for Refusal {
    fn from(stuck: Stuck) -> Self {
        Self::Stuck(stuck)
    }
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Bad(why) => Self::text(400, &why),
            Refusal::Stuck(stuck) => Self::text(503, &format!("{stuck}\n")),
        }
    }
}

/// All endpoints of one server.
pub(crate) struct Endpoints {
    /// Replaced as a whole when the configuration is read again.
    facts: SharedFacts,
    pub(super) inspector: Inspector,
    pub(super) wall: Wall,
    pub(super) started: Timestamp,
    pub(super) processor: Processor,
    /// Requests by path.
    requests: Mutex<BTreeMap<&'static str, u64>>,
    /// Lists are made one at a time: each may be as large as everything there is.
    lists: Mutex<()>,
}

/// Paths, as they are counted; the second name of a path counts as the first.
const PATHS: [(&str, &str); 21] = [
    ("/", "/"),
    ("/varz", "/varz"),
    ("/connz", "/connz"),
    ("/subsz", "/subsz"),
    ("/subscriptionsz", "/subsz"),
    ("/routez", "/routez"),
    ("/leafz", "/leafz"),
    ("/gatewayz", "/gatewayz"),
    ("/accountz", "/accountz"),
    ("/accstatz", "/accstatz"),
    ("/jsz", "/jsz"),
    ("/healthz", "/healthz"),
    ("/ipqueuesz", ""),
    ("/raftz", ""),
    ("/stacksz", ""),
    ("/debug/vars", ""),
    ("/shardz", "/shardz"),
    ("/metrics", "/metrics"),
    ("/ui.js", ""),
    ("/ui.css", ""),
    ("/favicon.svg", ""),
];

impl Answer for Endpoints {
    fn answer(&self, request: &Request) -> Response {
        // The base path itself is the root.
        let facts = self.facts();
        let below = request.path.strip_prefix(&facts.base_path);
        let below = below.map(|path| if path.is_empty() { "/" } else { path });
        let known = PATHS.iter().find(|(known, _)| below == Some(known));
        let Some((path, counted)) = known else {
            return Response::text(404, "404 page not found\n");
        };
        if !counted.is_empty() {
            *self.requests().entry(counted).or_default() += 1;
        }
        self.route(path, request).unwrap_or_else(Into::into)
    }
}

impl Endpoints {
    pub(super) fn new(facts: SharedFacts, inspector: Inspector) -> Self {
        let wall = Wall::new(inspector.now());
        Self {
            started: wall.at(ringbus_shard::clock::Now::ZERO),
            wall,
            facts,
            inspector,
            processor: Processor::default(),
            requests: Mutex::default(),
            lists: Mutex::default(),
        }
    }

    /// Requests so far, by path.
    pub(super) fn requests(&self) -> std::sync::MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.requests.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What holds at this moment.
    pub(crate) fn facts(&self) -> Arc<Facts> {
        self.facts.get()
    }

    pub(super) fn id(&self) -> String {
        self.facts().identity.server_id.clone()
    }

    fn route(&self, path: &str, request: &Request) -> Result<Response, Refusal> {
        let query = &request.query;
        let _one = matches!(path, "/connz" | "/subsz" | "/subscriptionsz")
            .then(|| self.lists.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        Ok(match path {
            "/" => page::index(self, request),
            "/ui.js" | "/ui.css" | "/favicon.svg" => page::asset(path),
            "/varz" => pretty(&varz::varz(self)?),
            "/connz" => pretty(&connz::connz(self, query)?),
            "/subsz" | "/subscriptionsz" => pretty(&subsz::subsz(self, query)?),
            "/routez" => pretty(&absent::routez(self, query)?),
            "/leafz" => pretty(&absent::leafz(self, query)?),
            "/gatewayz" => pretty(&absent::gatewayz(self, query)?),
            "/jsz" => pretty(&absent::jsz(self, query)?),
            "/ipqueuesz" => Response::json(200, json::pretty(&absent::ipqueuesz(query)?, "   ")),
            "/raftz" => absent::raftz(),
            "/accountz" => pretty(&accounts::accountz(self, query)?),
            "/accstatz" => pretty(&accounts::accstatz(self, query.switch("unused")?, &[])?),
            "/shardz" => pretty(&shardz::shardz(self)?),
            "/healthz" => health::healthz(self, query)?,
            "/metrics" => metrics::metrics(self, request)?,
            "/stacksz" => Response::text(200, &process::threads()),
            "/debug/vars" => process::vars(&self.facts().program),
            _ => Response::text(404, "404 page not found\n"),
        })
    }
}

fn pretty(value: &impl Serialize) -> Response {
    Response::json(200, json::pretty(value, "  "))
}

/// Makes sure that every shard answered.
pub(super) fn all<T>(answers: Vec<Result<T, Stuck>>) -> Result<Vec<T>, Stuck> {
    answers.into_iter().collect()
}
