//! Puts records together that are parts of one event: the lines of an auditd event, the parts of a container's long line,
//! the lines of an entry of PostgreSQL's log.
//!
//! The [`Assembler`] is given every leaf of the ledger in order. A record that is a [`Piece`] is held until its event is
//! complete or has waited long enough by engine time (the greatest `received_at` so far); what comes out is a [`Whole`],
//! which is normalized once. No clock and no randomness: from the same state the same leaves give the same events at the
//! same leaves, and [`Assembler::state`] is all of it, so a stage that stores it with its position goes on from there as if
//! it had never stopped.
//!
//! | source | a piece | ends |
//! |---|---|---|
//! | auditd (by name, or told by the bytes) | a line with an audit id; Laurel's objects are whole already | [`linux_auditd::Joiner`] |
//! | any that is read from raw container logs | `TIME stdout P part`, and the `F` after it | at `F`, or after 2 s |
//! | the same in a collector's JSON, each line by itself | its `message`, `log`, …; the host is the collector's where the line names none | the same |
//! | PostgreSQL's stderr | an entry's first line, those that begin with a tab, and DETAIL, HINT, CONTEXT, STATEMENT, QUERY of the same process | at the next entry of the same stream, or after 200 ms |
//! | PostgreSQL over syslog | the numbered parts of an entry, `[3-1]`, `[3-2]`, …, of the same host and process | the same |
//! | PostgreSQL's csvlog | lines of a quoted field | when its quotes are closed, or after 200 ms |

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use model::{Coordinate, Event, LedgerIndex, Millis, RawRecord, Value, known};
use serde::{Deserialize, Serialize};

use crate::format::{linux_auditd, postgresql};
use crate::{SourceSettings, dedup, detection, json};

mod streams;
#[cfg(test)]
mod tests;
mod wrapped;

use linux_auditd::{End, Joiner};
use streams::Streams;

/// Bytes of a record that is looked at; a longer one is an event of its own.
const PIECE_BYTES_MAX: usize = 1 << 20;
/// Sources that may have pieces; of more, each record is an event of its own.
const SOURCES_MAX: usize = 1_024;
/// Bytes of all that is held; above it the source that adds to it gives out what it has.
const BYTES_MAX: usize = 64 << 20;
/// The version of the state's text.
const STATE_VERSION: u32 = 1;

/// A record that is a part of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A line of the Linux audit log.
    Audit(linux_auditd::Piece),
    /// A part of what one stream writes.
    Stream(streams::Piece),
}

/// A line of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its leaf.
    pub index: LedgerIndex,
    /// Its record.
    pub id: Coordinate,
    /// When that was received.
    pub received_at: Millis,
}

/// An event's records, put together.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// The first one, its payload all of theirs.
    pub record: RawRecord,
    /// Where it is from; never none. The first is `record`'s.
    pub lines: Vec<Line>,
    labels: Vec<String>,
}

/// The state cannot be used. The operator's: the index or the alerts are damaged, or of another version.
#[derive(Debug, thiserror::Error)]
pub enum StateError<E: std::error::Error + 'static> {
    /// Its text is not ours.
    #[error("the state of records that wait for others cannot be read ({reason}); remove the index, it is built again")]
    Text {
        /// Why.
        reason: String,
    },
    /// A record that waits cannot be read.
    #[error("leaf {index}, which waits for others, cannot be read: {source}")]
    Record {
        /// Its leaf.
        index: LedgerIndex,
        /// Why.
        source: E,
    },
}

impl Piece {
    /// What a record is a part of; `None`: it is an event of its own. Looks at the record alone.
    #[must_use]
    pub fn of(record: &RawRecord, settings: &SourceSettings) -> Option<Piece> {
        let line = line(&record.payload);
        let first = *line.first()?;
        if record.truncated.is_some() || line.len() > PIECE_BYTES_MAX {
            return None;
        }
        let may_audit = memchr::memmem::find(line, b"audit(").is_some();
        let is_json = first == b'{';
        if is_json && !may_audit {
            return None;
        }
        let may_cri = streams::may_be_cri(line);
        let may_postgresql = memchr::memmem::find(line, b"postgres").is_some() || names_postgresql(record, settings);
        if !(may_audit || may_cri || may_postgresql) || line.contains(&b'\n') {
            return None;
        }
        let known = match detection::of_source(record, settings) {
            Some(choice) => Some(choice.format?.name),
            None => None,
        };
        if is_json {
            return wrapped::audit(record)
                .filter(|_| wrapped::is_allowed(known))
                .map(Piece::Audit);
        }
        let (text, _) = json::text(line, settings);
        if may_audit && known.is_none_or(|name| detection::may_send(name, &linux_auditd::FORMAT)) {
            return linux_auditd::Piece::read(&text).map(Piece::Audit);
        }
        if may_cri && let Some(piece) = streams::cri(record, line) {
            return Some(Piece::Stream(piece));
        }
        if may_postgresql && known.is_none_or(|name| name == postgresql::FORMAT.name) {
            return streams::postgresql(record, &text, known.is_some()).map(Piece::Stream);
        }
        None
    }

    /// What a repeated delivery of the record has, too ([`dedup`]).
    #[must_use]
    pub fn dedup(&self, record: &RawRecord) -> Option<[u8; 16]> {
        if let Piece::Audit(piece) = self {
            let uid = piece.event.uid();
            return Some(dedup::key(&record.source, b"uid", uid.as_bytes(), &record.payload));
        }
        if let Piece::Stream(piece) = self
            && let Some(uid) = &piece.uid
        {
            return Some(dedup::key(&record.source, b"uid", uid.as_bytes(), &record.payload));
        }
        let (_, batch) = record.headers.iter().find(|(name, _)| name == dedup::HEADER_BATCH)?;
        Some(dedup::key(&record.source, b"batch", batch, &record.payload))
    }
}

impl Whole {
    /// The records of an event, to be shown: in order, the first one's id is the event's.
    #[must_use]
    pub fn of(records: &[(LedgerIndex, RawRecord)]) -> Option<Whole> {
        glue(records.to_vec(), End::Eoe, &[]).into_iter().next()
    }

    /// Labels the events that were made of the record: `record:<id>` for each of several records, and why it may lack something.
    pub fn label(&self, events: &mut [Event<'_>]) {
        if self.labels.is_empty() {
            return;
        }
        for event in events {
            let arena = event.arena;
            let there = event.cell(known::METADATA_LABELS).and_then(|l| l.as_array());
            let more = self.labels.iter().map(|l| Value::String(arena.text(l)));
            let all = arena.list_of(there.into_iter().flatten().copied().chain(more));
            event.change(|cells| cells.put(known::METADATA_LABELS, all));
        }
    }
}

/// The records that wait for others, of all sources. See the module.
#[derive(Debug, Default)]
pub struct Assembler {
    now: Option<Millis>,
    sources: BTreeMap<Arc<str>, Source>,
    due: Option<Millis>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Source {
    audit: Joiner,
    streams: Streams,
    held: BTreeMap<LedgerIndex, RawRecord>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    version: u32,
    now: Option<Millis>,
    sources: BTreeMap<Arc<str>, SourceState>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct SourceState {
    audit: linux_auditd::join::State,
    streams: Streams,
}

impl Assembler {
    /// Tells that a leaf was received, and when: before anything else is done with it. Gives what has waited long enough.
    pub fn advance(&mut self, received_at: Millis) -> Vec<Whole> {
        let now = self.now.map_or(received_at, |now| now.max(received_at));
        self.now = Some(now);
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let mut out = Vec::new();
        for source in self.sources.values_mut() {
            self.bytes -= source.tick(now, &mut out);
        }
        self.schedule();
        out
    }

    /// Takes a leaf's record, which is a piece; gives what is complete.
    pub fn push(&mut self, index: LedgerIndex, record: RawRecord, piece: Piece) -> Vec<Whole> {
        let now = self.now.unwrap_or(record.received_at);
        let mut out = Vec::new();
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&record.source) {
            out.extend(glue(vec![(index, record)], End::Bound, &[]));
            return out;
        }
        let source = self.sources.entry(record.source.clone()).or_default();
        self.bytes += record.payload.len();
        self.bytes -= source.push(index, now, record, piece, &mut out);
        if self.bytes > BYTES_MAX {
            self.bytes -= source.flush(now, End::Bound, &mut out);
        }
        self.schedule();
        out
    }

    /// Gives everything: there is no more to come.
    pub fn flush(&mut self) -> Vec<Whole> {
        let mut out = Vec::new();
        let now = self.now.unwrap_or_default();
        for source in self.sources.values_mut() {
            self.bytes -= source.flush(now, End::Flush, &mut out);
        }
        self.schedule();
        out
    }

    /// The first leaf that is held.
    #[must_use]
    pub fn held(&self) -> Option<LedgerIndex> {
        self.sources
            .values()
            .filter_map(|s| s.held.first_key_value().map(|(index, _)| *index))
            .min()
    }

    /// The engine time at which something is given out that nothing completes.
    #[must_use]
    pub fn due(&self) -> Option<Millis> {
        self.due
    }

    /// All that it knows, but for the held records' bytes.
    #[must_use]
    pub fn state(&self) -> String {
        let sources = self.sources.iter().map(|(name, source)| {
            let state = SourceState {
                audit: source.audit.state(),
                streams: source.streams.clone(),
            };
            (name.clone(), state)
        });
        let state = State {
            version: STATE_VERSION,
            now: self.now,
            sources: sources.collect(),
        };
        serde_json::to_string(&state).expect("names and numbers are JSON")
    }

    /// Goes on from a state; an empty text is a beginning. `read` gives the record of a leaf.
    ///
    /// # Errors
    /// The text is none of ours, or a record cannot be read.
    pub fn load<E: std::error::Error + 'static>(
        state: &str,
        mut read: impl FnMut(LedgerIndex) -> Result<RawRecord, E>,
    ) -> Result<Assembler, StateError<E>> {
        let mut assembler = Assembler::default();
        if state.is_empty() {
            return Ok(assembler);
        }
        let state: State = serde_json::from_str(state).map_err(|e| StateError::Text { reason: e.to_string() })?;
        if state.version != STATE_VERSION {
            let reason = format!(
                "it is of version {}, this program writes {STATE_VERSION}",
                state.version
            );
            return Err(StateError::Text { reason });
        }
        assembler.now = state.now;
        for (name, state) in state.sources {
            let mut source = Source {
                audit: Joiner::load(state.audit),
                streams: state.streams,
                held: BTreeMap::new(),
            };
            let leaves: Vec<LedgerIndex> = source.audit.held().chain(source.streams.held()).collect();
            for index in leaves {
                let record = read(index).map_err(|source| StateError::Record { index, source })?;
                assembler.bytes += record.payload.len();
                source.held.insert(index, record);
            }
            assembler.sources.insert(name, source);
        }
        assembler.schedule();
        Ok(assembler)
    }

    fn schedule(&mut self) {
        self.due = self.sources.values().filter_map(Source::due).min();
    }
}

impl Source {
    fn due(&self) -> Option<Millis> {
        [self.audit.due(), self.streams.due()].into_iter().flatten().min()
    }

    /// These give back how many bytes they let go.
    fn push(
        &mut self,
        index: LedgerIndex,
        now: Millis,
        record: RawRecord,
        piece: Piece,
        out: &mut Vec<Whole>,
    ) -> usize {
        self.held.insert(index, record);
        match piece {
            Piece::Audit(piece) => {
                let joined = self.audit.push(index, now, piece);
                self.audit(joined, None, out)
            }
            Piece::Stream(piece) => {
                let given = self.streams.push(index, now, piece);
                self.streams(given, out)
            }
        }
    }

    fn tick(&mut self, now: Millis, out: &mut Vec<Whole>) -> usize {
        let joined = self.audit.tick(now);
        let given = self.streams.tick(now);
        self.audit(joined, None, out) + self.streams(given, out)
    }

    fn flush(&mut self, now: Millis, end: End, out: &mut Vec<Whole>) -> usize {
        let joined = self.audit.flush(now);
        let given = self.streams.flush(end);
        self.audit(joined, Some(end), out) + self.streams(given, out)
    }

    fn audit(&mut self, joined: Vec<linux_auditd::Joined>, end: Option<End>, out: &mut Vec<Whole>) -> usize {
        let mut bytes = 0;
        for event in joined {
            let records = self.take(event.lines, &mut bytes);
            out.extend(glue(records, end.unwrap_or(event.end), &event.lost));
        }
        bytes
    }

    fn streams(&mut self, given: Vec<(Vec<LedgerIndex>, End)>, out: &mut Vec<Whole>) -> usize {
        let mut bytes = 0;
        for (lines, end) in given {
            let records = self.take(lines, &mut bytes);
            out.extend(glue(records, end, &[]));
        }
        bytes
    }

    fn take(&mut self, lines: Vec<LedgerIndex>, bytes: &mut usize) -> Vec<(LedgerIndex, RawRecord)> {
        lines
            .into_iter()
            .filter_map(|index| {
                let record = self.held.remove(&index)?;
                *bytes += record.payload.len();
                Some((index, record))
            })
            .collect()
    }
}

/// The records as one: their payloads as lines, or as the parts of a container's line. One record stays as it is. What looks like an
/// entry of several lines and is none, because lines of it were lost, stays as it came.
fn glue(records: Vec<(LedgerIndex, RawRecord)>, end: End, lost: &[(u64, u64)]) -> Vec<Whole> {
    if records.len() > 1 && end != End::Eoe && streams::is_torn(&records) {
        let apart = records.into_iter();
        return apart.flat_map(|record| glue(vec![record], end, lost)).collect();
    }
    let mut labels = Vec::new();
    if records.len() > 1 {
        labels.extend(records.iter().map(|(_, r)| format!("record:{}", r.coordinate)));
    }
    match end {
        End::Timeout => labels.push("join:timeout".to_owned()),
        End::Bound => labels.push("join:bound".to_owned()),
        _ => {}
    }
    labels.extend(lost.iter().map(|(from, to)| format!("auditd.lost:{from}-{to}")));
    let lines = records.iter().map(|(index, r)| Line {
        index: *index,
        id: r.coordinate.clone(),
        received_at: r.received_at,
    });
    let lines = lines.collect();
    let mut payload = Vec::new();
    if records.len() > 1
        && let Some(all) = wrapped::glue(&records).or_else(|| streams::glue_syslog(&records))
    {
        payload = all;
    } else if records.len() > 1 {
        let is_cri = records.iter().all(|(_, r)| streams::may_be_cri(&r.payload));
        for (n, (_, record)) in records.iter().enumerate() {
            let line = line(&record.payload);
            match streams::cri_parts(line).filter(|_| is_cri) {
                Some((head, part)) => {
                    if n == 0 {
                        payload.extend_from_slice(head);
                        // Only a line whose end came is a whole one.
                        let whole = records
                            .last()
                            .is_some_and(|(_, r)| !streams::is_cri_partial(&r.payload));
                        payload.extend_from_slice(if whole { b" F " } else { b" P " });
                    }
                    payload.extend_from_slice(part);
                }
                None => {
                    if n > 0 {
                        payload.push(b'\n');
                    }
                    payload.extend_from_slice(line);
                }
            }
        }
    }
    let Some((_, mut record)) = records.into_iter().next() else {
        return Vec::new();
    };
    if !payload.is_empty() {
        record.payload = Bytes::from(payload);
    }
    vec![Whole { record, lines, labels }]
}

/// Whether the source's settings or names may say that it is PostgreSQL: a quick no.
fn names_postgresql(record: &RawRecord, settings: &SourceSettings) -> bool {
    let topic = detection::topic_source(&record.coordinate.topic);
    let names = [settings.format.as_deref(), topic, Some(&*record.source)];
    let format = &postgresql::FORMAT;
    let is_ours = |name: &&str| *name == format.name || format.aliases.contains(name);
    names.iter().flatten().any(is_ours)
}

/// A record's bytes without the line's end.
fn line(mut payload: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n' | 0] = payload {
        payload = rest;
    }
    payload
}
