//! What accounts offer to each other and take: the blocks `exports` and `imports`.
//!
//! Both are read item by item first. Whether an import is allowed, and leads anywhere, is looked at
//! once all accounts are known.

use std::collections::HashSet;
use std::time::Duration;

use ringbus_shard::account::{
    Access, Accounts as Terms, ImportError, Latency, ResponseType, Service,
};
use ringbus_shard::ids::AccountId;

use super::accounts::Account;
use super::dump::quoted;
use super::latency;
use super::problem::{Report, Spot};
use super::reader::{Field, FromField, Reader};
use super::units;
use super::value::{Entry, Value};

/// What one account offers and takes, in the order of the file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sharing {
    exports: Vec<Item<Export>>,
    imports: Vec<Item<Import>>,
}

/// Something and where it stands, which does not make it another thing.
#[derive(Clone, Debug)]
struct Item<T> {
    at: Spot,
    value: T,
}

impl<T: PartialEq> PartialEq for Item<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Item<T> {}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Export {
    subject: String,
    service: bool,
    accounts: Vec<String>,
    token: usize,
    response: ResponseType,
    threshold: Duration,
    latency: Option<Latency>,
    trace: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Import {
    account: String,
    subject: String,
    local: Local,
}

/// As what something appears in the account that takes it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Local {
    Stream { prefix: String, to: String, trace: bool },
    Service { to: String, share: bool },
}

/// Which of the two an item is of.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Kind {
    Stream,
    Service,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Service => "service",
        }
    }
}

impl Sharing {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let report = reader.report();
        let mut sharing = Self::default();
        for entry in reader.take(&["exports"]) {
            let read = |field| Some(Item { at: spot(field), value: export(field)? });
            sharing.exports.extend(items(entry, report, "Export", read));
        }
        for entry in reader.take(&["imports"]) {
            let read = |field| Some(Item { at: spot(field), value: import(field)? });
            sharing.imports.extend(items(entry, report, "Import", read));
        }
        sharing.check_duplicates(report);
        sharing
    }

    fn check_duplicates(&self, report: &Report) {
        let mut known: Vec<(&str, &Import)> = Vec::new();
        for Item { at, value } in &self.imports {
            let Local::Service { to, .. } = &value.local else { continue };
            let to = if to.is_empty() { &value.subject } else { to };
            let other =
                known.iter().find(|(local, it)| *local == to && it.account == value.account);
            if let Some((_, Import { account, subject, .. })) = other {
                let text = format!(
                    "Duplicate service import subject {to:?}, previously used in import for \
                     account {account:?}, subject {subject:?}"
                );
                report.error(at, text);
            } else {
                known.push((to, value));
            }
        }
    }

    /// As the grammar has it, in the parts of an account.
    pub(super) fn shown(&self) -> impl Iterator<Item = String> {
        let list = |name: &str, items: Vec<String>| {
            (!items.is_empty()).then(|| format!("{name}: [{}]", items.join(", ")))
        };
        let exports = self.exports.iter().map(|item| item.value.shown()).collect();
        let imports = self.imports.iter().map(|item| item.value.shown()).collect();
        list("exports", exports).into_iter().chain(list("imports", imports))
    }
}

fn spot(field: Field<'_>) -> Spot {
    field.at.clone()
}

/// The items of a list, each read by `read`.
fn items<'a, T: 'a>(
    entry: &'a Entry,
    report: &'a Report,
    what: &'static str,
    read: impl Fn(Field<'a>) -> Option<T> + 'a,
) -> Vec<T> {
    match &entry.value {
        Value::Unresolved => Vec::new(),
        Value::List(list) => {
            let field = Field::of(entry, report);
            let fields =
                list.iter().map(|item| Field { at: &item.at, value: &item.value, ..field });
            fields.filter_map(read).collect()
        }
        other => {
            let text = format!("{what}s should be an array, got {}", other.kind());
            report.error(&entry.at, text);
            Vec::new()
        }
    }
}

/// The keys of one item, and which kind of item it is: the first of the two keys says it.
struct Keys<'a> {
    reader: Reader<'a>,
    report: &'a Report,
    first: Option<(Kind, &'a Entry)>,
}

impl<'a> Keys<'a> {
    fn read(field: Field<'a>, what: &str, other: fn(&Entry, Kind, Kind) -> String) -> Option<Self> {
        let Value::Map(map) = field.value else {
            if *field.value != Value::Unresolved {
                let kind = field.value.kind();
                let text = format!("{what} Items should be a map with type entry, got {kind}");
                field.report.error(field.at, text);
            }
            return None;
        };
        let mut reader = Reader::new(map, field.report);
        reader.take(&["stream", "service"]);
        let mut first: Option<(Kind, &Entry)> = None;
        for entry in map.iter() {
            let kind = match &*entry.key.to_ascii_lowercase() {
                "stream" => Kind::Stream,
                "service" => Kind::Service,
                _ => continue,
            };
            match first {
                Some((known, _)) if known != kind => {
                    field.report.error(&entry.at, other(entry, kind, known));
                }
                _ => first = Some((kind, entry)),
            }
        }
        Some(Self { reader, report: field.report, first })
    }

    /// Reports a key that the other kind has.
    fn not_for(&mut self, kind: Kind, names: &'static [&'static str], text: &str) {
        if self.first.is_some_and(|(first, _)| first == kind) {
            for entry in self.reader.take(names) {
                self.report.error(&entry.at, text);
            }
        }
    }

    /// Whether messages may be traced into the other account. None are traced yet, so that nothing
    /// follows from it.
    fn allows_trace(&mut self) -> bool {
        self.reader.optional::<bool>(TRACE).is_some_and(|found| found.value)
    }
}

fn text_of(entry: &Entry) -> String {
    match &entry.value {
        Value::Text(text) => quoted(text),
        other => other.kind().to_owned(),
    }
}

fn export(field: Field<'_>) -> Option<Export> {
    let mut keys = Keys::read(field, "Export", |entry, kind, known| {
        let (kind, known) = (kind.name(), known.name());
        format!("Detected {kind} {} but already saw a {known}", text_of(entry))
    })?;
    keys.not_for(Kind::Stream, RESPONSE, "Detected response directive on non-service");
    keys.not_for(Kind::Stream, THRESHOLD, "Detected response directive on non-service");
    keys.not_for(Kind::Stream, LATENCY, "Detected latency directive on non-service");
    keys.not_for(Kind::Stream, TRACE, "Detected allow_trace directive on non-service");
    let trace = keys.allows_trace();
    let Keys { mut reader, report, first } = keys;
    let response = reader.optional::<Response>(RESPONSE).map(|found| found.value.0);
    let threshold = reader.optional::<Threshold>(THRESHOLD).map(|found| found.value.0);
    let latency = reader.optional::<latency::Given>(LATENCY).map(|found| found.value.0);
    let accounts = reader.optional::<Vec<String>>(&["accounts"]).map(|found| found.value);
    let token = reader.optional::<i64>(&["account_token_position"]);
    let token = token.map(|found| usize::try_from(found.value).unwrap_or(usize::MAX));
    reader.finish();
    let Some((kind, entry)) = first else {
        report.note(field.at, "an export that is neither a stream nor a service");
        return None;
    };
    let Value::Text(subject) = &entry.value else {
        let (kind, found) = (kind.name(), entry.value.kind());
        if entry.value != Value::Unresolved {
            report.error(&entry.at, format!("Expected {kind} name to be string, got {found}"));
        }
        return None;
    };
    Some(Export {
        subject: subject.clone(),
        service: kind == Kind::Service,
        accounts: accounts.unwrap_or_default(),
        token: token.unwrap_or_default(),
        response: response.unwrap_or_default(),
        threshold: threshold.unwrap_or_default(),
        latency: latency.filter(|_| kind == Kind::Service),
        trace,
    })
}

const RESPONSE: &[&str] = &["response", "response_type"];
const THRESHOLD: &[&str] =
    &["threshold", "response_threshold", "response_max_time", "response_time"];
const LATENCY: &[&str] = &["latency"];
const TRACE: &[&str] = &["allow_trace"];

struct Response(ResponseType);

impl FromField<'_> for Response {
    fn read(field: Field<'_>) -> Option<Self> {
        let text = <&str>::read(field)?;
        match &*text.to_ascii_lowercase() {
            "single" | "singleton" => Some(Self(ResponseType::Singleton)),
            "stream" => Some(Self(ResponseType::Stream)),
            "chunk" | "chunked" => Some(Self(ResponseType::Chunked)),
            _ => {
                field.report.error(field.at, format!("Unknown response type: {text:?}"));
                None
            }
        }
    }
}

struct Threshold(Duration);

impl FromField<'_> for Threshold {
    fn read(field: Field<'_>) -> Option<Self> {
        const EXPECTED: &str = "Expected response threshold to be a parseable time duration, got";
        let Value::Text(text) = field.value else {
            if *field.value != Value::Unresolved {
                let found = field.value.kind();
                field.report.error(field.at, format!("{EXPECTED} {found}"));
            }
            return None;
        };
        let duration = units::duration(text);
        if duration.is_err() {
            field.report.error(field.at, format!("{EXPECTED} {text:?}"));
        }
        duration.ok().map(Self)
    }
}

fn import(field: Field<'_>) -> Option<Import> {
    let mut keys = Keys::read(field, "Import", |_, kind, known| {
        format!("Detected {} but already saw a {}", kind.name(), known.name())
    })?;
    keys.not_for(Kind::Service, TRACE, "Detected allow_trace directive on a non-stream");
    let trace = keys.allows_trace();
    let Keys { mut reader, report, first } = keys;
    let prefix = reader.optional::<String>(&["prefix"]);
    let to = reader.optional::<String>(&["to"]);
    let share = reader.optional::<bool>(&["share"]).is_some_and(|found| found.value);
    reader.finish();
    let Some((kind, entry)) = first else {
        report.note(field.at, "an import that is neither a stream nor a service");
        return None;
    };
    let Value::Map(map) = &entry.value else {
        let kind = if kind == Kind::Stream { "Stream" } else { "Service" };
        let found = entry.value.kind();
        if entry.value != Value::Unresolved {
            let text = format!("{kind} entry should be an account map, got {found}");
            report.error(&entry.at, text);
        }
        return None;
    };
    let mut source = Reader::new(map, report);
    let mut text = |name| source.optional::<String>(name).map(|found| found.value);
    let (account, subject) = (text(&["account"]), text(&["subject"]));
    source.finish();
    let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
    let (Some(account), Some(subject)) = (filled(account), filled(subject)) else {
        report.error(&entry.at, "Expect an account name and a subject");
        return None;
    };
    let to_at = to.as_ref().map(|found| found.at.clone());
    let prefix = prefix.map(|found| found.value).unwrap_or_default();
    let to = to.map(|found| found.value).unwrap_or_default();
    if kind == Kind::Service {
        return Some(Import { account, subject, local: Local::Service { to, share } });
    }
    if let Some(at) = to_at.filter(|_| !prefix.is_empty()) {
        report.error(&at, "Stream import can not have a 'prefix' and a 'to' property");
        return None;
    }
    Some(Import { account, subject, local: Local::Stream { prefix, to, trace } })
}

impl Export {
    fn shown(&self) -> String {
        let kind = if self.service { "service" } else { "stream" };
        let mut text = format!("{{{kind}: {}", quoted(&self.subject));
        if !self.accounts.is_empty() {
            let names: Vec<String> = self.accounts.iter().map(|name| quoted(name)).collect();
            text.push_str(&format!(", accounts: [{}]", names.join(", ")));
        }
        if self.token > 0 {
            text.push_str(&format!(", account_token_position: {}", self.token));
        }
        let response = match self.response {
            ResponseType::Singleton => "",
            ResponseType::Stream => ", response: stream",
            ResponseType::Chunked => ", response: chunked",
        };
        text.push_str(response);
        if !self.threshold.is_zero() {
            text.push_str(&format!(", threshold: {}", quoted(&units::written(self.threshold))));
        }
        if let Some(latency) = &self.latency {
            text.push_str(&format!(", {}", latency::shown(latency)));
        }
        if self.trace {
            text.push_str(", allow_trace: true");
        }
        text.push('}');
        text
    }
}

impl Import {
    fn shown(&self) -> String {
        let kind = match self.local {
            Local::Stream { .. } => "stream",
            Local::Service { .. } => "service",
        };
        let (account, subject) = (quoted(&self.account), quoted(&self.subject));
        let mut text = format!("{{{kind}: {{account: {account}, subject: {subject}}}");
        let (prefix, to, share, trace) = match &self.local {
            Local::Stream { prefix, to, trace } => (prefix.as_str(), to, false, *trace),
            Local::Service { to, share } => ("", to, *share, false),
        };
        for (name, value) in [("prefix", prefix), ("to", to)] {
            if !value.is_empty() {
                text.push_str(&format!(", {name}: {}", quoted(value)));
            }
        }
        if share {
            text.push_str(", share: true");
        }
        if trace {
            text.push_str(", allow_trace: true");
        }
        text.push('}');
        text
    }
}

/// Enters what accounts share into `terms`, in the order of nats-server: all exports, then imports
/// of streams, then those of services. `find` knows the number of an account, `report` hears what
/// is wrong.
pub(super) fn enter(
    accounts: &[Account],
    terms: &mut Terms,
    find: &dyn Fn(&str) -> Option<AccountId>,
    report: &mut dyn FnMut(&Spot, String),
) {
    let defined: HashSet<&str> = accounts.iter().map(|account| &*account.name).collect();
    let known = |name: &str| defined.contains(name).then(|| find(name)).flatten();
    for account in accounts {
        let Some(id) = known(&account.name) else { continue };
        terms.entry(id).name = account.name.as_str().into();
    }
    let all =
        || accounts.iter().filter_map(|account| Some((known(&account.name)?, &account.sharing)));
    for service in [false, true] {
        let exports = all().flat_map(|(id, it)| it.exports.iter().map(move |item| (id, item)));
        for (id, Item { at, value }) in exports.filter(|(_, item)| item.value.service == service) {
            let kind = if service { "service" } else { "stream" };
            let mut access = Access { token: value.token, ..Access::default() };
            for name in &value.accounts {
                match known(name) {
                    Some(account) => access.approved.push(account),
                    None => report(at, format!("{name:?} account not defined for {kind} export")),
                }
            }
            let (subject, exports) = (value.subject.as_bytes(), &mut terms.entry(id).exports);
            let added = if service {
                exports.add_service(subject, access, value.response, value.threshold)
            } else {
                exports.add_stream(subject, access)
            };
            if let Err(why) = added {
                report(at, format!("Error adding {kind} export {:?}: {why}", value.subject));
            } else if let Some(latency) = &value.latency
                && let Err(why) = exports.measure(subject, latency.clone())
            {
                let (name, to) = (&value.subject, String::from_utf8_lossy(&latency.subject));
                let what = format!("service latency sampling for {name:?} on subject {to:?}");
                report(at, format!("Error adding {what}: {why}"));
            }
        }
    }
    for service in [false, true] {
        for (id, Item { at, value }) in
            all().flat_map(|(id, it)| it.imports.iter().map(move |item| (id, item)))
        {
            let kind = if service { "service" } else { "stream" };
            if matches!(value.local, Local::Service { .. }) != service {
                continue;
            }
            let Some(from) = known(&value.account) else {
                let name = &value.account;
                report(at, format!("{name:?} account not defined for {kind} import"));
                continue;
            };
            if let Err(why) = add_import(terms, id, from, value) {
                report(at, format!("Error adding {kind} import {:?}: {why}", value.subject));
            }
        }
    }
}

fn add_import(
    terms: &mut Terms,
    id: AccountId,
    from: AccountId,
    import: &Import,
) -> Result<(), ImportError> {
    let subject = import.subject.as_bytes();
    match &import.local {
        Local::Stream { prefix, .. } if !prefix.is_empty() => {
            terms.import_stream_behind(id, from, subject, prefix.as_bytes())
        }
        Local::Stream { to, .. } => terms.import_stream(id, from, subject, to.as_bytes()),
        Local::Service { to, share } => {
            let local = if to.is_empty() { subject } else { to.as_bytes() };
            terms.import_service(id, from, Service { from: local, to: subject, share: *share })
        }
    }
}

/// Reports what cannot be shared.
pub(super) fn check(accounts: &[Account], report: &Report) {
    let find = |name: &str| {
        let place = accounts.iter().position(|account| account.name == name)?;
        u32::try_from(place).ok().map(AccountId::new)
    };
    let mut error = |at: &Spot, text: String| report.error(at, text);
    enter(accounts, &mut Terms::default(), &find, &mut error);
}
