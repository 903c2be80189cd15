//! Whom a certificate is for: its names, in the forms that Go gives them.

use std::fmt::Write as _;

use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Attributes that Go shows by a name; others are shown by their number.
const NAMES: [(&str, &str); 9] = [
    ("2.5.4.6", "C"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.17", "POSTALCODE"),
];

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;

/// The subject of a certificate as Go writes it: the last part first.
#[must_use]
pub fn subject(der: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(written(certificate.subject()))
}

fn written(name: &X509Name<'_>) -> String {
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (index, part) in parts.iter().rev().enumerate() {
        if index > 0 {
            text.push(',');
        }
        for (index, attribute) in part.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let id = attribute.attr_type().to_id_string();
    let name = NAMES.iter().find(|(known, _)| *known == id).map(|(_, name)| *name);
    let Some(name) = name else {
        // As Go does: the number, and the value encoded anew.
        let value = attribute.as_str().unwrap_or_default();
        let _ = write!(text, "{id}=#");
        for byte in encoded(value) {
            let _ = write!(text, "{byte:02x}");
        }
        return;
    };
    let value = attribute.as_str().unwrap_or_default();
    let _ = write!(text, "{name}=");
    let last = value.chars().count().saturating_sub(1);
    for (index, c) in value.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        let blank = c == ' ' && (index == 0 || index == last);
        if special || blank || (c == '#' && index == 0) {
            text.push('\\');
        }
        text.push(c);
    }
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
