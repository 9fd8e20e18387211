//! Records as tests write them, a site that judges them, and findings as tests read them.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use detect::RuleSet;
use detect::engine::{Detector, Place, Spill};
use detect::policy::{Policies, load_text};
use detect::reference::Tables;
use model::{Batch, Delta, Finding, FindingStatus, LedgerIndex, LogSource, Millis, PlainEvent, StateKey, StateValue};
use serde_json::{Value, json};

pub const MINUTE: i64 = 60_000;
pub const HOUR: i64 = 60 * MINUTE;
/// 2026-05-04T02:00:00Z, a Monday, 10:00 in Shanghai; on no bucket's edge but the hour's.
pub const START: i64 = 1_777_860_000_000;

/// A record as tests write it: minutes after [`START`] at which it happened and was received, and its event.
#[derive(Clone, Debug)]
pub struct Rec {
    pub time: Millis,
    pub received_at: Millis,
    pub uid: String,
    pub event: Option<Value>,
}

pub fn rec(n: usize, minute: f64, received: f64, event: Value) -> Rec {
    let at = |m: f64| Millis(START + (m * MINUTE as f64) as i64);
    Rec {
        time: at(minute),
        received_at: at(received),
        uid: format!("t/0/{n}"),
        event: Some(event),
    }
}

/// Records that were received two seconds after they happened.
pub fn recs(events: &[(f64, Value)]) -> Vec<Rec> {
    events
        .iter()
        .enumerate()
        .map(|(n, (minute, e))| rec(n, *minute, minute + 2.0 / 60.0, e.clone()))
        .collect()
}

pub fn tick(received: f64) -> Rec {
    Rec {
        event: None,
        ..rec(999_999, received, received, json!({}))
    }
}

pub struct Site {
    pub policies: Arc<Policies>,
    pub rules: Arc<RuleSet>,
    pub tables: Tables,
}

pub fn site(policies: &str, tables: Value) -> Site {
    let loaded = load_text(policies);
    assert!(loaded.errors.iter().all(|e| e.is_lint()), "{:?}", loaded.errors);
    let (rules, errors) = RuleSet::compile(&loaded.policies);
    assert!(errors.is_empty(), "{errors:?}");
    let mut all = Tables::default();
    for (name, rows) in tables.as_object().unwrap() {
        all.load(name, rows.to_string().as_bytes()).unwrap();
    }
    Site {
        policies: Arc::new(loaded.policies),
        rules: Arc::new(rules),
        tables: all,
    }
}

pub type Store = BTreeMap<StateKey, StateValue>;

pub fn apply(store: &mut Store, delta: &Delta) {
    delta.delete.iter().for_each(|k| drop(store.remove(k)));
    store.extend(delta.put.iter().cloned());
}

/// What the items of a state are, wherever they stand: a row of each, or one for all of a minute. Of those that may change it is who
/// they are, of others all that they say.
pub fn items(store: &Store) -> BTreeSet<Vec<u8>> {
    let mut items = BTreeSet::new();
    for (key, value) in store {
        match key[0] {
            b'Z' => {
                let mut rest = &value[1..];
                while let Some((length, more)) = rest.split_first_chunk::<4>() {
                    let (item, more) = more.split_at(u32::from_le_bytes(*length) as usize);
                    items.insert(item_name(key[9], &key[1..9], item));
                    rest = more;
                }
            }
            kind @ (b'B' | b'S' | b'W' | b'R' | b'X') => drop(items.insert(item_name(kind, &key[1..9], &value[1..]))),
            _ => drop(items.insert(key.clone())),
        }
    }
    items
}

fn item_name(kind: u8, policy: &[u8], item: &[u8]) -> Vec<u8> {
    // A text has its length before it, which is short here.
    let text = |at: usize| at + 1 + usize::from(item[at]);
    let end = match kind {
        b'S' => text(8),
        b'W' => text(text(0) + 8),
        _ => item.len(),
    };
    [&[kind], policy, &item[..end]].concat()
}

pub fn event(r: &Rec, fields: &Value) -> PlainEvent {
    let class_uid = fields.get("class_uid").and_then(Value::as_u64).unwrap_or(3002) as u32;
    PlainEvent {
        uid: r.uid.as_str().into(),
        class_uid,
        time: r.time,
        ocsf: fields.as_object().unwrap().clone(),
        native: serde_json::Map::new(),
        system: fields
            .get("system")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .map(Into::into),
        commands: vec![],
        logsource: LogSource::new("linux", "", "sshd"),
    }
}

pub fn batches(detector: &Detector, first: u64, records: &[Rec]) -> Vec<Batch> {
    let events: Vec<(LedgerIndex, Millis, PlainEvent)> = (first..)
        .zip(records)
        .filter_map(|(i, r)| Some((LedgerIndex(i), r.received_at, event(r, r.event.as_ref()?))))
        .collect();
    let mut by_class: BTreeMap<u32, Vec<(LedgerIndex, Millis, &PlainEvent)>> = BTreeMap::new();
    for (i, at, e) in &events {
        by_class.entry(e.class_uid).or_default().push((*i, *at, e));
    }
    let source: Arc<str> = "linux".into();
    by_class
        .values()
        .map(|events| Batch::plain(&source, events, detector.wanted()))
        .collect()
}

/// What stands of one clause in the end.
pub fn told_of(site: &Site, records: &[Rec], clause: &str) -> Vec<String> {
    let findings = standing_with_labels(run(site, records, &[], false).0);
    let of = findings.values().filter(|f| f.clauses == [clause]);
    of.map(line).collect()
}

pub fn standing_with_labels(findings: Vec<Finding>) -> BTreeMap<String, Finding> {
    let mut all = last(findings);
    all.retain(|_, f| f.status != FindingStatus::Resolved);
    all
}

/// Runs the records, cut after each of `cuts`; at each cut the detector is made anew from its state where `restart`
/// says so. All revisions in order, and the state at the end.
pub fn run(site: &Site, records: &[Rec], cuts: &[usize], restart: bool) -> (Vec<Finding>, Store) {
    run_within(site, records, cuts, restart, None)
}

/// As [`run`], with so many bytes of memory for the groups of correlations.
pub fn run_within(
    site: &Site,
    records: &[Rec],
    cuts: &[usize],
    restart: bool,
    budget: Option<usize>,
) -> (Vec<Finding>, Store) {
    let make = |store: &Store, position| {
        let state = store.clone().into_iter().collect();
        let spill = budget.map(|bytes| (Box::new(Heap::default()) as Box<dyn Spill>, bytes));
        Detector::spilling(
            site.policies.clone(),
            site.rules.clone(),
            site.tables.clone(),
            state,
            position,
            spill,
        )
        .unwrap()
    };
    let (mut store, mut findings) = (Store::new(), Vec::new());
    let mut detector = make(&store, LedgerIndex(0));
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|c| *c < records.len()).collect();
    ends.push(records.len());
    ends.sort_unstable();
    let mut start = 0;
    for end in ends {
        let part = &records[start..end];
        let span: Vec<(LedgerIndex, Millis)> = (start as u64..)
            .zip(part)
            .map(|(i, r)| (LedgerIndex(i), r.received_at))
            .collect();
        let output = detector.process(&span, &batches(&detector, start as u64, part));
        apply(&mut store, &output.delta);
        assert_eq!(output.delta.position, LedgerIndex(end as u64));
        findings.extend(output.findings);
        start = end;
        if restart {
            detector = make(&store, LedgerIndex(end as u64));
        }
    }
    (findings, store)
}

/// The revision of each finding that stands.
pub fn last(findings: Vec<Finding>) -> BTreeMap<String, Finding> {
    findings.into_iter().map(|f| (f.uid.clone(), f)).collect()
}

/// The findings that hold at the end, one a line: time in minutes, severity, account, evidence, message.
pub fn told(site: &Site, records: &[Rec]) -> Vec<String> {
    let mut standing: Vec<Finding> = last(run(site, records, &[], false).0).into_values().collect();
    standing.retain(|f| f.status != FindingStatus::Resolved);
    standing.sort_by(|a, b| (a.time, &a.message).cmp(&(b.time, &b.message)));
    standing.iter().map(line).collect()
}

pub fn line(f: &Finding) -> String {
    let evidence: Vec<String> = f.evidence.iter().map(|c| c.offset.to_string()).collect();
    let labels = if f.labels.is_empty() {
        String::new()
    } else {
        format!(" {:?}", f.labels)
    };
    format!(
        "{} {} {} [{}] {}{labels}",
        (f.time.0 - START) / MINUTE,
        f.severity.name(),
        f.account.as_deref().unwrap_or("-"),
        evidence.join(" "),
        f.message
    )
}

pub fn logon(user: &str, ok: bool, ip: &str) -> Value {
    json!({"class_uid": 3002, "activity_id": 1, "status_id": if ok { 1 } else { 2 }, "user": {"name": user},
           "src_endpoint": {"ip": ip}, "device": {"hostname": "web-1", "ip": "10.20.0.1"}, "system": "host:web-1"})
}

/// Lets state lie in memory of its own, and sees to it that nothing is read that was freed.
#[derive(Default)]
pub struct Heap {
    lying: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl Spill for Heap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<Place> {
        self.next += 1;
        self.lying.insert(self.next, bytes.to_vec());
        Ok(Place {
            segment: 0,
            offset: self.next,
            bytes: bytes.len() as u32,
        })
    }

    fn read(&mut self, place: Place) -> std::io::Result<Vec<u8>> {
        self.lying
            .get(&place.offset)
            .cloned()
            .ok_or_else(|| std::io::Error::other("nothing lies there"))
    }

    fn free(&mut self, place: Place) {
        self.lying.remove(&place.offset).expect("it is freed once");
    }
}
