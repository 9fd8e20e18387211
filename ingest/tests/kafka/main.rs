//! The Kafka source and producer against a real broker, which `DOCKET_KAFKA` names (`cargo xtask test` starts one).

#![expect(clippy::unwrap_used, reason = "in a test it is the failure")]

mod cluster;

use cluster::{PATIENCE, Positions, block_on, now, with_broker};
use std::collections::HashMap;

use std::time::Duration;

use ingest::source::kafka::{
    EpochReason, Gap, KafkaProducer, KafkaSettings, KafkaSource, ProduceError, ProducerSettings, Start, TopicSelection,
};
use model::{Millis, RawRecord, Truncation};
use rdkafka::admin::{AdminOptions, NewPartitions};

use rdkafka::consumer::{BaseConsumer, Consumer};

use rdkafka::{ClientConfig, Offset, TopicPartitionList};

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
