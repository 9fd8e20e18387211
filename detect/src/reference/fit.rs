//! Conditions over the rows of one table, read once: what of them no event changes is known of every row, cells are numbers, moments
//! and networks already, and what an event brings is read once for all rows. The plain way is [`holds`](super::holds).

use std::cell::OnceCell;
use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::atomic::{self, AtomicU8};
use std::sync::{Arc, OnceLock};

use ipnet::IpNet;
use jiff::tz::TimeZone;
use model::Millis;
use serde_json::Value as Json;
use smallvec::SmallVec;

use super::cell::{each_value, moment, scalar};
use super::condition::holds;
use super::scope::{Aliases, Item, Scope, resolve};
use super::{Table, Tables};
use crate::policy::{Condition, Op, Reference, Root, Subject, Test, Value};
use crate::sigma::{Number, lower};

/// A condition over the rows of a table, or over rows that are still to come.
#[derive(Debug)]
pub(crate) struct Fit {
    node: Node,
    /// How many tests compare with what an event brings.
    compared: usize,
}

#[derive(Debug)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    None(Vec<Node>),
    /// Of each row whether it holds, whatever the event.
    Known(Known),
    /// Cells compared with what the event brings.
    Compared(Compared),
    Plain(Condition),
}

/// A condition that rows alone decide, and what is known of each.
#[derive(Debug)]
struct Known {
    condition: Condition,
    rows: Vec<AtomicU8>,
}

/// What is known of a row: nothing yet, or whether the condition holds.
const UNKNOWN: u8 = 0;
const NO: u8 = 1;
const YES: u8 = 2;

/// A test of a column's cells against references that say the same for every row.
#[derive(Debug)]
pub(super) struct Compared {
    place: usize,
    compare: Compare,
    references: Vec<Reference>,
    /// The cells of each row; none of a table kept from events, whose only column so compared is `time`.
    cells: Option<Arc<Cells>>,
}

/// The cells of a column, each read when it is first asked for.
#[derive(Debug)]
pub(super) struct Cells {
    column: Arc<str>,
    zone: TimeZone,
    rows: Vec<OnceLock<Box<[Cell]>>>,
}

impl Cells {
    /// The cells of so many rows.
    pub fn new(column: &Arc<str>, rows: usize, zone: &TimeZone) -> Cells {
        Cells {
            column: column.clone(),
            zone: zone.clone(),
            rows: (0..rows).map(|_| OnceLock::new()).collect(),
        }
    }

    fn of(&self, table: &Table, row: usize) -> &[Cell] {
        self.rows[row].get_or_init(|| {
            let mut cells = Vec::new();
            let mut read = |v| cells.push(Cell::of(&scalar(v), &self.zone));
            each_value(&table.rows()[row], &self.column, &mut read);
            cells.into()
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Equals,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Covers,
    Within,
}

/// A cell's text as whatever it is.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub lower: Box<str>,
    pub number: Option<Number>,
    moment: Option<Millis>,
    pub net: Option<Net>,
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    Of(IpNet),
    One(IpAddr),
}

/// What an event brings to a test.
#[derive(Debug)]
pub(super) struct Brought {
    /// It is a moment, not text.
    time: Option<Millis>,
    /// It is the event's time, moved by so many milliseconds.
    moved_ms: Option<i64>,
    pub cell: Cell,
}

/// What an event brings to each test, once it was asked.
#[derive(Debug, Default)]
pub(super) struct Brings(SmallVec<[OnceCell<SmallVec<[Brought; 1]>>; 4]>);

/// A row at hand.
pub(super) enum Row<'a> {
    /// Of a reference table.
    Of(&'a Table, usize),
    /// Of a table kept from events, with its time.
    Event(&'a Json, Millis),
}

impl Cell {
    fn of(text: &str, zone: &TimeZone) -> Cell {
        let trimmed = text.trim();
        let net = match trimmed.parse::<IpNet>() {
            Ok(net) => Some(Net::Of(net)),
            Err(_) => trimmed.parse::<IpAddr>().ok().map(|ip| Net::One(ip.to_canonical())),
        };
        Cell {
            lower: lower(text).into(),
            number: Number::parse(text),
            moment: moment(text, zone),
            net,
        }
    }

    /// A row's own time.
    fn time(time: Millis, zone: &TimeZone) -> Cell {
        // What is far from now may be written, and read, otherwise.
        if !(1_000_000_000_000..10_000_000_000_000).contains(&time.0) {
            return Cell::of(&time.0.to_string(), zone);
        }
        Cell {
            lower: Box::default(),
            number: Some(Number::Int(i128::from(time.0))),
            moment: Some(time),
            net: None,
        }
    }
}

impl Brought {
    fn of(item: &Item<'_>, compare: Compare, zone: &TimeZone) -> Brought {
        let (time, text) = match item {
            Item::Time(time) => (Some(*time), None),
            Item::Text(text) => (None, Some(text.as_ref())),
        };
        // Only what is asked is read.
        let text_of = |wanted: bool| text.filter(|_| wanted);
        let ordered = compare.is_order();
        let address = |text: &str| text.trim().parse::<IpAddr>().ok().map(|ip| Net::One(ip.to_canonical()));
        Brought {
            time,
            moved_ms: None,
            cell: Cell {
                lower: text_of(compare == Compare::Equals).map_or_else(Box::default, |t| lower(t).into()),
                number: text_of(ordered || compare == Compare::Equals).and_then(Number::parse),
                moment: text_of(ordered).and_then(|t| moment(t, zone)),
                net: match (compare, text) {
                    (Compare::Covers, Some(text)) => address(text),
                    (Compare::Within, Some(text)) => Cell::of(text, zone).net,
                    _ => None,
                },
            },
        }
    }

    /// How a cell stands to it: numbers as numbers, times as moments.
    fn order(&self, cell: &Cell) -> Option<Ordering> {
        match (self.time, cell.number.zip(self.cell.number)) {
            (None, Some((a, b))) => Some(a.cmp(&b)),
            (time, _) => cell.moment.zip(time.or(self.cell.moment)).map(|(a, b)| a.cmp(&b)),
        }
    }

    /// The address that it is.
    pub fn address(&self) -> Option<IpAddr> {
        match self.cell.net {
            Some(Net::One(ip)) => Some(ip),
            _ => None,
        }
    }

    /// Whether it is found by its text or its number alone.
    pub fn is_text(&self) -> bool {
        self.time.is_none()
    }
}

fn contains(net: Option<Net>, ip: Option<Net>) -> bool {
    match (net, ip) {
        (Some(Net::Of(net)), Some(Net::One(ip))) => net.contains(&ip),
        (Some(Net::One(net)), Some(Net::One(ip))) => net == ip,
        _ => false,
    }
}

impl Compare {
    fn of(op: &Op) -> Option<(Compare, &[Value])> {
        Some(match op {
            Op::Equals(values) => (Compare::Equals, values),
            Op::Lt(values) => (Compare::Less, values),
            Op::Lte(values) => (Compare::LessOrEqual, values),
            Op::Gt(values) => (Compare::Greater, values),
            Op::Gte(values) => (Compare::GreaterOrEqual, values),
            Op::Covers(values) => (Compare::Covers, values),
            Op::Cidr(values) => (Compare::Within, values),
            _ => return None,
        })
    }

    fn is_order(self) -> bool {
        use Compare::{Greater, GreaterOrEqual, Less, LessOrEqual};
        matches!(self, Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    fn holds(self, cell: &Cell, brought: &Brought) -> bool {
        let (a, b) = (cell, &brought.cell);
        match self {
            Compare::Equals => match brought.time {
                Some(time) => a.moment == Some(time),
                None => a.lower == b.lower || a.number.zip(b.number).is_some_and(|(a, b)| a == b),
            },
            Compare::Covers => contains(a.net, b.net),
            Compare::Within => contains(b.net, a.address()),
            Compare::Less => brought.order(a).is_some_and(Ordering::is_lt),
            Compare::LessOrEqual => brought.order(a).is_some_and(Ordering::is_le),
            Compare::Greater => brought.order(a).is_some_and(Ordering::is_gt),
            Compare::GreaterOrEqual => brought.order(a).is_some_and(Ordering::is_ge),
        }
    }
}

impl Cell {
    fn address(&self) -> Option<Net> {
        self.net.filter(|net| matches!(net, Net::One(_)))
    }
}

/// What a condition is read for.
enum Of<'a> {
    Table(&'a Table),
    Events,
    /// Rows of which nothing is kept.
    Plain,
}

/// Rows of a table of which a lookup that has a key keeps what it knows.
const ROWS_MAX: usize = 100_000;

impl Fit {
    /// A condition over the rows of a reference table.
    pub fn of(condition: &Condition, table: &Table, tables: &Tables) -> Fit {
        Fit::read(condition, &Of::Table(table), tables)
    }

    /// As [`Fit::of`], of rows that are found by a key: of a table that is too large nothing is kept.
    pub fn of_few(condition: &Condition, table: &Table, tables: &Tables) -> Fit {
        match table.rows().len() {
            0..=ROWS_MAX => Fit::of(condition, table, tables),
            _ => Fit::read(condition, &Of::Plain, tables),
        }
    }

    /// A condition over rows that are kept from events.
    pub fn of_events(condition: &Condition, tables: &Tables) -> Fit {
        Fit::read(condition, &Of::Events, tables)
    }

    fn read(condition: &Condition, of: &Of<'_>, tables: &Tables) -> Fit {
        let mut compared = 0;
        let node = Node::read(condition, of, tables, &mut compared);
        Fit { node, compared }
    }

    /// Room for what an event brings.
    pub fn brings(&self) -> Brings {
        Brings((0..self.compared).map(|_| OnceCell::new()).collect())
    }

    /// Whether the condition holds for a row.
    pub fn holds(&self, row: &Row<'_>, scope: &Scope<'_>, brings: &Brings) -> bool {
        self.node.holds(row, scope, brings)
    }

    /// The rows that an event may fit, as far as no event changes it.
    pub fn rows(&self, table: &Table, tables: &Tables) -> Vec<u32> {
        let aliases = Aliases::new();
        let scope = Scope {
            event: None,
            aliases: &aliases,
            row: None,
            count: None,
            zone: tables.zone(),
            calendar: tables.calendar(),
        };
        let known = || self.parts().filter_map(Node::known);
        let fits = |row: &usize| known().all(|k| k.holds(table, *row, &scope));
        (0..table.rows().len()).filter(fits).map(|row| row as u32).collect()
    }

    /// The tests that all rows have to satisfy.
    pub fn compared(&self) -> impl Iterator<Item = &Compared> {
        self.parts().filter_map(|node| match node {
            Node::Compared(compared) => Some(compared),
            _ => None,
        })
    }

    fn parts(&self) -> impl Iterator<Item = &Node> {
        let alone = std::slice::from_ref(&self.node);
        match &self.node {
            Node::All(nodes) => nodes.iter(),
            _ => alone.iter(),
        }
    }
}

impl Known {
    fn holds(&self, table: &Table, row: usize, scope: &Scope<'_>) -> bool {
        let known = self.rows[row].load(atomic::Ordering::Relaxed);
        if known != UNKNOWN {
            return known == YES;
        }
        let at = Some(&*table.rows()[row]);
        let holds = holds(&self.condition, &Scope { row: at, ..*scope });
        self.rows[row].store(if holds { YES } else { NO }, atomic::Ordering::Relaxed);
        holds
    }
}

impl Compared {
    /// A row's cells.
    pub fn cells(&self, table: &Table, row: usize) -> &[Cell] {
        self.cells.as_ref().map_or(&[], |cells| cells.of(table, row))
    }

    pub fn compare(&self) -> Compare {
        self.compare
    }

    /// What the event brings to this test.
    pub fn brought<'b>(&self, scope: &Scope<'_>, brings: &'b Brings) -> &'b [Brought] {
        let resolved = || {
            let mut brought = SmallVec::new();
            for reference in &self.references {
                if let (Root::EventTime, 0, 0) = (&reference.root, reference.plus, reference.working_days) {
                    brought.extend(scope.event.map(|event| {
                        let time = event.compared_time().plus_ms(reference.offset_ms);
                        Brought {
                            moved_ms: Some(reference.offset_ms),
                            ..Brought::of(&Item::Time(time), self.compare, scope.zone)
                        }
                    }));
                    continue;
                }
                let items = resolve(reference, scope);
                brought.extend(items.iter().map(|i| Brought::of(i, self.compare, scope.zone)));
            }
            brought
        };
        brings.0[self.place].get_or_init(resolved)
    }
}

impl Node {
    fn read(condition: &Condition, of: &Of<'_>, tables: &Tables, compared: &mut usize) -> Node {
        if let (Of::Table(table), true) = (of, is_of_rows(condition)) {
            return Node::Known(Known {
                condition: condition.clone(),
                rows: table.rows().iter().map(|_| AtomicU8::new(UNKNOWN)).collect(),
            });
        }
        let mut all =
            |conditions: &[Condition]| conditions.iter().map(|c| Node::read(c, of, tables, compared)).collect();
        match condition {
            Condition::All(conditions) => Node::All(all(conditions)),
            Condition::Any(conditions) => Node::Any(all(conditions)),
            Condition::None(conditions) => Node::None(all(conditions)),
            Condition::Test(test) => match Compared::read(test, of, tables, *compared) {
                Some(test) => {
                    *compared += 1;
                    Node::Compared(test)
                }
                None => Node::Plain(condition.clone()),
            },
        }
    }

    fn known(&self) -> Option<&Known> {
        match self {
            Node::Known(known) => Some(known),
            _ => None,
        }
    }

    fn holds(&self, row: &Row<'_>, scope: &Scope<'_>, brings: &Brings) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|n| n.holds(row, scope, brings)),
            Node::Any(nodes) => nodes.iter().any(|n| n.holds(row, scope, brings)),
            Node::None(nodes) => !nodes.iter().any(|n| n.holds(row, scope, brings)),
            Node::Known(known) => matches!(row, Row::Of(table, row) if known.holds(table, *row, scope)),
            Node::Compared(test) => {
                let brought = test.brought(scope, brings);
                let holds = |cell: &Cell, b: &Brought| {
                    if let (Some(offset_ms), Some(moment), Some(event)) = (b.moved_ms, cell.moment, scope.event) {
                        event.same_beside(moment, offset_ms);
                    }
                    test.compare.holds(cell, b)
                };
                let any = |cell: &Cell| brought.iter().any(|b| holds(cell, b));
                match row {
                    Row::Of(table, row) => test.cells(table, *row).iter().any(any),
                    Row::Event(_, time) => !brought.is_empty() && any(&Cell::time(*time, scope.zone)),
                }
            }
            Node::Plain(condition) => {
                let row: &Json = match row {
                    Row::Of(table, row) => &table.rows()[*row],
                    Row::Event(row, _) => row,
                };
                let row = Some(row);
                holds(condition, &Scope { row, ..*scope })
            }
        }
    }
}

impl Compared {
    fn read(test: &Test, of: &Of<'_>, tables: &Tables, place: usize) -> Option<Compared> {
        let Subject::Column(column) = &test.subject else {
            return None;
        };
        let (compare, values) = Compare::of(&test.op)?;
        let references = values.iter().map(|value| match value {
            Value::Reference(reference) if !is_of_row(reference) => Some(reference.clone()),
            _ => None,
        });
        let references = references.collect::<Option<Vec<_>>>()?;
        let cells = match of {
            Of::Table(table) => Some(table.cells(column, tables.zone())),
            // Texts of a moment are compared as texts elsewhere.
            Of::Events if &**column == "time" && compare.is_order() => None,
            Of::Events | Of::Plain => return None,
        };
        Some(Compared {
            place,
            compare,
            references,
            cells,
        })
    }
}

fn is_of_row(reference: &Reference) -> bool {
    matches!(reference.root, Root::Row { .. })
}

/// Whether rows alone decide, no event and no other row.
fn is_of_rows(condition: &Condition) -> bool {
    let mut alone = true;
    condition.for_each_reference(&mut |reference| alone &= is_of_row(reference));
    alone
}
