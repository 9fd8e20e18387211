//! The producer: what the gateway received goes to Kafka, and is acknowledged when every in-sync replica has it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use model::{Millis, Truncation};
use rdkafka::Message;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError as Error, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, Statistics};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::client::{self, Context};
use super::health::{Health, HealthBoard};
use super::{HEADER_PEER, HEADER_RECEIVED_AT, HEADER_TRUNCATED_BYTES, HEADER_TRUNCATED_SHA256, KafkaError};

/// What a record costs of the bound on bytes in flight beside its payload: headers, key, and librdkafka's own.
const RECORD_COST_BYTES: usize = 1024;
/// Bytes of a request beside its payload.
const FRAME_BYTES: usize = 64 << 10;

/// What a producer is told.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// `host:port`, several with commas.
    pub bootstrap: String,
    /// Passed on to librdkafka.
    pub options: BTreeMap<String, String>,
    /// Bytes of the largest record; the topic's `max.message.bytes` has to allow it too.
    pub record_bytes_max: usize,
    /// Bytes that may be on their way; more make the sender wait.
    pub in_flight_bytes_max: usize,
    /// After this a record that no broker took is given up, and its sender is told.
    pub delivery_timeout_ms: u32,
}

impl ProducerSettings {
    /// The defaults for a broker.
    #[must_use]
    pub fn new(bootstrap: &str) -> ProducerSettings {
        ProducerSettings {
            bootstrap: bootstrap.to_owned(),
            options: BTreeMap::new(),
            record_bytes_max: 16 << 20,
            in_flight_bytes_max: 64 << 20,
            delivery_timeout_ms: 30_000,
        }
    }
}

/// A record that every in-sync replica has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
}

/// The record is not known to be in Kafka; it may be all the same, where the answer was lost.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    /// The shipper's, or the operator's whose topic allows less than Docket does.
    #[error("Kafka takes no record of {bytes} bytes for `{topic}`; raise the topic's max.message.bytes")]
    TooLarge {
        /// The topic.
        topic: String,
        /// The record's length.
        bytes: usize,
    },
    /// The broker's: it was away for too long, or refused; the sender may try again.
    #[error("Kafka did not take a record for `{topic}`: {reason}")]
    NotTaken {
        /// The topic.
        topic: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The producer was stopped.
    #[error("the producer is stopping")]
    Stopping,
}

/// Resolves when a record is delivered or given up.
pub type Ack = oneshot::Receiver<Result<Delivered, ProduceError>>;

/// Produces to Kafka with `acks=all` and idempotence. Cheap to clone.
#[derive(Clone)]
pub struct KafkaProducer {
    producer: Arc<ThreadedProducer<Reports>>,
    health: Arc<HealthBoard>,
    in_flight: Arc<Semaphore>,
    in_flight_bytes_max: usize,
}

impl KafkaProducer {
    /// Makes a producer. A broker that is down is waited for.
    ///
    /// # Errors
    /// The operator's or the machine's: see [`KafkaError`]; never because the broker is down.
    pub fn start(settings: &ProducerSettings) -> Result<KafkaProducer, KafkaError> {
        let health = Arc::new(HealthBoard::default());
        let config = config(settings)?;
        let context = Reports(Context { health: health.clone() });
        let producer = config.create_with_context(context).map_err(client::refused)?;
        // A record larger than the bound must still be able to go, alone.
        let bytes = settings
            .in_flight_bytes_max
            .clamp(RECORD_COST_BYTES, u32::MAX as usize >> 1);
        Ok(KafkaProducer {
            producer: Arc::new(producer),
            health,
            in_flight: Arc::new(Semaphore::new(bytes)),
            in_flight_bytes_max: bytes,
        })
    }

    /// Hands a record to Kafka, once there is room for it; the answer resolves when it is delivered. Records of one
    /// peer keep their order: the peer is the key.
    ///
    /// # Errors
    /// [`ProduceError`]: it was not handed over.
    pub async fn send(
        &self,
        topic: &str,
        peer: Option<&str>,
        received_at: Millis,
        payload: &[u8],
        truncated: Option<&Truncation>,
    ) -> Result<Ack, ProduceError> {
        self.send_with(topic, peer, received_at, payload, truncated, &[]).await
    }

    /// Hands over a record with headers of its own, which stand before ours; see [`KafkaProducer::send`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_with(
        &self,
        topic: &str,
        peer: Option<&str>,
        received_at: Millis,
        payload: &[u8],
        truncated: Option<&Truncation>,
        own: &[(String, Bytes)],
    ) -> Result<Ack, ProduceError> {
        let cost = (payload.len() + RECORD_COST_BYTES).min(self.in_flight_bytes_max);
        let cost = u32::try_from(cost).unwrap_or(u32::MAX);
        let room = self
            .in_flight
            .clone()
            .acquire_many_owned(cost)
            .await
            .map_err(|_| ProduceError::Stopping)?;
        let (done, ack) = oneshot::channel();
        let waiting = Box::new(Waiting {
            done,
            _room: room,
            bytes: payload.len(),
        });
        let mut record: BaseRecord<'_, str, [u8], Box<Waiting>> = BaseRecord::with_opaque_to(topic, waiting)
            .payload(payload)
            .headers(headers(peer, received_at, truncated, own));
        if let Some(peer) = peer {
            record = record.key(peer);
        }
        match self.producer.send(record) {
            Ok(()) => Ok(ack),
            Err((error, _)) => Err(refused(topic, payload.len(), &error)),
        }
    }

    /// Records on their way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.producer.in_flight_count()).unwrap_or(0)
    }

    /// How the connection fares. Asks nobody.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.snapshot()
    }

    /// Takes no more records and waits until those on their way are delivered or given up. Blocks the thread.
    ///
    /// # Errors
    /// [`ProduceError`]: after `timeout_ms` some still are on their way.
    pub fn flush(&self, timeout_ms: u64) -> Result<(), ProduceError> {
        self.in_flight.close();
        self.producer
            .flush(Duration::from_millis(timeout_ms))
            .map_err(|e| ProduceError::NotTaken {
                topic: "*".to_owned(),
                reason: e.to_string(),
            })
    }
}

/// Who waits for a record. Dropped with the room it took.
struct Waiting {
    done: oneshot::Sender<Result<Delivered, ProduceError>>,
    _room: OwnedSemaphorePermit,
    bytes: usize,
}

/// Takes librdkafka's delivery reports to those who wait for them.
struct Reports(Context);

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }

    fn error(&self, error: Error, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<Waiting>;

    fn delivery(&self, report: &DeliveryResult<'_>, waiting: Box<Waiting>) {
        let Waiting { done, bytes, .. } = *waiting;
        let answer = match report {
            Ok(message) => Ok(Delivered {
                partition: message.partition(),
                offset: message.offset(),
            }),
            Err((error, message)) => Err(refused(message.topic(), bytes, error)),
        };
        // Whoever waited may have gone: the shipper closed the connection.
        let _ = done.send(answer);
    }
}

fn config(settings: &ProducerSettings) -> Result<ClientConfig, KafkaError> {
    let message_bytes_max = (settings.record_bytes_max + FRAME_BYTES).to_string();
    let queue_kbytes = (2 * settings.in_flight_bytes_max.max(settings.record_bytes_max) / 1024 + 1024).to_string();
    let mut config = client::config(
        &settings.bootstrap,
        &settings.options,
        &[
            ("acks", "all"),
            ("enable.idempotence", "true"),
            ("message.max.bytes", &message_bytes_max),
            ("message.timeout.ms", &settings.delivery_timeout_ms.to_string()),
            // The bound on bytes in flight is ours; librdkafka's only has to be larger.
            ("queue.buffering.max.kbytes", &queue_kbytes),
            ("queue.buffering.max.messages", "0"),
        ],
    )?;
    // The operator may choose otherwise.
    for (option, value) in [
        ("linger.ms", "5"),
        ("compression.type", "zstd"),
        ("partitioner", "murmur2_random"),
    ] {
        if !settings.options.contains_key(option) {
            config.set(option, value);
        }
    }
    Ok(config)
}

fn headers(
    peer: Option<&str>,
    received_at: Millis,
    truncated: Option<&Truncation>,
    own: &[(String, Bytes)],
) -> OwnedHeaders {
    let before = own.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header {
            key,
            value: Some(value.as_ref()),
        })
    });
    let with = |headers: OwnedHeaders, key: &str, value: &str| {
        headers.insert(Header {
            key,
            value: Some(value),
        })
    };
    let mut headers = with(before, HEADER_RECEIVED_AT, &received_at.0.to_string());
    if let Some(peer) = peer {
        headers = with(headers, HEADER_PEER, peer);
    }
    if let Some(Truncation { bytes, sha256 }) = truncated {
        let hex: String = sha256.iter().map(|b| format!("{b:02x}")).collect();
        headers = with(headers, HEADER_TRUNCATED_BYTES, &bytes.to_string());
        headers = with(headers, HEADER_TRUNCATED_SHA256, &hex);
    }
    headers
}

fn refused(topic: &str, bytes: usize, error: &Error) -> ProduceError {
    let topic = topic.to_owned();
    match error.rdkafka_error_code() {
        Some(Code::MessageSizeTooLarge) => ProduceError::TooLarge { topic, bytes },
        Some(Code::PurgeQueue | Code::PurgeInflight) => ProduceError::Stopping,
        _ => ProduceError::NotTaken {
            topic,
            reason: error.to_string(),
        },
    }
}
