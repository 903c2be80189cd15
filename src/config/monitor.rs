//! Monitoring, over HTTP or HTTPS.

use super::dump::Dump;
use super::listen::{Address, Port, non_empty};
use super::reader::{Found, Reader};
use super::setting::Setting;
use crate::cli::Flags;

/// What is watched, and where.
#[derive(Clone, Debug)]
pub struct Monitoring {
    /// Host of both listeners; none for that of the client listener.
    pub host: Setting<Option<String>>,
    /// HTTP; none if there is none, zero for any free port.
    pub http: Setting<Option<u16>>,
    /// HTTPS.
    pub https: Setting<Option<u16>>,
    /// What all paths begin with.
    pub base_path: Setting<Option<String>>,
}

impl Monitoring {
    /// `http` gives host and port; `http_port` wins over it wherever it stands.
    pub(super) fn read(reader: &mut Reader<'_>, flags: &Flags) -> Self {
        let mut host = Setting::new(String::new());
        let mut address = |names, reader: &mut Reader<'_>| {
            let Found { value, at } = reader.optional::<Address>(names)?;
            host = host.clone().or_file(Some(Found { value: value.host, at: at.clone() }));
            Some(Found { value: value.port, at })
        };
        let http = address(&["http"], reader);
        let https = address(&["https"], reader);
        let http_port = reader.optional(&["http_port", "monitor_port"]);
        let https_port = reader.optional(&["https_port"]);
        let port = |address, port, flag: (&'static str, Option<i32>)| {
            let (name, flag) = (flag.0, flag.1.map(|port| Some(Port::from(port))));
            Setting::new(None).or_file(address).or_file(port).or_flag(name, flag).map(
                |port: Option<Port>| {
                    port.filter(|port| !port.is_zero()).map(|port| port.resolve(0))
                },
            )
        };
        let some = |found: Option<Found<Port>>| found.map(|found| found.map(Some));
        Self {
            host: host.map(non_empty),
            http: port(some(http), some(http_port), ("--http_port", flags.http_port)),
            https: port(some(https), some(https_port), ("--https_port", flags.https_port)),
            base_path: Setting::new(String::new())
                .or_file(reader.optional(&["http_base_path"]))
                .map(non_empty),
        }
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { host, http, https, base_path } = self;
        dump.optional_text("http_host", host);
        dump.number_or_none("http_port", http, "0");
        dump.number_or_none("https_port", https, "0");
        dump.optional_text("http_base_path", base_path);
    }
}
