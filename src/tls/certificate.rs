//! Whom a certificate is for: its names, in the forms that Go gives them.

use std::fmt::Write as _;

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::X509Name;

use super::dn::Dn;

/// Attributes that Go knows, in the order in which it lists them. Those with the same number stand
/// together; of the last two kinds only the last one counts.
const KNOWN: [(&str, &str); 9] = [
    ("2.5.4.6", "C"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.17", "POSTALCODE"),
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
];

const SINGLE: [&str; 2] = ["CN", "SERIALNUMBER"];
const DOMAIN_COMPONENT: &str = "0.9.2342.19200300.100.1.25";

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// The subject of a certificate as Go writes it: the last part first.
#[must_use]
pub fn subject(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let name = certificate.subject();
    let known = known(name);
    let others = others(name).map(|(id, value)| other(&id, &value));
    // What Go does not know stands at the end.
    Some(
        [known].into_iter().filter(|it| !it.is_empty()).chain(others).collect::<Vec<_>>().join(","),
    )
}

/// What a user may be called for a certificate to be his, in the order in which that is tried.
#[derive(Debug)]
pub struct Names {
    /// Addresses, hosts and URIs that it is for.
    pub alternatives: Vec<String>,
    /// Its subject, unless it is empty or of some kind that is not known.
    pub subject: Option<Dn>,
    /// The same as text: with its domain components, if it has some, then without.
    pub texts: Vec<String>,
}

/// The names of a certificate; none if it is none.
#[must_use]
pub fn names(der: &[u8]) -> Option<Names> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let alternatives = alternatives.map(|extension| &extension.value.general_names);
    let alternatives = alternatives.into_iter().flatten();
    let of_kind =
        |kind: fn(&GeneralName<'_>) -> Option<String>| alternatives.clone().filter_map(kind);
    let emails = of_kind(|name| match name {
        GeneralName::RFC822Name(text) => Some((*text).to_owned()),
        _ => None,
    });
    let hosts = of_kind(|name| match name {
        GeneralName::DNSName(text) => Some((*text).to_owned()),
        _ => None,
    });
    let uris = of_kind(|name| match name {
        GeneralName::URI(text) => Some((*text).to_owned()),
        _ => None,
    });
    let name = certificate.subject();
    let text = known(name);
    let components: Vec<String> = others(name)
        .filter(|(id, _)| id == DOMAIN_COMPONENT)
        .map(|(_, value)| format!("DC={value}"))
        .collect();
    let with = (!components.is_empty()).then(|| format!("{text},{}", components.join(",")));
    Some(Names {
        alternatives: emails.chain(hosts).chain(uris).collect(),
        subject: Dn::of(name).filter(|_| name.iter_rdn().next().is_some()),
        texts: with.into_iter().chain(Some(text)).filter(|text| !text.is_empty()).collect(),
    })
}

/// Numbers and values of all attributes, in their order.
fn attributes(name: &X509Name<'_>) -> impl Iterator<Item = (String, String)> {
    let all = name.iter_rdn().flat_map(|rdn| rdn.iter());
    let all: Vec<_> = all
        .filter_map(|it| Some((it.attr_type().to_id_string(), it.as_str().ok()?.to_owned())))
        .collect();
    all.into_iter()
}

fn others(name: &X509Name<'_>) -> impl Iterator<Item = (String, String)> {
    let all: Vec<_> =
        attributes(name).filter(|(id, _)| KNOWN.iter().all(|(known, _)| known != id)).collect();
    all.into_iter().rev()
}

/// The attributes that Go knows, the last kind first.
fn known(name: &X509Name<'_>) -> String {
    let all: Vec<_> = attributes(name).collect();
    let mut parts = Vec::new();
    for (id, kind) in KNOWN.iter().rev() {
        let mut values: Vec<&str> =
            all.iter().filter(|(it, _)| it == id).map(|(_, value)| value.as_str()).collect();
        if SINGLE.contains(kind) {
            values = values.pop().into_iter().collect();
        }
        let values: Vec<String> =
            values.iter().map(|value| format!("{kind}={}", escaped(value))).collect();
        if !values.is_empty() {
            parts.push(values.join("+"));
        }
    }
    parts.join(",")
}

fn escaped(value: &str) -> String {
    let mut text = String::new();
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        let blank = c == ' ' && (index == 0 || index == last);
        if special || blank || (c == '#' && index == 0) {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// The number, and the value encoded anew.
fn other(id: &str, value: &str) -> String {
    let mut text = format!("{id}=#");
    for byte in encoded(value) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A string in DER, of the kind that Go chooses for it.
fn encoded(value: &str) -> Vec<u8> {
    let is_printable = |c: char| c.is_ascii_alphanumeric() || " '()+,-./:=?".contains(c);
    let tag = if value.chars().all(is_printable) { PRINTABLE_STRING } else { UTF8_STRING };
    let mut der = vec![tag];
    match u8::try_from(value.len()) {
        Ok(len) if len < 0x80 => der.push(len),
        Ok(len) => der.extend([0x81, len]),
        // Longer than any that X.520 allows: its first bytes tell it well enough.
        Err(_) => der.extend([0x81, u8::MAX]),
    }
    der.extend(value.bytes().take(usize::from(u8::MAX)));
    der
}
