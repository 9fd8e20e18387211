//! What people hand us: policies, Sigma rules, reference tables, searches.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use detect::RuleSet;
use detect::plain::{self, BatchRow};
use detect::policy::load_text;
use detect::reference::{Table, Tables};
use ingest::mapping::Mapping;
use ingest::{Normalizer, Settings, SourceSettings, batcher};
use jiff::tz::TimeZone;
use model::{Arena, Batch, LedgerIndex, Millis, Plan, RawRecord};
use search::Query;

use crate::bytes::choices;
use crate::format::{RECEIVED_AT, normalizer, record};
use crate::{Target, event, format, seeds};

/// Bytes of a policy file.
const POLICY_BYTES: usize = 4096;
/// Records that a mapping is tried on.
const MAPPED_RECORDS: usize = 8;

/// Every reader of what people write.
pub fn targets() -> Vec<Target> {
    vec![
        Target::new("authored-policy", POLICY_BYTES, policy),
        Target::new("authored-table", POLICY_BYTES, table),
        Target::new("authored-query", 512, query),
        Target::new("authored-mapping", POLICY_BYTES, mapping),
    ]
}

/// A file of policies loads or is told why not; what loads gives the same hits compiled and plain.
fn policy(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let loaded = load_text(&text);
    let again = load_text(&text);
    assert_eq!(shown(&loaded.errors), shown(&again.errors));
    let (rules, errors) = RuleSet::compile(&loaded.policies);
    let not_compiled: BTreeSet<String> = shown(&errors).into_iter().collect();
    assert!(rules.len() + not_compiled.len() <= loaded.policies.all().len());
    for batch in batches(&rules) {
        let hits: BTreeSet<(usize, u32)> = rules
            .evaluate(&batch)
            .iter()
            .map(|h| (h.row as usize, h.rule.0))
            .collect();
        if !not_compiled.is_empty() {
            continue;
        }
        for row in 0..batch.rows.len() {
            for (index, policy) in loaded.policies.iter() {
                let Some(rule) = policy.rule() else { continue };
                if !rule.sigma.is_for(&batch.logsource, batch.class_uid) {
                    continue;
                }
                let plain = plain::is_match(&rule.sigma, &BatchRow { batch: &batch, row });
                assert_eq!(hits.contains(&(row, index.0)), plain, "row {row}, rule {index:?}");
            }
        }
    }
}

/// A mapping is read or its problems are told; by one that is read, any of its system's records is an event.
fn mapping(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match Mapping::read(&text) {
        Err(problems) => assert!(!problems.is_empty(), "refused without a word"),
        Ok(mapping) => {
            let mut default = SourceSettings::default();
            default.use_mapping(Arc::new(mapping));
            let normalizer = Normalizer::new(Settings {
                default,
                ..Settings::default()
            });
            for line in format::MAPPED.lines().take(MAPPED_RECORDS) {
                event::check(&normalizer, &record("s", line.as_bytes()));
            }
        }
    }
}

fn shown<E: std::fmt::Display>(errors: &[E]) -> Vec<String> {
    errors.iter().map(E::to_string).collect()
}

/// A few events of formats that differ.
fn batches(rules: &RuleSet) -> Vec<Batch> {
    static RECORDS: OnceLock<Vec<RawRecord>> = OnceLock::new();
    let records = RECORDS.get_or_init(|| seeds::LINES.iter().map(|l| record("s", l.as_bytes())).collect());
    let (normalizer, arena) = (normalizer(None), Arena::new());
    let mut items = Vec::new();
    for (n, record) in (0..).zip(records) {
        let events = normalizer.normalize(&arena, record).events.into_iter();
        items.extend(events.map(|e| (LedgerIndex(n), RECEIVED_AT, &record.source, e)));
    }
    batcher::batches(&items, &mut Plan::new(rules.wanted()))
}

fn table(data: &[u8]) {
    let ([name], bytes) = choices::<1>(data);
    let name = ["hr_roster", "work_calendar", "t"][usize::from(name) % 3];
    if let Ok(table) = Table::parse(name, bytes, &TimeZone::UTC) {
        let columns: BTreeSet<Arc<str>> = table
            .rows()
            .iter()
            .filter_map(|r| r.as_object())
            .flat_map(|r| r.keys().take(3).map(|k| k.as_str().into()))
            .take(3)
            .collect();
        let columns: Vec<_> = columns.into_iter().collect();
        let _ = table.index(&columns);
        for row in 0..table.rows().len().min(16) {
            let _ = (table.valid(row, RECEIVED_AT), table.cite(row));
        }
    }
    let mut tables = Tables::default();
    if tables.load(name, bytes).is_ok()
        && let Some(calendar) = tables.calendar()
    {
        for day in 0..8 {
            let _ = calendar.is_working(Millis(RECEIVED_AT.0 + day * 40_000_000), Some("x"));
        }
    }
}

fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let read = Query::parse(&text, Some(RECEIVED_AT));
    assert_eq!(read, Query::parse(&text, Some(RECEIVED_AT)));
    match read {
        Ok(query) => {
            let spaced = Query::parse(&format!(" {text} "), Some(RECEIVED_AT));
            assert!(spaced.is_ok(), "blanks around a query: {spaced:?} of {query:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
