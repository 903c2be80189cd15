//! Operator mode at the start, and again at a reload: from the settings to a judge, and what the
//! log says of it.

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use ringbus_shard::account::Accounts as Terms;
use ringbus_shard::io::Control;
use tracing::{error, info, warn};

use crate::auth::callout::Desk;
use crate::auth::jwt::AccountClaims;
use crate::auth::jwt::claims::now;
use crate::auth::operator::resolver::{Directory, Mode, Resolver, directory};
use crate::auth::operator::{Change, Operators, Registry, Rules, keeper};
use crate::auth::{Account, Accounts, Auth, SYSTEM};
use crate::config::{self, FolderKind, ResolverKind, Settings};
use crate::listen;
use crate::monitor::SharedFacts;

/// Who may connect by these settings. Accounts that were in force until now stay known.
///
/// # Errors
/// Returns the line for the operator: a folder that cannot be used, a system account that is none.
pub(super) fn auth(
    settings: &Settings,
    accounts: &mut Accounts,
    desk: &Desk,
    old: Option<&Operators>,
) -> Result<Auth, String> {
    let config = &settings.operators;
    if !config.are_in_force() {
        let auth = settings.auth.auth(accounts, desk);
        return Ok(if settings.tls.maps() { auth.by_certificate() } else { auth });
    }
    let resolver = resolver(config)?;
    for (key, text) in config.preload.iter() {
        if let Err(why) = resolver.store(key, text) {
            warn!("Preloaded account [{key}] cannot be kept: {why}");
        }
    }
    let first = config.operators.first();
    let rules = Rules {
        trusted: config.signers(),
        strict: config.strict_signers(),
        first: first.iter().flat_map(|it| it.trusted()).map(str::to_owned).collect(),
        strict_first: first
            .filter(|it| it.body.strict_signing_key_usage)
            .map(|it| it.subject.clone()),
    };
    let registry = Arc::new(Registry::new(rules, Arc::new(resolver), accounts));
    if let Some(old) = old {
        registry.take_over(old.registry());
    }
    let system = settings.auth.system_account.as_str();
    if system != SYSTEM {
        enter_system(&registry, system, config)?;
    }
    let threads = keeper::start(&registry).and_then(|()| registry.start());
    threads.map_err(|error| format!("cannot watch over accounts: {error}"))?;
    let pinned = config.pinned.as_ref().map(|keys| {
        // That of the system can always connect.
        keys.iter().cloned().chain([system.to_owned()]).collect::<HashSet<_>>()
    });
    let operators = Operators::new(registry, pinned, (*config.sentinel).clone(), desk.clone());
    Ok(Auth::by_claims(Arc::new(operators), accounts).behind(settings.auth.behind()))
}

/// The accounts in force, by their numbers.
pub(super) fn accounts(auth: &Auth) -> Vec<Account> {
    let mut accounts = auth.accounts().to_vec();
    for known in auth.operators().into_iter().flat_map(|operators| operators.registry().all()) {
        if let Err(place) = accounts.binary_search_by_key(&known.account.id, |it| it.id) {
            accounts.insert(place, known.account.clone());
        }
    }
    accounts
}

/// Where claims about accounts are kept, if they are.
pub(super) fn folder(settings: &Settings) -> Option<&Path> {
    match &*settings.operators.resolver {
        Some(ResolverKind::Directory(kind)) => Some(&kind.folder),
        _ => None,
    }
}

/// Makes that folder if it is not there.
///
/// # Errors
/// Returns the line for the operator.
pub(super) fn prepare(settings: &Settings) -> Result<(), String> {
    let Some(folder) = folder(settings) else { return Ok(()) };
    directory::make(folder).map_err(|error| unusable(folder, &error))
}

fn unusable(folder: &Path, error: &io::Error) -> String {
    format!("resolver: {}: {}", folder.display(), listen::reason(error))
}

fn resolver(config: &config::Operators) -> Result<Resolver, String> {
    let kind = match &*config.resolver {
        Some(ResolverKind::Directory(kind)) => kind,
        Some(ResolverKind::Url(remote)) => {
            return remote.clone().over(&config.tls.outgoing).map(Resolver::Url);
        }
        Some(ResolverKind::Memory) | None => return Ok(Resolver::memory()),
    };
    let FolderKind { folder, mode, limit, .. } = kind;
    let open = Directory::open(folder, *mode, *limit);
    open.map(Resolver::Directory).map_err(|error| unusable(folder, &error))
}

/// The system account is known from the start. Where claims about it may come later, it is there
/// without, so that somebody can send them.
fn enter_system(
    registry: &Registry,
    system: &str,
    config: &config::Operators,
) -> Result<(), String> {
    let is_memory = matches!(**registry.resolver(), Resolver::Memory(_));
    if registry.at_hand(system).is_some() {
        return Ok(());
    }
    let found = match registry.resolver().fetch(system) {
        Ok(text) => registry.update(system, &text).map_err(|why| why.to_string()).map(|_| ()),
        Err(why) => Err(why.to_string()),
    };
    match (found, config.operators.first()) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(operator)) if !is_memory => {
            registry.bootstrap(system, &operator.issuer);
            info!("Using bootstrapping system account");
            Ok(())
        }
        (Err(why), _) => Err(format!("error resolving system account: {why}")),
    }
}

/// Tells monitoring of accounts that are heard of, and shards of those that change.
pub(super) fn watch(auth: &Auth, facts: &SharedFacts, control: Option<Control>) {
    let Some(operators) = auth.operators() else { return };
    let (shown, told) = (facts.clone(), control.clone());
    operators.registry().watch(move |change| match (change, &told) {
        (Change::Entered(account), _) => shown.enter(account),
        (Change::Changed(account), Some(control)) => control.review(account.id),
        (Change::Shared(terms), control) => {
            if let Some(control) = control {
                control.accounts(terms);
            }
            shown.share(terms);
        }
        (Change::Changed(_), None) => {}
    });
    show(operators, facts);
    if let Some(control) = control {
        // Whatever happened before somebody watched.
        operators.registry().all().iter().for_each(|known| control.review(known.account.id));
    }
}

/// Tells monitoring of all accounts that are known.
pub(super) fn show(operators: &Operators, facts: &SharedFacts) {
    for known in operators.registry().all() {
        facts.enter(&known.account);
    }
    operators.registry().hold(|terms| facts.share(terms));
}

/// What holds in each account by these settings, if operators do not say it.
pub(super) fn terms(settings: &Settings, accounts: &Accounts, auth: &Auth) -> Arc<Terms> {
    match auth.operators() {
        Some(operators) => operators.registry().terms(),
        None => Arc::new(settings.auth.terms(accounts)),
    }
}

/// Says whom this server trusts.
pub(super) fn announce(settings: &Settings) {
    let config = &settings.operators;
    if config.operators.is_empty() {
        return;
    }
    info!("Trusted Operators");
    for claims in config.operators.iter() {
        let shown = |second: i64| Timestamp::from_second(second).unwrap_or_default().to_string();
        info!("  System  : {:?}", claims.audience);
        info!("  Operator: {:?}", claims.name);
        info!("  Issued  : {}", shown(claims.issued));
        match claims.expires {
            0 => info!("  Expires : Never"),
            second => info!("  Expires : {}", shown(second)),
        }
    }
    if *settings.auth.system_account == SYSTEM {
        warn!("Trusted Operators should utilize a System Account");
    }
    for (key, text) in config.preload.iter() {
        let Ok(claims) = AccountClaims::decode(text) else {
            error!("Preloaded account [{key}] not valid");
            continue;
        };
        let issues = claims.issues(now());
        if issues.block() {
            warn!("Account [{key}] has validation issues: {issues}");
        }
    }
    if let Some(ResolverKind::Directory(FolderKind { folder, mode, .. })) = &*config.resolver {
        let share = if matches!(mode, Mode::Full(_)) { "all" } else { "some" };
        info!("Managing {share} jwt in exclusive directory {}", folder.display());
    }
}
