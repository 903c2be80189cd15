//! Distinguished names: whom a certificate is for, as a list of parts, and the same from the text
//! of a user's name. They are compared part by part, never as text: blanks, escapes and the case of
//! a kind do not matter, and nobody gets in by a value that only looks like several.

use x509_parser::x509::X509Name;

/// Attributes that are known here, by their numbers; a name with any other has no such form.
const KINDS: [(&str, &str); 10] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.5", "SERIALNUMBER"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.17", "POSTALCODE"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// Bytes of a value that may be written after a backslash as they are.
const SPECIAL: &[u8] = b" \"#+,;<=>\\";

/// A part: what kind, in capitals, and what. Several of them may stand together.
type Part = Vec<(String, Vec<u8>)>;

/// A name, the part that is most its own first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Dn(Vec<Part>);

impl Dn {
    /// The name in a certificate; none if some of it is of no known kind.
    pub(super) fn of(name: &X509Name<'_>) -> Option<Self> {
        let part = |rdn: &x509_parser::x509::RelativeDistinguishedName<'_>| {
            let attributes = rdn.iter().map(|attribute| {
                let id = attribute.attr_type().to_id_string();
                let (_, kind) = KINDS.iter().find(|(known, _)| *known == id)?;
                Some(((*kind).to_owned(), attribute.as_str().ok()?.as_bytes().to_vec()))
            });
            Some(sorted(attributes.collect::<Option<Part>>()?))
        };
        let mut parts = name.iter_rdn().map(part).collect::<Option<Vec<Part>>>()?;
        parts.reverse();
        Some(Self(parts))
    }

    /// A name as RFC 4514 writes it: `CN=ann,OU=ops+L=here,O=acme`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = Vec::new();
        let mut part = Part::new();
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (kind, value) = split(rest, b"=")?;
            let kind = unescaped(kind)?;
            if kind.is_empty() || value.first() == Some(&b'#') {
                return None;
            }
            let kind = String::from_utf8(kind).ok()?.to_ascii_uppercase();
            let (value, behind) = split(value, b",+").map_or((value, None), |(value, behind)| {
                let separator = rest.get(rest.len() - behind.len() - 1).copied();
                (value, separator.map(|separator| (separator, behind)))
            });
            part.push((kind, unescaped(value)?));
            let Some((separator, behind)) = behind else { break };
            if separator == b',' {
                parts.push(sorted(std::mem::take(&mut part)));
            }
            if behind.iter().all(|byte| *byte == b' ') {
                return None;
            }
            rest = behind;
        }
        parts.push(sorted(part));
        Some(Self(parts)).filter(|Self(parts)| parts.iter().all(|part| !part.is_empty()))
    }

    /// Whether it has the same parts, in any order.
    #[must_use]
    pub fn has_parts_of(&self, other: &Self) -> bool {
        let all = |Self(parts): &Self| {
            let mut parts = parts.clone();
            parts.sort();
            parts
        };
        all(self) == all(other)
    }
}

/// Those of a part may stand in any order; the same twice is once.
fn sorted(mut part: Part) -> Part {
    part.sort();
    part
}

/// Before and behind the first of these bytes that is not escaped.
fn split<'a>(bytes: &'a [u8], separators: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let mut escaped = false;
    let at = bytes.iter().position(|byte| {
        let found = !escaped && separators.contains(byte);
        escaped = !escaped && *byte == b'\\';
        found
    })?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Without the blanks around it and with what is escaped put in.
fn unescaped(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut blanks = 0;
    let mut rest = bytes;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'\\' => {
                blanks = 0;
                let (&next, behind) = rest.split_first()?;
                if SPECIAL.contains(&next) {
                    out.push(next);
                    rest = behind;
                } else {
                    let (digits, behind) = rest.split_first_chunk::<2>()?;
                    let text = std::str::from_utf8(digits).ok()?;
                    out.push(u8::from_str_radix(text, 16).ok()?);
                    rest = behind;
                }
            }
            b' ' if out.is_empty() => {}
            b' ' => {
                out.push(byte);
                blanks += 1;
            }
            _ => {
                out.push(byte);
                blanks = 0;
            }
        }
    }
    out.truncate(out.len() - blanks);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_rfc_4514_writes_them() {
        let same = [
            ("CN=ann,OU=ops,O=acme", "cn=ann, ou=ops , O = acme"),
            ("CN=a\\,b,O=x", "CN=a\\2cb,O=x"),
            ("CN=a+L=b,O=x", "L=b+CN=a,O=x"),
            ("CN=Lu\\C4\\8Di\\C4\\87", "CN=Lučić"),
            ("CN=\\ a\\ ", "CN=\\20a\\20"),
        ];
        for (one, other) in same {
            assert!(Dn::parse(one).is_some(), "{one}");
            assert_eq!(Dn::parse(one), Dn::parse(other), "{one} {other}");
        }
        for text in ["ann", "=ann", "CN=ann,", "CN=#04024869", "CN=a\\", "CN=a\\zz", "CN=a,OU", ","]
        {
            assert_eq!(Dn::parse(text), None, "{text}");
        }
    }

    #[test]
    fn parts_may_stand_in_any_order_but_must_be_the_same() {
        let parse = |text| Dn::parse(text).unwrap();
        let one = parse("CN=ann,OU=ops,O=acme");
        assert!(one.has_parts_of(&parse("O=acme,CN=ann,OU=ops")));
        assert_ne!(one, parse("O=acme,CN=ann,OU=ops"));
        for other in [
            "CN=ann,OU=ops",
            "CN=ann,OU=ops,O=acme,O=acme",
            "CN=ann,OU=ops,O=Acme",
            "CN=ann+OU=ops,O=acme",
        ] {
            assert!(!one.has_parts_of(&parse(other)), "{other}");
        }
    }

    /// CVE-2026-33248: a name that was compared as text matched where its parts did not.
    #[test]
    fn cve_2026_33248_a_value_is_no_part() {
        let parse = |text| Dn::parse(text).unwrap();
        let admin = parse("CN=admin,O=acme");
        for other in ["CN=admin\\,O=acme", "CN=admin\\,O\\=acme", "O=acme\\,CN=admin", "CN=admin"] {
            assert!(!parse(other).has_parts_of(&admin), "{other}");
        }
        // Twice the same part does not stand for two.
        assert!(!parse("CN=admin,CN=admin").has_parts_of(&admin));
    }
}
