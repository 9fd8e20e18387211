//! The judge finds the same in groups that waited whole and in those that were made again of the ledger.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use alert::{Alert, Filter, Page, Store};
use detect::reference::Tables;
use ingest::Normalizer;
use ingest::dedup::Dedup;
use ingest::join::Assembler;
use ledger::{Ledger, Reader};
use model::{Coordinate, Delta, LedgerIndex, Millis, RawRecord, StateKey, StateStore as _, StateValue};
use proptest::prelude::*;
use tokio::sync::watch;

use super::backlog::{Packed, Taker, Waiting, backlog};
use super::{Gaps, Group, Judge, Line, Maker, Normalize, Progress, normalize};
use crate::clock::Clock;
use crate::config::PolicySource;
use crate::demo::{Traffic, reference};

const START: Millis = Millis(1_795_066_620_000);
/// Lines that are one event together.
const JOINED: [&str; 3] = [
    r#"node=db-a-01 type=SYSCALL msg=audit(1795066620.100:ID): arch=c000003e syscall=59 success=yes exit=0 ppid=1 pid=2 auid=1001 uid=0 ses=3 comm="id" exe="/usr/bin/id" key="k""#,
    r#"node=db-a-01 type=EXECVE msg=audit(1795066620.100:ID): argc=2 a0="id" a1="-u""#,
    r#"node=db-a-01 type=PROCTITLE msg=audit(1795066620.100:ID): proctitle="id""#,
];

/// Some hours of traffic, every seventh record twice, and after every fifth lines of which several are one event.
fn records() -> Vec<RawRecord> {
    let mut records: Vec<RawRecord> = Vec::new();
    let mut add = |at: Millis, source: &str, line: &str| {
        records.push(RawRecord {
            coordinate: Coordinate::new("audit", 0, records.len() as i64),
            received_at: at,
            source: source.into(),
            peer: None,
            key: None,
            headers: Vec::new(),
            payload: line.to_owned().into(),
            truncated: None,
        });
    };
    for (n, (at, source, line)) in Traffic::new(7, START).take(2_500).enumerate() {
        add(at, source, &line);
        if n % 7 == 0 {
            add(at, source, &line);
        }
        if n % 5 == 0 {
            JOINED
                .iter()
                .for_each(|line| add(at, "hosts", &line.replace("ID", &n.to_string())));
        }
    }
    records
}

struct World {
    reader: Arc<Reader>,
    normalizer: Arc<Normalizer>,
    tables: Tables,
    groups: Vec<Arc<Group>>,
}

fn judge(world: &World, dir: &Path) -> Judge {
    let loaded = crate::policies::load(&[PolicySource::BuiltIn], &world.tables).unwrap();
    let compiled = crate::policies::compile(&loaded);
    let position = LedgerIndex(0);
    let detector = crate::policies::detector(compiled, world.tables.clone(), Vec::new(), position, None).unwrap();
    let again = Maker::new(
        world.reader.clone(),
        world.normalizer.clone(),
        Assembler::default(),
        detector.wanted(),
    );
    Judge {
        detector,
        store: Store::open(dir.join("alerts.sqlite")).unwrap().with_channels(["hook"]),
        accounts: Arc::new(Mutex::new(crate::accounts::Accounts::default())),
        progress: Arc::new(Progress::new(position, None)),
        deliver: Arc::default(),
        folder: dir.to_owned(),
        clock: Clock::simulated(START),
        gaps: Gaps::default(),
        again,
        joins: "".into(),
    }
}

/// The groups of a ledger, as the normalizer makes them.
fn world(dir: &Path) -> World {
    let mut ledger = Ledger::open(&dir.join("ledger"), "test.docket.local/ledger").unwrap();
    ledger.append(&records()).unwrap();
    let end = ledger.flush().unwrap();
    let reader = Arc::new(ledger.reader());
    let normalizer = Arc::new(Normalizer::default());
    let mut tables = Tables::default();
    for (name, rows) in reference(START) {
        tables.load(name, rows.as_bytes()).unwrap();
    }
    let loaded = crate::policies::load(&[PolicySource::BuiltIn], &tables).unwrap();
    let compiled = crate::policies::compile(&loaded);
    let start = LedgerIndex(0);
    let detector = crate::policies::detector(compiled, tables.clone(), Vec::new(), start, None).unwrap();
    let wanted = Line::wanted(&detector);
    let (_sender, sites) = channel();
    let mut line = Normalize {
        durable: watch::channel(end).1,
        maker: Maker::new(reader.clone(), normalizer.clone(), Assembler::default(), &wanted),
        dedup: Dedup::default(),
        forgotten: 0,
        sites,
    };
    let (mut groups, mut next) = (Vec::new(), start);
    while next < end {
        let entries = normalize::apart(reader.read(next, 97, normalize::GROUP_BYTES).unwrap());
        let to = entries.last().unwrap().index.next();
        groups.push(Arc::new(line.group(next, to, &entries).unwrap()));
        next = to;
    }
    World {
        reader,
        normalizer,
        tables,
        groups,
    }
}

/// What a judge makes of groups that waited so.
fn judged(world: &World, taker: &Taker) -> (LedgerIndex, Vec<(StateKey, StateValue)>, Vec<Alert>) {
    let dir = tempfile::tempdir().unwrap();
    let mut judge = judge(world, dir.path());
    judge.run(taker, &AtomicBool::new(false)).unwrap();
    let (position, state) = judge.store.load().unwrap();
    let page = Page {
        limit: 1_000,
        ..Page::default()
    };
    (position, state, judge.store.list(&Filter::default(), page).unwrap())
}

#[test]
fn groups_that_are_made_again_are_judged_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path());
    let repeated = world.groups.iter().flat_map(|g| &g.verdicts).filter(|v| **v).count();
    let waiting = world.groups.iter().filter(|g| g.held.is_some()).count();
    assert!(
        repeated > 50 && waiting > 3,
        "{repeated} repeated, {waiting} groups leave records waiting"
    );
    let of = |whole_bytes_max| {
        let (giver, taker) = backlog(whole_bytes_max);
        assert!(world.groups.iter().all(|group| giver.put(group)));
        (giver, taker)
    };
    let (whole, taker) = of(usize::MAX);
    drop(whole);
    let expected = judged(&world, &taker);
    assert!(expected.2.len() > 5 && expected.0 == world.groups.last().unwrap().range.end);
    // None but the first waits whole; and the first ones.
    for whole_bytes_max in [0, 100_000] {
        let (giver, taker) = of(whole_bytes_max);
        drop(giver);
        let actual = judged(&world, &taker);
        assert_eq!(actual.2, expected.2);
        assert_eq!(actual.0, expected.0);
        assert_eq!(actual.1, expected.1);
    }
}

#[test]
fn groups_are_taken_in_order_and_few_wait_whole() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path());
    let (giver, taker) = backlog(100_000);
    assert!(world.groups.iter().all(|group| giver.put(group)));
    drop(giver);
    let taken: Vec<Waiting> = std::iter::from_fn(|| taker.take()).collect();
    assert_eq!(taken.len(), world.groups.len());
    assert!(taken.iter().zip(&world.groups).all(|(t, g)| *t.range() == g.range));
    let bytes = |waiting: &Waiting| match waiting {
        Waiting::Whole(group) => group.bytes,
        Waiting::Later(_) => 0,
    };
    let whole: usize = taken.iter().map(bytes).sum();
    assert!((1..=100_000).contains(&whole), "{whole}");
    // Who gives is told when nobody takes any more.
    let (giver, taker) = backlog(0);
    drop(taker);
    assert!(!giver.put(&world.groups[0]));
}

proptest! {
    #[test]
    fn packed_rows_are_those_that_were_packed(
        put in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..30), prop::collection::vec(any::<u8>(), 0..10)), 0..20),
        delete in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..20),
    ) {
        let delta = Delta { position: LedgerIndex(7), put, delete };
        prop_assert_eq!(Packed::new(&delta).delta(), delta);
    }
}
