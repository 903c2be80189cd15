//! Where claims about accounts come from.

pub mod directory;
pub mod url;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

pub use self::directory::{Delete, Directory, Mode};
pub use self::url::Remote;

use crate::auth::jwt::key::Role;

/// One place.
#[derive(Debug)]
pub enum Resolver {
    /// What the configuration says, and nothing else.
    Memory(Mutex<HashMap<String, String>>),
    /// A folder.
    Directory(Directory),
    /// A server of claims.
    Url(Remote),
}

/// Why there are no claims.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Missing {
    /// Nobody ever signed such an account, as far as is known here.
    Unknown,
    /// They could not be had, and why.
    Failed(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("account missing"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl Resolver {
    /// What the configuration says.
    #[must_use]
    pub fn memory() -> Self {
        Self::Memory(Mutex::default())
    }

    /// The claims about the account with this public key. May take as long as the network does.
    ///
    /// # Errors
    /// Returns why there are none.
    pub fn fetch(&self, key: &str) -> Result<String, Missing> {
        // Whatever a peer wrote, nothing but a key ever gets any further.
        if !Role::Account.has(key) {
            return Err(Missing::Failed("will only fetch valid account keys".to_owned()));
        }
        match self {
            Self::Memory(claims) => {
                let claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
                claims.get(key).cloned().ok_or(Missing::Unknown)
            }
            Self::Directory(folder) => folder.load(key),
            Self::Url(remote) => remote.fetch(key),
        }
    }

    /// Keeps claims, unless newer ones are there.
    ///
    /// # Errors
    /// Returns why they cannot be kept.
    pub fn store(&self, key: &str, text: &str) -> Result<(), String> {
        match self {
            Self::Memory(claims) => {
                let mut claims = claims.lock().unwrap_or_else(PoisonError::into_inner);
                claims.insert(key.to_owned(), text.to_owned());
                Ok(())
            }
            Self::Directory(folder) => folder.save_if_newer(key, text).map(|_| ()),
            Self::Url(_) => Err("store operation not supported for URL Resolver".to_owned()),
        }
    }
}
