//! Accounts: what holds in each subject space, the same on every shard.
//!
//! The process makes one [`Accounts`] from its configuration and hands it to every shard; a reload
//! hands them another. Nothing in it changes, so no shard ever asks anybody.

mod bounds;

use std::sync::Arc;

use crate::ids::AccountId;
use crate::subject::mapping::Mappings;

pub use bounds::{Allowance, Headcount, Place, Places};

/// All accounts that have terms of their own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Accounts {
    by_id: Vec<Account>,
}

/// What holds in one of them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Account {
    /// What becomes of subjects that its clients publish to; none if nothing does.
    pub mappings: Option<Arc<Mappings>>,
    /// What each of its clients may have.
    pub allowance: Allowance,
    /// How many clients it may have; `None` if any number.
    pub places: Option<Places>,
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
}
