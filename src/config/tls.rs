//! The `tls` block: what the monitoring port needs for HTTPS.
//!
//! Clients are not served over TLS yet. The block is therefore taken only together with `https` and
//! with `allow_non_tls: true`, under which nats-server too lets clients in that do not ask for TLS.
//! Certificates are read here, so that `-t` and a reload judge them like any other value.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::auth::Timeout;
use super::dump::{Dump, quoted};
use super::include::Surroundings;
use super::reader::{Field, Found, FromField, Reader};
use super::setting::{Origin, Setting};
use super::{later, reason};
use crate::tls::choice::{self, Curves, Known, Suites};
use crate::tls::{Offer, Oldest, Server, pem};

/// For a handshake.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is offered to whoever asks for monitoring over HTTPS.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Files of certificates and of their keys.
    certs: Setting<Vec<Files>>,
    timeout: Setting<Duration>,
    allow_non_tls: Setting<bool>,
    /// All that as it is used.
    pub server: Option<Server>,
}

/// A certificate with its chain, and its key.
#[derive(Clone, Debug)]
struct Files {
    cert: Found<PathBuf>,
    key: Found<PathBuf>,
}

impl Tls {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        https: &Setting<Option<u16>>,
        world: &dyn Surroundings,
    ) -> Self {
        let allow = Setting::new(false).or_file(reader.optional::<bool>(&["allow_non_tls"]));
        let mut tls = Self {
            certs: Setting::new(Vec::new()),
            timeout: Setting::new(TIMEOUT),
            allow_non_tls: allow,
            server: None,
        };
        if https.is_none() {
            later::refuse(reader, later::CLIENT_TLS);
            return tls;
        }
        let report = reader.report();
        let Some(entry) = reader.take(&["tls"]).last().copied() else {
            let text = "TLS cert and key required for HTTPS";
            match https.origin() {
                Origin::File(at) => report.error(at, text),
                _ => report.general_error(text),
            }
            return tls;
        };
        let field = Field::of(entry, report);
        if *tls.allow_non_tls {
            report.note(field.at, "clients are served without TLS: only https uses this block yet");
        } else {
            field.fault::<()>(
                "TLS for clients is not supported yet: set \"allow_non_tls: true\" to serve them \
                 without it, and this block is for https alone",
            );
        }
        tls.read_block(field, world);
        tls
    }

    fn read_block(&mut self, field: Field<'_>, world: &dyn Surroundings) {
        let Some(mut reader) = Reader::read(field) else { return };
        let timeout = reader.optional::<Timeout>(&["timeout"]);
        let timeout = timeout.map(|found| found.map(|Timeout(timeout)| timeout));
        // Zero asks for the default.
        self.timeout =
            Setting::new(TIMEOUT).or_file(timeout.filter(|timeout| !timeout.value.is_zero()));
        let oldest = reader.optional::<Oldest>(&["min_version"]);
        let curves = reader.optional::<Curves>(&["curve_preferences"]);
        let insecure = reader.optional::<bool>(&["allow_insecure_cipher_suites"]);
        let insecure = insecure.is_some_and(|insecure| insecure.value);
        let suites = reader.take(&["cipher_suites"]);
        let suites = suites.last().map(|entry| suites_of(Field::of(entry, field.report), insecure));
        let files = files(&mut reader, field);
        if let Some(ca) = path(&mut reader, &["ca_file"]) {
            // Of no use without certificates of clients, but a wrong one is a mistake.
            let judged = load(world, &ca.value).and_then(|text| pem::authorities(&ca.value, &text));
            if let Err(why) = judged {
                field.report.error(&ca.at, why);
            }
        }
        pass_over(&mut reader);
        later::refuse(&mut reader, later::IN_TLS);
        reader.finish();
        let Some(files) = files else { return };
        let certificates = certificates(&files, field, world);
        self.certs =
            Setting::new(Vec::new()).or_file(Some(Found { value: files, at: field.at.clone() }));
        let (Some(certificates), false) = (certificates, matches!(suites, Some(None))) else {
            return;
        };
        let offer = Offer {
            certificates,
            suites: suites.flatten(),
            curves: curves.map(|curves| curves.value),
            oldest: oldest.map(|oldest| oldest.value).unwrap_or_default(),
            timeout: *self.timeout,
        };
        match Server::new(offer) {
            Ok(server) => self.server = Some(server),
            Err(why) => {
                field.fault::<()>(why);
            }
        }
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { certs, timeout, allow_non_tls, server: _ } = self;
        let text = |path: &Found<PathBuf>| quoted(&path.value.display().to_string());
        let pair = |files: &Files| {
            format!("{{cert_file: {}, key_file: {}}}", text(&files.cert), text(&files.key))
        };
        let pairs: Vec<String> = certs.iter().map(pair).collect();
        dump.line("tls.certs", format_args!("[{}]", pairs.join(", ")), certs.origin());
        dump.duration("tls.timeout", timeout);
        dump.plain("allow_non_tls", allow_non_tls);
    }
}

/// Takes the keys that change nothing for a server that asks nobody for a certificate, and says so
/// where something is asked for.
fn pass_over(reader: &mut Reader<'_>) {
    let report = reader.report();
    if let Some(Found { value: true, at }) = reader.optional::<bool>(&["verify"]) {
        let text =
            "whoever asks for monitoring is not asked for a certificate, as with nats-server";
        report.note(&at, format!("key \"verify\": {text}"));
    }
    if let Some(Found { value: true, at }) = reader.optional::<bool>(&["insecure"]) {
        report.note(&at, "key \"insecure\": this server verifies nobody's certificate anyway");
    }
    let limit = reader.optional::<i64>(&["connection_rate_limit"]);
    if let Some(Found { at, .. }) = limit.filter(|limit| limit.value != 0) {
        let text = "key \"connection_rate_limit\": clients are served without TLS, so it bounds \
                    nothing";
        report.note(&at, text);
    }
    let known = reader.optional::<bool>(&["verify_cert_and_check_known_urls"]);
    if let Some(Found { value: true, at }) = known {
        report.error(&at, "verify_cert_and_check_known_urls not supported in this context");
    }
}

/// The path under a key, unless it is empty.
fn path(reader: &mut Reader<'_>, names: &'static [&'static str]) -> Option<Found<PathBuf>> {
    reader.optional::<PathBuf>(names).filter(|path| !path.value.as_os_str().is_empty())
}

/// The pairs of files that the block names; nothing after saying what is missing.
fn files(reader: &mut Reader<'_>, field: Field<'_>) -> Option<Vec<Files>> {
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
        (None, None) if list.is_empty() => field.fault("TLS cert and key required for HTTPS"),
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

/// Reads and checks them all; nothing after saying what is wrong with some.
fn certificates(
    files: &[Files],
    field: Field<'_>,
    world: &dyn Surroundings,
) -> Option<Vec<Arc<CertifiedKey>>> {
    let mut certificates = Vec::new();
    for (index, Files { cert, key }) in files.iter().enumerate() {
        let which = match files.len() {
            1 => String::new(),
            count => format!(" {}/{count}", index + 1),
        };
        let complain = |found: &Found<PathBuf>, why| {
            field.report.error(&found.at, format!("{}{which}: {why}", pem::PAIR));
        };
        let chain = load(world, &cert.value).and_then(|text| pem::chain(&cert.value, &text));
        let secret = load(world, &key.value).and_then(|text| pem::key(&key.value, &text));
        let pair = match (chain, secret) {
            (Ok(chain), Ok(secret)) => pem::pair((&cert.value, chain), (&key.value, secret))
                .map_err(|why| {
                    complain(cert, why);
                }),
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

/// A file that may have a key in it.
fn load(world: &dyn Surroundings, path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    world.read(path).map(Zeroizing::new).map_err(|error| reason(path, &error))
}

/// The suites of a list; nothing after saying what is wrong with it.
fn suites_of(field: Field<'_>, insecure: bool) -> Option<Suites> {
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
