//! What a commit says of itself: how far the index has come in the ledger.
//!
//! The payload of a commit is one JSON object:
//! `{"docket_index":1,"schema":4,"position":812,"ahead":[[815,0]],"note":"…"}`; `docket_index` is the version of this text,
//! `schema` of fields and tokens, `position` the next leaf to handle, `ahead` the events (leaf, number) at or past
//! the position that are indexed already, `note` what the caller wants to find again with the position, `gone` (absent: none)
//! the leaves whose events do not count any more that are in generations before one, or in splits of these; `since` when
//! the first record of the generation was received, `bytes` of text in it.

use std::collections::BTreeSet;

use model::{LedgerIndex, Millis};
use serde::{Deserialize, Serialize};

use crate::schema::SCHEMA_VERSION;

/// The version of the payload's text.
const PAYLOAD_VERSION: u32 = 1;

/// The payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Payload {
    docket_index: u32,
    schema: u32,
    pub(crate) position: LedgerIndex,
    #[serde(default)]
    pub(crate) ahead: BTreeSet<(u64, u64)>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) note: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) gone: Vec<Gone>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<Millis>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) bytes: u64,
}

/// Events that others took the place of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gone {
    /// In generations before this one.
    pub(crate) before: u64,
    /// The first leaves of their records, in order.
    pub(crate) leaves: Vec<u64>,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl Payload {
    pub(crate) fn new() -> Payload {
        let position = LedgerIndex::default();
        Payload {
            docket_index: PAYLOAD_VERSION,
            schema: SCHEMA_VERSION,
            position,
            ahead: BTreeSet::new(),
            note: String::new(),
            gone: Vec::new(),
            since: None,
            bytes: 0,
        }
    }

    /// Reads the text of a commit; an error is the reason why it cannot be used.
    pub(crate) fn parse(text: Option<&str>) -> Result<Payload, String> {
        let text = text.ok_or("its commit holds no position")?;
        let payload: Payload =
            serde_json::from_str(text).map_err(|e| format!("the position of its commit cannot be read: {e}"))?;
        let versions = (payload.docket_index, payload.schema);
        match versions == (PAYLOAD_VERSION, SCHEMA_VERSION) {
            true => Ok(payload),
            false => Err(format!(
                "it is of version {}.{}, this program writes {PAYLOAD_VERSION}.{SCHEMA_VERSION}",
                versions.0, versions.1
            )),
        }
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string(self).expect("numbers are JSON")
    }

    /// Whether an event is in the index already: `at` is the leaf that gave it out, `index` the first of its record's.
    pub(crate) fn holds(&self, at: LedgerIndex, index: LedgerIndex, event: u64) -> bool {
        at < self.position || self.ahead.contains(&(index.0, event))
    }

    /// The events of these leaves are given anew in the generation `hot`.
    pub(crate) fn replace(&mut self, hot: u64, leaves: &[LedgerIndex]) {
        let mut leaves: Vec<u64> = leaves.iter().map(|l| l.0).collect();
        leaves.sort_unstable();
        self.gone.push(Gone { before: hot, leaves });
    }

    /// The leaves whose events do not count in this generation and what was made of it, in order.
    pub(crate) fn gone_of(&self, generation: u64) -> Vec<u64> {
        let of = self.gone.iter().filter(|g| generation < g.before);
        let mut leaves: Vec<u64> = of.flat_map(|g| &g.leaves).copied().collect();
        leaves.sort_unstable();
        leaves.dedup();
        leaves
    }

    /// Moves the position forward, never back.
    pub(crate) fn advance(&mut self, position: LedgerIndex) {
        self.position = self.position.max(position);
        self.ahead = self.ahead.split_off(&(self.position.0, 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_refuses_other_versions() {
        let mut payload = Payload::new();
        payload.ahead.insert((15, 0));
        payload.ahead.insert((9, 1));
        payload.advance(LedgerIndex(12));
        assert_eq!(
            payload.text(),
            r#"{"docket_index":1,"schema":4,"position":12,"ahead":[[15,0]]}"#
        );
        assert_eq!(Payload::parse(Some(&payload.text())), Ok(payload.clone()));
        payload.advance(LedgerIndex(3));
        assert_eq!(payload.position, LedgerIndex(12));
        let holds = |index, event| payload.holds(LedgerIndex(index), LedgerIndex(index), event);
        assert!(holds(11, 7) && holds(15, 0));
        assert!(!holds(12, 0) && !holds(15, 1));
        // An event that was given out past the position is new, whatever its first leaf.
        assert!(!payload.holds(LedgerIndex(12), LedgerIndex(3), 0));
        for text in [
            None,
            Some(""),
            Some("{}"),
            Some(r#"{"docket_index":1,"schema":99,"position":1}"#),
        ] {
            assert!(Payload::parse(text).is_err());
        }
    }
}
