//! Files in which a JWT or a seed stands between lines of dashes, as `nsc` writes them.

use super::key::KeyPair;

/// The JWT in a file: what stands between the first two lines of dashes, or else all of it.
#[must_use]
pub fn jwt(text: &str) -> &str {
    items(text).next().unwrap_or(text).trim_ascii()
}

/// The seed in a file: the second thing between lines of dashes, or else the first line that begins
/// like a seed.
#[must_use]
pub fn key_pair(text: &str) -> Option<KeyPair> {
    let seeds = ["SO", "SA", "SU"];
    let is_seed = |line: &&str| seeds.iter().any(|prefix| line.starts_with(prefix));
    let mut lines = text.lines().map(str::trim_ascii);
    let seed = items(text).nth(1).or_else(|| lines.find(is_seed))?;
    KeyPair::from_seed(Some(seed).filter(is_seed)?)
}

/// A file with the claims of a user and the seed of its key.
#[must_use]
pub fn creds(jwt: &str, seed: &str) -> String {
    let line = "*".repeat(25);
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n{line} IMPORTANT \
         {line}\nNKEY Seed printed below can be used to sign and prove identity.\nNKEYs are \
         sensitive and should be treated as secrets.\n\n-----BEGIN USER NKEY SEED-----\n{seed}\n\
         ------END USER NKEY SEED------\n\n{line}{line}***********\n"
    )
}

/// Lines of base64 that stand between lines of dashes.
fn items(text: &str) -> impl Iterator<Item = &str> {
    let is_dashes = |line: &str| line.contains("---") && line.ends_with("---");
    let is_item = |line: &str| {
        !line.is_empty()
            && line.bytes().all(|it| it.is_ascii_alphanumeric() || b"_-.=".contains(&it))
    };
    let (mut before, mut item) = (false, None);
    text.lines().filter_map(move |line| {
        let found = item.take().filter(|_| is_dashes(line));
        if found.is_some() {
            before = false;
            return found;
        }
        if before && is_item(line) {
            item = Some(line);
        }
        before = is_dashes(line);
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::jwt::key::Role;

    #[test]
    fn a_jwt_is_found_with_and_without_dashes() {
        for text in [
            "eyJ0.a-_b.c",
            "eyJ0.a-_b.c\n",
            "-----BEGIN NATS OPERATOR JWT-----\neyJ0.a-_b.c\n------END NATS OPERATOR JWT------\n",
            "-----BEGIN NATS USER JWT-----\r\neyJ0.a-_b.c\r\n------END NATS USER JWT------\r\n\r\n\
             -----BEGIN USER NKEY SEED-----\r\nSUA\r\n------END USER NKEY SEED------\r\n",
        ] {
            assert_eq!(jwt(text), "eyJ0.a-_b.c", "{text}");
        }
    }

    #[test]
    fn a_seed_is_found_with_and_without_dashes() {
        // From the documentation of nats-server.
        let seed = "SUAIO3FHUX5PNV2LQIIP7TZ3N4L7TX3W53MQGEIVYFIGA635OZCKEYHFLM";
        let public = KeyPair::from_seed(seed).unwrap().public();
        assert!(Role::User.has(&public));
        for text in [creds("eyJ0.a.b", seed), format!("{seed}\n"), format!("# mine\n  {seed}")] {
            assert_eq!(key_pair(&text).unwrap().public(), public, "{text}");
        }
        assert_eq!(jwt(&creds("eyJ0.a.b", seed)), "eyJ0.a.b");
        for text in ["", "SUA", "---\nSUA\n---\n---\nSUA\n---\n"] {
            assert!(key_pair(text).is_none(), "{text}");
        }
    }
}
