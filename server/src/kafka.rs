//! Kafka as the transport: the consumer's deliveries go into the ledger in the order they come.
//!
//! The ledger holds the positions. A gap or a new epoch of a topic is an act of Docket's own, recorded before
//! the records that follow it; the epochs are kept in `kafka-epochs.json` too, for the next start.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use ingest::source::kafka::{
    Delivery, KafkaHandle, KafkaProducer, KafkaSettings, KafkaSource, ProducerSettings, Start, TopicEpoch,
    TopicSelection,
};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::behind::{Behind, source_of};
use crate::clock::Clock;
use crate::config::{Config, KafkaFile};
use crate::exit::{CONFIGURATION, failure};
use crate::gateway::Gate;
use crate::kept::{self, write_whole};
use crate::spine::{Append, Spine};

/// The file of the topics' epochs in the data folder.
const EPOCHS: &str = "kafka-epochs.json";
/// How long the gateway's producer may take to empty at stop.
const FLUSH_MS: u64 = 10_000;

/// The running consumer, and the gateway's producer where there is one.
pub struct Consumer {
    task: JoinHandle<()>,
    handle: KafkaHandle,
    producer: Option<KafkaProducer>,
}

/// Starts to consume, and gives the gate for what shippers send.
///
/// # Errors
/// The operator's (exit 3): a setting that librdkafka or Docket does not take.
pub fn start(
    settings: &KafkaFile,
    config: &Config,
    spine: Spine,
    positions: BTreeMap<(Arc<str>, i32), i64>,
    clock: Clock,
    failed: mpsc::UnboundedSender<anyhow::Error>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<(Gate, Option<Consumer>)> {
    let wrong = |e: String| failure(CONFIGURATION, format!("[kafka] {e}"));
    let topics = TopicSelection::new(&settings.topics).map_err(|e| wrong(e.to_string()))?;
    let mut kafka = KafkaSettings::new(&settings.bootstrap, topics);
    kafka.options.clone_from(&settings.options);
    kafka.trust_headers = settings.trust_received_at;
    kafka.record_bytes_max = config.record_bytes_max;
    for (id, source) in &config.sources {
        if let Some(topic) = &source.topic {
            kafka.sources.insert(topic.clone(), id.as_str().into());
        }
    }
    let topics: BTreeMap<String, String> = kafka
        .sources
        .iter()
        .map(|(topic, source)| (topic.clone(), source.to_string()))
        .collect();
    let behind = Behind::new(topics.clone(), positions.keys().map(|(topic, _)| &**topic));
    let epochs_path = config.data_dir.join(EPOCHS);
    let advice = "restore it; without it a topic that was made anew meanwhile is not told";
    let epochs: BTreeMap<String, TopicEpoch> = kept::read(&epochs_path, advice)?.unwrap_or_default();
    let start = Start {
        position: Box::new(move |topic, partition| positions.get(&(Arc::from(topic), partition)).copied()),
        epochs: epochs.values().cloned().collect(),
    };
    let now = clock.clone();
    let source = KafkaSource::start(kafka, start, move || now.now()).map_err(|e| wrong(e.to_string()))?;
    let handle = source.handle();
    let producer = if settings.gateway {
        let mut producer = ProducerSettings::new(&settings.bootstrap);
        producer.options.clone_from(&settings.options);
        producer.record_bytes_max = config.record_bytes_max;
        Some(KafkaProducer::start(&producer).map_err(|e| wrong(e.to_string()))?)
    } else {
        None
    };
    let gate = producer
        .clone()
        .map_or_else(|| Gate::Ledger(spine.clone()), Gate::Kafka);
    tokio::spawn(behind.run(handle.clone(), spine.clone(), stop.clone()));
    let keeper = Keeper {
        spine,
        sources: topics,
        handle: handle.clone(),
        epochs_path,
        epochs,
    };
    let task = tokio::spawn(async move {
        if let Err(error) = keeper.run(source, stop).await {
            let _ = failed.send(error.context("consuming from Kafka"));
        }
    });
    Ok((gate, Some(Consumer { task, handle, producer })))
}

impl Consumer {
    /// How the connection fares.
    pub fn handle(&self) -> KafkaHandle {
        self.handle.clone()
    }

    /// Waits for the consumer to end (the server's stop is its sign), and for what the gateway has under way.
    pub async fn stop(self) {
        let _ = self.task.await;
        let Some(producer) = self.producer else { return };
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_MS)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "Records of the gateway not delivered; their shippers were not told that they were.");
        }
    }
}

struct Keeper {
    spine: Spine,
    handle: KafkaHandle,
    /// Which source a topic is, where its name does not say.
    sources: BTreeMap<String, String>,
    epochs_path: PathBuf,
    epochs: BTreeMap<String, TopicEpoch>,
}

impl Keeper {
    async fn run(mut self, mut source: KafkaSource, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
        loop {
            let delivery = tokio::select! {
                delivery = source.next() => delivery,
                _ = stop.wait_for(|s| *s) => None,
            };
            let Some(delivery) = delivery else { break };
            self.keep(delivery).await?;
        }
        tokio::task::spawn_blocking(move || source.stop()).await?;
        anyhow::ensure!(*stop.borrow(), "the consumer has ended");
        Ok(())
    }

    async fn keep(&mut self, delivery: Delivery) -> anyhow::Result<()> {
        match delivery {
            Delivery::Records(records) => {
                let mut next: BTreeMap<(Arc<str>, i32), i64> = BTreeMap::new();
                for r in &records {
                    next.insert(
                        (r.coordinate.topic.clone(), r.coordinate.partition),
                        r.coordinate.offset + 1,
                    );
                }
                self.spine.append(Append::Numbered(records)).await?;
                self.handle.commit(
                    next.iter()
                        .map(|((topic, partition), offset)| (&**topic, *partition, *offset)),
                );
            }
            Delivery::Gap(gap) => {
                metrics::counter!("docket_kafka_gap_records_total")
                    .increment((gap.resumed_at - gap.expected).unsigned_abs());
                tracing::error!(topic = %gap.topic, partition = gap.partition, expected = gap.expected,
                    resumed_at = gap.resumed_at, "Records are gone from Kafka that were not read.");
                let detail = json!({"topic": gap.topic, "partition": gap.partition, "expected": gap.expected, "resumed_at": gap.resumed_at,
                    "sources": [source_of(&self.sources, &gap.topic)]});
                self.spine.act("kafka.gap", "docket", detail).await?;
            }
            Delivery::Epoch(epoch) => {
                self.spine.act("kafka.epoch", "docket", json!(epoch)).await?;
                self.epochs.insert(epoch.topic.clone(), epoch);
                write_whole(&self.epochs_path, &serde_json::to_vec_pretty(&self.epochs)?)?;
            }
        }
        Ok(())
    }
}
