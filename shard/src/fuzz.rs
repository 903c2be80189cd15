//! What the fuzzers do with a file of bytes. Each function panics if something does not hold.
//!
//! They are here, and not in the fuzz package, so that `cargo test` runs them over the corpus.

use crate::authorize::{Lists, Permissions, Rules, Subscribing, check, may_deliver, naive};
use crate::subject::{self, transform::Transform};
use crate::wire::client::{self, ClientOp, ParseLimits, Parsed, parse};
use crate::wire::connect::ConnectOptions;
use crate::wire::encode;
use crate::wire::headers::Headers;
use crate::wire::proxy;

pub use crate::transport::fuzz::sniff;

/// Operations of a client, arriving in pieces. The first two bytes choose limits and pieces.
pub fn client_ops(data: &[u8]) {
    let Some((&[choices, seed], input)) = data.split_first_chunk::<2>() else {
        return;
    };
    let limits = ParseLimits {
        control_line: if choices & 1 == 0 { 4096 } else { 16 },
        payload: if choices & 2 == 0 { 1 << 20 } else { 8 },
        headers: choices & 4 == 0,
    };
    let mut pieces = fastrand::Rng::with_seed(u64::from(seed));
    let (mut taken, mut arrived) = (0, 0);
    while arrived < input.len() {
        arrived = (arrived + pieces.usize(1..=16)).min(input.len());
        loop {
            let (here, whole) = (&input[taken..arrived], &input[taken..]);
            client::check_readers_agree(here, &limits);
            match parse(here, &limits) {
                Parsed::More { need } => {
                    check_more(need, here, &parse(whole, &limits), &limits);
                    break;
                }
                Parsed::Fault(violation) => {
                    assert_eq!(parse(whole, &limits), Parsed::Fault(violation));
                    return;
                }
                Parsed::Op { op, len } => {
                    assert!((1..=here.len()).contains(&len));
                    check_tail(op);
                    assert_eq!(parse(whole, &limits), Parsed::Op { op, len });
                    taken += len;
                }
            }
        }
    }
}

/// A caller that waits for `need` bytes, or else for a line end, waits for the right thing, and
/// keeps no more than the limits allow.
fn check_more(need: usize, here: &[u8], whole: &Parsed<'_>, limits: &ParseLimits) {
    const VERB_LEN_MAX: usize = 7;
    const LINE_END_LEN: usize = 2;
    let line_len_max = VERB_LEN_MAX + 2 * limits.control_line + LINE_END_LEN;
    if need == 0 {
        assert!(here.len() <= line_len_max);
        return;
    }
    assert!(here.len() < need && need <= line_len_max + limits.payload + LINE_END_LEN);
    match whole {
        Parsed::Op { len, .. } => assert_eq!(*len, need),
        other => assert!(!matches!(other, Parsed::More { need: 0 })),
    }
}

fn check_tail(op: ClientOp<'_>) {
    let ClientOp::Publish(publish) = op else {
        return;
    };
    assert!(publish.header_len <= publish.payload.len());
    if let Some(tail) = publish.tail {
        let mut written = Vec::new();
        encode::tail(&mut written, publish.reply, publish.header_len, publish.payload);
        assert_eq!(written, tail);
    }
}

/// The JSON of CONNECT. What was taken once is not changed by taking it again.
pub fn connect_json(data: &[u8]) {
    let mut once = ConnectOptions::default();
    if once.apply(data).is_ok() {
        let mut twice = once.clone();
        assert_eq!(twice.apply(data), Ok(()));
        assert_eq!(once, twice);
    }
}

/// A header block. What is read from it, written again and read again, is the same.
pub fn headers(data: &[u8]) {
    let Some(headers) = Headers::read(data) else {
        return;
    };
    let mut block = b"NATS/1.0".to_vec();
    if let Some(status) = headers.status() {
        block.extend_from_slice(format!(" {:03} ", status.code).as_bytes());
        block.extend_from_slice(status.description);
    }
    block.extend_from_slice(b"\r\n");
    for (name, value) in headers.iter() {
        assert!(headers.get(name).is_some());
        block.extend_from_slice(&[name, b": ", value, b"\r\n"].concat());
    }
    block.extend_from_slice(b"\r\n");
    let again = Headers::read(&block).expect("a block of names and values is well formed");
    assert_eq!(again.status(), headers.status());
    assert!(again.iter().eq(headers.iter()));
}

/// The first bytes of a connection through a proxy: known after any number of bytes from which they
/// can be known, and never anything else with more of them.
pub fn proxy_header(data: &[u8]) {
    let whole = proxy::read(data);
    assert!(data.len() < proxy::HEAD_MAX || whole != proxy::Read::More);
    if let proxy::Read::Header { len, source } = &whole {
        assert!((1..=16 + usize::from(u16::MAX)).contains(len));
        assert!(source.is_none_or(|source| source.ip() == source.ip().to_canonical()));
    }
    for len in 0..data.len().min(2 * proxy::HEAD_MAX) {
        match proxy::read(&data[..len]) {
            proxy::Read::More => assert!(len < proxy::HEAD_MAX),
            read => assert_eq!(read, whole),
        }
    }
}

/// A pattern and, behind a line end, a subject.
pub fn subjects(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let (pattern, name) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let valid = subject::is_valid_pattern(pattern);
    assert_eq!(valid, subject::naive::is_valid_pattern(pattern));
    let found = subject::matches(pattern, name);
    assert_eq!(found, subject::naive::matches(pattern, name));
    let tokens: Vec<&[u8]> = subject::tokens(name).collect();
    assert_eq!(tokens.join(&b'.'), name);
    assert_eq!(tokens.len(), subject::token_count(name));
    assert_eq!(tokens.contains(&&b""[..]), subject::has_empty_token(name));
    if subject::is_valid_literal(name) {
        assert!(subject::is_valid_pattern(name) && subject::is_literal(name));
        assert!(subject::matches(name, name) && subject::matches(b">", name));
    }
}

/// Source and destination of a transform and a subject, each on a line of its own. What comes out
/// is as long as is promised, is the same each time, and has no blank that was not there before.
pub fn transforms(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (source, destination, name) = (line(), line(), line());
    let transform = Transform::new(source, destination);
    let mapping = Transform::mapping(source, destination);
    assert!(mapping.is_err() || mapping == transform);
    if let Ok(strict) = Transform::reversible(source, destination) {
        assert_eq!(transform.as_ref(), Ok(&strict));
    }
    let Ok(transform) = transform else { return };
    let mut rng = fastrand::Rng::with_seed(1);
    let (mut out, mut again) = (Vec::new(), Vec::new());
    transform.apply_to(name, &mut rng, &mut out);
    assert!(out.len() <= destination.len() + 2 * (name.len() + 1) * (destination.len() + 1));
    transform.apply_to(name, &mut rng, &mut again);
    assert!(out == again || !transform.is_fixed());
    if mapping.is_ok() && !subject::has_blank(name) {
        assert!(!subject::has_blank(&out));
    }
}

/// Rules, and what is asked about them: a line each of what is allowed and denied, with bars
/// between rules, then a pattern, a queue and a subject.
pub fn permissions(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut list = || -> Vec<String> {
        let texts = lines.next().unwrap_or_default().split('|');
        texts.filter(|text| !text.is_empty()).map(str::to_owned).collect()
    };
    let (allow, deny) = (list(), list());
    let mut name = || lines.next().unwrap_or_default().as_bytes();
    let (pattern, queue, subject) = (name(), name(), name());
    let queue = Some(queue).filter(|queue| !queue.is_empty());
    let lists = Lists { allow: (!allow.is_empty()).then_some(allow), deny };
    for rule in lists.allow.iter().flatten().chain(&lists.deny) {
        assert!(check(rule, false).is_err() || check(rule, true).is_ok());
    }
    let publishing = Rules { publish: lists.clone(), ..Rules::default() };
    if let Ok(permissions) = Permissions::new(publishing.clone()) {
        let expected = naive::may_publish(&publishing, subject);
        assert_eq!(permissions.may_publish(subject), expected);
    }
    let rules = Rules { subscribe: lists, ..Rules::default() };
    let Ok(permissions) = Permissions::new(rules.clone()) else { return };
    let verdict = permissions.may_subscribe(pattern, queue);
    assert_eq!(verdict != Subscribing::Denied, naive::may_subscribe(&rules, pattern, queue));
    if let Subscribing::Allowed(guard) = verdict
        && subject::matches(pattern, subject)
    {
        let expected = naive::may_deliver(&rules, pattern, queue, subject);
        assert_eq!(may_deliver(guard.as_deref(), subject, queue), expected);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Runs `check` over every file of the corpus of `target`.
    fn replay(target: &str, check: fn(&[u8])) {
        let corpus =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus").join(target);
        let entries: Vec<_> = corpus.read_dir().expect("the corpus is there").collect();
        assert!(entries.len() >= 5, "{} files in {}", entries.len(), corpus.display());
        for entry in entries {
            let path = entry.expect("the corpus can be listed").path();
            check(&std::fs::read(&path).expect("a file of the corpus can be read"));
        }
    }

    #[test]
    fn corpus_of_client_ops() {
        replay("client_ops", super::client_ops);
    }

    #[test]
    fn corpus_of_connect_json() {
        replay("connect_json", super::connect_json);
    }

    #[test]
    fn corpus_of_headers() {
        replay("headers", super::headers);
    }

    #[test]
    fn corpus_of_permissions() {
        replay("permissions", super::permissions);
    }

    #[test]
    fn corpus_of_proxy() {
        replay("proxy", super::proxy_header);
    }

    #[test]
    fn corpus_of_sniff() {
        replay("sniff", super::sniff);
    }

    #[test]
    fn corpus_of_subjects() {
        replay("subjects", super::subjects);
    }

    #[test]
    fn corpus_of_transforms() {
        replay("transforms", super::transforms);
    }
}
