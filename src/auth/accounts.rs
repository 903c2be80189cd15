//! Which number stands for which account.
//!
//! Connections, subscriptions and frames between shards bear the number. A reload may take an
//! account away and a later one may bring it back, while connections that bear its number still
//! exist: so a name keeps its number, and a number its name, for the life of the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE32_NOPAD;
use ringbus_shard::account::{Headcount, Places};
use ringbus_shard::ids::AccountId;

/// The account of everybody who was given no other.
pub const GLOBAL: &str = "$G";

/// The system account, unless the operator names another.
pub const SYSTEM: &str = "$SYS";

/// An account and its number.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// As the operator wrote it.
    pub name: Arc<str>,
    /// The same for the life of the process.
    pub id: AccountId,
}

/// All accounts that this process has ever had. Clones have the same: accounts that somebody signed
/// enter when they are heard of, on whatever thread that is.
#[derive(Clone, Debug)]
pub struct Accounts {
    table: Arc<Mutex<Table>>,
    system: Arc<str>,
    guest: Arc<str>,
}

/// Invariant: the account at an index has that index as its number; nothing is ever removed.
#[derive(Debug, Default)]
struct Table {
    names: Vec<Arc<str>>,
    /// How many clients each has, if anybody wants to know.
    counts: Vec<Headcount>,
    ids: HashMap<Arc<str>, AccountId>,
}

impl Accounts {
    /// The global account and the system account, which has this name.
    #[must_use]
    pub fn new(system: &str) -> Self {
        let mut suffix = [0; 5];
        // Without random numbers it is still a name, and one that nobody can log in with.
        let _ = getrandom::fill(&mut suffix);
        let guest = format!("nats-{}", BASE32_NOPAD.encode(&suffix)).into();
        let accounts = Self { table: Arc::default(), system: system.into(), guest };
        let ids = [GLOBAL, system].map(|name| accounts.enter(name).id);
        debug_assert_eq!(ids, [AccountId::GLOBAL, AccountId::SYSTEM]);
        accounts
    }

    /// The account with this name, which gets the next number if it is new.
    pub fn enter(&self, name: &str) -> Account {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((name, id)) = table.ids.get_key_value(name) {
            return Account { name: Arc::clone(name), id: *id };
        }
        let index = u32::try_from(table.names.len()).expect("memory ends before the numbers do");
        let (name, id) = (Arc::<str>::from(name), AccountId::new(index));
        table.names.push(Arc::clone(&name));
        table.counts.push(Headcount::default());
        table.ids.insert(Arc::clone(&name), id);
        Account { name, id }
    }

    /// The number of that account, if there ever was one.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<AccountId> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.ids.get(name).copied()
    }

    /// At most so many clients of that account.
    #[must_use]
    pub fn places(&self, id: AccountId, most: usize) -> Option<Places> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.counts.get(id.index()).map(|count| Places::new(most, count))
    }

    /// What the system account is called.
    #[must_use]
    pub const fn system(&self) -> &Arc<str> {
        &self.system
    }

    /// Name of the user that nobody configured: who offers nothing where only the system account
    /// has users.
    #[must_use]
    pub const fn guest(&self) -> &Arc<str> {
        &self.guest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_stay_together() {
        let accounts = Accounts::new("OPS");
        assert_eq!(accounts.enter("OPS").id, AccountId::SYSTEM);
        assert_eq!(accounts.enter(GLOBAL).id, AccountId::GLOBAL);
        assert_eq!(&**accounts.system(), "OPS");
        let ids: Vec<u32> =
            ["b", "a", "b", SYSTEM].iter().map(|name| accounts.enter(name).id.get()).collect();
        assert_eq!(ids, [2, 3, 2, 4]);
    }

    #[test]
    fn guests_of_two_processes_have_different_names() {
        let [one, other] = [SYSTEM, SYSTEM].map(|name| Accounts::new(name).guest().to_string());
        assert_ne!(one, other);
        assert!(one.starts_with("nats-") && one.len() == 13, "{one}");
    }
}
