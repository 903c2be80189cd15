//! Operator mode: who signs accounts, and where the claims about them are.
//!
//! Claims are read and their signatures checked here, so that `-t` and a reload judge them like any
//! other value; whether they hold now is for whoever uses them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ringbus_shard::wire::secret::Secret;

use super::dump::{Dump, quoted};
use super::include::Surroundings;
use super::problem::Report;
use super::reader::{Field, Found, FromField, Quoted, Reader};
use super::reason;
use super::setting::{Origin, Setting};
use super::tls::outgoing::ResolverTls;
use super::value::Value;
use crate::auth::SYSTEM;
use crate::auth::jwt::key::Role;
use crate::auth::jwt::{AccountClaims, OperatorClaims, UserClaims, decorated, operator};
use crate::auth::operator::resolver::{Delete, Mode, Remote};
use crate::cli::NATS_VERSION;

/// What all encoded claims begin with.
const JWT_PREFIX: &str = "eyJ";

/// Most files in a folder that is a cache, unless the configuration says otherwise.
const CACHE_LIMIT: usize = 1000;

/// How long an account is waited for that others are asked about.
const FETCH_TIMEOUT: Duration = Duration::from_secs(2);

/// Who signs accounts, and where the claims about them are.
#[derive(Clone, Debug)]
pub struct Operators {
    /// Claims of the operators themselves.
    pub operators: Setting<Vec<OperatorClaims>>,
    /// Public keys that sign accounts, where there are no claims of operators.
    pub trusted: Setting<Vec<String>>,
    /// Where claims about accounts are.
    pub resolver: Setting<Option<ResolverKind>>,
    /// How a server of claims is asked over HTTPS.
    pub tls: Setting<ResolverTls>,
    /// Claims about accounts by public key.
    pub preload: Setting<BTreeMap<String, String>>,
    /// Accounts that may connect; all if there are none.
    pub pinned: Setting<Option<Vec<String>>>,
    /// Claims of a user for clients that bring none.
    pub sentinel: Setting<Secret>,
}

/// Where claims about accounts are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ResolverKind {
    /// In the configuration.
    Memory,
    /// In a folder.
    Directory(FolderKind),
    /// With a server of claims.
    Url(Remote),
}

/// A folder of claims.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FolderKind {
    /// Where it is.
    pub folder: PathBuf,
    /// What it is for.
    pub mode: Mode,
    /// Most files in it.
    pub limit: usize,
    /// How long others are asked for an account.
    pub timeout: Duration,
}

impl Operators {
    pub(super) fn read(reader: &mut Reader<'_>, world: &dyn Surroundings) -> Self {
        let names = &["operator", "operators", "root", "roots", "root_operator", "root_operators"];
        let operators = last(reader, names, |field| read_operators(field, world));
        let resolver =
            last(reader, &["resolver", "account_resolver", "accounts_resolver"], read_resolver);
        let this = Self {
            operators: Setting::new(Vec::new()).or_file(operators),
            trusted: Setting::new(Vec::new()).or_file(last(
                reader,
                &["trusted", "trusted_keys"],
                read_trusted,
            )),
            tls: Setting::new(ResolverTls::default()).or_file(last(
                reader,
                &["resolver_tls"],
                |field| ResolverTls::read(field, world),
            )),
            resolver: Setting::new(None).or_file(resolver.map(|found| found.map(Some))),
            preload: Setting::new(BTreeMap::new()).or_file(last(
                reader,
                &["resolver_preload"],
                read_preload,
            )),
            pinned: Setting::new(None).or_file(
                reader
                    .optional::<Vec<String>>(&["resolver_pinned_accounts"])
                    .map(|found| found.map(Some)),
            ),
            sentinel: Setting::new(Secret::default())
                .or_file(reader.optional(&["default_sentinel"])),
        };
        this.check(reader.report());
        this
    }

    /// Whether accounts are those that somebody signed.
    #[must_use]
    pub fn are_in_force(&self) -> bool {
        !self.operators.is_empty() || !self.trusted.is_empty()
    }

    /// Where they stand.
    pub(super) const fn origin(&self) -> &Origin {
        match self.operators.origin() {
            Origin::Default => self.trusted.origin(),
            file => file,
        }
    }

    /// Reports a system account that is not that of the operators, or cannot be found.
    pub(super) fn check_system(&self, system: &Setting<String>, report: &Report) {
        let complain = |text: &str| match (system.origin(), self.origin()) {
            (Origin::File(at), _) | (_, Origin::File(at)) => report.error(at, text),
            _ => report.general_error(text),
        };
        let mut told = self.operators.iter().map(|claims| &*claims.body.system_account);
        let mut told = told.by_ref().filter(|key| !key.is_empty()).peekable();
        let from_file = matches!(system.origin(), Origin::File(_));
        if from_file && told.peek().is_some() && !told.any(|key| key == **system) {
            complain("system_account in config and operator JWT must be identical");
        }
        let is_set = **system != SYSTEM;
        match &*self.resolver {
            Some(ResolverKind::Memory) if is_set && !self.preload.contains_key(&**system) => {
                complain("error resolving system account: account missing");
            }
            Some(ResolverKind::Directory(_)) if !is_set => complain(
                "using nats based account resolver - the system account needs to be specified in \
                 configuration or the operator jwt",
            ),
            _ => {}
        }
    }

    /// The public key of the system account, as the only operator has it.
    #[must_use]
    pub fn system_account(&self) -> Option<&str> {
        let [only] = &**self.operators else { return None };
        Some(&*only.body.system_account).filter(|key| !key.is_empty())
    }

    /// Public keys that sign accounts.
    #[must_use]
    pub fn signers(&self) -> HashSet<String> {
        let operators = self.operators.iter().flat_map(OperatorClaims::trusted);
        operators.map(str::to_owned).chain(self.trusted.iter().cloned()).collect()
    }

    /// Signing keys of operators that want accounts to have signing keys, too.
    #[must_use]
    pub fn strict_signers(&self) -> HashSet<String> {
        let strict = self.operators.iter().filter(|it| it.body.strict_signing_key_usage);
        strict.flat_map(|it| it.body.signing_keys.iter().cloned()).collect()
    }

    /// Reports what contradicts itself.
    fn check(&self, report: &Report) {
        let fault = |setting: &Origin, text: &str| match setting {
            Origin::File(at) => report.error(at, text),
            _ => report.general_error(text),
        };
        if self.operators.is_empty() {
            if !self.sentinel.is_empty() {
                let text = "default sentinel requires operators and accounts";
                fault(self.sentinel.origin(), text);
            }
        } else {
            self.check_operators(&fault);
        }
        if self.are_in_force() && self.resolver.is_none() {
            let origin = if self.operators.is_empty() {
                self.trusted.origin()
            } else {
                self.operators.origin()
            };
            fault(origin, "operators require an account resolver to be configured");
        }
        if matches!(*self.resolver, Some(ResolverKind::Url(_))) && !self.preload.is_empty() {
            let text =
                "resolver preloads only available for writeable resolver types MEM/DIR/CACHE_DIR";
            fault(self.preload.origin(), text);
        }
        let is_url = matches!(*self.resolver, Some(ResolverKind::Url(_)));
        if let (false, Origin::File(at)) = (is_url, self.tls.origin()) {
            report.warn(at, "key \"resolver_tls\": only a resolver URL(\"https://…\") uses it");
        }
        if let (false, Origin::File(at)) = (self.are_in_force(), self.resolver.origin()) {
            report.warn(at, "key \"resolver\": without an operator there is nothing to resolve");
        }
    }

    fn check_operators(&self, fault: &dyn Fn(&Origin, &str)) {
        if let Err(why) = check_sentinel(self.sentinel.expose()) {
            fault(self.sentinel.origin(), why);
        }
        if !self.trusted.is_empty() {
            let text = "conflicting options for 'TrustedKeys' and 'TrustedOperators'";
            fault(self.trusted.origin(), text);
        }
        for claims in self.operators.iter() {
            if let Err(why) = check_version(claims) {
                fault(self.operators.origin(), &why);
            }
            for key in claims.trusted().filter(|key| !Role::Operator.has(key)) {
                let text =
                    format!("trusted Keys {key:?} are required to be a valid public operator nkey");
                fault(self.operators.origin(), &text);
            }
        }
        for key in self.pinned.iter().flatten().filter(|key| !Role::Account.has(key)) {
            let text = format!("pinned account key {key:?} is not a valid public account nkey");
            fault(self.pinned.origin(), &text);
        }
    }

    /// Whether the same people may connect.
    pub(super) fn same(&self, new: &Self) -> bool {
        *self.preload == *new.preload
            && *self.pinned == *new.pinned
            && *self.sentinel == *new.sentinel
            && *self.resolver == *new.resolver
            && self.tls.outgoing.same(&new.tls.outgoing)
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { operators, trusted, resolver, tls, preload, pinned, sentinel } = self;
        let list = |keys: &mut dyn Iterator<Item = &str>| {
            format!("[{}]", keys.map(quoted).collect::<Vec<_>>().join(", "))
        };
        let subjects = list(&mut operators.iter().map(|claims| &*claims.subject));
        dump.line("operators", subjects, operators.origin());
        let keys = list(&mut trusted.iter().map(String::as_str));
        dump.line("trusted_keys", keys, trusted.origin());
        dump.line("resolver", shown(resolver.as_ref()), resolver.origin());
        dump.line("resolver_tls", &**tls, tls.origin());
        let keys = list(&mut preload.keys().map(String::as_str));
        dump.line("resolver_preload", keys, preload.origin());
        let keys = list(&mut pinned.iter().flatten().map(String::as_str));
        dump.line("resolver_pinned_accounts", keys, pinned.origin());
        dump.secret("default_sentinel", sentinel);
    }
}

fn shown(resolver: Option<&ResolverKind>) -> String {
    match resolver {
        None => "\"\"".to_owned(),
        Some(ResolverKind::Memory) => "MEMORY".to_owned(),
        Some(ResolverKind::Url(remote)) => format!("URL({remote})"),
        Some(ResolverKind::Directory(FolderKind { folder, mode, .. })) => {
            let kind = if matches!(mode, Mode::Full(_)) { "full" } else { "cache" };
            format!("{{type: {kind}, dir: {}}}", quoted(&folder.display().to_string()))
        }
    }
}

/// The last of these keys, read in a way of its own.
fn last<'a, T>(
    reader: &mut Reader<'a>,
    names: &'static [&'static str],
    read: impl Fn(Field<'a>) -> Option<T>,
) -> Option<Found<T>> {
    let report = reader.report();
    let entry = reader.take(names).last().copied()?;
    read(Field::of(entry, report)).map(|value| Found { value, at: entry.at.clone() })
}

/// Claims, or names of files that have some.
fn read_operators(field: Field<'_>, world: &dyn Surroundings) -> Option<Vec<OperatorClaims>> {
    let mut operators = Vec::new();
    for text in Vec::<String>::read(field)? {
        let read = if text.starts_with(JWT_PREFIX) {
            Ok(text)
        } else {
            let path = Path::new(&text);
            let bytes = world.read(path).map_err(|error| reason(path, &error));
            bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let claims = read.and_then(|text| {
            OperatorClaims::decode(decorated::jwt(&text)).map_err(|fault| fault.to_string())
        });
        match claims {
            Ok(claims) => operators.push(claims),
            Err(why) => {
                let text = format!("error parsing operator JWT: {why}");
                field.report.error(field.at, text);
            }
        }
    }
    Some(operators)
}

fn read_trusted(field: Field<'_>) -> Option<Vec<String>> {
    let keys = Vec::<String>::read(field)?;
    for key in keys.iter().filter(|key| !Role::Operator.has(key)) {
        let text = format!("trust key {key:?} required to be a valid public operator nkey");
        field.report.error(field.at, text);
    }
    Some(keys)
}

/// Claims by public key. Whose they are is found out when they are used.
fn read_preload(field: Field<'_>) -> Option<BTreeMap<String, String>> {
    let Value::Map(map) = field.value else {
        return field.expected("a map of public keys of accounts and their JWTs");
    };
    let mut preload = BTreeMap::new();
    for entry in map.iter() {
        let field = Field::of(entry, field.report);
        let Some(text) = String::read(field) else { continue };
        match AccountClaims::decode(&text) {
            Ok(_) => {
                preload.insert(entry.key.clone(), text);
            }
            Err(fault) => {
                field.report.error(field.at, format!("invalid account JWT: {fault}"));
            }
        }
    }
    Some(preload)
}

fn read_resolver(field: Field<'_>) -> Option<ResolverKind> {
    match field.value {
        Value::Text(text) => {
            let text = text.to_ascii_uppercase();
            if text.contains("MEM") {
                return Some(ResolverKind::Memory);
            }
            if text.contains("URL") {
                return read_url(field);
            }
            none(field)
        }
        Value::Map(_) => {
            let reader = Reader::read(field)?;
            read_folder(reader, field)
        }
        _ => field.expected("MEMORY, URL(…) or a map"),
    }
}

/// The address in `URL("…")`, the quotes of which may be missing.
fn read_url(field: Field<'_>) -> Option<ResolverKind> {
    let text = <&str>::read(field)?;
    let inner = text.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let url = inner.map_or("", |(url, _)| url.trim().trim_matches('"'));
    match Remote::parse(url) {
        Ok(remote) => Some(ResolverKind::Url(remote)),
        Err(why) => field.fault(why),
    }
}

fn none<T>(field: Field<'_>) -> Option<T> {
    let text = "error parsing account resolver, should be MEM or  URL(\"url\") or a map containing \
                dir and type state=[FULL|CACHE])";
    field.report.error(field.at, text);
    None
}

fn read_folder(mut reader: Reader<'_>, field: Field<'_>) -> Option<ResolverKind> {
    let kind = reader.optional::<String>(&["type"])?.value.to_ascii_uppercase();
    let folder = reader.optional::<PathBuf>(&["dir"]);
    let delete = reader.optional::<bool>(&["allow_delete"]);
    let hard = reader.optional::<bool>(&["hard_delete"]);
    let limit = reader.optional::<i64>(&["limit"]).map_or(0, |found| found.value);
    let limit = usize::try_from(limit).ok().filter(|limit| *limit > 0);
    let duration = |found: Option<Found<Quoted>>| found.map(|found| found.map(|it| it.0));
    let ttl = duration(reader.optional(&["ttl"]));
    let interval = duration(reader.optional(&["interval"]));
    let timeout = duration(reader.optional(&["timeout"]));
    reader.finish();
    let complain = |text: &str| field.report.error(field.at, text);
    if timeout.as_ref().is_some_and(|timeout| timeout.value.is_zero()) {
        complain("Fetch timeout 0s is too smal");
    }
    let folder = folder.map(|found| found.value).filter(|folder| !folder.as_os_str().is_empty());
    let may_delete = delete.as_ref().is_some_and(|found| found.value);
    let mode = match &*kind {
        "MEM" | "MEMORY" => return Some(ResolverKind::Memory),
        "CACHE" => {
            let wrong = [
                (interval.is_some(), "CACHE does not accept sync"),
                (may_delete, "CACHE does not accept allow_delete"),
                (hard.is_some(), "CACHE does not accept hard_delete"),
            ];
            wrong.iter().filter(|(is_wrong, _)| *is_wrong).for_each(|(_, text)| complain(text));
            Mode::Cache(ttl.map_or(Duration::ZERO, |ttl| ttl.value))
        }
        "FULL" => {
            if ttl.is_some() {
                complain("FULL does not accept ttl");
            }
            if hard.is_some() && !may_delete {
                complain("hard_delete has no effect without delete");
            }
            Mode::Full(match (may_delete, hard.is_some_and(|hard| hard.value)) {
                (false, _) => Delete::Never,
                (true, false) => Delete::Rename,
                (true, true) => Delete::Remove,
            })
        }
        _ => return none(field),
    };
    let Some(folder) = folder else {
        complain("dir has no value and needs to point to a directory");
        return None;
    };
    let usual = if matches!(mode, Mode::Cache(_)) { CACHE_LIMIT } else { usize::MAX };
    Some(ResolverKind::Directory(FolderKind {
        folder,
        mode,
        limit: limit.unwrap_or(usual),
        timeout: timeout.map_or(FETCH_TIMEOUT, |timeout| timeout.value),
    }))
}

/// Whether claims for clients that bring none can be of use.
fn check_sentinel(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Ok(());
    }
    let user = UserClaims::decode(text).map_err(|_| "default sentinel JWT not valid")?;
    let by_role = !user.body.issuer_account.is_empty() && user.has_no_limits();
    if user.body.limits.bearer || by_role {
        Ok(())
    } else {
        Err("default sentinel must be a bearer token")
    }
}

/// Whether this server is new enough for an operator.
fn check_version(claims: &OperatorClaims) -> Result<(), String> {
    let (subject, wanted) = (&claims.subject, &claims.body.assert_server_version);
    let wanted = operator::server_version(wanted).map_err(|why| {
        format!("operator {subject} expects version {wanted} got error instead: {why}")
    })?;
    let own = operator::server_version(NATS_VERSION).unwrap_or_default();
    let names = ["major", "minor", "update"];
    let differs = names.into_iter().zip(wanted.into_iter().zip(own)).find(|(_, (a, b))| a != b);
    match differs {
        Some((name, (wanted, own))) if wanted > own => Err(format!(
            "operator {subject} expected {name} version {wanted} > server {name} version {own}"
        )),
        _ => Ok(()),
    }
}
