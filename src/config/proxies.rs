//! The `proxies` block: who may vouch for the clients that come through it.

use super::callout::masked;
use super::reader::{Field, Found, FromField, Reader};
use crate::auth::nkey::PublicKey;

/// Reads the keys of all trusted proxies.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Found<Vec<PublicKey>>> {
    let block = reader.optional::<Reader<'_>>(&["proxies"])?;
    let (at, mut block) = (block.at, block.value);
    let fields = block.optional::<Vec<Field<'_>>>(&["trusted"]).map(|found| found.value);
    block.finish();
    let mut keys = Vec::new();
    for field in fields.unwrap_or_default() {
        let Some(mut proxy) = Reader::read(field) else { continue };
        let key = proxy.optional::<Key>(&["key", "public_key"]);
        proxy.finish();
        match key {
            Some(key) => keys.extend(key.value.0),
            None => field.report.error(field.at, "proxy trusted key \"\" is invalid"),
        }
    }
    Some(Found { value: keys, at })
}

/// As the grammar has them.
pub(super) fn shown(keys: &[PublicKey]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("{{key: {key}}}")).collect();
    format!("{{trusted: [{}]}}", keys.join(", "))
}

/// A public key, whoever has it; none if it was reported.
struct Key(Option<PublicKey>);

impl FromField<'_> for Key {
    fn read(field: Field<'_>) -> Option<Self> {
        let Some(text) = String::read(field) else { return Some(Self(None)) };
        let key = PublicKey::parse(&text);
        if key.is_none() {
            field.report.error(field.at, format!("invalid proxy key {}", masked(&text)));
        }
        Some(Self(key))
    }
}
