//! A topic's lives: deleted and created again under the same name, it is another topic, and its offsets begin anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One life of a topic. The caller keeps each that it is handed (as a record of Docket's own, before the records
/// that follow it) and hands all of them back at the next start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicEpoch {
    /// The topic's name at the broker.
    pub topic: String,
    /// Which life, from 1.
    pub number: u32,
    /// The broker's id of the topic (base64), where it gives one.
    pub topic_id: Option<String>,
    /// Why it began.
    pub reason: EpochReason,
    /// Where partitions begin that do not begin at their first record.
    pub starts: BTreeMap<i32, i64>,
}

/// Why an epoch is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochReason {
    /// The topic was not known, or its id was not.
    Seen,
    /// The topic was deleted and created again.
    Recreated,
    /// The broker lost the end of a partition: the same topic counts offsets again that it had given out.
    Truncated,
}

impl TopicEpoch {
    /// The topic's name in record ids: `<topic>` in its first life, then `<topic>@<number>`.
    #[must_use]
    pub fn name(&self) -> Arc<str> {
        name(&self.topic, self.number)
    }

    /// The epoch of a topic that is met for the first time by this process: `known` is the last one kept, `holds`
    /// says whether the ledger has records under a name. Returns it and whether it is new to the caller.
    pub(super) fn first(
        topic: &str,
        topic_id: Option<&str>,
        known: Option<&TopicEpoch>,
        holds: impl Fn(&str) -> bool,
    ) -> (TopicEpoch, bool) {
        let Some(known) = known else {
            // Nothing kept: the ledger's names still tell which life was the last.
            let mut number = 1;
            while holds(&name(topic, number + 1)) {
                number += 1;
            }
            let topic_id = topic_id.map(str::to_owned);
            let reason = EpochReason::Seen;
            return (
                TopicEpoch {
                    topic: topic.to_owned(),
                    number,
                    topic_id,
                    reason,
                    starts: BTreeMap::new(),
                },
                true,
            );
        };
        match (known.topic_id.as_deref(), topic_id) {
            (Some(a), Some(b)) if a != b => (known.recreated(Some(b)), true),
            (None, Some(b)) => {
                let topic_id = Some(b.to_owned());
                (
                    TopicEpoch {
                        topic_id,
                        reason: EpochReason::Seen,
                        ..known.clone()
                    },
                    true,
                )
            }
            _ => (known.clone(), false),
        }
    }

    /// The life after this one.
    pub(super) fn recreated(&self, topic_id: Option<&str>) -> TopicEpoch {
        TopicEpoch {
            topic: self.topic.clone(),
            number: self.number + 1,
            topic_id: topic_id.map(str::to_owned),
            reason: EpochReason::Recreated,
            starts: BTreeMap::new(),
        }
    }

    /// The same topic after a partition lost its end; the others go on at `starts`.
    pub(super) fn truncated(&self, starts: BTreeMap<i32, i64>) -> TopicEpoch {
        let (topic, topic_id) = (self.topic.clone(), self.topic_id.clone());
        TopicEpoch {
            topic,
            number: self.number + 1,
            topic_id,
            reason: EpochReason::Truncated,
            starts,
        }
    }
}

fn name(topic: &str, number: u32) -> Arc<str> {
    match number {
        1 => topic.into(),
        n => format!("{topic}@{n}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epoch(number: u32, topic_id: Option<&str>) -> TopicEpoch {
        let topic_id = topic_id.map(str::to_owned);
        TopicEpoch {
            topic: "t".into(),
            number,
            topic_id,
            reason: EpochReason::Seen,
            starts: BTreeMap::new(),
        }
    }

    #[test]
    fn a_topic_is_told_from_its_namesake() {
        let none = |_: &str| false;
        let cases: &[(Option<TopicEpoch>, Option<&str>, &str, bool)] = &[
            (None, Some("A"), "t", true),
            (Some(epoch(1, Some("A"))), Some("A"), "t", false),
            (Some(epoch(1, Some("A"))), Some("B"), "t@2", true),
            (Some(epoch(2, Some("A"))), Some("B"), "t@3", true),
            (Some(epoch(2, None)), Some("B"), "t@2", true),
            (Some(epoch(2, Some("A"))), None, "t@2", false),
        ];
        for (known, id, name, new) in cases {
            let (found, is_new) = TopicEpoch::first("t", *id, known.as_ref(), none);
            assert_eq!((&*found.name(), is_new), (*name, *new), "{known:?} {id:?}");
        }
    }

    #[test]
    fn the_ledgers_names_tell_the_last_life() {
        let (found, _) = TopicEpoch::first("t", None, None, |name| ["t@2", "t@3"].contains(&name));
        assert_eq!(&*found.name(), "t@3");
    }
}
