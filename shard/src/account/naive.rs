//! Sharing between accounts written to be obviously right, however slow, as the measure of the real
//! one: lists of strings, gone through one by one each time.
//!
//! Written from what nats-server is documented to do, not from the code beside it. What chance
//! decides is drawn by whoever asks, so that both can be given the same draws.

use crate::subject::naive::matches;

/// What holds in all accounts. They are named by their places.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) accounts: Vec<Account>,
}

/// What holds in one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) stream_exports: Vec<Export>,
    pub(crate) service_exports: Vec<Export>,
    pub(crate) streams: Vec<Stream>,
    pub(crate) services: Vec<Service>,
    /// A source, and destinations with weights.
    pub(crate) mappings: Vec<(String, Vec<(u8, String)>)>,
}

/// Something that others may have.
#[derive(Clone, Debug)]
pub(crate) struct Export {
    pub(crate) subject: String,
    /// For these alone, if there are any.
    pub(crate) approved: Vec<usize>,
    /// The token that must be the importer's name, counted from 1.
    pub(crate) token: usize,
    /// A service that may be answered more than once.
    pub(crate) streamed: bool,
    /// A service that must be answered soon.
    pub(crate) soon: bool,
}

/// Messages taken from another account.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) account: usize,
    pub(crate) from: String,
    /// Names the wildcards of `from` as `*` in their order, or as `$1`, `$2`.
    pub(crate) to: String,
}

/// Requests made to another account.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) account: usize,
    /// Names the wildcards of `to` as `*` in their order, or as `$1`, `$2`.
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) share: bool,
}

/// One of the accounts that a message comes to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Landing {
    pub(crate) account: usize,
    pub(crate) subject: String,
    /// Where it came from: the landing before, and which service of the account there.
    pub(crate) by: Option<(usize, usize)>,
}

fn split(subject: &str) -> Vec<&str> {
    subject.split('.').collect()
}

/// Whether all that `pattern` matches is matched by `wider`.
fn within(pattern: &[&str], wider: &[&str]) -> bool {
    match (pattern, wider) {
        ([], []) => true,
        ([_, ..], [">"]) => true,
        ([">", ..], _) => false,
        ([_, pattern @ ..], ["*", wider @ ..]) => within(pattern, wider),
        ([one, pattern @ ..], [other, wider @ ..]) => one == other && within(pattern, wider),
        _ => false,
    }
}

/// The number of the wildcard that a token names.
fn named(token: &str) -> Option<usize> {
    let number = token
        .strip_prefix('$')
        .or_else(|| token.strip_prefix("{{wildcard(").and_then(|rest| rest.strip_suffix(")}}")))?;
    number.parse().ok()
}

/// A pattern whose named wildcards are wildcards.
pub(crate) fn anonymous(pattern: &str) -> String {
    let token = |token| if named(token).is_some() { "*" } else { token };
    split(pattern).into_iter().map(token).collect::<Vec<_>>().join(".")
}

/// What the wildcards of `pattern` stand for in `subject`: each `*`, and the rest.
fn taken<'s>(pattern: &str, subject: &'s str) -> (Vec<&'s str>, Vec<&'s str>) {
    let (mut stars, mut rest) = (Vec::new(), Vec::new());
    let subject = split(subject);
    for (place, token) in split(pattern).into_iter().enumerate() {
        match token {
            "*" => stars.push(subject[place]),
            ">" => rest = subject[place..].to_vec(),
            _ => {}
        }
    }
    (stars, rest)
}

/// A partition of a key, as FNV-1a has it.
fn partition(count: u32, key: &str) -> u32 {
    let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(16_777_619);
    key.bytes().fold(2_166_136_261, hash) % count
}

/// `to` with what stands for its wildcards.
fn filled(to: &str, stars: &[&str], rest: &[&str]) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut next = 0;
    for token in split(to) {
        if token == ">" {
            out.extend(rest.iter().map(ToString::to_string));
        } else if token == "*" {
            out.push(stars[next].to_owned());
            next += 1;
        } else if let Some(number) = named(token) {
            out.push(stars[number - 1].to_owned());
        } else if let Some(call) = token.strip_prefix("{{partition(") {
            let call = call.trim_end_matches(")}}");
            let (count, by) = call.split_once(',').expect("a count and a wildcard");
            let by: usize = by.parse().expect("a wildcard");
            out.push(partition(count.parse().expect("a count"), stars[by - 1]).to_string());
        } else {
            out.push(token.to_owned());
        }
    }
    out.join(".")
}

impl Stream {
    /// What a message there is called here, if the stream has it.
    pub(crate) fn renamed(&self, subject: &str) -> Option<String> {
        matches(self.from.as_bytes(), subject.as_bytes()).then(|| {
            let (stars, rest) = taken(&self.from, subject);
            filled(&self.to, &stars, &rest)
        })
    }
}

impl Service {
    /// What a request here is called there, if it is one.
    pub(crate) fn renamed(&self, subject: &str) -> Option<String> {
        let local = anonymous(&self.from);
        if !matches(local.as_bytes(), subject.as_bytes()) {
            return None;
        }
        let (found, rest) = taken(&local, subject);
        // The wildcards as they are numbered there.
        let mut stars = found.clone();
        let tokens = split(&self.from);
        let wild = tokens.iter().filter(|token| **token == "*" || named(token).is_some());
        for (place, token) in wild.enumerate() {
            stars[named(token).map_or(place, |number| number - 1)] = found[place];
        }
        Some(filled(&self.to, &stars, &rest))
    }
}

/// The export that speaks for `subject`: the one of just that, else the first that takes it in.
fn speaker(exports: &[Export], subject: &str) -> Option<usize> {
    let itself = exports.iter().position(|export| export.subject == subject);
    let wide = || exports.iter().position(|it| within(&split(subject), &split(&it.subject)));
    itself.or_else(wide)
}

impl Terms {
    /// Whether `importer` may have `subject` of those exports.
    pub(crate) fn admits(&self, exports: &[Export], importer: usize, subject: &str) -> bool {
        let Some(export) = speaker(exports, subject).map(|at| &exports[at]) else { return false };
        if export.token > 0 {
            let name = split(subject).get(export.token - 1).copied();
            return export.subject != subject && name == Some(&*self.accounts[importer].name);
        }
        export.approved.is_empty() || export.approved.contains(&importer)
    }

    /// The export that a service is of.
    pub(crate) fn export(&self, service: &Service) -> &Export {
        let (account, at) = self.place(service);
        &self.accounts[account].service_exports[at]
    }

    /// The place of that: account and export.
    fn place(&self, service: &Service) -> (usize, usize) {
        let exports = &self.accounts[service.account].service_exports;
        let at = speaker(exports, &service.to).expect("only what is exported is imported");
        (service.account, at)
    }

    /// The exports that a message came by.
    fn passed(&self, all: &[Landing], mut at: usize) -> Vec<(usize, usize)> {
        let mut passed = Vec::new();
        while let Some((before, service)) = all[at].by {
            passed.push(self.place(&self.accounts[all[before].account].services[service]));
            at = before;
        }
        passed
    }

    /// What becomes of `subject` in an account; empty if it is lost. `draw` is asked for a number
    /// below 100 where chance decides.
    pub(crate) fn mapped(
        &self,
        account: usize,
        subject: &str,
        draw: &mut dyn FnMut() -> u8,
    ) -> Option<String> {
        let mappings = &self.accounts[account].mappings;
        let (source, written) =
            mappings.iter().find(|(source, _)| matches(source.as_bytes(), subject.as_bytes()))?;
        let mut ways = written.clone();
        if !ways.iter().any(|(_, to)| to == source) {
            let left = 100 - ways.iter().map(|(weight, _)| weight).sum::<u8>();
            if left > 0 {
                ways.push((left, source.clone()));
            }
        }
        ways.sort_by_key(|(weight, _)| *weight);
        let drawn = if ways.len() == 1 && ways[0].0 == 100 { 0 } else { draw() };
        let mut sum = 0;
        for (weight, to) in ways {
            sum += weight;
            if drawn < sum {
                let (stars, rest) = taken(source, subject);
                return Some(filled(&to, &stars, &rest));
            }
        }
        Some(String::new())
    }

    /// All accounts that a message published on `subject` comes to: the publisher's own first, then
    /// those of services, in the order in which they follow from each other. None goes by an export
    /// that it has come by.
    pub(crate) fn landings(
        &self,
        account: usize,
        subject: &str,
        draw: &mut dyn FnMut() -> u8,
    ) -> Vec<Landing> {
        let mut all = vec![Landing { account, subject: subject.to_owned(), by: None }];
        let mut at = 0;
        while at < all.len() {
            assert!(all.len() < 60, "{subject} runs in a circle from {account}: {self:#?}");
            let Landing { account, subject, .. } = all[at].clone();
            let passed = self.passed(&all, at);
            for (place, service) in self.accounts[account].services.iter().enumerate() {
                let Some(to) = service.renamed(&subject) else { continue };
                if passed.contains(&self.place(service)) {
                    continue;
                }
                let to = self.mapped(service.account, &to, draw).unwrap_or(to);
                all.push(Landing { account: service.account, subject: to, by: Some((at, place)) });
            }
            at += 1;
        }
        all
    }

    /// The accounts and names by which clients see a message that was published in `account` by one
    /// of its own: there, and wherever it is taken as a stream. Streams go no further.
    pub(crate) fn appearances(&self, account: usize, subject: &str) -> Vec<(usize, String)> {
        let mut all = vec![(account, subject.to_owned())];
        for (place, taker) in self.accounts.iter().enumerate() {
            for stream in taker.streams.iter().filter(|stream| stream.account == account) {
                all.extend(stream.renamed(subject).map(|name| (place, name)));
            }
        }
        all
    }
}
