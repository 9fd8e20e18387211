//! A record as a source sent it, before anyone looks inside.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::value::int_text;
use crate::{LedgerIndex, Millis};

/// A record's identity: its Kafka coordinate, written `<topic>/<partition>/<offset>`.
///
/// Embedded sources count as topic `local.<source>`, partition 0. After a topic was recreated, its
/// name here is `<topic>@<epoch>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Coordinate {
    /// The topic's name; never holds `/` (Kafka does not allow it).
    pub topic: Arc<str>,
    /// The partition, from 0.
    pub partition: i32,
    /// The Kafka offset within the partition, from 0.
    pub offset: i64,
}

/// The text is not a record id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a record id; it looks like `audit.linux/0/17`")]
pub struct CoordinateError {
    /// What was given.
    pub given: String,
}

impl Coordinate {
    /// A coordinate from its parts.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32, offset: i64) -> Coordinate {
        Coordinate {
            topic: topic.into(),
            partition,
            offset,
        }
    }
}

impl fmt::Display for Coordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.partition, self.offset)
    }
}

impl FromStr for Coordinate {
    type Err = CoordinateError;

    /// Reads `<topic>/<partition>/<offset>`; the `#n` of an event's uid is not part of it and is cut off.
    fn from_str(text: &str) -> Result<Coordinate, CoordinateError> {
        Coordinate::parse_like(text, None)
    }
}

impl Coordinate {
    /// Writes it behind `text`, as it shows itself.
    pub fn push_to(&self, text: &mut String) {
        push_id(text, &self.topic, self.partition, self.offset);
    }

    /// The record of the same topic that `text` names, where it does so in plain digits.
    fn another(&self, text: &str) -> Option<Coordinate> {
        let (topic, rest) = text.as_bytes().split_at_checked(self.topic.len())?;
        let (partition, rest) = digits(rest.strip_prefix(b"/")?)?;
        let (offset, rest) = digits(rest.strip_prefix(b"/")?)?;
        let is_whole = rest.is_empty() || rest[0] == b'#';
        let is_topic = topic == self.topic.as_bytes() && !topic.iter().any(|b| matches!(b, b'/' | b'#'));
        let partition = i32::try_from(partition).ok()?;
        (is_whole && is_topic && !topic.is_empty()).then(|| Coordinate {
            topic: self.topic.clone(),
            partition,
            offset,
        })
    }

    /// As [`str::parse`]; one of the topic of `like` shares its name.
    ///
    /// # Errors
    /// The text is not a record id.
    pub fn parse_like(text: &str, like: Option<&Coordinate>) -> Result<Coordinate, CoordinateError> {
        if let Some(id) = like.and_then(|like| like.another(text)) {
            return Ok(id);
        }
        let wrong = || CoordinateError { given: text.to_owned() };
        // Findings may name millions: searchers of characters take longer to be made than they look.
        let find = |text: &str, byte: u8| text.bytes().rposition(|b| b == byte);
        let id = &text[..text.bytes().position(|b| b == b'#').unwrap_or(text.len())];
        let at = find(id, b'/').ok_or_else(wrong)?;
        let (rest, offset) = (&id[..at], id[at + 1..].parse().map_err(|_| wrong())?);
        let at = find(rest, b'/').ok_or_else(wrong)?;
        let (topic, partition) = (&rest[..at], rest[at + 1..].parse().map_err(|_| wrong())?);
        if topic.is_empty() || find(topic, b'/').is_some() {
            return Err(wrong());
        }
        let shared = like.filter(|like| *like.topic == *topic).map(|like| like.topic.clone());
        Ok(Coordinate {
            topic: shared.unwrap_or_else(|| topic.into()),
            partition,
            offset,
        })
    }
}

/// The number of some digits that a text begins with, and what is behind them; `None` where there are none, or so many that the
/// number may be too large.
fn digits(text: &[u8]) -> Option<(i64, &[u8])> {
    let n = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let number = || text[..n].iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0'));
    (1..=18).contains(&n).then(|| (number(), &text[n..]))
}

/// Writes the id of a record behind `text`.
pub(crate) fn push_id(text: &mut String, topic: &str, partition: i32, offset: i64) {
    text.push_str(topic);
    for number in [i64::from(partition), offset] {
        text.push('/');
        text.push_str(int_text(number, &mut [0; 20]));
    }
}

/// What was cut off a record that was larger than the configured bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncation {
    /// The length that the record had, in bytes.
    pub bytes: u64,
    /// SHA-256 of the whole record.
    pub sha256: [u8; 32],
}

/// A record as it arrived. Its payload is never altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawRecord {
    /// Who it is.
    pub coordinate: Coordinate,
    /// When it was received: the gateway's header, the broker's LogAppendTime, or when it was consumed.
    pub received_at: Millis,
    /// The source's id in the configuration (`jumpserver`), which names its format.
    pub source: Arc<str>,
    /// The transport's peer: an address, or the name of a token or certificate.
    pub peer: Option<Arc<str>>,
    /// The Kafka key.
    pub key: Option<Bytes>,
    /// The Kafka headers, in order; a name may repeat.
    pub headers: Vec<(String, Bytes)>,
    /// The bytes.
    pub payload: Bytes,
    /// Set where the payload is only the first part of what was sent.
    pub truncated: Option<Truncation>,
}

/// A record at its place in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The leaf's index.
    pub index: LedgerIndex,
    /// The record.
    pub record: RawRecord,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_id_reads_back() {
        let id = Coordinate::new("audit.linux@2", 3, 17);
        assert_eq!(id.to_string(), "audit.linux@2/3/17");
        assert_eq!(id.to_string().parse(), Ok(id.clone()));
        assert_eq!("audit.linux@2/3/17#1".parse(), Ok(id));
        for like in ["a", "audit.linux@2", "b", "a#b", "a/b"] {
            let like = Coordinate::new(like, 3, 18);
            for text in [
                "a/0/1",
                "a/3/17",
                "a/3/17#2",
                "a/3/17/",
                "a/3/",
                "a//1",
                "a/-3/1",
                "a/+3/1",
                "a/3/-1",
                "a/03/007",
                "aa/3/1",
                "/3/1",
                "a#b/3/1",
                "a/b/3/1",
                "a/3/1a",
                "a/2147483647/1",
                "a/2147483648/1",
                "a/1/9223372036854775807",
                "a/1/9223372036854775808",
                "a/1/999999999999999999",
                "audit.linux@2/3/18#",
                "audit.linux@2/4/1",
                "b/1/2#/3",
            ] {
                assert_eq!(Coordinate::parse_like(text, Some(&like)), text.parse(), "{text} {like}");
            }
        }
        for wrong in ["", "17", "a/17", "a/b/c", "/0/1", "a/b/0/1"] {
            assert!(wrong.parse::<Coordinate>().is_err(), "{wrong}");
        }
    }
}
