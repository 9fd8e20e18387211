//! How the connection to Kafka fares, for `/readyz` and metrics: looked at without asking the broker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::Statistics;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What is known of the connection now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether a broker is connected.
    pub connected: bool,
    /// What went wrong last; `None` when nothing has since the last success.
    pub trouble: Option<String>,
    /// Topics that the configuration names and the broker does not have.
    pub topics_missing: Vec<String>,
    /// The partitions that are read, by topic and number. Empty for a producer.
    pub partitions: Vec<PartitionHealth>,
    /// Gaps that were met since the start.
    pub gaps: u64,
}

/// How far one partition is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionHealth {
    /// The topic as records name it, with its epoch.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset that is handed over next.
    pub position: i64,
    /// The offset after the partition's last record, about a second old.
    pub high_watermark: i64,
}

impl PartitionHealth {
    /// Records that wait in Kafka.
    #[must_use]
    pub fn lag(&self) -> i64 {
        (self.high_watermark - self.position).max(0)
    }
}

/// Where the polling thread and librdkafka's callbacks write what `Health` shows.
#[derive(Default)]
pub struct HealthBoard(Mutex<Board>);

#[derive(Default)]
struct Board {
    connected: bool,
    trouble: Option<String>,
    topics_missing: Vec<String>,
    /// By the topic's name at the broker and partition.
    partitions: BTreeMap<(Arc<str>, i32), PartitionHealth>,
    gaps: u64,
}

impl HealthBoard {
    pub fn snapshot(&self) -> Health {
        let board = self.lock();
        Health {
            connected: board.connected,
            trouble: board.trouble.clone(),
            topics_missing: board.topics_missing.clone(),
            partitions: board.partitions.values().cloned().collect(),
            gaps: board.gaps,
        }
    }

    pub fn take_statistics(&self, statistics: &Statistics) {
        let up = statistics
            .brokers
            .values()
            .any(|b| b.nodeid >= 0 && matches!(&*b.state, "UP" | "UPDATE"));
        let mut board = self.lock();
        board.connected = up;
        if up {
            board.trouble = None;
        }
        for ((topic, partition), health) in &mut board.partitions {
            let high = statistics
                .topics
                .get(&**topic)
                .and_then(|t| t.partitions.get(partition))
                .map(|p| p.hi_offset);
            // Before the first fetch librdkafka says -1001.
            if let Some(high) = high.filter(|h| *h >= 0) {
                health.high_watermark = high;
            }
        }
    }

    pub fn take_error(&self, error: &KafkaError, reason: &str) {
        let mut board = self.lock();
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            board.connected = false;
        }
        board.trouble = Some(if reason.is_empty() {
            error.to_string()
        } else {
            reason.to_owned()
        });
    }

    /// The broker answered.
    pub fn answered(&self, topics_missing: Vec<String>) {
        let mut board = self.lock();
        board.connected = true;
        board.trouble = None;
        board.topics_missing = topics_missing;
    }

    pub fn in_trouble(&self, reason: String) {
        self.lock().trouble = Some(reason);
    }

    pub fn gap(&self) {
        self.lock().gaps += 1;
    }

    pub fn assigned(&self, at_broker: &Arc<str>, health: PartitionHealth) {
        self.lock()
            .partitions
            .insert((at_broker.clone(), health.partition), health);
    }

    pub fn unassigned(&self, at_broker: &Arc<str>, partition: i32) {
        self.lock().partitions.remove(&(at_broker.clone(), partition));
    }

    /// `positions`: topic at the broker, partition, next offset.
    pub fn advance<'a>(&self, positions: impl Iterator<Item = (&'a Arc<str>, i32, i64)>) {
        let mut board = self.lock();
        for (topic, partition, position) in positions {
            if let Some(health) = board.partitions.get_mut(&(topic.clone(), partition)) {
                health.position = position;
                health.high_watermark = health.high_watermark.max(position);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        // Every writer leaves the board whole, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_what_waits() {
        let board = HealthBoard::default();
        let topic: Arc<str> = "audit.linux".into();
        let health = PartitionHealth {
            topic: topic.clone(),
            partition: 1,
            position: 5,
            high_watermark: 8,
        };
        board.assigned(&topic, health);
        assert_eq!(board.snapshot().partitions[0].lag(), 3);
        // The watermark is older than the position.
        board.advance([(&topic, 1, 10), (&topic, 2, 4)].into_iter());
        assert_eq!(board.snapshot().partitions[0].lag(), 0);
        board.unassigned(&topic, 1);
        assert!(board.snapshot().partitions.is_empty());
    }
}
