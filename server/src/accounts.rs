//! What became of every record: `received = stored + quarantined + deduplicated`, by source.
//!
//! Counted by the line, stored in the judgement's transaction (state keys that start with `C`).

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Millis, StateKey, StateValue};
use serde::{Deserialize, Serialize};

/// The first byte of the accounts' keys in the state.
pub const KIND: u8 = b'C';

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Normalized and indexed.
    Stored,
    /// Not understood: in the ledger and the index, with its reason.
    Quarantined,
    /// The same record again: in the ledger, neither indexed nor judged.
    Deduplicated,
}

/// The counts of one source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// All its records.
    pub received: u64,
    /// Of them, normalized.
    pub stored: u64,
    /// Of them, quarantined.
    pub quarantined: u64,
    /// Of them, duplicates.
    pub deduplicated: u64,
    /// When the last one was received.
    pub last_received: Millis,
}

/// The counts of all sources.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Accounts {
    by_source: BTreeMap<Arc<str>, Account>,
}

impl Accounts {
    /// Counts one record.
    pub fn count(&mut self, source: &Arc<str>, outcome: Outcome, received_at: Millis) {
        let account = self.by_source.entry(source.clone()).or_default();
        account.received += 1;
        *match outcome {
            Outcome::Stored => &mut account.stored,
            Outcome::Quarantined => &mut account.quarantined,
            Outcome::Deduplicated => &mut account.deduplicated,
        } += 1;
        account.last_received = account.last_received.max(received_at);
    }

    /// Adds another's counts, and tells the metrics.
    pub fn add(&mut self, other: &Accounts) {
        for (source, more) in &other.by_source {
            let account = self.by_source.entry(source.clone()).or_default();
            account.received += more.received;
            account.stored += more.stored;
            account.quarantined += more.quarantined;
            account.deduplicated += more.deduplicated;
            account.last_received = account.last_received.max(more.last_received);
            for (outcome, n) in [
                ("stored", account.stored),
                ("quarantined", account.quarantined),
                ("deduplicated", account.deduplicated),
            ] {
                metrics::counter!("docket_records_total", "source" => source.to_string(), "outcome" => outcome)
                    .absolute(n);
            }
            metrics::counter!("docket_received_total", "source" => source.to_string()).absolute(account.received);
        }
    }

    /// The state rows of the sources that `changed` names.
    pub fn rows(&self, changed: &Accounts) -> Vec<(StateKey, StateValue)> {
        let row = |source: &Arc<str>, account: &Account| {
            let mut key = vec![KIND];
            key.extend_from_slice(source.as_bytes());
            (key, serde_json::to_vec(account).expect("counts are JSON"))
        };
        changed
            .by_source
            .keys()
            .filter_map(|s| Some(row(s, self.by_source.get(s)?)))
            .collect()
    }

    /// Reads the counts out of the state; other rows are left alone.
    pub fn load(state: &[(StateKey, StateValue)]) -> Accounts {
        let by_source = state
            .iter()
            .filter(|(key, _)| key.first() == Some(&KIND))
            .filter_map(|(key, value)| {
                Some((
                    std::str::from_utf8(&key[1..]).ok()?.into(),
                    serde_json::from_slice(value).ok()?,
                ))
            })
            .collect();
        Accounts { by_source }
    }

    /// The sources with their counts, in order of name.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Account)> {
        self.by_source.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_received_is_accounted_for_and_survives_the_state() {
        let source: Arc<str> = "linux".into();
        let mut group = Accounts::default();
        group.count(&source, Outcome::Stored, Millis(5));
        group.count(&source, Outcome::Quarantined, Millis(7));
        group.count(&source, Outcome::Deduplicated, Millis(6));
        let mut all = Accounts::default();
        all.add(&group);
        all.add(&group);
        let (_, a) = all.iter().next().unwrap();
        assert_eq!(
            (a.received, a.stored + a.quarantined + a.deduplicated, a.last_received),
            (6, 6, Millis(7))
        );
        assert_eq!(Accounts::load(&all.rows(&group)), all);
    }
}
