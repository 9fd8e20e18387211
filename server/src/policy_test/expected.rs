//! What a test expects to be found.

use model::{Finding, FindingStatus, Severity};
use serde::{Deserialize, Serialize};

/// A finding, by as much of it as matters.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `new` by default; `resolved` for one that was told and held no longer at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<FindingStatus>,
}

/// Pairs each expectation with a finding of its own; whatever is left over on either side is told.
pub fn differences(expected: &[Expected], found: &[Finding], loaded: &detect::policy::Loaded) -> Vec<String> {
    let mut left: Vec<&Finding> = found.iter().collect();
    let mut why = Vec::new();
    for e in expected {
        match left.iter().position(|f| e.fits(f, loaded)) {
            Some(i) => {
                left.remove(i);
            }
            None => why.push(format!("missing: {e:?}")),
        }
    }
    // What was refuted in the end need not be expected.
    left.retain(|f| f.status == FindingStatus::New);
    why.extend(left.iter().map(|f| {
        let offsets: Vec<i64> = f.evidence.iter().map(|e| e.offset).collect();
        format!(
            "found: {:?} account {:?} person {:?} severity {:?} evidence {offsets:?}: {}",
            f.policy.title, f.account, f.person, f.severity, f.message
        )
    }));
    why
}

impl Expected {
    fn fits(&self, f: &Finding, loaded: &detect::policy::Loaded) -> bool {
        let same = |expected: &Option<String>, found: &Option<String>| expected.is_none() || expected == found;
        // Evidence is in order of sources; a test names records in order of arrival.
        let sorted = |mut offsets: Vec<i64>| {
            offsets.sort_unstable();
            offsets
        };
        let offsets = || sorted(f.evidence.iter().map(|e| e.offset).collect());
        self.status.unwrap_or(FindingStatus::New) == f.status
            && same(&self.account, &f.account)
            && same(&self.person, &f.person)
            && self.severity.is_none_or(|s| s == f.severity)
            && self.evidence.as_ref().is_none_or(|e| sorted(e.clone()) == offsets())
            && self.message.as_ref().is_none_or(|m| f.message.contains(m))
            && self.policy.as_ref().is_none_or(|name| {
                loaded
                    .policies
                    .find(name)
                    .is_some_and(|i| loaded.policies.get(i).reference.id == f.policy.id)
            })
    }
}
