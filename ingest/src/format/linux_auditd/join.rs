//! Puts the lines of one audit event together again: they come interleaved with those of other events, out of order,
//! and some not at all.
//!
//! One joiner a source. No clock: time is the `received_at` of what comes in, and what [`Joiner::tick`] is told. An
//! event is given out when its EOE line comes; 200 ms after its PROCTITLE; at once where its type is never one of
//! several; else after 2 s by the time of receipt, or when 64 further lines of the same host have come and its audit time
//! is 2 s ahead (so a file that was received in one go is joined as it was written). Same calls, same results.
//!
//! A number that the host counted and that never came is [`Output::Lost`], once, as long after a later one was given out:
//! the kernel or the transport dropped it (its backlog, a cut connection), or somebody cut it out.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use model::{Coordinate, Event, Millis, RawRecord};
use serde_json::Value;

use super::record::{EventId, Record};
use crate::syslog;

/// After this an event is given out as it is.
pub const TIMEOUT_MS: i64 = 2_000;
/// After this the lines behind PROCTITLE are not waited for.
pub const PROCTITLE_MS: i64 = 200;
/// Of a host whose lines were all received at once: so many lines further on (or up to twice as many), and [`TIMEOUT_MS`]
/// in audit time, an event is given out.
pub const BEHIND_LINES: u64 = 64;
/// Events that wait at once; the oldest is given out when there would be more.
pub const EVENTS_MAX: usize = 4_096;
/// Lines of one event; when there are more it is given out as it is.
pub const LINES_MAX: usize = 512;
/// Bytes of all that waits.
pub const BYTES_MAX: usize = 32 << 20;
/// Hosts whose numbers are watched; of more, those not heard of for longest are forgotten.
pub const NODES_MAX: usize = 4_096;
/// Numbers ahead of a hole that are remembered for each host.
const AHEAD_MAX: usize = 1_024;

/// A line that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The record it came in.
    pub id: Coordinate,
    /// When that was received.
    pub received_at: Millis,
    /// The text, without its end.
    pub text: String,
}

/// Why an event was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its EOE line came.
    Eoe,
    /// Nothing came for 200 ms after PROCTITLE.
    Proctitle,
    /// Its type is never one of several lines.
    Single,
    /// Nothing ended it for 2 s.
    Timeout,
    /// Too many events waited, or this one had too many lines.
    Bound,
    /// [`Joiner::flush`].
    Flush,
}

/// The lines of one event, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Which event.
    pub id: EventId,
    /// Never none.
    pub lines: Vec<Line>,
    /// Why it is given out now.
    pub end: End,
}

/// Numbers of a host that never came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The host; empty where the lines name none.
    pub node: String,
    /// The first number that is missing.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// The audit time of the event behind the hole.
    pub before: Millis,
}

/// What the joiner gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An event.
    Event(Joined),
    /// A hole in the numbers.
    Lost(Lost),
}

impl Joined {
    /// The event as one record: the first one's, its payload all the lines. `first` is the record of the first line.
    #[must_use]
    pub fn record(&self, first: &RawRecord) -> RawRecord {
        let mut payload = String::with_capacity(self.lines.iter().map(|l| l.text.len() + 1).sum());
        for (n, line) in self.lines.iter().enumerate() {
            if n > 0 {
                payload.push('\n');
            }
            payload.push_str(&line.text);
        }
        RawRecord {
            payload: Bytes::from(payload),
            ..first.clone()
        }
    }

    /// Labels the events that were made of [`Joined::record`]: `record:<id>` for each record, and
    /// `auditd.join:<why>` where the event may lack something.
    pub fn label(&self, events: &mut [Event]) {
        let mut labels: Vec<String> = Vec::new();
        for line in &self.lines {
            let label = format!("record:{}", line.id);
            if labels.last() != Some(&label) && !labels.contains(&label) {
                labels.push(label);
            }
        }
        match self.end {
            End::Timeout => labels.push("auditd.join:timeout".to_owned()),
            End::Bound => labels.push("auditd.join:bound".to_owned()),
            _ => {}
        }
        for event in events {
            let Some(Value::Object(metadata)) = event.ocsf.get_mut("metadata") else {
                continue;
            };
            let there = metadata.entry("labels").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(there) = there {
                there.extend(labels.iter().map(|l| Value::from(l.as_str())));
            }
        }
    }
}

#[derive(Debug)]
struct Waiting {
    lines: Vec<Line>,
    /// Counts up: what came first goes first.
    order: u64,
    since: Millis,
    proctitle_at: Option<Millis>,
    /// The host's count of lines at its last one.
    at_line: u64,
}

#[derive(Debug)]
struct Node {
    /// The latest audit time.
    newest: Millis,
    /// The last number before the first hole.
    upto: u64,
    /// Numbers given out behind it, with their audit time.
    ahead: BTreeMap<u64, Millis>,
    /// When the first hole was seen: by receipt, by audit time, by count of lines.
    hole: (Millis, Millis, u64),
    lines: u64,
    order: u64,
}

/// Puts the lines of events together. See the module.
#[derive(Debug, Default)]
pub struct Joiner {
    waiting: BTreeMap<EventId, Waiting>,
    by_order: BTreeMap<u64, EventId>,
    nodes: BTreeMap<String, Node>,
    order: u64,
    bytes: usize,
    /// Nothing is due before this, by the time of receipt.
    due_at: Option<Millis>,
    /// Lines until all are looked at.
    until_scan: u64,
}

impl Joiner {
    /// An empty one.
    #[must_use]
    pub fn new() -> Joiner {
        Joiner::default()
    }

    /// Takes a line; gives what is ready, in the order in which it began. A line that is no audit line is given back
    /// as `Err`: it is not the joiner's.
    ///
    /// # Errors
    /// The text has no audit id: normalize it as a record of its own.
    pub fn push(&mut self, id: Coordinate, received_at: Millis, text: &str) -> Result<Vec<Output>, NotAudit> {
        let record = Record::parse(text).ok_or(NotAudit)?;
        let mut event = record.id;
        let kind = record.kind;
        if event.node.is_empty() && !text.starts_with("type=") {
            event.node = syslog::parse(text).host.as_deref().unwrap_or("").to_owned();
        }
        let mut out = Vec::new();
        let at_line = self.heard(&event, received_at);
        let order = self.next_order();
        let waiting = self.waiting.entry(event.clone()).or_insert_with(|| Waiting {
            lines: Vec::new(),
            order,
            since: received_at,
            proctitle_at: None,
            at_line,
        });
        waiting.at_line = at_line;
        if waiting.lines.is_empty() {
            self.by_order.insert(order, event.clone());
        }
        self.bytes += text.len();
        waiting.lines.push(Line {
            id,
            received_at,
            text: text.to_owned(),
        });
        let lines = waiting.lines.len();
        match &*kind {
            "EOE" => self.give(&event, End::Eoe, &mut out),
            "PROCTITLE" => {
                waiting.proctitle_at = Some(received_at);
                let due = received_at + PROCTITLE_MS;
                self.due_at = Some(self.due_at.map_or(due, |d| d.min(due)));
            }
            kind if lines == 1 && is_single(kind) => self.give(&event, End::Single, &mut out),
            _ => {}
        }
        if lines >= LINES_MAX {
            self.give(&event, End::Bound, &mut out);
        }
        while self.waiting.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.by_order.first_key_value() else {
                break;
            };
            let oldest = oldest.clone();
            self.give(&oldest, End::Bound, &mut out);
        }
        let due = received_at + TIMEOUT_MS;
        self.due_at = Some(self.due_at.map_or(due, |d| d.min(due)));
        self.until_scan = self.until_scan.saturating_sub(1);
        if self.until_scan == 0 || self.due_at.is_some_and(|d| d <= received_at) {
            self.expire(received_at, &mut out);
        }
        Ok(out)
    }

    /// Tells the time; gives what has waited long enough.
    pub fn tick(&mut self, now: Millis) -> Vec<Output> {
        let mut out = Vec::new();
        self.expire(now, &mut out);
        out
    }

    /// Gives everything, and every hole.
    pub fn flush(&mut self) -> Vec<Output> {
        let mut out = Vec::new();
        let all: Vec<EventId> = self.by_order.values().cloned().collect();
        for id in all {
            self.give(&id, End::Flush, &mut out);
        }
        for (name, node) in &mut self.nodes {
            while let Some(lost) = node.lost(name) {
                out.push(Output::Lost(lost));
            }
        }
        out
    }

    /// The records that wait, as coordinates: a stage may not say that it has passed the least of them.
    pub fn held(&self) -> impl Iterator<Item = &Coordinate> {
        self.waiting.values().flat_map(|w| w.lines.iter().map(|l| &l.id))
    }

    /// Events that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Counts a line of a host.
    fn heard(&mut self, id: &EventId, received_at: Millis) -> u64 {
        let order = self.next_order();
        if let Some(node) = self.nodes.get_mut(&id.node) {
            node.newest = node.newest.max(id.time);
            node.order = order;
            node.lines += 1;
            return node.lines;
        }
        if self.nodes.len() >= NODES_MAX
            && let Some(name) = self.nodes.iter().min_by_key(|(_, n)| n.order).map(|(k, _)| k.clone())
        {
            self.nodes.remove(&name);
        }
        let node = Node {
            newest: id.time,
            upto: id.serial.saturating_sub(1),
            ahead: BTreeMap::new(),
            hole: (received_at, id.time, 0),
            lines: 0,
            order,
        };
        self.nodes.insert(id.node.clone(), node);
        0
    }

    fn give(&mut self, id: &EventId, end: End, out: &mut Vec<Output>) {
        let Some(waiting) = self.waiting.remove(id) else {
            return;
        };
        self.by_order.remove(&waiting.order);
        self.bytes -= waiting.lines.iter().map(|l| l.text.len()).sum::<usize>();
        if let (Some(node), Some(last)) = (self.nodes.get_mut(&id.node), waiting.lines.last()) {
            node.given(id, last.received_at);
        }
        out.push(Output::Event(Joined {
            id: id.clone(),
            lines: waiting.lines,
            end,
        }));
    }

    fn expire(&mut self, now: Millis, out: &mut Vec<Output>) {
        self.until_scan = BEHIND_LINES;
        let mut due: Vec<(EventId, End)> = Vec::new();
        let mut next: Option<Millis> = None;
        for id in self.by_order.values() {
            let Some(waiting) = self.waiting.get(id) else { continue };
            let (newest, lines) = self
                .nodes
                .get(&id.node)
                .map_or((id.time, waiting.at_line), |n| (n.newest, n.lines));
            let is_behind = newest - id.time >= TIMEOUT_MS && lines - waiting.at_line >= BEHIND_LINES;
            let (at, end) = match waiting.proctitle_at {
                Some(at) => (at + PROCTITLE_MS, End::Proctitle),
                None => (waiting.since + TIMEOUT_MS, End::Timeout),
            };
            if at <= now || is_behind {
                due.push((id.clone(), end));
            } else {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        if let Some(hole) = self
            .nodes
            .values()
            .filter(|n| !n.ahead.is_empty())
            .map(|n| n.hole.0 + TIMEOUT_MS)
            .min()
        {
            next = Some(next.map_or(hole, |n| n.min(hole)));
        }
        self.due_at = next.map(|at| at.max(now + 1));
        for (id, end) in due {
            self.give(&id, end, out);
        }
        let waiting = &self.waiting;
        for (name, node) in &mut self.nodes {
            // What still waits is no loss.
            let pending: BTreeSet<u64> = waiting
                .range(EventId::least(name)..)
                .take_while(|(id, _)| id.node == *name)
                .map(|(id, _)| id.serial)
                .collect();
            while node.is_hole_old(now) || node.ahead.len() > AHEAD_MAX {
                let hole_ends = node.ahead.keys().next().copied();
                if hole_ends.is_none_or(|end| pending.range(node.upto..end).next().is_some()) {
                    break;
                }
                let Some(lost) = node.lost(name) else { break };
                out.push(Output::Lost(lost));
            }
        }
    }
}

impl EventId {
    fn least(node: &str) -> EventId {
        EventId {
            node: node.to_owned(),
            time: Millis(i64::MIN),
            serial: 0,
        }
    }
}

impl Node {
    fn is_hole_old(&self, now: Millis) -> bool {
        let (received, audit, line) = self.hole;
        !self.ahead.is_empty()
            && (now - received >= TIMEOUT_MS
                || self.newest - audit >= TIMEOUT_MS && self.lines.saturating_sub(line) >= BEHIND_LINES)
    }

    fn given(&mut self, id: &EventId, now: Millis) {
        // The host started anew: a lower number at a later time.
        if id.serial < self.upto && id.time - self.newest >= 0 && self.upto - id.serial > AHEAD_MAX as u64 {
            self.upto = id.serial.saturating_sub(1);
            self.ahead.clear();
        }
        if id.serial <= self.upto {
            return;
        }
        if self.ahead.is_empty() {
            self.hole = (now, id.time, self.lines);
        }
        self.ahead.insert(id.serial, id.time);
        self.close();
    }

    /// Moves on over what has come.
    fn close(&mut self) {
        while let Some((&serial, _)) = self.ahead.first_key_value() {
            if serial > self.upto.saturating_add(1) {
                break;
            }
            self.ahead.pop_first();
            self.upto = self.upto.max(serial);
        }
    }

    /// Gives up on the first hole.
    fn lost(&mut self, name: &str) -> Option<Lost> {
        let (&serial, &time) = self.ahead.first_key_value()?;
        let lost = Lost {
            node: name.to_owned(),
            from: self.upto.saturating_add(1),
            to: serial - 1,
            before: time,
        };
        self.upto = serial - 1;
        self.close();
        Some(lost)
    }
}

/// The text has no audit id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no audit line: it has no `type=` and `audit(SECONDS.mmm:SERIAL):`")]
pub struct NotAudit;

/// Types that programs write, each an event of its own.
fn is_single(kind: &str) -> bool {
    kind.starts_with("USER_")
        || kind.starts_with("CRED_")
        || kind.starts_with("DAEMON_")
        || kind.starts_with("ADD_")
        || kind.starts_with("DEL_")
        || kind.starts_with("GRP_")
        || kind.starts_with("ROLE_")
        || kind.starts_with("ACCT_")
        || kind.starts_with("SERVICE_")
        || kind.starts_with("SYSTEM_")
        || kind.starts_with("CRYPTO_")
        || kind == "USYS_CONFIG"
}

#[cfg(test)]
mod tests;
