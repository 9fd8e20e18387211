//! Times without a year or a zone, where a year, a day or an hour ends.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ingest::{Normalizer, Settings, SourceSettings};
use jiff::tz::TimeZone;
use model::{Coordinate, Millis, RawRecord};

/// A syslog line of a source in a zone: its event's time, and the labels about it.
fn told(zone: &str, received: &str, stamp: &str) -> String {
    let settings = SourceSettings {
        time_zone: TimeZone::get(zone).unwrap(),
        ..SourceSettings::default()
    };
    let normalizer = Normalizer::new(Settings {
        sources: [("linux".into(), settings)].into(),
        ..Settings::default()
    });
    let line = format!("<86>{stamp} web-9 sshd[7]: Accepted password for eve from 10.30.0.5 port 2 ssh2");
    let normalized = normalizer.normalize_plain(&RawRecord {
        coordinate: Coordinate::new("audit.linux", 0, 0),
        received_at: Millis::parse(received).unwrap(),
        source: "linux".into(),
        peer: None,
        key: None,
        headers: vec![],
        payload: bytes::Bytes::from(line),
        truncated: None,
    });
    let event = &normalized.events[0];
    let all: serde_json::Value = serde_json::to_value(&event.ocsf).unwrap();
    let labels = all["metadata"]["labels"].as_array().cloned().unwrap_or_default();
    let labels = labels.iter().filter_map(|l| l.as_str());
    let about_time: Vec<&str> = labels
        .filter(|l| l.starts_with("time.") || *l == "clock_skew")
        .collect();
    format!("{} {}", event.time, about_time.join(" "))
}

#[test]
fn years_zones_and_hours_that_end() {
    let (year, both) = (
        "time.year_inferred time.zone_assumed",
        "time.year_inferred time.zone_assumed time.adjusted",
    );
    for (zone, received, stamp, time, labels) in [
        // The year turned between writing and receipt, here and in the source's zone.
        (
            "Asia/Shanghai",
            "2026-01-01T00:00:05+08:00",
            "Dec 31 23:59:59",
            "2025-12-31T15:59:59.000Z",
            year,
        ),
        (
            "Asia/Shanghai",
            "2026-01-01T08:00:30+08:00",
            "Jan  1 08:00:29",
            "2026-01-01T00:00:29.000Z",
            year,
        ),
        (
            "America/New_York",
            "2026-01-01T04:59:59Z",
            "Dec 31 23:59:58",
            "2026-01-01T04:59:58.000Z",
            year,
        ),
        (
            "America/New_York",
            "2026-01-01T05:00:02Z",
            "Jan  1 00:00:01",
            "2026-01-01T05:00:01.000Z",
            year,
        ),
        (
            "Pacific/Kiritimati",
            "2025-12-31T10:00:02Z",
            "Jan  1 00:00:01",
            "2025-12-31T10:00:01.000Z",
            year,
        ),
        // The source's clock is ahead of ours, over the end of the year.
        (
            "UTC",
            "2025-12-31T23:59:58Z",
            "Jan  1 00:00:01",
            "2026-01-01T00:00:01.000Z",
            year,
        ),
        // Buffered for a month, over the end of the year.
        (
            "UTC",
            "2026-01-20T00:00:00Z",
            "Dec 20 10:00:00",
            "2025-12-20T10:00:00.000Z",
            "time.year_inferred time.zone_assumed clock_skew time.late",
        ),
        // A day that only leap years have, received on it and after it.
        (
            "UTC",
            "2028-02-29T12:00:05Z",
            "Feb 29 12:00:00",
            "2028-02-29T12:00:00.000Z",
            year,
        ),
        (
            "UTC",
            "2028-03-01T00:00:01Z",
            "Feb 29 23:59:59",
            "2028-02-29T23:59:59.000Z",
            year,
        ),
        // A leap second is the second after it, which every clock shows.
        (
            "UTC",
            "2017-01-01T00:00:01Z",
            "Dec 31 23:59:60",
            "2017-01-01T00:00:00.000Z",
            both,
        ),
        (
            "Asia/Shanghai",
            "2017-01-01T00:00:01Z",
            "Jan  1 07:59:60",
            "2017-01-01T00:00:00.000Z",
            both,
        ),
        // Summer time begins: the hour that is not there moves on.
        (
            "America/New_York",
            "2026-03-08T07:30:01Z",
            "Mar  8 02:30:00",
            "2026-03-08T07:30:00.000Z",
            both,
        ),
        (
            "America/New_York",
            "2026-03-08T06:59:59Z",
            "Mar  8 01:59:58",
            "2026-03-08T06:59:58.000Z",
            year,
        ),
        (
            "America/New_York",
            "2026-03-08T07:00:02Z",
            "Mar  8 03:00:01",
            "2026-03-08T07:00:01.000Z",
            year,
        ),
        // It ends: the hour that is there twice is taken for the first.
        (
            "America/New_York",
            "2026-11-01T05:30:01Z",
            "Nov  1 01:30:00",
            "2026-11-01T05:30:00.000Z",
            both,
        ),
        // A zone that is written wins over the source's.
        (
            "Asia/Shanghai",
            "2026-01-01T00:00:05+08:00",
            "2025-12-31T23:59:59+08:00",
            "2025-12-31T15:59:59.000Z",
            "",
        ),
        (
            "Asia/Shanghai",
            "2026-01-01T00:00:05Z",
            "2025-12-31T23:59:59Z",
            "2025-12-31T23:59:59.000Z",
            "",
        ),
    ] {
        let got = told(zone, received, stamp);
        let got: Vec<&str> = got.split_whitespace().collect();
        let mut expected = vec![time];
        expected.extend(labels.split_whitespace());
        let sorted = |mut v: Vec<&str>| {
            v[1..].sort_unstable();
            v.join(" ")
        };
        assert_eq!(sorted(got), sorted(expected), "{stamp} in {zone}, received {received}");
    }
}
