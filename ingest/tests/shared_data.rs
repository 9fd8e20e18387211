//! The shared data beside the checkout: the labelled scenario and the hostile files. Skipped where it is absent.

#![allow(clippy::unwrap_used)] // a test may panic

mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use ingest::dedup::Dedup;
use ingest::replay::{Options, Reading, open};
use ingest::{Normalizer, Settings, SourceSettings};
use model::{LedgerIndex, Millis, RawRecord};
use schema::{Checker, shared};
use serde_json::{Value, json};

const AT: &str = "2026-03-10T00:00:00+08:00";

fn read(path: &Path, reading: Reading) -> Vec<RawRecord> {
    let options = Options {
        reading,
        ..Options::new(Millis::parse(AT).unwrap())
    };
    open(path, options).unwrap().map(Result::unwrap).collect()
}

fn labels(event: &model::PlainEvent) -> Vec<&str> {
    match event.get("metadata.labels") {
        Some(Value::Array(labels)) => labels.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn the_scenario_is_normalized_whole() {
    let Some(path) = shared("data/scenario/capture.ndjson.zst") else {
        return;
    };
    let records = read(&path, Reading::Kcat);
    let normalizer = Normalizer::default();
    let all: Vec<_> = records.iter().map(|r| normalizer.normalize_plain(r)).collect();
    assert_eq!(all.len(), 4206);
    let mut reasons = BTreeMap::new();
    for (record, n) in records.iter().zip(&all) {
        if let Some(reason) = n.quarantined {
            *reasons
                .entry((n.format, reason.0, record.source.to_string()))
                .or_insert(0) += 1;
        }
        for event in &n.events {
            assert!(event.uid.starts_with(&record.coordinate.to_string()));
            assert_eq!(event.text("metadata.uid"), Some(&*event.uid));
        }
    }
    let quarantined: i32 = reasons.values().sum();
    assert!(quarantined * 100 <= all.len() as i32, "{reasons:?}");
    Checker::check("scenario", all.iter().flat_map(|n| &n.events));
}

#[test]
fn the_same_lines_without_topics_are_told_by_their_bytes() {
    let Some(folder) = shared("data/scenario/raw") else {
        return;
    };
    let normalizer = Normalizer::default();
    for (source, format) in [
        ("jumpserver", "jumpserver"),
        ("actiontrail", "action_trail"),
        ("webaudit", "web_audit"),
    ] {
        for mut record in read(&folder.join(format!("{source}.log")), Reading::Lines) {
            record.source = "anything".into();
            record.coordinate.topic = "t".into();
            let n = normalizer.normalize_plain(&record);
            assert_eq!(
                (n.format, n.quarantined),
                (format, None),
                "{}",
                String::from_utf8_lossy(&record.payload)
            );
        }
    }
}

#[test]
fn the_scenarios_duplicates_with_an_id_are_found() {
    let Some(folder) = shared("data/scenario") else { return };
    let records = read(&folder.join("capture.ndjson.zst"), Reading::Kcat);
    let expected: Value = serde_json::from_str(&fs::read_to_string(folder.join("duplicates.json")).unwrap()).unwrap();
    let normalizer = Normalizer::default();
    let mut dedup = Dedup::default();
    let mut found = Vec::new();
    for (i, record) in records.iter().enumerate() {
        let Some(key) = normalizer.normalize_plain(record).dedup(record) else {
            continue;
        };
        if let Some(first) = dedup.check(LedgerIndex(i as u64), record.received_at, key).unwrap() {
            found.push((record.coordinate.offset, records[first.0 as usize].coordinate.offset));
        }
    }
    // Syslog lines have no id, and are never taken for duplicates.
    let with_id = |offset: i64| {
        records
            .iter()
            .any(|r| r.coordinate.offset == offset && &*r.source != "linux")
    };
    let expected: Vec<(i64, i64)> = expected["duplicates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_i64().unwrap(), pair[1].as_i64().unwrap()))
        .filter(|(offset, _)| with_id(*offset))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn hostile_files_lose_nothing_and_break_nothing() {
    let Some(folder) = shared("data/hostile") else { return };
    let manifest: Vec<Value> =
        serde_json::from_str(&fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    let normalizer = Normalizer::default();
    let mut outcomes = BTreeMap::new();
    for entry in &manifest {
        let name = entry["file"].as_str().unwrap();
        let path = if folder.join(name).exists() {
            folder.join(name)
        } else {
            folder.join(format!("{name}.zst"))
        };
        let records = read(&path, Reading::Lines);
        let all: Vec<_> = records.iter().map(|r| normalizer.normalize_plain(r)).collect();
        for n in &all {
            assert!(!n.events.is_empty(), "{name}");
            for event in &n.events {
                let quarantined = labels(event).iter().any(|l| l.starts_with("quarantined:"));
                assert!(n.quarantined.is_some() || !quarantined, "{name}");
            }
        }
        Checker::check(name, all.iter().flat_map(|n| &n.events));
        outcomes.insert(name.to_owned(), (records, all));
    }
    let count = |name: &str| outcomes[name].0.len();
    let all = |name: &str| &outcomes[name].1;
    let label = |name: &str, n: usize| -> Vec<String> {
        all(name)[n].events.iter().flat_map(labels).map(str::to_owned).collect()
    };
    let has = |name: &str, n: usize, want: &str| {
        assert!(
            label(name, n).iter().any(|l| l == want),
            "{name} {n}: {:?}",
            label(name, n)
        )
    };

    for (name, records) in [
        ("empty.log", 0),
        ("only_newlines.log", 0),
        ("no_final_newline.log", 1),
        ("crlf_cr_mixed.log", 5),
        ("bom_first.ndjson", 1),
        ("nul_and_controls.log", 4),
        ("json_truncated.ndjson", 41),
        ("json_not_object.ndjson", 13),
        ("time_edge.ndjson", 32),
        ("ip_edge.ndjson", 20),
        ("line_1mb.log", 3),
        ("octet_counted_syslog.bin", 3),
    ] {
        assert_eq!(count(name), records, "{name}");
    }
    for n in &outcomes["crlf_cr_mixed.log"].0 {
        assert!(!n.payload.contains(&b'\r'));
    }
    assert!(all("bom_first.ndjson")[0].quarantined.is_none());
    for (record, n) in outcomes["json_truncated.ndjson"]
        .0
        .iter()
        .zip(all("json_truncated.ndjson"))
    {
        let whole = serde_json::from_slice::<Value>(&record.payload).is_ok();
        assert_eq!(
            n.quarantined.is_none(),
            whole,
            "{}",
            String::from_utf8_lossy(&record.payload)
        );
    }
    assert!(
        all("json_not_object.ndjson")
            .iter()
            .enumerate()
            .all(|(i, n)| n.quarantined.is_some() || i == 5),
        "{{}} is an object"
    );
    for n in 0..4 {
        has("json_duplicate_keys.ndjson", n, "duplicate_key");
    }
    // Both, or all, and never the first only.
    assert_eq!(
        all("json_two_on_a_line.ndjson").iter().map(|n| n.events.len()).min(),
        Some(2)
    );
    // The seventh has 64 levels, which is the limit.
    for (n, record) in all("json_deep_nesting.ndjson").iter().enumerate() {
        assert_eq!(record.quarantined.is_none(), n == 6, "{n}");
    }
    for n in 0..3 {
        has("json_lone_surrogates.ndjson", n, "lone_surrogate");
    }
    for (n, outcome) in all("json_number_ids_beyond_2_53.ndjson").iter().enumerate() {
        let id = outcome.events[0].native["user"]["id"].to_string();
        assert_eq!(id, format!("{}", 9_007_199_254_740_993_u64 + n as u64));
    }
    for outcome in all("json_many_keys.ndjson") {
        let unmapped = outcome.events[0].get("unmapped").and_then(Value::as_object);
        assert!(unmapped.is_none_or(|u| u.len() <= 256));
    }
    for n in 0..11 {
        has("invalid_utf8.log", n, "invalid_utf8");
    }
    has("octet_counted_syslog.bin", 2, "octet_count_wrong");
    // 0.0.0.0, 255.255.255.255, ::1, ::ffff:10.0.0.1 (IPv4), a zone, two with ports, and the last of a list are addresses.
    let addresses: Vec<_> = all("ip_edge.ndjson")
        .iter()
        .filter_map(|n| n.events[0].text("src_endpoint.ip"))
        .collect();
    let want = [
        "0.0.0.0",
        "255.255.255.255",
        "::1",
        "10.0.0.1",
        "fe80::1",
        "::1",
        "10.0.0.1",
        "172.16.0.1",
    ];
    assert_eq!(addresses, want);
    let unreadable = label("time_edge.ndjson", 12);
    assert!(
        unreadable.iter().any(|l| l == "time.unreadable"),
        "2026-02-29: {unreadable:?}"
    );
    has("timestamps_backdated_batch.ndjson", 0, "clock_skew");
    has("timestamps_backdated_batch.ndjson", 0, "time.late");
    has("time_edge.ndjson", 3, "time.future");
    // A short bound: the line is cut and says its true length, and the next one is whole.
    let options = Options {
        record_bytes_max: 1 << 20,
        ..Options::new(Millis(0))
    };
    let cut: Vec<_> = open(&folder.join("line_8mb.log.zst"), options)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(cut.iter().any(|r| r.truncated.is_some()) && cut.last().unwrap().truncated.is_none());
}

#[test]
fn gbk_is_read_where_it_is_configured() {
    let Some(path) = shared("data/hostile/gbk_encoded.log") else {
        return;
    };
    let default = SourceSettings {
        encoding: Some(encoding_rs::GBK),
        ..SourceSettings::default()
    };
    let normalizer = Normalizer::new(Settings {
        default,
        ..Settings::default()
    });
    let all: Vec<_> = read(&path, Reading::Lines)
        .iter()
        .map(|r| normalizer.normalize_plain(r))
        .collect();
    let event = &all[1].events[0];
    assert_eq!(event.text("actor.user.name"), Some("李娜"));
    assert_eq!(event.text("unmapped.action"), Some("导出客户资料"));
    assert_eq!(all[1].format, "web_audit");
}

/// Every fixture of a JSON format with each field taken away, and with each field of another type.
#[test]
fn whatever_a_sender_leaves_out_or_mistypes_passes_the_schema() {
    if shared("ocsf/validate.py").is_none() {
        return;
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    for format in [
        "jumpserver",
        "web_audit",
        "action_trail",
        "docket",
        "json",
        "bastionhost",
        "teleport",
        "cloud_trail",
        "kubernetes_audit",
        "okta",
        "github_audit",
        "gitlab_audit",
        "gelf",
        "ecs",
        "otlp",
        "collector",
    ] {
        let default = SourceSettings {
            format: Some(format.into()),
            ..SourceSettings::default()
        };
        let normalizer = Normalizer::new(Settings {
            default,
            ..Settings::default()
        });
        let mut files: Vec<_> = fs::read_dir(fixtures.join(format))
            .unwrap()
            .map(|f| f.unwrap().path())
            .collect();
        files.retain(|f| f.extension().is_some_and(|e| e == "log"));
        files.sort();
        let mut all = Vec::new();
        for record in files.iter().flat_map(|f| read(f, Reading::Lines)) {
            let line = String::from_utf8_lossy(&record.payload).into_owned();
            let Some(start) = line.find('{') else { continue };
            let Ok(Value::Object(object)) = serde_json::from_str::<Value>(&line[start..]) else {
                continue;
            };
            let mut paths: Vec<Vec<String>> = vec![];
            for (key, value) in &object {
                paths.push(vec![key.clone()]);
                if let Value::Object(inner) = value {
                    paths.extend(inner.keys().map(|k| vec![key.clone(), k.clone()]));
                }
            }
            let odd = [
                json!(null),
                json!(""),
                json!(-7),
                json!(1e300),
                json!(true),
                json!(["a", 1, {}]),
                json!({"b": "c"}),
                json!("x(y)"),
                json!({"value": 99}),
            ];
            for (path, with) in paths.iter().flat_map(|p| odd.iter().map(move |o| (p, o))) {
                let mut changed = object.clone();
                let inner = match path.as_slice() {
                    [_] => Some(&mut changed),
                    [outer, ..] => changed.get_mut(outer).and_then(Value::as_object_mut),
                    [] => None,
                };
                let (Some(inner), Some(key)) = (inner, path.last()) else {
                    continue;
                };
                match with {
                    Value::Null => drop(inner.shift_remove(key)),
                    other => drop(inner.insert(key.clone(), other.clone())),
                }
                let payload = format!("{}{}", &line[..start], Value::Object(changed));
                all.push(normalizer.normalize_plain(&RawRecord {
                    payload: payload.into(),
                    ..record.clone()
                }));
            }
        }
        assert!(all.len() > 20, "{format}");
        Checker::check(format, all.iter().flat_map(|n| &n.events));
    }
}
