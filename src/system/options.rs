//! What a request asks for: which servers it is for, and options that mean the same as those in the
//! URL of an endpoint.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::monitor::Facts;
use crate::monitor::query::Query;

/// The body of a request.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// As an endpoint understands them.
    pub(super) query: Query,
    /// Include accounts without clients.
    pub(super) unused: bool,
    /// Only these accounts.
    pub(super) accounts: Vec<String>,
    filter: Filter,
}

/// Which servers are to answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Filter {
    server_name: String,
    cluster: String,
    host: String,
    domain: String,
    tags: Vec<String>,
    exact_match: bool,
}

impl Options {
    /// Nothing at all asks for nothing in particular.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let fields: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        check_types(&fields)?;
        let filter = Filter::deserialize(Value::Object(filter_fields(&fields)))
            .map_err(|error| error.to_string())?;
        let texts = |name: &str| {
            let list = fields.get(name).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Ok(Self {
            query: query(&fields),
            unused: fields.get("include_unused").and_then(Value::as_bool).unwrap_or(false),
            accounts: texts("accounts"),
            filter,
        })
    }

    /// Whether this server is to answer.
    pub(super) fn is_for(&self, facts: &Facts) -> bool {
        let Filter { server_name, cluster, host, domain, tags, exact_match } = &self.filter;
        let is = |wanted: &str, have: &str| {
            wanted.is_empty() || if *exact_match { wanted == have } else { have.contains(wanted) }
        };
        // Tags are compared without regard to case, as they are kept.
        let tagged = |tag: &String| facts.tags.iter().any(|have| have.eq_ignore_ascii_case(tag));
        is(server_name, &facts.identity.server_name)
            && is(host, &facts.identity.host)
            && cluster.is_empty()
            && domain.is_empty()
            && tags.iter().all(tagged)
    }
}

/// Options that mean the same to whatever is asked, and the type they have.
const TYPES: [(&str, &str); 16] = [
    ("offset", "int"),
    ("limit", "int"),
    ("state", "int"),
    ("cid", "uint64"),
    ("auth", "bool"),
    ("subscriptions", "bool"),
    ("subscriptions_detail", "bool"),
    ("include_unused", "bool"),
    ("sort", "string"),
    ("user", "string"),
    ("acc", "string"),
    ("account", "string"),
    ("test", "string"),
    ("filter_subject", "string"),
    ("mqtt_client", "string"),
    ("name", "string"),
];

/// Refuses options of another type, in the words of Go.
fn check_types(fields: &Map<String, Value>) -> Result<(), String> {
    for (name, kind) in TYPES {
        let Some(value) = fields.get(name) else { continue };
        let found = match value {
            Value::Null => continue,
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Number(number) => {
                let fits = match kind {
                    "int" => number.is_i64(),
                    "uint64" => number.is_u64(),
                    _ => false,
                };
                if fits {
                    continue;
                }
                let shown = if matches!(kind, "int" | "uint64") {
                    format!("number {number}")
                } else {
                    "number".into()
                };
                return Err(unlike(&shown, name, kind));
            }
        };
        if found != kind {
            return Err(unlike(found, name, kind));
        }
    }
    Ok(())
}

fn unlike(found: &str, name: &str, kind: &str) -> String {
    format!("json: cannot unmarshal {found} into Go struct field {name} of type {kind}")
}

fn filter_fields(fields: &Map<String, Value>) -> Map<String, Value> {
    let names = ["server_name", "cluster", "host", "domain", "tags", "exact_match"];
    let given = names.into_iter().filter_map(|name| Some((name, fields.get(name)?)));
    given.filter(|(_, value)| !value.is_null()).map(|(k, v)| (k.to_owned(), v.clone())).collect()
}

/// The options as an endpoint has them in its URL.
fn query(fields: &Map<String, Value>) -> Query {
    let mut pairs = Vec::new();
    let details = fields.get("subscriptions_detail").and_then(Value::as_bool).unwrap_or(false);
    for (name, value) in fields {
        let name = match name.as_str() {
            "subscriptions" if details => continue,
            "subscriptions" => "subs".to_owned(),
            "account" => "acc".to_owned(),
            "include_unused" => "unused".to_owned(),
            other => other.replace('_', "-"),
        };
        let value = match (name.as_str(), value) {
            ("state", Value::Number(state)) => match state.as_u64() {
                Some(0) => "open".to_owned(),
                Some(1) => "closed".to_owned(),
                Some(2) => "all".to_owned(),
                _ => state.to_string(),
            },
            // Sorting has underscores in its values; so has the one name that an URL has too.
            (_, Value::String(text)) => text.clone(),
            (_, Value::Number(number)) => number.to_string(),
            (_, Value::Bool(yes)) => yes.to_string(),
            _ => continue,
        };
        let name = if name == "mqtt-client" { "mqtt_client".to_owned() } else { name };
        pairs.push((name, value));
    }
    if details {
        pairs.push(("subs".to_owned(), "detail".to_owned()));
    }
    Query::of(pairs)
}
