//! A lookup over the tables as they are: the index that picks the fewest rows, and what is left to ask of them.

use std::net::IpAddr;
use std::sync::Arc;

use foldhash::{HashMap, HashMapExt as _};
use ipnet::IpNet;
use model::Millis;
use smallvec::SmallVec;

use super::fit::{Brings, Brought, Compare, Compared, Fit, Net, Row};
use super::index::Index;
use super::lookup::{EventRow, Gap, key_values, valid_row};
use super::scope::{Answer, Scope};
use super::{Table, Tables};
use crate::policy::{Lookup, Op, Pick, Root};
use crate::sigma::Number;

/// A lookup, read for the tables that it asks.
#[derive(Debug)]
pub struct Join {
    from: From,
    fit: Fit,
    /// The number of what it asks of an event, where that rests on nothing but the event; other rules may ask the same.
    question: Option<u32>,
}

#[derive(Debug)]
enum From {
    /// The table was not loaded.
    Nowhere,
    /// The rows of a key.
    Key(Arc<Table>, Arc<Index>),
    /// All rows that may fit, and how they are found.
    Rows(Arc<Table>, Vec<u32>, Found),
    /// Rows kept from events; whether they may say of themselves when they are valid.
    Events { valid: bool },
}

/// How rows without a key are found.
#[derive(Debug)]
enum Found {
    /// They are looked through.
    Through,
    /// By the cells that a test wants equal.
    Equal(usize, Equal),
    /// By the networks that a test wants around an address.
    Around(usize, Networks),
}

/// Rows by the cells of a column.
#[derive(Debug, Default)]
struct Equal {
    texts: HashMap<Box<str>, Vec<u32>>,
    numbers: HashMap<(i128, u64), Vec<u32>>,
}

/// Rows by networks, of each length of prefix.
#[derive(Debug, Default)]
struct Networks(Vec<(u8, HashMap<IpNet, Vec<u32>>)>);

type Rows = SmallVec<[u32; 8]>;

impl Join {
    /// The lookups of a policy, read for these tables; `has_column` says whether the table of a rule has a column.
    pub fn all(lookups: &[Lookup], tables: &Tables, has_column: &dyn Fn(&Lookup, &str) -> bool) -> Vec<Join> {
        let join = |lookup: &Lookup| Join::of(lookup, tables, has_column);
        lookups.iter().map(join).collect()
    }

    fn of(lookup: &Lookup, tables: &Tables, has_column: &dyn Fn(&Lookup, &str) -> bool) -> Join {
        if lookup.event_table.is_some() {
            return Join {
                from: From::Events {
                    valid: has_column(lookup, "valid_from") || has_column(lookup, "valid_to"),
                },
                fit: Fit::of_events(&lookup.condition, tables),
                question: None,
            };
        }
        let Some(table) = tables.get(&lookup.table).cloned() else {
            return Join {
                from: From::Nowhere,
                fit: Fit::of_events(&lookup.condition, tables),
                question: None,
            };
        };
        let (fit, from) = if lookup.key.is_empty() {
            let fit = Fit::of(&lookup.condition, &table, tables);
            let rows = fit.rows(&table, tables);
            let found = Found::of(&fit, &table, &rows);
            (fit, From::Rows(table, rows, found))
        } else {
            let columns: Vec<Arc<str>> = lookup.key.iter().map(|(c, _)| c.clone()).collect();
            let index = table.index(&columns);
            (Fit::of_few(&lookup.condition, &table, tables), From::Key(table, index))
        };
        Join {
            from,
            fit,
            question: None,
        }
    }

    /// Numbers what a lookup asks of events: `questions` are those that were asked by others.
    pub fn number(&mut self, lookup: &Lookup, questions: &mut HashMap<String, u32>) {
        if let Some(question) = question(lookup) {
            let next = questions.len() as u32;
            self.question = Some(*questions.entry(question).or_insert(next));
        }
    }

    /// The row that a lookup of a reference table finds; as [`reference_rows`](super::reference_rows), the first or the last.
    pub(super) fn reference_row(
        &self,
        lookup: &Lookup,
        at: Option<Millis>,
        scope: &Scope<'_>,
        tables: &Tables,
    ) -> Result<Option<(&Arc<Table>, usize)>, Gap> {
        let asked = self.question.zip(scope.event);
        let row = match asked.and_then(|(question, event)| event.answer(question)) {
            Some(answer) => answer?,
            None => {
                let answer = self.find(lookup, at, scope, tables);
                if let Some((question, event)) = asked {
                    event.remember(question, &answer);
                }
                answer?
            }
        };
        Ok(match &self.from {
            From::Key(table, _) | From::Rows(table, ..) => row.map(|row| (table, row)),
            From::Nowhere | From::Events { .. } => None,
        })
    }

    fn find(&self, lookup: &Lookup, at: Option<Millis>, scope: &Scope<'_>, tables: &Tables) -> Answer {
        let brings = self.fit.brings();
        let last = lookup.pick == Pick::Last;
        // Rows that have to be valid when the event was.
        let event = scope.event.filter(|_| lookup.at.is_none());
        let valid = |table: &Table, row: usize| {
            at.is_none_or(|at| {
                if let Some(event) = event {
                    let (from, until) = table.valid_alike(row, at);
                    event.same_between(from, until);
                }
                table.valid(row, at)
            })
        };
        Ok(match &self.from {
            From::Nowhere | From::Events { .. } => return Err(Gap::Table(lookup.table.clone())),
            From::Key(table, index) => {
                let mut values = key_values(lookup, scope)?;
                tables.widen_key(lookup, &mut values);
                let (mut equal, mut matching) = index.rows(&values);
                equal.retain(|row| valid(table, *row));
                if equal.is_empty() {
                    matching.retain(|row| valid(table, *row));
                }
                let rows = if equal.is_empty() { matching } else { equal };
                let fits = |row: &usize| self.fit.holds(&Row::Of(table, *row), scope, &brings);
                let mut rows = rows.into_iter();
                if last { rows.rfind(fits) } else { rows.find(fits) }
            }
            From::Rows(table, rows, found) => {
                let some = found.rows(&self.fit, scope, &brings);
                let rows = some.as_deref().unwrap_or(rows);
                let fits = |row: &&u32| {
                    let row = **row as usize;
                    valid(table, row) && self.fit.holds(&Row::Of(table, row), scope, &brings)
                };
                let row = if last {
                    rows.iter().rfind(fits)
                } else {
                    rows.iter().find(fits)
                };
                row.map(|row| *row as usize)
            }
        })
    }

    /// Leaves the rows kept from events that a lookup wants.
    pub(super) fn retain(&self, rows: &mut Vec<EventRow>, at: Option<Millis>, scope: &Scope<'_>) {
        let brings = self.fit.brings();
        let valid = matches!(self.from, From::Events { valid: true });
        rows.retain(|row| {
            at.is_none_or(|at| !valid || valid_row(&row.row, at, scope))
                && self.fit.holds(&Row::Event(&row.row, row.time), scope, &brings)
        });
    }
}

/// What a lookup of a reference table asks, where it rests on nothing but the event.
fn question(lookup: &Lookup) -> Option<String> {
    let mut of_event = lookup.event_table.is_none();
    let mut each = |root: &Root| of_event &= !matches!(root, Root::Alias { .. } | Root::Count);
    lookup
        .condition
        .for_each_reference(&mut |reference| each(&reference.root));
    lookup.at.iter().for_each(|reference| each(&reference.root));
    for (_, value) in &lookup.key {
        value.references().iter().for_each(|reference| each(&reference.root));
    }
    // Of an expression its text is not all.
    lookup
        .condition
        .for_each_test(&mut |test| of_event &= !matches!(test.op, Op::Re(_)));
    let Lookup {
        table,
        key,
        condition,
        at,
        ever,
        pick,
        ..
    } = lookup;
    of_event.then(|| format!("{:?}", (table, key, condition, at, ever, pick)))
}

impl Found {
    fn of(fit: &Fit, table: &Table, rows: &[u32]) -> Found {
        let place = |wanted: Compare| fit.compared().position(|test| test.compare() == wanted);
        if let Some((n, test)) = place(Compare::Equals).and_then(|n| Some((n, fit.compared().nth(n)?))) {
            return Found::Equal(n, Equal::of(test, table, rows));
        }
        if let Some((n, test)) = place(Compare::Covers).and_then(|n| Some((n, fit.compared().nth(n)?))) {
            return Found::Around(n, Networks::of(test, table, rows));
        }
        Found::Through
    }

    /// The rows among which those are that fit, in order; `None`: all.
    fn rows(&self, fit: &Fit, scope: &Scope<'_>, brings: &Brings) -> Option<Rows> {
        let (Found::Equal(n, _) | Found::Around(n, _)) = self else {
            return None;
        };
        let brought = fit.compared().nth(*n)?.brought(scope, brings);
        let mut rows = Rows::new();
        match self {
            Found::Through => return None,
            Found::Equal(_, equal) => {
                // Moments may be written in many ways.
                if !brought.iter().all(Brought::is_text) {
                    return None;
                }
                for item in brought {
                    let number = item.cell.number.and_then(|n| equal.numbers.get(&number_key(n)));
                    let found = [equal.texts.get(&*item.cell.lower), number];
                    rows.extend(found.into_iter().flatten().flatten().copied());
                }
            }
            Found::Around(_, networks) => {
                for ip in brought.iter().filter_map(Brought::address) {
                    networks.around(ip, &mut rows);
                }
            }
        }
        rows.sort_unstable();
        rows.dedup();
        Some(rows)
    }
}

/// Numbers that are equal have one key.
fn number_key(number: Number) -> (i128, u64) {
    match number {
        Number::Int(int) => (int, 0),
        Number::Float(float) => (0, float.to_bits()),
    }
}

impl Equal {
    fn of(test: &Compared, table: &Table, rows: &[u32]) -> Equal {
        let mut equal = Equal::default();
        for row in rows {
            for cell in test.cells(table, *row as usize) {
                equal.texts.entry(cell.lower.clone()).or_default().push(*row);
                if let Some(number) = cell.number {
                    equal.numbers.entry(number_key(number)).or_default().push(*row);
                }
            }
        }
        equal
    }
}

impl Networks {
    fn of(test: &Compared, table: &Table, rows: &[u32]) -> Networks {
        let mut networks = Networks::default();
        for row in rows {
            for net in test.cells(table, *row as usize).iter().filter_map(|cell| cell.net) {
                let net = match net {
                    Net::Of(net) => net.trunc(),
                    Net::One(ip) => IpNet::from(ip),
                };
                let of = networks.0.iter().position(|(bits, _)| *bits == net.prefix_len());
                let of = of.unwrap_or_else(|| {
                    networks.0.push((net.prefix_len(), HashMap::new()));
                    networks.0.len() - 1
                });
                networks.0[of].1.entry(net).or_default().push(*row);
            }
        }
        networks
    }

    fn around(&self, ip: IpAddr, rows: &mut Rows) {
        for (bits, nets) in &self.0 {
            if let Ok(net) = IpNet::new(ip, *bits) {
                rows.extend(nets.get(&net.trunc()).into_iter().flatten().copied());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use jiff::tz::TimeZone;
    use model::Namespace;
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Value as Json, json};

    use super::super::condition::tests::Seen;
    use super::super::{EventTables, EventValues, Lookups, Spanned};
    use super::*;
    use crate::policy::{
        Condition, EventField, Expect, Literal, Op, PolicyIndex, Reference, Root, Subject, Test, Value,
    };
    use crate::sigma::Pattern;

    /// Texts that are numbers, moments, networks and names, some the same in another notation.
    const TEXTS: [&str; 24] = [
        "",
        "li",
        "LI",
        "wu",
        "7",
        "7.0",
        "-3",
        "1e3",
        "1000",
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.9",
        "10.1.2.9/32",
        "::ffff:10.1.2.9",
        "fd00::/8",
        "fd00::7",
        "2026-05-04",
        "2026-05-04T10:00:00Z",
        "2026-05-04 18:00",
        "1777888800000",
        "1777888800001",
        " 7 ",
        "true",
        "l*",
    ];

    fn text() -> impl Strategy<Value = &'static str> {
        select(&TEXTS[..])
    }

    fn cell() -> impl Strategy<Value = Json> {
        prop_oneof![
            6 => text().prop_map(Json::from),
            1 => Just(Json::Null),
            1 => select(vec![json!(7), json!(7.5), json!(1_777_888_800_000_i64), json!(true)]),
            2 => prop::collection::vec(text(), 0..3).prop_map(|texts| json!(texts)),
        ]
    }

    fn row() -> impl Strategy<Value = Json> {
        let valid = select(vec![Json::Null, json!("2026-05-04"), json!("2026-05-05")]);
        (cell(), cell(), valid.clone(), valid)
            .prop_map(|(a, b, from, to)| json!({"a": a, "b": b, "valid_from": from, "valid_to": to}))
    }

    fn reference() -> impl Strategy<Value = Value> {
        let root = prop_oneof![
            4 => select(vec!["x", "y"]).prop_map(|f| Root::Event(EventField::new(Namespace::Ocsf, f))),
            2 => Just(Root::EventTime),
            1 => Just(Root::Row { column: "b".into() }),
            1 => Just(Root::Alias { alias: "before".into(), column: "b".into() }),
        ];
        (root, select(vec![0, 0, 0, 1, -86_400_000])).prop_map(|(root, offset_ms)| {
            Value::Reference(Reference {
                root,
                offset_ms,
                working_days: 0,
                plus: 0,
            })
        })
    }

    fn value() -> impl Strategy<Value = Value> {
        let literal = |raw: &str| Literal::Text {
            raw: raw.to_owned(),
            pattern: Pattern::parse(raw),
        };
        prop_oneof![
            3 => reference(),
            1 => text().prop_map(move |t| Value::Literal(literal(t))),
        ]
    }

    fn condition() -> impl Strategy<Value = Condition> {
        let values = prop::collection::vec(value(), 1..3);
        let ops: Vec<fn(Vec<Value>) -> Op> = vec![
            Op::Equals,
            Op::Equals,
            Op::Lt,
            Op::Lte,
            Op::Gt,
            Op::Gte,
            Op::Covers,
            Op::Covers,
            Op::Cidr,
            Op::Contains,
            Op::Within,
        ];
        let op = prop_oneof![
            8 => (select(ops), values).prop_map(|(op, values)| op(values)),
            1 => any::<bool>().prop_map(Op::Exists),
        ];
        let column = select(vec!["a", "b", "time"]).prop_map(|c| Subject::Column(c.into()));
        let test = (column, op).prop_map(|(subject, op)| Condition::Test(Test { subject, op }));
        test.prop_recursive(2, 6, 3, |inner| {
            let inner = prop::collection::vec(inner, 0..3);
            prop_oneof![
                3 => inner.clone().prop_map(Condition::All),
                1 => inner.clone().prop_map(Condition::Any),
                1 => inner.prop_map(Condition::None),
            ]
        })
    }

    fn lookup() -> impl Strategy<Value = Lookup> {
        let key = prop::collection::vec((select(vec!["a", "b"]).prop_map(Arc::from), reference()), 0..2);
        let pick = select(vec![Pick::First, Pick::Last, Pick::Nearest]);
        let expect = select(vec![Expect::Some, Expect::None, Expect::Any]);
        (condition(), key, pick, expect, any::<bool>()).prop_map(|(condition, key, pick, expect, ever)| Lookup {
            table: "rows".into(),
            event_table: None,
            alias: Some("before".into()),
            key,
            condition,
            expect,
            at: None,
            ever,
            claim: None,
            pick,
            place: crate::Place::default(),
        })
    }

    /// A table kept from events: whatever the key, all of its rows.
    struct All(Vec<EventRow>);

    impl EventTables for All {
        fn rows(&self, _: PolicyIndex, _: &[Arc<str>], _: &[Vec<String>]) -> Vec<EventRow> {
            self.0.clone()
        }
        fn claim(&self, _: usize, _: &str, _: Option<String>, rows: Vec<EventRow>) -> Option<EventRow> {
            rows.into_iter().next()
        }
    }

    /// An event that remembers what was answered of it.
    struct Remembering<'a>(&'a Seen, RefCell<BTreeMap<u32, Answer>>);

    impl EventValues for Remembering<'_> {
        fn time(&self) -> Millis {
            self.0.time()
        }
        fn received_at(&self) -> Millis {
            self.0.received_at()
        }
        fn values(&self, field: &EventField) -> &[Arc<str>] {
            self.0.values(field)
        }
        fn answer(&self, question: u32) -> Option<Answer> {
            self.1.borrow().get(&question).cloned()
        }
        fn remember(&self, question: u32, answer: &Answer) {
            self.1.borrow_mut().insert(question, answer.clone());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Rows that are found by an index, and cells that were read before, say what looking through all of them says.
        #[test]
        fn as_looked_through(
            rows in prop::collection::vec(row(), 0..8),
            lookups in prop::collection::vec((lookup(), any::<bool>()), 1..3),
            x in prop::collection::vec(text(), 0..3),
            y in prop::collection::vec(text(), 0..2),
            at in select(vec![1_777_852_800_000_i64, 1_777_888_800_000, 1_777_888_800_001, 7]),
        ) {
            let mut tables = Tables::default();
            tables.load("rows", json!(rows).to_string().as_bytes()).unwrap();
            let texts = |texts: &[&str]| texts.iter().map(|t| Arc::from(*t)).collect();
            let fields = [("x", texts(&x)), ("y", texts(&y))].map(|(f, v)| (EventField::new(Namespace::Ocsf, f), v));
            let event = Seen { time: Millis(at), fields: BTreeMap::from(fields) };
            let kept = rows.iter().enumerate().map(|(n, row)| {
                let time = Millis(at + n as i64 - 2);
                let mut row = row.clone();
                row["time"] = json!(time.0);
                EventRow { row: Arc::new(row), record: "t/0/1".parse().unwrap(), time, id: format!("{n}").into() }
            });
            let events = All(kept.collect());
            let lookups: Vec<Lookup> = lookups.into_iter().map(|(lookup, kept)| Lookup {
                event_table: kept.then_some(PolicyIndex(0)),
                ..lookup
            }).collect();
            // The same is asked again, of what was found by then.
            let lookups = [&lookups[..], &lookups[..]].concat();
            let mut joins = Join::all(&lookups, &tables, &|_, _| true);
            let judge = |joins| Lookups { lookups: &lookups, joins, tables: &tables, events: &events }.judge(&event, &mut |_, _| {});
            let plain = judge(&[][..]);
            prop_assert_eq!(judge(&joins), plain.clone());
            // And once more, of what is known by now.
            prop_assert_eq!(judge(&joins), plain.clone());
            // And of what other rules asked of the same event.
            let mut questions = HashMap::default();
            joins.iter_mut().zip(&lookups).for_each(|(join, lookup)| join.number(lookup, &mut questions));
            let remembering = Remembering(&event, RefCell::default());
            for _ in 0..2 {
                let lookups = Lookups { lookups: &lookups, joins: &joins, tables: &tables, events: &events };
                prop_assert_eq!(lookups.judge(&remembering, &mut |_, _| {}), plain.clone());
            }
            // And at all times between which nothing is said to change.
            let judge = |event: &dyn EventValues, joins| {
                Lookups { lookups: &lookups, joins, tables: &tables, events: &events }.judge(event, &mut |_, _| {})
            };
            let spanned = Spanned::new(&event);
            prop_assert_eq!(judge(&spanned, &joins), plain.clone());
            if let Some((from, until)) = spanned.span() {
                prop_assert!(from <= event.time && event.time < until);
                let times = [from.0, until.0.saturating_sub(1), 1_777_852_799_999, 1_777_852_800_000, 1_777_888_800_000, 7, 8];
                for time in times.into_iter().filter(|time| from.0 <= *time && *time < until.0) {
                    let then = Seen { time: Millis(time), fields: event.fields.clone() };
                    prop_assert_eq!(judge(&then, &[][..]), plain.clone());
                }
            }
            prop_assert_eq!(tables.zone(), &TimeZone::UTC);
        }
    }
}
