//! The `tls` block, `allow_non_tls` and the `--tls*` flags: TLS for clients, and the certificate
//! that monitoring over HTTPS shows.
//!
//! Certificates are read here, so that `-t` and a reload judge them like any other value. A flag
//! that asks for TLS replaces what the block says of certificates, authorities and choices, as with
//! nats-server; its other keys stay.

mod files;
pub(super) mod outgoing;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use ringbus_shard::transport::First;
use rustls::RootCertStore;
use rustls::sign::CertifiedKey;

use self::files::{Files, authorities, certificates, files, path, suites_of};
use super::auth::Timeout;
use super::dump::{Dump, quoted};
use super::include::Surroundings;
use super::problem::{Report, Spot};
use super::reader::{Field, Found, FromField, Reader};
use super::setting::{Origin, Setting};
use super::value::Value;
use super::{later, units};
use crate::cli::Flags;
use crate::tls::choice::{Curves, Suites};
use crate::tls::clients::{Clients, Door, Pin};
use crate::tls::{Offer, Oldest, Server};

/// For a handshake.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client may take that begins with a handshake, where it is `auto` whether it does.
const FALLBACK: Duration = Duration::from_millis(50);

/// TLS for clients, and for monitoring.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Files of certificates and of their keys.
    certs: Setting<Vec<Files>>,
    ca: Setting<Option<PathBuf>>,
    verify: Setting<bool>,
    map: Setting<bool>,
    pinned: Setting<BTreeSet<Pin>>,
    first: Setting<First>,
    timeout: Setting<Duration>,
    rate: Setting<Option<u64>>,
    allow_non_tls: Setting<bool>,
    /// All that as whoever asks for monitoring sees it.
    pub server: Option<Server>,
    /// And as clients do.
    pub clients: Option<Clients>,
}

/// What the block says.
#[derive(Default)]
struct Block {
    files: Option<Found<Vec<Files>>>,
    ca: Option<Found<PathBuf>>,
    verify: Option<Found<bool>>,
    map: Option<Found<bool>>,
    pinned: Option<Found<Pinned>>,
    first: Option<Found<First>>,
    timeout: Option<Found<Duration>>,
    rate: Option<Found<Rate>>,
    oldest: Oldest,
    curves: Option<Curves>,
    /// The inner one is none if something is wrong with it, which was reported.
    suites: Option<Option<Suites>>,
}

impl Tls {
    pub(super) fn read(
        reader: &mut Reader<'_>,
        flags: &Flags,
        https: &Setting<Option<u16>>,
        world: &dyn Surroundings,
    ) -> Self {
        let report = reader.report();
        let allow = Setting::new(false).or_file(reader.optional::<bool>(&["allow_non_tls"]));
        let entry = reader.take(&["tls"]).last().copied();
        let block = entry.and_then(|entry| Block::read(Field::of(entry, report)));
        let has_block = block.is_some();
        let mut block = block.unwrap_or_default();
        let flagged = Flagged::read(flags, report);
        let mut tls = Self {
            timeout: Setting::new(TIMEOUT).or_file(block.timeout.take()),
            pinned: Setting::new(BTreeSet::new())
                .or_file(block.pinned.take().map(|found| found.map(|Pinned(pins)| pins))),
            first: Setting::new(First::No).or_file(block.first.take()),
            rate: Setting::new(None)
                .or_file(block.rate.take().map(|found| found.map(|Rate(rate)| rate))),
            certs: Setting::new(Vec::new()),
            ca: Setting::new(None),
            verify: Setting::new(false),
            map: Setting::new(false).or_file(block.map.take()),
            allow_non_tls: allow,
            server: None,
            clients: None,
        };
        if flagged.is_off {
            tls.insist_on_https(https, entry.is_some(), report);
            return tls;
        }
        if let Some(files) = flagged.files {
            // In place of the block's, with all that belongs to them.
            tls.certs = tls.certs.or_flag("--tlscert", Some(vec![files]));
            tls.ca = tls.ca.or_flag("--tlscacert", flags.tls_ca.clone().map(Some));
            tls.verify = tls.verify.or_flag("--tlsverify", flags.tls_verify);
            (block.oldest, block.curves, block.suites) = (Oldest::default(), None, None);
        } else if has_block {
            tls.certs = tls.certs.or_file(block.files.take());
            tls.ca = tls.ca.or_file(block.ca.take().map(|found| found.map(Some)));
            tls.verify = tls.verify.or_file(block.verify.take());
        } else {
            tls.insist_on_https(https, entry.is_some(), report);
            return tls;
        }
        tls.build(block, report, world);
        tls
    }

    /// HTTPS without certificates is a mistake.
    fn insist_on_https(&self, https: &Setting<Option<u16>>, has_block: bool, report: &Report) {
        if https.is_none() || has_block {
            return;
        }
        complain(report, https.origin(), "TLS cert and key required for HTTPS");
    }

    /// Reads the files and puts all of it together.
    fn build(&mut self, block: Block, report: &Report, world: &dyn Surroundings) {
        let at = |found: &Found<PathBuf>, why: String| match self.certs.origin() {
            Origin::Flag(_) => report.general_error(why),
            _ => report.error(&found.at, why),
        };
        let certificates = certificates(&self.certs, world, &at);
        let authorities = self.authorities(report, world);
        let (Some(certificates), Some(authorities), false) =
            (certificates, authorities, matches!(block.suites, Some(None)))
        else {
            return;
        };
        if certificates.is_empty() {
            return;
        }
        let offer = self.offer(certificates, block);
        let door = Door {
            offer: offer.clone(),
            optional: *self.allow_non_tls,
            first: *self.first,
            authorities,
            pinned: (!self.pinned.is_empty()).then(|| (*self.pinned).clone()),
        };
        match (Server::new(offer), Clients::new(&door)) {
            (Ok(server), Ok(clients)) => {
                (self.server, self.clients) = (Some(server), Some(clients));
            }
            (Err(why), _) | (_, Err(why)) => complain(report, self.certs.origin(), &why),
        }
    }

    fn offer(&self, certificates: Vec<Arc<CertifiedKey>>, block: Block) -> Offer {
        Offer {
            certificates,
            suites: block.suites.flatten(),
            curves: block.curves,
            oldest: block.oldest,
            timeout: *self.timeout,
        }
    }

    /// Who may have signed the certificates of clients, if they need one; nothing after saying what
    /// is wrong.
    fn authorities(
        &self,
        report: &Report,
        world: &dyn Surroundings,
    ) -> Option<Option<Arc<RootCertStore>>> {
        let Some(path) = self.ca.as_deref() else {
            if *self.verify {
                let text = "'verify' needs a 'ca_file': the authorities of this host are not used";
                complain(report, self.verify.origin(), text);
                return None;
            }
            return Some(None);
        };
        match authorities(path, world) {
            // Of no use where nobody is verified, but a wrong one is a mistake.
            Ok(authorities) => Some(self.verify.then_some(authorities)),
            Err(why) => {
                complain(report, self.ca.origin(), &why);
                None
            }
        }
    }

    /// How many handshakes may begin within a second.
    #[must_use]
    pub fn rate(&self) -> Option<u64> {
        *self.rate
    }

    /// Whether users are known by their certificates. If a flag takes TLS away, nobody is let in:
    /// such users have no password that could be asked for instead.
    #[must_use]
    pub fn maps(&self) -> bool {
        *self.map
    }

    /// How long a client that must say who it is may take, unless somebody says so.
    pub(super) fn usual_auth_timeout(&self) -> Option<Duration> {
        self.clients.is_some().then(|| *self.timeout + Duration::from_secs(1))
    }

    pub(super) fn show(&self, dump: &mut Dump) {
        let Self { certs, ca, verify, map, pinned, first, timeout, rate, allow_non_tls, .. } = self;
        let text = |path: &Path| quoted(&path.display().to_string());
        let pair = |files: &Files| {
            let (cert, key) = (text(&files.cert.value), text(&files.key.value));
            format!("{{cert_file: {cert}, key_file: {key}}}")
        };
        let pairs: Vec<String> = certs.iter().map(pair).collect();
        dump.line("tls.certs", format_args!("[{}]", pairs.join(", ")), certs.origin());
        dump.line("tls.ca_file", ca.as_deref().map_or_else(|| quoted(""), text), ca.origin());
        dump.plain("tls.verify", verify);
        dump.plain("tls.verify_and_map", map);
        let pins: Vec<String> = pinned.iter().map(|pin| HEXLOWER_PERMISSIVE.encode(pin)).collect();
        dump.line("tls.pinned_certs", format_args!("[{}]", pins.join(", ")), pinned.origin());
        let shown = match **first {
            First::No => "false".to_owned(),
            First::Yes => "true".to_owned(),
            First::Within(delay) => quoted(&units::written(delay)),
        };
        dump.line("tls.handshake_first", shown, first.origin());
        dump.duration("tls.timeout", timeout);
        dump.line("tls.connection_rate_limit", rate.unwrap_or(0), rate.origin());
        dump.plain("allow_non_tls", allow_non_tls);
    }
}

fn complain(report: &Report, origin: &Origin, why: &str) {
    match origin {
        Origin::File(at) => report.error(at, why),
        Origin::Flag(_) | Origin::Default => report.general_error(why),
    }
}

/// What the flags ask for.
struct Flagged {
    /// No TLS, whatever the file says.
    is_off: bool,
    files: Option<Files>,
}

impl Flagged {
    fn read(flags: &Flags, report: &Report) -> Self {
        let Flags { tls, tls_cert, tls_key, tls_verify, tls_ca, .. } = flags;
        let any = tls_cert.is_some() || tls_key.is_some() || tls_ca.is_some();
        let asked = tls.unwrap_or(any || tls_verify.is_some());
        if !asked {
            return Self { is_off: *tls == Some(false), files: None };
        }
        let given = |path: &Option<PathBuf>| path.clone().filter(|p| !p.as_os_str().is_empty());
        let files = match (given(tls_cert), given(tls_key)) {
            (Some(cert), Some(key)) => {
                // Nobody reports a place for these.
                let found = |value| Found { value, at: Spot::default() };
                Some(Files { cert: found(cert), key: found(key) })
            }
            (cert, _) => {
                let what = if cert.is_none() { "certificate" } else { "private key" };
                report.general_error(format!("TLS Server {what} must be present and valid"));
                None
            }
        };
        Self { is_off: files.is_none(), files }
    }
}

impl Block {
    fn read(field: Field<'_>) -> Option<Self> {
        let mut reader = Reader::read(field)?;
        let timeout = reader.optional::<Timeout>(&["timeout"]);
        let timeout = timeout.map(|found| found.map(|Timeout(timeout)| timeout));
        let oldest = reader.optional::<Oldest>(&["min_version"]);
        let curves = reader.optional::<Curves>(&["curve_preferences"]);
        let insecure = reader.optional::<bool>(&["allow_insecure_cipher_suites"]);
        let insecure = insecure.is_some_and(|insecure| insecure.value);
        let suites = reader.take(&["cipher_suites"]);
        let suites = suites.last().map(|entry| suites_of(Field::of(entry, field.report), insecure));
        let files = files(&mut reader, field);
        let at = field.at.clone();
        let map = reader.optional::<bool>(&["verify_and_map"]);
        let verify = reader.optional(&["verify"]);
        let block = Self {
            files: files.map(|value| Found { value, at }),
            ca: path(&mut reader, &["ca_file"]),
            // Whoever is known by a certificate needs one.
            verify: map.clone().filter(|map| map.value).or(verify),
            map,
            pinned: reader.optional(&["pinned_certs"]),
            first: reader.optional(&["handshake_first", "first", "immediate"]),
            // Zero asks for the default.
            timeout: timeout.filter(|timeout| !timeout.value.is_zero()),
            rate: reader.optional(&["connection_rate_limit"]),
            oldest: oldest.map(|oldest| oldest.value).unwrap_or_default(),
            curves: curves.map(|curves| curves.value),
            suites,
        };
        pass_over(&mut reader);
        later::refuse(&mut reader, later::IN_TLS);
        reader.finish();
        Some(block)
    }
}

/// Takes the keys that change nothing here, and says so where something is asked for.
fn pass_over(reader: &mut Reader<'_>) {
    let report = reader.report();
    if let Some(Found { value: true, at }) = reader.optional::<bool>(&["insecure"]) {
        report.note(&at, "key \"insecure\": it is for connections that this server would make");
    }
    let known = reader.optional::<bool>(&["verify_cert_and_check_known_urls"]);
    if let Some(Found { value: true, at }) = known {
        report.error(&at, "verify_cert_and_check_known_urls not supported in this context");
    }
}

/// Keys of clients.
struct Pinned(BTreeSet<Pin>);

impl FromField<'_> for Pinned {
    fn read(field: Field<'_>) -> Option<Self> {
        let mut pins = BTreeSet::new();
        for item in Vec::<Field<'_>>::read(field)? {
            let text = <&str>::read(item)?;
            let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
            match bytes.and_then(|bytes| Pin::try_from(bytes).ok()) {
                Some(pin) => {
                    pins.insert(pin);
                }
                None => {
                    return item.fault(format!(
                        "{text:?} does not look like hex-encoded sha256 of DER encoded \
                         SubjectPublicKeyInfo"
                    ));
                }
            }
        }
        Some(Self(pins))
    }
}

/// Handshakes within a second; none is no bound.
struct Rate(Option<u64>);

impl FromField<'_> for Rate {
    fn read(field: Field<'_>) -> Option<Self> {
        let rate = i64::read(field)?;
        // As with nats-server, a negative one asks for nothing either.
        Some(Self(u64::try_from(rate).ok().filter(|rate| *rate > 0)))
    }
}

impl FromField<'_> for First {
    fn read(field: Field<'_>) -> Option<Self> {
        let text = match field.value {
            Value::Bool(true) => return Some(Self::Yes),
            Value::Bool(false) => return Some(Self::No),
            Value::Text(text) => text,
            _ => return field.expected("true, false, \"auto\" or a duration in quotes"),
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "on" => Some(Self::Yes),
            "false" | "off" => Some(Self::No),
            "auto" | "auto_fallback" => Some(Self::Within(FALLBACK)),
            _ => match units::duration(text) {
                // No time at all is no way out, as with nats-server.
                Ok(delay) if delay.is_zero() => Some(Self::Yes),
                Ok(delay) => Some(Self::Within(delay)),
                Err(_) => field.fault(format!(
                    "value {text:?} is invalid: expected true, false, \"auto\" or a duration"
                )),
            },
        }
    }
}
