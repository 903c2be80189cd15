//! From the settings in force and new ones to what has to be done.
//!
//! A reload is all or nothing: one change that a running server cannot make refuses the whole, with
//! every such change named. What can change is what nats-server can change, and the bounds of
//! the log file; the steps are typed, and each is for the one part of the process that owns the
//! thing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use ringbus_shard::limits::Limits;

use super::{Logging, Settings};
use crate::cli::Verbosity;
use crate::tls::Server;
use crate::tls::clients::Clients;

/// One thing to do.
#[derive(Debug)]
pub enum ReloadStep {
    /// The log goes elsewhere or its lines begin in another way.
    LogSink(Box<Logging>),
    /// More or less is logged.
    Verbosity(Verbosity),
    /// A trace shows this many bytes of a message; `None` shows all.
    TracedLength(Option<usize>),
    /// The shards take these bounds. Connections beyond a lower maximum are closed.
    Limits(Box<Limits>),
    /// Another judge decides who may connect, and who may stay. It follows from the new settings
    /// and the numbers that accounts have in this process.
    Auth,
    /// Clients are told this address from now on.
    ClientAdvertise(Option<String>),
    /// The process ID is written here too.
    PidFile(Option<PathBuf>),
    /// The URLs are written here instead.
    PortsFileDir(Option<PathBuf>),
    /// Monitoring shows these.
    Tags(Vec<String>),
    /// Monitoring shows these.
    Metadata(BTreeMap<String, String>),
    /// Whoever connects over TLS from now on sees another certificate or has other choices; or
    /// there is TLS now, or none any more.
    Tls,
}

/// Why a reload changes nothing; shown as a line for each change that cannot be made.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused(Vec<String>);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Refused {}

/// Settings that need a restart, by their name in the dump, where they are compared as text.
pub(super) const FIXED: &[&str] = &[
    "server_name",
    "host",
    "port",
    "max_pending",
    "max_subscriptions",
    "max_subscription_tokens",
    "no_header_support",
    "proxy_protocol",
    "lame_duck_duration",
    "lame_duck_grace_period",
    "http_host",
    "http_port",
    "https_port",
    "http_base_path",
    "system_account",
    "no_auth_user",
    "operators",
    "trusted_keys",
    "tls.connection_rate_limit",
    "tls.verify_and_map",
    "allow_non_tls",
];

/// What leads from `old` to `new`.
///
/// # Errors
/// Returns the changes that only a restart can make.
pub fn diff(old: &Settings, new: &Settings) -> Result<Vec<ReloadStep>, Refused> {
    refuse(old, new)?;
    let mut steps = Vec::new();
    let (was, is) = (&old.log, &new.log);
    if !same_sink(was, is) {
        steps.push(ReloadStep::LogSink(Box::new(is.clone())));
    }
    if was.verbosity() != is.verbosity() {
        steps.push(ReloadStep::Verbosity(is.verbosity()));
    }
    if *was.traced_len_max != *is.traced_len_max {
        steps.push(ReloadStep::TracedLength(*is.traced_len_max));
    }
    let limits = new.limits.limits(*new.auth.timeout);
    if old.limits.limits(*old.auth.timeout) != limits {
        steps.push(ReloadStep::Limits(Box::new(limits)));
    }
    if !old.auth.same(&new.auth) || !old.operators.same(&new.operators) {
        steps.push(ReloadStep::Auth);
    }
    let advertise: &Option<String> = &new.listen.client_advertise;
    if *old.listen.client_advertise != *advertise {
        steps.push(ReloadStep::ClientAdvertise(advertise.clone()));
    }
    let (pid_file, ports_dir): (&Option<_>, &Option<_>) =
        (&new.life.pid_file, &new.life.ports_file_dir);
    if *old.life.pid_file != *pid_file {
        steps.push(ReloadStep::PidFile(pid_file.clone()));
    }
    if *old.life.ports_file_dir != *ports_dir {
        steps.push(ReloadStep::PortsFileDir(ports_dir.clone()));
    }
    let (tags, metadata): (&Vec<_>, &BTreeMap<_, _>) =
        (&new.names.server_tags, &new.names.server_metadata);
    if *old.names.server_tags != *tags {
        steps.push(ReloadStep::Tags(tags.clone()));
    }
    if *old.names.server_metadata != *metadata {
        steps.push(ReloadStep::Metadata(metadata.clone()));
    }
    let same_server = same(old.tls.server.as_ref(), new.tls.server.as_ref(), Server::same);
    if !same_server || !same(old.tls.clients.as_ref(), new.tls.clients.as_ref(), Clients::same) {
        steps.push(ReloadStep::Tls);
    }
    Ok(steps)
}

fn refuse(old: &Settings, new: &Settings) -> Result<(), Refused> {
    let (old_texts, new_texts) = (old.texts(), new.texts());
    let mut refused = Vec::new();
    for key in FIXED {
        let (was, is) = (old_texts.get(key), new_texts.get(key));
        let may_change = match *key {
            // A free port is the one that the server has.
            "port" => *new.listen.port == 0,
            // It may go together with its user.
            "no_auth_user" => {
                let user = old.auth.no_auth_user.as_deref();
                new.auth.no_auth_user.is_none() && user.is_some_and(|user| !new.auth.has_user(user))
            }
            _ => false,
        };
        if was == is || may_change {
            continue;
        }
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let (was, is) = (text(was), text(is));
        refused.push(format!("config reload not supported for {key}: old={was}, new={is}"));
    }
    if refused.is_empty() { Ok(()) } else { Err(Refused(refused)) }
}

fn same<T>(old: Option<&T>, new: Option<&T>, same: impl Fn(&T, &T) -> bool) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => same(old, new),
        (old, new) => old.is_none() && new.is_none(),
    }
}

/// Whether lines go to the same place and begin in the same way. Settings that another outdoes
/// count too: what changed is told.
fn same_sink(old: &Logging, new: &Logging) -> bool {
    *old.file == *new.file
        && *old.file_bytes_max == *new.file_bytes_max
        && *old.files_max == *new.files_max
        && *old.syslog == *new.syslog
        && *old.remote_syslog == *new.remote_syslog
        && *old.time == *new.time
        && *old.utc == *new.utc
}
