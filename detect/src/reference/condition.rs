//! Conditions over a row, an event and the rows found before (`where`, `when`).

use std::borrow::Cow;
use std::cmp::Ordering;
use std::net::IpAddr;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use serde_json::Value as Json;

use super::cell::{each_value, scalar, value_at};
use super::has::has;
use super::scope::{Item, Items, Scope, each_json, resolve, resolve_first};
use crate::policy::{Condition, Literal, Op, Subject, Test, Value};
use crate::sigma::{Number, Pattern, lower};

/// Whether `condition` holds; its columns are those of the row at hand.
#[must_use]
pub fn holds(condition: &Condition, scope: &Scope<'_>) -> bool {
    holds_for(condition, scope.row, scope)
}

/// As [`holds`], with the columns of `columns`: the row at hand, or inside `has` the element.
pub(super) fn holds_for(condition: &Condition, columns: Option<&Json>, scope: &Scope<'_>) -> bool {
    match condition {
        Condition::All(all) => all.iter().all(|c| holds_for(c, columns, scope)),
        Condition::Any(any) => any.iter().any(|c| holds_for(c, columns, scope)),
        Condition::None(none) => !none.iter().any(|c| holds_for(c, columns, scope)),
        Condition::Test(test) => test_holds(test, columns, scope),
    }
}

fn test_holds(test: &Test, columns: Option<&Json>, scope: &Scope<'_>) -> bool {
    if let Op::Has(wanted) = &test.op {
        let mut elements = Vec::new();
        match &test.subject {
            Subject::Column(column) => columns.into_iter().for_each(|row| match value_at(row, column) {
                // Of a list of lists (`incompatible_pairs`) each list is an element.
                Some(Json::Array(lists)) if lists.iter().any(Json::is_array) => elements.extend(lists),
                _ => each_value(row, column, &mut |v| elements.push(v)),
            }),
            Subject::Reference(reference) => each_json(reference, scope, &mut |v| elements.push(v)),
        }
        // What is no object has one column, so that maps can speak of it.
        let plain: Vec<Option<Json>> = elements
            .iter()
            .map(|e| (!e.is_object()).then(|| serde_json::json!({"value": e})))
            .collect();
        let elements: Vec<&Json> = elements
            .iter()
            .zip(&plain)
            .map(|(e, p)| p.as_ref().unwrap_or(e))
            .collect();
        return has(wanted, &elements, scope);
    }
    let items: Items<'_> = match &test.subject {
        Subject::Column(column) => {
            let mut items = Items::new();
            columns
                .into_iter()
                .for_each(|row| each_value(row, column, &mut |v| items.push(Item::Text(scalar(v)))));
            items
        }
        Subject::Reference(reference) => resolve(reference, scope),
    };
    match &test.op {
        Op::Exists(wanted) => items.iter().any(|i| !i.text().is_empty()) == *wanted,
        Op::Equals(values) => values.iter().any(|v| equals(&items, v, scope)),
        Op::Contains(values) => text_op(&items, values, scope, Affix::Contains),
        Op::StartsWith(values) => text_op(&items, values, scope, Affix::Starts),
        Op::EndsWith(values) => text_op(&items, values, scope, Affix::Ends),
        Op::Re(expressions) => items
            .iter()
            .any(|i| expressions.iter().any(|re| re.is_match(&i.text()))),
        Op::Lt(values) => ordered(&items, values, scope, Ordering::is_lt),
        Op::Lte(values) => ordered(&items, values, scope, Ordering::is_le),
        Op::Gt(values) => ordered(&items, values, scope, Ordering::is_gt),
        Op::Gte(values) => ordered(&items, values, scope, Ordering::is_ge),
        Op::Covers(values) => pairs(&items, values, scope, contains),
        Op::Cidr(values) => pairs(&items, values, scope, |ip, net| contains(net, ip)),
        Op::Within(values) => items.iter().all(|item| {
            let alone = Items::from_iter([item.clone()]);
            values.iter().any(|v| equals(&alone, v, scope))
        }),
        Op::Has(_) => false,
    }
}

fn equals(items: &Items<'_>, value: &Value, scope: &Scope<'_>) -> bool {
    match value {
        Value::Literal(Literal::Null) => items.is_empty() || items.iter().any(|i| i.text().is_empty()),
        Value::Literal(Literal::Text { pattern, .. }) => items.iter().any(|i| pattern.is_match(&i.text(), false)),
        Value::Literal(Literal::Number(n)) => items.iter().any(|i| Number::parse(&i.text()).is_some_and(|i| i == *n)),
        Value::Literal(Literal::Bool(b)) => {
            let wanted = if *b { "true" } else { "false" };
            items.iter().any(|i| i.text().eq_ignore_ascii_case(wanted))
        }
        Value::Reference(_) | Value::First(_) => {
            let others = resolve_first(value.references(), scope);
            items.iter().any(|a| others.iter().any(|b| same(a, b, scope.zone)))
        }
    }
}

/// Equal as moments where one is a moment, else as numbers where both are, else as text without regard to case.
fn same(a: &Item<'_>, b: &Item<'_>, zone: &TimeZone) -> bool {
    if let (Item::Time(_), _) | (_, Item::Time(_)) = (a, b) {
        return a.moment(zone).is_some() && a.moment(zone) == b.moment(zone);
    }
    let (a, b) = (a.text(), b.text());
    lower(&a) == lower(&b) || Number::parse(&a).zip(Number::parse(&b)).is_some_and(|(a, b)| a == b)
}

#[derive(Clone, Copy, PartialEq)]
enum Affix {
    Contains,
    Starts,
    Ends,
}

fn text_op(items: &Items<'_>, values: &[Value], scope: &Scope<'_>, affix: Affix) -> bool {
    let holds = |pattern: &Pattern| {
        let pattern = if affix == Affix::Starts {
            pattern.clone()
        } else {
            pattern.any_before()
        };
        let pattern = if affix == Affix::Ends {
            pattern
        } else {
            pattern.any_after()
        };
        items.iter().any(|i| pattern.is_match(&i.text(), false))
    };
    values.iter().any(|value| match value {
        Value::Literal(Literal::Text { pattern, .. }) => holds(pattern),
        Value::Literal(Literal::Number(n)) => holds(&Pattern::literal(&n.to_string())),
        Value::Literal(Literal::Bool(b)) => holds(&Pattern::literal(&b.to_string())),
        Value::Literal(Literal::Null) => false,
        // An empty value would be contained in everything; it matches nothing, as a missing one.
        Value::Reference(_) | Value::First(_) => {
            let items = resolve_first(value.references(), scope);
            items
                .iter()
                .any(|i| !i.text().is_empty() && holds(&Pattern::literal(&i.text())))
        }
    })
}

fn literal_item(literal: &Literal) -> Option<Item<'_>> {
    match literal {
        Literal::Text { raw, .. } => Some(Item::Text(Cow::Borrowed(raw))),
        Literal::Number(n) => Some(Item::Text(Cow::Owned(n.to_string()))),
        Literal::Bool(_) | Literal::Null => None,
    }
}

/// Whether `holds` of one of the items (left) and one of the values (right).
fn pairs(items: &Items<'_>, values: &[Value], scope: &Scope<'_>, holds: impl Fn(&Item<'_>, &Item<'_>) -> bool) -> bool {
    !items.is_empty()
        && values.iter().any(|value| match value {
            Value::Literal(literal) => literal_item(literal).is_some_and(|b| items.iter().any(|a| holds(a, &b))),
            Value::Reference(_) | Value::First(_) => {
                let others = resolve_first(value.references(), scope);
                items.iter().any(|a| others.iter().any(|b| holds(a, b)))
            }
        })
}

fn ordered(items: &Items<'_>, values: &[Value], scope: &Scope<'_>, wanted: fn(Ordering) -> bool) -> bool {
    pairs(items, values, scope, |a, b| order(a, b, scope.zone).is_some_and(wanted))
}

/// Numbers as numbers, times as moments; `None` where the two are neither.
fn order(a: &Item<'_>, b: &Item<'_>, zone: &TimeZone) -> Option<Ordering> {
    if let (Item::Text(a), Item::Text(b)) = (a, b)
        && let Some((a, b)) = Number::parse(a).zip(Number::parse(b))
    {
        return Some(a.cmp(&b));
    }
    Some(a.moment(zone)?.cmp(&b.moment(zone)?))
}

/// Whether `net`, a CIDR or an address, has `ip` in it. An IPv4 address written as IPv6 counts as IPv4.
fn contains(net: &Item<'_>, ip: &Item<'_>) -> bool {
    let (net, ip) = (net.text(), ip.text());
    let Ok(ip) = ip.trim().parse::<IpAddr>().map(|ip| ip.to_canonical()) else {
        return false;
    };
    match net.trim().parse::<IpNet>() {
        Ok(net) => net.contains(&ip),
        Err(_) => net.trim().parse::<IpAddr>().is_ok_and(|net| net.to_canonical() == ip),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::super::scope::*;
    use super::*;
    use crate::policy::{EventField, Reference, Root};
    use model::Millis;
    use model::Namespace;
    use serde_json::json;

    /// An event as tests write it.
    pub(crate) struct Seen {
        pub time: Millis,
        pub fields: BTreeMap<EventField, Vec<Arc<str>>>,
    }

    impl EventValues for Seen {
        fn time(&self) -> Millis {
            self.time
        }
        fn received_at(&self) -> Millis {
            self.time.plus_ms(2_000)
        }
        fn values(&self, field: &EventField) -> &[Arc<str>] {
            self.fields.get(field).map_or(&[], Vec::as_slice)
        }
    }

    pub(crate) fn seen(time: &str, fields: &[(&str, &[&str])]) -> Seen {
        let value = |(k, v): &(&str, &[&str])| {
            (
                EventField::new(Namespace::Ocsf, k),
                v.iter().map(|v| Arc::from(*v)).collect(),
            )
        };
        Seen {
            time: Millis::parse(time).unwrap(),
            fields: fields.iter().map(value).collect(),
        }
    }

    fn lit(text: &str) -> Value {
        Value::Literal(Literal::Text {
            raw: text.to_owned(),
            pattern: Pattern::parse(text),
        })
    }
    fn num(text: &str) -> Value {
        Value::Literal(Literal::Number(Number::parse(text).unwrap()))
    }
    pub(crate) fn event(path: &str) -> Value {
        Value::Reference(Reference {
            root: Root::Event(EventField::new(Namespace::Ocsf, path)),
            offset_ms: 0,
            working_days: 0,
            plus: 0,
        })
    }
    fn at(offset_ms: i64) -> Value {
        Value::Reference(Reference {
            root: Root::EventTime,
            offset_ms,
            working_days: 0,
            plus: 0,
        })
    }
    fn alias(alias: &str, column: &str) -> Value {
        Value::Reference(Reference {
            root: Root::Alias {
                alias: alias.into(),
                column: column.into(),
            },
            offset_ms: 0,
            working_days: 0,
            plus: 0,
        })
    }
    pub(crate) fn test(column: &str, op: Op) -> Condition {
        Condition::Test(Test {
            subject: Subject::Column(column.into()),
            op,
        })
    }

    fn check(condition: &Condition) -> bool {
        let row = json!({
            "state": "Active", "owner": "", "none": null, "limit": 500, "limits": [5, 50], "mfa": false,
            "names": ["web-1", "db-1"], "cidr": "10.8.1.0/24", "nets": ["10.9.0.0/16", "192.168.7.7"], "ip": "10.8.1.9",
            "from": "2026-05-04T10:00:00+08:00", "day": "2026-05-04", "text": "5 apples", "path": "a*b",
            "approvals": [
                {"capacity": "supervisor", "decision": "approved", "at": "2026-05-01T00:00:00Z", "approver": "E1"},
                {"capacity": "system_owner", "decision": "rejected", "at": "2026-05-01T00:00:00Z", "approver": "E2"},
                "nonsense"],
        });
        let seen = seen(
            "2026-05-04T10:30:00+08:00",
            &[
                ("user.name", &["ACTIVE"]),
                ("src.ip", &["::ffff:10.8.1.77"]),
                ("n", &["500.0"]),
                ("empty", &[""]),
            ],
        );
        let aliases: Aliases = [("z".into(), Arc::new(json!({"zones": ["x", "DB-1"]})))].into();
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        holds(
            condition,
            &Scope {
                event: Some(&seen),
                aliases: &aliases,
                row: Some(&row),
                count: None,
                zone: &zone,
                calendar: None,
            },
        )
    }

    #[test]
    fn every_modifier() {
        let has = |conditions: Vec<Condition>| {
            let wanted = conditions.into_iter();
            let wanted = wanted.map(|condition| crate::policy::Wanted { alias: None, condition });
            let (wanted, apart) = (wanted.collect(), crate::policy::Apart::No);
            test("approvals", Op::Has(crate::policy::Has { wanted, apart }))
        };
        let all = Condition::All;
        let approved = |capacity| {
            all(vec![
                test("capacity", Op::Equals(vec![lit(capacity)])),
                test("decision", Op::Equals(vec![lit("approved")])),
                test("at", Op::Lt(vec![at(0)])),
            ])
        };
        let cases: Vec<(Condition, bool)> = vec![
            (test("state", Op::Equals(vec![lit("active")])), true),
            (test("state", Op::Equals(vec![lit("locked"), lit("act*")])), true),
            (test("state", Op::Equals(vec![lit("act")])), false),
            (test("state", Op::Equals(vec![event("user.name")])), true),
            (test("state", Op::Equals(vec![event("no.such")])), false),
            (test("limit", Op::Equals(vec![num("500")])), true),
            (test("limit", Op::Equals(vec![event("n")])), true),
            (test("limits", Op::Equals(vec![num("50")])), true),
            (
                test("mfa", Op::Equals(vec![Value::Literal(Literal::Bool(false))])),
                true,
            ),
            (
                test("mfa", Op::Equals(vec![Value::Literal(Literal::Bool(true))])),
                false,
            ),
            (test("path", Op::Equals(vec![lit(r"a\*b")])), true),
            (test("none", Op::Equals(vec![Value::Literal(Literal::Null)])), true),
            (test("owner", Op::Equals(vec![Value::Literal(Literal::Null)])), true),
            (test("state", Op::Equals(vec![Value::Literal(Literal::Null)])), false),
            (test("names", Op::Equals(vec![alias("z", "zones")])), true),
            (test("names", Op::Equals(vec![alias("unbound", "zones")])), false),
            (test("names", Op::Contains(vec![lit("B-")])), true),
            (test("names", Op::StartsWith(vec![lit("db")])), true),
            (test("names", Op::StartsWith(vec![lit("b-")])), false),
            (test("names", Op::EndsWith(vec![lit("-1")])), true),
            (test("names", Op::EndsWith(vec![lit("w*-")])), false),
            (test("names", Op::Contains(vec![event("empty")])), false),
            (
                test("text", Op::Re(vec![regex::Regex::new("^[0-9]+ a").unwrap()])),
                true,
            ),
            (test("limit", Op::Gt(vec![num("499.5")])), true),
            (test("limit", Op::Gte(vec![num("500")])), true),
            (test("limit", Op::Lt(vec![num("500")])), false),
            (test("limits", Op::Lte(vec![num("5")])), true),
            (test("text", Op::Lt(vec![num("6")])), false),
            (test("from", Op::Lte(vec![at(0)])), true),
            (test("from", Op::Gt(vec![at(-30 * 60_000)])), false),
            (test("from", Op::Gte(vec![at(-30 * 60_000)])), true),
            (test("from", Op::Lt(vec![lit("2026-05-04T02:00:01Z")])), true),
            (test("day", Op::Lt(vec![at(0)])), true),
            (test("day", Op::Gt(vec![at(-11 * 3_600_000)])), true),
            (test("no", Op::Lt(vec![num("5")])), false),
            (test("owner", Op::Exists(true)), false),
            (test("owner", Op::Exists(false)), true),
            (test("none", Op::Exists(false)), true),
            (test("mfa", Op::Exists(true)), true),
            (test("cidr", Op::Covers(vec![event("src.ip")])), true),
            (test("nets", Op::Covers(vec![lit("192.168.7.7")])), true),
            (test("nets", Op::Covers(vec![lit("192.168.7.8")])), false),
            (test("state", Op::Covers(vec![event("src.ip")])), false),
            (test("ip", Op::Cidr(vec![lit("10.8.0.0/16")])), true),
            (test("ip", Op::Cidr(vec![lit("10.9.0.0/16"), lit("10.8.1.9")])), true),
            (has(vec![approved("supervisor")]), true),
            (has(vec![approved("system_owner")]), false),
            (has(vec![approved("supervisor"), approved("system_owner")]), false),
            (has(vec![]), true),
            (Condition::Any(vec![]), false),
            (Condition::ALWAYS, true),
            (
                Condition::None(vec![test("state", Op::Equals(vec![lit("active")]))]),
                false,
            ),
            (Condition::None(vec![test("state", Op::Equals(vec![lit("x")]))]), true),
        ];
        for (i, (condition, want)) in cases.iter().enumerate() {
            assert_eq!(check(condition), *want, "case {i}: {condition:?}");
        }
    }

    #[test]
    fn a_reference_is_a_subject_too() {
        let subject = Subject::Reference(Reference {
            root: Root::Event(EventField::new(Namespace::Ocsf, "n")),
            offset_ms: 0,
            working_days: 0,
            plus: 0,
        });
        assert!(check(&Condition::Test(Test {
            subject,
            op: Op::Gt(vec![num("499")])
        })));
        let subject = Subject::Reference(Reference {
            root: Root::EventTime,
            offset_ms: 60_000,
            working_days: 0,
            plus: 0,
        });
        assert!(check(&Condition::Test(Test {
            subject,
            op: Op::Gt(vec![at(0)])
        })));
    }
}
