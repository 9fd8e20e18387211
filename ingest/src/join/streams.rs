//! What one stream writes in pieces that follow one another: a container's output, PostgreSQL's stderr.

use std::collections::BTreeMap;

use model::{LedgerIndex, Millis, RawRecord};
use serde::{Deserialize, Serialize};

use crate::format::linux_auditd::End;
use crate::format::postgresql::{self, Part};
use crate::source::file::HEADER_FILE;

/// Streams that may wait at once; the oldest is given out when there would be more.
const STREAMS_MAX: usize = 4_096;
/// Pieces of one event; when there are more it is given out as it is.
const PIECES_MAX: usize = 512;
/// Bytes of one event.
const BYTES_MAX: usize = 4 << 20;
/// How long the rest of a container's line is waited for.
const CRI_MS: i64 = 2_000;
/// How long another line of a log entry is waited for: its writer writes them at once.
const ENTRY_MS: i64 = 200;

/// A piece, as far as it is read here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    stream: String,
    /// What the event's pieces have in common, where they say so: the process.
    of: Option<String>,
    role: Role,
    wait_ms: i64,
    bytes: usize,
    /// Whether a quote is open behind it that was not before it, or the other way round.
    turns_quote: bool,
    /// Its own id, where it is an event of its own.
    pub(super) uid: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Begins an event; what waits is complete.
    First,
    /// Belongs to what waits.
    More,
    /// Belongs to what waits, and completes it.
    Last,
    /// Belongs to what waits where that stands within quotes, else an event of its own.
    Quoted,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Waiting {
    lines: Vec<LedgerIndex>,
    of: Option<String>,
    bytes: usize,
    order: u64,
    due: Millis,
    /// Whether it is whole when nothing more comes.
    may_end: bool,
    /// Whether a quote is open: what comes belongs to it, whatever it looks like.
    #[serde(default)]
    quoted: bool,
}

/// The pieces that wait, of one source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Streams {
    waiting: BTreeMap<String, Waiting>,
    order: u64,
}

type Given = Vec<(Vec<LedgerIndex>, End)>;

impl Streams {
    pub(super) fn push(&mut self, line: LedgerIndex, now: Millis, piece: Piece) -> Given {
        let mut out = Vec::new();
        if let Some(waiting) = self.waiting.get_mut(&piece.stream).filter(|w| w.quoted) {
            waiting.lines.push(line);
            waiting.bytes += piece.bytes;
            waiting.due = now + ENTRY_MS;
            waiting.quoted ^= piece.turns_quote;
            if !waiting.quoted {
                self.give(&piece.stream, Some(End::Eoe), &mut out);
            } else if waiting.lines.len() >= PIECES_MAX || waiting.bytes >= BYTES_MAX {
                self.give(&piece.stream, Some(End::Bound), &mut out);
            }
            return out;
        }
        if piece.role == Role::Quoted {
            out.push((vec![line], End::Eoe));
            return out;
        }
        let is_other = |w: &Waiting| piece.role == Role::First || piece.of.is_some() && w.of != piece.of;
        if self.waiting.get(&piece.stream).is_some_and(is_other) {
            self.give(&piece.stream, None, &mut out);
        }
        self.order += 1;
        let waiting = self.waiting.entry(piece.stream.clone()).or_insert_with(|| Waiting {
            lines: Vec::new(),
            of: piece.of,
            bytes: 0,
            order: self.order,
            due: now,
            may_end: piece.wait_ms == ENTRY_MS && !piece.turns_quote,
            quoted: piece.turns_quote,
        });
        waiting.lines.push(line);
        waiting.bytes += piece.bytes;
        waiting.due = now + piece.wait_ms;
        if piece.role == Role::Last {
            self.give(&piece.stream, Some(End::Eoe), &mut out);
        } else if waiting.lines.len() >= PIECES_MAX || waiting.bytes >= BYTES_MAX {
            self.give(&piece.stream, Some(End::Bound), &mut out);
        }
        if self.waiting.len() > STREAMS_MAX
            && let Some((oldest, _)) = self.waiting.iter().min_by_key(|(_, w)| w.order)
        {
            let oldest = oldest.clone();
            self.give(&oldest, Some(End::Bound), &mut out);
        }
        out
    }

    pub(super) fn tick(&mut self, now: Millis) -> Given {
        self.give_all(None, |w| w.due <= now)
    }

    pub(super) fn flush(&mut self, end: End) -> Given {
        self.give_all(Some(end), |_| true)
    }

    pub(super) fn due(&self) -> Option<Millis> {
        self.waiting.values().map(|w| w.due).min()
    }

    pub(super) fn held(&self) -> impl Iterator<Item = LedgerIndex> {
        self.waiting.values().flat_map(|w| w.lines.iter().copied())
    }

    /// In the order in which they began.
    fn give_all(&mut self, end: Option<End>, which: impl Fn(&Waiting) -> bool) -> Given {
        let mut streams: Vec<(u64, String)> = self
            .waiting
            .iter()
            .filter(|(_, w)| which(w))
            .map(|(name, w)| (w.order, name.clone()))
            .collect();
        streams.sort();
        let mut out = Vec::new();
        for (_, stream) in streams {
            self.give(&stream, end, &mut out);
        }
        out
    }

    fn give(&mut self, stream: &str, end: Option<End>, out: &mut Given) {
        if let Some(waiting) = self.waiting.remove(stream) {
            let end = end.unwrap_or(if waiting.may_end { End::Eoe } else { End::Timeout });
            out.push((waiting.lines, end));
        }
    }
}

/// Whether a line looks like `2026-03-02T14:06:33.1Z stdout F line`: a quick no.
pub(super) fn may_be_cri(line: &[u8]) -> bool {
    line.len() > 30 && line[0].is_ascii_digit() && line[4] == b'-' && line[10] == b'T' && cri_parts(line).is_some()
}

/// Of such a line, what stands before the tag and what behind it.
pub(super) fn cri_parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let time = line.iter().take(48).position(|b| *b == b' ')?;
    let rest = &line[time + 1..];
    if !(rest.starts_with(b"stdout ") || rest.starts_with(b"stderr ")) {
        return None;
    }
    let tag = &rest[7..];
    let blank = tag.iter().take(16).position(|b| *b == b' ')?;
    matches!(tag.first()?, b'P' | b'F').then(|| (&line[..time + 7], &tag[blank + 1..]))
}

pub(super) fn is_cri_partial(line: &[u8]) -> bool {
    cri_parts(line).is_some_and(|(head, _)| line.get(head.len() + 1) == Some(&b'P'))
}

/// A part of a container's line.
pub(super) fn cri(record: &RawRecord, line: &[u8]) -> Option<Piece> {
    let (head, _) = cri_parts(line)?;
    let stream = head.ends_with(b"err");
    Some(Piece {
        stream: format!("{}\u{1f}{}", origin(record), if stream { "stderr" } else { "stdout" }),
        of: None,
        role: if is_cri_partial(line) { Role::More } else { Role::Last },
        wait_ms: CRI_MS,
        bytes: record.payload.len(),
        turns_quote: false,
        uid: None,
    })
}

/// A line of an entry of PostgreSQL's log. Of a source that is not known to be PostgreSQL's, only what came over syslog is one.
pub(super) fn postgresql(record: &RawRecord, text: &str, is_known: bool) -> Option<Piece> {
    let piece = |stream: String, of: Option<String>, role: Role| Piece {
        stream,
        of,
        role,
        wait_ms: ENTRY_MS,
        bytes: record.payload.len(),
        turns_quote: false,
        uid: None,
    };
    let role = |is_more: bool| if is_more { Role::More } else { Role::First };
    match postgresql::part(text) {
        Some(Part::Syslog { writer, entry, is_more }) => {
            let stream = format!("{}\u{1f}{writer}", origin(record));
            Some(piece(stream, entry, role(is_more)))
        }
        _ if !is_known => None,
        Some(Part::Text { process, is_more }) => Some(piece(origin(record), process, role(is_more))),
        Some(Part::Csv { uid, is_open }) => Some(Piece {
            turns_quote: is_open,
            uid: uid.filter(|_| !is_open),
            ..piece(origin(record), None, if is_open { Role::First } else { Role::Quoted })
        }),
        None => Some(Piece {
            turns_quote: memchr::memchr_iter(b'"', text.as_bytes()).count() % 2 == 1,
            ..piece(origin(record), None, Role::Quoted)
        }),
    }
}

/// The parts of an entry of PostgreSQL's over syslog as one line of syslog; `None`: they are not that.
pub(super) fn glue_syslog(records: &[(LedgerIndex, RawRecord)]) -> Option<Vec<u8>> {
    let mut all = String::new();
    for (n, (_, record)) in records.iter().enumerate() {
        let text = String::from_utf8_lossy(super::line(&record.payload));
        let chunk = postgresql::syslog_chunk(&text)?;
        if n == 0 {
            all.push_str(&text);
            continue;
        }
        // A long line is cut anywhere; the others begin as the log's lines do.
        if chunk.begins_line {
            all.push('\n');
        }
        all.push_str(chunk.text);
    }
    Some(all.into_bytes())
}

/// Whether records were held as one entry of csvlog and are none.
pub(super) fn is_torn(records: &[(LedgerIndex, RawRecord)]) -> bool {
    let lines: Vec<&[u8]> = records.iter().map(|(_, r)| super::line(&r.payload)).collect();
    let begins = lines.first().map(|l| String::from_utf8_lossy(l));
    let is_csv = begins.is_some_and(|l| matches!(postgresql::part(&l), Some(Part::Csv { is_open: true, .. })));
    is_csv && !postgresql::is_one_csv_entry(&String::from_utf8_lossy(&lines.join(&b'\n')))
}

/// Who wrote it, as far as the transport tells: two writers' lines may come mixed.
fn origin(record: &RawRecord) -> String {
    let file = record.headers.iter().find(|(name, _)| name == HEADER_FILE);
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    [
        record.coordinate.topic.to_string(),
        record.coordinate.partition.to_string(),
        record.peer.as_deref().unwrap_or_default().to_owned(),
        text(record.key.as_deref()),
        text(file.map(|(_, v)| v.as_ref())),
    ]
    .join("\u{1f}")
}
