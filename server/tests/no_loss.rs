//! Twenty `kill -9` while records come through a real Kafka: nothing lost, nothing twice.
//!
//! Checked against the input and against an undisturbed run on the same topics, not against Docket's counters.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod harness;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use harness::{Server, Webhook, await_some, broker, rows, run, shared};
use model::LedgerIndex;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

/// Over how long the scenario is produced.
const PACED: Duration = Duration::from_secs(62);
const KILLS: u32 = 20;
/// How long negatives are given by default; deadlines of the last record have passed after it.
const WAIT: Duration = Duration::from_secs(66);

#[test]
fn twenty_kills_lose_nothing_and_repeat_nothing() {
    let (Some(broker), Some(scenario)) = (broker(), shared("data/scenario")) else {
        return;
    };
    let input = records(&scenario.join("capture.ndjson.zst"));
    let run_id = std::process::id();
    let topics: BTreeSet<String> = input.iter().map(|r| topic(run_id, &r.source)).collect();
    create(&broker, &topics);

    let hook = Webhook::start();
    let reference = scenario.join("reference").display().to_string();
    let mut disturbed = Server::new(&configuration(&broker, run_id, &topics, &reference, &hook));
    disturbed.start();
    let produced = std::thread::spawn({
        let (broker, input) = (broker.clone(), input.clone());
        move || produce(&broker, run_id, &input)
    });
    // Not at regular moments, and the same ones each time: a small generator with a fixed seed.
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..KILLS {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis(300 + (random >> 33) % 4200));
        disturbed.kill();
        disturbed.spawn();
    }
    let offsets = produced.join().unwrap();
    let last = Instant::now();
    disturbed.ready();

    let calm_hook = Webhook::start();
    let mut calm = Server::new(&configuration(&broker, run_id, &topics, &reference, &calm_hook));
    calm.start();
    for server in [&disturbed, &calm] {
        server.settle(input.len() as u64);
        // Deadlines of the last records: judged once engine time has passed them, which ticks see to.
        await_some("the deadlines of the last records to pass", || {
            (last.elapsed() > WAIT).then_some(())
        });
        server.settle(input.len() as u64);
    }

    let expected = alerts(&calm);
    assert!(
        expected.len() >= 10,
        "the undisturbed run raised {} alerts only",
        expected.len()
    );
    for server in [&mut disturbed, &mut calm] {
        check_index(server, &input, &offsets);
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        check_ledger(server, &input, &offsets);
        let verified = run(&["verify", "--data", &server.data()]);
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stdout)
        );
    }
    assert_eq!(alerts(&disturbed), expected);
    check_notifications(&hook, &disturbed);
}

/// One record of the scenario.
#[derive(Clone)]
struct Record {
    source: String,
    payload: String,
}

fn records(capture: &std::path::Path) -> Vec<Record> {
    let bytes = zstd::decode_all(std::fs::File::open(capture).unwrap()).unwrap();
    let row = |r: Value| Record {
        source: r["topic"].as_str().unwrap().trim_start_matches("audit.").to_owned(),
        payload: r["payload"].as_str().unwrap().to_owned(),
    };
    harness::ndjson(&bytes).into_iter().map(row).collect()
}

fn topic(run: u32, source: &str) -> String {
    format!("noloss-{run}.{source}")
}

fn create(broker: &str, topics: &BTreeSet<String>) {
    let admin: AdminClient<_> = ClientConfig::new().set("bootstrap.servers", broker).create().unwrap();
    let new: Vec<_> = topics
        .iter()
        .map(|t| NewTopic::new(t, 2, TopicReplication::Fixed(1)).set("message.timestamp.type", "LogAppendTime"))
        .collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for made in runtime
        .block_on(admin.create_topics(&new, &AdminOptions::new()))
        .unwrap()
    {
        made.unwrap();
    }
}

/// Paces the records evenly and returns each one's partition and offset.
fn produce(broker: &str, run: u32, input: &[Record]) -> Vec<(String, i32, i64)> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", broker)
        .set("acks", "all")
        .create()
        .unwrap();
    let start = Instant::now();
    let mut next: HashMap<(String, i32), i64> = HashMap::new();
    let mut offsets = Vec::new();
    for (i, record) in input.iter().enumerate() {
        let due = PACED.mul_f64(i as f64 / input.len() as f64);
        if let Some(early) = due.checked_sub(start.elapsed()) {
            producer.flush(Duration::from_secs(10)).unwrap();
            std::thread::sleep(early);
        }
        // A record that is delivered twice comes in the same partition both times: which delivery is the first, and so the
        // evidence, is then no chance.
        let sum: u32 = record.payload.bytes().map(u32::from).sum();
        let (topic, partition) = (topic(run, &record.source), (sum % 2) as i32);
        producer
            .send(
                BaseRecord::<(), _>::to(&topic)
                    .partition(partition)
                    .payload(&record.payload),
            )
            .map_err(|(e, _)| e)
            .unwrap();
        producer.poll(Duration::ZERO);
        let offset = next.entry((topic.clone(), partition)).or_insert(0);
        offsets.push((topic, partition, *offset));
        *offset += 1;
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    assert!(start.elapsed() >= Duration::from_secs(60));
    offsets
}

fn configuration(broker: &str, run: u32, topics: &BTreeSet<String>, reference: &str, hook: &Webhook) -> String {
    let list: Vec<String> = topics.iter().map(|t| format!("{t:?}")).collect();
    let mut text = format!(
        "reference = {reference:?}\n[kafka]\nbootstrap = {broker:?}\ntopics = [{}]\n",
        list.join(", ")
    );
    for topic in topics {
        let source = topic.strip_prefix(&format!("noloss-{run}.")).unwrap();
        text.push_str(&format!("[sources.{source}]\ntopic = {topic:?}\n"));
    }
    text.push_str(&format!(
        "[[webhooks]]\nname = \"team\"\nurl = \"http://{}/\"\n",
        hook.address
    ));
    text
}

/// What an alert says, without what depends on when it was handled.
fn alerts(server: &Server) -> BTreeMap<String, String> {
    let list = rows(&[
        "alert",
        "list",
        "--limit",
        "1000",
        "--output",
        "ndjson",
        "--data",
        &server.data(),
    ]);
    list.iter()
        .filter(|a| !matches!(a["status"].as_str(), Some("resolved" | "superseded")))
        // Told at each start, so that a server that was killed has more evidence of it.
        .filter(|a| a["finding"]["policy"]["title"] != "A reference table was not renewed")
        .map(|a| (a["id"].as_str().unwrap().to_owned(), a["finding"].to_string()))
        .collect()
}

/// Every record is found, each of its events once; a repeated delivery is not.
fn check_index(server: &Server, input: &[Record], offsets: &[(String, i32, i64)]) {
    let query = [
        "search",
        "NOT source:docket",
        "--all",
        "--output",
        "ndjson",
        "--data",
        &server.data(),
    ];
    let mut found: BTreeMap<String, u32> = BTreeMap::new();
    for hit in rows(&query) {
        *found.entry(hit["record"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let twice: Vec<_> = found.iter().filter(|(_, n)| **n > 1).collect();
    assert!(twice.is_empty(), "found more than once: {twice:?}");
    let records: BTreeSet<&str> = found.keys().map(|uid| uid.split('#').next().unwrap()).collect();
    let mut lines: HashMap<&str, Vec<String>> = HashMap::new();
    for (record, (topic, partition, offset)) in input.iter().zip(offsets) {
        lines
            .entry(&record.payload)
            .or_default()
            .push(format!("{topic}/{partition}/{offset}"));
    }
    let mut missing = Vec::new();
    for (line, ids) in lines {
        let held = ids.iter().filter(|id| records.contains(id.as_str())).count();
        // The same JSON twice carries the same id: one is enough. A syslog line without an id counts each time.
        let wanted = if line.contains('{') { 1 } else { ids.len() };
        if held != wanted {
            missing.push((ids, held, wanted));
        }
    }
    assert!(missing.is_empty(), "not found as often as they should be: {missing:?}");
}

/// Every record of the input is in the ledger once, unchanged.
fn check_ledger(server: &Server, input: &[Record], offsets: &[(String, i32, i64)]) {
    let reader = ledger::Reader::open(&std::path::Path::new(&server.data()).join("ledger")).unwrap();
    let size = reader.size().unwrap();
    let mut held: BTreeMap<(String, i32, i64), Vec<u8>> = BTreeMap::new();
    let mut next = LedgerIndex(0);
    while next < size {
        for entry in reader.read(next, 1000, 1 << 20).unwrap() {
            next = entry.index.next();
            let c = entry.record.coordinate;
            if &*c.topic != model::TOPIC_DOCKET {
                let before = held.insert(
                    (c.topic.to_string(), c.partition, c.offset),
                    entry.record.payload.to_vec(),
                );
                assert!(
                    before.is_none(),
                    "{}/{}/{} is in the ledger twice",
                    c.topic,
                    c.partition,
                    c.offset
                );
            }
        }
    }
    assert_eq!(held.len(), input.len());
    for (record, at) in input.iter().zip(offsets) {
        assert_eq!(held[at], record.payload.as_bytes());
    }
}

/// Each alert was told once: repeats of a POST after a crash carry the same key.
fn check_notifications(hook: &Webhook, server: &Server) {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for received in hook.all() {
        keys.entry(received.body["alert"].as_str().unwrap().to_owned())
            .or_default()
            .insert(received.key);
    }
    let told: BTreeSet<&String> = keys.keys().collect();
    for id in alerts(server).keys() {
        assert!(told.contains(id), "alert {id} was never told");
    }
    for (alert, keys) in &keys {
        assert_eq!(keys.len(), 1, "alert {alert} was told under several keys: {keys:?}");
    }
}
