//! The `accounts` block: names, and the users of each.

use std::collections::HashSet;
use std::fmt::Write as _;

use ringbus_shard::authorize::Rules;
use ringbus_shard::subject::mapping::Mappings;

use super::account_limits::AccountLimits;
use super::auth::User;
use super::dump::quoted;
use super::later;
use super::mappings;
use super::permissions::{self, Given};
use super::problem::Spot;
use super::reader::{Field, Found, FromField, Reader};
use super::sharing::{self, Sharing};
use super::value::{Entry, Value};
use crate::auth::GLOBAL;

/// One of the accounts.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// Unique.
    pub name: String,
    /// In the order of the file.
    pub users: Vec<User>,
    /// What becomes of the subjects that its clients publish to.
    pub mappings: Mappings,
    /// What those of them may do that have no rules of their own.
    pub default_permissions: Option<Rules>,
    /// What its clients may have.
    pub limits: AccountLimits,
    /// What it offers to other accounts, and takes from them.
    pub sharing: Sharing,
}

/// What users of accounts have to get along with.
pub(super) struct Others {
    /// Names of users that are taken.
    pub(super) names: HashSet<String>,
    /// What to say if an account has users at all.
    pub(super) conflicts: Vec<&'static str>,
}

/// Reads all accounts.
pub(super) fn read(reader: &mut Reader<'_>, mut others: Others) -> Option<Found<Vec<Account>>> {
    let report = reader.report();
    let mut all = None;
    for entry in reader.take(&["accounts"]) {
        let field = Field::of(entry, report);
        let accounts: Vec<Account> = match &entry.value {
            Value::Map(map) => {
                map.iter().filter_map(|entry| account(entry, field, &mut others)).collect()
            }
            Value::List(_) => list(field),
            _ => field.expected("a map or a list of names").unwrap_or_default(),
        };
        // What follows from something wrong is no news.
        if !report.has_errors() {
            sharing::check(&accounts, report);
        }
        all = Some(Found { value: accounts, at: entry.at.clone() });
    }
    all
}

fn account(entry: &Entry, field: Field<'_>, others: &mut Others) -> Option<Account> {
    let report = field.report;
    if entry.is_variable || entry.value == Value::Unresolved {
        return None;
    }
    let Value::Map(map) = &entry.value else {
        report.error(&entry.at, "Expected map entries for accounts");
        return None;
    };
    if !is_free(&entry.key, &entry.at, field) {
        return None;
    }
    let mut reader = Reader::new(map, report);
    let users = User::read_all(&mut reader, &mut others.names);
    let mappings = mappings::read(&mut reader).map(|found| found.value).unwrap_or_default();
    let default_permissions = reader.optional::<Given>(&["default_permissions"]);
    let limits = AccountLimits::read(&mut reader);
    let sharing = Sharing::read(&mut reader);
    later::refuse(&mut reader, later::ACCOUNT);
    reader.finish();
    let Found { value: users, at } =
        users.unwrap_or_else(|| Found { value: Vec::new(), at: entry.at.clone() });
    for conflict in others.conflicts.iter().filter(|_| !users.is_empty()) {
        report.error(&at, *conflict);
    }
    let default_permissions = default_permissions.map(|given| given.value.0);
    let name = entry.key.clone();
    Some(Account { name, users, mappings, default_permissions, limits, sharing })
}

/// Accounts without anything but a name.
fn list(field: Field<'_>) -> Vec<Account> {
    let mut names = HashSet::new();
    let mut accounts = Vec::new();
    for field in Vec::<Field<'_>>::read(field).unwrap_or_default() {
        let Some(name) = String::read(field) else { continue };
        if !is_free(&name, field.at, field) {
            continue;
        }
        if names.insert(name.clone()) {
            accounts.push(Account { name, ..Account::default() });
        } else {
            field.report.error(field.at, format!("Duplicate Account Entry: {name}"));
        }
    }
    accounts
}

fn is_free(name: &str, at: &Spot, field: Field<'_>) -> bool {
    if name == GLOBAL {
        field.report.error(at, format!("{name:?} is a Reserved Account"));
    }
    name != GLOBAL
}

/// As the grammar has them, passwords not shown.
pub(super) fn shown(accounts: &[Account]) -> String {
    let mut text = String::from("{");
    for (index, account) in accounts.iter().enumerate() {
        let Account { name, users, mappings, default_permissions, limits, sharing } = account;
        let separator = if index == 0 { "" } else { ", " };
        let users = (!users.is_empty()).then(|| format!("users: {}", User::shown(users)));
        let default = default_permissions.as_ref().map(permissions::shown);
        let default = default.map(|rules| format!("default_permissions: {rules}"));
        let maps =
            (!mappings.is_empty()).then(|| format!("mappings: {}", mappings::shown(mappings)));
        let parts = users.into_iter().chain(default).chain(maps).chain(limits.shown());
        let parts = parts.chain(sharing.shown());
        let parts: Vec<String> = parts.collect();
        let _ = write!(text, "{separator}{}: {{{}}}", quoted(name), parts.join(", "));
    }
    text.push('}');
    text
}
