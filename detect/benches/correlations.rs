//! What correlations cost: events a second of CPU time, and memory with a million groups.
//!
//! `cargo bench -p detect` prints a table; `benches/record/` keeps what it said. `cargo bench -p detect -- million` is the
//! memory alone.
#![allow(clippy::unwrap_used, reason = "a bench stops where something is wrong")]

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::sync::Arc;
use std::time::Duration;

use detect::RuleSet;
use detect::engine::{Detector, Place, Spill};
use detect::policy::{Loaded, load_text};
use detect::reference::Tables;
use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};
use serde_json::{Map, json};

const START: i64 = 1_777_860_000_000;
const GROUP: u64 = 4_096;

fn main() {
    println!("| what | events | CPU seconds | events/s | memory MiB |");
    println!("|---|---|---|---|---|");
    let fails = |condition: &str, kind: &str, by: &str| {
        format!(
            "title: f\nname: f\nlogsource: {{product: ocsf, category: authentication}}\ndetection: {{s: {{status_id: 2}}, condition: s}}\n---\n\
             title: c\nlevel: low\ncorrelation: {{type: {kind}, rules: [f], group-by: [{by}], timespan: 1h, condition: {condition}}}\n"
        )
    };
    // Two hundred thousand failures within an hour: user of 17,000, address of one, or the other way round.
    let spray = |i: u64| (format!("user{}", i % 17_000), "10.9.9.9".to_owned(), i * 15);
    let many = |i: u64| (format!("user{}", i % 10_000), format!("10.0.0.{}", i % 7), i * 15);
    let only_memory = std::env::args().any(|a| a == "million");
    let all = [
        (
            "value_count, 17,000 values, below",
            fails("{field: user.name, gte: 17001}", "value_count", "src_endpoint.ip"),
            &spray as &dyn Fn(u64) -> (String, String, u64),
        ),
        (
            "value_count, 17,000 values, all fire",
            fails("{field: user.name, gte: 10}", "value_count", "src_endpoint.ip"),
            &spray,
        ),
        (
            "event_count, 10,000 groups, below",
            fails("{gte: 100}", "event_count", "user.name"),
            &many,
        ),
        (
            "event_count, 10,000 groups, most fire",
            fails("{gte: 10}", "event_count", "user.name"),
            &many,
        ),
    ];
    for (name, policy, event) in all.into_iter().filter(|_| !only_memory) {
        for keeps in [false, true] {
            let took = speed(&policy, event, keeps);
            let name = format!("{name}{}", if keeps { ", state kept" } else { "" });
            println!(
                "| {name} | 200,000 | {:.2} | {:.0} | |",
                took.as_secs_f64(),
                200_000.0 / took.as_secs_f64()
            );
        }
    }
    million(&fails("{gte: 2}", "event_count", "user.name"));
}

fn detector(policy: &str, spill: Option<(Box<dyn Spill>, usize)>) -> Detector {
    let Loaded { policies, errors } = load_text(policy);
    assert!(errors.iter().all(detect::PolicyError::is_lint), "{errors:?}");
    let (rules, errors) = RuleSet::compile(&policies);
    assert!(errors.is_empty(), "{errors:?}");
    Detector::spilling(
        policies.into(),
        rules.into(),
        Tables::default(),
        Vec::new(),
        LedgerIndex(0),
        spill,
    )
    .unwrap()
}

/// A group of records from `first` on.
fn group(
    detector: &Detector,
    first: u64,
    n: u64,
    event: &dyn Fn(u64) -> (String, String, u64),
) -> (Vec<(LedgerIndex, Millis)>, Batch) {
    let source: Arc<str> = "sshd".into();
    let events: Vec<(LedgerIndex, Millis, PlainEvent)> = (first..first + n)
        .map(|i| {
            let (user, ip, ms) = event(i);
            let time = Millis(START + ms as i64);
            let fields = json!({"status_id": 2, "user": {"name": user}, "src_endpoint": {"ip": ip}, "actor": {"user": {"name": user}}});
            let event = PlainEvent {
                uid: format!("audit.sshd/0/{i}").into(),
                class_uid: 3002,
                time,
                ocsf: fields.as_object().unwrap().clone(),
                native: Map::new(),
                system: None,
                commands: vec![],
                logsource: LogSource::new("linux", "", "sshd"),
            };
            (LedgerIndex(i), time, event)
        })
        .collect();
    let places: Vec<(LedgerIndex, Millis, &PlainEvent)> = events.iter().map(|(i, at, e)| (*i, *at, e)).collect();
    let span = events.iter().map(|(i, at, _)| (*i, *at)).collect();
    (span, Batch::plain(&source, &places, detector.wanted()))
}

fn speed(policy: &str, event: &dyn Fn(u64) -> (String, String, u64), keeps: bool) -> Duration {
    let mut detector = detector(policy, None);
    if !keeps {
        detector = detector.for_one_run();
    }
    let mut took = Duration::ZERO;
    for first in (0..200_000).step_by(GROUP as usize) {
        let (span, batch) = group(&detector, first, GROUP.min(200_000 - first), event);
        let start = spent();
        drop(detector.process(&span, &[batch]));
        took += spent() - start;
    }
    let start = spent();
    drop(detector.finish());
    took + (spent() - start)
}

/// A million keys in a minute, then the first again.
fn million(policy: &str) {
    let n = 1_000_000u64;
    let event = |i: u64| {
        (
            format!("user{:07}@shop.example", i % n),
            "10.9.9.9".to_owned(),
            i * 60_000 / n,
        )
    };
    let mut detector = detector(
        policy,
        Some((Box::new(Lying(tempfile::tempfile().unwrap(), 0)), 256 << 20)),
    );
    let (mut took, mut bytes) = (Duration::ZERO, 0);
    for first in (0..n).step_by(GROUP as usize) {
        let (span, batch) = group(&detector, first, GROUP.min(n - first), &event);
        let start = spent();
        let output = detector.process(&span, &[batch]);
        took += spent() - start;
        assert!(output.findings.is_empty());
        bytes += output.delta.put.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    }
    let (warm, cold) = detector.groups();
    assert_eq!(warm + cold, n as usize, "nothing is forgotten");
    let (span, batch) = group(&detector, n, 1, &event);
    let start = spent();
    let found = detector.process(&span, &[batch]).findings;
    let first = spent() - start;
    let evidence: Vec<String> = found[0].evidence.iter().map(ToString::to_string).collect();
    assert_eq!(evidence, ["audit.sshd/0/0", "audit.sshd/0/1000000"]);
    let memory = memory_mib();
    assert!(memory < 2_048.0, "{memory} MiB");
    println!(
        "| event_count, 1,000,000 groups, budget 256 MiB: {warm} in memory, {cold} beside it, {:.0} MiB to the store; the first \
         fires after {:.1} ms | 1,000,000 | {:.2} | {:.0} | {memory:.0} |",
        bytes as f64 / 1_048_576.0,
        first.as_secs_f64() * 1_000.0,
        took.as_secs_f64(),
        n as f64 / took.as_secs_f64(),
    );
}

/// CPU time of this process, which runs one thread.
fn spent() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

/// The most memory that the process had.
fn memory_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1_024.0
}

struct Lying(File, u64);

impl Spill for Lying {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<Place> {
        self.0.seek(SeekFrom::Start(self.1))?;
        self.0.write_all(bytes)?;
        let place = Place {
            segment: 0,
            offset: self.1,
            bytes: bytes.len() as u32,
        };
        self.1 += bytes.len() as u64;
        Ok(place)
    }

    fn read(&mut self, place: Place) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; place.bytes as usize];
        self.0.seek(SeekFrom::Start(place.offset))?;
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn free(&mut self, _: Place) {}
}
