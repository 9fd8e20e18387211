//! Where records come in from shippers, and where they are kept before the shipper is told.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
pub use ingest::source::held;
use ingest::source::kafka::KafkaProducer;
use model::Truncation;
use sha2::Digest as _;

use crate::spine::{Append, Incoming, Refused, Spine};

pub mod batch;
pub mod body;
pub mod bulk;
pub mod hec;
pub mod http;
pub mod losses;
pub mod otlp;
pub mod settings;
pub mod syslog;
pub mod tls;
pub mod udp;

/// Where received records go.
#[derive(Clone)]
pub enum Gate {
    /// Straight into the ledger.
    Ledger(Spine),
    /// To Kafka's topic `audit.<source>`, with `acks=all`.
    Kafka(KafkaProducer),
}

impl Gate {
    /// Keeps the records, and returns when they are durable: all of them, or an error and perhaps some.
    ///
    /// # Errors
    /// [`Refused`]: the shipper must send them again.
    pub async fn keep(&self, records: Vec<Incoming>) -> Result<(), Refused> {
        if records.is_empty() {
            return Ok(());
        }
        match self {
            Gate::Ledger(spine) => spine.append(Append::Local(records)).await.map(|_| ()),
            Gate::Kafka(producer) => produce(producer, records).await,
        }
    }
}

async fn produce(producer: &KafkaProducer, records: Vec<Incoming>) -> Result<(), Refused> {
    let mut acks = Vec::with_capacity(records.len());
    for r in records {
        let topic = format!("audit.{}", r.source);
        let sent = producer.send_with(
            &topic,
            r.peer.as_deref(),
            r.received_at,
            &r.payload,
            r.truncated.as_ref(),
            &r.headers,
        );
        acks.push(sent.await.map_err(|e| Refused::Kafka(e.to_string()))?);
    }
    for ack in acks {
        ack.await
            .map_err(|_| Refused::Stopping)?
            .map_err(|e| Refused::Kafka(e.to_string()))?;
    }
    Ok(())
}

/// What the listeners share that take requests.
#[derive(Debug)]
pub struct Intake {
    /// Room for requests under way.
    pub budget: held::Budget,
    /// Which source an index is.
    pub bulk: bulk::Bulk,
    /// The Splunk endpoint's source.
    pub hec_source: Arc<str>,
    /// What was acknowledged on the Splunk endpoint's channels.
    pub acks: Mutex<hec::acks::Acks>,
    /// The OTLP endpoints' settings.
    pub otlp: otlp::Otlp,
    /// What did not come in.
    pub losses: losses::Losses,
}

/// A payload as long as is kept, and what was cut off.
pub fn cut(payload: Bytes, bytes_max: usize) -> (Bytes, Option<Truncation>) {
    if payload.len() <= bytes_max {
        return (payload, None);
    }
    let truncated = Truncation {
        bytes: payload.len() as u64,
        sha256: sha2::Sha256::digest(&payload).into(),
    };
    (payload.slice(..bytes_max), Some(truncated))
}
