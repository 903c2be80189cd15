//! The subscriptions of one shard's own connections.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::account::{Imports, StreamImport};
use crate::authorize::Guard;
use crate::ids::{AccountId, ConnId, SubId};
use crate::interest::Want;

/// A pattern held by a connection.
#[derive(Debug)]
pub struct Subscription {
    /// Who holds it.
    pub conn: ConnId,
    /// What the holder calls it, with a blank behind, as it stands in MSG.
    pub sid: SmallVec<[u8; 16]>,
    /// Messages it got.
    pub delivered: u64,
    /// It ends after this many messages; zero if it does not.
    pub max: u64,
    /// The subject space.
    pub account: AccountId,
    /// What it matches.
    pub pattern: Arc<[u8]>,
    /// Its queue group.
    pub queue: Option<Arc<[u8]>>,
    /// What it is not given although it matches.
    pub guard: Option<Arc<Guard>>,
    /// What it has in other accounts, or is there itself.
    pub kin: Option<Box<Kin>>,
}

/// Subscriptions that belong together.
#[derive(Clone, Debug)]
pub enum Kin {
    /// These are its shadows in accounts that its own takes streams from.
    Shadows(Box<[SubId]>),
    /// It is a shadow.
    Shadow(Shadow),
}

/// A subscription of another account that stands for one.
#[derive(Clone, Debug)]
pub struct Shadow {
    /// The subscription itself.
    pub of: SubId,
    /// What its account takes from others, and which of the streams this is.
    pub imports: Arc<Imports>,
    /// See there.
    pub place: usize,
}

impl Shadow {
    /// The stream it is of.
    #[must_use]
    pub fn import(&self) -> Option<&StreamImport> {
        self.imports.streams.get(self.place)
    }
}

impl Subscription {
    /// What it stands for, if it is a shadow.
    #[must_use]
    pub fn shadow(&self) -> Option<&Shadow> {
        match self.kin.as_deref() {
            Some(Kin::Shadow(shadow)) => Some(shadow),
            _ => None,
        }
    }

    /// Whether it stands for one of another account.
    #[must_use]
    pub fn is_shadow(&self) -> bool {
        self.shadow().is_some()
    }

    /// Its shadows.
    #[must_use]
    pub fn shadows(&self) -> &[SubId] {
        match self.kin.as_deref() {
            Some(Kin::Shadows(shadows)) => shadows,
            _ => &[],
        }
    }

    /// What the holder calls it.
    #[must_use]
    pub fn sid(&self) -> &[u8] {
        self.sid.split_last().map_or(&[], |(_, sid)| sid)
    }

    /// For whom the index wants its pattern.
    #[must_use]
    pub fn want(&self) -> Want<'_> {
        Want { queue: self.queue.as_deref(), guard: self.guard.as_ref() }
    }
}

/// A table of subscriptions. A slot is used again once its subscription was removed.
#[derive(Debug, Default)]
pub struct Subscriptions {
    table: Vec<Option<Subscription>>,
    free: Vec<u32>,
}

impl Subscriptions {
    /// Adds one.
    pub fn insert(&mut self, subscription: Subscription) -> SubId {
        if let Some(slot) = self.free.pop()
            && let Some(entry) = self.table.get_mut(slot as usize)
        {
            *entry = Some(subscription);
            return SubId::new(slot);
        }
        let slot = u32::try_from(self.table.len()).unwrap_or(u32::MAX);
        self.table.push(Some(subscription));
        SubId::new(slot)
    }

    /// Takes one out. The interest index must have let go of it first.
    pub fn remove(&mut self, id: SubId) -> Option<Subscription> {
        let removed = self.table.get_mut(id.slot() as usize)?.take();
        if removed.is_some() {
            self.free.push(id.slot());
        }
        removed
    }

    /// The subscription `id`.
    #[must_use]
    pub fn get(&self, id: SubId) -> Option<&Subscription> {
        self.table.get(id.slot() as usize)?.as_ref()
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: SubId) -> Option<&mut Subscription> {
        self.table.get_mut(id.slot() as usize)?.as_mut()
    }

    /// Slots there are, taken or not: the range of [`Self::in_slots`].
    #[must_use]
    pub fn slots(&self) -> usize {
        self.table.len()
    }

    /// The subscriptions in those slots.
    pub fn in_slots(&self, slots: std::ops::Range<usize>) -> impl Iterator<Item = &Subscription> {
        let end = slots.end.min(self.table.len());
        self.table.get(slots.start.min(end)..end).unwrap_or_default().iter().flatten()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len() - self.free.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
