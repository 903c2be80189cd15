//! A folder with a file for each account, named after its public key: `A….jwt`.
//!
//! A full folder has all accounts, and keeps what it has; a cache has some, forgets those that were
//! not asked for, and makes room for others. A file is written under another name, synced and
//! renamed, so that there is never half of one. No text from a peer is ever part of a path unless
//! it is a valid public key of an account.
//!
//! Invariant: the hash is the exclusive or of the hashes of all entries.

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::Missing;
use crate::auth::jwt::AccountClaims;
use crate::auth::jwt::claims::now;
use crate::auth::jwt::key::Role;
use crate::auth::jwt::token::{self, TEXT_MAX};

const EXTENSION: &str = ".jwt";

/// What becomes of a file whose account is deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Delete {
    /// Nobody may delete accounts.
    Never,
    /// Its name gets `.deleted` behind it.
    Rename,
    /// It goes.
    Remove,
}

/// What the folder is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// All accounts.
    Full(Delete),
    /// Those that were asked for, for so long after they were asked for last; zero for as long as
    /// their claims hold.
    Cache(Duration),
}

/// A folder.
#[derive(Debug)]
pub struct Directory {
    folder: PathBuf,
    mode: Mode,
    /// Most files.
    limit: usize,
    index: Mutex<Index>,
}

#[derive(Debug, Default)]
struct Index {
    entries: HashMap<String, Entry>,
    hash: [u8; 32],
    /// Counts uses, so that the oldest is known.
    clock: u64,
}

#[derive(Debug)]
struct Entry {
    hash: [u8; 32],
    /// Second since 1970 in which the file goes; `i64::MAX` for never.
    expires: i64,
    used: u64,
}

impl Index {
    fn toggle(&mut self, hash: [u8; 32]) {
        for (own, other) in self.hash.iter_mut().zip(hash) {
            *own ^= other;
        }
    }

    fn track(&mut self, key: &str, hash: [u8; 32], expires: i64) {
        self.clock += 1;
        let entry = Entry { hash, expires, used: self.clock };
        if let Some(old) = self.entries.insert(key.to_owned(), entry) {
            self.toggle(old.hash);
        }
        self.toggle(hash);
    }

    fn forget(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.toggle(entry.hash);
        }
    }

    fn oldest(&self) -> Option<String> {
        self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone())
    }
}

/// Makes the folder if it is not there.
///
/// # Errors
/// Returns why it cannot be made, or is none.
pub fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

impl Directory {
    /// Reads the folder, which is made if it is not there. `limit` is how many files there may be.
    ///
    /// # Errors
    /// Returns why it cannot be read.
    pub fn open(folder: &Path, mode: Mode, limit: usize) -> io::Result<Self> {
        make(folder)?;
        let folder = folder.canonicalize()?;
        let this = Self { folder, mode, limit, index: Mutex::default() };
        this.read_all(&mut |_, _| {})?;
        Ok(this)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// What it is for.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks into every file, and calls `changed` for each whose content is not what it was.
    ///
    /// # Errors
    /// Returns why the folder cannot be read.
    pub fn read_all(&self, changed: &mut dyn FnMut(&str, &str)) -> io::Result<()> {
        let mut seen = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let key = name.to_str().and_then(|name| name.strip_suffix(EXTENSION));
            let Some(key) = key.filter(|key| Role::Account.has(key)) else { continue };
            let Ok(text) = self.read(key) else { continue };
            let hash: [u8; 32] = Sha256::digest(&text).into();
            let known = self.index().entries.get(key).map(|entry| entry.hash);
            self.index().track(key, hash, self.expiry(&text));
            seen.push(key.to_owned());
            if known.is_some_and(|known| known != hash) {
                changed(key, &text);
            }
        }
        let mut index = self.index();
        let gone: Vec<String> =
            index.entries.keys().filter(|key| !seen.contains(key)).cloned().collect();
        for key in gone {
            index.forget(&key);
        }
        Ok(())
    }

    /// Where the claims of an account are; nothing that is no account has a place.
    fn place(&self, key: &str) -> Option<PathBuf> {
        Role::Account.has(key).then(|| self.folder.join(format!("{key}{EXTENSION}")))
    }

    fn read(&self, key: &str) -> Result<String, Missing> {
        let place = self.place(key).ok_or_else(|| failed("invalid public key"))?;
        let file = match File::open(place) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Missing::Unknown),
            Err(error) => return Err(Missing::Failed(error.to_string())),
        };
        let mut text = String::new();
        let most = TEXT_MAX as u64 + 1;
        match file.take(most).read_to_string(&mut text) {
            Ok(_) if text.len() <= TEXT_MAX => Ok(text),
            Ok(_) => Err(failed("token too large")),
            Err(error) => Err(Missing::Failed(error.to_string())),
        }
    }

    /// The claims about an account.
    ///
    /// # Errors
    /// Returns why there are none.
    pub fn load(&self, key: &str) -> Result<String, Missing> {
        let text = self.read(key)?;
        let expires = self.expiry(&text);
        let mut index = self.index();
        index.clock += 1;
        let used = index.clock;
        if let Some(entry) = index.entries.get_mut(key) {
            entry.used = used;
            if let Mode::Cache(ttl) = self.mode
                && !ttl.is_zero()
            {
                entry.expires = expires;
            }
        }
        Ok(text)
    }

    /// Keeps claims; whether they are others than were there.
    ///
    /// # Errors
    /// Returns why they cannot be kept, in a word or two.
    pub fn save(&self, key: &str, text: &str) -> Result<bool, String> {
        let place = self.place(key).ok_or("invalid public key")?;
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err("invalid JWT".to_owned());
        }
        let hash: [u8; 32] = Sha256::digest(text).into();
        // Held while the file is written: two who save the same account do it one after the other.
        let mut index = self.index();
        match index.entries.get(key) {
            Some(entry) if entry.hash == hash => return Ok(false),
            Some(_) => {}
            None if index.entries.len() >= self.limit => {
                let Mode::Cache(_) = self.mode else {
                    return Err("jwt store is full".to_owned());
                };
                if let Some(oldest) = index.oldest() {
                    self.remove(&oldest).map_err(|error| error.to_string())?;
                    index.forget(&oldest);
                }
            }
            None => {}
        }
        self.write(&place, text).map_err(|error| error.to_string())?;
        index.track(key, hash, self.expiry(text));
        Ok(true)
    }

    /// Keeps claims unless those that are there were issued later; whether they are kept.
    ///
    /// # Errors
    /// Returns why they cannot be kept.
    pub fn save_if_newer(&self, key: &str, text: &str) -> Result<bool, String> {
        if let Ok(existing) = self.read(key) {
            let new = AccountClaims::decode(text).map_err(|fault| fault.to_string())?;
            if let Ok(existing) = AccountClaims::decode(&existing) {
                if existing.id == new.id || existing.issued > new.issued {
                    return Ok(false);
                }
                if new.subject != key {
                    return Err("jwt subject nkey and provided nkey do not match".to_owned());
                }
            }
        }
        self.save(key, text)
    }

    /// Deletes an account, as far as that is allowed; one that is not there is deleted already.
    ///
    /// # Errors
    /// Returns why it is still there.
    pub fn delete(&self, key: &str) -> Result<(), String> {
        let place = self.place(key).ok_or("invalid public key")?;
        let mut index = self.index();
        let gone = match self.mode {
            Mode::Full(Delete::Never) => {
                return Err("store is not set up to for delete".to_owned());
            }
            Mode::Full(Delete::Rename) => {
                let mut aside = place.clone().into_os_string();
                aside.push(".deleted");
                fs::rename(&place, aside)
            }
            Mode::Full(Delete::Remove) | Mode::Cache(_) => fs::remove_file(&place),
        };
        match gone {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.to_string()),
        }
        index.forget(key);
        Ok(())
    }

    fn remove(&self, key: &str) -> io::Result<()> {
        let Some(place) = self.place(key) else { return Ok(()) };
        match fs::remove_file(place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes all of a file or none.
    fn write(&self, place: &Path, text: &str) -> io::Result<()> {
        let mut beside = place.as_os_str().to_owned();
        beside.push(format!(".{:016x}.tmp", fastrand::u64(..)));
        let beside = PathBuf::from(beside);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&beside, place))
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if written.is_err() {
            // What is left of it helps nobody; if it cannot go, the next start passes over it.
            let _ = fs::remove_file(&beside);
        }
        written
    }

    fn expiry(&self, text: &str) -> i64 {
        match self.mode {
            Mode::Cache(ttl) if !ttl.is_zero() => {
                now().saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1))
            }
            _ => {
                let claims = token::open(text).ok().map(|opened| opened.claims);
                let expires = claims.and_then(|claims| claims.get("exp")?.as_i64());
                expires.filter(|expires| *expires > 0).unwrap_or(i64::MAX)
            }
        }
    }

    /// Removes the files whose time is over; how many those were.
    pub fn expire(&self, now: i64) -> usize {
        let mut index = self.index();
        let entries = index.entries.iter();
        let over: Vec<String> =
            entries.filter(|(_, entry)| entry.expires < now).map(|(key, _)| key.clone()).collect();
        let mut count = 0;
        for key in over {
            if self.remove(&key).is_ok() {
                index.forget(&key);
                count += 1;
            }
        }
        count
    }

    /// The public keys of all accounts.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.index().entries.keys().cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// The same for folders that have the same.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        self.index().hash
    }
}

fn failed(why: &str) -> Missing {
    Missing::Failed(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::jwt::key::KeyPair;

    fn account(byte: u8) -> String {
        KeyPair::new(Role::Account, &[byte; 32]).public()
    }

    fn claims(byte: u8, issued: i64, expires: i64) -> String {
        let mut claims = AccountClaims::new(&account(byte));
        claims.expires = expires;
        claims.sign_at(&KeyPair::new(Role::Operator, &[1; 32]), issued)
    }

    fn open(folder: &Path, mode: Mode, limit: usize) -> Directory {
        Directory::open(folder, mode, limit).unwrap()
    }

    fn names(folder: &Path) -> Vec<String> {
        let all = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn claims_are_kept_and_found_again() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("jwt/deep");
        let full = open(&folder, Mode::Full(Delete::Never), 10);
        let (one, two) = (claims(1, 10, 0), claims(1, 20, 0));
        assert_eq!(full.load(&account(1)), Err(Missing::Unknown));
        assert_eq!(full.save(&account(1), &one), Ok(true));
        assert_eq!(full.save(&account(1), &one), Ok(false));
        assert_eq!(full.load(&account(1)).as_deref(), Ok(&*one));
        assert_eq!(full.save_if_newer(&account(1), &two), Ok(true));
        assert_eq!(full.save_if_newer(&account(1), &one), Ok(false), "issued earlier");
        assert_eq!(names(&folder), [format!("{}.jwt", account(1))]);
        let again = open(&folder, Mode::Full(Delete::Never), 10);
        assert_eq!((again.hash(), again.keys()), (full.hash(), vec![account(1)]));
        assert_eq!(again.load(&account(1)).as_deref(), Ok(&*two));
    }

    #[test]
    fn a_full_folder_refuses_and_a_cache_makes_room() {
        let temp = tempfile::tempdir().unwrap();
        let full = open(&temp.path().join("full"), Mode::Full(Delete::Never), 1);
        let cache = open(&temp.path().join("cache"), Mode::Cache(Duration::ZERO), 2);
        full.save(&account(1), &claims(1, 1, 0)).unwrap();
        assert_eq!(full.save(&account(2), &claims(2, 1, 0)), Err("jwt store is full".into()));
        for byte in [1, 2] {
            cache.save(&account(byte), &claims(byte, 1, 0)).unwrap();
        }
        cache.load(&account(1)).unwrap();
        cache.save(&account(3), &claims(3, 1, 0)).unwrap();
        let mut expected = vec![account(1), account(3)];
        expected.sort();
        assert_eq!(cache.keys(), expected, "2 was not asked for longest");
        assert_eq!(cache.load(&account(2)), Err(Missing::Unknown));
    }

    #[test]
    fn deleted_accounts_are_put_aside_or_gone() {
        let temp = tempfile::tempdir().unwrap();
        for (mode, left) in [(Delete::Rename, 1), (Delete::Remove, 0)] {
            let folder = temp.path().join(format!("{mode:?}"));
            let full = open(&folder, Mode::Full(mode), 10);
            full.save(&account(1), &claims(1, 1, 0)).unwrap();
            full.delete(&account(1)).unwrap();
            full.delete(&account(1)).unwrap();
            assert_eq!((full.keys().len(), names(&folder).len()), (0, left));
            assert_eq!(full.hash(), [0; 32]);
        }
        let never = open(&temp.path().join("never"), Mode::Full(Delete::Never), 10);
        assert!(never.delete(&account(1)).is_err());
    }

    #[test]
    fn what_is_over_goes() {
        let temp = tempfile::tempdir().unwrap();
        let full = open(temp.path(), Mode::Full(Delete::Never), 10);
        full.save(&account(1), &claims(1, 1, 100)).unwrap();
        full.save(&account(2), &claims(2, 1, 0)).unwrap();
        assert_eq!((full.expire(100), full.expire(101), full.expire(i64::MAX)), (0, 1, 0));
        assert_eq!(full.keys(), [account(2)]);
    }

    #[test]
    fn files_that_others_change_are_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let full = open(temp.path(), Mode::Full(Delete::Never), 10);
        full.save(&account(1), &claims(1, 1, 0)).unwrap();
        fs::write(temp.path().join(format!("{}.jwt", account(1))), claims(1, 2, 0)).unwrap();
        let mut changed = Vec::new();
        full.read_all(&mut |key, _| changed.push(key.to_owned())).unwrap();
        assert_eq!(changed, [account(1)]);
        fs::remove_file(temp.path().join(format!("{}.jwt", account(1)))).unwrap();
        full.read_all(&mut |_, _| {}).unwrap();
        assert_eq!((full.keys().len(), full.hash()), (0, [0; 32]));
    }

    /// CVE-2022-28357: the name of an account was part of a path.
    #[test]
    fn cve_2022_28357_only_keys_become_names() {
        let temp = tempfile::tempdir().unwrap();
        let folder = temp.path().join("jwt");
        let full = open(&folder, Mode::Full(Delete::Remove), 10);
        fs::write(temp.path().join("secret.jwt"), "secret").unwrap();
        let text = claims(1, 1, 0);
        let user = KeyPair::new(Role::User, &[1; 32]).public();
        for name in ["../secret", "", ".", "..", "/etc/passwd", "A", "A/../../x", &user] {
            assert!(matches!(full.load(name), Err(Missing::Failed(_))), "{name}");
            assert!(full.save(name, &text).is_err() && full.delete(name).is_err(), "{name}");
            assert!(full.save_if_newer(name, &text).is_err(), "{name}");
        }
        assert_eq!(names(&folder).len(), 0);
        assert_eq!(names(temp.path()), ["jwt", "secret.jwt"]);
    }
}
