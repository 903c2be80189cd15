//! Subjects of an account that stand for others.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::issues::Issues;
use super::limits::check_subject;

/// What a subject may stand for, and how often.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Weighted {
    /// The other subject.
    pub subject: String,
    /// Percent of messages; 0 is 100.
    #[serde(skip_serializing_if = "is_none")]
    pub weight: u8,
    /// Only in this cluster.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cluster: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_none(number: &u8) -> bool {
    *number == 0
}

impl Weighted {
    /// Percent of messages.
    #[must_use]
    pub const fn percent(&self) -> u8 {
        if self.weight == 0 { 100 } else { self.weight }
    }
}

/// All of them, by subject.
pub type Mappings = BTreeMap<String, Vec<Weighted>>;

pub(super) fn validate(mappings: &Mappings, issues: &mut Issues) {
    for (from, targets) in mappings {
        check_subject(from, issues);
        let mut totals: HashMap<&str, u32> = HashMap::new();
        for target in targets {
            check_subject(&target.subject, issues);
            let percent = target.percent();
            if percent > 100 {
                issues.error(format!("Mapping {from:?} has a weight {percent} that exceeds 100"));
            }
            let total = totals.entry(&target.cluster).or_default();
            *total = total.saturating_add(percent.into());
        }
        for (cluster, total) in totals {
            let where_ =
                if cluster.is_empty() { String::new() } else { format!(" in cluster {cluster:?}") };
            if total > 100 {
                issues.error(format!(
                    "Mapping {from:?}{where_} exceeds 100% among all of it's weighted to mappings"
                ));
            }
        }
    }
}
