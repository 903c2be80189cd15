//! `resolver_tls`: what is shown to a server of claims, and whose word is taken for who it is.
//!
//! Its keys are those of a `tls` block. Those that only a server has a use for are accepted, as
//! nats-server does, with a note where one asks for something.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use ureq::tls::PrivateKey;

use super::super::auth::Timeout;
use super::super::dump::quoted;
use super::super::include::Surroundings;
use super::super::later;
use super::super::problem::Spot;
use super::super::reader::{Field, Found, FromField as _, Reader};
use super::files::{Files, authorities, files_if_any, load, path, suites_of};
use super::{Pinned, Rate};
use crate::tls::choice::Curves;
use crate::tls::outgoing::{Identity, Outgoing};
use crate::tls::{Oldest, pem};

/// How a server of claims is asked.
#[derive(Clone, Debug, Default)]
pub struct ResolverTls {
    files: Option<Files>,
    ca: Option<PathBuf>,
    /// With the files read.
    pub outgoing: Outgoing,
}

impl fmt::Display for ResolverTls {
    /// As the dump has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, ca, outgoing } = self;
        let text = |path: Option<&Path>| {
            quoted(&path.map_or_else(String::new, |path| path.display().to_string()))
        };
        let cert = text(files.as_ref().map(|files| &*files.cert.value));
        let key = text(files.as_ref().map(|files| &*files.key.value));
        let (ca, insecure) = (text(ca.as_deref()), outgoing.is_insecure);
        let oldest = outgoing.oldest;
        write!(f, "{{cert_file: {cert}, key_file: {key}, ca_file: {ca}, ")?;
        write!(f, "insecure: {insecure}, min_version: \"{oldest}\"}}")
    }
}

impl ResolverTls {
    /// Reads the block and its files; nothing after saying what is wrong.
    pub(in super::super) fn read(field: Field<'_>, world: &dyn Surroundings) -> Option<Self> {
        let mut reader = Reader::read(field)?;
        let oldest = reader.optional::<Oldest>(&["min_version"]);
        let curves = reader.optional::<Curves>(&["curve_preferences"]);
        let weak = reader.optional::<bool>(&["allow_insecure_cipher_suites"]);
        let weak = weak.is_some_and(|weak| weak.value);
        let suites = reader.take(&["cipher_suites"]);
        let suites = suites.last().map(|entry| suites_of(Field::of(entry, field.report), weak));
        let files = files_if_any(&mut reader, field);
        let ca = path(&mut reader, &["ca_file"]);
        let insecure = reader.optional::<bool>(&["insecure"]).filter(|found| found.value);
        pass_over(&mut reader);
        later::refuse(&mut reader, later::IN_TLS);
        reader.finish();
        if let Some(Found { at, .. }) = insecure.as_ref() {
            let text = "key \"insecure\": whoever answers in place of the resolver is believed";
            field.report.warn(at, text);
        }
        let is_sound = !matches!(suites, Some(None));
        let files = only(files?, field)?;
        let identity = files.as_ref().map(|files| identity(files, field, world));
        let trusted = ca.as_ref().map(|ca| {
            let read = certificates(&ca.value, world);
            read.map_err(|why| field.report.error(&ca.at, why)).ok()
        });
        if !is_sound || matches!(identity, Some(None)) || matches!(trusted, Some(None)) {
            return None;
        }
        Some(Self {
            files,
            ca: ca.map(|ca| ca.value),
            outgoing: Outgoing {
                identity: identity.flatten().map(Arc::new),
                authorities: trusted.flatten().map(Arc::new),
                suites: suites.flatten(),
                curves: curves.map(|curves| curves.value),
                oldest: oldest.map(|oldest| oldest.value).unwrap_or_default(),
                is_insecure: insecure.is_some(),
            },
        })
    }
}

/// There is one server to show a certificate to: one is enough.
fn only(mut files: Vec<Files>, field: Field<'_>) -> Option<Option<Files>> {
    let first = files.pop();
    match files.len() {
        0 => Some(first),
        more => field.fault(format!(
            "expected one pair of 'cert_file' and 'key_file' to show to the resolver, found {}",
            more + 1
        )),
    }
}

fn identity(files: &Files, field: Field<'_>, world: &dyn Surroundings) -> Option<Identity> {
    let Files { cert, key } = files;
    let complain = |found: &Found<PathBuf>, why: String| {
        field.report.error(&found.at, format!("{}: {why}", pem::PAIR));
    };
    let chain = load(world, &cert.value).and_then(|text| pem::chain(&cert.value, &text));
    let secret = load(world, &key.value).and_then(|text| {
        let shown = PrivateKey::from_pem(&text).map_err(|error| error.to_string());
        pem::key(&key.value, &text).and_then(|checked| Ok((checked, shown?)))
    });
    match (chain, secret) {
        (Ok(chain), Ok((checked, secret))) => {
            let copy = (&*cert.value, chain.clone());
            match pem::pair(copy, (&key.value, checked)) {
                Ok(_) => Some(Identity { chain, key: secret }),
                Err(why) => {
                    complain(cert, why);
                    None
                }
            }
        }
        (chain, secret) => {
            for (found, why) in [(cert, chain.err()), (key, secret.err())] {
                why.into_iter().for_each(|why| complain(found, why));
            }
            None
        }
    }
}

/// The certificates of authorities in a file, of which at least one is sound.
fn certificates(
    path: &Path,
    world: &dyn Surroundings,
) -> Result<Vec<CertificateDer<'static>>, String> {
    authorities(path, world)?;
    let text = load(world, path)?;
    Ok(CertificateDer::pem_slice_iter(&text).flatten().collect())
}

/// Takes the keys that change nothing for whoever asks, and says so where something is asked for.
fn pass_over(reader: &mut Reader<'_>) {
    let report = reader.report();
    let known = reader.optional::<bool>(&["verify_cert_and_check_known_urls"]);
    if let Some(Found { value: true, at }) = known {
        report.error(&at, "verify_cert_and_check_known_urls not supported in this context");
    }
    let note = |key: &str, at: &Spot| {
        report.note(at, format!("key \"{key}\": it is for connections to this server"));
    };
    if let Some(Found { value: true, at }) = reader.optional::<bool>(&["verify"]) {
        note("verify", &at);
    }
    if let Some(Found { value: true, at }) = reader.optional::<bool>(&["verify_and_map"]) {
        note("verify_and_map", &at);
    }
    let first = reader.take(&["handshake_first", "first", "immediate"]);
    first.last().iter().for_each(|entry| note("handshake_first", &entry.at));
    if let Some(found) = reader.optional::<Pinned>(&["pinned_certs"])
        && !found.value.0.is_empty()
    {
        note("pinned_certs", &found.at);
    }
    if let Some(found) = reader.optional::<Timeout>(&["timeout"]) {
        note("timeout", &found.at);
    }
    if let Some(found) = reader.optional::<Rate>(&["connection_rate_limit"]) {
        note("connection_rate_limit", &found.at);
    }
}
