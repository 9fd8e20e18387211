//! The Kafka source and producer against a real broker, which `DOCKET_KAFKA` names (`cargo xtask test` starts one).

#![expect(clippy::unwrap_used, reason = "in a test it is the failure")]

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ingest::source::kafka::{
    Delivery, EpochReason, Gap, KafkaProducer, KafkaSettings, KafkaSource, ProduceError, ProducerSettings, Start,
    TopicEpoch, TopicSelection,
};
use model::{Millis, RawRecord, Truncation};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientConfig, ClientContext, Offset, TopicPartitionList};

/// No answer takes so long, unless something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test against the broker, or says that it is skipped.
fn with_broker<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Cluster) -> F) {
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

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn now() -> Millis {
    Millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
}

struct Cluster {
    address: String,
    admin: AdminClient<DefaultClientContext>,
}

impl Cluster {
    fn new(address: String) -> Cluster {
        let admin = ClientConfig::new().set("bootstrap.servers", &address).create().unwrap();
        Cluster { address, admin }
    }

    /// A topic name that no other test and no other run has.
    fn name(&self, stem: &str) -> String {
        let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        format!("audit.{stem}-{}-{nanos}", std::process::id())
    }

    async fn create(&self, topic: &str, partitions: i32, config: &[(&str, &str)]) {
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

    async fn delete(&self, topic: &str) {
        self.admin
            .delete_topics(&[topic], &AdminOptions::new())
            .await
            .unwrap()
            .remove(0)
            .unwrap();
    }

    async fn delete_records_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .unwrap();
        self.admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    fn producer(&self) -> KafkaProducer {
        KafkaProducer::start(&ProducerSettings::new(&self.address)).unwrap()
    }

    /// Produces texts and waits until all are delivered.
    async fn produce(&self, topic: &str, texts: impl IntoIterator<Item = String>) {
        self.produce_by(&ProducerSettings::new(&self.address), topic, texts)
            .await;
    }

    async fn produce_by(&self, settings: &ProducerSettings, topic: &str, texts: impl IntoIterator<Item = String>) {
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
    async fn produce_to(&self, topic: &str, partition: i32, text: &str) {
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

    fn settings(&self, topic: &str) -> KafkaSettings {
        let mut settings = KafkaSettings::new(&self.address, TopicSelection::new([topic]).unwrap());
        settings.refresh_ms = 200;
        settings.group_id = format!("group-{topic}").replace('^', "");
        settings
    }

    fn read(&self, settings: KafkaSettings, positions: &Positions, epochs: &[TopicEpoch]) -> Reader {
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
struct Report(AtomicBool);

impl ClientContext for Report {}

impl ProducerContext for Report {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        self.0.store(report.is_ok(), Ordering::SeqCst);
    }
}

/// Next offsets by topic (as in record ids) and partition, as a ledger holds them.
type Positions = BTreeMap<(String, i32), i64>;

struct Reader {
    source: KafkaSource,
    epochs: Vec<TopicEpoch>,
    gaps: Vec<Gap>,
}

impl Reader {
    /// Reads on until `enough`.
    async fn until(&mut self, mut enough: impl FnMut(&[RawRecord], &[Gap], &[TopicEpoch]) -> bool) -> Vec<RawRecord> {
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

    async fn records(&mut self, count: usize) -> Vec<RawRecord> {
        let records = self.until(|records, _, _| records.len() >= count).await;
        assert_eq!(records.len(), count);
        records
    }

    /// Waits until health is as wanted.
    async fn health(&self, wanted: impl Fn(&ingest::source::kafka::Health) -> bool) {
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

fn text(record: &RawRecord) -> String {
    String::from_utf8(record.payload.to_vec()).unwrap()
}

fn ids(records: &[RawRecord]) -> Vec<String> {
    records.iter().map(|r| r.coordinate.to_string()).collect()
}

/// Every partition's offsets follow one another, from `from` or 0; returns where each is to go on.
fn in_order(records: &[RawRecord], from: &Positions) -> Positions {
    let mut next = from.clone();
    for record in records {
        let c = &record.coordinate;
        let at = next.entry((c.topic.to_string(), c.partition)).or_insert(0);
        assert_eq!(c.offset, *at, "{c}");
        *at += 1;
    }
    next
}

#[test]
fn ten_thousand_records_come_once_in_order_and_again_from_any_position() {
    with_broker("ten thousand records", async |cluster| {
        let topic = cluster.name("many");
        cluster.create(&topic, 3, &[]).await;
        let producer = cluster.producer();
        let truncated = Truncation {
            bytes: 99,
            sha256: [7; 32],
        };
        let mut acks = Vec::new();
        for i in 0..10_000_i64 {
            let peer = format!("10.0.0.{}", i % 17);
            let cut = (i == 5000).then_some(&truncated);
            acks.push(
                producer
                    .send(&topic, Some(&peer), Millis(i), format!("line {i}").as_bytes(), cut)
                    .await
                    .unwrap(),
            );
        }
        let mut delivered = HashMap::new();
        for (i, ack) in acks.into_iter().enumerate() {
            let at = ack.await.unwrap().unwrap();
            delivered.insert(format!("{topic}/{}/{}", at.partition, at.offset), format!("line {i}"));
        }
        assert_eq!(delivered.len(), 10_000);

        let mut settings = cluster.settings(&topic);
        settings.trust_headers = true;
        settings.group_records_max = 333;
        let mut reader = cluster.read(settings.clone(), &Positions::new(), &[]);
        let records = reader.records(10_000).await;
        let whole = in_order(&records, &Positions::new());
        assert_eq!(whole.len(), 3, "all partitions are used");
        let source = topic.strip_prefix("audit.").unwrap();
        for record in &records {
            assert_eq!(delivered.remove(&record.coordinate.to_string()), Some(text(record)));
            assert_eq!(
                text(record),
                format!("line {}", record.received_at.0),
                "the header is believed"
            );
            let peer = format!("10.0.0.{}", record.received_at.0 % 17);
            assert_eq!((record.peer.as_deref(), &*record.source), (Some(&*peer), source));
            assert_eq!(record.key.as_deref(), Some(peer.as_bytes()));
            assert_eq!(
                record.truncated,
                (record.received_at.0 == 5000).then(|| truncated.clone())
            );
        }
        assert!(delivered.is_empty());
        assert_eq!(reader.epochs.len(), 1);
        assert!(reader.epochs[0].topic_id.is_some(), "a broker of today gives topic ids");
        reader
            .health(|h| h.connected && h.partitions.len() == 3 && h.partitions.iter().all(|p| p.lag() == 0))
            .await;

        // Positions shown to the broker are seen by others.
        reader
            .source
            .handle()
            .commit(whole.iter().map(|((t, p), next)| (&**t, *p, *next)));
        let other: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &cluster.address)
            .set("group.id", &settings.group_id)
            .create()
            .unwrap();
        let shown = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            list.add_partition(&topic, 0);
            let started = std::time::Instant::now();
            loop {
                let offset = other.committed_offsets(list.clone(), PATIENCE).unwrap().elements()[0].offset();
                if offset != Offset::Invalid || started.elapsed() > PATIENCE {
                    return (offset, topic);
                }
            }
        });
        let (shown, topic) = shown.await.unwrap();
        assert_eq!(shown, Offset::Offset(whole[&(topic.clone(), 0)]));
        let epochs = reader.epochs.clone();
        reader.source.stop();

        // A restart from the middle reads exactly the rest, and nothing is new about the topic.
        let half = in_order(&records[..5000], &Positions::new());
        let mut again = cluster.read(settings, &half, &epochs);
        let rest = again.records(5000).await;
        assert_eq!(in_order(&rest, &half), whole);
        assert!(again.epochs.is_empty() && again.gaps.is_empty());
        again.source.stop();
    });
}

#[test]
fn without_trust_the_headers_are_kept_and_not_believed() {
    with_broker("without trust", async |cluster| {
        for (stamped, config) in [(false, "CreateTime"), (true, "LogAppendTime")] {
            let topic = cluster.name("stamps");
            cluster.create(&topic, 1, &[("message.timestamp.type", config)]).await;
            let before = now();
            cluster.produce(&topic, ["x".to_owned()]).await;
            let produced = now();
            let mut settings = cluster.settings(&topic);
            settings.sources.insert(topic.clone(), "jumpserver".into());
            let mut reader = cluster.read(settings, &Positions::new(), &[]);
            let record = reader.records(1).await.remove(0);
            // The broker is on this machine, so its clock is ours.
            assert_eq!((before..=produced).contains(&record.received_at), stamped, "{config}");
            assert!(record.received_at >= before);
            assert_eq!(&*record.source, "jumpserver");
            assert!(
                record
                    .headers
                    .iter()
                    .any(|(n, v)| n == "docket-received-at" && &**v == b"1")
            );
            reader.source.stop();
        }
    });
}

#[test]
fn records_that_are_gone_are_a_gap_and_reading_goes_on() {
    with_broker("gap", async |cluster| {
        let topic = cluster.name("gap");
        cluster.create(&topic, 1, &[]).await;
        let long = "x".repeat(2000);
        // In small batches, for a batch is fetched whole.
        let mut small = ProducerSettings::new(&cluster.address);
        small.options.insert("compression.type".into(), "none".into());
        small.options.insert("batch.num.messages".into(), "5".into());
        cluster
            .produce_by(&small, &topic, (0..2000).map(|i| format!("{i} {long}")))
            .await;
        cluster.delete_records_before(&topic, 0, 40).await;

        let mut settings = cluster.settings(&topic);
        // Little is fetched beforehand, so that the reader can fall behind.
        settings
            .options
            .insert("fetch.message.max.bytes".into(), "20000".into());
        settings.buffer_kbytes_max = 20;
        settings.group_records_max = 5;
        settings.queue_groups = 1;
        let held = Positions::from([((topic.clone(), 0), 10)]);
        let mut reader = cluster.read(settings, &held, &[]);
        let first = reader.until(|records, _, _| !records.is_empty()).await;
        let gap = |expected, resumed_at| Gap {
            topic: topic.as_str().into(),
            partition: 0,
            expected,
            resumed_at,
        };
        assert_eq!(reader.gaps, [gap(10, 40)]);
        assert_eq!(first[0].coordinate.offset, 40);

        // Now while it reads.
        cluster.delete_records_before(&topic, 0, 1900).await;
        let rest = reader
            .until(|records, _, _| records.last().is_some_and(|r| r.coordinate.offset == 1999))
            .await;
        let before = rest
            .iter()
            .position(|r| r.coordinate.offset == 1900)
            .expect("it goes on where records are");
        let expected = 40 + (first.len() + before) as i64;
        assert!(expected < 1900, "the reader was behind");
        assert_eq!(reader.gaps[1..], [gap(expected, 1900)]);
        assert_eq!(rest.len() - before, 100);
        assert_eq!(reader.source.handle().health().gaps, 2);
        reader.source.stop();
    });
}

#[test]
fn new_partitions_and_topics_are_found() {
    with_broker("new partitions", async |cluster| {
        let stem = cluster.name("found");
        let first = format!("{stem}.a");
        cluster.create(&first, 1, &[]).await;
        let mut settings = cluster.settings(&format!("^{}", stem.replace('.', "\\.")));
        let named = format!("{stem}-named");
        settings.topics = TopicSelection::new([format!("^{}\\.", stem.replace('.', "\\.")), named.clone()]).unwrap();
        let mut reader = cluster.read(settings, &Positions::new(), &[]);
        cluster.produce_to(&first, 0, "a").await;
        assert_eq!(ids(&reader.records(1).await), [format!("{first}/0/0")]);
        reader.health(|h| h.topics_missing == [named.clone()]).await;

        cluster
            .admin
            .create_partitions([&NewPartitions::new(&first, 2)], &AdminOptions::new())
            .await
            .unwrap();
        cluster.produce_to(&first, 1, "b").await;
        assert_eq!(ids(&reader.records(1).await), [format!("{first}/1/0")]);

        for topic in [format!("{stem}.b"), named] {
            cluster.create(&topic, 1, &[]).await;
            cluster.produce_to(&topic, 0, "c").await;
            assert_eq!(ids(&reader.records(1).await), [format!("{topic}/0/0")]);
        }
        cluster.create(&format!("{stem}x"), 1, &[]).await;
        cluster.produce_to(&format!("{stem}x"), 0, "not matched").await;
        cluster.produce_to(&first, 0, "d").await;
        assert_eq!(ids(&reader.records(1).await), [format!("{first}/0/1")]);
        reader.health(|h| h.topics_missing.is_empty()).await;
        reader.source.stop();
    });
}

#[test]
fn a_topic_that_is_created_again_is_another() {
    with_broker("recreated", async |cluster| {
        let topic = cluster.name("again");
        cluster.create(&topic, 1, &[]).await;
        cluster.produce(&topic, (0..10).map(|i| format!("first {i}"))).await;
        let mut reader = cluster.read(cluster.settings(&topic), &Positions::new(), &[]);
        let mut positions = in_order(&reader.records(10).await, &Positions::new());

        // While it is read.
        cluster.delete(&topic).await;
        cluster.create(&topic, 1, &[]).await;
        reader.until(|_, _, epochs| epochs.len() >= 2).await;
        assert_eq!(
            (&*reader.epochs[1].name(), reader.epochs[1].reason),
            (&*format!("{topic}@2"), EpochReason::Recreated)
        );
        cluster.produce(&topic, (0..5).map(|i| format!("second {i}"))).await;
        let second = reader.records(5).await;
        assert_eq!(second[0].coordinate.to_string(), format!("{topic}@2/0/0"));
        assert_eq!(text(&second[4]), "second 4");
        positions = in_order(&second, &positions);
        let epochs = reader.epochs.clone();
        reader.source.stop();

        // While nobody looks, and with more records than were read: only the id tells.
        cluster.delete(&topic).await;
        cluster.create(&topic, 1, &[]).await;
        cluster.produce(&topic, (0..20).map(|i| format!("third {i}"))).await;
        let mut reader = cluster.read(cluster.settings(&topic), &positions, &epochs);
        let third = reader.records(20).await;
        assert_eq!(third[0].coordinate.to_string(), format!("{topic}@3/0/0"));
        assert_eq!(reader.epochs[0].reason, EpochReason::Recreated);
        assert!(reader.gaps.is_empty());
        reader.source.stop();

        // A ledger that is ahead of the broker, under the same topic id: the broker lost records.
        let ahead = Positions::from([((format!("{topic}@3"), 0), 1000)]);
        let mut reader = cluster.read(cluster.settings(&topic), &ahead, &reader.epochs);
        let fourth = reader.records(20).await;
        assert_eq!(fourth[0].coordinate.to_string(), format!("{topic}@4/0/0"));
        assert_eq!(reader.epochs[0].reason, EpochReason::Truncated);
        reader.source.stop();
    });
}

#[test]
fn a_record_that_the_topic_does_not_allow_is_refused() {
    with_broker("too large", async |cluster| {
        let topic = cluster.name("small");
        cluster.create(&topic, 1, &[("max.message.bytes", "2000")]).await;
        let producer = cluster.producer();
        // Not compressible, or it would fit.
        let mut seed = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as u8
        })
        .take(5000)
        .collect();
        let ack = producer.send(&topic, None, Millis(0), &noise, None).await.unwrap();
        assert_eq!(
            ack.await.unwrap(),
            Err(ProduceError::TooLarge {
                topic: topic.clone(),
                bytes: 5000
            })
        );
        let ack = producer.send(&topic, None, Millis(0), b"fits", None).await.unwrap();
        assert!(ack.await.unwrap().is_ok());
        producer.flush(5000).unwrap();
        assert!(matches!(
            producer.send(&topic, None, Millis(0), b"late", None).await,
            Err(ProduceError::Stopping)
        ));
    });
}

#[test]
fn a_broker_that_is_down_is_waited_for() {
    // Nobody listens on a port that was given back.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let address = format!("127.0.0.1:{port}");
    block_on(async {
        let settings = KafkaSettings::new(&address, TopicSelection::new(["audit.x"]).unwrap());
        let start = Start {
            position: Box::new(|_, _| None),
            epochs: Vec::new(),
        };
        let source = KafkaSource::start(settings, start, now).unwrap();
        let handle = source.handle();
        let waiting = async {
            while handle.health().trouble.is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("trouble is shown");
        assert!(!handle.health().connected);
        tokio::task::spawn_blocking(|| source.stop()).await.unwrap();

        let mut settings = ProducerSettings::new(&address);
        settings.delivery_timeout_ms = 300;
        let producer = KafkaProducer::start(&settings).unwrap();
        let ack = producer.send("audit.x", None, Millis(0), b"x", None).await.unwrap();
        assert!(matches!(ack.await.unwrap(), Err(ProduceError::NotTaken { .. })));
        assert!(!producer.health().connected);
    });
}
