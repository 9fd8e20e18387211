//! What the policies of the binary say of Northquay: nothing, while everybody keeps the rules.
//! `docket demo --ordinary --write 100000` and `docket detect` do the same at length; `benches/record/` has a run.

use std::sync::Arc;

use bytes::Bytes;
use ingest::{Settings, SourceSettings};
use jiff::tz::TimeZone;
use model::{Coordinate, Finding, Millis, RawRecord};

use super::tape::Day;
use super::{TIME_ZONE, Traffic, reference};
use crate::config::PolicySource;
use crate::offline::{Counts, Offline};
use crate::policies;

/// Records judged: two working days and a weekend.
const RECORDS: usize = 12_000;

fn judged(traffic: impl Iterator<Item = (Millis, &'static str, String)>, start: Millis) -> (Vec<Finding>, Counts) {
    let mut tables = detect::reference::Tables::default();
    for (name, json) in reference(start) {
        tables.load(name, json.as_bytes()).unwrap();
    }
    let loaded = policies::load(&[PolicySource::BuiltIn], &tables).unwrap();
    let default = SourceSettings {
        time_zone: TimeZone::get(TIME_ZONE).unwrap(),
        ..SourceSettings::default()
    };
    let settings = Settings {
        default,
        ..Settings::default()
    };
    let mut line = Offline::new(&loaded, tables, settings, true).unwrap();
    for ((at, source, text), n) in traffic.take(RECORDS).zip(0..) {
        line.push(RawRecord {
            coordinate: Coordinate::new(source, 0, n),
            received_at: at,
            source: Arc::from(source),
            peer: None,
            key: None,
            headers: Vec::new(),
            payload: Bytes::from(text),
            truncated: None,
        });
    }
    line.finish(None)
}

#[test]
fn ordinary_records_find_nothing_and_violations_do() {
    // A Thursday at 13:37.
    let start = Day::of(Millis(1_795_066_620_000)).at(13, 37);
    let (findings, counts) = judged(Traffic::new(11, start).ordinary_only(), start);
    assert_eq!((counts.records, counts.quarantined), (RECORDS as u64, 0));
    let told: Vec<_> = findings.iter().map(|f| (f.severity, &f.message)).collect();
    assert!(told.is_empty(), "{told:#?}");
    let (findings, _) = judged(Traffic::new(11, start), start);
    assert!(findings.len() > 10, "{}", findings.len());
}
