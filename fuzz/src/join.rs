//! Records that are parts of one event, in any order: each is in one event, and a restart changes nothing.

use ingest::SourceSettings;
use ingest::join::{Assembler, Piece, Whole};
use model::{Coordinate, LedgerIndex, Millis, RawRecord};

use crate::bytes::choices;
use crate::format::{RECEIVED_AT, RECORD_BYTES, normalizer, record};
use crate::{Target, event};

/// Events that are looked at.
const EVENTS: usize = 4;

/// Audit lines, PostgreSQL's entries, and the parts of containers' lines.
pub fn targets() -> Vec<Target> {
    let target = |name: &str, format: Option<&'static str>| {
        let normalizer = normalizer(format);
        Target::new(name, RECORD_BYTES, move |data| joined(data, format, &normalizer))
    };
    vec![
        target("joined-auditd", Some("linux_auditd")),
        target("joined-postgresql", Some("postgresql")),
        target("joined-detected", None),
    ]
}

fn joined(data: &[u8], format: Option<&str>, normalizer: &ingest::Normalizer) {
    let settings = SourceSettings {
        format: format.map(Into::into),
        ..SourceSettings::default()
    };
    let ([shuffle, pace, stops], text) = choices::<3>(data);
    let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    let mut state = u32::from(shuffle);
    for n in (1..lines.len()).rev().filter(|_| shuffle != 0) {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        lines.swap(n, (state >> 8) as usize % (n + 1));
    }
    let records: Vec<RawRecord> = (0..)
        .zip(&lines)
        .map(|(n, line)| RawRecord {
            coordinate: Coordinate::new("t", 0, n),
            received_at: Millis(RECEIVED_AT.0 + n * i64::from(pace) * 3),
            ..record("s", line)
        })
        .collect();
    let whole = join(&records, &settings, 0);
    assert_eq!(
        whole,
        join(&records, &settings, stops),
        "a restart changes what comes out"
    );
    let mut given: Vec<u64> = whole.iter().flat_map(|w| w.lines.iter().map(|l| l.index.0)).collect();
    given.sort_unstable();
    let pieces = (0..).zip(&records).filter(|(_, r)| Piece::of(r, &settings).is_some());
    let pieces: Vec<u64> = pieces.map(|(n, _)| n).collect();
    assert_eq!(given, pieces, "each piece is in one event");
    let bytes: usize = whole.iter().map(|w| w.record.payload.len()).sum();
    // What is no UTF-8 is written as U+FFFD, three bytes for one, where lines are put together.
    assert!(bytes <= 3 * text.len() + lines.len(), "{bytes} of {}", text.len());
    for whole in whole.iter().take(EVENTS) {
        assert_eq!(whole.record.coordinate.offset as u64, whole.lines[0].index.0);
        let alone = event::check(normalizer, &whole.record).events;
        let labelled = normalizer.normalize_whole_plain(whole).events;
        assert_eq!(alone.len(), labelled.len());
    }
}

/// What comes out, the assembler stored and loaded again wherever `stops` says so.
fn join(records: &[RawRecord], settings: &SourceSettings, stops: u8) -> Vec<Whole> {
    let mut assembler = Assembler::default();
    let mut out = Vec::new();
    for (n, record) in (0..).zip(records) {
        out.extend(assembler.advance(record.received_at));
        if let Some(piece) = Piece::of(record, settings) {
            out.extend(assembler.push(LedgerIndex(n), record.clone(), piece));
        }
        if stops != 0 && n % u64::from(stops) == 0 {
            let of =
                |index: LedgerIndex| -> Result<RawRecord, std::fmt::Error> { Ok(records[index.0 as usize].clone()) };
            assembler = Assembler::load(&assembler.state(), of).unwrap();
        }
    }
    out.extend(assembler.flush());
    assert_eq!(assembler.held(), None);
    out
}
