//! A rule's detections and condition.

/// A Sigma rule over single events.
#[derive(Clone, Debug)]
pub struct Rule {}
