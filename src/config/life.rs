//! The life of the process: the files by which it is found, and how it goes.

use std::path::PathBuf;
use std::time::Duration;

use super::dump::Dump;
use super::log::some_path;
use super::reader::{Field, FromField, Quoted, Reader};
use super::setting::Setting;
use crate::cli::Flags;

const LAME_DUCK_DURATION: Duration = Duration::from_secs(120);
const LAME_DUCK_DURATION_MIN: Duration = Duration::from_secs(30);
const LAME_DUCK_GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Files and the end.
#[derive(Clone, Debug)]
pub struct Life {
    /// Where the process ID is written.
    pub pid_file: Setting<Option<PathBuf>>,
    /// Where the URLs are written.
    pub ports_file_dir: Setting<Option<PathBuf>>,
    /// Over which time a server in lame duck mode closes its clients.
    pub lame_duck_duration: Setting<Duration>,
    /// How long it waits before.
    pub lame_duck_grace_period: Setting<Duration>,
}

impl Life {
    pub(super) fn read(reader: &mut Reader<'_>, flags: &Flags) -> Self {
        let duration = reader.optional::<LameDuck>(&["lame_duck_duration"]);
        let grace = reader.optional::<Quoted>(&["lame_duck_grace_period"]);
        Self {
            pid_file: Setting::new(PathBuf::new())
                .or_file(reader.optional(&["pidfile", "pid_file"]))
                .or_flag("--pid", flags.pid_file.clone())
                .map(some_path),
            ports_file_dir: Setting::new(PathBuf::new())
                .or_file(reader.optional(&["ports_file_dir"]))
                .or_flag("--ports_file_dir", flags.ports_file_dir.clone())
                .map(some_path),
            lame_duck_duration: Setting::new(LameDuck(LAME_DUCK_DURATION))
                .or_file(duration)
                .map(|duration| duration.0),
            lame_duck_grace_period: Setting::new(Quoted(LAME_DUCK_GRACE_PERIOD))
                .or_file(grace)
                .map(|grace| if grace.0.is_zero() { LAME_DUCK_GRACE_PERIOD } else { grace.0 }),
        }
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { pid_file, ports_file_dir, lame_duck_duration, lame_duck_grace_period } = self;
        dump.optional_path("pid_file", pid_file);
        dump.optional_path("ports_file_dir", ports_file_dir);
        dump.duration("lame_duck_duration", lame_duck_duration);
        dump.duration("lame_duck_grace_period", lame_duck_grace_period);
    }
}

struct LameDuck(Duration);

impl FromField<'_> for LameDuck {
    fn read(field: Field<'_>) -> Option<Self> {
        let duration = Quoted::read(field)?.0;
        if duration < LAME_DUCK_DURATION_MIN {
            return field.fault("the minimum is 30 seconds");
        }
        Some(Self(duration))
    }
}
