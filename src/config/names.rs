//! What the server is called, and what else is said about it.

use std::collections::BTreeMap;

use super::dump::{Dump, quoted};
use super::listen::non_empty;
use super::reader::{Field, FromField, Reader};
use super::setting::Setting;
use crate::cli::Flags;

/// How the server presents itself.
#[derive(Clone, Debug)]
pub struct Names {
    /// Its name, or none to be called by its ID.
    pub server_name: Setting<Option<String>>,
    /// Labels by which clients choose a server.
    pub server_tags: Setting<Vec<String>>,
    /// What operators want to find again in monitoring.
    pub server_metadata: Setting<BTreeMap<String, String>>,
}

impl Names {
    pub(super) fn read(reader: &mut Reader<'_>, flags: &Flags) -> Self {
        let server_name = reader.optional::<ServerName>(&["server_name"]);
        Self {
            server_name: Setting::new(ServerName(String::new()))
                .or_file(server_name)
                .or_flag("--name", flags.name.clone().map(ServerName))
                .map(|name| non_empty(name.0)),
            server_tags: Setting::new(Vec::new()).or_file(reader.optional(&["server_tags"])),
            server_metadata: Setting::new(BTreeMap::new())
                .or_file(reader.optional(&["server_metadata"])),
        }
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { server_name, server_tags, server_metadata } = self;
        dump.optional_text("server_name", server_name);
        let tags: Vec<String> = server_tags.iter().map(|tag| quoted(tag)).collect();
        dump.line("server_tags", format!("[{}]", tags.join(", ")), server_tags.origin());
        let pairs: Vec<String> =
            server_metadata.iter().map(|(k, v)| format!("{}: {}", quoted(k), quoted(v))).collect();
        dump.line("server_metadata", format!("{{{}}}", pairs.join(", ")), server_metadata.origin());
    }
}

/// A name without spaces.
struct ServerName(String);

impl FromField<'_> for ServerName {
    fn read(field: Field<'_>) -> Option<Self> {
        let name = String::read(field)?;
        if name.contains(' ') {
            return field.fault("server name cannot contain spaces");
        }
        Some(Self(name))
    }
}
