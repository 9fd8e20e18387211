//! What belongs to one finding: the completing events of one key and one bucket of time.

use std::sync::Arc;

use model::{Finding, Millis};
use sha2::{Digest, Sha256};

use super::fact::Fact;
use super::members::Members;
use crate::policy::PolicyIndex;
use crate::reference::Found;

/// A policy and the finding's uid.
pub(super) type BucketId = (PolicyIndex, Arc<str>);

/// Why a finding holds.
#[derive(Clone, Debug)]
pub(super) enum Member {
    /// An event of a rule, and what its joins found.
    Event(Arc<Fact>, Arc<Found>),
    /// An event that completes a window of a group.
    Window(Arc<str>),
    /// An expectation of an absence that nothing satisfied.
    Missing(Arc<str>),
    /// A source that was silent, and when its last record came, where there was one.
    Silent(Arc<Found>, Option<Millis>),
}

/// The members of one finding, in order of (event) time.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    pub group: Vec<(String, String)>,
    pub members: Members,
    /// It changed since the last flush.
    pub dirty: bool,
    /// Until when it is kept.
    pub expires: Option<Millis>,
    /// It lost its members since: the finding as it was.
    pub lost: Option<Box<Finding>>,
    /// The revision that was reported last; kept only where findings may be withdrawn.
    pub reported: Option<Box<Finding>>,
}

/// The uid of a finding: the first 32 hex digits of SHA-256 over the policy's id, the key and the bucket's start
/// (or over the policy's id and the event's uid), each with its length before it.
pub(super) fn uid(policy: &str, parts: &[&str]) -> Arc<str> {
    let mut hash = Sha256::new();
    for part in [policy].iter().chain(parts) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut text = [0; 32];
    // Twice as many digits as bytes, so it fits.
    let _ = hex::encode_to_slice(&hash.finalize()[..16], &mut text);
    std::str::from_utf8(&text).unwrap_or_default().into()
}
