//! Puts the lines of one audit event together again: they come interleaved with those of other events, out of order,
//! and some not at all.
//!
//! One joiner a source. No clock: time is engine time, as [`Joiner::push`] and [`Joiner::tick`] are told it, and never goes
//! back. An event is given out when its EOE line and as many PATH lines as its system call names have come, or 200 ms after EOE
//! where some do not; 200 ms after its PROCTITLE; at once where its type is never one
//! of several; else after 2 s, or when 64 further lines of the same host have come and its audit time is 2 s behind (so
//! a file that was received in one go is joined as it was written). Same calls, same results; what [`Joiner::state`]
//! gives and [`Joiner::load`] takes is all of it.
//!
//! Numbers that the host counted and that never came are told once, with an event of the host that is given out at least as
//! long after a later number was ([`Joined::lost`]): the kernel or the transport dropped them (its backlog, a cut
//! connection), or somebody cut them out.

use std::collections::BTreeMap;

use model::{LedgerIndex, Millis};
use serde::{Deserialize, Serialize};

use super::record::{EventId, head};

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
/// Numbers by which a host may fall back before it is taken to have started anew.
const RESTART_MIN: u64 = 1_024;
/// Runs of numbers ahead of a hole that are remembered for each host.
const RUNS_MAX: usize = 64;

/// A line, as far as the joiner reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The event that it is a part of.
    pub event: EventId,
    kind: String,
    /// Of a system call, how many PATH lines belong to it.
    items: Option<u32>,
    bytes: usize,
}

/// Why an event was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its EOE line came, and its system call with as many PATH lines as it names; or nothing else for 200 ms after.
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
    /// The leaves of its lines; never none.
    pub lines: Vec<LedgerIndex>,
    /// Why it is given out now.
    pub end: End,
    /// Numbers of its host that never came and that were not told before: each hole's first and last one.
    pub lost: Vec<(u64, u64)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Waiting {
    lines: Vec<LedgerIndex>,
    bytes: usize,
    /// Counts up: what came first goes first.
    order: u64,
    since: Millis,
    proctitle_at: Option<Millis>,
    /// When the last line came since EOE did.
    #[serde(default)]
    eoe_at: Option<Millis>,
    /// PATH lines that its system call names.
    #[serde(default)]
    items: Option<u32>,
    /// PATH lines that came.
    #[serde(default)]
    paths: u32,
    /// The host's count of lines at its last one.
    at_line: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Node {
    /// The latest audit time.
    newest: Millis,
    /// The last number before the first hole.
    upto: u64,
    /// Numbers given out behind it, by the first of each run.
    ahead: BTreeMap<u64, Run>,
    lines: u64,
    order: u64,
}

/// Numbers without a hole between them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Run {
    /// The last one.
    end: u64,
    /// When the hole before them was seen: engine time, audit time, the host's count of lines.
    seen: (Millis, Millis, u64),
}

/// Puts the lines of events together. See the module.
#[derive(Debug, Default)]
pub struct Joiner {
    waiting: BTreeMap<EventId, Waiting>,
    by_order: BTreeMap<u64, EventId>,
    nodes: BTreeMap<String, Node>,
    order: u64,
    bytes: usize,
    /// Nothing is due before this.
    due_at: Option<Millis>,
    /// Lines until all are looked at.
    until_scan: u64,
}

/// All that a joiner knows, to be kept while nobody runs.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    waiting: Vec<(EventId, Waiting)>,
    nodes: BTreeMap<String, Node>,
    order: u64,
    due_at: Option<Millis>,
    until_scan: u64,
}

impl Joiner {
    /// An empty one.
    #[must_use]
    pub fn new() -> Joiner {
        Joiner::default()
    }

    /// Takes the line of a leaf; gives what is ready, in the order in which it began.
    pub fn push(&mut self, line: LedgerIndex, now: Millis, piece: Piece) -> Vec<Joined> {
        let Piece {
            event,
            kind,
            items,
            bytes,
        } = piece;
        let mut out = Vec::new();
        let at_line = self.heard(&event);
        let order = self.next_order();
        let waiting = self.waiting.entry(event.clone()).or_insert_with(|| Waiting {
            lines: Vec::new(),
            bytes: 0,
            order,
            since: now,
            proctitle_at: None,
            eoe_at: None,
            items: None,
            paths: 0,
            at_line,
        });
        waiting.at_line = at_line;
        if waiting.lines.is_empty() {
            self.by_order.insert(order, event.clone());
        }
        self.bytes += bytes;
        waiting.bytes += bytes;
        waiting.lines.push(line);
        let lines = waiting.lines.len();
        waiting.items = waiting.items.or(items);
        waiting.paths += u32::from(kind == "PATH");
        let is_end = kind == "EOE" || waiting.eoe_at.is_some();
        // What comes by several ways may come before what was written earlier.
        let is_whole = waiting.items.is_some_and(|items| waiting.paths >= items);
        if is_end && is_whole {
            self.give(&event, End::Eoe, now, &mut out);
        } else if is_end || kind == "PROCTITLE" {
            let since = if is_end {
                &mut waiting.eoe_at
            } else {
                &mut waiting.proctitle_at
            };
            *since = Some(now);
            let due = now + PROCTITLE_MS;
            self.due_at = Some(self.due_at.map_or(due, |d| d.min(due)));
        } else if lines == 1 && is_single(&kind) {
            self.give(&event, End::Single, now, &mut out);
        }
        if lines >= LINES_MAX {
            self.give(&event, End::Bound, now, &mut out);
        }
        while self.waiting.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some((_, oldest)) = self.by_order.first_key_value() else {
                break;
            };
            let oldest = oldest.clone();
            self.give(&oldest, End::Bound, now, &mut out);
        }
        let due = now + TIMEOUT_MS;
        self.due_at = Some(self.due_at.map_or(due, |d| d.min(due)));
        self.until_scan = self.until_scan.saturating_sub(1);
        if self.until_scan == 0 || self.due_at.is_some_and(|d| d <= now) {
            self.expire(now, &mut out);
        }
        out
    }

    /// Tells the time; gives what has waited long enough.
    pub fn tick(&mut self, now: Millis) -> Vec<Joined> {
        let mut out = Vec::new();
        if self.due_at.is_some_and(|d| d <= now) {
            self.expire(now, &mut out);
        }
        out
    }

    /// Gives everything.
    pub fn flush(&mut self, now: Millis) -> Vec<Joined> {
        let mut out = Vec::new();
        let all: Vec<EventId> = self.by_order.values().cloned().collect();
        for id in all {
            self.give(&id, End::Flush, now, &mut out);
        }
        out
    }

    /// The moment at which [`Joiner::tick`] may give something: there is nothing before.
    #[must_use]
    pub fn due(&self) -> Option<Millis> {
        self.due_at.filter(|_| !self.waiting.is_empty())
    }

    /// The leaves that wait: a stage may not say that it has passed the least of them.
    pub fn held(&self) -> impl Iterator<Item = LedgerIndex> {
        self.waiting.values().flat_map(|w| w.lines.iter().copied())
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

    /// All that it knows.
    #[must_use]
    pub fn state(&self) -> State {
        State {
            waiting: self.waiting.iter().map(|(id, w)| (id.clone(), w.clone())).collect(),
            nodes: self.nodes.clone(),
            order: self.order,
            due_at: self.due_at,
            until_scan: self.until_scan,
        }
    }

    /// A joiner that goes on from there.
    #[must_use]
    pub fn load(state: State) -> Joiner {
        Joiner {
            by_order: state.waiting.iter().map(|(id, w)| (w.order, id.clone())).collect(),
            bytes: state.waiting.iter().map(|(_, w)| w.bytes).sum(),
            waiting: state.waiting.into_iter().collect(),
            nodes: state.nodes,
            order: state.order,
            due_at: state.due_at,
            until_scan: state.until_scan,
        }
    }

    fn next_order(&mut self) -> u64 {
        self.order += 1;
        self.order
    }

    /// Counts a line of a host.
    fn heard(&mut self, id: &EventId) -> u64 {
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
            lines: 0,
            order,
        };
        self.nodes.insert(id.node.clone(), node);
        0
    }

    fn give(&mut self, id: &EventId, end: End, now: Millis, out: &mut Vec<Joined>) {
        let Some(waiting) = self.waiting.remove(id) else {
            return;
        };
        self.by_order.remove(&waiting.order);
        self.bytes -= waiting.bytes;
        let mut lost = Vec::new();
        // What still waits is no loss.
        let least_waiting = self
            .waiting
            .range(EventId::least(&id.node)..)
            .take_while(|(other, _)| other.node == id.node)
            .map(|(other, _)| other.serial)
            .min();
        if let Some(node) = self.nodes.get_mut(&id.node) {
            node.given(id, now);
            while let Some((from, to)) = node.hole()
                && (end == End::Flush || node.is_hole_old(now))
                && least_waiting.is_none_or(|least| least < from || least > to)
            {
                lost.push((from, to));
                node.lose();
            }
        }
        out.push(Joined {
            id: id.clone(),
            lines: waiting.lines,
            end,
            lost,
        });
    }

    fn expire(&mut self, now: Millis, out: &mut Vec<Joined>) {
        self.until_scan = BEHIND_LINES;
        let mut due: Vec<(EventId, End)> = Vec::new();
        let mut next: Option<Millis> = None;
        for id in self.by_order.values() {
            let Some(waiting) = self.waiting.get(id) else { continue };
            let (newest, lines) = self
                .nodes
                .get(&id.node)
                .map_or((id.time, waiting.at_line), |n| (n.newest, n.lines));
            let is_behind = newest - id.time >= TIMEOUT_MS && lines.saturating_sub(waiting.at_line) >= BEHIND_LINES;
            let (at, end) = match (waiting.eoe_at, waiting.proctitle_at) {
                (Some(at), _) => (at + PROCTITLE_MS, End::Eoe),
                (None, Some(at)) => (at + PROCTITLE_MS, End::Proctitle),
                (None, None) => (waiting.since + TIMEOUT_MS, End::Timeout),
            };
            if at <= now || is_behind {
                due.push((id.clone(), end));
            } else {
                next = Some(next.map_or(at, |n| n.min(at)));
            }
        }
        self.due_at = next;
        for (id, end) in due {
            self.give(&id, end, now, out);
        }
    }
}

impl Piece {
    /// What a line is. `None`: the text has no audit id, it is a record of its own.
    #[must_use]
    pub fn read(text: &str) -> Option<Piece> {
        Piece::read_of(text, None)
    }

    /// [`Piece::read`] of a line that came in an envelope, which tells a host.
    #[must_use]
    pub fn read_of(text: &str, host: Option<&str>) -> Option<Piece> {
        let (mut event, kind, fields) = head(text)?;
        event.node = super::node(event.node, text, host);
        let items = || {
            let count = fields.split_ascii_whitespace().find_map(|w| w.strip_prefix("items="));
            count.and_then(|n| n.parse().ok()).unwrap_or(0)
        };
        Some(Piece {
            event,
            items: (kind == "SYSCALL").then(items),
            kind: kind.into_owned(),
            bytes: text.len(),
        })
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
    /// The first hole, from its first number to its last.
    fn hole(&self) -> Option<(u64, u64)> {
        let (&start, _) = self.ahead.first_key_value()?;
        Some((self.upto.saturating_add(1), start.saturating_sub(1)))
    }

    fn is_hole_old(&self, now: Millis) -> bool {
        let Some((_, run)) = self.ahead.first_key_value() else {
            return false;
        };
        let (seen, audit, line) = run.seen;
        now - seen >= TIMEOUT_MS
            || self.newest - audit >= TIMEOUT_MS && self.lines.saturating_sub(line) >= BEHIND_LINES
            || self.ahead.len() > RUNS_MAX
    }

    fn given(&mut self, id: &EventId, now: Millis) {
        // The host started anew: a lower number at a later time.
        if id.serial < self.upto && id.time >= self.newest && self.upto - id.serial > RESTART_MIN {
            self.upto = id.serial.saturating_sub(1);
            self.ahead.clear();
        }
        if id.serial <= self.upto {
            return;
        }
        self.insert(id.serial, (now, id.time, self.lines));
        self.close();
    }

    /// Adds a number to the runs.
    fn insert(&mut self, serial: u64, mut seen: (Millis, Millis, u64)) {
        let (mut start, mut end) = (serial, serial);
        if let Some((&before, run)) = self.ahead.range(..=serial).next_back() {
            if run.end >= serial {
                return;
            }
            if run.end == serial - 1 {
                (start, seen) = (before, run.seen);
            }
        }
        if let Some(run) = serial.checked_add(1).and_then(|next| self.ahead.remove(&next)) {
            end = run.end;
        }
        self.ahead.insert(start, Run { end, seen });
    }

    /// Moves on over what has come.
    fn close(&mut self) {
        while let Some((&start, &Run { end, .. })) = self.ahead.first_key_value() {
            if start > self.upto.saturating_add(1) {
                break;
            }
            self.ahead.pop_first();
            self.upto = self.upto.max(end);
        }
    }

    /// Gives up on the first hole.
    fn lose(&mut self) {
        if let Some((_, to)) = self.hole() {
            self.upto = to;
            self.close();
        }
    }
}

/// Types that programs write, each an event of its own.
fn is_single(kind: &str) -> bool {
    let of_programs = [
        "USER_", "CRED_", "DAEMON_", "ADD_", "DEL_", "GRP_", "ROLE_", "ACCT_", "SERVICE_", "SYSTEM_", "CRYPTO_",
    ];
    of_programs.iter().any(|program| kind.starts_with(program)) || kind == "USYS_CONFIG"
}

#[cfg(test)]
mod tests;
