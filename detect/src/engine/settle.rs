//! What has changed is told: a finding's new revision, once a call.

use model::Finding;

use super::bucket::BucketId;
use super::state::{self, Kind};
use super::{Detector, written};

impl Detector {
    /// Reports a bucket that changed.
    pub(super) fn settle(&mut self, id: &BucketId) {
        if self.buckets.get_mut(id).is_some_and(|b| std::mem::take(&mut b.dirty)) {
            self.feed_one(id);
            let revision = self.report(id);
            self.ready.extend(revision);
        }
    }

    /// The new revision of a bucket's finding, where it has changed.
    fn report(&mut self, id: &BucketId) -> Option<Finding> {
        let finding = match self.standing.remove(id) {
            Some(finding) => finding,
            None => self.as_it_stands(id)?,
        };
        if !self.plan.node(id.0).withdrawable {
            return Some(finding);
        }
        let bucket = self.buckets.get_mut(id)?;
        if bucket.reported.as_deref() == Some(&finding) {
            return None;
        }
        bucket.reported = Some(Box::new(finding.clone()));
        let row = written::ReportedRow::of(bucket, &finding);
        let key = state::key(Kind::Finding, self.plan.node(id.0).state, &[id.1.as_bytes()]);
        self.changes.put(key, &row);
        Some(finding)
    }

    /// What belongs to a bucket has changed.
    pub(super) fn mark(&mut self, id: &BucketId) {
        self.mark_unfed(id);
        if let Some(bucket) = self.buckets.get_mut(id)
            && !std::mem::replace(&mut bucket.dirty, true)
        {
            self.dirty.push(id.clone());
        }
    }
}
