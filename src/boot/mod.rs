//! The life of the process: from the command line to a running server, and to its end.
//!
//! Start order: take what the service manager passed, block signals, raise the fence, open the log,
//! raise limits, examine the host, say who we are, write the pid file, listen for monitoring and
//! for clients, start the data plane, serve monitoring, write the ports file, be ready. Threads are
//! started after the signals are blocked and the fence is raised, and clients can connect only to a
//! server that can serve them.
//!
//! Exit codes: 0 after a clean stop or a command that succeeded, else 1.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringbus_shard::limits::CLOSE_FLUSH;
use ringbus_shard::options::Authenticator as _;
use tracing::{error, info, warn};

use crate::addresses;
use crate::auth::callout::Desk;
use crate::auth::{Accounts, Auth, operator};
use crate::cli::{self, Flags, Invocation, NATS_VERSION, Program};
use crate::config::{self, FileUsed, Loaded, Settings};
use crate::data_plane::{DataPlane, Running, StartOptions, Terms};
use crate::doctor::{self, Finding, Host, Verdict};
use crate::fence::{self, Raised, Writable};
use crate::files::{self, Ports, PortsFile};
use crate::identity::Identity;
use crate::inherit;
use crate::listen::{self, Endpoint};
use crate::monitor::answers::Endpoints;
use crate::monitor::{self, Facts, SharedFacts};
use crate::observe::log::{FATAL, Log};
use crate::service::Service;
use crate::signal::{Request, Signals, Trapped};
use crate::system::{self, Noted, Reload, System};
use crate::tls;

use self::lame_duck::{LameDuck, Step, Timing};
use self::secure::{Limited, say_tls};

/// Beyond this size of a payload nats-server warns.
const PAYLOAD_USUAL: usize = 8 << 20;

/// Runs the program with `argv`, its own name first.
pub fn run(argv: impl Iterator<Item = OsString>, plane: &dyn DataPlane) -> ExitCode {
    let argv: Vec<OsString> = argv.collect();
    let program = Program::from_argv0(argv.first());
    let complain = |text: &dyn std::fmt::Display| {
        // If standard error is gone, the exit code still tells.
        let _ = writeln!(io::stderr(), "{text}");
        ExitCode::FAILURE
    };
    match cli::parse(&program, argv.get(1..).unwrap_or_default()) {
        Err(error) => complain(&error),
        Ok(Invocation::Print(text)) => print(&text),
        Ok(Invocation::Doctor(shards)) => examine(shards),
        Ok(Invocation::Signal(order)) => match order.send() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&format_args!("{}: {error}", program.name())),
        },
        Ok(Invocation::Serve(flags)) => match configured(&program, *flags, plane) {
            Ok(code) => code,
            Err(error) => complain(&format_args!("{}: {error}", program.name())),
        },
    }
}

fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn examine(shards: Option<usize>) -> ExitCode {
    doctor::raise_limits();
    let (text, passed) = doctor::report(&doctor::examine(&Host::read(shards)));
    let printed = print(&text);
    if passed { printed } else { ExitCode::FAILURE }
}

/// Reads the configuration, and does with it what the flags ask for. An error is for standard
/// error: there is no log yet.
fn configured(program: &Program, flags: Flags, plane: &dyn DataPlane) -> Result<ExitCode, String> {
    let Loaded { settings, problems } = config::load(&flags, &config::System)?;
    if flags.check_config == Some(true) {
        let Some(FileUsed { path, digest }) = &settings.file else {
            return Err("-t checks a configuration file: name one with -c".to_owned());
        };
        if !problems.warnings.is_empty() {
            return Err(problems.to_string());
        }
        for note in &problems.notes {
            let _ = writeln!(io::stderr(), "{note}");
        }
        let (name, path) = (program.name(), path.display());
        let _ = writeln!(io::stderr(), "{name}: configuration file {path} is valid ({digest})");
        return Ok(ExitCode::SUCCESS);
    }
    if flags.dump_config == Some(true) {
        return Ok(print(&settings.dump()));
    }
    for warning in &problems.warnings {
        let _ = writeln!(io::stderr(), "{warning}");
    }
    let notes = problems.notes.iter().map(ToString::to_string).collect();
    serve(program, Plan::new(settings, notes, &flags), plane)
}

/// What a server is to be.
struct Plan {
    settings: Settings,
    /// What the operator should know about the configuration.
    notes: Vec<String>,
    /// The flags, for whenever the file is read again.
    flags: Flags,
    /// Asked for by flag, as this is a matter of the host.
    shards: Option<usize>,
    spin: Option<Duration>,
    /// The process may write anything.
    without_fence: bool,
    /// Shorter times than a configuration can have, for tests.
    lame_duck: Option<Timing>,
}

impl Plan {
    fn new(settings: Settings, notes: Vec<String>, flags: &Flags) -> Self {
        let Flags { shards, spin, .. } = *flags;
        let without_fence = flags.no_landlock == Some(true);
        let flags = flags.clone();
        Self { settings, notes, flags, shards, spin, without_fence, lame_duck: None }
    }
}

/// Runs a server to its end. An error is for standard error.
fn serve(program: &Program, plan: Plan, plane: &dyn DataPlane) -> Result<ExitCode, String> {
    // Before the first thread, and before anything else has the descriptor.
    let inherited = inherit::listener()?;
    let signals = Signals::block().map_err(|error| format!("cannot block signals: {error}"))?;
    // What the fence is to leave open must be there.
    operators::prepare(&plan.settings)?;
    // Before the first thread is started, which is that of the log: threads inherit it.
    let fence = (!plan.without_fence).then(|| fence::raise(&writable(&plan.settings)));
    let log = open_log(program, &plan.settings)?;
    // Fails only if there is a subscriber already, and this is the only place that sets one.
    let _ = tracing::subscriber::set_global_default(log.clone());
    doctor::raise_limits();
    let host = Host::read(plan.shards);
    let accounts = Accounts::new(&plan.settings.auth.system_account);
    let service = Service::from_env();
    let server = Server {
        program,
        plan,
        host,
        log: &log,
        plane,
        fence,
        service,
        accounts,
        desk: Desk::default(),
        inherited,
    };
    let ended = server.live(&mut |rest| signals.wait(rest));
    if let Err(why) = &ended {
        error!(target: FATAL, "{why}");
    }
    log.flush();
    Ok(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the process goes on writing.
fn writable(settings: &Settings) -> Writable {
    Writable {
        log: (*settings.log.file).clone(),
        pid: (*settings.life.pid_file).clone(),
        ports: (*settings.life.ports_file_dir).clone(),
        jwts: operators::folder(settings).map(ToOwned::to_owned),
    }
}

fn open_log(program: &Program, settings: &Settings) -> Result<Log, String> {
    Log::start(&reload::log_options(program, &settings.log))
}

/// All that a server is made from.
struct Server<'a> {
    program: &'a Program,
    plan: Plan,
    host: Host,
    log: &'a Log,
    plane: &'a dyn DataPlane,
    fence: Option<Raised>,
    service: Service,
    /// Numbers of accounts.
    accounts: Accounts,
    /// Where judges have others asked.
    desk: Desk,
    /// Where clients connect, if the service manager says so. Until the start.
    inherited: Option<TcpListener>,
}

/// What runs, and what is to be tidied up after it.
struct Live {
    running: Box<dyn Running>,
    monitor: Option<monitor::http::Server>,
    ports_file: Option<PortsFile>,
    /// What monitoring says.
    facts: SharedFacts,
    /// Speaks for the server in the system account.
    system: Option<System>,
    /// Operators who want the configuration read again, and wait for the outcome.
    asked_to_reload: Reload,
    /// What clients are told.
    identity: Identity,
    /// Who may connect.
    auth: Arc<Auth>,
    /// Whose accounts may connect, if operators sign them.
    operators: operator::Current,
    /// Where clients connect.
    endpoint: Endpoint,
    /// The same, and where monitoring listens, as the kernel has it.
    local: SocketAddr,
    watched: Option<SocketAddr>,
    /// What monitoring shows of itself over TLS, if it does.
    tls: Option<tls::Shared>,
    /// How many handshakes of clients may begin within a second, if that is bounded.
    rate: Option<Limited>,
    lame_duck: Option<LameDuck>,
}

/// Starts to speak for the server in the system account.
fn speak(
    running: &dyn Running,
    auth: &Auth,
    endpoints: Arc<Endpoints>,
    noted: Noted,
    operators: operator::Current,
) -> Result<(Option<System>, Reload), String> {
    let (reload, outcomes) = Reload::new();
    let start =
        |control| system::start(auth.server(), control, endpoints, noted, outcomes, operators);
    let system = running.control().map(start).transpose();
    Ok((system.map_err(|error| format!("Can't start system events: {error}"))?, reload))
}

impl Live {
    /// What the service manager shows.
    fn status(&self) -> String {
        format!("Serving clients on {}", self.endpoint)
    }
}

impl Server<'_> {
    /// From start to clean stop. `next` waits for the next signal, at most for the given time.
    fn live(
        mut self,
        next: &mut dyn FnMut(Option<Duration>) -> Option<Trapped>,
    ) -> Result<(), String> {
        let mut live = self.start()?;
        info!("Server is ready");
        self.service.ready(&live.status());
        loop {
            let now = Instant::now();
            let duck = live.lame_duck.as_ref().map(|duck| duck.rest(now));
            let rate = live.rate.as_mut().map(|rate| rate.said(now));
            let rest = duck.into_iter().chain(self.service.rest()).chain(rate).min();
            let goes_on = match next(rest) {
                Some(trapped) => self.obey(trapped, &mut live),
                None => true,
            };
            self.service.watch(live.running.slowest_turn());
            if !goes_on || self.lame_duck_is_over(&mut live) {
                self.stop(live);
                return Ok(());
            }
        }
    }

    fn start(&mut self) -> Result<Live, String> {
        let auth =
            Arc::new(operators::auth(&self.plan.settings, &mut self.accounts, &self.desk, None)?);
        let inherited = self.inherited.take();
        let shared = inherited.is_some();
        let settings = &self.plan.settings;
        let findings = doctor::examine(&self.host);
        if let Some(refusal) = doctor::refusal(&findings) {
            return Err(refusal);
        }
        let keys = callout::keys()?;
        let mut identity = Identity::of(&keys.0, settings.names.server_name.as_deref());
        let cores = self.host.cores.place(self.host.shards);
        banner(self.program, &identity, &cores);
        self.warn(&findings);
        self.tell_fence();
        operators::announce(settings);
        self.write_pid()?;
        let door = self.monitoring()?;
        let (listener, endpoint) = self.listen(inherited, &mut identity)?;
        let local = listener.local_addr().map_err(|error| error.to_string())?;
        let nowhere = Endpoint { host: String::new(), port: 0 };
        let watched_at = door.as_ref().map_or(nowhere, |door| door.endpoint.clone());
        let rate = settings.tls.rate().map(Limited::new);
        let facts = SharedFacts::new(self.facts(&identity, &auth, &watched_at));
        let (notes, noted) = system::notes();
        let running = self
            .plane
            .start(StartOptions {
                cores,
                listener,
                shared,
                terms: self.terms(&identity, &auth, rate.as_ref()),
                spin: self.plan.spin.unwrap_or_default(),
                rest: self.service.rest(),
                notes,
            })
            .map_err(|error| format!("Can't start the shards: {error}"))?;
        let watched = door.as_ref().and_then(|door| door.local_addr().ok());
        let tls = door.as_ref().and_then(|door| door.tls.clone());
        let endpoints = monitor::endpoints(facts.clone(), running.inspector());
        let monitor = door
            .map(|door| door.serve(Arc::clone(&endpoints)))
            .transpose()
            .map_err(|error| format!("Can't start monitoring: {error}"))?;
        let current = operator::Current::of(&auth);
        operators::watch(&auth, &facts, running.control());
        let (system, reload) = speak(&*running, &auth, endpoints, noted, current.clone())?;
        self.ask_through(running.control(), keys, &identity);
        let ports_file = self.write_ports(local, watched);
        Ok(Live {
            running,
            monitor,
            system,
            asked_to_reload: reload,
            ports_file,
            facts,
            identity,
            auth,
            endpoint,
            local,
            watched,
            tls,
            rate,
            lame_duck: None,
            operators: current,
        })
    }

    fn write_pid(&self) -> Result<(), String> {
        let Some(path) = self.plan.settings.life.pid_file.as_ref() else { return Ok(()) };
        files::write_pid(path, std::process::id()).map_err(|error| {
            let (path, cause) = (path.display(), listen::reason(&error));
            format!("Could not write pidfile: open {path}: {cause}")
        })
    }

    /// What monitoring says of this server.
    fn facts(&self, identity: &Identity, auth: &Auth, endpoint: &Endpoint) -> Facts {
        let settings = &self.plan.settings;
        Facts {
            identity: identity.clone(),
            limits: settings.limits.limits(*settings.auth.timeout),
            auth_required: auth.required(),
            accounts: operators::accounts(auth),
            terms: operators::terms(settings, &self.accounts, auth),
            proxies: auth.trusted_proxies().iter().map(|key| key.to_string().into()).collect(),
            system_account: auth.system_account().to_owned(),
            endpoint: endpoint.clone(),
            secure: settings.monitoring.https.is_some(),
            tls: settings.tls.server.clone(),
            clients: settings.tls.clients.clone(),
            base_path: monitor::base_path(settings.monitoring.base_path.as_deref().unwrap_or("")),
            cores: self.host.cores.allowed.len(),
            tags: (*settings.names.server_tags).clone(),
            metadata: (*settings.names.server_metadata).clone(),
            config_digest: settings.file.as_ref().map_or_else(String::new, |f| f.digest.clone()),
            program: self.program.name().to_owned(),
            loaded: None,
        }
    }

    /// On what terms the settings want clients to be served.
    fn terms(&self, identity: &Identity, auth: &Arc<Auth>, rate: Option<&Limited>) -> Terms {
        let settings = &self.plan.settings;
        let tls = settings.tls.clients.clone();
        Terms {
            identity: identity.clone(),
            limits: settings.limits.limits(*settings.auth.timeout),
            headers: !*settings.limits.without_headers,
            auth: Arc::clone(auth),
            accounts: operators::terms(settings, &self.accounts, auth),
            tls: tls.map(|tls| tls.limited(rate.map(Limited::rate))),
            verbosity: settings.log.verbosity(),
            traced_len_max: *settings.log.traced_len_max,
        }
    }

    fn warn(&self, findings: &[Finding]) {
        let settings = &self.plan.settings;
        if settings.auth.has_plain_password() {
            warn!("Plaintext passwords detected, use nkeys or bcrypt");
        }
        if let Some(FileUsed { path, digest }) = &settings.file {
            info!("Using configuration file: {} ({digest})", path.display());
        }
        for note in &self.plan.notes {
            warn!("{note}");
        }
        if *settings.limits.payload > PAYLOAD_USUAL {
            warn!("Payloads over 8 MiB are legal, but they hold up everything behind them");
        }
        for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Warn) {
            let Finding { subject, seen, needed, remedy, .. } = finding;
            warn!("Host: {subject}: {seen} (needed: {needed}). {remedy}");
        }
    }

    fn tell_fence(&self) {
        let Some(fence) = &self.fence else { return };
        if let Some(inside) = fence.inside() {
            info!("Landlock: of all files, the process can write {inside}");
        }
        if let Raised::Not(why) = fence {
            warn!("Landlock: the process can write any file that its user can: {why}");
        }
    }

    /// Opens the listener and tells the identity where it is.
    fn listen(
        &self,
        inherited: Option<TcpListener>,
        identity: &mut Identity,
    ) -> Result<(TcpListener, Endpoint), String> {
        let settings = &self.plan.settings.listen;
        let mut endpoint = Endpoint { host: (*settings.host).clone(), port: *settings.port };
        let is_inherited = inherited.is_some();
        let listener = match inherited {
            Some(listener) => listener,
            None => listen::listen(&endpoint).map_err(|error| error.to_string())?,
        };
        let local = listener.local_addr().map_err(|error| error.to_string())?;
        endpoint.port = local.port();
        if is_inherited {
            endpoint.host = local.ip().to_string();
        }
        info!("Listening for client connections on {endpoint}");
        if let Some(tls) = &self.plan.settings.tls.clients {
            say_tls(tls.terms());
        }
        if *self.plan.settings.limits.proxied {
            info!("PROXY protocol enabled for client connections");
        }

        let told = advertised(settings.client_advertise.as_deref(), &endpoint);
        (identity.host, identity.port) =
            told.map_err(|why| format!("Error setting server INFO with {why}"))?;
        Ok((listener, endpoint))
    }

    /// A server without its ports file still serves; who waits for the file reads the log.
    fn write_ports(&self, local: SocketAddr, monitor: Option<SocketAddr>) -> Option<PortsFile> {
        let dir = self.plan.settings.life.ports_file_dir.as_ref()?;
        let file = PortsFile::new(dir, self.program.name(), std::process::id());
        let interfaces = addresses::of_all_interfaces();
        let settings = &self.plan.settings;
        let scheme = if settings.monitoring.https.is_some() { "https" } else { "http" };
        let required = settings.tls.clients.as_ref().is_some_and(|tls| !tls.terms().optional);
        let own = if required { "tls" } else { "nats" };
        let ports = Ports {
            nats: addresses::urls(own, local, &interfaces),
            monitoring: monitor
                .map_or_else(Vec::new, |local| addresses::urls(scheme, local, &interfaces)),
        };
        if let Err(line) = file.write(&ports) {
            error!("{line}");
        }
        Some(file)
    }

    /// Does what a signal asks. False if that is to stop.
    fn obey(&mut self, (request, name): Trapped, live: &mut Live) -> bool {
        info!("Trapped {name:?} signal");
        match request {
            Request::Stop => return false,
            // Service managers follow up on whatever began the end, and must not cut it short.
            Request::Terminate => return live.lame_duck.is_some(),
            Request::ReopenLog if !self.log.is_file() => {
                info!("File log re-open ignored, not a file logger");
            }
            Request::ReopenLog => match self.log.reopen() {
                Ok(()) => info!("File log re-opened"),
                Err(error) => error!("File log not re-opened: {}", listen::reason(&error)),
            },
            Request::Reload => {
                // A service that is stopping is not ready again.
                let serves = live.lame_duck.is_none();
                if serves {
                    self.service.reloading();
                }
                self.reload(live);
                if serves {
                    self.service.ready(&live.status());
                }
            }
            Request::LameDuck if live.lame_duck.is_some() => {}
            Request::LameDuck => {
                info!("Entering lame duck mode, stop accepting new clients");
                let life = &self.plan.settings.life;
                let (grace, duration) = (*life.lame_duck_grace_period, *life.lame_duck_duration);
                let timing = self.plan.lame_duck.unwrap_or(Timing { grace, duration });
                self.service.stopping("Lame duck: clients move away", timing.duration);
                live.running.lame_duck();
                if let Some(system) = &live.system {
                    system.lame_duck();
                }
                let clients = live.running.connections();
                live.lame_duck = Some(LameDuck::begin(timing, clients, Instant::now()));
            }
        }
        true
    }

    /// Takes the next step of a lame duck; true after the last one.
    fn lame_duck_is_over(&self, live: &mut Live) -> bool {
        let Some(duck) = &mut live.lame_duck else { return false };
        match duck.on_time(Instant::now(), live.running.connections()) {
            Step::Wait => {}
            Step::Begin(count) => {
                info!("Closing existing clients");
                live.running.shed(count);
            }
            Step::Shed(count) => live.running.shed(count),
            Step::Over => return true,
        }
        false
    }

    fn stop(&self, live: Live) {
        info!("Initiating Shutdown...");
        self.service.stopping("Closing connections", CLOSE_FLUSH);
        if let Some(monitor) = live.monitor {
            monitor.stop();
        }
        if let Some(system) = live.system {
            system.stop();
        }
        live.running.stop(CLOSE_FLUSH);
        if let Some(Err(line)) = live.ports_file.map(|file| file.remove()) {
            error!("{line}");
        }
        info!("Server Exiting..");
    }
}

/// Where clients are told that this server is.
fn advertised(text: Option<&str>, endpoint: &Endpoint) -> Result<(String, u16), String> {
    let Some(text) = text else { return Ok((endpoint.host.clone(), endpoint.port)) };
    addresses::advertised(text, endpoint.port)
        .map_err(|why| format!("ClientAdvertise value of {text}, err={why}"))
}

/// The first lines of the log: those of nats-server in its order, then ours.
fn banner(program: &Program, identity: &Identity, cores: &[usize]) {
    let own = env!("CARGO_PKG_VERSION");
    if program.is_nats_server() {
        info!("Starting nats-server");
        info!("  Version:  {NATS_VERSION}");
    } else {
        info!("Starting ringbus");
        info!("  Version:  {own}");
    }
    info!("  Git:      [{}]", identity.git_commit.as_deref().unwrap_or("not set"));
    info!("  Name:     {}", identity.server_name);
    info!("  ID:       {}", identity.server_id);
    if program.is_nats_server() {
        info!("  Ringbus:  {own}");
    } else {
        info!("  nats-server compatible: {NATS_VERSION}");
    }
    let list: Vec<String> = cores.iter().map(ToString::to_string).collect();
    info!("  Shards:   {} (cores {})", cores.len(), list.join(", "));
}

mod callout;
mod lame_duck;
mod operators;
mod reload;
mod secure;

#[cfg(test)]
mod closing;
#[cfg(test)]
mod tests;
