//! The `limits` block of an account.

use ringbus_shard::account::Allowance;

use super::reader::{Field, FromField, Reader};

/// What the clients of an account may have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct AccountLimits {
    /// Clients; `None` if any number.
    pub connections: Option<usize>,
    /// Each of them.
    pub allowance: Allowance,
}

impl AccountLimits {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let Some(found) = reader.optional::<Reader<'_>>(&["limits"]) else {
            return Self::default();
        };
        let mut block = found.value;
        let mut bound = |names| block.optional::<Bound>(names).and_then(|found| found.value.0);
        let limits = Self {
            connections: bound(&["max_connections", "max_conn"]),
            allowance: Allowance {
                subscriptions: bound(&["max_subscriptions", "max_subs"]),
                payload: bound(&["max_payload", "max_pay"]),
            },
        };
        // Kept however it is set: there are no leaf nodes yet.
        bound(&["max_leafnodes", "max_leafs"]);
        block.finish();
        limits
    }

    /// As the grammar has them; `None` if nothing is bounded.
    pub(super) fn shown(&self) -> Option<String> {
        let Self { connections, allowance: Allowance { subscriptions, payload } } = *self;
        let all = [
            ("max_connections", connections),
            ("max_subscriptions", subscriptions),
            ("max_payload", payload),
        ];
        let shown: Vec<String> = all
            .into_iter()
            .filter_map(|(key, bound)| bound.map(|bound| format!("{key}: {bound}")))
            .collect();
        (!shown.is_empty()).then(|| format!("limits: {{{}}}", shown.join(", ")))
    }
}

/// A number that may be zero; -1 is no bound.
struct Bound(Option<usize>);

impl FromField<'_> for Bound {
    fn read(field: Field<'_>) -> Option<Self> {
        match i64::read(field)? {
            -1 => Some(Self(None)),
            count => {
                match i32::try_from(count).ok().and_then(|count| usize::try_from(count).ok()) {
                    Some(count) => Some(Self(Some(count))),
                    None => field.fault(format!(
                        "{count} is no bound: use 0 to {}, or -1 for none",
                        i32::MAX
                    )),
                }
            }
        }
    }
}
