//! What a commit says of itself: how far the index has come in the ledger.
//!
//! The payload of a commit is one JSON object:
//! `{"docket_index":1,"schema":3,"position":812,"ahead":[[815,0]],"note":"…"}`; `docket_index` is the version of this text,
//! `schema` of fields and tokens, `position` the next leaf to handle, `ahead` the events (leaf, number) at or past
//! the position that are indexed already, `note` what the caller wants to find again with the position.

use std::collections::BTreeSet;

use model::LedgerIndex;
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
            r#"{"docket_index":1,"schema":3,"position":12,"ahead":[[15,0]]}"#
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
