//! Reading the configuration again: all of it or nothing.
//!
//! Whatever can fail comes first: reading, comparing, and at last opening the log, which may leave
//! an empty file behind. Then the new settings are in force, every shard is told the same, and the
//! log has a line for each change in the words of nats-server. Only a pid file or ports file that
//! cannot be written is a mere error line, as there.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use ringbus_shard::limits::Limits;
use ringbus_shard::transport::First;
use tracing::{error, info, warn};

use super::{Live, Server, advertised, operators};
use crate::auth::nkey::PublicKey;
use crate::cli::{Program, Verbosity};
use crate::config::{self, Credentials, Loaded, Logging, ReloadStep, Settings, Tls};
use crate::data_plane::Terms;
use crate::files;
use crate::listen;
use crate::monitor::{Facts, round_trip};
use crate::observe::log::{self, LogOptions};

impl Server<'_> {
    /// Reads the file again and does what follows from it; else says why not, and nothing changes.
    pub(super) fn reload(&mut self, live: &mut Live) {
        let outcome = self.try_reload(live);
        if let Err(problems) = &outcome {
            for problem in problems.lines() {
                error!("Failed to reload server configuration: {problem}");
            }
        }
        live.asked_to_reload.answer(&outcome);
    }

    fn try_reload(&mut self, live: &mut Live) -> Result<(), String> {
        if self.plan.settings.file.is_none() {
            return Err(
                "can only reload config when a file is provided using -c or --config".to_owned()
            );
        }
        let Loaded { settings: new, problems } = config::load(&self.plan.flags, &config::System)?;
        let steps = config::diff(&self.plan.settings, &new).map_err(|why| why.to_string())?;
        let told = advertised(new.listen.client_advertise.as_deref(), &live.endpoint)
            .map_err(|why| format!("invalid {why}"))?;
        let sink = steps.iter().find_map(|step| match step {
            ReloadStep::LogSink(to) => Some(self.open_sink(to)),
            _ => None,
        });
        let sink = sink.transpose()?;
        let judge = steps.iter().any(|step| matches!(step, ReloadStep::Auth));
        let was = live.auth.operators().map(Arc::clone);
        let auth = || operators::auth(&new, &mut self.accounts, &self.desk, was.as_deref());
        let judge = judge.then(auth).transpose()?;

        for warning in problems.warnings.iter().chain(&problems.notes) {
            warn!("{warning}");
        }
        let old = std::mem::replace(&mut self.plan.settings, new);
        // "Any free port" asks for no other than the one that is there.
        self.plan.settings.listen.port = old.listen.port.clone();
        (live.identity.host, live.identity.port) = told;
        if let Some(judge) = judge {
            live.auth = Arc::new(judge);
            // What was pushed to the old ones until now holds for the new ones too; who pushes
            // meanwhile waits, or it could be undone by what was before.
            live.operators.replace(live.auth.operators().cloned(), |new| {
                if let Some(old) = &was {
                    new.registry().take_over(old.registry());
                }
            });
            if let Some(old) = &was {
                old.registry().retire();
            }
            // Before anybody is let in by them: whatever changes from now on is told.
            operators::watch(&live.auth, &live.facts, live.running.control());
        }
        self.desk.update(self.introduced(&live.identity), *self.plan.settings.auth.timeout);
        for step in &steps {
            self.take(step, live);
        }
        self.tell_shards(live);
        for step in &steps {
            say(step, &old, &self.plan.settings);
        }
        let new = self.facts(&live.identity, &live.auth, &live.facts.get().endpoint);
        live.facts.set(Facts { loaded: Some(Timestamp::now()), ..new });
        if let Some(operators) = live.auth.operators() {
            operators::show(operators, &live.facts);
        }
        if let Some(sink) = sink {
            self.log.switch(sink);
        }
        let digest = self.plan.settings.file.as_ref().map_or("", |file| &file.digest);
        info!("Reloaded server configuration ({digest})");
        Ok(())
    }

    /// Opens what the log goes to next. The fence is named if it is in the way: nothing that the
    /// operator does to the file would help.
    fn open_sink(&self, to: &Logging) -> Result<log::Next, String> {
        log::Next::open(&log_options(self.program, to)).map_err(|line| {
            match to.file.as_deref().and_then(|file| self.fenced(file)) {
                Some(why) => format!("{line} ({why})"),
                None => line,
            }
        })
    }

    /// Why this process cannot write a file, whatever its user may do, and what helps.
    fn fenced(&self, file: &Path) -> Option<String> {
        let fence = self.fence.as_ref().filter(|fence| fence.keeps_out(file))?;
        let inside = fence.inside()?;
        Some(format!(
            "Landlock: of all files, the process can write {inside}; restart the server to write \
             elsewhere"
        ))
    }

    /// Does what is not for the shards.
    fn take(&mut self, step: &ReloadStep, live: &mut Live) {
        match step {
            ReloadStep::Verbosity(verbosity) => self.log.set_verbosity(*verbosity),
            ReloadStep::PidFile(Some(path)) => {
                if let Err(error) = files::write_pid(path, std::process::id()) {
                    let why = self.fenced(path).map_or_else(String::new, |why| format!(" ({why})"));
                    let (shown, cause) = (path.display(), listen::reason(&error));
                    error!("Failed to write pidfile: open {shown}: {cause}{why}");
                }
            }
            ReloadStep::PortsFileDir(_) => {
                if let Some(Err(line)) = live.ports_file.take().map(|file| file.remove()) {
                    error!("{line}");
                }
                live.ports_file = self.write_ports(live.local, live.watched);
            }
            ReloadStep::Tls => {
                if let (Some(tls), Some(server)) = (&live.tls, &self.plan.settings.tls.server) {
                    tls.set(server.clone());
                }
            }
            ReloadStep::Auth
            | ReloadStep::LogSink(_)
            | ReloadStep::TracedLength(_)
            | ReloadStep::Limits(_)
            | ReloadStep::ClientAdvertise(_)
            | ReloadStep::PidFile(None)
            | ReloadStep::Tags(_)
            | ReloadStep::Metadata(_) => {}
        }
    }

    fn tell_shards(&self, live: &Live) {
        let terms = self.terms(&live.identity, &live.auth, live.rate.as_ref());
        let reloaded = match live.auth.operators() {
            // Nobody tells shards of newer claims before they were told of these.
            Some(operators) => operators.registry().hold(|accounts| {
                live.running.reload(Terms { accounts: Arc::clone(accounts), ..terms })
            }),
            None => live.running.reload(terms),
        };
        match reloaded {
            Ok(0) => {}
            Ok(closed) => info!("Closed {closed} connections to fall within max_connections"),
            // It goes on with the new settings as soon as it goes on at all.
            Err(stuck) => error!("Reload: {stuck}"),
        }
    }
}

/// What the log is to be.
pub(super) fn log_options(program: &Program, log: &Logging) -> LogOptions {
    LogOptions {
        destination: log.destination(),
        format: log.format,
        time: *log.time,
        utc: *log.utc,
        verbosity: log.verbosity(),
        program: program.name().to_owned(),
    }
}

/// Tells the operator of a change.
fn say(step: &ReloadStep, old: &Settings, new: &Settings) {
    match step {
        ReloadStep::LogSink(_) => say_log(&old.log, &new.log),
        ReloadStep::Verbosity(verbosity) => say_verbosity(old.log.verbosity(), *verbosity),
        ReloadStep::TracedLength(most) => {
            info!("Reloaded: max_traced_msg_len = {}", most.unwrap_or(0));
        }
        ReloadStep::Limits(limits) => {
            say_limits(&old.limits.limits(*old.auth.timeout), limits);
        }
        ReloadStep::Auth => say_auth(&old.auth, &new.auth),
        ReloadStep::ClientAdvertise(address) => {
            info!("Reload: client_advertise = {}", address.as_deref().unwrap_or(""));
        }
        ReloadStep::PidFile(None) => {}
        ReloadStep::PidFile(Some(path)) => info!("Reloaded: pid_file = {}", path.display()),
        ReloadStep::PortsFileDir(folder) => {
            let folder = folder.as_deref().unwrap_or_else(|| "".as_ref());
            info!("Reloaded: ports_file_dir = {}", folder.display());
        }
        ReloadStep::Tags(_) => info!("Reloaded: tags"),
        ReloadStep::Metadata(_) => info!("Reloaded: metadata"),
        ReloadStep::Tls => say_tls(&old.tls, &new.tls),
    }
}

fn say_tls(old: &Tls, new: &Tls) {
    let enabled = if new.clients.is_some() { "enabled" } else { "disabled" };
    info!("Reloaded: tls = {enabled}");
    let (Some(was), Some(is)) = (&old.clients, &new.clients) else { return };
    if was.terms().timeout != is.terms().timeout {
        info!("Reloaded: tls timeout = {}", is.terms().timeout.as_secs_f64());
    }
    if was.pinned() != is.pinned() {
        info!("Reloaded: {} pinned_certs", is.pinned().unwrap_or(0));
    }
    if was.terms().first != is.terms().first {
        let first = is.terms().first != First::No;
        info!("Reloaded: Client TLS handshake first: {first}");
    }
}

fn say_log(old: &Logging, new: &Logging) {
    if *old.time != *new.time {
        info!("Reloaded: logtime = {}", *new.time);
    }
    if *old.utc != *new.utc {
        info!("Reloaded: logtime_utc = {}", *new.utc);
    }
    if *old.file != *new.file {
        let file = new.file.as_deref().unwrap_or_else(|| "".as_ref());
        info!("Reloaded: log_file = {}", file.display());
    }
    if *old.file_bytes_max != *new.file_bytes_max {
        info!("Reloaded: logfile_size_limit = {}", new.file_bytes_max.unwrap_or(0));
    }
    if *old.files_max != *new.files_max {
        info!("Reloaded: logfile_max_num = {}", new.files_max.unwrap_or(0));
    }
    if *old.syslog != *new.syslog {
        info!("Reloaded: syslog = {}", *new.syslog);
    }
    if *old.remote_syslog != *new.remote_syslog {
        info!("Reloaded: remote_syslog = {}", new.remote_syslog.as_deref().unwrap_or(""));
    }
}

fn say_verbosity(old: Verbosity, new: Verbosity) {
    if old.debug != new.debug {
        info!("Reloaded: debug = {}", new.debug);
    }
    if old.trace != new.trace {
        info!("Reloaded: trace = {}", new.trace);
    }
    if old.trace_verbose != new.trace_verbose {
        info!("Reloaded: trace_verbose = {}", new.trace_verbose);
    }
}

fn say_auth(old: &Credentials, new: &Credentials) {
    if *old.user != *new.user {
        info!("Reloaded: authorization username");
    }
    if *old.password != *new.password {
        info!("Reloaded: authorization password");
    }
    if *old.token != *new.token {
        info!("Reloaded: authorization token");
    }
    let missing = |from: &[PublicKey], other: &[PublicKey]| {
        let keys = from.iter().filter(|key| !other.contains(key));
        let keys: Vec<String> = keys.map(|key| format!("\"{key}\"")).collect();
        (!keys.is_empty()).then(|| keys.join(" "))
    };
    if let Some(removed) = missing(&old.proxies, &new.proxies) {
        info!("Reloaded: proxies trusted keys [{removed}] were removed");
    }
    if let Some(added) = missing(&new.proxies, &old.proxies) {
        info!("Reloaded: proxies trusted keys [{added}] were added");
    }
    // The users of all accounts are one list to nats-server.
    if *old.users != *new.users || *old.accounts != *new.accounts {
        info!("Reloaded: authorization users");
    }
    if *old.accounts != *new.accounts || *old.mappings != *new.mappings {
        info!("Reloaded: accounts");
    }
}

fn say_limits(old: &Limits, new: &Limits) {
    if old.connections != new.connections {
        info!("Reloaded: max_connections = {}", new.connections.unwrap_or(0));
    }
    if old.ping_interval != new.ping_interval {
        info!("Reloaded: ping_interval = {}", round_trip(new.ping_interval));
    }
    if old.pings_out != new.pings_out {
        info!("Reloaded: ping_max = {}", new.pings_out);
    }
    if old.auth_timeout != new.auth_timeout {
        info!("Reloaded: authorization timeout = {}", new.auth_timeout.as_secs_f64());
    }
    if old.control_line != new.control_line {
        info!("Reloaded: max_control_line = {}", new.control_line);
    }
    if old.payload != new.payload {
        info!("Reloaded: max_payload = {}", new.payload);
    }
    if old.stalls != new.stalls {
        let not = if new.stalls { "" } else { "not " };
        info!("Reloaded: fast producers will {not}be stalled");
    }
    if old.write_deadline != new.write_deadline {
        info!("Reloaded: write_deadline = {}", round_trip(new.write_deadline));
    }
}
