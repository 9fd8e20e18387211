//! Records of plain JSON (`--format json`) into batches, by the shortest way.
//!
//! Gives what the format `json` and [`model::Plan`] give, without the OCSF event between them, where no policy reads
//! of one what the format fills in.

use jiff::tz::TimeZone;
use model::{Batch, LedgerIndex, LogSource, Millis, Namespace, Row, Wanted};

use crate::json_columns::{JsonBatches, JsonColumns};
use crate::replay::Lent;
use crate::{Settings, time_text};

/// What is read of each line besides the columns: labels, then times in the order in which they count, then what
/// makes a line one for another reader.
const BESIDES: &[&str] = &[
    "product",
    "category",
    "service",
    "timestamp",
    "@timestamp",
    "time",
    "eventTime",
    "ts",
    "logsource",
    "logsource.product",
    "logsource.category",
    "logsource.service",
];
const TIMES: std::ops::Range<usize> = 3..8;
const OTHERS: std::ops::Range<usize> = 8..12;

/// Bytes of a label, as the format has it.
const LABEL_BYTES_MAX: usize = 128;

/// Roots of OCSF paths that the format `json` never fills.
const NEVER: &[&str] = &[
    "actor",
    "device",
    "dst_endpoint",
    "file",
    "http_request",
    "http_response",
    "process",
    "src_endpoint",
    "user",
];

/// Reads records of the format `json`.
#[derive(Debug)]
pub struct JsonReader {
    zone: TimeZone,
    batches: JsonBatches,
    minute: Minute,
}

/// The minute of the last time in UTC that was read: the next is of the same, most likely.
#[derive(Debug, Default)]
struct Minute {
    /// `2026-05-04T10:00:`
    text: [u8; MINUTE_BYTES],
    starts: Option<Millis>,
}

const MINUTE_BYTES: usize = 17;

impl Minute {
    /// The milliseconds since the minute's start, of `2026-05-04T10:00:59Z` or `2026-05-04T10:00:59.250Z`.
    fn within(text: &[u8]) -> Option<i64> {
        let rest = text.get(MINUTE_BYTES..)?;
        let digit = |n: usize| rest.get(n).filter(|b| b.is_ascii_digit()).map(|b| i64::from(b - b'0'));
        let seconds = digit(0).filter(|tens| *tens < 6)? * 10 + digit(1)?;
        match rest {
            [_, _, b'Z'] => Some(seconds * 1_000),
            [_, _, b'.', _, _, _, b'Z'] => Some(seconds * 1_000 + digit(3)? * 100 + digit(4)? * 10 + digit(5)?),
            _ => None,
        }
    }

    /// As [`time_text::parse_any`].
    fn parse(&mut self, text: &str, received_at: Millis, zone: &TimeZone) -> Option<Millis> {
        let within = Minute::within(text.as_bytes());
        if let (Some(within), Some(starts)) = (within, self.starts)
            && text.as_bytes().starts_with(&self.text)
        {
            return Some(starts.plus_ms(within));
        }
        let time = time_text::parse_any(text, received_at, zone)?.time;
        if let (Some(within), Some(minute)) = (within, text.as_bytes().first_chunk())
            && matches!(
                minute,
                [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':']
            )
        {
            (self.text, self.starts) = (*minute, Some(time.plus_ms(-within)));
        }
        Some(time)
    }
}

impl JsonReader {
    /// A reader of the wanted columns; `None` where the records are of other formats, too, or something of their OCSF
    /// events is wanted.
    #[must_use]
    pub fn new(wanted: &Wanted, settings: &Settings) -> Option<JsonReader> {
        let default = &settings.default;
        if !settings.sources.is_empty() || default.format.as_deref() != Some("json") || default.system.is_some() {
            return None;
        }
        let unfilled = |path: &str| {
            let root = path.split(['.', '|']).next().unwrap_or(path);
            NEVER.contains(&root) || matches!(path, "docket.system" | "docket.command")
        };
        let native = |n: Namespace| n == Namespace::Native;
        if wanted.iter().any(|f| !native(f.namespace) && !unfilled(&f.path)) {
            return None;
        }
        Some(JsonReader {
            zone: default.time_zone.clone(),
            batches: JsonBatches::new(JsonColumns::new(wanted, BESIDES)?),
            minute: Minute::default(),
        })
    }

    /// Takes a record; says whether it could. Where it could not, the record is for the normalizer. `wanted` says which columns
    /// the events of a log source need; it is asked once for each.
    pub fn read(&mut self, index: LedgerIndex, record: &Lent<'_>, wanted: &dyn Fn(&LogSource) -> Wanted) -> bool {
        let Ok(text) = simdutf8::basic::from_utf8(record.payload) else {
            return false;
        };
        let Ok(line) = self.batches.read(text) else {
            return false;
        };
        let mut times: [Option<&str>; TIMES.end - TIMES.start] = [None; TIMES.end - TIMES.start];
        let mut labels = [None; 3];
        for (n, text) in self.batches.besides(line) {
            if OTHERS.contains(&n) {
                return false;
            }
            if text.is_empty() {
            } else if TIMES.contains(&n) {
                times[n - TIMES.start].get_or_insert(text);
            } else if text.len() <= LABEL_BYTES_MAX {
                labels[n] = Some(n);
            }
        }
        let time = times
            .into_iter()
            .flatten()
            .find_map(|text| self.minute.parse(text, record.received_at, &self.zone));
        let row = Row {
            index,
            time: time.unwrap_or(record.received_at),
            received_at: record.received_at,
        };
        let needs = |columns: &JsonColumns, source: &LogSource| columns.needs(&wanted(source));
        let added = self.batches.add(
            line,
            record.source,
            labels,
            row,
            |uids| uids.push_record(record.topic, record.partition, record.offset),
            needs,
        );
        added.is_ok()
    }

    /// The batches of the records that it took since it was asked last.
    pub fn finish(&mut self) -> Vec<Batch> {
        self.batches.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Normalizer, SourceSettings, batcher};
    use model::{Arena, Coordinate, Field, Plan, RawRecord};

    const FIELDS: &[&str] = &[
        "*",
        "f",
        "g",
        "a.b",
        "a.b.c",
        "a.b|exists",
        "f|exists",
        "list",
        "list.x",
        "product",
        "time",
        "n",
    ];

    /// Lines, and whether they are plain enough to be read at once.
    const LINES: &[(&str, bool)] = &[
        (
            r#"{"product": "p", "service": "s", "f": "x", "time": "2026-05-04T10:00:00Z"}"#,
            true,
        ),
        (
            r#"{"f": "a\n\"b\u00e9\ud83d\ude00", "g": "日本", "time": 1777860000250}"#,
            true,
        ),
        (
            r#" {"a": {"b": {"c": "deep"}}, "f": null, "g": true, "ts": "no time", "eventTime": "2026-05-04 10:00:00"} "#,
            true,
        ),
        (
            r#"{"a": [{"b": {"c": 1}}, {"b": null}, "x", [{"b": 2}]], "list": ["a", ["b", null, 3], {"x": 1}], "f": {"k": [1, "z"]}}"#,
            true,
        ),
        (
            r#"{"a.b.c": "flat", "list": [{"x": "1"}, {"x": ["2", "3"]}], "n": -12.50, "f": ""}"#,
            true,
        ),
        (
            r#"{"a": {"b.c": "x"}, "n": 0, "product": "", "category": "c", "f": [], "g": {}}"#,
            true,
        ),
        (r#"{}"#, true),
        (r#"{"a": {"b": "x"}, "a.b": "y"}"#, false),
        (r#"{"a.b": {"c": "y"}, "a.b.c": "z"}"#, false),
        (r#"{"f": "x", "f": "y"}"#, false),
        (r#"{"f": "x", "g": "y", "h": "", "f": "z"}"#, false),
        (
            r#"{"f": "x", "g": "a long text\nwith \"all\" of \u0041", "h": "", "a": {"b": [{"c": "x"}], "d": {}}}"#,
            true,
        ),
        (r#"{"a": {"b": 1, "b": 2}}"#, false),
        (r#"{"\u0066": "x"}"#, false),
        (r#"{"n": 1e3}"#, false),
        (r#"{"f": "\ud83d"}"#, false),
        ("{\"f\": \"a\tb\"}", false),
        (r#"{"f": "x"} {"f": "y"}"#, false),
        (r#"[{"f": "x"}]"#, false),
        (r#"{"f": "x"#, false),
        (r#"{"n": 01}"#, false),
        (r#"{"product": ["p"]}"#, false),
        (r#"{"logsource": {"product": "p"}}"#, false),
        (r#"{"time": {"x": 1}}"#, false),
        ("no json", false),
    ];

    #[test]
    fn it_gives_what_the_long_way_gives() {
        // Twice: the second time the orders of keys are known.
        compare(
            LINES
                .iter()
                .chain(LINES)
                .map(|(line, plain)| ((*line).to_owned(), *plain)),
        );
    }

    #[test]
    fn keys_in_more_orders_than_are_remembered_are_read_all_the_same() {
        let long = "k".repeat(200);
        let orders =
            (0..100).map(|n| format!(r#"{{"k{n}": {n}, "f": "x", "a": {{"k{n}": 1, "b": "y"}}, "{long}": "z"}}"#));
        let twice = (0..100).map(|n| format!(r#"{{"k{n}": {n}, "f": "x", "{long}": "z", "k{n}": 0}}"#));
        compare(orders.map(|line| (line, true)).chain(twice.map(|line| (line, false))));
    }

    /// Reads lines both ways; with each whether it is plain enough to be read at once.
    fn compare(lines: impl Iterator<Item = (String, bool)>) {
        let settings = Settings {
            default: SourceSettings {
                format: Some("json".into()),
                ..SourceSettings::default()
            },
            ..Settings::default()
        };
        let mut wanted: Wanted = FIELDS.iter().map(|f| Field::native(f)).collect();
        wanted.insert(Field::ocsf("actor.user.name"));
        let mut reader = JsonReader::new(&wanted, &settings).unwrap();
        let normalizer = Normalizer::new(settings.clone());
        for (line, plain) in lines {
            let record = RawRecord {
                coordinate: Coordinate::new("t".to_owned(), 0, 7),
                received_at: Millis(1_777_870_000_000),
                source: "s".into(),
                peer: None,
                key: None,
                headers: Vec::new(),
                payload: line.as_bytes().to_vec().into(),
                truncated: None,
            };
            assert_eq!(
                reader.read(LedgerIndex(3), &Lent::of(&record).unwrap(), &|_| wanted.clone()),
                plain,
                "{line}"
            );
            if !plain {
                continue;
            }
            let arena = Arena::new();
            let events: Vec<_> = normalizer
                .normalize(&arena, &record)
                .events
                .into_iter()
                .map(|e| (LedgerIndex(3), record.received_at, &record.source, e))
                .collect();
            let mut plan = Plan::new(&wanted);
            let (short, long) = (reader.finish(), batcher::batches(&events, &mut plan));
            assert_eq!((short.len(), long.len()), (1, 1), "{line}");
            let (short, long) = (&short[0], &long[0]);
            assert_eq!(short.logsource, long.logsource, "{line}");
            assert_eq!(
                (short.class_uid, &short.source),
                (long.class_uid, &long.source),
                "{line}"
            );
            assert_eq!(short.rows, long.rows, "{line}");
            assert_eq!(short.uid(0), long.uid(0), "{line}");
            for field in &wanted {
                let all = |b: &Batch| b.column(field).map(|c| c.all(0).join("|"));
                assert_eq!(all(short), all(long), "{line}: {field:?}");
            }
        }
    }

    #[test]
    fn a_time_of_the_same_minute_is_the_same_time() {
        let (mut minute, zone) = (Minute::default(), TimeZone::get("Asia/Shanghai").unwrap());
        let texts = [
            "2026-05-04T10:00:00Z",
            "2026-05-04T10:00:59.250Z",
            "2026-05-04T10:00:60Z",
            "2026-05-04T10:00:5Z",
            "2026-05-04T10:00:07.5Z",
            "2026-05-04T10:00:07.500+08:00",
            "2026-05-04T10:00:07.500",
            "2026-05-04T10:00:08.001Z",
            "2026-05-04T10:01:08.001Z",
            "2026-05-04 10:01:09.001Z",
            "2026-05-04 10:01:10.001Z",
            "2026-13-04T10:01:10.001Z",
            "2026-13-04T10:01:11.001Z",
            "+2026-05-4T10:01:11.001Z",
            "00000000000000000011.001Z",
            "0000000000000000012Z",
            "1777860000250",
            "é026-05-04T10:00:08Z",
        ];
        for text in texts.iter().chain(&texts) {
            let plain = time_text::parse_any(text, Millis(1_777_870_000_000), &zone);
            let read = minute.parse(text, Millis(1_777_870_000_000), &zone);
            assert_eq!(read, plain.map(|t| t.time), "{text}");
        }
    }

    #[test]
    fn it_leaves_alone_what_it_cannot_know() {
        let mut settings = Settings::default();
        let wanted = Wanted::from([Field::native("f")]);
        assert!(JsonReader::new(&wanted, &settings).is_none());
        settings.default.format = Some("json".into());
        assert!(JsonReader::new(&wanted, &settings).is_some());
        let ocsf = Wanted::from([Field::native("f"), Field::ocsf("unmapped.f")]);
        assert!(JsonReader::new(&ocsf, &settings).is_none());
    }
}
