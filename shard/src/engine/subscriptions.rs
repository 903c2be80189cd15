//! The subscriptions of one shard's own connections.

use std::sync::Arc;

use crate::account::{Imports, StreamImport};
use crate::authorize::Guard;
use crate::ids::{AccountId, ConnId, SubId};
use crate::interest::Want;

/// A pattern held by a connection.
#[derive(Debug)]
pub struct Subscription {
    /// Who holds it.
    pub conn: ConnId,
    /// What the holder calls it.
    pub sid: SpacedSid,
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
        self.sid.spaced().split_last().map_or(&[], |(_, sid)| sid)
    }

    /// For whom the index wants its pattern.
    #[must_use]
    pub fn want(&self) -> Want<'_> {
        Want { queue: self.queue.as_deref(), guard: self.guard.as_ref() }
    }
}

/// A client's name for a subscription with a blank behind, as it stands in MSG.
#[derive(Clone, Debug)]
pub struct SpacedSid {
    /// All of it, with zeros behind, if that is short enough.
    short: [u8; SHORT_SID],
    short_len: u8,
    /// All of it if not.
    long: Option<Box<[u8]>>,
}

/// As long as nearly any: numbers, mostly. All its bytes are copied for every message, because that
/// costs less than finding out how many there are.
pub const SHORT_SID: usize = 16;

impl SpacedSid {
    /// That of `sid`.
    #[must_use]
    pub fn new(sid: &[u8]) -> Self {
        let mut short = [0; SHORT_SID];
        match short.split_at_mut_checked(sid.len()) {
            Some((to, [blank, ..])) => {
                to.copy_from_slice(sid);
                *blank = b' ';
                let short_len = (sid.len() + 1).try_into().unwrap_or(u8::MAX);
                Self { short, short_len, long: None }
            }
            _ => Self { short, short_len: 0, long: Some([sid, b" "].concat().into()) },
        }
    }

    /// The name and the blank.
    #[must_use]
    pub fn spaced(&self) -> &[u8] {
        let short = || self.short.get(..self.short_len.into()).unwrap_or_default();
        self.long.as_deref().unwrap_or_else(short)
    }

    /// The same with zeros behind, and how much of it is no zero; nothing if it is too long for
    /// that.
    #[inline]
    #[must_use]
    pub fn short(&self) -> Option<(&[u8; SHORT_SID], usize)> {
        (self.short_len > 0).then_some((&self.short, self.short_len.into()))
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

#[cfg(test)]
mod tests {
    use super::{SHORT_SID, SpacedSid};

    #[test]
    fn names_of_every_length_have_a_blank_behind() {
        for len in 0..40 {
            let name: Vec<u8> = (1..=len).collect();
            let sid = SpacedSid::new(&name);
            assert_eq!(sid.spaced(), [&name, &b" "[..]].concat());
            let short = sid.short().map(|(bytes, len)| &bytes[..len]);
            assert_eq!(short, (name.len() < SHORT_SID).then_some(sid.spaced()));
        }
    }
}
