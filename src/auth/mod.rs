//! Who may connect: from what a CONNECT offers to yes or no.
//!
//! Comparisons take the same time whatever is wrong, so that nothing about user, password or token
//! can be learned by measuring.

use subtle::{Choice, ConstantTimeEq};

use ringbus_shard::ids::AccountId;

use crate::cli::Secret;

/// The credentials a CONNECT carries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offered<'a> {
    /// `user`.
    pub user: Option<&'a str>,
    /// `pass`.
    pub pass: Option<&'a str>,
    /// `auth_token`.
    pub token: Option<&'a str>,
}

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

    /// Whether INFO says `auth_required`.
    #[must_use]
    pub fn required(&self) -> bool {
        !matches!(self, Self::Open)
    }

    /// The account of a client that offers this, or `None` if it may not connect.
    #[must_use]
    pub fn admit(&self, offered: &Offered<'_>) -> Option<AccountId> {
        let admitted = match self {
            Self::Open => Choice::from(1),
            Self::Token(token) => same(token.expose(), offered.token),
            // Both are always compared: a wrong user takes as long as a wrong password.
            Self::User(user, pass) => {
                same(user, offered.user) & same(pass.expose(), offered.pass.or(Some("")))
            }
        };
        bool::from(admitted).then_some(AccountId::GLOBAL)
    }
}

/// Compares without stopping at the first difference. Only the length of what was offered, which
/// its sender knows, decides how long it takes.
fn same(wanted: &str, offered: Option<&str>) -> Choice {
    let offered_bytes = offered.unwrap_or_default().as_bytes();
    let mut difference = Choice::from(u8::from(wanted.len() != offered_bytes.len()));
    let wanted = wanted.bytes().chain(std::iter::repeat(0));
    for (byte, wanted) in offered_bytes.iter().zip(wanted) {
        difference |= !byte.ct_eq(&wanted);
    }
    !difference & Choice::from(u8::from(offered.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Option<Secret> {
        Some(Secret::new(text.to_owned()))
    }

    fn offer<'a>(user: &'a str, pass: &'a str) -> Offered<'a> {
        Offered { user: Some(user), pass: Some(pass), token: None }
    }

    #[test]
    fn users_need_their_password() {
        let auth = Auth::new(Some("ann".to_owned()), secret("s3cret"), None);
        assert!(auth.required());
        assert_eq!(auth.admit(&offer("ann", "s3cret")), Some(AccountId::GLOBAL));
        let wrong =
            [("ann", "s3cre"), ("ann", "s3cret1"), ("ann", ""), ("bob", "s3cret"), ("", "")];
        for (user, pass) in wrong {
            assert_eq!(auth.admit(&offer(user, pass)), None, "{user} {pass}");
        }
        assert_eq!(auth.admit(&Offered::default()), None);
        let token = Offered { token: Some("s3cret"), ..Offered::default() };
        assert_eq!(auth.admit(&token), None);
    }

    #[test]
    fn a_token_wins_over_a_user() {
        let auth = Auth::new(Some("ann".to_owned()), secret("s3cret"), secret("t0ken"));
        assert_eq!(auth.admit(&offer("ann", "s3cret")), None);
        let token = Offered { token: Some("t0ken"), ..Offered::default() };
        assert_eq!(auth.admit(&token), Some(AccountId::GLOBAL));
    }

    #[test]
    fn a_user_without_password_offers_none_or_an_empty_one() {
        let auth = Auth::new(Some("ann".to_owned()), None, None);
        assert!(auth.admit(&offer("ann", "")).is_some());
        assert!(auth.admit(&Offered { user: Some("ann"), ..Offered::default() }).is_some());
        assert!(auth.admit(&offer("ann", "x")).is_none());
    }

    #[test]
    fn without_credentials_everybody_may_enter() {
        for auth in [
            Auth::new(None, None, None),
            Auth::new(None, secret("x"), None),
            Auth::new(Some(String::new()), secret(""), secret("")),
        ] {
            assert!(!auth.required());
            assert!(auth.admit(&Offered::default()).is_some());
            assert!(auth.admit(&offer("any", "thing")).is_some());
        }
    }

    #[test]
    fn secrets_do_not_show_in_debug_output() {
        let shown = format!("{:?}", Auth::new(None, None, secret("t0ken")));
        assert_eq!(shown, "Token([redacted])");
    }
}
