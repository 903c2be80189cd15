//! Who may connect: from what a CONNECT offers to yes or no.
//!
//! Comparisons take the same time whatever is wrong, so that nothing about user, password or token
//! can be learned by measuring.

use std::collections::HashMap;

use subtle::{Choice, ConstantTimeEq};

use ringbus_shard::options::{Authenticator, Grant};
use ringbus_shard::wire::connect::ConnectOptions;
use ringbus_shard::wire::secret::Secret;

/// What a client must offer.
#[derive(Debug, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    Open,
    /// This token.
    Token(Secret),
    /// This user with this password.
    User(String, Secret),
    /// One of these users with its password.
    Users(HashMap<String, Secret>),
}

impl Auth {
    /// From the flags: a token wins over a user; a password without a user demands nothing, as with
    /// nats-server, and so do empty values.
    #[must_use]
    pub fn new(user: Option<String>, pass: Option<Secret>, token: Option<Secret>) -> Self {
        let token = token.filter(|token| !token.expose().is_empty());
        let user = user.filter(|user| !user.is_empty());
        match (token, user) {
            (Some(token), _) => Self::Token(token),
            (None, Some(user)) => Self::User(user, pass.unwrap_or_default()),
            (None, None) => Self::Open,
        }
    }
}

impl Authenticator for Auth {
    fn required(&self) -> bool {
        !matches!(self, Self::Open)
    }

    fn judge(&self, connect: &ConnectOptions) -> Option<Grant> {
        let admitted = match self {
            Self::Open => Choice::from(1),
            Self::Token(token) => same(token.expose(), connect.auth_token.expose()),
            // Both are always compared: a wrong user takes as long as a wrong password.
            Self::User(user, pass) => {
                same(user, &connect.user) & same(pass.expose(), connect.pass.expose())
            }
            Self::Users(users) => {
                let known = users.get(&connect.user);
                let pass = known.map_or("", Secret::expose);
                Choice::from(u8::from(known.is_some())) & same(pass, connect.pass.expose())
            }
        };
        let user =
            matches!(self, Self::User(..) | Self::Users(_)).then(|| connect.user.as_str().into());
        bool::from(admitted).then(|| Grant { user, ..Grant::default() })
    }

    fn knows(&self, user: &str) -> bool {
        matches!(self, Self::Users(users) if users.contains_key(user))
    }
}

/// Compares without stopping at the first difference. Only the length of what was offered, which
/// its sender knows, decides how long it takes.
fn same(wanted: &str, offered: &str) -> Choice {
    let mut difference = Choice::from(u8::from(wanted.len() != offered.len()));
    let wanted = wanted.bytes().chain(std::iter::repeat(0));
    for (byte, wanted) in offered.bytes().zip(wanted) {
        difference |= !byte.ct_eq(&wanted);
    }
    !difference
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::from(text.to_owned()))
    }

    /// Whether a client that offers these may enter.
    fn admits(auth: &Auth, user: &str, pass: &str, token: &str) -> bool {
        let connect = ConnectOptions {
            user: user.to_owned(),
            pass: Secret::from(pass.to_owned()),
            auth_token: Secret::from(token.to_owned()),
            ..ConnectOptions::default()
        };
        auth.judge(&connect).is_some()
    }

    #[test]
    fn users_need_their_password() {
        let auth = Auth::new(Some("ann".to_owned()), secret("s3cret"), None);
        assert!(auth.required());
        assert!(admits(&auth, "ann", "s3cret", ""));
        let wrong =
            [("ann", "s3cre"), ("ann", "s3cret1"), ("ann", ""), ("bob", "s3cret"), ("", "")];
        for (user, pass) in wrong {
            assert!(!admits(&auth, user, pass, ""), "{user} {pass}");
        }
        assert!(!admits(&auth, "", "", "s3cret"));
    }

    #[test]
    fn each_of_several_users_has_a_password() {
        let pair = |user: &str, pass: &str| (user.to_owned(), Secret::from(pass.to_owned()));
        let auth = Auth::Users([pair("ann", "a"), pair("bob", "b"), pair("eve", "")].into());
        assert!(auth.required());
        assert!(admits(&auth, "ann", "a", "") && admits(&auth, "bob", "b", ""));
        assert!(admits(&auth, "eve", "", ""));
        for (user, pass) in [("ann", "b"), ("bob", ""), ("eve", "e"), ("joe", ""), ("", "")] {
            assert!(!admits(&auth, user, pass, ""), "{user} {pass}");
        }
    }

    #[test]
    fn a_token_wins_over_a_user() {
        let auth = Auth::new(Some("ann".to_owned()), secret("s3cret"), secret("t0ken"));
        assert!(!admits(&auth, "ann", "s3cret", ""));
        assert!(admits(&auth, "", "", "t0ken"));
    }

    #[test]
    fn a_user_without_password_offers_an_empty_one() {
        let auth = Auth::new(Some("ann".to_owned()), None, None);
        assert!(admits(&auth, "ann", "", ""));
        assert!(!admits(&auth, "ann", "x", ""));
    }

    #[test]
    fn without_credentials_everybody_may_enter() {
        for auth in [
            Auth::new(None, None, None),
            Auth::new(None, secret("x"), None),
            Auth::new(Some(String::new()), secret(""), secret("")),
        ] {
            assert!(!auth.required());
            assert!(admits(&auth, "", "", "") && admits(&auth, "any", "thing", ""));
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let shown = format!("{:?}", Auth::new(None, None, secret("t0ken")));
        assert!(!shown.contains("t0ken"), "{shown}");
    }
}
