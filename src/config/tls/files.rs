//! What a `tls` block refers to and chooses from: files of certificates and keys, names of suites,
//! curves and versions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::super::include::Surroundings;
use super::super::reader::{Field, Found, FromField, Reader};
use super::super::reason;
use crate::tls::choice::{self, Curves, Known, Suites};
use crate::tls::{Oldest, pem};

/// A certificate with its chain, and its key.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) cert: Found<PathBuf>,
    pub(super) key: Found<PathBuf>,
}

/// The path under a key, unless it is empty.
pub(super) fn path(
    reader: &mut Reader<'_>,
    names: &'static [&'static str],
) -> Option<Found<PathBuf>> {
    reader.optional::<PathBuf>(names).filter(|path| !path.value.as_os_str().is_empty())
}

/// The pairs of files that the block must name; nothing after saying what is missing.
pub(super) fn files(reader: &mut Reader<'_>, field: Field<'_>) -> Option<Vec<Files>> {
    let files = files_if_any(reader, field)?;
    if files.is_empty() {
        return field.fault("missing 'cert_file' and 'key_file' in TLS configuration");
    }
    Some(files)
}

/// The pairs of files that the block names; nothing after saying what is missing.
pub(super) fn files_if_any(reader: &mut Reader<'_>, field: Field<'_>) -> Option<Vec<Files>> {
    let cert = path(reader, &["cert_file"]);
    let key = path(reader, &["key_file"]);
    let list = reader.optional::<Vec<Field<'_>>>(&["certs", "certificates"]);
    let list = list.map(|list| list.value).unwrap_or_default();
    match (cert, key) {
        (Some(_), _) if !list.is_empty() => {
            field.fault("cannot combine 'cert_file' option with 'certs' option")
        }
        (Some(cert), Some(key)) => Some(vec![Files { cert, key }]),
        (Some(_), None) => field.fault("missing 'key_file' in TLS configuration"),
        (None, Some(_)) => field.fault("missing 'cert_file' in TLS configuration"),
        (None, None) => list.into_iter().map(pair_of_list).collect(),
    }
}

fn pair_of_list(field: Field<'_>) -> Option<Files> {
    let mut reader = Reader::read(field)?;
    let cert = path(&mut reader, &["cert_file"]);
    let key = path(&mut reader, &["key_file"]);
    reader.finish();
    match (cert, key) {
        (Some(cert), Some(key)) => Some(Files { cert, key }),
        _ => field.fault(
            "error parsing certificates config: both 'cert_file' and 'key_file' options are \
             required",
        ),
    }
}

/// Reads and checks them all. Each problem goes to `complain` with the file to blame.
pub(super) fn certificates(
    files: &[Files],
    world: &dyn Surroundings,
    complain: &dyn Fn(&Found<PathBuf>, String),
) -> Option<Vec<Arc<CertifiedKey>>> {
    let mut certificates = Vec::new();
    for (index, Files { cert, key }) in files.iter().enumerate() {
        let which = match files.len() {
            1 => String::new(),
            count => format!(" {}/{count}", index + 1),
        };
        let complain = |found, why| complain(found, format!("{}{which}: {why}", pem::PAIR));
        let chain = load(world, &cert.value).and_then(|text| pem::chain(&cert.value, &text));
        let secret = load(world, &key.value).and_then(|text| pem::key(&key.value, &text));
        let pair = match (chain, secret) {
            (Ok(chain), Ok(secret)) => pem::pair((&cert.value, chain), (&key.value, secret))
                .map_err(|why| complain(cert, why)),
            (chain, secret) => {
                for (found, why) in [(cert, chain.err()), (key, secret.err())] {
                    why.into_iter().for_each(|why| complain(found, why));
                }
                Err(())
            }
        };
        certificates.extend(pair);
    }
    (certificates.len() == files.len()).then_some(certificates)
}

/// The authorities in a file.
pub(super) fn authorities(
    path: &Path,
    world: &dyn Surroundings,
) -> Result<Arc<RootCertStore>, String> {
    load(world, path).and_then(|text| pem::authorities(path, &text))
}

/// A file that may have a key in it.
pub(super) fn load(world: &dyn Surroundings, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    world.read(path).map(Zeroizing::new).map_err(|error| reason(path, &error))
}

/// The suites of a list; nothing after saying what is wrong with it.
pub(super) fn suites_of(field: Field<'_>, insecure: bool) -> Option<Suites> {
    let mut chosen = Vec::new();
    let mut is_sound = true;
    for item in not_empty(field)? {
        let name = <&str>::read(item)?;
        match choice::suite(name) {
            Known::Here(suite) => chosen.push(suite),
            Known::Insecure if !insecure => {
                is_sound = false;
                item.fault::<()>(format!(
                    "insecure cipher suites configured without 'allow_insecure_cipher_suites' \
                     option set: {name}"
                ));
            }
            Known::Elsewhere | Known::Insecure => {
                item.report.note(item.at, format!("cipher suite {name} is not offered here"));
            }
            Known::Nowhere => {
                is_sound = false;
                item.fault::<()>(format!("unrecognized cipher {name}"));
            }
        }
    }
    is_sound.then(|| Suites::chosen(&chosen))
}

impl FromField<'_> for Curves {
    fn read(field: Field<'_>) -> Option<Self> {
        let mut chosen = Vec::new();
        for item in not_empty(field)? {
            let name = <&str>::read(item)?;
            match choice::curve(name) {
                Known::Here(curve) => chosen.push(curve),
                Known::Elsewhere | Known::Insecure => {
                    item.report.note(item.at, format!("curve {name} is not offered here"));
                }
                Known::Nowhere => {
                    return item.fault(format!("unrecognized curve preference {name}"));
                }
            }
        }
        if chosen.is_empty() {
            return field.fault("none of these is offered: add X25519, CurveP256 or CurveP384");
        }
        Some(Self::chosen(chosen))
    }
}

fn not_empty(field: Field<'_>) -> Option<Vec<Field<'_>>> {
    let items = Vec::<Field<'_>>::read(field)?;
    if items.is_empty() { field.fault("it cannot be empty") } else { Some(items) }
}

impl FromField<'_> for Oldest {
    fn read(field: Field<'_>) -> Option<Self> {
        match <&str>::read(field)? {
            "1.2" => Some(Self::Tls12),
            "1.3" => Some(Self::Tls13),
            old @ ("1.0" | "1.1") => field.fault(format!("unsupported TLS version: TLS {old}")),
            other => field.fault(format!("unknown version: {other}")),
        }
    }
}
