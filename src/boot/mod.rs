//! The life of the process: from the command line to a running server, and to its end.
//!
//! Start order: block signals, raise the fence, open the log, raise limits, examine the host, say
//! who we are, write the pid file, listen, start the data plane, write the ports file, be ready.
//! Threads are started after the signals are blocked and the fence is raised, and clients can
//! connect only to a server that can serve them.
//!
//! Exit codes: 0 after a clean stop or a command that succeeded, else 1.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ringbus_shard::limits::{CLOSE_FLUSH, Limits};
use tracing::{error, info, warn};

use crate::addresses;
use crate::auth::Auth;
use crate::cli::{self, Flags, Invocation, NATS_VERSION, Program};
use crate::data_plane::{DataPlane, Running, StartOptions};
use crate::doctor::{self, Finding, Host, Verdict};
use crate::fence::{self, Raised, Writable};
use crate::files::{self, Ports, PortsFile};
use crate::identity::Identity;
use crate::listen::{self, Endpoint};
use crate::observe::log::{FATAL, Log, LogOptions};
use crate::service::Service;
use crate::signal::{Request, Signals, Trapped};

use self::lame_duck::{LameDuck, Step, Timing};

/// Where clients are expected without `-a` and `-p`.
const HOST: &str = "0.0.0.0";
const PORT: u16 = 4222;

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
        Ok(Invocation::Serve(flags)) => match serve(&program, *flags, plane) {
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

/// Runs a server to its end. An error is for standard error: there is no log yet.
fn serve(program: &Program, flags: Flags, plane: &dyn DataPlane) -> Result<ExitCode, String> {
    let signals = Signals::block().map_err(|error| format!("cannot block signals: {error}"))?;
    let fence = raise_fence(&flags);
    let log = open_log(program, &flags)?;
    // Fails only if there is a subscriber already, and this is the only place that sets one.
    let _ = tracing::subscriber::set_global_default(log.clone());
    doctor::raise_limits();
    let host = Host::read(flags.shards);
    let (service, lame_duck) = (Service::from_env(), Timing::default());
    let server = Server { program, flags, host, log: &log, plane, fence, service, lame_duck };
    let ended = server.live(&mut |rest| signals.wait(rest));
    if let Err(why) = &ended {
        error!(target: FATAL, "{why}");
    }
    log.flush();
    Ok(if ended.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Before the first thread is started, which is that of the log: threads inherit it.
fn raise_fence(flags: &Flags) -> Option<Raised> {
    let named = |path: &Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    let writable = Writable {
        log: named(&flags.log_file),
        pid: named(&flags.pid_file),
        ports: named(&flags.ports_file_dir),
    };
    (flags.no_landlock != Some(true)).then(|| fence::raise(&writable))
}

fn open_log(program: &Program, flags: &Flags) -> Result<Log, String> {
    Log::start(&LogOptions {
        destination: flags.log_destination(),
        format: flags.log_format.unwrap_or_default(),
        time: flags.logtime.unwrap_or(true),
        utc: flags.logtime_utc.unwrap_or(false),
        verbosity: flags.verbosity(),
        program: program.name().to_owned(),
    })
}

/// All that a server is made from.
struct Server<'a> {
    program: &'a Program,
    flags: Flags,
    host: Host,
    log: &'a Log,
    plane: &'a dyn DataPlane,
    fence: Option<Raised>,
    service: Service,
    lame_duck: Timing,
}

/// What runs, and what is to be tidied up after it.
struct Live {
    running: Box<dyn Running>,
    ports_file: Option<PortsFile>,
    /// Where clients connect.
    endpoint: Endpoint,
    lame_duck: Option<LameDuck>,
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
            let rest = duck.into_iter().chain(self.service.rest()).min();
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
        let findings = doctor::examine(&self.host);
        if let Some(refusal) = doctor::refusal(&findings) {
            return Err(refusal);
        }
        let mut identity = Identity::new(self.flags.name.as_deref())
            .map_err(|error| format!("cannot make a server ID: {error}"))?;
        let cores = self.host.cores.place(self.host.shards);
        banner(self.program, &identity, &cores);
        self.warn(&findings);
        self.tell_fence();
        if let Some(path) = self.flags.pid_file.as_ref().filter(|path| !path.as_os_str().is_empty())
        {
            files::write_pid(path, std::process::id()).map_err(|error| {
                let (path, cause) = (path.display(), listen::reason(&error));
                format!("Could not write pidfile: open {path}: {cause}")
            })?;
        }

        let (listener, endpoint) = self.listen(&mut identity)?;
        let local = listener.local_addr().map_err(|error| error.to_string())?;
        let running = self
            .plane
            .start(StartOptions {
                cores,
                listener,
                identity,
                limits: Limits::default(),
                auth: Arc::new(self.auth()),
                verbosity: self.flags.verbosity(),
                traced_len_max: self.flags.max_traced_msg_len.filter(|bytes| *bytes > 0),
                spin: self.flags.spin.unwrap_or_default(),
                rest: self.service.rest(),
            })
            .map_err(|error| format!("Can't start the shards: {error}"))?;
        let ports_file = self.write_ports(local);
        Ok(Live { running, ports_file, endpoint, lame_duck: None })
    }

    fn warn(&self, findings: &[Finding]) {
        let password =
            self.flags.pass.as_ref().map_or("", ringbus_shard::wire::secret::Secret::expose);
        if !password.is_empty() {
            warn!("Plaintext passwords detected, use nkeys or bcrypt");
        }
        for finding in findings.iter().filter(|finding| finding.verdict == Verdict::Warn) {
            let Finding { subject, seen, needed, remedy, .. } = finding;
            warn!("Host: {subject}: {seen} (needed: {needed}). {remedy}");
        }
    }

    fn tell_fence(&self) {
        match &self.fence {
            None => {}
            Some(Raised::Around(places)) => {
                let list: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
                let list = if list.is_empty() { "nothing".to_owned() } else { list.join(", ") };
                info!("Landlock: of all files, the process can write {list}");
            }
            Some(Raised::Not(why)) => {
                warn!("Landlock: the process can write any file that its user can: {why}");
            }
        }
    }

    /// Opens the listener and tells the identity where it is.
    fn listen(&self, identity: &mut Identity) -> Result<(TcpListener, Endpoint), String> {
        let host = self.flags.host.as_deref().filter(|host| !host.is_empty()).unwrap_or(HOST);
        // Zero is the default and -1 a free port, as with nats-server.
        let port = match self.flags.port {
            None | Some(0) => PORT,
            Some(port) => u16::try_from(port).unwrap_or(0),
        };
        let mut endpoint = Endpoint { host: host.to_owned(), port };
        let listener = listen::listen(&endpoint).map_err(|error| error.to_string())?;
        endpoint.port = listener.local_addr().map_err(|error| error.to_string())?.port();
        info!("Listening for client connections on {endpoint}");

        let advertised = self.flags.client_advertise.as_deref().filter(|text| !text.is_empty());
        (identity.host, identity.port) = match advertised {
            None => (endpoint.host.clone(), endpoint.port),
            Some(text) => addresses::advertised(text, endpoint.port).map_err(|why| {
                format!("Error setting server INFO with ClientAdvertise value of {text}, err={why}")
            })?,
        };
        Ok((listener, endpoint))
    }

    fn auth(&mut self) -> Auth {
        Auth::new(self.flags.user.take(), self.flags.pass.take(), self.flags.auth.take())
    }

    /// A server without its ports file still serves; who waits for the file reads the log.
    fn write_ports(&self, local: std::net::SocketAddr) -> Option<PortsFile> {
        let dir = self.flags.ports_file_dir.as_ref().filter(|dir| !dir.as_os_str().is_empty())?;
        let file = PortsFile::new(dir, self.program.name(), std::process::id());
        let interfaces = addresses::of_all_interfaces();
        let ports = Ports { nats: addresses::urls("nats", local, &interfaces) };
        if let Err(line) = file.write(&ports) {
            error!("{line}");
        }
        Some(file)
    }

    /// Does what a signal asks. False if that is to stop.
    fn obey(&self, (request, name): Trapped, live: &mut Live) -> bool {
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
                self.service.reloading();
                warn!("Reload is not supported yet: this release has no configuration file");
                self.service.ready(&live.status());
            }
            Request::LameDuck if live.lame_duck.is_some() => {}
            Request::LameDuck => {
                info!("Entering lame duck mode, stop accepting new clients");
                self.service.stopping("Lame duck: clients move away", self.lame_duck.duration);
                live.running.lame_duck();
                let clients = live.running.connections();
                live.lame_duck = Some(LameDuck::begin(self.lame_duck, clients, Instant::now()));
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
        live.running.stop(CLOSE_FLUSH);
        if let Some(Err(line)) = live.ports_file.map(|file| file.remove()) {
            error!("{line}");
        }
        info!("Server Exiting..");
    }
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

mod lame_duck;

#[cfg(test)]
mod closing;
#[cfg(test)]
mod tests;
