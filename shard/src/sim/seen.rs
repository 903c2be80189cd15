//! How much a simulation had to check.

/// How much was checked: a simulation that checks nothing proves nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Seen {
    pub(super) deliveries: u64,
    pub(super) owed_plain: u64,
    pub(super) owed_group: u64,
    pub(super) owed_refusals: u64,
    pub(super) refusals: u64,
    /// Operations that rules do not allow.
    pub(super) denied: u64,
    /// Deliveries that rules do not allow.
    pub(super) kept: u64,
    /// Deliveries in other accounts.
    pub(super) crossed: u64,
    /// Answers that came back from there.
    pub(super) answered: u64,
}

impl Seen {
    /// Both together.
    pub(super) fn add(&mut self, other: Self) {
        self.deliveries += other.deliveries;
        self.owed_plain += other.owed_plain;
        self.owed_group += other.owed_group;
        self.owed_refusals += other.owed_refusals;
        self.refusals += other.refusals;
        self.denied += other.denied;
        self.kept += other.kept;
        self.crossed += other.crossed;
        self.answered += other.answered;
    }

    /// The check that had least to do.
    pub(super) fn least(&self) -> u64 {
        let Self { deliveries, owed_plain, owed_group, owed_refusals, refusals, .. } = *self;
        let Self { denied, kept, crossed, answered, .. } = *self;
        let all = [
            deliveries,
            owed_plain,
            owed_group,
            owed_refusals,
            refusals,
            denied,
            kept,
            crossed,
            answered,
        ];
        all.into_iter().min().unwrap_or(0)
    }
}
