//! What policies could not judge, for want of a table or of a value, in the metrics.

use std::collections::BTreeMap;

use detect::engine::Detector;
use detect::policy::PolicyIndex;
use detect::reference::Gap;

/// How much of a detector's count the metrics know.
#[derive(Debug, Default)]
pub struct Gaps {
    told: BTreeMap<(PolicyIndex, Gap), u64>,
}

impl Gaps {
    /// Tells what came since the last time: `docket_policy_not_judged_total{policy,why}`.
    pub fn tell(&mut self, detector: &Detector) {
        for (gap, count) in detector.gaps() {
            let told = self.told.get(gap).copied().unwrap_or_default();
            if *count > told {
                let labels = [
                    ("policy", detector.name_of(gap.0).to_owned()),
                    ("why", gap.1.to_string()),
                ];
                metrics::counter!("docket_policy_not_judged_total", &labels).increment(count - told);
                self.told.insert(gap.clone(), *count);
            }
        }
    }

    /// The detector was made anew, and counts from nothing.
    pub fn begin(&mut self) {
        self.told.clear();
    }
}
