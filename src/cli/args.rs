//! The flags that do something, and what their values may be.
//!
//! One declaration per flag: its names, the shape of its value, its line in the help. What is typed
//! here is all that the help, a man page or a completion can show.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ringbus_shard::limits::SHARDS_MAX;
use ringbus_shard::wire::secret::Secret;

use super::go_style;
use crate::observe::log::LogFormat;

/// Longest time a shard may spin before it sleeps. Beyond a millisecond spinning saves no wake-up
/// worth its heat.
const SPIN_MAX: Duration = Duration::from_millis(1);

/// The command line of a server, every value checked.
#[derive(Clone, Debug, Default, Parser)]
#[command(
    no_binary_name = true,
    disable_help_flag = true,
    disable_version_flag = true,
    args_override_self = true
)]
#[expect(missing_docs, reason = "the help text of each flag says what it is")]
pub struct Flags {
    #[arg(
        help_heading = "Server options",
        long = "addr",
        short = 'a',
        alias = "net",
        value_name = "host"
    )]
    #[arg(help = "Address or name to listen on (default: 0.0.0.0 and ::)")]
    pub host: Option<String>,
    #[arg(help_heading = "Server options", long, short, value_name = "port", value_parser = port)]
    #[arg(help = "Port for clients; -1 picks a free one (default: 4222)")]
    pub port: Option<i32>,
    #[arg(help_heading = "Server options", long = "http_port", short = 'm')]
    #[arg(value_name = "port", value_parser = http_port)]
    #[arg(help = "Port for monitoring over HTTP; -1 picks a free one
                  (default: 0, no monitoring)")]
    pub http_port: Option<i32>,
    #[arg(help_heading = "Server options", long = "https_port", alias = "ms")]
    #[arg(value_name = "port", value_parser = http_port)]
    #[arg(help = "The same over HTTPS, with the certificate of TLS")]
    pub https_port: Option<i32>,
    #[arg(help_heading = "Server options", long, short, value_name = "file")]
    #[arg(help = "Read this configuration file; flags win over it")]
    #[arg(value_parser = path)]
    pub config: Option<PathBuf>,
    #[arg(help_heading = "Server options", long = "check", short = 't', value_parser = switch)]
    #[arg(help = "Check that file and exit")]
    pub check_config: Option<bool>,
    #[arg(help_heading = "Server options", long = "dump-config", value_parser = switch)]
    #[arg(help = "Show what all settings come to, and why, and exit")]
    pub dump_config: Option<bool>,
    #[arg(help_heading = "Server options", long = "name", short = 'n', value_name = "name")]
    #[arg(alias = "server_name", help = "Name of the server, without spaces (default: its ID)")]
    pub name: Option<String>,
    #[arg(help_heading = "Server options", long = "pid", short = 'P', value_name = "file")]
    #[arg(help = "Write the process ID to this file")]
    #[arg(value_parser = path)]
    pub pid_file: Option<PathBuf>,
    #[arg(help_heading = "Server options", long = "ports_file_dir", value_name = "dir")]
    #[arg(help = "Write its URLs to <program>_<pid>.ports in this directory")]
    #[arg(value_parser = path)]
    pub ports_file_dir: Option<PathBuf>,
    #[arg(help_heading = "Server options", long = "client_advertise", value_name = "host[:port]")]
    #[arg(help = "Address that clients are told to connect to")]
    pub client_advertise: Option<String>,
    #[arg(help_heading = "Server options", long = "signal", alias = "sl")]
    #[arg(value_name = "signal[=<pid>]")]
    #[arg(help = "Tell a running server to stop, quit, term, reopen, reload
                  or ldm, and exit; <pid> is a number, a prefix with *,
                  or a pid file")]
    pub signal: Option<String>,
    #[arg(help_heading = "Server options", long = "no-landlock", value_parser = switch)]
    #[arg(help = "Let the process write anywhere, not only its own files")]
    pub no_landlock: Option<bool>,

    #[arg(help_heading = "Shard options", long, value_name = "count", value_parser = shards)]
    #[arg(help = "Number of shards (default: one per usable core)")]
    pub shards: Option<usize>,
    #[arg(help_heading = "Shard options", long, value_name = "µs", value_parser = spin)]
    #[arg(help = "Longest idle spin of a shard, up to 1000 (default: 0)")]
    pub spin: Option<Duration>,

    #[arg(help_heading = "Logging options", long = "log", short, value_name = "file")]
    #[arg(help = "Log to this file instead of standard error")]
    #[arg(value_parser = path)]
    pub log_file: Option<PathBuf>,
    #[arg(help_heading = "Logging options", long = "log_size_limit", value_name = "bytes")]
    #[arg(value_parser = bytes)]
    #[arg(help = "Put the log file aside once it is larger (default: never)")]
    pub log_size_limit: Option<i64>,
    #[arg(help_heading = "Logging options", long = "log-format", value_name = "format")]
    #[arg(value_parser = log_format)]
    #[arg(help = "How lines look: text or json (default: text)")]
    pub log_format: Option<LogFormat>,
    #[arg(help_heading = "Logging options", long, short = 's', value_parser = switch)]
    #[arg(help = "Log to the syslog of this host")]
    pub syslog: Option<bool>,
    #[arg(help_heading = "Logging options", long = "remote_syslog", short = 'r')]
    #[arg(value_name = "url", help = "Log to a syslog elsewhere, as udp://host:514")]
    pub remote_syslog: Option<String>,
    #[arg(help_heading = "Logging options", long, short = 'T', value_parser = switch)]
    #[arg(help = "Put the time into log lines (default: true)")]
    pub logtime: Option<bool>,
    #[arg(help_heading = "Logging options", long = "logtime_utc", value_parser = switch)]
    #[arg(help = "Log in UTC instead of the local time zone")]
    pub logtime_utc: Option<bool>,
    #[arg(help_heading = "Logging options", long, short = 'D', value_parser = switch)]
    #[arg(help = "Log the life of connections too")]
    pub debug: Option<bool>,
    #[arg(help_heading = "Logging options", long, short = 'V', value_parser = switch)]
    #[arg(help = "Log every protocol operation too")]
    pub trace: Option<bool>,
    #[arg(help_heading = "Logging options", long = "VV", value_parser = switch)]
    #[arg(help = "As -V, and the system account once there is one")]
    pub trace_verbose: Option<bool>,
    #[arg(help_heading = "Logging options", long = "DV", value_parser = switch)]
    #[arg(help = "As -D and -V")]
    pub debug_trace: Option<bool>,
    #[arg(help_heading = "Logging options", long = "DVV", value_parser = switch)]
    #[arg(help = "As -D and -VV")]
    pub debug_trace_verbose: Option<bool>,
    #[arg(help_heading = "Logging options", long = "max_traced_msg_len", value_name = "bytes")]
    #[arg(value_parser = length, help = "Bytes of a message that -V shows (default: all)")]
    pub max_traced_msg_len: Option<usize>,

    #[arg(help_heading = "TLS options", long, value_parser = switch)]
    #[arg(help = "Clients use TLS; false: they do not, whatever the file says")]
    pub tls: Option<bool>,
    #[arg(help_heading = "TLS options", long = "tlscert", value_name = "file")]
    #[arg(value_parser = path, help = "Certificate of the server, with its chain")]
    pub tls_cert: Option<PathBuf>,
    #[arg(help_heading = "TLS options", long = "tlskey", value_name = "file")]
    #[arg(value_parser = path, help = "Private key of that certificate")]
    pub tls_key: Option<PathBuf>,
    #[arg(help_heading = "TLS options", long = "tlsverify", value_parser = switch)]
    #[arg(help = "Clients need a certificate, too")]
    pub tls_verify: Option<bool>,
    #[arg(help_heading = "TLS options", long = "tlscacert", value_name = "file")]
    #[arg(value_parser = path, help = "Authorities that sign certificates of clients")]
    pub tls_ca: Option<PathBuf>,

    #[arg(help_heading = "Authorization options", long, value_name = "user")]
    #[arg(help = "User that clients must name")]
    pub user: Option<String>,
    #[arg(help_heading = "Authorization options", long, value_name = "password")]
    #[arg(value_parser = secret, help = "Password of that user")]
    pub pass: Option<Secret>,
    #[arg(help_heading = "Authorization options", long, value_name = "token")]
    #[arg(value_parser = secret, help = "Token that clients must give; wins over --user")]
    pub auth: Option<Secret>,

    #[arg(help_heading = "Common options", long, short, value_parser = switch)]
    #[arg(help = "Show this text")]
    pub help: Option<bool>,
    #[arg(help_heading = "Common options", long, short, value_parser = switch)]
    #[arg(help = "Show the version")]
    pub version: Option<bool>,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Verbosity {
    /// The life of connections.
    pub debug: bool,
    /// Every protocol operation.
    pub trace: bool,
    /// Those of the system account too.
    pub trace_verbose: bool,
}

/// What the flags say of it; `None` leaves it to the configuration file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "as in Verbosity")]
pub struct VerbosityAsked {
    pub debug: Option<bool>,
    pub trace: Option<bool>,
    pub trace_verbose: Option<bool>,
}

impl Flags {
    /// What `-D`, `-V`, `-DV`, `-VV` and `-DVV` come to together. A combined flag overrides its
    /// parts, also when it is switched off.
    #[must_use]
    pub fn verbosity(&self) -> VerbosityAsked {
        let mut asked =
            VerbosityAsked { debug: self.debug, trace: self.trace, trace_verbose: None };
        if self.debug_trace.is_some() {
            (asked.debug, asked.trace) = (self.debug_trace, self.debug_trace);
        }
        if let all @ Some(_) = self.debug_trace_verbose {
            asked = VerbosityAsked { debug: all, trace: all, trace_verbose: all };
        }
        if self.trace_verbose.is_some() {
            (asked.trace, asked.trace_verbose) = (self.trace_verbose, self.trace_verbose);
        }
        asked
    }

    /// Rules that no single value can break.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.name.as_deref().is_some_and(|name| name.contains(' ')) {
            return Err("server name cannot contain spaces".to_owned());
        }
        Ok(())
    }
}

fn switch(text: &str) -> Result<bool, String> {
    go_style::boolean(text).ok_or_else(|| "use true or false".to_owned())
}

fn port(text: &str) -> Result<i32, String> {
    go_style::integer(text)
        .filter(|port| (-1..=65535).contains(port))
        .and_then(|port| i32::try_from(port).ok())
        .ok_or_else(|| "a port is 1 to 65535, -1 for a free one, or 0 for the default".to_owned())
}

fn http_port(text: &str) -> Result<i32, String> {
    port(text).map_err(|_| "a port is 1 to 65535, -1 for a free one, or 0 for none".to_owned())
}

/// An empty path asks for nothing, where clap would find it missing.
#[expect(clippy::unnecessary_wraps, reason = "the shape that clap asks of a value parser")]
fn path(text: &str) -> Result<PathBuf, String> {
    Ok(PathBuf::from(text))
}

fn shards(text: &str) -> Result<usize, String> {
    go_style::integer(text)
        .and_then(|count| usize::try_from(count).ok())
        .filter(|count| (1..=SHARDS_MAX).contains(count))
        .ok_or_else(|| format!("the number of shards is 1 to {SHARDS_MAX}"))
}

fn spin(text: &str) -> Result<Duration, String> {
    go_style::integer(text)
        .and_then(|micros| u64::try_from(micros).ok())
        .map(Duration::from_micros)
        .filter(|time| *time <= SPIN_MAX)
        .ok_or_else(|| format!("microseconds to spin are 0 to {}", SPIN_MAX.as_micros()))
}

fn bytes(text: &str) -> Result<i64, String> {
    go_style::integer(text).ok_or_else(|| "it must be a whole number".to_owned())
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("a log is text or json".to_owned()),
    }
}

fn length(text: &str) -> Result<usize, String> {
    go_style::integer(text)
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| "a number of bytes, or 0 for all".to_owned())
}

#[expect(clippy::unnecessary_wraps, reason = "the shape that clap asks of a value parser")]
fn secret(text: &str) -> Result<Secret, String> {
    Ok(Secret::from(text.to_owned()))
}
