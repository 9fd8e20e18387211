//! Which partitions are read, and where each stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as Error, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};

use super::client::Context;
use super::consumer::{Delivery, Gap, Start};
use super::epoch::TopicEpoch;
use super::health::{HealthBoard, PartitionHealth};
use super::{KafkaSettings, topic_id};

/// How long the broker may take for one answer.
const ANSWER_MS_MAX: u16 = 5000;
const ANSWER: Duration = Duration::from_millis(ANSWER_MS_MAX as u64);

pub struct Assignment {
    start: Start,
    /// By the topic's name at the broker.
    topics: BTreeMap<String, Topic>,
}

/// What a look at the broker brought.
pub struct Refreshed {
    pub deliveries: Vec<Delivery>,
    /// Whether the broker answered all that was asked.
    pub complete: bool,
}

struct Topic {
    epoch: TopicEpoch,
    at_broker: Arc<str>,
    /// In record ids: with the epoch.
    name: Arc<str>,
    source: Arc<str>,
    /// The next offset of each partition that is read.
    reading: BTreeMap<i32, i64>,
    /// The next offset of partitions that were read and are not now.
    released: BTreeMap<i32, i64>,
}

/// Where a partition is taken up.
enum Place {
    At(i64),
    /// Records are gone.
    AfterGap(Gap),
    /// The partition ends before the position: it is not what was read.
    Beyond,
}

impl Assignment {
    pub fn new(start: Start) -> Assignment {
        Assignment {
            start,
            topics: BTreeMap::new(),
        }
    }

    /// Whether a message is the next or a later one of a partition that is read; notes that it was. Returns the
    /// topic's name in record ids and its source.
    pub fn accept(&mut self, at_broker: &str, partition: i32, offset: i64) -> Option<(&Arc<str>, &Arc<str>)> {
        let topic = self.topics.get_mut(at_broker)?;
        let next = topic.reading.get_mut(&partition)?;
        // Offsets are skipped by compaction and by transactions; none comes twice.
        if offset < *next {
            return None;
        }
        *next = offset + 1;
        Some((&topic.name, &topic.source))
    }

    /// Topic at the broker, partition, next offset.
    pub fn positions(&self) -> impl Iterator<Item = (&Arc<str>, i32, i64)> {
        self.topics.values().flat_map(|t| {
            t.reading
                .iter()
                .map(|(partition, next)| (&t.at_broker, *partition, *next))
        })
    }

    /// Gives up every partition; the next refresh takes them up where they stand.
    pub fn release_all(&mut self, consumer: &BaseConsumer<Context>, health: &HealthBoard) {
        for topic in self.topics.values_mut() {
            topic.release(consumer, health);
        }
    }

    /// Asks the broker for topics, their ids and partitions, and takes up what is new.
    pub fn refresh(
        &mut self,
        consumer: &BaseConsumer<Context>,
        settings: &KafkaSettings,
        health: &HealthBoard,
    ) -> Refreshed {
        let mut refreshed = Refreshed {
            deliveries: Vec::new(),
            complete: true,
        };
        let present = match present(consumer, settings) {
            Ok(present) => present,
            Err(error) => {
                tracing::debug!(%error, "The broker names no topics.");
                health.in_trouble(format!("the broker does not answer: {error}"));
                return Refreshed {
                    complete: false,
                    ..refreshed
                };
            }
        };
        let missing = settings
            .topics
            .names()
            .iter()
            .filter(|n| !present.contains_key(*n))
            .cloned()
            .collect();
        health.answered(missing);

        let names: Vec<String> = present.keys().cloned().collect();
        let ids = topic_id::fetch(consumer.client(), &names, ANSWER_MS_MAX).unwrap_or_else(|error| {
            tracing::debug!(%error, "The broker gives no topic ids.");
            Default::default()
        });
        for (name, topic) in &mut self.topics {
            if !present.contains_key(name) && !topic.reading.is_empty() {
                tracing::warn!(topic = %name, "A topic is gone; waiting for it.");
                topic.release(consumer, health);
            }
        }
        for (name, partitions) in &present {
            let id = ids.get(name).map(String::as_str);
            self.identify(
                name,
                id,
                partitions,
                consumer,
                settings,
                health,
                &mut refreshed.deliveries,
            );
            let ours: Vec<i32> = partitions
                .iter()
                .copied()
                .filter(|p| settings.share.holds(name, *p))
                .collect();
            if let Err(error) = self.take_up(name, &ours, consumer, health, &mut refreshed.deliveries) {
                tracing::debug!(%error, topic = %name, "A partition cannot be taken up yet.");
                refreshed.complete = false;
            }
        }
        refreshed
    }

    /// Makes sure that the topic is known, and as what it is now.
    #[expect(
        clippy::too_many_arguments,
        reason = "the broker, the settings and where the outcome goes"
    )]
    fn identify(
        &mut self,
        name: &str,
        id: Option<&str>,
        partitions: &[i32],
        consumer: &BaseConsumer<Context>,
        settings: &KafkaSettings,
        health: &HealthBoard,
        deliveries: &mut Vec<Delivery>,
    ) {
        if let Some(topic) = self.topics.get_mut(name) {
            match (topic.epoch.topic_id.as_deref(), id) {
                (Some(a), Some(b)) if a != b => {
                    tracing::warn!(topic = %name, "A topic was created again.");
                    topic.release(consumer, health);
                    topic.begin(topic.epoch.recreated(Some(b)), deliveries);
                }
                (None, Some(b)) => {
                    topic.epoch.topic_id = Some(b.to_owned());
                    deliveries.push(Delivery::Epoch(topic.epoch.clone()));
                }
                _ => {}
            }
            return;
        }
        let known = self
            .start
            .epochs
            .iter()
            .filter(|e| e.topic == name)
            .max_by_key(|e| e.number);
        let holds = |name: &str| partitions.iter().any(|p| (self.start.position)(name, *p).is_some());
        let (epoch, new) = TopicEpoch::first(name, id, known, holds);
        if new {
            deliveries.push(Delivery::Epoch(epoch.clone()));
        }
        let topic = Topic {
            at_broker: name.into(),
            name: epoch.name(),
            epoch,
            source: settings.source(name),
            reading: BTreeMap::new(),
            released: BTreeMap::new(),
        };
        self.topics.insert(name.to_owned(), topic);
    }

    /// Begins to read those of `partitions` that are not read yet.
    fn take_up(
        &mut self,
        name: &str,
        partitions: &[i32],
        consumer: &BaseConsumer<Context>,
        health: &HealthBoard,
        deliveries: &mut Vec<Delivery>,
    ) -> KafkaResult<()> {
        let Some(topic) = self.topics.get_mut(name) else {
            return Ok(());
        };
        let mut failed = None;
        let mut rest: Vec<i32> = partitions.to_vec();
        while let Some(partition) = rest.pop() {
            if topic.reading.contains_key(&partition) {
                continue;
            }
            let (low, high) = match consumer.fetch_watermarks(name, partition, ANSWER) {
                Ok(marks) => marks,
                // Its leader is away: the others need not wait.
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            let at = match place(topic, partition, (low, high), &self.start) {
                Place::At(at) => at,
                Place::AfterGap(gap) => {
                    let at = gap.resumed_at;
                    deliveries.push(Delivery::Gap(gap));
                    at
                }
                Place::Beyond => {
                    topic.release(consumer, health);
                    let epoch = beyond(topic, partition, partitions, &self.start);
                    tracing::error!(topic = %name, partition, high, "A partition ends before the position; reading it anew.");
                    topic.begin(epoch, deliveries);
                    // Under the new name every partition has to be taken up again. Each can be beyond its end once
                    // more at most, for then it has no position left, so this ends.
                    rest = partitions.to_vec();
                    continue;
                }
            };
            topic.read_from(partition, at, consumer)?;
            let position = PartitionHealth {
                topic: topic.name.clone(),
                partition,
                position: at,
                high_watermark: high,
            };
            health.assigned(&topic.at_broker, position);
        }
        failed.map_or(Ok(()), Err)
    }
}

impl Topic {
    fn read_from(&mut self, partition: i32, at: i64, consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.at_broker, partition, Offset::Offset(at))?;
        consumer.incremental_assign(&list)?;
        self.released.remove(&partition);
        self.reading.insert(partition, at);
        tracing::info!(topic = %self.name, partition, offset = at, "Reading a partition.");
        Ok(())
    }

    /// Gives its partitions up and remembers where they stand.
    fn release(&mut self, consumer: &BaseConsumer<Context>, health: &HealthBoard) {
        let mut list = TopicPartitionList::new();
        for (partition, next) in std::mem::take(&mut self.reading) {
            list.add_partition(&self.at_broker, partition);
            health.unassigned(&self.at_broker, partition);
            self.released.insert(partition, next);
        }
        if list.count() > 0
            && let Err(error) = consumer.incremental_unassign(&list)
        {
            tracing::warn!(%error, topic = %self.name, "Partitions not given up.");
        }
    }

    /// Begins another life; nothing is read of it yet.
    fn begin(&mut self, epoch: TopicEpoch, deliveries: &mut Vec<Delivery>) {
        deliveries.push(Delivery::Epoch(epoch.clone()));
        self.name = epoch.name();
        self.released.clear();
        self.epoch = epoch;
    }

    /// The offset to read next, where one is known.
    fn position(&self, partition: i32, start: &Start) -> Option<i64> {
        let released = self.released.get(&partition).copied();
        let starts = || self.epoch.starts.get(&partition).copied();
        released
            .or_else(|| (start.position)(&self.name, partition))
            .or_else(starts)
    }
}

/// `marks`: the first offset that the broker has, and the one after its last.
fn place(topic: &Topic, partition: i32, (low, high): (i64, i64), start: &Start) -> Place {
    match topic.position(partition, start) {
        None => Place::At(low),
        Some(expected) if expected > high => Place::Beyond,
        Some(expected) if expected < low => Place::AfterGap(Gap {
            topic: topic.name.clone(),
            partition,
            expected,
            resumed_at: low,
        }),
        Some(expected) => Place::At(expected),
    }
}

/// The epoch after a partition was found to end before its position. With an id, the topic is the same and its other
/// partitions go on; without one (before Kafka 2.8), it is taken for a topic that was created again.
fn beyond(topic: &Topic, partition: i32, partitions: &[i32], start: &Start) -> TopicEpoch {
    if topic.epoch.topic_id.is_none() {
        return topic.epoch.recreated(None);
    }
    let others = partitions.iter().filter(|p| **p != partition);
    let starts = others.filter_map(|p| Some((*p, topic.position(*p, start)?))).collect();
    topic.epoch.truncated(starts)
}

/// The topics to read that the broker has, with their partitions.
fn present(consumer: &BaseConsumer<Context>, settings: &KafkaSettings) -> Result<BTreeMap<String, Vec<i32>>, Error> {
    let metadata = consumer.fetch_metadata(None, ANSWER)?;
    let wanted = metadata
        .topics()
        .iter()
        .filter(|t| t.error().is_none() && settings.topics.matches(t.name()));
    let with_partitions = wanted.map(|t| {
        (
            t.name().to_owned(),
            t.partitions().iter().map(|p| p.id()).collect::<Vec<_>>(),
        )
    });
    Ok(with_partitions
        .filter(|(_, partitions)| !partitions.is_empty())
        .collect())
}

#[cfg(test)]
mod tests {
    use super::super::EpochReason;
    use super::*;

    fn topic(topic_id: Option<&str>, released: &[(i32, i64)]) -> Topic {
        let (epoch, _) = TopicEpoch::first("t", topic_id, None, |_| false);
        Topic {
            at_broker: "t".into(),
            name: "t".into(),
            epoch,
            source: "t".into(),
            reading: BTreeMap::new(),
            released: released.iter().copied().collect(),
        }
    }

    fn start(position: Option<i64>) -> Start {
        Start {
            position: Box::new(move |_, _| position),
            epochs: Vec::new(),
        }
    }

    #[test]
    fn a_partition_is_taken_up_where_it_stands() {
        let show = |place| match place {
            Place::At(at) => format!("at {at}"),
            Place::AfterGap(g) => format!("gap {}..{}", g.expected, g.resumed_at),
            Place::Beyond => "beyond".to_owned(),
        };
        for (position, marks, wanted) in [
            (None, (3, 9), "at 3"),
            (Some(5), (3, 9), "at 5"),
            (Some(3), (3, 9), "at 3"),
            (Some(9), (3, 9), "at 9"),
            (Some(2), (3, 9), "gap 2..3"),
            (Some(10), (3, 9), "beyond"),
        ] {
            assert_eq!(show(place(&topic(None, &[]), 0, marks, &start(position))), wanted);
        }
        // What this process read is newer than what the ledger held when it began.
        assert_eq!(show(place(&topic(None, &[(0, 7)]), 0, (3, 9), &start(Some(5)))), "at 7");
    }

    #[test]
    fn beyond_the_end_the_others_go_on_where_the_topic_is_the_same() {
        let released = [(0, 10), (1, 20)];
        let same = beyond(&topic(Some("A"), &released), 0, &[0, 1], &start(None));
        assert_eq!(
            (same.reason, same.starts),
            (EpochReason::Truncated, BTreeMap::from([(1, 20)]))
        );
        let unknown = beyond(&topic(None, &released), 0, &[0, 1], &start(None));
        assert_eq!(
            (unknown.reason, unknown.starts),
            (EpochReason::Recreated, BTreeMap::new())
        );
    }

    #[test]
    fn a_message_is_accepted_once() {
        let mut assignment = Assignment::new(start(None));
        let mut t = topic(None, &[]);
        t.reading.insert(0, 5);
        assignment.topics.insert("t".into(), t);
        for (partition, offset, accepted) in [(0, 4, false), (0, 5, true), (0, 5, false), (0, 9, true), (1, 0, false)] {
            assert_eq!(
                assignment.accept("t", partition, offset).is_some(),
                accepted,
                "{partition} {offset}"
            );
        }
        assert_eq!(assignment.positions().next().map(|p| p.2), Some(10));
    }
}
