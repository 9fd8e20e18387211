//! Where records come in from shippers, and where they are kept before the shipper is told.

use ingest::source::kafka::KafkaProducer;

use crate::spine::{Append, Incoming, Refused, Spine};

pub mod body;
pub mod http;
pub mod syslog;

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
        let sent = producer.send(
            &topic,
            r.peer.as_deref(),
            r.received_at,
            &r.payload,
            r.truncated.as_ref(),
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
