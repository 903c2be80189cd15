//! Where clients find the server.

use super::dump::Dump;
use super::reader::{Field, Found, FromField, Reader};
use super::setting::Setting;
use super::value::Value;
use crate::cli::Flags;

/// The address and port without `-a`, `-p` and their keys.
const HOST: &str = "0.0.0.0";
const PORT: u16 = 4222;

/// The client listener.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Address or name.
    pub host: Setting<String>,
    /// Zero lets the kernel choose.
    pub port: Setting<u16>,
    /// The address that clients are told instead.
    pub client_advertise: Setting<Option<String>>,
}

impl Listen {
    /// `listen` gives both parts; `host` and `port` win over it wherever they stand.
    pub(super) fn read(reader: &mut Reader<'_>, flags: &Flags) -> Self {
        let (mut host, mut port) = (Setting::new(String::new()), Setting::new(Port(0)));
        if let Some(listen) = reader.optional::<Address>(&["listen"]) {
            let Address { host: its_host, port: its_port } = listen.value;
            port = port.or_file(Some(Found { value: its_port, at: listen.at.clone() }));
            host = host.or_file(Some(Found { value: its_host, at: listen.at }));
        }
        let flag_port = flags.port.map(Port::from);
        let advertise = reader.optional(&["client_advertise"]);
        Self {
            host: host
                .or_file(reader.optional(&["host", "net"]))
                .or_flag("--addr", flags.host.clone())
                .map(|host| if host.is_empty() { HOST.to_owned() } else { host }),
            port: port
                .or_file(reader.optional(&["port"]))
                .or_flag("--port", flag_port)
                .map(|port| port.resolve(PORT)),
            client_advertise: Setting::new(String::new())
                .or_file(advertise)
                .or_flag("--client_advertise", flags.client_advertise.clone())
                .map(non_empty),
        }
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { host, port, client_advertise } = self;
        dump.text("host", host);
        let free = **port == 0;
        dump.line("port", if free { "-1".to_owned() } else { port.to_string() }, port.origin());
        dump.optional_text("client_advertise", client_advertise);
    }
}

/// An empty text asks for nothing.
pub(super) fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// A port as the operator wrote it: 0 is the default, -1 any free one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Port(i64);

impl Port {
    /// The port to listen on; zero if the kernel is to choose.
    pub(super) fn resolve(self, default: u16) -> u16 {
        if self.0 == 0 { default } else { u16::try_from(self.0).unwrap_or(0) }
    }

    pub(super) const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl From<i32> for Port {
    fn from(port: i32) -> Self {
        Self(i64::from(port))
    }
}

impl FromField<'_> for Port {
    fn read(field: Field<'_>) -> Option<Self> {
        let port = i64::read(field)?;
        if (-1..=65535).contains(&port) {
            return Some(Self(port));
        }
        field.fault(format!("{port} is not a port: use 1 to 65535, or -1 for a free one"))
    }
}

/// `host:port`, or a port alone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: Port,
}

impl FromField<'_> for Address {
    fn read(field: Field<'_>) -> Option<Self> {
        let text = match field.value {
            Value::Integer(_) => {
                return Port::read(field).map(|port| Self { host: String::new(), port });
            }
            Value::Text(text) => text,
            _ => return field.expected("a port or \"host:port\""),
        };
        let Some((host, port)) = split(text) else {
            return field.fault(format!("could not parse address string {text:?}: use host:port"));
        };
        match port.parse() {
            Ok(port) => {
                let port = Port::read(Field { value: &Value::Integer(port), ..field })?;
                Some(Self { host: host.to_owned(), port })
            }
            Err(_) => field.fault(format!("could not parse port {port:?}")),
        }
    }
}

/// Host and port of `host:port`; an IPv6 address is in brackets.
fn split(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    match host.strip_prefix('[') {
        Some(host) => Some((host.strip_suffix(']')?, port)),
        None if host.contains([':', '[', ']']) => None,
        None => Some((host, port)),
    }
}
