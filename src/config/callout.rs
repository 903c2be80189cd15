//! A service that decides who may connect: `auth_callout`.

use std::collections::HashSet;

use super::accounts::Account;
use super::dump::quoted;
use super::problem::Report;
use super::reader::{Field, Found, FromField, Reader};
use super::value::Value;
use crate::auth::callout::Terms;
use crate::auth::nkey::{PublicKey, Role};
use crate::auth::{GLOBAL, xkey};

impl FromField<'_> for Terms {
    fn read(field: Field<'_>) -> Option<Self> {
        let Value::Map(_) = field.value else {
            return match field.value {
                Value::Unresolved => None,
                _ => {
                    let text = "Expected authorization callout to be a map/struct";
                    field.report.error(field.at, text);
                    None
                }
            };
        };
        let mut reader = Reader::read(field)?;
        let issuer = reader.optional::<Issuer>(&["issuer"]);
        let account = reader.optional::<String>(&["account", "acc"]);
        let users = reader.optional::<Names>(&["auth_users", "users"]);
        let xkey = reader.optional::<CurveKey>(&["xkey", "key"]);
        let allowed = reader.optional::<Names>(&["allowed_accounts"]);
        reader.finish();
        let account = account.map(|found| found.value).filter(|name| !name.is_empty());
        let names = |found: Option<Found<Names>>| found.map(|found| found.value.0);
        let complain = |text: &str| {
            field.report.error(field.at, text);
            None
        };
        let issuer = match issuer {
            None => return complain("Authorization callouts require an issuer to be specified"),
            Some(found) => found.value.0?,
        };
        let Some(users) = names(users).filter(|users| !users.is_empty()) else {
            return complain("Authorization callouts require authorized users to be specified");
        };
        let xkey = match xkey {
            None => None,
            Some(found) => Some(found.value.0?),
        };
        Some(Self {
            issuer,
            account: account.unwrap_or_else(|| GLOBAL.to_owned()),
            users,
            xkey,
            allowed: names(allowed).unwrap_or_default(),
        })
    }
}

/// Reports accounts that are left to the service and do not exist.
pub(super) fn check(terms: &Terms, accounts: &[Account], report: &Report) {
    let known = |name: &String| accounts.iter().any(|account| account.name == *name);
    let mut unknown: Vec<&String> = terms.allowed.iter().filter(|name| !known(name)).collect();
    unknown.sort();
    for name in unknown {
        let text =
            format!("auth_callout allowed account {name:?} not found in configured accounts");
        report.general_error(text);
    }
}

/// As the dump has it. Nothing of it is a secret.
pub(super) fn shown(terms: &Terms) -> String {
    let list = |names: &HashSet<String>| {
        let mut names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
        names.sort();
        format!("[{}]", names.join(", "))
    };
    let Terms { issuer, account, users, xkey, allowed } = terms;
    let xkey = xkey.map_or_else(String::new, |key| format!(", xkey: {key}"));
    format!(
        "{{issuer: {issuer}, account: {}, auth_users: {}{xkey}, allowed_accounts: {}}}",
        quoted(account),
        list(users),
        list(allowed)
    )
}

/// Public key of an account; nothing if it is none, which was reported.
struct Issuer(Option<String>);

impl FromField<'_> for Issuer {
    fn read(field: Field<'_>) -> Option<Self> {
        let text = String::read(field)?;
        if Role::Account.has(&text) {
            return Some(Self(Some(text)));
        }
        let why = format!(
            "Expected callout user to be a valid public account nkey, got {}",
            masked(&text)
        );
        field.report.error(field.at, why);
        Some(Self(None))
    }
}

/// Public key that encrypts; nothing if it is none, which was reported.
struct CurveKey(Option<PublicKey>);

impl FromField<'_> for CurveKey {
    fn read(field: Field<'_>) -> Option<Self> {
        let text = String::read(field)?;
        let key = PublicKey::parse(&text).filter(xkey::is_usable);
        if key.is_none() {
            let why =
                format!("Expected callout xkey to be a valid public xkey, got {}", masked(&text));
            field.report.error(field.at, why);
        }
        Some(Self(key))
    }
}

/// What stands where a public key should; a seed is not repeated.
pub(super) fn masked(text: &str) -> String {
    if text.starts_with('S') { "a seed, which is a secret".to_owned() } else { format!("{text:?}") }
}

/// A list of names.
struct Names(HashSet<String>);

impl FromField<'_> for Names {
    fn read(field: Field<'_>) -> Option<Self> {
        // One name alone would do elsewhere, but not here.
        match field.value {
            Value::List(_) => {
                Vec::<String>::read(field).map(|names| Self(names.into_iter().collect()))
            }
            _ => field.expected("a list"),
        }
    }
}
