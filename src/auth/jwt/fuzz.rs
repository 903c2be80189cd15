//! What the fuzzers do with a file of bytes. Each function panics if something does not hold.
//!
//! Here, and not in the fuzz package, so that `cargo test` runs them over the corpus.

use serde_json::Value;

use super::claims::{Body, Claims};
use super::key::{KeyPair, Role};
use super::template::{self, EXPANDED_BYTES_MAX, Person};
use super::{account, activation, authorization, decorated, operator, token, user};

/// The text of a JWT, and, as nobody guesses a signature, claims that are signed here. What is read
/// once is the same when it is written and read again.
pub fn jwt(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = token::open(&text);
    round::<user::User>(data, Role::Account);
    round::<account::Account>(data, Role::Operator);
    round::<operator::Operator>(data, Role::Operator);
    round::<activation::Activation>(data, Role::Account);
    round::<authorization::AuthorizationRequest>(data, Role::Server);
    round::<authorization::AuthorizationResponse>(data, Role::Account);
}

fn round<B: Body + PartialEq + std::fmt::Debug>(data: &[u8], role: Role) {
    let key = KeyPair::new(role, &[7; 32]);
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(data) else { return };
    fields.insert("iss".to_owned(), key.public().into());
    let nats = fields.entry("nats").or_insert_with(|| Value::Object(serde_json::Map::new()));
    if let Value::Object(nats) = nats {
        nats.insert("type".to_owned(), B::KIND.into());
        nats.insert("version".to_owned(), token::VERSION.into());
    }
    fields.remove("type");
    let text = token::seal(&serde_json::to_vec(&fields).expect("it was JSON"), &key);
    let Ok(mut once) = Claims::<B>::decode(&text) else { return };
    let _ = once.issues(1).to_string();
    let signed = once.sign_at(&key, 1);
    let again = Claims::<B>::decode(&signed).expect("it was just written");
    assert_eq!(once, again);
    assert_eq!(once.issues(1), again.issues(1));
}

/// A file with a JWT, a seed or both. What is found stands in the file.
pub fn creds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    assert!(text.contains(decorated::jwt(&text)));
    if let Some(pair) = decorated::key_pair(&text) {
        assert!(super::key::PublicKey::parse(&pair.public()).is_some());
    }
}

/// Lines of subjects with templates; the first line has tags. Whatever comes out is no longer than
/// it may be, and what is denied is never less than what was written.
pub fn templates(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines().map(str::to_owned);
    let tags: Vec<String> =
        lines.next().unwrap_or_default().split(' ').map(str::to_owned).collect();
    let subjects: Vec<String> = lines.collect();
    let person = Person {
        name: "joe",
        subject: "U",
        tags: &tags,
        account_name: "acme",
        account_subject: "A",
        account_tags: &tags,
    };
    let permission =
        || super::limits::Permission { allow: subjects.clone(), deny: subjects.clone() };
    let role = super::limits::UserLimits {
        publish: permission(),
        subscribe: permission(),
        ..super::limits::UserLimits::default()
    };
    let Ok(limits) = template::apply(&role, person) else { return };
    let bytes = |list: &[String]| list.iter().map(String::len).sum::<usize>();
    let most = EXPANDED_BYTES_MAX.max(data.len());
    assert!(bytes(&limits.publish.allow) <= most && bytes(&limits.publish.deny) <= most + 1);
    assert!(limits.publish.deny.len() >= subjects.len());
    assert!(
        subjects.is_empty() || !limits.publish.allow.is_empty() || bytes(&limits.publish.deny) > 0
    );
}

#[cfg(test)]
mod tests {
    fn replay(name: &str, run: fn(&[u8])) {
        let corpus =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
        let entries: Vec<_> = corpus.read_dir().expect("the corpus is there").collect();
        assert!(entries.len() >= 3, "{} files in {}", entries.len(), corpus.display());
        for entry in entries {
            let path = entry.expect("the corpus can be listed").path();
            run(&std::fs::read(&path).expect("a file of the corpus can be read"));
        }
    }

    #[test]
    fn corpora() {
        replay("jwt", super::jwt);
        replay("creds", super::creds);
        replay("templates", super::templates);
    }
}
