//! What did not come in: told no, or lost before anybody could keep it. By source and cause, since the start.
//!
//! It is apart from what was received: a request that was refused is sent again by its shipper, or is not; Docket does
//! not know. Requests and items are counted, and datagrams where the kernel dropped them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;

use crate::app::lock;

/// Sources that are told apart; the others are `other`.
const SOURCES_MAX: usize = 1_000;

/// The counts. Cheap to clone; shared by all listeners.
#[derive(Clone, Debug, Default)]
pub struct Losses(Arc<Mutex<BTreeMap<String, BTreeMap<&'static str, u64>>>>);

impl Losses {
    /// Counts `n` requests, items or datagrams of a source.
    pub fn count(&self, source: &str, cause: &'static str, n: u64) {
        if n == 0 {
            return;
        }
        let mut by_source = lock(&self.0);
        let known = by_source.len() < SOURCES_MAX || by_source.contains_key(source);
        let source = if known { source } else { "other" };
        *by_source
            .entry(source.to_owned())
            .or_default()
            .entry(cause)
            .or_default() += n;
        let labels = [("source", source.to_owned()), ("cause", cause.to_owned())];
        metrics::counter!("docket_refused_total", &labels).increment(n);
    }

    /// Counts one request by how it was answered.
    pub fn answered(&self, source: &str, status: StatusCode) {
        let cause = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "too_large",
            StatusCode::FORBIDDEN => "forbidden",
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => "busy",
            StatusCode::REQUEST_TIMEOUT => "cut_off",
            _ => "malformed",
        };
        self.count(source, cause, 1);
    }

    /// What is known of a source.
    pub fn of(&self, source: &str) -> BTreeMap<&'static str, u64> {
        lock(&self.0).get(source).cloned().unwrap_or_default()
    }

    /// The sources of which something did not come in.
    pub fn sources(&self) -> Vec<String> {
        lock(&self.0).keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_add_up_and_names_are_bounded() {
        let losses = Losses::default();
        losses.answered("crm", StatusCode::PAYLOAD_TOO_LARGE);
        losses.answered("crm", StatusCode::TOO_MANY_REQUESTS);
        losses.count("crm", "busy", 2);
        losses.count("crm", "busy", 0);
        assert_eq!(losses.of("crm"), BTreeMap::from([("busy", 3), ("too_large", 1)]));
        for n in 0..2 * SOURCES_MAX {
            losses.count(&format!("s{n}"), "forbidden", 1);
        }
        assert_eq!(losses.sources().len(), SOURCES_MAX + 1);
        assert_eq!(
            losses.of("other"),
            BTreeMap::from([("forbidden", SOURCES_MAX as u64 + 1)])
        );
    }
}
