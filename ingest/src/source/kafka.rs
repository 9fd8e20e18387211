//! Kafka, the transport: a consumer whose positions are the ledger's, and a producer for the gateway.
//!
//! The consumer owns the partitions that its configuration gives it (manual `assign`, no group membership), at the
//! positions that the ledger holds. What the broker keeps of positions feeds lag displays and nothing else.

mod assignment;
mod client;
mod consumer;
mod epoch;
mod health;
mod producer;
mod record;
mod selection;
mod topic_id;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use consumer::{Delivery, Gap, KafkaHandle, KafkaSource, Positions, Start};
pub use epoch::{EpochReason, TopicEpoch};
pub use health::{Health, PartitionHealth};
pub use producer::{Ack, Delivered, KafkaProducer, ProduceError, ProducerSettings};
pub use selection::{SelectionError, Share, TopicSelection};

/// Header: when the gateway received the record, epoch milliseconds in digits.
pub const HEADER_RECEIVED_AT: &str = "docket-received-at";
/// Header: the shipper's address, or the name of its token or certificate.
pub const HEADER_PEER: &str = "docket-peer";
/// Header: the length in bytes that a record had of which only the first part was kept, in digits.
pub const HEADER_TRUNCATED_BYTES: &str = "docket-truncated-bytes";
/// Header: the SHA-256 of that whole record, in hex.
pub const HEADER_TRUNCATED_SHA256: &str = "docket-truncated-sha256";

/// What a consumer is told.
#[derive(Clone, Debug)]
pub struct KafkaSettings {
    /// `host:port`, several with commas.
    pub bootstrap: String,
    /// Passed on to librdkafka (`security.protocol`, `ssl.ca.location`, `sasl.username`, …).
    pub options: BTreeMap<String, String>,
    /// Which topics.
    pub topics: TopicSelection,
    /// Which of their partitions.
    pub share: Share,
    /// The consumer group under which positions are committed for lag displays.
    pub group_id: String,
    /// Source by topic. A topic that is not here and is called `audit.<source>` is that source; any other is a
    /// source by its own name.
    pub sources: BTreeMap<String, Arc<str>>,
    /// Whether the `docket-` headers are believed. True only where none but authenticated gateways may produce:
    /// who sets them chooses the time by which deadlines are judged.
    pub trust_headers: bool,
    /// Bytes of one record that are kept.
    pub record_bytes_max: usize,
    /// Records of one delivery.
    pub group_records_max: usize,
    /// Bytes after which a delivery is complete; one record more may exceed them.
    pub group_bytes_max: usize,
    /// How long a delivery waits for more records after its first.
    pub group_wait_ms: i64,
    /// Deliveries that may wait for the caller; more stop the polling.
    pub queue_groups: usize,
    /// What librdkafka may hold beforehand, in KiB.
    pub buffer_kbytes_max: u32,
    /// How often new topics and partitions are looked for.
    pub refresh_ms: i64,
}

impl KafkaSettings {
    /// The defaults for the topics of a broker.
    #[must_use]
    pub fn new(bootstrap: &str, topics: TopicSelection) -> KafkaSettings {
        KafkaSettings {
            bootstrap: bootstrap.to_owned(),
            options: BTreeMap::new(),
            topics,
            share: Share::ALL,
            group_id: "docket".to_owned(),
            sources: BTreeMap::new(),
            trust_headers: false,
            record_bytes_max: 16 << 20,
            group_records_max: 2000,
            group_bytes_max: 8 << 20,
            group_wait_ms: 50,
            queue_groups: 4,
            buffer_kbytes_max: 64 << 10,
            refresh_ms: 5000,
        }
    }

    fn source(&self, topic: &str) -> Arc<str> {
        match self.sources.get(topic) {
            Some(source) => source.clone(),
            None => topic
                .strip_prefix("audit.")
                .filter(|s| !s.is_empty())
                .unwrap_or(topic)
                .into(),
        }
    }
}

/// Kafka cannot be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The operator's: librdkafka does not know the option or its value.
    #[error("Kafka option `{option}` = `{value}`: {reason}")]
    Option {
        /// The option.
        option: String,
        /// Its value; that of a secret is not shown.
        value: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The operator's: the option decides what Docket promises, and is not theirs to set.
    #[error("Kafka option `{option}` is Docket's own; take it out of the configuration")]
    Reserved {
        /// The option.
        option: String,
    },
    /// The machine's, or an option that librdkafka rejects only together with others.
    #[error("no Kafka client can be made: {0}")]
    Client(String),
    /// The machine's: no thread can be started.
    #[error("no thread for Kafka can be started: {0}")]
    Thread(#[from] std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_names_its_source() {
        let topics = TopicSelection::new(["^.*"]).expect("a pattern");
        let mut settings = KafkaSettings::new("localhost:9092", topics);
        settings.sources.insert("bastion-logs".into(), "jumpserver".into());
        for (topic, source) in [
            ("audit.linux", "linux"),
            ("audit.", "audit."),
            ("audit.a.b", "a.b"),
            ("web", "web"),
            ("bastion-logs", "jumpserver"),
        ] {
            assert_eq!(&*settings.source(topic), source);
        }
    }
}
