//! What is logged, and where to.

use std::path::PathBuf;

use super::dump::Dump;
use super::reader::Reader;
use super::setting::Setting;
use crate::cli::{Flags, Verbosity};
use crate::observe::log::{Destination, LogFormat};

/// The log.
#[derive(Clone, Debug)]
pub struct Logging {
    /// The life of connections.
    pub debug: Setting<bool>,
    /// Every protocol operation.
    pub trace: Setting<bool>,
    /// Those of the system account too.
    pub trace_verbose: Setting<bool>,
    /// Whether lines carry the time.
    pub time: Setting<bool>,
    /// Whether that is UTC.
    pub utc: Setting<bool>,
    /// A file instead of standard error.
    pub file: Setting<Option<PathBuf>>,
    /// The size at which that file is put aside.
    pub file_bytes_max: Setting<Option<u64>>,
    /// How many such files are kept, the current one counted.
    pub files_max: Setting<Option<usize>>,
    /// The syslog of this host instead of standard error.
    pub syslog: Setting<bool>,
    /// A syslog elsewhere.
    pub remote_syslog: Setting<Option<String>>,
    /// What a line is; only a flag can say.
    pub format: LogFormat,
    /// Bytes of a message that a trace shows; `None` shows all.
    pub traced_len_max: Setting<Option<usize>>,
}

impl Logging {
    pub(super) fn read(reader: &mut Reader<'_>, flags: &Flags) -> Self {
        let asked = flags.verbosity();
        let switch = |default: bool, found| Setting::new(default).or_file(found);
        let trace_verbose = switch(false, reader.optional(&["trace_verbose"]));
        let mut trace = switch(false, reader.optional(&["trace"]));
        if *trace_verbose {
            trace = trace_verbose.clone();
        }
        let traced_len = reader.optional::<i64>(&["max_traced_msg_len"]);
        let flag_len = flags.max_traced_msg_len.map(|len| i64::try_from(len).unwrap_or(i64::MAX));
        Self {
            debug: switch(false, reader.optional(&["debug"])).or_flag("-D", asked.debug),
            trace: trace.or_flag("-V", asked.trace),
            trace_verbose: trace_verbose.or_flag("-VV", asked.trace_verbose),
            time: switch(true, reader.optional(&["logtime"])).or_flag("--logtime", flags.logtime),
            utc: switch(false, reader.optional(&["logtime_utc"]))
                .or_flag("--logtime_utc", flags.logtime_utc),
            file: Setting::new(PathBuf::new())
                .or_file(reader.optional(&["logfile", "log_file"]))
                .or_flag("--log", flags.log_file.clone())
                .map(some_path),
            file_bytes_max: Setting::new(0)
                .or_file(reader.optional(&["logfile_size_limit", "log_size_limit"]))
                .or_flag("--log_size_limit", flags.log_size_limit)
                .map(|size| u64::try_from(size).ok().filter(|size| *size > 0)),
            files_max: Setting::new(0)
                .or_file(reader.optional::<i64>(&["logfile_max_num", "log_max_num"]))
                .map(|count| usize::try_from(count).ok().filter(|count| *count > 0)),
            syslog: switch(false, reader.optional(&["syslog"])).or_flag("--syslog", flags.syslog),
            remote_syslog: Setting::new(String::new())
                .or_file(reader.optional(&["remote_syslog"]))
                .or_flag("--remote_syslog", flags.remote_syslog.clone())
                .map(|url| Some(url).filter(|url| !url.is_empty())),
            format: flags.log_format.unwrap_or_default(),
            traced_len_max: Setting::new(0)
                .or_file(traced_len)
                .or_flag("--max_traced_msg_len", flag_len)
                .map(|len| usize::try_from(len).ok().filter(|len| *len > 0)),
        }
    }

    /// Where the log goes: a file wins over a syslog elsewhere, and that over the one here.
    #[must_use]
    pub fn destination(&self) -> Destination {
        match (&*self.file, &*self.remote_syslog) {
            (Some(path), _) => Destination::File {
                path: path.clone(),
                size_max: *self.file_bytes_max,
                files_max: *self.files_max,
            },
            (None, Some(url)) => Destination::RemoteSyslog(url.clone()),
            (None, None) if *self.syslog => Destination::Syslog,
            (None, None) => Destination::StandardError,
        }
    }

    /// How much is logged.
    #[must_use]
    pub fn verbosity(&self) -> Verbosity {
        Verbosity { debug: *self.debug, trace: *self.trace, trace_verbose: *self.trace_verbose }
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { debug, trace, trace_verbose, time, utc, .. } = self;
        dump.plain("debug", debug);
        dump.plain("trace", trace);
        dump.plain("trace_verbose", trace_verbose);
        dump.plain("logtime", time);
        dump.plain("logtime_utc", utc);
        let Self { file, file_bytes_max, files_max, traced_len_max, .. } = self;
        dump.optional_path("log_file", file);
        dump.number_or_none("logfile_size_limit", file_bytes_max, "0");
        dump.number_or_none("logfile_max_num", files_max, "0");
        dump.plain("syslog", &self.syslog);
        dump.optional_text("remote_syslog", &self.remote_syslog);
        dump.number_or_none("max_traced_msg_len", traced_len_max, "0");
    }
}

/// An empty path asks for nothing.
pub(super) fn some_path(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| !path.as_os_str().is_empty())
}
