//! The consumer: one thread that polls, and a bounded channel of what it found.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Millis, RawRecord};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError as Error, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::mpsc;

use super::assignment::Assignment;
use super::client::{self, Context};
use super::epoch::TopicEpoch;
use super::health::{Health, HealthBoard};
use super::record::{self, Consumed};
use super::{KafkaError, KafkaSettings};

/// How long one look for messages waits; so soon a stop is seen.
const POLL_MS: i64 = 100;
/// When the broker did not answer, it is asked again after this.
const RETRY_MS: i64 = 1000;

/// Answers with the offset to read next of a topic's partition.
pub type Positions = Box<dyn Fn(&str, i32) -> Option<i64> + Send>;

/// What the ledger says of where to begin.
pub struct Start {
    /// The offset to read next, by the topic's name in record ids (`audit.linux@2`) and partition. A partition of
    /// which it says `None` starts at its first record.
    pub position: Positions,
    /// The last epoch of each topic that was handed over before. Without them a topic that was deleted and created
    /// again while nobody looked is found out only where it holds fewer records than were read.
    pub epochs: Vec<TopicEpoch>,
}

/// What the consumer hands over, in the order in which the ledger has to take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A topic is met, or met again as another: to be kept before the records that follow.
    Epoch(TopicEpoch),
    /// Records are gone that were not read.
    Gap(Gap),
    /// Records, merged by time over partitions, in offset order within each.
    Records(Vec<RawRecord>),
}

/// Records that Kafka no longer had when they were to be read: retention was faster, or somebody deleted them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The topic's name in record ids.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The first offset that is missing.
    pub expected: i64,
    /// The offset at which reading goes on.
    pub resumed_at: i64,
}

/// The consumer's receiving end. Stops polling when dropped.
pub struct KafkaSource {
    deliveries: mpsc::Receiver<Delivery>,
    handle: KafkaHandle,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What others than the receiver need of a consumer. Cheap to clone.
#[derive(Clone)]
pub struct KafkaHandle {
    health: Arc<HealthBoard>,
    consumer: Weak<BaseConsumer<Context>>,
}

impl KafkaSource {
    /// Starts to read. A broker that is down is waited for, now and later. `now` is asked for the time at which
    /// records without a time of reception are handed over, and for how long a group waits.
    ///
    /// # Errors
    /// The operator's or the machine's: see [`KafkaError`]; never because the broker is down.
    pub fn start(
        settings: KafkaSettings,
        start: Start,
        now: impl Fn() -> Millis + Send + 'static,
    ) -> Result<KafkaSource, KafkaError> {
        let health = Arc::new(HealthBoard::default());
        let config = client::config(
            &settings.bootstrap,
            &settings.options,
            &[
                ("group.id", &settings.group_id),
                // The ledger holds the positions.
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                // A position out of range is ours to report, never librdkafka's to skip.
                ("auto.offset.reset", "error"),
                ("allow.auto.create.topics", "false"),
                ("check.crcs", "true"),
                ("queued.max.messages.kbytes", &settings.buffer_kbytes_max.to_string()),
                // The default of a second would leave the queue empty after each time it was full.
                ("fetch.queue.backoff.ms", "20"),
            ],
        )?;
        let context = Context { health: health.clone() };
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(client::refused)?;
        let consumer = Arc::new(consumer);
        let handle = KafkaHandle {
            health: health.clone(),
            consumer: Arc::downgrade(&consumer),
        };
        let (out, deliveries) = mpsc::channel(settings.queue_groups.max(1));
        let stop = Arc::new(AtomicBool::new(false));
        let polling = Polling {
            assignment: Assignment::new(start),
            settings,
            consumer,
            health,
            now: Box::new(now),
            out,
            stop: stop.clone(),
            refresh_at: Millis(i64::MIN),
            group: Vec::new(),
            group_bytes: 0,
        };
        let thread = std::thread::Builder::new()
            .name("kafka".into())
            .spawn(move || polling.run())?;
        Ok(KafkaSource {
            deliveries,
            handle,
            stop,
            thread: Some(thread),
        })
    }

    /// The next delivery; `None` when the consumer has ended.
    pub async fn next(&mut self) -> Option<Delivery> {
        self.deliveries.recv().await
    }

    /// [`KafkaSource::next`] for a thread outside an asynchronous runtime.
    pub fn next_blocking(&mut self) -> Option<Delivery> {
        self.deliveries.blocking_recv()
    }

    /// What others need of it.
    #[must_use]
    pub fn handle(&self) -> KafkaHandle {
        self.handle.clone()
    }

    /// Stops and waits until the thread has ended, for at most a few seconds. What was not taken is read again at
    /// the next start.
    pub fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.deliveries.close();
        while self.deliveries.try_recv().is_ok() {}
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            tracing::error!("Kafka's polling thread panicked.");
        }
    }
}

impl Drop for KafkaSource {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl KafkaHandle {
    /// How the connection fares. Asks nobody.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.snapshot()
    }

    /// Shows positions (topic as in record ids, partition, next offset) to whoever looks at the broker's consumer
    /// groups. Does not wait; nothing depends on it. To be called with what is durable.
    pub fn commit<'a>(&self, positions: impl IntoIterator<Item = (&'a str, i32, i64)>) {
        let Some(consumer) = self.consumer.upgrade() else {
            return;
        };
        let mut list = TopicPartitionList::new();
        for (topic, partition, next) in positions {
            let at_broker = topic.split('@').next().unwrap_or(topic);
            if list
                .add_partition_offset(at_broker, partition, Offset::Offset(next))
                .is_err()
            {
                return;
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            tracing::debug!(%error, "Positions not shown to the broker.");
        }
    }
}

/// The receiver is gone.
struct Gone;

/// The polling thread.
struct Polling {
    settings: KafkaSettings,
    assignment: Assignment,
    consumer: Arc<BaseConsumer<Context>>,
    health: Arc<HealthBoard>,
    now: Box<dyn Fn() -> Millis + Send>,
    out: mpsc::Sender<Delivery>,
    stop: Arc<AtomicBool>,
    /// When to look for topics and partitions again.
    refresh_at: Millis,
    group: Vec<Consumed>,
    group_bytes: usize,
}

impl Polling {
    fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) && !self.out.is_closed() {
            if self.turn().is_err() {
                break;
            }
        }
    }

    /// Looks for topics when that is due, then gathers one group and hands it over.
    fn turn(&mut self) -> Result<(), Gone> {
        let now = (self.now)();
        // A clock that was set back must not put the next look off.
        if now >= self.refresh_at || self.refresh_at - now > self.settings.refresh_ms.max(RETRY_MS) {
            self.refresh()?;
        }
        let mut wait_ms = POLL_MS;
        let mut first_at = None;
        while !self.group_is_full() {
            let consumer = self.consumer.clone();
            let Some(polled) = consumer.poll(Duration::from_millis(wait_ms.unsigned_abs())) else {
                break;
            };
            match polled {
                Ok(message) => self.take(&message),
                Err(error) => {
                    self.flush()?;
                    return self.recover(&error);
                }
            }
            let now = (self.now)();
            let waited = now - *first_at.get_or_insert(now);
            wait_ms = self.settings.group_wait_ms - waited;
            if wait_ms <= 0 || waited < 0 {
                break;
            }
        }
        self.flush()
    }

    fn refresh(&mut self) -> Result<(), Gone> {
        let outcome = self.assignment.refresh(&self.consumer, &self.settings, &self.health);
        let again_ms = match outcome.complete {
            true => self.settings.refresh_ms,
            false => RETRY_MS.min(self.settings.refresh_ms),
        };
        self.refresh_at = (self.now)() + again_ms;
        for delivery in outcome.deliveries {
            if let Delivery::Gap(gap) = &delivery {
                let Gap {
                    topic,
                    partition,
                    expected,
                    resumed_at,
                } = gap;
                tracing::error!(%topic, partition, expected, resumed_at, "Records are gone from Kafka before they were read.");
                self.health.gap();
            }
            self.send(delivery)?;
        }
        Ok(())
    }

    fn group_is_full(&self) -> bool {
        self.group.len() >= self.settings.group_records_max || self.group_bytes >= self.settings.group_bytes_max
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        // Of a partition that was given up, or of before it was taken up again: not ours, or not any more.
        let Some((topic, source)) = self
            .assignment
            .accept(message.topic(), message.partition(), message.offset())
        else {
            return;
        };
        let consumed = record::read(
            message,
            topic,
            source,
            self.settings.trust_headers,
            self.settings.record_bytes_max,
        );
        self.group_bytes += consumed.record.payload.len();
        self.group.push(consumed);
    }

    fn flush(&mut self) -> Result<(), Gone> {
        if self.group.is_empty() {
            return Ok(());
        }
        self.group_bytes = 0;
        let records = record::merge(std::mem::take(&mut self.group), (self.now)());
        self.send(Delivery::Records(records))?;
        self.health.advance(self.assignment.positions());
        Ok(())
    }

    fn recover(&mut self, error: &Error) -> Result<(), Gone> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::LogTruncation | Code::OffsetOutOfRange) => {
                // Which partition it is the error does not say: each is placed again at its position.
                tracing::warn!(%error, "A position is out of range.");
                self.assignment.release_all(&self.consumer, &self.health);
                self.refresh()
            }
            Some(
                Code::UnknownTopicOrPartition | Code::UnknownTopicId | Code::UnknownTopic | Code::UnknownPartition,
            ) => {
                tracing::info!(%error, "A topic or partition is gone; looking for it.");
                self.refresh_at = self.refresh_at.min((self.now)() + RETRY_MS);
                Ok(())
            }
            Some(Code::BadMessage | Code::InvalidMessage | Code::BadCompression) => {
                tracing::error!(%error, "Kafka holds records that cannot be read.");
                self.health.in_trouble(error.to_string());
                Ok(())
            }
            _ => {
                tracing::warn!(%error, "Kafka is in trouble; librdkafka keeps trying.");
                self.health.take_error(error, "");
                Ok(())
            }
        }
    }

    fn send(&self, delivery: Delivery) -> Result<(), Gone> {
        // Blocks while the caller is behind; librdkafka's own queue is bounded, so the broker waits too.
        self.out.blocking_send(delivery).map_err(|_| Gone)
    }
}
