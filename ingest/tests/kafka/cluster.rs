//! A cluster of its own names on the broker, and a reader of a source that awaits what it wants.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ingest::source::kafka::{
    Delivery, Gap, KafkaProducer, KafkaSettings, KafkaSource, ProducerSettings, Start, TopicEpoch, TopicSelection,
};
use model::{Millis, RawRecord};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

/// No answer takes so long, unless something is broken.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test against the broker, or says that it is skipped.
pub fn with_broker<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Cluster) -> F) {
    let Ok(address) = std::env::var("DOCKET_KAFKA") else {
        assert!(
            std::env::var("DOCKET_KAFKA_REQUIRED").is_err(),
            "DOCKET_KAFKA names no broker"
        );
        println!("{name}: skipped, DOCKET_KAFKA names no broker");
        return;
    };
    block_on(test(Cluster::new(address)));
}

pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub fn now() -> Millis {
    Millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
}

pub struct Cluster {
    pub address: String,
    pub admin: AdminClient<DefaultClientContext>,
}

impl Cluster {
    pub fn new(address: String) -> Cluster {
        let admin = ClientConfig::new().set("bootstrap.servers", &address).create().unwrap();
        Cluster { address, admin }
    }

    /// A topic name that no other test and no other run has.
    pub fn name(&self, stem: &str) -> String {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        format!("audit.{stem}-{}-{nanos}", std::process::id())
    }

    pub async fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        let new = config.iter().fold(new, |t, (key, value)| t.set(key, value));
        // A topic that was just deleted may take a moment to be gone.
        for _ in 0..100 {
            let outcome = self
                .admin
                .create_topics([&new], &AdminOptions::new())
                .await
                .unwrap()
                .remove(0);
            match outcome {
                Ok(_) => return,
                Err((_, rdkafka::types::RDKafkaErrorCode::TopicAlreadyExists)) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{error:?}"),
            }
        }
        panic!("{topic} is still there");
    }

    pub async fn delete(&self, topic: &str) {
        self.admin
            .delete_topics(&[topic], &AdminOptions::new())
            .await
            .unwrap()
            .remove(0)
            .unwrap();
    }

    pub async fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        self.admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    pub fn producer(&self) -> KafkaProducer {
        KafkaProducer::start(&ProducerSettings::new(&self.address)).unwrap()
    }

    /// Produces texts and waits until all are delivered.
    pub async fn produce(&self, topic: &str, texts: impl IntoIterator<Item = String>) {
        self.produce_by(&ProducerSettings::new(&self.address), topic, texts)
            .await;
    }

    pub async fn produce_by(&self, settings: &ProducerSettings, topic: &str, texts: impl IntoIterator<Item = String>) {
        let producer = KafkaProducer::start(settings).unwrap();
        let mut acks = Vec::new();
        for text in texts {
            acks.push(
                producer
                    .send(topic, None, Millis(1), text.as_bytes(), None)
                    .await
                    .unwrap(),
            );
        }
        for ack in acks {
            ack.await.unwrap().unwrap();
        }
    }

    /// Produces one text to a partition.
    pub async fn produce_to(&self, topic: &str, partition: i32, text: &str) {
        let (address, topic, text) = (self.address.clone(), topic.to_owned(), text.to_owned());
        let sending = move || {
            let delivered = AtomicBool::new(false);
            let producer: BaseProducer<Report> = ClientConfig::new()
                .set("bootstrap.servers", &address)
                .create_with_context(Report(delivered))
                .unwrap();
            let record = BaseRecord::<(), _>::to(&topic).partition(partition).payload(&text);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            producer.flush(PATIENCE).unwrap();
            assert!(producer.context().0.load(Ordering::SeqCst), "{topic}/{partition}");
        };
        tokio::task::spawn_blocking(sending).await.unwrap();
    }

    pub fn settings(&self, topic: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new(&self.address, TopicSelection::new([topic]).unwrap());
        settings.refresh_ms = 200;
        settings.group_id = format!("group-{topic}").replace('^', "");
        settings
    }

    pub fn read(&self, settings: KafkaSettings, positions: &Positions, epochs: &[TopicEpoch]) -> Reader {
        let positions = positions.clone();
        let position = move |topic: &str, partition| positions.get(&(topic.to_owned(), partition)).copied();
        let start = Start {
            position: Box::new(position),
            epochs: epochs.to_vec(),
        };
        Reader {
            source: KafkaSource::start(settings, start, now).unwrap(),
            epochs: Vec::new(),
            gaps: Vec::new(),
        }
    }
}

/// Whether the one record was delivered.
pub struct Report(pub AtomicBool);

impl ClientContext for Report {}

impl ProducerContext for Report {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        self.0.store(report.is_ok(), Ordering::SeqCst);
    }
}

/// Next offsets by topic (as in record ids) and partition, as a ledger holds them.
pub type Positions = BTreeMap<(String, i32), i64>;

pub struct Reader {
    pub source: KafkaSource,
    pub epochs: Vec<TopicEpoch>,
    pub gaps: Vec<Gap>,
}

impl Reader {
    /// Reads on until `enough`.
    pub async fn until(
        &mut self,
        mut enough: impl FnMut(&[RawRecord], &[Gap], &[TopicEpoch]) -> bool,
    ) -> Vec<RawRecord> {
        let mut records = Vec::new();
        let reading = async {
            while !enough(&records, &self.gaps, &self.epochs) {
                match self.source.next().await.expect("the source goes on") {
                    Delivery::Records(more) => records.extend(more),
                    Delivery::Gap(gap) => self.gaps.push(gap),
                    Delivery::Epoch(epoch) => self.epochs.push(epoch),
                }
            }
        };
        let done = tokio::time::timeout(PATIENCE, reading).await;
        assert!(
            done.is_ok(),
            "{} records, {:?}, {:?}: not enough",
            records.len(),
            self.gaps,
            self.epochs
        );
        records
    }

    pub async fn records(&mut self, count: usize) -> Vec<RawRecord> {
        let records = self.until(|records, _, _| records.len() >= count).await;
        assert_eq!(records.len(), count);
        records
    }

    /// Waits until health is as wanted.
    pub async fn health(&self, wanted: impl Fn(&ingest::source::kafka::Health) -> bool) {
        let handle = self.source.handle();
        let waiting = async {
            while !wanted(&handle.health()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        assert!(
            tokio::time::timeout(PATIENCE, waiting).await.is_ok(),
            "{:?}",
            handle.health()
        );
    }
}
