//! Random accounts that share streams and services: the same for the real ones and for those that
//! are obviously right. Whatever is refused must be refused by both.

use std::time::Duration;

use fastrand::Rng;

use crate::account::naive::{Account, Export, Service, Stream, Terms};
use crate::account::{Access, Accounts, ImportError, ResponseType, Service as Wanted};
use crate::ids::AccountId;
use crate::subject::mapping::{Destination, Mapping, Mappings};

/// How accounts are called.
pub(super) const NAMES: [&str; 4] = ["A", "B", "C", "D"];

/// Tokens of what they share.
const TOKENS: [&str; 3] = ["a", "b", "c"];

/// A service that must be answered soon is forgotten after this.
pub(super) const SOON: Duration = Duration::from_secs(1);

/// Accounts, and the same as lists of strings.
#[derive(Clone, Debug, Default)]
pub(super) struct Tenants {
    pub(super) accounts: Accounts,
    pub(super) terms: Terms,
    /// Nothing is left to chance, or to time.
    steady: bool,
}

/// The account at that place.
pub(super) fn account(place: usize) -> AccountId {
    AccountId::new(u32::try_from(place).expect("few accounts") + 2)
}

fn token(rng: &mut Rng) -> &'static str {
    TOKENS[rng.usize(..TOKENS.len())]
}

/// One to three tokens.
pub(super) fn subject(rng: &mut Rng) -> String {
    (0..rng.usize(1..=3)).map(|_| token(rng)).collect::<Vec<_>>().join(".")
}

/// The same with wildcards.
pub(super) fn pattern(rng: &mut Rng) -> String {
    let count = rng.usize(1..=3);
    let wild = |rng: &mut Rng| if rng.u8(..3) == 0 { "*" } else { token(rng) };
    let mut tokens: Vec<&str> = (0..count).map(|_| wild(rng)).collect();
    if rng.u8(..4) == 0 {
        tokens[count - 1] = ">";
    }
    tokens.join(".")
}

/// A subject that `pattern` matches.
pub(super) fn filled(rng: &mut Rng, pattern: &str) -> String {
    let one =
        |it: &str, rng: &mut Rng| if it == "*" { token(rng).to_owned() } else { it.to_owned() };
    let tokens = pattern.split('.').map(|it| if it == ">" { subject(rng) } else { one(it, rng) });
    tokens.collect::<Vec<_>>().join(".")
}

/// A part of what `pattern` matches, sometimes with somebody's name in it.
fn narrowed(rng: &mut Rng, pattern: &str, name: &str) -> String {
    let mut out: Vec<&str> = Vec::new();
    for token in pattern.split('.') {
        match (token, rng.u8(..6)) {
            ("*", 0..2) => out.push(self::token(rng)),
            ("*" | ">", 2..4) => out.push(name),
            (">", 0) => out.extend([self::token(rng), ">"]),
            (">", 1) => out.extend(["*", self::token(rng)]),
            _ => out.push(token),
        }
    }
    out.join(".")
}

/// Another name with the same wildcards: in their order, turned around, or all numbered.
fn turned(rng: &mut Rng, pattern: &str) -> String {
    let stars = pattern.split('.').filter(|token| *token == "*").count();
    let mut numbers: Vec<usize> = (1..=stars).collect();
    let how = rng.u8(..3);
    if how == 1 {
        rng.shuffle(&mut numbers);
    }
    let mut tokens: Vec<String> = numbers
        .iter()
        .map(|number| match (how, rng.bool()) {
            (0, _) => "*".to_owned(),
            (_, true) => format!("${number}"),
            (_, false) => format!("{{{{wildcard({number})}}}}"),
        })
        .collect();
    for _ in 0..rng.usize(usize::from(tokens.is_empty())..3) {
        tokens.insert(rng.usize(..=tokens.len()), token(rng).to_owned());
    }
    if pattern.ends_with('>') {
        tokens.push(">".to_owned());
    }
    tokens.join(".")
}

impl Tenants {
    /// Some accounts that share some things.
    pub(super) fn new(rng: &mut Rng, count: usize) -> Self {
        Self::of(count).filled(rng)
    }

    /// The same, where mappings lead to one subject only and answers may take their time.
    pub(super) fn steady(rng: &mut Rng, count: usize) -> Self {
        let mut tenants = Self::of(count);
        tenants.steady = true;
        tenants.filled(rng)
    }

    fn filled(self, rng: &mut Rng) -> Self {
        let mut tenants = self;
        for place in 0..tenants.count() {
            for _ in 0..rng.usize(..6) {
                tenants.offer(rng, place);
            }
            for _ in 0..rng.usize(..3).saturating_sub(1) {
                tenants.map(rng, place);
            }
        }
        for _ in 0..rng.usize(..40) {
            tenants.take(rng);
        }
        tenants
    }

    /// Some accounts that share nothing.
    pub(super) fn of(count: usize) -> Self {
        let mut tenants = Self::default();
        for (place, name) in NAMES.iter().take(count).enumerate() {
            tenants.accounts.entry(account(place)).name = (*name).into();
            tenants.terms.accounts.push(Account { name: (*name).to_owned(), ..Account::default() });
        }
        tenants
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.terms.accounts.len()
    }

    fn offer(&mut self, rng: &mut Rng, place: usize) {
        let subject = pattern(rng);
        let mut access = Access::default();
        match rng.u8(..4) {
            0 => {
                let others = rng.usize(1..3);
                access.approved = (0..others).map(|_| account(rng.usize(..NAMES.len()))).collect();
            }
            1 => access.token = rng.usize(1..=3),
            _ => {}
        }
        let response = match rng.u8(..3) {
            0 => ResponseType::Stream,
            _ => ResponseType::Singleton,
        };
        let own = &mut self.terms.accounts[place];
        let exports = &mut self.accounts.entry(account(place)).exports;
        let streams = rng.bool();
        let known = if streams { &mut own.stream_exports } else { &mut own.service_exports };
        if known.iter().any(|export| export.subject == subject) {
            // Terms given twice are merged, which is not what is looked at here.
            return;
        }
        let threshold = if rng.bool() && !self.steady { SOON } else { Duration::ZERO };
        let told = match streams {
            true => exports.add_stream(subject.as_bytes(), access.clone()),
            false => exports.add_service(subject.as_bytes(), access.clone(), response, threshold),
        };
        let names = subject.split('.').nth(access.token.wrapping_sub(1));
        assert_eq!(told.is_ok(), access.token == 0 || names == Some("*"), "{subject} {access:?}");
        if told.is_ok() {
            let places = access.approved.iter().map(|id| id.index() - 2).collect();
            let streamed = response == ResponseType::Stream;
            let (approved, token, soon) = (places, access.token, threshold == SOON);
            known.push(Export { subject, approved, token, streamed, soon });
        }
    }

    fn map(&mut self, rng: &mut Rng, place: usize) {
        let source = if rng.u8(..5) == 0 { "in.*".to_owned() } else { pattern(rng) };
        let mut left = 100;
        let mut ways: Vec<(u8, String)> = Vec::new();
        let most = if self.steady { 1 } else { 3 };
        for _ in 0..rng.usize(1..=most) {
            let mut to = if rng.u8(..4) == 0 { source.clone() } else { turned(rng, &source) };
            if to == source || !to.contains('*') {
                if rng.u8(..4) == 0 && source.contains('*') && to != source {
                    to = format!("p.{{{{partition(3,1)}}}}.{to}");
                }
                let weight = if self.steady || rng.u8(..3) == 0 { left } else { rng.u8(..=left) };
                if !ways.iter().any(|(_, known)| *known == to) {
                    left -= weight;
                    ways.push((weight, to));
                }
            }
        }
        if self.steady && ways.is_empty() {
            return;
        }
        let own = &mut self.terms.accounts[place];
        if own.mappings.iter().any(|(known, _)| *known == source) {
            return;
        }
        let destinations: Vec<Destination> = ways
            .iter()
            .map(|(weight, to)| {
                let subject = to.clone().into_bytes();
                Destination { subject, weight: *weight, cluster: None }
            })
            .collect();
        let Ok(mapping) = Mapping::new(source.as_bytes(), &destinations, None) else { return };
        let mut mappings: Mappings =
            self.accounts.mappings(account(place)).map(|all| (**all).clone()).unwrap_or_default();
        mappings.add(mapping);
        self.accounts.entry(account(place)).mappings = Some(mappings.into());
        own.mappings.push((source, ways));
    }

    fn take(&mut self, rng: &mut Rng) {
        let (importer, step) = (rng.usize(..self.count()), rng.usize(1..self.count()));
        let exporter = (importer + step) % self.count();
        let name = self.terms.accounts[importer].name.clone();
        let streams = rng.bool();
        let other = &self.terms.accounts[exporter];
        let exports = if streams { &other.stream_exports } else { &other.service_exports };
        let subject = match rng.choice(exports) {
            None => pattern(rng),
            Some(export) if rng.bool() => export.subject.clone(),
            Some(export) => narrowed(rng, &export.subject, &name),
        };
        let admitted = self.terms.admits(exports, importer, &subject);
        if streams {
            self.take_stream(rng, (importer, exporter), subject, admitted);
        } else {
            self.take_service(rng, (importer, exporter), subject, admitted);
        }
    }

    fn take_stream(
        &mut self,
        rng: &mut Rng,
        (importer, exporter): (usize, usize),
        from: String,
        admitted: bool,
    ) {
        let (taker, giver, subject) = (account(importer), account(exporter), from.as_bytes());
        let (to, told) = match rng.u8(..4) {
            0 => (from.clone(), self.accounts.import_stream(taker, giver, subject, b"")),
            1 => {
                let prefix = token(rng);
                let told =
                    self.accounts.import_stream_behind(taker, giver, subject, prefix.as_bytes());
                (format!("{prefix}.{from}"), told)
            }
            _ => {
                let to = turned(rng, &from);
                let told = self.accounts.import_stream(taker, giver, subject, to.as_bytes());
                (to, told)
            }
        };
        assert_eq!(told != Err(ImportError::StreamUnauthorized), admitted, "{from} {self:#?}");
        if told.is_ok() {
            let stream = Stream { account: exporter, from, to };
            self.terms.accounts[importer].streams.push(stream);
        }
    }

    fn take_service(
        &mut self,
        rng: &mut Rng,
        (importer, exporter): (usize, usize),
        to: String,
        admitted: bool,
    ) {
        let from = if rng.u8(..4) == 0 { to.clone() } else { turned(rng, &to) };
        let share = rng.bool();
        let wanted = Wanted { from: from.as_bytes(), to: to.as_bytes(), share };
        let (taker, giver) = (account(importer), account(exporter));
        let told = self.accounts.import_service(taker, giver, wanted);
        assert_eq!(told != Err(ImportError::ServiceUnauthorized), admitted, "{to} {self:#?}");
        if told.is_ok() {
            let service = Service { account: exporter, from, to, share };
            self.terms.accounts[importer].services.push(service);
        }
    }
}
