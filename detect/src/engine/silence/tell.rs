//! What is told of a silence: its finding, and that it is over.

use std::sync::Arc;

use jiff::tz::TimeZone;
use model::{Finding, FindingStatus, Millis};
use serde_json::json;

use super::super::absence;
use super::super::bucket::{Bucket, Member};
use super::super::finding::told;
use super::super::members::Members;
use super::asked::Allowed;
use super::{Detector, Watch, WatchId};
use crate::reference::Item;

/// Policies and clauses that one finding lists.
const TAGS_MAX: usize = 1_000;
/// The alias of what is known of the silence.
const ALIAS: &str = "silence";

impl Detector {
    /// Tells that a source is silent since `by`, and keeps what was told until it is over.
    pub(super) fn tell_silence(&mut self, id: &WatchId, by: Millis, allowed: Allowed) {
        let policies = self.policies.clone();
        let policy = policies.get(id.0);
        let watch = &self.silences.watches[id];
        let (source, since, last) = (watch.source.clone(), watch.heard.since, watch.heard.last);
        let mut found = watch.asked.found.clone();
        let blind = self.blind(&source);
        let known = json!({
            "source": &*source,
            "last": last.map(|at| shown(at, self.tables.zone())),
            "max_s": allowed.every_ms / 1000,
            "cadence": allowed.to_string(),
            "blind": blind.wholly,
            "partly": blind.partly,
            "clauses": blind.clauses,
        });
        found.aliases.insert(ALIAS.into(), Arc::new(known));
        let scope = absence::rows_only(&found.aliases, &self.tables);
        let (bucket, group) = self.bucket_of(id.0, policy, &scope, by, &format!("{source} {}", since.0));
        let member = Member::Silent(Arc::new(found), last);
        let silent = Bucket {
            group,
            members: Members::One((by, id.1.clone()), member),
            ..Bucket::default()
        };
        let mut finding = self.finding(&bucket, &silent);
        if let Some(finding) = &mut finding {
            // A message names some of them; here all stand.
            let all = [
                ("blind_policy", &blind.wholly),
                ("partly_blind_policy", &blind.partly),
                ("blind_clause", &blind.clauses),
            ];
            let tags = all
                .into_iter()
                .flat_map(|(name, values)| values.iter().map(move |v| (name.to_owned(), v.clone())));
            finding.group.extend(tags.take(TAGS_MAX));
        }
        if let Some(watch) = self.silences.watches.get_mut(id) {
            watch.heard.finding = finding.clone().map(Box::new);
        }
        if let Some(finding) = finding {
            let at = finding.time;
            self.tell_alone(finding, at);
        }
    }

    /// A source is not watched any more: what was told of it does not stand for ever.
    pub(super) fn end_watch(&mut self, watch: Watch, now: Millis) {
        let Some(mut finding) = watch.heard.finding.filter(|_| watch.heard.told) else {
            return;
        };
        finding.status = FindingStatus::Resolved;
        finding.last_seen = finding.last_seen.max(now);
        finding.message = format!("{}; it is not watched any more", finding.message);
        let at = finding.time;
        self.tell_alone(*finding, at);
    }
}

/// What was told, resolved: the source, silent since `began`, sent now.
pub(super) fn returned(mut finding: Finding, began: Millis, now: Millis, zone: &TimeZone) -> Finding {
    finding.status = FindingStatus::Resolved;
    finding.last_seen = finding.last_seen.max(now);
    let (at, lasted) = (shown(now, zone), span(now - began));
    finding.message = format!("{}; it sent again at {at}, after {lasted}", finding.message);
    finding
}

/// A moment as people read it, in the operator's zone.
fn shown(at: Millis, zone: &TimeZone) -> String {
    told(&Item::Time(at), zone)
}

/// A span of time in its two greatest units.
fn span(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m{:02}s", s / 60, s % 60),
        3_600..86_400 => format!("{}h{:02}m", s / 3_600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn spans_are_read_at_a_glance() {
        for (ms, text) in [
            (-5, "0s"),
            (59_999, "59s"),
            (61_000, "1m01s"),
            (7_500_000, "2h05m"),
            (90_000_000, "1d01h"),
        ] {
            assert_eq!(super::span(ms), text);
        }
    }
}
