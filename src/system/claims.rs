//! Claims about accounts that operators send, list and delete: `$SYS.REQ.CLAIMS.*` and
//! `$SYS.REQ.ACCOUNT.*.CLAIMS.*`, as `nsc push` and other servers ask.
//!
//! Claims are kept, and come into force, only if an operator that is trusted signed them.

use serde::Serialize;
use tracing::{debug, error};

use super::messages::{ServerInfo, to_json};
use crate::auth::jwt::key::Role;
use crate::auth::jwt::{AccountClaims, GenericClaims};
use crate::auth::operator::resolver::{Delete, Directory, Mode, Resolver};
use crate::auth::operator::{Operators, Registry};

/// What is listened to, and in which queue group.
pub(super) fn patterns(operators: &Operators) -> Vec<(&'static str, &'static str)> {
    let mut patterns =
        vec![("$SYS.ACCOUNT.*.CLAIMS.UPDATE", ""), ("$SYS.REQ.ACCOUNT.*.CLAIMS.UPDATE", "")];
    if let Resolver::Directory(folder) = &**operators.registry().resolver() {
        patterns.extend([
            ("$SYS.REQ.CLAIMS.UPDATE", ""),
            ("$SYS.REQ.CLAIMS.LIST", ""),
            ("$SYS.REQ.CLAIMS.DELETE", ""),
        ]);
        if matches!(folder.mode(), Mode::Full(_)) {
            patterns.push(("$SYS.REQ.ACCOUNT.*.CLAIMS.LOOKUP", ""));
            patterns.push(("$SYS.REQ.CLAIMS.PACK", "responder"));
        }
    }
    patterns
}

/// What is answered.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Reply {
    /// This.
    One(Vec<u8>),
    /// The claims about these accounts, each in a message, and an empty one behind.
    Pack(Vec<String>),
}

#[derive(Debug, Serialize)]
struct Response<'a> {
    server: &'a ServerInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
    code: u16,
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct Failure<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    account: &'a str,
    code: u16,
    description: String,
}

/// Words of a kind of resolver.
struct Words {
    updated: &'static str,
    skipped: &'static str,
    failed: &'static str,
    invalid: &'static str,
}

const FULL: Words = Words {
    updated: "jwt updated",
    skipped: "jwt update skipped",
    failed: "jwt update resulted in error",
    invalid: "jwt validation failed",
};

const CACHE: Words = Words {
    updated: "jwt updated cache",
    skipped: "jwt update cache skipped",
    failed: "jwt update cache resulted in error",
    invalid: "jwt update cache validation failed",
};

/// Answers a request; nothing if it is none about claims.
pub(super) fn answer(
    operators: &Operators,
    server: &ServerInfo,
    subject: &str,
    body: &[u8],
) -> Option<Reply> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let desk = Desk { registry: operators.registry(), server };
    Some(match tokens.as_slice() {
        ["$SYS", "REQ", "ACCOUNT", key, "CLAIMS", "UPDATE"]
        | ["$SYS", "ACCOUNT", key, "CLAIMS", "UPDATE"] => desk.update(Some(key), body),
        ["$SYS", "REQ", "CLAIMS", "UPDATE"] => desk.update(None, body),
        ["$SYS", "REQ", "CLAIMS", "LIST"] => desk.list()?,
        ["$SYS", "REQ", "CLAIMS", "DELETE"] => desk.delete(body)?,
        ["$SYS", "REQ", "CLAIMS", "PACK"] => desk.pack(body)?,
        ["$SYS", "REQ", "ACCOUNT", key, "CLAIMS", "LOOKUP"] => desk.look_up(key)?,
        _ => return None,
    })
}

struct Desk<'a> {
    registry: &'a Registry,
    server: &'a ServerInfo,
}

impl Desk<'_> {
    fn folder(&self) -> Option<&Directory> {
        match &**self.registry.resolver() {
            Resolver::Directory(folder) => Some(folder),
            Resolver::Memory(_) | Resolver::Url(_) => None,
        }
    }

    /// Keeps claims and puts them into force. `key` is the account that they should be about.
    fn update(&self, key: Option<&str>, body: &[u8]) -> Reply {
        let folder = self.folder();
        let is_cache = folder.is_some_and(|folder| matches!(folder.mode(), Mode::Cache(_)));
        let words = if is_cache { &CACHE } else { &FULL };
        let text = String::from_utf8_lossy(body);
        let text = text.trim_ascii();
        let claims = match AccountClaims::decode(text) {
            Ok(claims) => claims,
            Err(fault) => {
                let account = key.filter(|_| is_cache || folder.is_none()).unwrap_or("n/a");
                return self.failed(account, words.failed, &fault.to_string());
            }
        };
        let subject = claims.subject.as_str();
        if key.is_some_and(|key| key != subject) {
            let why = "subject does not match jwt content";
            return self.failed(key.unwrap_or_default(), words.failed, why);
        }
        if !self.registry.rules().may_issue(&claims.issuer) {
            let why = "operator requires issuer to be a signing key";
            return self.failed(subject, words.failed, why);
        }
        // A cache has what was asked for: what nobody asked for is not for it.
        let is_cached = || folder.is_some_and(|folder| folder.load(subject).is_ok());
        let is_wanted = (!is_cache && folder.is_some()) || self.registry.get(subject).is_some();
        if !is_wanted && !is_cached() {
            // Unless somebody asks right now.
            self.registry.is_pushed(subject);
            return self.done(subject, words.skipped);
        }
        let issues = claims.issues(0);
        if issues.block_ever() {
            let why = format!("validation errors: [{}]", issues.errors().join(" "));
            return self.failed(subject, words.invalid, &why);
        }
        if let Err(why) = self.registry.check(subject, text) {
            return self.failed(subject, words.failed, &why.to_string());
        }
        if let Some(Err(why)) = folder.map(|folder| folder.save(subject, text)) {
            return self.failed(subject, words.failed, &why);
        }
        let is_known = self.registry.is_pushed(subject);
        if is_known && let Err(why) = self.registry.update(subject, text) {
            return self.failed(subject, words.failed, &why.to_string());
        }
        self.done(subject, words.updated)
    }

    fn list(&self) -> Option<Reply> {
        #[derive(Serialize)]
        struct List<'a> {
            server: &'a ServerInfo,
            data: Vec<String>,
        }
        let data = self.folder()?.keys();
        debug!("list request responded with {} account ids", data.len());
        Some(Reply::One(to_json(&List { server: self.server, data })))
    }

    fn delete(&self, body: &[u8]) -> Option<Reply> {
        let folder = self.folder()?;
        let text = String::from_utf8_lossy(body);
        let claims = match GenericClaims::decode(&text) {
            Ok(claims) => claims,
            Err(fault) => {
                let message = "delete accounts request by  failed";
                return Some(self.failed("", message, &fault.to_string()));
            }
        };
        let keys = match self.deletable(folder, &claims) {
            Ok(keys) => keys,
            Err(why) => {
                let message = format!("delete accounts request by {} failed", claims.subject);
                return Some(self.failed("", &message, why));
            }
        };
        let (mut count, mut failures) = (0_usize, Vec::new());
        for key in keys {
            match folder.delete(key) {
                Ok(()) => {
                    debug!("Disable account {key} due to remove");
                    self.registry.remove(key);
                    count += 1;
                }
                Err(why) => failures.push(why),
            }
        }
        if failures.is_empty() {
            return Some(self.done("", &format!("deleted {count} accounts")));
        }
        let message = format!("deleted {count} accounts, failed for {}", failures.len());
        Some(self.failed("", &message, &failures.join("\n")))
    }

    /// The accounts that an operator wants deleted, if he may.
    fn deletable<'a>(
        &self,
        folder: &Directory,
        claims: &'a GenericClaims,
    ) -> Result<Vec<&'a str>, &'static str> {
        if matches!(folder.mode(), Mode::Full(Delete::Never)) {
            return Err("delete must be enabled in server config");
        }
        if claims.subject != claims.issuer {
            return Err("not self signed");
        }
        if !self.registry.rules().may_delete(&claims.issuer) {
            return Err("not trusted");
        }
        let list = claims.data.get("accounts").and_then(|list| list.as_array());
        let list = list.ok_or("malformed request")?;
        let key = |entry: &'a serde_json::Value| {
            let key = entry.as_str().filter(|key| Role::Account.has(key));
            let key = key.ok_or("malformed request")?;
            if self.registry.is_system(key) {
                return Err("not allowed to delete system account");
            }
            Ok(key)
        };
        list.iter().map(key).collect()
    }

    fn pack(&self, theirs: &[u8]) -> Option<Reply> {
        let folder = self.folder()?;
        let same = theirs == folder.hash();
        Some(Reply::Pack(if same { Vec::new() } else { folder.keys() }))
    }

    /// The claims as they are; nothing tells those who ask that there are none.
    fn look_up(&self, key: &str) -> Option<Reply> {
        let text = self.folder()?.load(key);
        Some(Reply::One(text.map_or_else(|_| Vec::new(), String::into_bytes)))
    }

    fn done(&self, account: &str, message: &str) -> Reply {
        debug!("{message} - {account}");
        let data = Some(Status { account, code: 200, message });
        Reply::One(to_json(&Response { server: self.server, data, error: None }))
    }

    fn failed(&self, account: &str, message: &str, why: &str) -> Reply {
        let shown = if account.is_empty() { String::new() } else { format!(" - {account}") };
        error!("{message}{shown} - {why}");
        let error = Some(Failure { account, code: 500, description: format!("{message} - {why}") });
        Reply::One(to_json(&Response { server: self.server, data: None, error }))
    }
}

/// One message of a pack: the public key, and the claims if they are still there.
pub(super) fn packed(operators: &Operators, key: &str) -> Option<Vec<u8>> {
    let Resolver::Directory(folder) = &**operators.registry().resolver() else { return None };
    Some(format!("{key}|{}", folder.load(key).ok()?).into_bytes())
}
