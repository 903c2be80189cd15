//! Accounts: what holds in each subject space, the same on every shard.
//!
//! The process makes one [`Accounts`] from its configuration and hands it to every shard; a reload
//! hands them another. Nothing in it changes, so no shard ever asks anybody.
//!
//! | file | what |
//! | --- | --- |
//! | `bounds.rs` | how many clients an account may have, and what each of them |
//! | `exports.rs` | what an account offers to others, and to whom |
//! | `imports.rs` | what it takes from others: streams and services |
//! | `sharing.rs` | both together: may this be imported, and does it lead in a circle |
//! | `error.rs` | why it may not |

mod bounds;
mod error;
mod exports;
mod imports;
#[cfg(test)]
pub(crate) mod naive;
mod sharing;

use std::collections::HashSet;
use std::sync::Arc;

use crate::ids::AccountId;
use crate::subject::mapping::Mappings;

pub use bounds::{Allowance, Headcount, Place, Places};
pub use error::ImportError;
pub use exports::{Access, Exports, Latency, ResponseType, Sampling, ServiceExport, StreamExport};
pub use imports::{Imports, ServiceImport, StreamImport};
pub use sharing::Service;

/// All accounts that have terms of their own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Accounts {
    by_id: Vec<Account>,
}

/// What holds in one of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// What it is called.
    pub name: Arc<str>,
    /// What becomes of subjects that its clients publish to; none if nothing does.
    pub mappings: Option<Arc<Mappings>>,
    /// What each of its clients may have.
    pub allowance: Allowance,
    /// How many clients it may have; `None` if any number.
    pub places: Option<Places>,
    /// What it takes from others; none if nothing.
    pub imports: Option<Arc<Imports>>,
    /// What it offers to others.
    pub exports: Exports,
}

impl Accounts {
    /// The terms of account `id`, to be filled in.
    pub fn entry(&mut self, id: AccountId) -> &mut Account {
        let places = self.by_id.len().max(id.index() + 1);
        self.by_id.resize_with(places, Account::default);
        &mut self.by_id[id.index()]
    }

    /// The terms of account `id`, if it has any.
    #[must_use]
    pub fn get(&self, id: AccountId) -> Option<&Account> {
        self.by_id.get(id.index())
    }

    /// The accounts in which something else holds than by `other`.
    #[must_use]
    pub fn changed(&self, other: &Self) -> HashSet<AccountId> {
        let count = self.by_id.len().max(other.by_id.len());
        let all = (0..u32::try_from(count).unwrap_or(u32::MAX)).map(AccountId::new);
        let nothing = Account::default();
        all.filter(|id| self.get(*id).unwrap_or(&nothing) != other.get(*id).unwrap_or(&nothing))
            .collect()
    }

    /// What becomes of subjects that clients of account `id` publish to.
    #[must_use]
    pub fn mappings(&self, id: AccountId) -> Option<&Arc<Mappings>> {
        self.get(id)?.mappings.as_ref()
    }

    /// What each client of account `id` may have.
    #[must_use]
    pub fn allowance(&self, id: AccountId) -> Allowance {
        self.get(id).map(|account| account.allowance).unwrap_or_default()
    }

    /// How many clients account `id` may have; `None` if any number.
    #[must_use]
    pub fn places(&self, id: AccountId) -> Option<&Places> {
        self.get(id)?.places.as_ref()
    }

    /// What account `id` takes from others.
    #[must_use]
    pub fn imports(&self, id: AccountId) -> Option<&Arc<Imports>> {
        self.get(id)?.imports.as_ref()
    }

    /// The same, service by service.
    #[must_use]
    pub fn services(&self, id: AccountId) -> &[ServiceImport] {
        self.imports(id).map_or(&[], |imports| &imports.services)
    }
}
