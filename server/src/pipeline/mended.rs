//! Quarantined records that are normalized again: an act of the topic `docket` names them, and what comes of it is a function of the
//! ledger like everything else. The act's leaf gives out the new events, which take the place of those that the records gave
//! before; a stage that was killed in the middle does it again from its position.
//!
//! `{"act": "renormalize", "actor": …, "detail": …, "renormalize": [{"reason": "json_truncated", "leaves": [17]}, …]}`

use model::{LedgerIndex, RawRecord, TOPIC_DOCKET};
use serde::{Deserialize, Serialize};

/// The act's name, and its key.
pub const ACT: &str = "renormalize";

/// Records that one act names at most.
pub const RECORDS_MAX: usize = 1_000;
/// Bytes of records that one act names at most (one larger record is an act of its own): what a group may hold.
pub const BYTES_MAX: usize = 2 << 20;

/// A record that was quarantined and would not be now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mended {
    /// What it was quarantined for.
    pub reason: String,
    /// Its leaf; of several records that are one event, all of them in order.
    pub leaves: Vec<LedgerIndex>,
}

#[derive(Deserialize)]
struct Act {
    act: String,
    renormalize: Vec<Mended>,
}

/// What a record asks to be normalized again; `None`: it is no such act.
pub fn of(record: &RawRecord) -> Option<Vec<Mended>> {
    // Nobody but the ledger's writer can name this topic.
    if &*record.coordinate.topic != TOPIC_DOCKET || memchr::memmem::find(&record.payload, b"\"renormalize\":").is_none()
    {
        return None;
    }
    let act: Act = serde_json::from_slice(&record.payload).ok()?;
    (act.act == ACT).then_some(act.renormalize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Coordinate, Millis};

    #[test]
    fn only_the_act_is_one() {
        let record = |topic: &str, payload: &str| RawRecord {
            coordinate: Coordinate::new(topic, 0, 1),
            received_at: Millis(0),
            source: topic.into(),
            peer: None,
            key: None,
            headers: Vec::new(),
            payload: payload.to_owned().into(),
            truncated: None,
        };
        let act = r#"{"act":"renormalize","detail":{"x":1},"renormalize":[{"reason":"empty","leaves":[4,7]}]}"#;
        let mended = Mended {
            reason: "empty".into(),
            leaves: vec![LedgerIndex(4), LedgerIndex(7)],
        };
        assert_eq!(of(&record("docket", act)), Some(vec![mended]));
        for (topic, payload) in [
            ("local.app", act),
            ("docket", r#"{"act":"search","detail":{"q":"\"renormalize\": []"}}"#),
            ("docket", r#"{"act":"search","renormalize":[]}"#),
            ("docket", r#"{"act":"renormalize","renormalize":7}"#),
        ] {
            assert_eq!(of(&record(topic, payload)), None, "{payload}");
        }
    }
}
