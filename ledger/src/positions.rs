//! Which offsets of which partitions are in some leaves, and when the latest of them was received.
//!
//! Written into each frame (of its own leaves) and at the head of each segment (of all leaves before it), so that
//! opening a large ledger reads one segment's headers and not the ledger. Numbers are big-endian:
//!
//! ```text
//!  0  8  greatest received_at, milliseconds, signed; the least i64 where there is no leaf
//!  8  4  number of partitions
//! 12     each, in order: u16 length and UTF-8 topic, i32 partition, i64 least offset, i64 greatest offset + 1
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use model::Millis;

use crate::leaf::Head;

/// The offsets of one partition: from the least to one past the greatest. There may be gaps within.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) first: i64,
    pub(crate) next: i64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Positions {
    topics: BTreeMap<Arc<str>, BTreeMap<i32, Span>>,
    received_at: Option<Millis>,
}

impl Positions {
    pub(crate) fn span(&self, topic: &str, partition: i32) -> Option<Span> {
        self.topics.get(topic)?.get(&partition).copied()
    }

    pub(crate) fn greatest_received_at(&self) -> Option<Millis> {
        self.received_at
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, i32, Span)> {
        self.topics
            .iter()
            .flat_map(|(topic, spans)| spans.iter().map(move |(p, span)| (topic, *p, *span)))
    }

    pub(crate) fn observe(&mut self, head: &Head<'_>) {
        let span = Span {
            first: head.offset,
            next: head.offset.saturating_add(1),
        };
        self.widen(head.topic, || head.topic.into(), head.partition, span);
        self.received_at = self.received_at.max(Some(head.received_at));
    }

    pub(crate) fn observe_record(&mut self, record: &model::RawRecord) {
        let at = &record.coordinate;
        let span = Span {
            first: at.offset,
            next: at.offset.saturating_add(1),
        };
        self.widen(&at.topic, || at.topic.clone(), at.partition, span);
        self.received_at = self.received_at.max(Some(record.received_at));
    }

    pub(crate) fn merge(&mut self, other: &Positions) {
        for (topic, partition, span) in other.iter() {
            self.widen(topic, || topic.clone(), partition, span);
        }
        self.received_at = self.received_at.max(other.received_at);
    }

    fn widen(&mut self, topic: &str, name: impl FnOnce() -> Arc<str>, partition: i32, by: Span) {
        let spans = match self.topics.get_mut(topic) {
            Some(spans) => spans,
            None => self.topics.entry(name()).or_default(),
        };
        let span = spans.entry(partition).or_insert(by);
        *span = Span {
            first: span.first.min(by.first),
            next: span.next.max(by.next),
        };
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.received_at.map_or(i64::MIN, |t| t.0).to_be_bytes().to_vec();
        let count = u32::try_from(self.iter().count()).expect("fewer partitions than 2^32 fit into memory");
        out.extend_from_slice(&count.to_be_bytes());
        for (topic, partition, span) in self.iter() {
            let len = u16::try_from(topic.len()).expect("a leaf's topic is at most 65,535 bytes");
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(topic.as_bytes());
            out.extend_from_slice(&partition.to_be_bytes());
            out.extend_from_slice(&span.first.to_be_bytes());
            out.extend_from_slice(&span.next.to_be_bytes());
        }
        out
    }

    /// Reads what [`Positions::encode`] wrote; `None` where these are other bytes.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Positions> {
        let mut positions = Positions::default();
        let received_at = i64::from_be_bytes(*take(&mut bytes)?);
        positions.received_at = (received_at != i64::MIN).then_some(Millis(received_at));
        for _ in 0..u32::from_be_bytes(*take(&mut bytes)?) {
            let len = u16::from_be_bytes(*take(&mut bytes)?);
            let topic = std::str::from_utf8(bytes.split_off(..usize::from(len))?).ok()?;
            let partition = i32::from_be_bytes(*take(&mut bytes)?);
            let first = i64::from_be_bytes(*take(&mut bytes)?);
            let span = Span {
                first,
                next: i64::from_be_bytes(*take(&mut bytes)?),
            };
            positions.widen(topic, || topic.into(), partition, span);
        }
        bytes.is_empty().then_some(positions)
    }
}

fn take<'a, const N: usize>(bytes: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(head)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn positions_read_back(spans in prop::collection::vec(("[a-z]{1,3}", 0i32..3, 0i64..99, 0i64..99), 0..9)) {
            let mut positions = Positions::default();
            for (topic, partition, first, next) in spans {
                positions.widen(&topic, || topic.as_str().into(), partition, Span { first, next });
                positions.received_at = positions.received_at.max(Some(Millis(first)));
            }
            prop_assert_eq!(Positions::decode(&positions.encode()), Some(positions));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Positions::decode(&bytes);
        }
    }
}
