//! Events of a made-up operator, and the index that they go into.
#![allow(dead_code)]

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use model::{Batch, LedgerIndex, LogSource, Millis, PlainEvent};
use search::{Budgets, IndexWriter, Mask};
use serde_json::{Map, Value, json};

/// 2026-03-01T00:00:00Z.
pub const START: i64 = 1_772_323_200_000;

/// A small generator of numbers: the tests are the same in every run.
pub struct Rng(pub u64);

impl Rng {
    pub fn below(&mut self, n: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// An event at its place in the ledger.
#[derive(Clone)]
pub struct Placed {
    pub index: LedgerIndex,
    pub received: Millis,
    pub event: PlainEvent,
}

pub const USERS: &[&str] = &["alice", "Bob", "zhang.wei", "李娜", "svc-backup", "root"];
pub const HOSTS: &[&str] = &["crm-web-01", "crm-web-02", "crm-db-01", "oa-1"];
pub const ADDRESSES: &[&str] = &[
    "10.8.1.7",
    "10.8.2.19",
    "10.9.0.1",
    "192.168.1.1",
    "fe80::1",
    "unknown-host",
];
pub const WORDS: &[&str] = &[
    "drop",
    "table",
    "users",
    "cat",
    "/etc/shadow",
    "rm",
    "-rf",
    "/data/mysql",
    "审计日志",
    "导出客户数据",
    "id=5",
    "select",
    "*",
    "from",
    "数据库",
    "crm-web-01",
    "10.8.1.7",
    "用户root登录",
    "Shadow",
    "backup.tar.gz",
    "ＡＤＭＩＮ",
    "password=hunter2",
    "データ",
    "ok",
];

/// The `n`th record's events, made from a seed.
pub fn events(rng: &mut Rng, n: u64) -> Vec<Placed> {
    let count = if rng.chance(10) { 2 } else { 1 };
    (0..count)
        .map(|i| {
            // Often equal, and out of order.
            let time = START + (n as i64 * 1000) - (rng.below(5) as i64 * 2000);
            let uid = if i == 0 { format!("audit.t{}/0/{n}", n % 3) } else { format!("audit.t{}/0/{n}#{i}", n % 3) };
            let phrase = |rng: &mut Rng| (0..1 + rng.below(5)).map(|_| rng.pick(WORDS)).collect::<Vec<_>>().join(" ");
            let mut ocsf = Map::new();
            let mut put = |key: &str, value: Value| {
                ocsf.insert(key.into(), value);
            };
            let class = [3002, 1007, 6001, 4002][rng.below(4)];
            put("class_uid", json!(class));
            put("severity_id", json!(1 + rng.below(5)));
            put("activity_id", json!(1 + rng.below(3)));
            if rng.chance(90) {
                put("status_id", json!(1 + rng.below(2)));
            }
            if rng.chance(70) {
                put("user", json!({"name": rng.pick(USERS)}));
            }
            put("actor", json!({"user": {"name": rng.pick(USERS)}, "session": {"uid": format!("s-{}", rng.below(6))}}));
            put("src_endpoint", json!({"ip": rng.pick(ADDRESSES)}));
            put("device", json!({"hostname": rng.pick(HOSTS)}));
            if class == 1007 {
                put("process", json!({"cmd_line": phrase(rng)}));
            }
            if class == 4002 {
                put("http_request", json!({"http_method": rng.pick(&["GET", "POST"]), "url": {"path": format!("/{}/{}", rng.pick(WORDS), rng.below(9))}}));
                put("http_response", json!({"code": 200 + rng.below(3) * 200, "length": rng.below(5000)}));
            }
            if rng.chance(30) {
                put("message", json!(phrase(rng)));
            }
            let mut unmapped = json!({"account": rng.pick(USERS), "rows": rng.below(300), "nested": {"Score": rng.below(40) as f64 / 4.0}});
            if rng.chance(30) {
                unmapped["ticket_id"] = json!(format!("DR-2026-{}", rng.below(5)));
            }
            put("unmapped", unmapped);
            let labels: Vec<&str> = if rng.chance(5) { vec!["quarantined:not_json", "time.assumed"] } else { vec![] };
            put("metadata", json!({"uid": uid, "labels": labels, "product": {"name": rng.pick(&["OpenSSH", "JumpServer"])}}));
            put("raw_data", json!(format!("{} {}", phrase(rng), phrase(rng))));
            let event = PlainEvent {
                uid: uid.into(),
                class_uid: class as u32,
                time: Millis(time),
                ocsf,
                native: Map::new(),
                system: Some(rng.pick(&["crm", "oa"]).into()),
                commands: vec![],
                logsource: LogSource::default(),
            };
            Placed { index: LedgerIndex(n), received: Millis(START + n as i64 * 1000 + 5), event }
        })
        .collect()
}

/// Records `from..to`, the same for any way of asking.
pub fn records(from: u64, to: u64) -> Vec<Placed> {
    (from..to)
        .flat_map(|n| events(&mut Rng(n.wrapping_mul(7919)), n))
        .collect()
}

/// Batches as the pipeline makes them: one a class.
pub fn batches(placed: &[Placed]) -> Vec<Batch> {
    let mut classes: Vec<u32> = placed.iter().map(|p| p.event.class_uid).collect();
    classes.sort_unstable();
    classes.dedup();
    let source: Arc<str> = "jumpserver".into();
    let wanted = search::wanted();
    let of = |class: u32| {
        let rows: Vec<_> = placed
            .iter()
            .filter(|p| p.event.class_uid == class)
            .map(|p| (p.index, p.received, &p.event))
            .collect();
        Batch::plain(&source, &rows, &wanted)
    };
    classes.into_iter().map(of).collect()
}

/// The mask of the tests.
pub fn mask(text: &str) -> Cow<'_, str> {
    match text.contains("hunter2") {
        true => Cow::Owned(text.replace("hunter2", "[masked]")),
        false => Cow::Borrowed(text),
    }
}

pub fn open(dir: &Path) -> IndexWriter {
    open_with(dir, 1_000_000)
}

/// With splits of so many events.
pub fn open_with(dir: &Path, split_docs: u64) -> IndexWriter {
    let budgets = Budgets {
        heap_bytes: 16 << 20,
        split_docs,
        own_docs: 20,
        ..Budgets::default()
    };
    IndexWriter::open(dir, budgets, Mask::of(mask)).unwrap()
}

/// Adds records `from..to` and moves the position to `to`.
pub fn add(writer: &mut IndexWriter, from: u64, to: u64) -> u64 {
    writer.add(&batches(&records(from, to)), LedgerIndex(to)).unwrap()
}
