//! A Kafka message as a record, and records of several partitions in one order.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{Coordinate, Millis, RawRecord, Truncation};
use rdkafka::Message;
use rdkafka::Timestamp;
use rdkafka::message::Headers;
use sha2::{Digest, Sha256};

use super::{HEADER_PEER, HEADER_RECEIVED_AT, HEADER_TRUNCATED_BYTES, HEADER_TRUNCATED_SHA256};

/// A record, and the time that Kafka gives it (epoch milliseconds), by which partitions are merged.
pub struct Consumed {
    pub record: RawRecord,
    pub kafka_time: i64,
    /// Whether `received_at` is set: where it is not, it is the time at which the group is handed over.
    pub received: bool,
}

/// Makes a record of a message of a partition that is called `topic` in record ids.
pub fn read(message: &impl Message, topic: &Arc<str>, source: &Arc<str>, trust: bool, bytes_max: usize) -> Consumed {
    let headers = headers(message);
    let trusted = |name: &str| match trust {
        // The last one: a gateway adds its own after what the shipper sent along.
        true => headers
            .iter()
            .rev()
            .find(|(n, _)| n == name)
            .and_then(|(_, v)| std::str::from_utf8(v).ok()),
        false => None,
    };
    let from_header = trusted(HEADER_RECEIVED_AT).and_then(|t| Millis::parse(t).ok());
    let from_broker = match message.timestamp() {
        Timestamp::LogAppendTime(ms) => Some(Millis(ms)),
        Timestamp::CreateTime(_) | Timestamp::NotAvailable => None,
    };
    let received_at = from_header.or(from_broker);
    let peer = trusted(HEADER_PEER).map(Arc::from);
    let whole = message.payload().unwrap_or_default();
    let truncated = match whole.len() > bytes_max {
        true => Some(Truncation {
            bytes: whole.len() as u64,
            sha256: Sha256::digest(whole).into(),
        }),
        false => truncation(trusted(HEADER_TRUNCATED_BYTES), trusted(HEADER_TRUNCATED_SHA256)),
    };
    let payload = Bytes::copy_from_slice(&whole[..whole.len().min(bytes_max)]);
    let record = RawRecord {
        coordinate: Coordinate::new(topic.clone(), message.partition(), message.offset()),
        received_at: received_at.unwrap_or_default(),
        source: source.clone(),
        peer,
        key: message.key().map(Bytes::copy_from_slice),
        payload,
        truncated,
        headers,
    };
    Consumed {
        record,
        kafka_time: message.timestamp().to_millis().unwrap_or(0),
        received: received_at.is_some(),
    }
}

/// Puts the records of one group in order: by `received_at`, then by Kafka's time, and within a partition by offset.
/// Records without a time of their own were received `now`.
pub fn merge(mut group: Vec<Consumed>, now: Millis) -> Vec<RawRecord> {
    // Within a partition the order is Kafka's, whatever the times say: a record counts as no earlier than those
    // before it.
    let mut latest: HashMap<(Arc<str>, i32), (Millis, i64)> = HashMap::new();
    let mut keyed = Vec::with_capacity(group.len());
    for mut consumed in group.drain(..) {
        if !consumed.received {
            consumed.record.received_at = now;
        }
        let own = (consumed.record.received_at, consumed.kafka_time);
        let place = (
            consumed.record.coordinate.topic.clone(),
            consumed.record.coordinate.partition,
        );
        let key = latest.entry(place).and_modify(|l| *l = (*l).max(own)).or_insert(own);
        keyed.push((*key, consumed.record));
    }
    keyed.sort_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.coordinate.cmp(&y.coordinate)));
    keyed.into_iter().map(|(_, record)| record).collect()
}

fn headers(message: &impl Message) -> Vec<(String, Bytes)> {
    let Some(headers) = message.headers() else {
        return Vec::new();
    };
    let owned = |h: rdkafka::message::Header<'_, &[u8]>| {
        (
            h.key.to_owned(),
            h.value.map(Bytes::copy_from_slice).unwrap_or_default(),
        )
    };
    headers.iter().map(owned).collect()
}

fn truncation(bytes: Option<&str>, sha256: Option<&str>) -> Option<Truncation> {
    let (bytes, hex) = (bytes?.parse().ok()?, sha256?.as_bytes());
    let mut sha256 = [0; 32];
    if hex.len() != 2 * sha256.len() {
        return None;
    }
    for (out, pair) in sha256.iter_mut().zip(hex.chunks(2)) {
        let digit = |d: u8| char::from(d).to_digit(16);
        *out = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    Some(Truncation { bytes, sha256 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};

    use super::*;

    fn message(time: Timestamp, headers: &[(&str, &str)], payload: &[u8]) -> OwnedMessage {
        let headers = headers.iter().fold(OwnedHeaders::new(), |h, (key, value)| {
            h.insert(Header {
                key,
                value: Some(*value),
            })
        });
        OwnedMessage::new(
            Some(payload.to_vec()),
            None,
            "audit.linux".into(),
            time,
            3,
            17,
            Some(headers),
        )
    }

    fn consume(message: &OwnedMessage, trust: bool) -> Consumed {
        read(message, &"audit.linux@2".into(), &"linux".into(), trust, 8)
    }

    #[test]
    fn who_says_when_it_was_received() {
        let header = [(HEADER_RECEIVED_AT, "500"), (HEADER_PEER, "10.0.0.1")];
        let cases = [
            (Timestamp::CreateTime(100), true, Some(500)),
            (Timestamp::CreateTime(100), false, None),
            (Timestamp::LogAppendTime(200), true, Some(500)),
            (Timestamp::LogAppendTime(200), false, Some(200)),
        ];
        for (time, trust, wanted) in cases {
            let consumed = consume(&message(time, &header, b"x"), trust);
            assert_eq!(
                consumed.received.then_some(consumed.record.received_at.0),
                wanted,
                "{time:?} {trust}"
            );
            assert_eq!(consumed.record.peer.as_deref(), trust.then_some("10.0.0.1"));
            assert_eq!(consumed.record.headers.len(), 2, "headers are kept whoever is believed");
        }
        let wrong = consume(
            &message(Timestamp::CreateTime(1), &[(HEADER_RECEIVED_AT, "soon")], b"x"),
            true,
        );
        assert!(!wrong.received);
    }

    #[test]
    fn a_long_record_is_cut_and_says_so() {
        let consumed = consume(&message(Timestamp::NotAvailable, &[], b"0123456789"), false);
        assert_eq!(&*consumed.record.payload, b"01234567");
        let sha256: [u8; 32] = Sha256::digest(b"0123456789").into();
        assert_eq!(consumed.record.truncated, Some(Truncation { bytes: 10, sha256 }));
        assert_eq!(consumed.record.coordinate.to_string(), "audit.linux@2/3/17");

        let hex: String = sha256.iter().map(|b| format!("{b:02x}")).collect();
        let headers = [(HEADER_TRUNCATED_BYTES, "10"), (HEADER_TRUNCATED_SHA256, hex.as_str())];
        let by_gateway = consume(&message(Timestamp::NotAvailable, &headers, b"0123"), true);
        assert_eq!(by_gateway.record.truncated, consumed.record.truncated);
        assert_eq!(truncation(Some("1"), Some("é".repeat(32).as_str())), None);
    }

    proptest! {
        #[test]
        fn a_merge_keeps_every_partitions_order(times in prop::collection::vec((0..4_i32, 0..50_i64, any::<bool>()), 0..200)) {
            let mut next = [0; 4];
            let group: Vec<Consumed> = times.iter().map(|(partition, time, received)| {
                let offset = next[*partition as usize];
                next[*partition as usize] += 1;
                let message = OwnedMessage::new(None, None, "t".into(), Timestamp::CreateTime(*time), *partition, offset, None);
                let mut consumed = read(&message, &"t".into(), &"t".into(), false, 8);
                consumed.received = *received;
                consumed.record.received_at = Millis(*time);
                consumed
            }).collect();
            let merged = merge(group, Millis(50));
            prop_assert_eq!(merged.len(), times.len());
            let mut seen = [0; 4];
            for record in merged {
                let at = &mut seen[record.coordinate.partition as usize];
                prop_assert_eq!(record.coordinate.offset, *at);
                *at += 1;
            }
        }
    }

    #[test]
    fn partitions_are_merged_by_time() {
        let at = |partition, offset, time| {
            let message = OwnedMessage::new(
                None,
                None,
                "t".into(),
                Timestamp::LogAppendTime(time),
                partition,
                offset,
                None,
            );
            read(&message, &"t".into(), &"t".into(), false, 8)
        };
        let merged = merge(
            vec![at(1, 0, 5), at(1, 1, 9), at(0, 0, 1), at(0, 1, 7), at(0, 2, 3)],
            Millis(0),
        );
        let ids: Vec<String> = merged.iter().map(|r| r.coordinate.to_string()).collect();
        assert_eq!(ids, ["t/0/0", "t/1/0", "t/0/1", "t/0/2", "t/1/1"]);
    }
}
